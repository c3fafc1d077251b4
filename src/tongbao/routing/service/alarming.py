"""Alarms: whoever is told that a channel began to approve less, or more, is told once.

One detector (``policy.change_points``) follows the judged attempts of each channel and method, live and test apart.
Notices are stored, and announced as facts, in the transaction that keeps the place of the subscription. The detectors
live in memory and are rebuilt from the tallies at the start: from all minutes before the first attempt that is still to
be handled, so that nothing is counted twice and no change in what follows is swallowed. A change that another process
announced before it passed the subscription on is recognized by its instant.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

from tongbao.core.db import Connection
from tongbao.core.events.facts import Delivered
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.subscriptions import Projection
from tongbao.core.ids import IdFactory
from tongbao.routing.policy.change_points import Change, Detector, amend, observe
from tongbao.routing.schema.health import Period
from tongbao.routing.schema.notices import Announced, Notice, NoticeKind
from tongbao.routing.schema.payments import Attempted, Mark
from tongbao.routing.store import notices, tallies
from tongbao.routing.store.tallies import StreamMinute

SUBSCRIPTION = "routing.alarms"
STREAMS_MAX = 2_000
"""The streams that were quiet the longest are forgotten beyond it."""
HISTORY = timedelta(days=3)
HISTORY_ROWS_MAX = 100_000
HISTORY_OUTCOMES_MAX = 4_000
"""Of each stream, the newest."""
OWN_NOTICES_MAX = 1_000
STALE = timedelta(minutes=5)
"""After so long without a fact another process may have been at work: the history is read again."""


class Stream(NamedTuple):
    """What one detector follows."""

    live: bool
    channel: str
    method: str


class _Tried(NamedTuple):
    """What a batch made of the detectors; in force once later facts show that it was committed."""

    first: int
    last: int
    detectors: dict[Stream, Detector]


class Alarming:
    """The detectors of one process; a fold over facts in their order. Not for several tasks at a time."""

    def __init__(self, ids: IdFactory) -> None:
        self._ids = ids
        self._detectors: OrderedDict[Stream, Detector] = OrderedDict()
        self._tried: _Tried | None = None
        self._recorded_at: datetime | None = None
        self.own: deque[UUID] = deque(maxlen=OWN_NOTICES_MAX)

    def is_stale(self, facts: Sequence[Delivered]) -> bool:
        """Return whether the history has to be read before ``facts`` are observed."""
        return self._recorded_at is None or facts[0].recorded_at - self._recorded_at > STALE

    def rebuild(self, history: Sequence[StreamMinute]) -> None:
        """Start from ``history``, oldest first; what it shows was announced before, or is too old to be."""
        self._detectors.clear()
        self._tried = None
        taken: Counter[Stream] = Counter()
        kept: list[tuple[StreamMinute, int]] = []
        for minute in reversed(history):
            stream = Stream(minute.live, minute.channel, minute.method)
            count = min(minute.judged, HISTORY_OUTCOMES_MAX - taken[stream])
            taken[stream] += count
            kept.append((minute, count))
        for minute, count in reversed(kept):
            detector = self._detector(Stream(minute.live, minute.channel, minute.method))
            for index in range(count):
                # Tallies do not know the order within a minute: approvals are spread evenly.
                good = (
                    index + 1
                ) * minute.approved // minute.judged > index * minute.approved // minute.judged
                observe(detector, good, minute.minute_at)

    def observe(self, facts: Sequence[Delivered]) -> list[Notice]:
        """Take in facts in their order; return what is to be announced.

        A batch that comes again, whole or in part, was rolled back: what it had changed here is dropped first.
        """
        if not facts:
            return []
        self._settle(facts[0].position)
        touched: dict[Stream, Detector] = {}
        made = []
        for each in facts:
            if isinstance(each.fact, Attempted):
                stream, change = self._take(touched, each.fact)
                if change is not None:
                    made.append(self._notice(stream, change, each.fact.occurred_at))
        self._tried = _Tried(facts[0].position, facts[-1].position, touched)
        self._recorded_at = facts[-1].recorded_at
        return made

    def _settle(self, position: int) -> None:
        tried, self._tried = self._tried, None
        if tried is None or tried.first <= position <= tried.last:
            return
        for stream, detector in tried.detectors.items():
            self._detectors[stream] = detector
            self._detectors.move_to_end(stream)
        while len(self._detectors) > STREAMS_MAX:
            self._detectors.popitem(last=False)

    def _take(self, touched: dict[Stream, Detector], fact: Attempted) -> tuple[Stream, Change | None]:
        """Fold one attempt into its stream's detector; a correction only mends what was taken in before."""
        stream = Stream(fact.live, fact.channel, fact.method)
        if stream not in touched:
            known = self._detectors.get(stream)
            touched[stream] = Detector() if known is None else known.copy()
        good, counts = fact.mark is Mark.APPROVED, fact.mark is not Mark.NEUTRAL
        if fact.before is not None:
            more_good = int(good) - int(fact.before is Mark.APPROVED)
            more = int(counts) - int(fact.before is not Mark.NEUTRAL)
            amend(touched[stream], fact.before_at or fact.occurred_at, more_good, more)
            return stream, None
        return stream, observe(touched[stream], good, fact.occurred_at) if counts else None

    def _detector(self, stream: Stream) -> Detector:
        detector = self._detectors.setdefault(stream, Detector())
        self._detectors.move_to_end(stream)
        if len(self._detectors) > STREAMS_MAX:
            self._detectors.popitem(last=False)
        return detector

    def _notice(self, stream: Stream, change: Change, at: datetime) -> Notice:
        self.own.append(self._ids.uuid())
        return Notice(
            id=self.own[-1],
            at=at,
            kind=NoticeKind.ACCEPTANCE_FELL if change.size < 0 else NoticeKind.ACCEPTANCE_ROSE,
            channel=stream.channel,
            live=stream.live,
            method=stream.method,
            facts={
                "since": change.since.isoformat(),
                "before": round(change.before, 5),
                "after": round(change.after, 5),
                "size": round(change.size, 5),
                "size_low": round(change.size_low, 5),
                "size_high": round(change.size_high, 5),
                "attempts": change.count,
            },
        )


