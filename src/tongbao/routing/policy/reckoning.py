"""Reckoning: everything that is known of a payment and its channels, put together to one set of written probabilities.

In this order: rules and caps filter; breakers, silence and a sick upstream take out of traffic; the strategy or a rule
shares the traffic that is left; probes and the floor of exploration come last. Pure: the same knowledge gives the same
probabilities, which is what replaying a draft on logged decisions rests on.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from tongbao.decisions.schema.log import Why
from tongbao.routing.models.board import BoardTuning
from tongbao.routing.models.breakers import CLOSED, OPEN
from tongbao.routing.policy import strategies, traffic
from tongbao.routing.policy.economics import Economics, Terms, capped, economics
from tongbao.routing.policy.pricing import Pricing
from tongbao.routing.policy.rules import Ruled, Rules, apply
from tongbao.routing.policy.traffic import Gates, Known
from tongbao.routing.schema.payments import Payment
from tongbao.routing.schema.spec import RoutingSpec, Strategy

_FILTERS = ("rule_only", "rule_avoid")


class Book(NamedTuple):
    """What a policy decides by: its specification, its rules and its prices, ready to be applied."""

    spec: RoutingSpec
    rules: Rules
    pricing: Pricing


class Reckoned(NamedTuple):
    """The probabilities and everything that they came from, by place in the order of ``known.channels``.

    ``value``, ``value_sd``: expected value in minor units. ``filtered``: channels that rules and caps took away.
    ``closed``: those that are out of traffic, and why.
    """

    known: Known
    shares: list[float]
    wanted: strategies.Wanted
    value: list[float]
    value_sd: list[float]
    money: Economics
    gate: Gates
    ruled: Ruled
    filtered: Mapping[str, Why]
    closed: Mapping[str, Why]

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels in their order."""
        return self.known.channels

    def chances(self) -> dict[str, float]:
        """Return the probabilities by channel."""
        return dict(zip(self.channels, self.shares, strict=True))

    def fallbacks(self, chosen: int) -> tuple[str, ...]:
        """Return where the payment may go after a no, in order: what the rule or strategy ranks first, then boldly."""
        places = traffic.order(self.value, self.value_sd, self.gate, self.wanted.shares, chosen)
        return tuple([self.channels[place] for place in places])


def reckon(book: Book, payment: Payment, known: Known, terms: Terms, tuning: BoardTuning) -> Reckoned | None:
    """Return the probabilities for a payment; None where rules and caps leave no channel."""
    spec = book.spec
    ruled = apply(book.rules, payment, known.channels)
    over = capped(spec, payment, ruled.allowed, terms.used, terms.convert)
    filtered = {name: _ruled_out(ruled, name) for name in ruled.filtered} | over
    if len(filtered) == len(known.channels):
        return None
    known, closed = _in_traffic(spec, known, tuning, filtered)
    money = economics(spec, book.pricing, payment, known.channels, terms)
    columns = list(zip(known.chance, known.chance_sd, money.gain, money.loss, strict=True))
    value = [chance * gain - (1.0 - chance) * loss for chance, _, gain, loss in columns]
    value_sd = [sd * (gain + loss) for _, sd, gain, loss in columns]
    gate = traffic.gates(known, filtered)
    choice = strategies.Choice(known.channels, money.cost, value, value_sd, gate.traffic)
    wanted = strategies.by_rule(choice, ruled.preferred, ruled.split) or strategies.by_strategy(spec, choice)
    learns = wanted.code == "learned" and spec.strategy is Strategy.LEARNED
    shares = traffic.shared(wanted.shares, known, gate, spec.explore_floor if learns else 0.0)
    return Reckoned(known, shares, wanted, value, value_sd, money, gate, ruled, filtered, closed)


def _in_traffic(
    spec: RoutingSpec, known: Known, tuning: BoardTuning, filtered: Collection[str]
) -> tuple[Known, dict[str, Why]]:
    """Return what is known, with channels taken out that are silent or whose upstream is down, and why each is out."""
    if not (any(known.state) or any(known.overdue)):
        return known, {}
    breakers = tuning.breakers
    state = list(known.state)
    together = _together(spec, known.channels, state)
    closed: dict[str, Why] = {}
    for place, name in enumerate(known.channels):
        if name in filtered:
            continue
        technical, overdue = round(known.rate[place], 4), known.overdue[place]
        # Calls without an answer count as failures that have not been told of yet.
        suspected = 1.0 - (1.0 - technical) * (1.0 - breakers.step) ** overdue
        if state[place] == OPEN:
            closed[name] = Why("breaker_open", {"technical_rate": technical})
        elif state[place] != CLOSED:
            continue
        elif overdue and suspected > breakers.threshold:
            closed[name] = Why("silent", {"overdue": int(overdue)})
        elif name in together and technical > breakers.threshold_together:
            closed[name] = Why("together", {"upstream": together[name], "technical_rate": technical})
        if name in closed:
            state[place] = OPEN
    return known._replace(state=state), closed


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
