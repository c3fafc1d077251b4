"""Payments: intents and their attempts, captures, refunds, disputes, set-ups, mandates, checkout, webhooks.

Invariants: an attempt is committed as ``sent`` before its channel is called; an unresolved attempt is inquired and
never repeated or cascaded; a change of state and the transfers that it means share one commit. Sources of the
rules: docs/concepts/life-of-a-payment.md and docs/concepts/unknown-outcomes.md.
"""
