"""Cycles: to which cut a movement belongs, and on which date what was cut is paid.

Cuts are local times of day in the agreement's zone. A cut holds what happened before it, from the cut before it on: a
movement at the very instant of a cut belongs to the next one. The day that a cut closes is that of the last instant
before it, so a cut at midnight closes the day that ends there; D and T count from that day. Cycles T cut only where
the closed day is a working day, and pay on working days. Nothing is paid before the day on which it is cut.

A local time that does not exist, since clocks go forward over it, is as much later as the clocks go forward; of one that
exists twice the first counts (RFC 5545, 3.3.5).
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tongbao.clearing.policy.calendars import (
    CALENDARS,
    Known,
    add_working_days,
    of_codes,
    provisional,
    working_day,
)
from tongbao.clearing.schema.agreements import Agreement, Cut, Cycle
from tongbao.clearing.schema.calendars import SETTLEMENT_DAYS_MAX, Calendar
from tongbao.core.errors import InvalidRequest, InvariantBroken

ZONES_CACHED_MAX = 64
DAYS_CACHED_MAX = 1_024
SEARCH_DAYS_MAX = 60
"""For so many days the next cut is looked for; the longest holidays of the world are a fifth of it."""
_TICK = timedelta(microseconds=1)
_DAY = timedelta(days=1)


@lru_cache(maxsize=ZONES_CACHED_MAX)
def zone_of(name: str) -> ZoneInfo:
    """Return the IANA zone of this name; raise InvalidRequest ``zone_unknown``."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequest(
            "zone_unknown", "a time zone is a name of the IANA database such as Asia/Shanghai"
        ) from None


def local_date(agreement: Agreement, at: datetime) -> date:
    """Return the business date of an instant in the agreement's zone."""
    return at.astimezone(zone_of(agreement.zone)).date()


def cut_of(agreement: Agreement, occurred_at: datetime, known: Known = CALENDARS) -> Cut:
    """Return where a movement of ``occurred_at`` belongs by the calendars known. Never goes back for a later instant.

    Raises InvariantBroken ``cycle_without_cuts`` where no day is cut for ``SEARCH_DAYS_MAX`` days.
    """
    if agreement.cycle is Cycle.REAL_TIME:
        # The cut of what comes alone lies right behind it.
        return Cut(occurred_at.astimezone(UTC) + _TICK, local_date(agreement, occurred_at))
    calendars = _calendars(agreement, known)
    zone = zone_of(agreement.zone)
    is_provisional = False
    for cut_at, closed_on in _cuts_after(agreement, zone, occurred_at):
        is_provisional = is_provisional or provisional(calendars, closed_on)
        if working_day(calendars, closed_on):
            return _paid(agreement, calendars, zone, Cut(cut_at, closed_on, is_provisional))
    raise InvariantBroken("cycle_without_cuts", f"no cut within {SEARCH_DAYS_MAX} days of {occurred_at}")


def paid_on(agreement: Agreement, cut_at: datetime, known: Known = CALENDARS) -> Cut:
    """Return a cut that was made with the date on which it is paid by the calendars known now."""
    zone = zone_of(agreement.zone)
    closed_on = (cut_at - _TICK).astimezone(zone).date()
    if agreement.cycle is Cycle.REAL_TIME:
        return Cut(cut_at, closed_on)
    calendars = _calendars(agreement, known)
    return _paid(agreement, calendars, zone, Cut(cut_at, closed_on, provisional(calendars, closed_on)))


def cut_again(agreement: Agreement, cut_at: datetime, known: Known = CALENDARS) -> Cut:
    """Return the cut that what belonged to a cut belongs to by the calendars known now: the same, or a later one."""
    return cut_of(agreement, cut_at - _TICK, known)


def last_cut(agreement: Agreement, now: datetime, known: Known = CALENDARS) -> Cut | None:
    """Return the newest cut at or before ``now``; None where none lies within ``SEARCH_DAYS_MAX`` days."""
    if agreement.cycle is Cycle.REAL_TIME:
        return Cut(now.astimezone(UTC), local_date(agreement, now))
    # Whatever happened right before a cut belongs to it, so the cut of an earlier instant leads there.
    for back in (_DAY, 5 * _DAY, 15 * _DAY, SEARCH_DAYS_MAX * _DAY):
        cut = cut_of(agreement, now - back, known)
        found = None
        while cut.cut_at <= now:
            found = cut
            cut = cut_of(agreement, cut.cut_at, known)
        if found is not None:
            return found
    return None


def settlement_calendar(
    agreement: Agreement, now: datetime, count: int, known: Known = CALENDARS
) -> tuple[Cut, ...]:
    """Return the next ``count`` cuts with the dates on which they are paid, the running one first.

    For real time only the running day, which pays as sales come. Raises InvalidRequest ``settlement_days_invalid`` unless
    1 ≤ ``count`` ≤ ``SETTLEMENT_DAYS_MAX``.
    """
    if not 1 <= count <= SETTLEMENT_DAYS_MAX:
        raise InvalidRequest("settlement_days_invalid", f"ask for 1 to {SETTLEMENT_DAYS_MAX} payouts")
    found = [cut_of(agreement, now, known)]
    while len(found) < count and agreement.cycle is not Cycle.REAL_TIME:
        found.append(cut_of(agreement, found[-1].cut_at, known))
    return tuple(found)


def _calendars(agreement: Agreement, known: Known) -> tuple[Calendar, ...]:
    """Return the calendars that an agreement counts by: only cycles T count working days."""
    return of_codes(agreement.calendars, known) if agreement.cycle is Cycle.T else ()


def _cuts_after(agreement: Agreement, zone: ZoneInfo, after: datetime) -> Iterator[tuple[datetime, date]]:
    """Yield cuts later than ``after``, ascending, each with the day that it closes."""
    # The day before as well: a cut that does not exist may be moved over midnight.
    on = after.astimezone(zone).date() - _DAY
    for _ in range(SEARCH_DAYS_MAX):
        for cut_at, closed_on in _cuts_on(agreement.cuts, zone, on):
            if cut_at > after:
                yield cut_at, closed_on
        on += _DAY


@lru_cache(maxsize=DAYS_CACHED_MAX)
def _cuts_on(cuts: tuple[time, ...], zone: ZoneInfo, on: date) -> tuple[tuple[datetime, date], ...]:
    instants = {datetime.combine(on, cut, zone).astimezone(UTC) for cut in cuts}
    return tuple((at, (at - _TICK).astimezone(zone).date()) for at in sorted(instants))


def _paid(agreement: Agreement, calendars: tuple[Calendar, ...], zone: ZoneInfo, closed: Cut) -> Cut:
    """Return the cut with the date on which it is paid, from the date that it closes."""
    earliest = closed.cut_at.astimezone(zone).date()
    if agreement.cycle is Cycle.D:
        return Cut(closed.cut_at, max(closed.payout_on + agreement.days * _DAY, earliest))
    paid = add_working_days(calendars, closed.payout_on, agreement.days)
    if paid.on < earliest:
        paid = add_working_days(calendars, earliest, 0)
    return Cut(closed.cut_at, paid.on, closed.is_provisional or paid.is_provisional)