def alarm_projection(ids: IdFactory, outbox: Outbox) -> Projection:
    """Return the subscription that announces changes of acceptance, each once. Publishes ``Announced``."""
    return Projection(SUBSCRIPTION, (Attempted,), partial(_write, Alarming(ids), outbox))


async def _write(
    alarming: Alarming, outbox: Outbox, connection: Connection, facts: Sequence[Delivered]
) -> None:
    """Store and publish what the batch announces; joins the transaction."""
    if not facts:
        return
    if alarming.is_stale(facts):
        until = _begin_of(facts)
        history = await tallies.streams(connection, Period(until - HISTORY, until), HISTORY_ROWS_MAX)
        await asyncio.to_thread(alarming.rebuild, history)
    fresh = []
    for notice in alarming.observe(facts):
        since = datetime.fromisoformat(str(notice.facts["since"]))
        if not await notices.was_told_since(connection, notice, since, list(alarming.own)):
            fresh.append(notice)
    await notices.insert(connection, fresh)
    await outbox.publish(connection, [Announced(occurred_at=each.at, notice=each) for each in fresh])


def _begin_of(facts: Sequence[Delivered]) -> datetime:
    """Return the minute of the earliest attempt that is told of for the first time; corrections may be old."""
    told = [each.fact for each in facts if isinstance(each.fact, Attempted)]
    first = [fact.occurred_at for fact in told if fact.before is None]
    at = min(first) if first else min((fact.occurred_at for fact in told), default=facts[0].occurred_at)
    return at.replace(second=0, microsecond=0)
