"""Risk control: every payment gets a tier with reasons before a channel is chosen, and nobody waits for it.

Signals of a payment meet hot state that each process folds from facts in commit order; features, model, rules, lists and
a policy of expected cost decide between passing, one extra step, a hold with a review, and a no. Invariants:

- Scoring changes nothing. State changes by facts only, so every process knows the same and a replay proves every score.
- A label is used from the moment on at which it was known, never earlier.
- A failure of this room gives the configured tier, never an exception in a payment.
- Nothing here moves money, and no key of an entity tells who it is.
"""
