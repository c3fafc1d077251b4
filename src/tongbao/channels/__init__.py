"""Channels: configured routes for money, and the adapters that speak their protocols.

Invariants: an expected end is an ``Answer``, never an exception; what may have reached the other side and was not
answered is ``unresolved``, never a decline; our reference goes upstream unchanged, so that a repeat is the same
act there. Source of the rules: docs/concepts/unknown-outcomes.md.
"""
