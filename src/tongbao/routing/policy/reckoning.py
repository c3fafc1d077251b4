"""Reckoning: everything that is known of a payment and its channels, put together to one set of written probabilities.

In this order: rules and caps filter; breakers, silence and a sick upstream take out of traffic; the strategy or a rule
shares the traffic that is left; probes and the floor of exploration come last. Pure: the same knowledge gives the same
probabilities, which is what replaying a draft on logged decisions rests on.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tongbao.decisions.schema.log import Why
from tongbao.routing.models.beliefs import Floats
from tongbao.routing.models.board import BoardTuning
from tongbao.routing.models.breakers import CLOSED, OPEN
from tongbao.routing.policy import ranking, strategies
from tongbao.routing.policy.economics import Economics, UsedOf, capped, economics
from tongbao.routing.policy.ranking import Gates, Prospect, Worth
from tongbao.routing.policy.rules import Ruled, Rules, apply
from tongbao.routing.schema.payments import Payment
from tongbao.routing.schema.spec import RoutingSpec, Strategy
from tongbao.routing.schema.volumes import Convert


class Known(NamedTuple):
    """What is known of channels, (1, k) each: the prospect, the moving technical rate, calls that are overdue."""

    channels: tuple[str, ...]
    prospect: Prospect
    rate: Floats
    overdue: Floats


class Terms(NamedTuple):
    """What costs and caps depend on at this moment."""

    used: UsedOf
    convert: Convert
    month_left_share: float


class Reckoned(NamedTuple):
    """The probabilities and everything that they came from; arrays (1, k) in the order of ``channels``.

    ``filtered``: channels that rules and caps took away. ``closed``: those that are out of traffic, and why.
    """

    channels: tuple[str, ...]
    shares: Floats
    wanted: strategies.Wanted
    prospect: Prospect
    rate: Floats
    value: Worth
    money: Economics
    gate: Gates
    ruled: Ruled
    filtered: Mapping[str, Why]
    closed: Mapping[str, Why]

    def fallbacks(self, chosen: int) -> tuple[str, ...]:
        """Return where the payment may go after a no, in order: what the rule or strategy ranks first, then by value."""
        places = ranking.order(self.value, self.gate, chosen, self.wanted.shares)
        return tuple(self.channels[place] for place in places)


def reckon(
    spec: RoutingSpec, rules: Rules, payment: Payment, known: Known, terms: Terms, tuning: BoardTuning
) -> Reckoned | None:
    """Return the probabilities for a payment; None where rules and caps leave no channel."""
    channels = known.channels
    ruled = apply(rules, payment, channels)
    over = capped(spec, payment, ruled.allowed, terms.used, terms.convert)
    filtered = {name: _ruled_out(ruled, name) for name in ruled.filtered} | over
    allowed = np.array([[name not in filtered for name in channels]])
    if not allowed.any():
        return None
    prospect, closed = _in_traffic(spec, known, tuning, filtered)
    money = economics(spec, payment, channels, terms.used, terms.convert, terms.month_left_share)
    value = ranking.worth(prospect, money.gain, money.loss)
    gate = ranking.gates(prospect, allowed)
    choice = strategies.Choice(channels, money.cost, value, gate)
    wanted = strategies.by_rule(choice, ruled.preferred, ruled.split) or strategies.by_strategy(spec, choice)
    learns = wanted.code == "learned" and spec.strategy is Strategy.LEARNED
    shares = ranking.shared(wanted.shares, prospect, gate, spec.explore_floor if learns else 0.0)
    return Reckoned(
        channels, shares, wanted, prospect, known.rate, value, money, gate, ruled, filtered, closed
    )


def _in_traffic(
    spec: RoutingSpec, known: Known, tuning: BoardTuning, filtered: Collection[str]
) -> tuple[Prospect, dict[str, Why]]:
    """Return what is believed, with channels taken out that are silent or whose upstream is down, and why each is out."""
    breakers = tuning.breakers
    state = known.prospect.state[0].tolist()
    rate, overdue = known.rate[0].tolist(), known.overdue[0].tolist()
    if not (any(state) or any(overdue)):
        return known.prospect, {}
    together = _together(spec, known.channels, state)
    closed: dict[str, Why] = {}
    for place, name in enumerate(known.channels):
        if name in filtered:
            continue
        technical = round(rate[place], 4)
        # Calls without an answer count as failures that have not been told of yet.
        suspected = 1.0 - (1.0 - technical) * (1.0 - breakers.step) ** overdue[place]
        if state[place] == OPEN:
            closed[name] = Why("breaker_open", {"technical_rate": technical})
        elif state[place] == CLOSED and overdue[place] and suspected > breakers.threshold:
            closed[name] = Why("silent", {"overdue": int(overdue[place])})
        elif name in together and technical > breakers.threshold_together:
            closed[name] = Why("together", {"upstream": together[name], "technical_rate": technical})
        if name in closed:
            state[place] = OPEN
    return known.prospect._replace(state=np.array([state])), closed


def _together(spec: RoutingSpec, channels: Sequence[str], state: Sequence[int]) -> dict[str, str]:
    """Return the channels one of whose siblings on an upstream is out, with the upstream's name."""
    if not spec.upstreams:
        return {}
    out = {name for name, each in zip(channels, state, strict=True) if each != CLOSED}
    return {
        name: upstream
        for upstream, group in spec.upstreams.items()
        for name in group
        if (out & set(group)) - {name}
    }


def _ruled_out(ruled: Ruled, name: str) -> Why:
    rule = ruled.filtered[name]
    code = next(
        (why.code for why in ruled.reasons if why.facts.get("rule") == rule and why.code in _FILTERS),
        _FILTERS[0],
    )
    return Why(code, {"rule": rule})


_FILTERS = ("rule_only", "rule_avoid")
