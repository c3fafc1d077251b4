"""Now and then the tier beside the best one, so that rates stay known; within bounds, and with its chance written down.

What is tried instead is a direct neighbor of the best tier that rules, lists and means allow. Never:

- for a payment above ``value_max``;
- a laxer tier for a payment whose chance of fraud is above ``laxer_chance_max``;
- a decline: who is declined shows nothing that could be learned.

``share`` is divided between the neighbors there are, and each gets of its part ``GAP / (GAP + extra)``, where ``extra`` is what
it is expected to cost more than the best. So a tie is tried often and a folly hardly ever: exploration costs less than
``share * GAP`` hundredths a payment in expectation, whatever the traffic. Every neighbor keeps a chance, which
evaluation off policy needs.

The choice is drawn from exactly the propensities that are written. Scores of candidates are expected costs in
hundredths: lower is better, so evaluations are to be ordered with ``higher_is_better=False`` for outcomes that are costs.
"""

from typing import NamedTuple

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.models.choosing import draw_one
from tongbao.decisions.schema.log import Candidate
from tongbao.risk.policy.tiering import Four, Range, Weighed, excluded_because
from tongbao.risk.schema.spec import EXPLORE_SHARE_MAX
from tongbao.risk.schema.tiers import TIERS, Tier

GAP = 2.0
"""Hundredths: a neighbor that costs so much more is tried half as often as one that costs the same."""
LAXER_CHANCE_MAX = 0.05


class Exploring(NamedTuple):
    """How much is explored: a share in [0, ``EXPLORE_SHARE_MAX``], up to which value (hundredths), and laxer up to which chance."""

    share: float = 0.0
    value_max: int = 20_000
    laxer_chance_max: float = LAXER_CHANCE_MAX


class Chosen(NamedTuple):
    """The tier that was drawn, and the propensities of all tiers that it was drawn from."""

    tier: Tier
    propensities: Four
    is_explored: bool


def propensities(weighed: Weighed, chance: float, value: int, exploring: Exploring) -> Four:
    """Return the probability of each tier; they sum to 1, and what is not allowed has 0.

    Raises InvalidRequest ``explore_share_invalid``.
    """
    if not 0 <= exploring.share <= EXPLORE_SHARE_MAX:
        raise InvalidRequest(
            "explore_share_invalid", f"a share to explore is 0 to {EXPLORE_SHARE_MAX}", share=exploring.share
        )
    best = weighed.best.strictness
    shares = [0.0, 0.0, 0.0, 0.0]
    if exploring.share and value <= exploring.value_max:
        laxer = () if chance > exploring.laxer_chance_max else (best - 1,)
        tried = [place for place in (*laxer, best + 1) if 0 <= place < 3 and weighed.allowed[place]]
        for place in tried:
            # A floor can make the best dearer than what is beside it.
            extra = max(weighed.costs[place] - weighed.costs[best], 0.0)
            shares[place] = exploring.share / len(tried) * GAP / (GAP + extra)
    shares[best] = 1.0 - sum(shares)
    return (shares[0], shares[1], shares[2], shares[3])


def choose(weighed: Weighed, chance: float, value: int, exploring: Exploring, uniform: float) -> Chosen:
    """Return the tier on which ``uniform`` in [0, 1) falls. Raises InvalidRequest ``uniform_invalid`` too."""
    shares = propensities(weighed, chance, value, exploring)
    if shares[weighed.best.strictness] == 1.0 and 0 <= uniform < 1:
        return Chosen(weighed.best, shares, is_explored=False)
    tier = TIERS[draw_one(shares, uniform)]
    return Chosen(tier, shares, is_explored=tier is not weighed.best)


def candidates(weighed: Weighed, chosen: Chosen, within: Range) -> tuple[Candidate, ...]:
    """Return the tiers for the decision log, in the order of ``TIERS``; ``excluded`` as ``tiering.excluded_because`` says."""
    return tuple(
        Candidate(
            name=tier.value,
            propensity=chosen.propensities[place],
            score=weighed.costs[place],
            low=weighed.low[place],
            high=weighed.high[place],
            excluded=None if weighed.allowed[place] else excluded_because(within, tier),
        )
        for place, tier in enumerate(TIERS)
    )
