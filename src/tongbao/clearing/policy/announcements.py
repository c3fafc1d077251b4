"""Announcements: which can be right, who may put them in force, and what calendars become by them. Pure.

Whoever entered an announcement never puts it in force. It holds for its whole year: where it says less than the statute
gives, it was not copied whole.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec

from tongbao.clearing.policy.adjustments import check_text
from tongbao.clearing.policy.calendars import CALENDARS, Known, of_codes
from tongbao.clearing.schema.adjustments import Deed
from tongbao.clearing.schema.announcements import (
    ANNOUNCEMENT_MOVES,
    HOLIDAYS_MAX,
    NAME_CHARS_MAX,
    SOURCE_CHARS_MAX,
    WORKDAYS_MAX,
    Announcement,
    AnnouncementOrder,
    AnnouncementState,
)
from tongbao.clearing.schema.calendars import Calendar
from tongbao.core.errors import Conflict, InvalidRequest, NotPermitted

YEARS = range(2020, 2101)
BEFORE_DAYS = 14
"""So early before its year a holiday may begin: the New Year's break of 2024 began on 30 December."""
PLAN_AGAIN = timedelta(minutes=5)
"""After this, dates are counted once more: whoever was writing while an announcement came in force has finished by then."""
_DAY = timedelta(days=1)


def check(order: AnnouncementOrder) -> None:
    """Raise InvalidRequest where an announcement cannot be right.

    In this order: ``calendar_unknown``, ``announcement_year_invalid``, ``source_invalid``, ``name_invalid``,
    ``announcement_days_invalid`` (days of another year, a span that ends before it begins, too many),
    ``announcement_day_twice``, ``announcement_workday_invalid`` (not of a weekend, or free), ``announcement_incomplete``
    (a day that the statute frees in a year not announced before is missing).
    """
    (calendar,) = of_codes((order.calendar,))
    if order.year not in YEARS:
        raise InvalidRequest(
            "announcement_year_invalid", f"a year from {YEARS.start} to {YEARS.stop - 1}", param="year"
        )
    check_text(order.source, "source", SOURCE_CHARS_MAX)
    for each in order.holidays:
        check_text(each.name, "name", NAME_CHARS_MAX)
    _check_days(order)
    free = [on for on, _ in _free(order)]
    if len(set(free)) < len(free) or len(set(order.workdays)) < len(order.workdays):
        raise InvalidRequest("announcement_day_twice", "a day belongs to one holiday, and is worked once")
    wrong = [on for on in order.workdays if on.isoweekday() not in calendar.weekend or on in set(free)]
    if wrong:
        raise InvalidRequest(
            "announcement_workday_invalid",
            f"{wrong[0]} is worked anyway, or free: swaps are days of weekends",
        )
    _check_statute(order, calendar, set(free))


def proposed(order: AnnouncementOrder, announcement_id: UUID, at: datetime, actor: str) -> Announcement:
    """Return a new announcement."""
    return Announcement(
        id=announcement_id,
        order=order,
        state=AnnouncementState.PROPOSED,
        proposed_by=actor,
        history=(Deed(act="proposed", at=at, actor=actor),),
    )


def approved(known: Announcement, at: datetime, actor: str, note: str) -> Announcement:
    """Return an announcement in force. Raises Conflict ``announcement_state``, NotPermitted ``four_eyes`` for who entered it."""
    if known.state is AnnouncementState.PROPOSED and actor == known.proposed_by:
        raise NotPermitted("four_eyes", f"you entered {known.text_id}; somebody else has to put it in force")
    return _decided(known, AnnouncementState.IN_FORCE, Deed(act="in_force", at=at, actor=actor, note=note))


def declined(known: Announcement, at: datetime, actor: str, note: str) -> Announcement:
    """Return an announcement that is refused, or withdrawn by who entered it. Raises Conflict ``announcement_state``."""
    return _decided(known, AnnouncementState.DECLINED, Deed(act="declined", at=at, actor=actor, note=note))


