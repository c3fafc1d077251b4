"""Routing: over which channel a payment goes, and over which it goes next.

Filters, circuit breakers on technical failures, a forgetting posterior of what issuers accept, the cost of each channel,
and one draw from written probabilities. A channel's illness and an issuer's "no" are two different numbers: the first
opens a breaker, the second ranks. Invariants:

- A channel that is filtered, capped or whose breaker is open is never chosen.
- The state is a fold over published facts in commit order: every process that has read them knows the same.
- An unresolved attempt is never retried and never cascaded.
- Whatever fails here, the payment goes over the first channel that can carry it.
"""
