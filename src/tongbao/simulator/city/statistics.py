"""What a city came to: its visits beside what became of them, counted. Pure; equal input gives equal figures.

How shares are meant: ``approval_share`` is of the payments that were asked of a channel or are still open (what the house
blocked, held or saw abandoned never came so far). A theft is *stopped* where the house blocked or held it, or its thief gave
up at a step-up; what an issuer declined is neither stopped nor missed. ``false_step_up_share`` and ``false_block_share`` are
of the honest visits: how many had to prove themselves, and how many were turned away (blocked or held).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from tongbao.core.errors import InvalidRequest
from tongbao.simulator.city.schema import Outcome, School, Shop, Statistics, Visit, Visited

STOPPED = frozenset({Outcome.BLOCKED, Outcome.HELD, Outcome.ABANDONED})
ASKED = frozenset({Outcome.APPROVED, Outcome.DECLINED, Outcome.UNRESOLVED})


class Aftermath(msgspec.Struct, frozen=True, kw_only=True):
    """What a city's driver counted beside the visits: money paid out by currency, batches, disputes opened.

    ``breaks``: differences of reconciliation. ``in_transit``: what nobody reported yet, and is in time.
    """

    settled_minor: dict[str, int] = {}
    batches: int = 0
    breaks: int = 0
    in_transit: int = 0
    disputes: int = 0


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a chart: a day (``2026-10-01``), a kind of shops or an hour (``08``), and what was counted in it."""

    key: str
    visits: int = 0
    asked: int = 0
    approved: int = 0
    taken_minor: dict[str, int] = {}
    fraud: int = 0
    stopped: int = 0

    @property
    def approval_share(self) -> float | None:
        """Approved payments, of those asked for; None where there were none."""
        return _share(self.approved, self.asked)


Pair = tuple[Visit, Visited]


def statistics(
    visits: Iterable[Visit], outcomes: Iterable[Visited], aftermath: Aftermath | None = None
) -> Statistics:
    """Return what a city came to; a visit without an outcome has not happened and is not counted.

    Raises InvalidRequest ``city_outcome_unknown`` for an outcome of no visit and ``city_outcome_repeated`` for a second one.
    """
    pairs, later = paired(visits, outcomes), aftermath or Aftermath()
    honest = [each for each in pairs if each[0].school is None]
    thefts = [each for each in pairs if each[0].school is not None]
    ends = Counter(visited.outcome for _, visited in pairs)
    stopped, missed = _count(thefts, STOPPED), _count(thefts, {Outcome.APPROVED})
    return Statistics(
        visits=len(pairs),
        payments=sum(visited.payment is not None for _, visited in pairs),
        approved=ends[Outcome.APPROVED],
        approval_share=_share(ends[Outcome.APPROVED], sum(ends[each] for each in ASKED)),
        taken_minor=_sums((visit.currency, visited.captured_minor) for visit, visited in pairs),
        refunded_minor=_sums((visit.currency, visited.refunded_minor) for visit, visited in pairs),
        disputes=later.disputes,
        fraud_visits=len(thefts),
        fraud_share=_share(len(thefts), len(pairs)),
        fraud_stopped_share=_share(stopped, stopped + missed),
        by_school=_by_school(thefts),
        step_ups=sum(visited.was_stepped_up for _, visited in pairs),
        false_step_up_share=_share(sum(visited.was_stepped_up for _, visited in honest), len(honest)),
        false_block_share=_share(_count(honest, {Outcome.BLOCKED, Outcome.HELD}), len(honest)),
        settled_minor=dict(sorted(later.settled_minor.items())),
        batches=later.batches,
        breaks=later.breaks,
        in_transit=later.in_transit,
        unresolved=ends[Outcome.UNRESOLVED],
    )


def paired(visits: Iterable[Visit], outcomes: Iterable[Visited]) -> list[Pair]:
    """Return visits with their outcomes, in the order of the visits; raise as ``statistics`` does."""
    by_number: dict[int, Visited] = {}
    for visited in outcomes:
        if visited.number in by_number:
            raise InvalidRequest("city_outcome_repeated", f"visit {visited.number} has two outcomes")
        by_number[visited.number] = visited
    pairs = [(visit, by_number.pop(visit.number)) for visit in visits if visit.number in by_number]
    if by_number:
        raise InvalidRequest("city_outcome_unknown", f"visit {min(by_number)} is not in the plan")
    return pairs


def day_rows(pairs: Iterable[Pair], zone: ZoneInfo) -> tuple[Row, ...]:
    """Return a row for each local day on which somebody came, in order."""
    return _rows((visit.at.astimezone(zone).date().isoformat(), (visit, visited)) for visit, visited in pairs)


def hour_rows(pairs: Iterable[Pair], zone: ZoneInfo) -> tuple[Row, ...]:
    """Return a row for each local hour in which somebody came, ``00`` to ``23``."""
    return _rows((f"{_hour(visit.at, zone):02d}", (visit, visited)) for visit, visited in pairs)


def kind_rows(pairs: Iterable[Pair], shops: Iterable[Shop]) -> tuple[Row, ...]:
    """Return a row for each kind of shops that somebody came to, by name."""
    kinds: Mapping[int, str] = {shop.number: shop.kind.value for shop in shops}
    return _rows((kinds[visit.shop], (visit, visited)) for visit, visited in pairs)


def _rows(keyed: Iterable[tuple[str, Pair]]) -> tuple[Row, ...]:
    by_key: dict[str, list[Pair]] = {}
    for key, pair in keyed:
        by_key.setdefault(key, []).append(pair)
    return tuple(_row(key, by_key[key]) for key in sorted(by_key))


def _row(key: str, pairs: list[Pair]) -> Row:
    thefts = [each for each in pairs if each[0].school is not None]
    return Row(
        key=key,
        visits=len(pairs),
        asked=_count(pairs, ASKED),
        approved=_count(pairs, {Outcome.APPROVED}),
        taken_minor=_sums((visit.currency, visited.captured_minor) for visit, visited in pairs),
        fraud=len(thefts),
        stopped=_count(thefts, STOPPED),
    )


def _by_school(thefts: list[Pair]) -> dict[School, tuple[int, int]]:
    """Return by school how many thefts were tried and how many of them were stopped."""
    found = {}
    for school in School:
        own = [each for each in thefts if each[0].school is school]
        if own:
            found[school] = (len(own), _count(own, STOPPED))
    return found


def _sums(parts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return sums by currency, in order of the codes; a sum of 0 is left out."""
    sums: Counter[str] = Counter()
    for currency, amount_minor in parts:
        sums[currency] += amount_minor
    return {currency: sums[currency] for currency in sorted(sums) if sums[currency]}


def _count(pairs: Iterable[Pair], among: frozenset[Outcome] | set[Outcome]) -> int:
    return sum(visited.outcome in among for _, visited in pairs)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _hour(at: datetime, zone: ZoneInfo) -> int:
    return at.astimezone(zone).hour