def planned(known: Announcement, at: datetime, actor: str, note: str) -> Announcement:
    """Return an announcement by which dates were counted anew."""
    deed = Deed(act="planned", at=at, actor=actor, note=note)
    return _next(known, deed, planned_at=at)


def wants_planning(known: Announcement, now: datetime) -> bool:
    """Return whether dates are still to be counted by an announcement: at once, and again after ``PLAN_AGAIN``."""
    if known.decided_at is None or known.state is not AnnouncementState.IN_FORCE:
        return False
    if known.planned_at is None:
        return True
    return known.planned_at < known.decided_at + PLAN_AGAIN <= now


@lru_cache(maxsize=64)
def with_announced(orders: tuple[AnnouncementOrder, ...]) -> Known:
    """Return all calendars with what was announced, one announcement a calendar and year."""
    known = dict(CALENDARS)
    for order in sorted(orders, key=lambda each: (each.calendar, each.year)):
        if order.calendar in known:
            known[order.calendar] = _with(known[order.calendar], order)
    return known


def free_days(order: AnnouncementOrder) -> dict[date, str]:
    """Return the days that an announcement frees, with the names of their holidays."""
    return dict(_free(order))


def _with(calendar: Calendar, order: AnnouncementOrder) -> Calendar:
    free = free_days(order)
    holidays = {on: name for on, name in calendar.holidays.items() if on.year != order.year} | free
    worked = {on for on in calendar.workdays if on.year != order.year and on not in free} | {*order.workdays}
    return Calendar(
        code=calendar.code,
        weekend=calendar.weekend,
        holidays={on: name for on, name in holidays.items() if on not in worked},
        workdays=frozenset(worked),
        published_years=calendar.published_years | {order.year},
        source=f"{calendar.source}; {order.year}: {order.source}",
    )


def _check_days(order: AnnouncementOrder) -> None:
    first, last = date(order.year, 1, 1) - BEFORE_DAYS * _DAY, date(order.year, 12, 31)
    spans = [(each.first, each.last) for each in order.holidays] + [(on, on) for on in order.workdays]
    if not all(first <= begin <= end <= last for begin, end in spans):
        raise InvalidRequest(
            "announcement_days_invalid", f"every day lies from {first} to {last}, and begins before it ends"
        )
    count = sum((each.last - each.first).days + 1 for each in order.holidays)
    if not 0 < count <= HOLIDAYS_MAX or len(order.workdays) > WORKDAYS_MAX:
        raise InvalidRequest(
            "announcement_days_invalid",
            f"from 1 to {HOLIDAYS_MAX} free days and at most {WORKDAYS_MAX} worked ones",
        )


def _check_statute(order: AnnouncementOrder, calendar: Calendar, free: set[date]) -> None:
    """Refuse what frees less than the statute does, which no swap of days takes away."""
    if order.year in calendar.published_years:
        return
    owed = [on for on in sorted(calendar.holidays) if on.year == order.year and on not in free]
    if owed:
        raise InvalidRequest(
            "announcement_incomplete", f"{owed[0]} ({calendar.holidays[owed[0]]}) is free by statute"
        )


def _free(order: AnnouncementOrder) -> Iterator[tuple[date, str]]:
    for each in order.holidays:
        for number in range((each.last - each.first).days + 1):
            yield each.first + number * _DAY, each.name


def _decided(known: Announcement, state: AnnouncementState, deed: Deed) -> Announcement:
    if state not in ANNOUNCEMENT_MOVES[known.state]:
        raise Conflict("announcement_state", f"{known.text_id} is {known.state} already", id=known.text_id)
    return _next(known, deed, state=state, decided_at=deed.at)


def _next(known: Announcement, deed: Deed, **changes: Any) -> Announcement:
    return msgspec.structs.replace(
        known, version=known.version + 1, history=(*known.history, deed), **changes
    )
