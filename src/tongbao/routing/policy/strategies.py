"""Strategies: what share of payments like this one each channel in traffic should get, before probes and floor.

A merchant's rule goes before the strategy of the policy: ``prefer`` is a priority among what it names, ``split`` a split. Where
a rule names nothing that is in traffic, the strategy decides. Every strategy answers with probabilities, also those
that are certain, so that all of them can be replayed and compared.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tongbao.decisions.models.choosing import thompson_of_one
from tongbao.routing.policy.ranking import SPREAD
from tongbao.routing.schema.spec import RoutingSpec, Strategy

COST_TOLERANCE = 1e-9


class Wanted(NamedTuple):
    """Shares by place, zero for what is not in traffic, and the code of who said so."""

    shares: list[float]
    code: str


class Choice(NamedTuple):
    """What a strategy may look at: channels in their order, cost and value in minor units, places in traffic."""

    channels: Sequence[str]
    cost_minor: Sequence[float]
    value: Sequence[float]
    value_sd: Sequence[float]
    traffic: Sequence[int]


def by_rule(
    choice: Choice, preferred: Sequence[str] | None, split: Mapping[str, int] | None
) -> Wanted | None:
    """Return what a merchant's deciding rule wants; None where it names nothing that is in traffic."""
    if preferred is not None:
        shares = _first(choice, preferred)
    elif split is not None:
        shares = _weighted(choice, split)
    else:
        return None
    return Wanted(shares, "rule") if any(shares) else None


def by_strategy(spec: RoutingSpec, choice: Choice) -> Wanted:
    """Return what the policy's strategy wants; all zero where nothing is in traffic."""
    match spec.strategy:
        case Strategy.LEARNED:
            return Wanted(_learned(choice), "learned")
        case Strategy.LEAST_COST:
            return Wanted(_cheapest(choice), "least_cost")
        case Strategy.PRIORITY:
            rest = [name for name in choice.channels if name not in spec.order]
            return Wanted(_first(choice, (*spec.order, *rest)), "priority")
        case Strategy.SPLIT:
            shares = _weighted(choice, spec.weights)
            return Wanted(shares if any(shares) else _evenly(choice), "split")
        case Strategy.ROUND_ROBIN:
            return Wanted(_evenly(choice), "round_robin")


def _learned(choice: Choice) -> list[float]:
    """Share as likely as each channel is worth most; see ``ranking.thompson``."""
    shares = [0.0] * len(choice.channels)
    if not choice.traffic:
        return shares
    found = thompson_of_one(
        [choice.value[place] for place in choice.traffic],
        [SPREAD * choice.value_sd[place] for place in choice.traffic],
    )
    for place, share in zip(choice.traffic, found, strict=True):
        shares[place] = share
    return shares


def _first(choice: Choice, ranked: Sequence[str]) -> list[float]:
    """Give everything to the first of ``ranked`` that is in traffic."""
    shares = [0.0] * len(choice.channels)
    in_traffic = {choice.channels[place]: place for place in choice.traffic}
    for name in ranked:
        if name in in_traffic:
            shares[in_traffic[name]] = 1.0
            break
    return shares


def _weighted(choice: Choice, weights: Mapping[str, int]) -> list[float]:
    """Share by weights among those in traffic; a channel that is out leaves its share to the others."""
    shares = [0.0] * len(choice.channels)
    for place in choice.traffic:
        shares[place] = float(weights.get(choice.channels[place], 0))
    total = sum(shares)
    return [share / total for share in shares] if total > 0 else shares


def _evenly(choice: Choice) -> list[float]:
    return _weighted(choice, dict.fromkeys(choice.channels, 1))


def _cheapest(choice: Choice) -> list[float]:
    """Share evenly among the cheapest in traffic."""
    cheapest = min((choice.cost_minor[place] for place in choice.traffic), default=0.0) + COST_TOLERANCE
    names = [choice.channels[place] for place in choice.traffic if choice.cost_minor[place] <= cheapest]
    return _weighted(choice, dict.fromkeys(names, 1))
