"""Calendars that follow from rules: TARGET of the Eurosystem, and the Federal Reserve Banks of the United States.

Sources: European Central Bank, long-term calendar for TARGET closing days (14 December 2000): besides Saturdays and
Sundays New Year's Day, Good Friday, Easter Monday, 1 May, 25 and 26 December, until further notice. Federal Reserve
Board, Holidays Observed (K.8), after 5 U.S.C. 6103: a holiday on a Sunday is observed on the Monday after; one on a
Saturday is not observed, banks are open on the Friday before. Easter by the computus of Meeus, Jones and Butcher.
"""

from collections.abc import Iterator
from datetime import date, timedelta

from tongbao.clearing.schema.calendars import Calendar

TARGET = "TARGET"
US = "US"
YEARS = range(2022, 2061)
"""Since Juneteenth is observed. What is further ahead than the last one is provisional: rules change."""
_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6


def target() -> Calendar:
    """Return the calendar ``TARGET``: days on which euros are settled between banks."""
    return Calendar(
        code=TARGET,
        holidays=dict(day for year in YEARS for day in _target(year)),
        published_years=frozenset(YEARS),
        source="European Central Bank: long-term calendar for TARGET closing days",
    )


def federal_reserve() -> Calendar:
    """Return the calendar ``US``: days on which Federal Reserve Banks are open."""
    return Calendar(
        code=US,
        holidays=dict(day for year in YEARS for day in _federal(year)),
        published_years=frozenset(YEARS),
        source="Board of Governors of the Federal Reserve System: Holidays Observed (K.8)",
    )


def easter(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar (Meeus, Jones and Butcher), for any year from 1583 on."""
    golden = year % 19
    century, of_century = divmod(year, 100)
    leaps, left = divmod(century, 4)
    moon = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leaps - moon + 15) % 30
    quads, rest = divmod(of_century, 4)
    to_sunday = (32 + 2 * left + 2 * quads - epact - rest) % 7
    shift = (golden + 11 * epact + 22 * to_sunday) // 451
    month, day = divmod(epact + to_sunday - 7 * shift + 114, 31)
    return date(year, month, day + 1)


def _target(year: int) -> Iterator[tuple[date, str]]:
    sunday = easter(year)
    yield date(year, 1, 1), "New Year's Day"
    yield sunday - timedelta(days=2), "Good Friday"
    yield sunday + timedelta(days=1), "Easter Monday"
    yield date(year, 5, 1), "Labor Day"
    yield date(year, 12, 25), "Christmas Day"
    yield date(year, 12, 26), "26 December"


def _federal(year: int) -> Iterator[tuple[date, str]]:
    fixed = (
        (date(year, 1, 1), "New Year's Day"),
        (date(year, 6, 19), "Juneteenth National Independence Day"),
        (date(year, 7, 4), "Independence Day"),
        (date(year, 11, 11), "Veterans Day"),
        (date(year, 12, 25), "Christmas Day"),
    )
    for on, name in fixed:
        if on.weekday() == _SUNDAY:
            yield on + timedelta(days=1), name
        elif on.weekday() != _SATURDAY:
            yield on, name
    yield _nth(year, 1, _MONDAY, 3), "Birthday of Martin Luther King, Jr."
    yield _nth(year, 2, _MONDAY, 3), "Washington's Birthday"
    yield _nth(year, 6, _MONDAY, 1) - timedelta(days=7), "Memorial Day"
    yield _nth(year, 9, _MONDAY, 1), "Labor Day"
    yield _nth(year, 10, _MONDAY, 2), "Columbus Day"
    yield _nth(year, 11, _THURSDAY, 4), "Thanksgiving Day"


def _nth(year: int, month: int, weekday: int, number: int) -> date:
    """Return the ``number``-th such weekday of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))
