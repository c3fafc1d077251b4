"""Calendars: which days are working days, for whom, and how sure that is."""

from datetime import date

import msgspec

CALENDAR_DAYS_MAX = 5_000
SETTLEMENT_DAYS_MAX = 60


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """Working days of one place. ``weekend``: ISO weekdays (1 Monday to 7 Sunday) that are free.

    ``holidays`` are free whatever the weekday; ``workdays`` are worked although the weekday is free (the swapped days of
    China). ``published_years``: years whose days were announced; a day of another year is ``provisional``: only what a
    rule or last year's habit says. ``source`` names who announced them.
    """

    code: str
    weekend: frozenset[int] = frozenset({6, 7})
    holidays: dict[date, str] = {}
    workdays: frozenset[date] = frozenset()
    published_years: frozenset[int] = frozenset()
    source: str = ""


class WorkingDay(msgspec.Struct, frozen=True):
    """A day that was found, and whether a day on the way to it is only provisional."""

    on: date
    is_provisional: bool
