"""Calendars: which days are working days, for one place or for several at once, and how sure that is.

A day is worked where all calendars of a set work. An answer is provisional where a day that was looked at on the way lies
in a year whose days one of them has not announced.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from tongbao.clearing.policy.calendars_china import china
from tongbao.clearing.policy.calendars_rules import federal_reserve, target
from tongbao.clearing.schema.calendars import Calendar, WorkingDay
from tongbao.core.errors import InvalidRequest, InvariantBroken

SEARCH_DAYS_MAX = 400
"""For so many days a working day is looked for; no calendar of the world is closed for longer."""
CALENDARS = {calendar.code: calendar for calendar in (china(), target(), federal_reserve())}
"""What is known without any announcement that people entered."""
CalendarSet = Sequence[Calendar]
Known = Mapping[str, Calendar]
_DAY = timedelta(days=1)


def of_codes(codes: Sequence[str], known: Known = CALENDARS) -> tuple[Calendar, ...]:
    """Return the calendars of these codes; raise InvalidRequest ``calendar_unknown``."""
    unknown = [code for code in codes if code not in known]
    if unknown:
        raise InvalidRequest(
            "calendar_unknown", f"no calendar {unknown[0][:40]}; there are {', '.join(known)}"
        )
    return tuple(known[code] for code in codes)


def working_day(calendars: CalendarSet, on: date) -> bool:
    """Return whether all of ``calendars`` work on a day; every day is worked where there are none."""
    return all(_works(calendar, on) for calendar in calendars)


def provisional(calendars: CalendarSet, on: date) -> bool:
    """Return whether one of ``calendars`` has not announced the days of that year."""
    return any(on.year not in calendar.published_years for calendar in calendars)


def unannounced(calendars: CalendarSet, from_on: date, until_on: date) -> tuple[tuple[str, int], ...]:
    """Return code and year of what is not announced of a half-open span: its days may still change."""
    years = range(from_on.year, (until_on - _DAY).year + 1) if from_on < until_on else range(0)
    return tuple(
        (calendar.code, year)
        for calendar in calendars
        for year in years
        if year not in calendar.published_years
    )


def next_working_day(calendars: CalendarSet, on: date) -> WorkingDay:
    """Return ``on`` itself where it is worked, else the first working day after it."""
    return _counted(calendars, on, 1)


def add_working_days(calendars: CalendarSet, on: date, count: int) -> WorkingDay:
    """Return the ``count``-th working day after ``on``; for 0 ``on`` itself where it is worked, else the next one.

    Raises InvariantBroken ``calendar_without_days`` where calendars have no working day in ``SEARCH_DAYS_MAX`` days.
    """
    if count == 0:
        return next_working_day(calendars, on)
    after = _counted(calendars, on + _DAY, count)
    return WorkingDay(after.on, after.is_provisional or provisional(calendars, on))


def _counted(calendars: CalendarSet, first: date, count: int) -> WorkingDay:
    """Return the ``count``-th working day from ``first`` on."""
    on, left, is_provisional = first, count, False
    for _ in range(SEARCH_DAYS_MAX):
        is_provisional = is_provisional or provisional(calendars, on)
        left -= working_day(calendars, on)
        if not left:
            return WorkingDay(on, is_provisional)
        on += _DAY
    codes = ", ".join(calendar.code for calendar in calendars)
    raise InvariantBroken("calendar_without_days", f"{codes} have too few working days after {first}")


def _works(calendar: Calendar, on: date) -> bool:
    if on in calendar.workdays:
        return True
    return on.isoweekday() not in calendar.weekend and on not in calendar.holidays
