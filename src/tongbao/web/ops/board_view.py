"""What the routing board shows: every channel by method, what it did, what is believed of it, whether it is in traffic.

Rates are counted from the tallies; beliefs and breakers are those of this process. No HTML here.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from tongbao.core.errors import LimitExceeded
from tongbao.routing.schema.health import Counts, Dimension, Estimate, HealthScope, Period, RateRow, Step
from tongbao.routing.schema.notices import Notice, NoticeKind
from tongbao.web.house import House

DAY = timedelta(days=1)
RECENT = timedelta(minutes=15)
COURSE = timedelta(hours=3)
COURSE_STEPS = 12
LONG_COURSE = timedelta(hours=12)
"""Where a house has too many channels for the minutes of three hours, the course is of whole hours."""
NOTICES_SHOWN = 8
NOTICES_READ = 60
ALARM = timedelta(hours=1)
"""So long a fall of acceptance is spoken of in the first sentence, unless it rose again."""
Z90 = 1.6449
FRESH_S_MIN = 1.0
REST = 10
"""The board rests ten times as long as reading it took, so that its viewers cost a tenth of a connection at most."""
CLOSED, HALF_OPEN, OPEN = range(3)
COURSE_FLOORS = (0.9, 0.8, 0.6, 0.4, 0.2, 0.0)
_BY = (Dimension.METHOD, Dimension.CHANNEL)
_Pair = tuple[str, str]


class Span(NamedTuple):
    """A number with its interval, ``low <= value <= high``."""

    value: float
    low: float
    high: float


class ChannelRow(NamedTuple):
    """One channel of one method.

    ``state``: 0 in traffic, 1 tried again, 2 out of traffic, ``since`` when, for ``wait_s`` seconds more. ``believed``:
    acceptance with its interval of 90 %. ``share`` of the method's attempts of the last ``RECENT``. ``course``: approval rates
    of equal steps, None for a step without a judged attempt.
    """

    channel: str
    enabled: bool
    state: int
    since: datetime | None
    wait_s: int
    believed: Span
    counts: Counts
    approval: Estimate | None
    technical: float
    share: float | None
    course: tuple[float | None, ...]


class MethodRows(NamedTuple):
    """The channels of a method, the busiest first; ``floor``: where the scale of their courses begins."""

    method: str
    rows: tuple[ChannelRow, ...]
    floor: float


class Standing(NamedTuple):
    """How routing stands in one sentence: the key of its words, its tone, the channels that it names."""

    key: str
    tone: str
    names: tuple[str, ...] = ()


class BoardView(NamedTuple):
    """The board of one mode at an instant. ``idle``: channels of the house without a payment in the time."""

    live: bool
    at: datetime
    standing: Standing
    methods: tuple[MethodRows, ...]
    idle: tuple[str, ...]
    totals: Counts
    notices: tuple[Notice, ...]


class _Sums(NamedTuple):
    """Approved and judged attempts by step, and all attempts of the recent time, of one channel."""

    approved: list[int]
    judged: list[int]
    recent: list[int]


class Boards:
    """Reads a board once for all who look at the same moment."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._lock = asyncio.Lock()
        self._known: dict[bool, tuple[datetime, BoardView]] = {}

    async def read(self, live: bool) -> BoardView:
        """Return the board of a mode, at most about a second old, older where reading it takes long."""
        clock, loop = self._house.runtime.clock, asyncio.get_running_loop()
        async with self._lock:
            known = self._known.get(live)
            if known is not None and clock.now() < known[0]:
                return known[1]
            began = loop.time()
            view = await self._read(live)
            rest_s = max(FRESH_S_MIN, REST * (loop.time() - began))
            self._known[live] = (clock.now() + timedelta(seconds=rest_s), view)
            return view

    async def busier_mode(self) -> bool:
        """Return whether live payments were made in the last day: they are what people look for first."""
        return bool((await self.read(True)).totals.total)

    async def _read(self, live: bool) -> BoardView:
        health, scope = self._house.routing.health, HealthScope(live=live)
        now = self._house.runtime.clock.now()
        # The running minute counts: the board is of now.
        end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        rates = await health.rates(scope, Period(end - DAY, end), _BY)
        sums = await self._course(scope, end)
        page = await health.notices(live=live, limit=NOTICES_READ)
        methods = self._methods(live, now, rates, sums, page.items)
        shown = {row.channel for group in methods for row in group.rows}
        idle = tuple(each.name for each in self._house.channels.all() if each.name not in shown)
        standing = _standing(methods, page.items, now)
        kept = tuple(page.items[:NOTICES_SHOWN])
        return BoardView(live, now, standing, methods, idle, _total(rates), kept)

    async def _course(self, scope: HealthScope, end: datetime) -> dict[_Pair, _Sums]:
        health = self._house.routing.health
        length, step = COURSE, Step.MINUTE
        try:
            series = await health.series(scope, Period(end - length, end), step, _BY)
        except LimitExceeded:
            length, step = LONG_COURSE, Step.HOUR
            series = await health.series(scope, Period(end - length, end), step, _BY)
        return _sums(series, end, length / COURSE_STEPS, max(RECENT, step.length))

    def _methods(
        self,
        live: bool,
        now: datetime,
        rates: Sequence[RateRow],
        sums: dict[_Pair, _Sums],
        notices: Sequence[Notice],
    ) -> tuple[MethodRows, ...]:
        by_method: dict[str, list[RateRow]] = {}
        for rate in rates:
            by_method.setdefault(rate.segment[Dimension.METHOD], []).append(rate)
        found = []
        for method, of_method in by_method.items():
            channels = tuple(rate.segment[Dimension.CHANNEL] for rate in of_method)
            recent = sum(sum(sums[method, name].recent) for name in channels if (method, name) in sums)
            board = self._house.routing.router.board
            path = board.path(live, method, "", channels)
            sight = board.read(path, np.array([now.timestamp()]))
            rows = []
            for place, rate in enumerate(of_method):
                mean = float(sight.acceptance.mean[0, place])
                spread = Z90 * float(sight.acceptance.sd[0, place])
                state = int(sight.breaker.state[0, place])
                waiting_s = float(sight.breaker.waiting_s[0, place])
                rows.append(
                    ChannelRow(
                        channel=channels[place],
                        enabled=self._is_enabled(channels[place]),
                        state=state,
                        since=_since(notices, method, channels[place]) if state != CLOSED else None,
                        wait_s=round(-waiting_s) if state == OPEN else 0,
                        believed=Span(mean, max(0.0, mean - spread), min(1.0, mean + spread)),
                        counts=rate.counts,
                        approval=rate.approval,
                        technical=(rate.counts.technical + rate.counts.unresolved) / rate.counts.total,
                        share=_share(sums.get((method, channels[place])), recent),
                        course=_rates(sums.get((method, channels[place]))),
                    )
                )
            found.append(MethodRows(method, tuple(rows), _floor(rows)))
        return tuple(sorted(found, key=lambda each: -sum(row.counts.total for row in each.rows)))

    def _is_enabled(self, name: str) -> bool:
        """Return whether a channel takes new payments; one that was taken out of the house does not."""
        channels = self._house.channels
        return any(each.name == name for each in channels.all()) and channels.is_enabled(name)


