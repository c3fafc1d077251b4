"""Strategies: what share of payments like this one each channel in traffic should get, before probes and floor.

A merchant's rule goes before the strategy of the policy: ``prefer`` is a priority among what it names, ``split`` a split. Where
a rule names nothing that is in traffic, the strategy decides. Every strategy answers with probabilities, also those
that are certain, so that all of them can be replayed and compared. Arrays are (1, k).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tongbao.routing.models.beliefs import Floats
from tongbao.routing.policy.ranking import Gates, Worth, thompson
from tongbao.routing.schema.spec import RoutingSpec, Strategy

COST_TOLERANCE = 1e-9


class Wanted(NamedTuple):
    """Shares of the channels in traffic (1, k), and the code of who said so."""

    shares: Floats
    code: str


class Choice(NamedTuple):
    """What a strategy may look at: channels in their order, their cost in minor units, value and gates."""

    channels: Sequence[str]
    cost_minor: Floats
    value: Worth
    gate: Gates


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
    return Wanted(shares, "rule") if shares.any() else None


def by_strategy(spec: RoutingSpec, choice: Choice) -> Wanted:
    """Return what the policy's strategy wants; all zero where nothing is in traffic."""
    match spec.strategy:
        case Strategy.LEARNED:
            return Wanted(thompson(choice.value, choice.gate), "learned")
        case Strategy.LEAST_COST:
            return Wanted(_cheapest(choice), "least_cost")
        case Strategy.PRIORITY:
            rest = [name for name in choice.channels if name not in spec.order]
            return Wanted(_first(choice, (*spec.order, *rest)), "priority")
        case Strategy.SPLIT:
            shares = _weighted(choice, spec.weights)
            return Wanted(shares if shares.any() else _evenly(choice), "split")
        case Strategy.ROUND_ROBIN:
            return Wanted(_evenly(choice), "round_robin")


def _first(choice: Choice, ranked: Sequence[str]) -> Floats:
    """Give everything to the first of ``ranked`` that is in traffic."""
    shares = np.zeros((1, len(choice.channels)))
    for name in ranked:
        if name in choice.channels and choice.gate.traffic[0, choice.channels.index(name)]:
            shares[0, choice.channels.index(name)] = 1.0
            break
    return shares


def _weighted(choice: Choice, weights: Mapping[str, int]) -> Floats:
    """Share by weights among those in traffic; a channel that is out leaves its share to the others."""
    raw = np.array([[float(weights.get(name, 0)) for name in choice.channels]]) * choice.gate.traffic
    total = raw.sum()
    return raw / total if total > 0 else raw


def _evenly(choice: Choice) -> Floats:
    return _weighted(choice, dict.fromkeys(choice.channels, 1))


def _cheapest(choice: Choice) -> Floats:
    """Share evenly among the cheapest in traffic."""
    cost = np.where(choice.gate.traffic, choice.cost_minor, np.inf)
    cheapest = choice.gate.traffic & (cost <= cost.min() + COST_TOLERANCE)
    return np.asarray(cheapest / max(1, int(cheapest.sum())))
