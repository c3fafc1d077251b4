"""What a tier cost in the end, by what became known of the payment; the unit of evaluations off policy. Pure.

In hundredths, with the costs of a specification and without the prices of what is scarce. A payment that went through and
of which nobody complained counts as good, so payments are to be older than the usual delay of a dispute. What a tier kept
out is mostly never known: it counts by the chance of fraud that it was judged with.
"""

from typing import NamedTuple

from tongbao.risk.policy.tiering import Terms
from tongbao.risk.schema.tiers import Tier


class Ending(NamedTuple):
    """A payment of ``value`` hundredths that was judged with ``chance``, and what is known of it; None: not known.

    ``is_ruled``: an analyst gave the label, so a held payment was released or rejected by it.
    """

    tier: Tier
    value: int
    chance: float
    is_approved: bool | None = None
    is_passed: bool | None = None
    is_fraud: bool | None = None
    is_ruled: bool = False


def realized_cost(ending: Ending, terms: Terms) -> float | None:
    """Return what the tier of a payment cost, None where that cannot be known yet; lower is better."""
    match ending.tier:
        case Tier.FRICTIONLESS:
            return _let_through(ending, terms)
        case Tier.STEP_UP:
            fee = terms.step_up
            if not (ending.is_passed or ending.is_approved):
                return fee + _kept_out(ending, terms)
            through = _let_through(ending, terms)
            return None if through is None else fee + through
        case Tier.REVIEW:
            return _reviewed(ending, terms)
        case Tier.DECLINE:
            return _kept_out(ending, terms)


def _let_through(ending: Ending, terms: Terms) -> float | None:
    """Return the cost of a payment that nothing stopped; one that its issuer declined harmed nobody."""
    if ending.is_approved is None:
        return None
    return ending.value + terms.fraud_fee if ending.is_approved and ending.is_fraud else 0.0


def _reviewed(ending: Ending, terms: Terms) -> float | None:
    """Return the cost of a held payment, None before anybody ruled on it."""
    if ending.is_fraud is None:
        return None
    is_passed_by_mistake = ending.is_fraud and not ending.is_ruled
    return terms.review + (ending.value + terms.fraud_fee if is_passed_by_mistake else 0.0)


def _kept_out(ending: Ending, terms: Terms) -> float:
    chance = ending.chance if ending.is_fraud is None else float(ending.is_fraud)
    return (1 - chance) * (terms.margin * ending.value + terms.goodwill)
