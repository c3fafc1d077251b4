"""Volumes of the running day and month by channel, kept in the process for caps, tiers and commitments.

Known volumes are sums of the tallies' approved attempts (UTC days and months, all books), read every ``REFRESH_S`` seconds.
What is older than ``SETTLED_S`` is summed once every ``SETTLED_READ_S`` seconds and at midnight, so a refresh reads minutes,
not a month; a correction of something older shows that much later.

To the known is added what this process has sent itself: from before it is sent until it is declined, or until an approval
has had ``LAG_S`` seconds to reach the tallies and a read has begun since. So in one process a cap is not overrun, as long as
``sent`` is called in the same step as the choice (no await between); near a cap the same payment may count twice for a
few seconds, which errs to the safe side.

How far a cap can be overrun with several processes: each knows what the others sent only from the tallies. With ``n``
processes it is at most what the other ``n - 1`` send over the channel in ``REFRESH_S`` seconds plus the time from sending
to the tally (the channel's answer and the projection's lag), and one payment each where the cap is of single payments.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.clock import EPOCH, Clock
from tongbao.core.db import Connection, Database
from tongbao.routing.schema.payments import Payment
from tongbao.routing.schema.volumes import Used
from tongbao.routing.store import volumes as store
from tongbao.routing.store.volumes import Volume

REFRESH_S = 3.0
LAG_S = 10.0
SETTLED_S = 900.0
SETTLED_READ_S = 600.0
SENT_S_MAX = 600.0
"""Whatever has no end by then is unresolved: if it is approved one day the tallies say so."""
SENT_MAX = 100_000
"""Attempts of this process that are remembered; beyond it the oldest are forgotten, the nearest to being tallied."""
VOLUMES_MAX = 20_000

_FOREVER = EPOCH.replace(year=9999)
_NOTHING = Used()
_Key = tuple[bool, str]


class _Sent(msgspec.Struct):
    """An attempt of this process; ``approved_at`` once it ended well."""

    key: _Key
    currency: str
    amount_minor: int
    sent_at: datetime
    approved_at: datetime | None = None


class _Settled(NamedTuple):
    """Sums of what is old, and until when; good for one day."""

    volumes: list[Volume]
    day_at: datetime
    cut_at: datetime
    read_at: datetime


class Volumes:
    """The volumes as one process knows them. Call ``refresh`` before the first choice and then every ``REFRESH_S`` s."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._reading = asyncio.Lock()
        self._settled: _Settled | None = None
        self._known: dict[_Key, Used] = {}
        self._sent: dict[UUID, _Sent] = {}
        self._open: dict[_Key, dict[str, int]] = {}
        self._open_count: dict[_Key, int] = {}
        self._day_at = self._day_ends_at = self._month_at = EPOCH
        self.read_at: datetime | None = None
        """When the tallies were last read; None before the first time."""

    def used(self, live: bool, channel: str) -> Used:
        """Return what went over a channel in the day and the month of now, with what this process has under way."""
        key = (live, channel)
        known = self._known.get(key, _NOTHING)
        now = self._clock.now()
        if not self._day_at <= now < self._day_ends_at:  # midnight has passed since the last read
            is_same_month = _beginnings(now)[1] == self._month_at
            known = Used(month_minor=known.month_minor if is_same_month else {})
        under_way = self._open.get(key)
        if not under_way:
            return known
        return Used(
            day_minor=_added(known.day_minor, under_way),
            month_minor=_added(known.month_minor, under_way),
            day_count=known.day_count + self._open_count[key],
        )

    def sent(self, attempt_id: UUID, channel: str, payment: Payment) -> None:
        """Count an attempt that is about to be sent; a repeat of the same id counts once."""
        if attempt_id in self._sent:
            return
        if len(self._sent) >= SENT_MAX:
            self._forget([next(iter(self._sent))])
        key = (payment.live, channel)
        self._sent[attempt_id] = _Sent(key, payment.currency, payment.amount_minor, self._clock.now())
        amounts = self._open.setdefault(key, {})
        amounts[payment.currency] = amounts.get(payment.currency, 0) + payment.amount_minor
        self._open_count[key] = self._open_count.get(key, 0) + 1

    def ended(self, attempt_id: UUID, is_approved: bool) -> None:
        """Take note of an end: what was not approved counts no longer, the rest until the tallies have it.

        Attempts of other processes, and those that were forgotten, are passed over. Not for what is unresolved.
        """
        sent = self._sent.get(attempt_id)
        if sent is None:
            return
        if is_approved:
            sent.approved_at = self._clock.now()
        else:
            self._forget([attempt_id])

    async def refresh(self) -> None:
        """Read the tallies anew; one snapshot, one reader at a time.

        Raises Unavailable or OutcomeUnknown where the database is away: what was known before is kept.
        """
        async with self._reading:
            now = self._clock.now()
            day_at, month_at = _beginnings(now)
            async with self._database.transaction(read_only=True, snapshot=True) as connection:
                settled = await self._read_settled(connection, now)
                recent = await store.sums(connection, settled.cut_at, _FOREVER, day_at, VOLUMES_MAX)
            self._settled = settled
            self._known = _by_channel([*settled.volumes, *recent])
            self._day_at, self._day_ends_at = day_at, day_at + timedelta(days=1)
            self._month_at, self.read_at = month_at, now
            self._forget([key for key, each in self._sent.items() if _is_tallied(each, now)])

    async def _read_settled(self, connection: Connection, now: datetime) -> _Settled:
        """Return the sums of what is old: those at hand while they are of this day and young enough."""
        day_at, month_at = _beginnings(now)
        at_hand = self._settled
        if (
            at_hand is not None
            and at_hand.day_at == day_at
            and timedelta(0) <= now - at_hand.read_at < timedelta(seconds=SETTLED_READ_S)
        ):
            return at_hand
        cut_at = (now - timedelta(seconds=SETTLED_S)).replace(second=0, microsecond=0)
        cut_at = max(cut_at, month_at)
        volumes = await store.sums(connection, month_at, cut_at, day_at, VOLUMES_MAX)
        return _Settled(volumes, day_at, cut_at, now)

    def _forget(self, attempt_ids: Iterable[UUID]) -> None:
        for attempt_id in attempt_ids:
            sent = self._sent.pop(attempt_id)
            self._open_count[sent.key] -= 1
            if self._open_count[sent.key]:
                self._open[sent.key][sent.currency] -= sent.amount_minor
            else:
                del self._open[sent.key], self._open_count[sent.key]


