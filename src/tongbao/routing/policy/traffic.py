"""Traffic: who may be chosen for one payment, and what share each gets, in plain numbers.

The same rules as ``policy.ranking`` has for many payments in arrays (a test holds the two against each other): arrays of
eight numbers cost ten times what eight numbers cost, and a payment waits for its decision.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from tongbao.routing.models.breakers import CLOSED, HALF_OPEN
from tongbao.routing.policy.ranking import BOLDNESS, PROBE_SHARE_MIN, PROBES_SHARE_MAX


class Known(NamedTuple):
    """What is known of channels, in their order.

    ``chance``, ``chance_sd``: of an approval. ``state``: of the breaker; ``probe_share`` and ``waiting_s`` of half-open
    ones. ``rate``: moving rate of technical ends. ``overdue``: calls that should have been answered. ``offset``: log-odds that
    the context added to the chance; None: none.
    """

    channels: tuple[str, ...]
    chance: Sequence[float]
    chance_sd: Sequence[float]
    state: Sequence[int]
    probe_share: Sequence[float]
    waiting_s: Sequence[float]
    rate: Sequence[float]
    overdue: Sequence[int]
    offset: Sequence[float] | None = None


class Gates(NamedTuple):
    """Places that may be chosen: in traffic, by probes only, and the one that had to be let through (None: none)."""

    traffic: tuple[int, ...]
    probes: tuple[int, ...]
    forced: int | None = None


def gates(known: Known, filtered: Collection[str]) -> Gates:
    """Return who may be chosen; at least one channel is not filtered.

    Where every breaker is open, the one that has waited longest counts as half-open: a breaker never fails a payment.
    """
    allowed = [place for place, name in enumerate(known.channels) if name not in filtered]
    traffic = tuple([place for place in allowed if known.state[place] == CLOSED])
    if len(traffic) == len(allowed):
        return Gates(traffic, ())
    probes = tuple([place for place in allowed if known.state[place] == HALF_OPEN])
    if traffic or probes:
        return Gates(traffic, probes)
    forced = max(allowed, key=lambda place: known.waiting_s[place])
    return Gates((), (forced,), forced)


def shared(wanted: Sequence[float], known: Known, gate: Gates, floor: float) -> list[float]:
    """Return the probabilities of all channels from what is wanted of those in traffic; they sum to one.

    Every channel in traffic gets ``floor``; probes take their share off the top; where no channel is in traffic, they share
    everything.
    """
    left = 1.0 - floor * len(gate.traffic)
    shares = [0.0] * len(wanted)
    for place in gate.traffic:
        shares[place] = wanted[place] * left + floor
    if not gate.probes:
        return shares
    asked = [max(known.probe_share[place], PROBE_SHARE_MIN) for place in gate.probes]
    total = sum(asked)
    probing = min(total, PROBES_SHARE_MAX) if gate.traffic else 1.0
    shares = [share * (1.0 - probing) for share in shares]
    for place, each in zip(gate.probes, asked, strict=True):
        shares[place] = each / total * probing
    return shares


def order(
    value: Sequence[float], value_sd: Sequence[float], gate: Gates, wanted: Sequence[float], chosen: int
) -> list[int]:
    """Return where a payment goes on after a no: the other places, the best first.

    Channels in traffic first, among them what was wanted in whole (a rule, a priority), then boldly; the half-open last.
    """

    def rank(place: int) -> tuple[bool, float]:
        return wanted[place] < 1.0, -(value[place] + BOLDNESS * value_sd[place])

    traffic = sorted((place for place in gate.traffic if place != chosen), key=rank)
    probes = sorted((place for place in gate.probes if place not in (chosen, gate.forced)), key=rank)
    return [*traffic, *probes]
