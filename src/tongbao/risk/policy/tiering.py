"""What each tier is expected to cost, and which is the cheapest that is allowed. Pure, plain floats.

With ``p`` the calibrated chance of fraud, ``harm = value + fraud_fee`` what a fraud that passes costs and
``loss = margin * value + goodwill`` what a good payment that is lost costs, all in hundredths of a major unit:

- frictionless: ``p * harm``
- step-up: ``fee + price + p * (1 - caught) * harm + (1 - p) * lost * loss``
- review: likewise, with the fee, price and rates of a review
- decline: ``(1 - p) * loss``

``lost`` and ``caught`` are the learned rates of the tier (``models.rates``). ``price`` is what a step-up or review costs beyond
its fee because both are scarce (``policy.prices``). Lower is better. Intervals are of 90 % and hold the uncertainty of the
rates; that of ``p`` is not in them. Equal costs go to the tier that the payer notices less.

Rules and lists bound the choice by a floor and a ceiling; where they contradict each other the floor holds. A payment
whose cheapest tier lies below the floor gets the floor, not whatever is cheapest above it: scarce reviews must not turn
what a rule wants looked at into a decline. A tier that the house has no means for gives way to the next stricter one that
it has, and a decline is always possible.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models.rates import TierBelief, TierBeliefs
from tongbao.risk.schema.tiers import TIERS, Costs, Rates, Tier

Floats = NDArray[np.float64]
Four = tuple[float, float, float, float]
"""One number for each tier, in the order of ``TIERS``."""
Allowed = tuple[bool, bool, bool, bool]
QUANTILE = 1.6448536269514722
"""Standard deviations to either end of an interval of 90 %."""
WHOLE_BPS = 10_000


class Terms(NamedTuple):
    """Costs and prices as the arithmetic takes them, in hundredths; ``margin`` is a share, the last two hold fee and price."""

    fraud_fee: float
    margin: float
    goodwill: float
    step_up: float
    review: float


class Range(NamedTuple):
    """Between which tiers the choice is, and which of them the house has people and means for."""

    floor: Tier = Tier.FRICTIONLESS
    ceiling: Tier = Tier.DECLINE
    can_step_up: bool = True
    can_review: bool = True


class Weighed(NamedTuple):
    """Expected costs of all tiers in hundredths with their intervals, which are allowed, and the best of those."""

    best: Tier
    costs: Four
    low: Four
    high: Four
    allowed: Allowed


def terms_of(costs: Costs, step_up_price: float = 0.0, review_price: float = 0.0) -> Terms:
    """Return the terms of ``costs`` with the prices (hundredths) of what is scarce."""
    return Terms(
        float(costs.fraud_fee),
        costs.margin_bps / WHOLE_BPS,
        float(costs.goodwill),
        costs.step_up_fee + step_up_price,
        costs.review_fee + review_price,
    )


def weigh(chance: float, value: int, beliefs: TierBeliefs, terms: Terms, within: Range) -> Weighed:
    """Return what each tier costs for a payment of ``value`` hundredths with a ``chance`` of fraud, and the best.

    Raises InvalidRequest ``chance_invalid`` for a chance outside of [0, 1] or a negative value.
    """
    if not (0 <= chance <= 1 and value >= 0):
        raise InvalidRequest("chance_invalid", f"no payment of {value} has a chance of {chance}")
    harm = chance * (value + terms.fraud_fee)
    loss = (1 - chance) * (terms.margin * value + terms.goodwill)
    step_up, step_up_spread = _checked(terms.step_up, harm, loss, beliefs.step_up)
    review, review_spread = _checked(terms.review, harm, loss, beliefs.review)
    costs = (harm, step_up, review, loss)
    low = (
        harm,
        max(step_up - step_up_spread, terms.step_up),
        max(review - review_spread, terms.review),
        loss,
    )
    high = (harm, step_up + step_up_spread, review + review_spread, loss)
    allowed, candidates = _bounds(within)
    best = candidates[0]
    for place in candidates:
        if costs[place] < costs[best]:
            best = place
    while not allowed[best]:
        best += 1
    return Weighed(TIERS[best], costs, low, high, allowed)


def _checked(fee: float, harm: float, loss: float, belief: TierBelief) -> tuple[float, float]:
    """Return expected cost and half width of the interval, where a step-up or review stands in between."""
    lost, caught = belief
    spread = (harm * caught.sd) ** 2 + (loss * lost.sd) ** 2
    return fee + (1 - caught.mean) * harm + lost.mean * loss, QUANTILE * spread**0.5


def allowed_within(within: Range) -> Allowed:
    """Return which tiers may be chosen, at least one: see the module on contradictions and missing means."""
    return _bounds(within)[0]


@lru_cache(maxsize=256)
def _bounds(within: Range) -> tuple[Allowed, tuple[int, ...]]:
    """Return which tiers are allowed, and the places among which the cheapest is sought before the floor is applied."""
    floor = within.floor.strictness
    ceiling = max(within.ceiling.strictness, floor)
    means = (True, within.can_step_up, within.can_review, True)
    allowed = [means[place] and floor <= place <= ceiling for place in range(4)]
    if not any(allowed):
        stricter = next(place for place in range(ceiling, 4) if means[place])
        allowed[stricter] = True
    last = max(place for place in range(4) if allowed[place])
    candidates = tuple(place for place in range(last + 1) if means[place])
    return (allowed[0], allowed[1], allowed[2], allowed[3]), candidates


def excluded_because(within: Range, tier: Tier) -> str | None:
    """Return the code of what keeps ``tier`` out, None where it may be chosen."""
    if allowed_within(within)[tier.strictness]:
        return None
    if (tier is Tier.STEP_UP and not within.can_step_up) or (tier is Tier.REVIEW and not within.can_review):
        return "no_means"
    return "below_floor" if tier.strictness < within.floor.strictness else "above_ceiling"


class ManyRates(NamedTuple):
    """Rates of many payments, arrays of shape (n,) or single numbers."""

    step_up_lost: Floats
    step_up_caught: Floats
    review_lost: Floats
    review_caught: Floats

    @staticmethod
    def same(step_up: Rates, review: Rates) -> "ManyRates":
        """Return the same rates for all payments."""
        shares = (step_up.lost_share, step_up.caught_share, review.lost_share, review.caught_share)
        return ManyRates(*(np.asarray(share) for share in shares))


def costs_of_many(chance: Floats, value: Floats, rates: ManyRates, terms: Terms) -> Floats:
    """Return the expected costs of all tiers, shape (n, 4), bit for bit those of ``weigh``; inputs have shape (n,).

    Raises InvalidRequest ``chance_invalid``.
    """
    if not (((chance >= 0) & (chance <= 1)).all() and (value >= 0).all()):
        raise InvalidRequest("chance_invalid", "a chance lies in 0 to 1, a value is not negative")
    harm = chance * (value + terms.fraud_fee)
    loss = (1 - chance) * (terms.margin * value + terms.goodwill)
    step_up = terms.step_up + (1 - rates.step_up_caught) * harm + rates.step_up_lost * loss
    review = terms.review + (1 - rates.review_caught) * harm + rates.review_lost * loss
    return np.stack(np.broadcast_arrays(harm, step_up, review, loss), axis=1)
