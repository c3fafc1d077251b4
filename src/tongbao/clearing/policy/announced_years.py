"""Years of calendars as people read them: how sure their days are, and what another announcement would change. Pure."""

from collections.abc import Mapping
from datetime import date, timedelta

from tongbao.clearing.policy.announcements import BEFORE_DAYS
from tongbao.clearing.policy.calendars import CALENDARS, Known, of_codes, working_day
from tongbao.clearing.schema.announcements import (
    AnnouncedHoliday,
    Announcement,
    CalendarYear,
    DayChange,
    YearState,
)

_DAY = timedelta(days=1)


def year_of(known: Known, code: str, year: int, by: Announcement | None) -> CalendarYear:
    """Return a year of a calendar; ``by`` is the announcement in force for it. Raises InvalidRequest ``calendar_unknown``."""
    (calendar,) = of_codes((code,), known)
    if by is not None:
        return CalendarYear(
            calendar=code,
            year=year,
            state=YearState.ANNOUNCED,
            source=by.order.source,
            holidays=tuple(sorted(by.order.holidays, key=lambda each: each.first)),
            workdays=tuple(sorted(by.order.workdays)),
            by=by,
        )
    is_published = year in calendar.published_years
    return CalendarYear(
        calendar=code,
        year=year,
        state=YearState.STATUTORY if is_published else YearState.PROVISIONAL,
        # That of a calendar with announcements names those of other years, too.
        source=CALENDARS[code].source,
        holidays=_spans({on: name for on, name in calendar.holidays.items() if on.year == year}),
        workdays=tuple(sorted(on for on in calendar.workdays if on.year == year)),
    )


def changes(code: str, year: int, before: Known, after: Known) -> tuple[DayChange, ...]:
    """Return the days that are free by only one of two ways to know a calendar, as ``after`` has them, in order.

    The last days of the year before are looked at, too: a holiday may begin there.
    """
    (old,), (new,) = of_codes((code,), before), of_codes((code,), after)
    first, last = date(year, 1, 1) - BEFORE_DAYS * _DAY, date(year, 12, 31)
    days = [first + number * _DAY for number in range((last - first).days + 1)]
    looked = ((on, not working_day((old,), on), not working_day((new,), on)) for on in days)
    return tuple(
        DayChange(on, is_free, (new if is_free else old).holidays.get(on, ""))
        for on, was_free, is_free in looked
        if was_free != is_free
    )


def _spans(days: Mapping[date, str]) -> tuple[AnnouncedHoliday, ...]:
    """Return days as holidays: those of one name that follow on each other are one."""
    spans: list[AnnouncedHoliday] = []
    for on, name in sorted(days.items()):
        if spans and spans[-1].name == name and spans[-1].last + _DAY == on:
            spans[-1] = AnnouncedHoliday(name, spans[-1].first, on)
        else:
            spans.append(AnnouncedHoliday(name, on, on))
    return tuple(spans)
