"""Decisions: the one loop of deciding with reasons, acting, learning from the outcome and judging a change beforehand.

Shared by routing, risk and marketing. Invariants:

- A decision is written in the commit of its effect, with every candidate, the probability with which each could have
  been chosen (they sum to one), reasons from a closed list, and the policy version that made it. It never changes.
- Outcomes are rows of their own, joined by event time: late, corrected, doubled or missing, the log stays true.
- A policy changes by versions. A draft is replayed on logged decisions before it may meet traffic, traffic is given in
  shares by a salted SHA-256, guardrails give it back, and every step is in an audit trail.
- Learners are pure between two observations and seeded: equal seeds and equal facts give equal choices.

Sources: Horvitz-Thompson weighting and its relatives (Dudik et al. 2011; Swaminathan and Joachims 2015), Thompson
sampling (Chapelle and Li 2011), top-two (Russo 2016), discounted sampling (Raj and Kalyani 2017), confidence
sequences (Howard et al. 2021), group-sequential limits (O'Brien and Fleming 1979).
"""