def month_left_share(now: datetime) -> float:
    """Return how much of the month of ``now`` (UTC) is left: 1 at its first instant, above 0 at its last."""
    _, month_at = _beginnings(now)
    next_at = (month_at + timedelta(days=32)).replace(day=1)
    return (next_at - now) / (next_at - month_at)


def _beginnings(now: datetime) -> tuple[datetime, datetime]:
    """Return where the day and the month of ``now`` began."""
    day_at = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return day_at, day_at.replace(day=1)


def _is_tallied(sent: _Sent, now: datetime) -> bool:
    if now - sent.sent_at >= timedelta(seconds=SENT_S_MAX):
        return True
    return sent.approved_at is not None and now - sent.approved_at >= timedelta(seconds=LAG_S)


def _by_channel(volumes: Iterable[Volume]) -> dict[_Key, Used]:
    """Add up volumes of one channel and currency, and put the currencies of a channel together."""
    day: dict[_Key, dict[str, int]] = {}
    month: dict[_Key, dict[str, int]] = {}
    counts: dict[_Key, int] = {}
    for each in volumes:
        key = (each.live, each.channel)
        for sums, minor in ((day, each.day_minor), (month, each.month_minor)):
            of_channel = sums.setdefault(key, {})
            of_channel[each.currency] = of_channel.get(each.currency, 0) + minor
        counts[key] = counts.get(key, 0) + each.day_count
    return {key: Used(day_minor=day[key], month_minor=month[key], day_count=counts[key]) for key in month}


def _added(known: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    total = dict(known)
    for currency, minor in more.items():
        total[currency] = total.get(currency, 0) + minor
    return total
