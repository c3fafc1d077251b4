"""What the chaos drills measure, without input or output: orders by phase, what degraded, when it was well again.

All instants are seconds of the monotonic clock, all durations are told in milliseconds or seconds as their names say. An order
is *fine* where its first asking was answered, with what a shop expects (paid, a code to show, or an issuer's no), and no
slower than ``slow_s``: the larger of ``SLOW_S_MIN`` and ``SLOW_FACTOR`` times the 95th percentile of the steady state before.
An order that waits for its answer when a fault begins belongs to the fault: the steady state is of what was answered by then.
"""

import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import quantiles

import msgspec

SLOW_FACTOR = 3.0
SLOW_S_MIN = 0.75
STEADY_ORDERS = 10
STEADY_SHARE = 0.9
"""A steady state: of so many orders in a row at least this share is fine."""


class Outcome(enum.StrEnum):
    """How the asking for a payment ended for the shop."""

    PAID = "paid"
    DECLINED = "declined"
    WAITING = "waiting"  # the channel has not said: it is inquired
    UNREACHABLE = "unreachable"  # no channel could be asked
    REFUSED = "refused"
    UNANSWERED = "unanswered"


WELL = frozenset({Outcome.PAID, Outcome.DECLINED})


class Seen(msgspec.Struct):
    """One order as the shop saw it; ``outcome`` is None while nobody has answered."""

    begun_s: float
    took_s: float = 0.0
    outcome: Outcome | None = None
    repeats: dict[str, int] = {}

    def end(self, outcome: Outcome, repeats: Mapping[str, int], at_s: float) -> None:
        """Keep how the asking ended, and what it took."""
        self.outcome, self.repeats, self.took_s = outcome, dict(repeats), at_s - self.begun_s

    def answered_by(self, instant_s: float) -> bool:
        """Return whether the asking had ended at an instant."""
        return self.outcome is not None and self.begun_s + self.took_s <= instant_s


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """Orders of one phase.

    ``failed_share``: of those whose first asking was not answered, or not as a shop expects; ``slow_share``: answered
    in the end, but slower than the drill's limit. Milliseconds are of a request with all its repeats.
    """

    orders: int
    failed_share: float
    slow_share: float
    p50_ms: float
    p95_ms: float
    outcomes: dict[str, int]
    repeats: dict[str, int]


class Degraded(msgspec.Struct, frozen=True, kw_only=True):
    """What became worse. ``worse`` of the orders that a fault met were not fine; ``share`` says it in [0, 1]."""

    worse: int
    share: float
    slow_ms: float
    before: Phase
    during: Phase
    after: Phase


def between(seen: Iterable[Seen], from_s: float, until_s: float) -> list[Seen]:
    """Return the orders that were begun within a half-open interval."""
    return [each for each in seen if from_s <= each.begun_s < until_s]


def calm_between(seen: Iterable[Seen], from_s: float, until_s: float) -> list[Seen]:
    """Return the orders that were begun and answered within an interval."""
    return [each for each in between(seen, from_s, until_s) if each.answered_by(until_s)]


def met_by(seen: Iterable[Seen], from_s: float, until_s: float) -> list[Seen]:
    """Return the orders that a fault met: begun while it lasted, or waiting for their answer when it began."""
    return [each for each in seen if each.begun_s < until_s and not each.answered_by(from_s)]


def slow_after_s(before: Sequence[Seen]) -> float:
    """Return from which duration on a request counts as slow, given the steady state before."""
    return max(SLOW_S_MIN, SLOW_FACTOR * _percentile_s(before, 95))


def is_fine(order: Seen, slow_s: float) -> bool:
    """Return whether an order went as ever."""
    return order.outcome in WELL and not order.repeats and order.took_s <= slow_s


def phase_of(orders: Sequence[Seen], slow_s: float) -> Phase:
    """Return the figures of the orders of one phase."""
    failed = sum(each.outcome not in WELL or bool(each.repeats) for each in orders)
    slow = sum(each.outcome is not None and each.took_s > slow_s for each in orders)
    repeats: Counter[str] = Counter()
    for each in orders:
        repeats.update(each.repeats)
    return Phase(
        orders=len(orders),
        failed_share=_share(failed, len(orders)),
        slow_share=_share(slow, len(orders)),
        p50_ms=round(1000 * _percentile_s(orders, 50), 1),
        p95_ms=round(1000 * _percentile_s(orders, 95), 1),
        outcomes=dict(Counter(each.outcome or Outcome.UNANSWERED for each in orders)),
        repeats=dict(repeats),
    )


def degraded(before: Sequence[Seen], during: Sequence[Seen], after: Sequence[Seen]) -> Degraded:
    """Return what became worse from one phase to the next."""
    slow_s = slow_after_s(before)
    worse = sum(not is_fine(each, slow_s) for each in during)
    return Degraded(
        worse=worse,
        share=_share(worse, len(during)),
        slow_ms=round(1000 * slow_s, 1),
        before=phase_of(before, slow_s),
        during=phase_of(during, slow_s),
        after=phase_of(after, slow_s),
    )


def steady_from_s(orders: Sequence[Seen], since_s: float, slow_s: float) -> float | None:
    """Return when the first order began from which on all was steady; None where it has not come to that yet.

    Looks at orders begun at ``since_s`` or later, which are given in the order in which they were begun.
    """
    fine = [(each.begun_s, is_fine(each, slow_s)) for each in orders if each.begun_s >= since_s]
    for start in range(len(fine) - STEADY_ORDERS + 1):
        window = [good for _, good in fine[start : start + STEADY_ORDERS]]
        if window[0] and sum(window) >= STEADY_SHARE * STEADY_ORDERS:
            return fine[start][0]
    return None


def grown(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return by how much counters grew; one that is smaller than before belongs to a process that began anew."""
    differences = {
        name: value - before.get(name, 0.0) if value >= before.get(name, 0.0) else value
        for name, value in after.items()
    }
    return {name: round(each, 3) for name, each in sorted(differences.items()) if each > 0}


def _percentile_s(orders: Sequence[Seen], percent: int) -> float:
    """Return a percentile of what answered orders took, in seconds; 0 where there are none."""
    took = [each.took_s for each in orders if each.outcome is not None]
    if len(took) < 2:
        return took[0] if took else 0.0
    return quantiles(took, n=100, method="inclusive")[percent - 1]


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