def _sums(
    series: Sequence[RateRow], end: datetime, width: timedelta, recent: timedelta
) -> dict[_Pair, _Sums]:
    """Return the points of a series in ``COURSE_STEPS`` steps that end with ``end``."""
    found: dict[_Pair, _Sums] = {}
    for row in series:
        if row.at is None:
            continue
        key = (row.segment[Dimension.METHOD], row.segment[Dimension.CHANNEL])
        sums = found.setdefault(key, _Sums([0] * COURSE_STEPS, [0] * COURSE_STEPS, [0]))
        # Hours of a series begin at whole hours, so the first may lie before the first step.
        step = max(COURSE_STEPS - 1 - int((end - timedelta(microseconds=1) - row.at) / width), 0)
        sums.approved[step] += row.counts.approved
        sums.judged[step] += row.counts.judged
        if row.at >= end - recent:
            sums.recent[0] += row.counts.total
    return found


def _share(sums: _Sums | None, recent: int) -> float | None:
    if not recent:
        return None
    return sum(sums.recent) / recent if sums is not None else 0.0


def _rates(sums: _Sums | None) -> tuple[float | None, ...]:
    if sums is None:
        return (None,) * COURSE_STEPS
    return tuple(
        approved / judged if judged else None
        for approved, judged in zip(sums.approved, sums.judged, strict=True)
    )


def _floor(rows: Sequence[ChannelRow]) -> float:
    """Return the highest round beginning of a scale that holds all courses."""
    low = min((rate for row in rows for rate in row.course if rate is not None), default=0.0)
    return next(each for each in COURSE_FLOORS if each <= low)


def _since(notices: Sequence[Notice], method: str, channel: str) -> datetime | None:
    """Return when the channel was last announced to be out of traffic, newest notices first."""
    return next(
        (
            each.at
            for each in notices
            if each.kind is NoticeKind.OPENED and (each.method, each.channel) == (method, channel)
        ),
        None,
    )


def _standing(methods: Sequence[MethodRows], notices: Sequence[Notice], now: datetime) -> Standing:
    """Return the first thing that is to be said, the worst before the milder."""
    rows = [row for group in methods for row in group.rows]
    if not rows:
        return Standing("s_nothing", "quiet")
    out = tuple(dict.fromkeys(row.channel for row in rows if row.state == OPEN))
    if any(all(row.state == OPEN for row in group.rows) for group in methods):
        return Standing("s_all_out", "bad", out)
    if out:
        return Standing("s_out", "bad", out)
    tried = tuple(dict.fromkeys(row.channel for row in rows if row.state == HALF_OPEN))
    if tried:
        return Standing("s_tried", "warn", tried)
    if names := _standing_since(notices, now, (NoticeKind.OPENED, NoticeKind.CLOSED)):
        return Standing("s_issuers", "warn", names)
    if names := _standing_since(notices, now, (NoticeKind.ACCEPTANCE_FELL, NoticeKind.ACCEPTANCE_ROSE)):
        return Standing("s_fell", "warn", names)
    return Standing("s_well", "good")


def _standing_since(
    notices: Sequence[Notice], now: datetime, kinds: tuple[NoticeKind, NoticeKind]
) -> tuple[str, ...]:
    """Return the channels of which the first of two kinds was told lately, and the second not since; newest first."""
    newest: dict[tuple[str, str, str], Notice] = {}
    for each in notices:
        if each.kind in kinds and now - each.at < ALARM:
            newest.setdefault((each.method, each.channel, each.issuer), each)
    return tuple(dict.fromkeys(each.channel for each in newest.values() if each.kind is kinds[0]))


def _total(rates: Sequence[RateRow]) -> Counts:
    return Counts(
        approved=sum(each.counts.approved for each in rates),
        issuer_declined=sum(each.counts.issuer_declined for each in rates),
        technical=sum(each.counts.technical for each in rates),
        unresolved=sum(each.counts.unresolved for each in rates),
        neutral=sum(each.counts.neutral for each in rates),
    )
