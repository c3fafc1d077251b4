"""Working days of mainland China: the days that the State Council announces, and what is certain of later years.

Sources: 国务院办公厅关于2025年部分节假日安排的通知 (国办发明电〔2024〕12号, 12 November 2024), and that of 2026
(国办发明电〔2025〕7号, 4 November 2025); for years that are not announced 全国年节及纪念日放假办法 as changed on
10 November 2024 (decree 795): New Year 1 day, Spring Festival 4 from the eve, Qingming 1, Labor Day 2, Dragon Boat 1,
Mid-Autumn 1, National Day 3. Days of the lunar calendar by GB/T 33661. Bridging days and the weekends that are worked
for them are announced each November for the year to come, so later years are provisional.
"""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from tongbao.clearing.schema.calendars import Calendar

CODE = "CN"
NEW_YEAR = "元旦 New Year"
SPRING = "春节 Spring Festival"
QINGMING = "清明节 Qingming"
LABOR = "劳动节 Labor Day"
DRAGON_BOAT = "端午节 Dragon Boat Festival"
MID_AUTUMN = "中秋节 Mid-Autumn Festival"
NATIONAL = "国庆节 National Day"

# First and last day of each holiday as announced.
_ANNOUNCED = (
    (NEW_YEAR, date(2025, 1, 1), date(2025, 1, 1)),
    (SPRING, date(2025, 1, 28), date(2025, 2, 4)),
    (QINGMING, date(2025, 4, 4), date(2025, 4, 6)),
    (LABOR, date(2025, 5, 1), date(2025, 5, 5)),
    (DRAGON_BOAT, date(2025, 5, 31), date(2025, 6, 2)),
    (NATIONAL, date(2025, 10, 1), date(2025, 10, 8)),
    (NEW_YEAR, date(2026, 1, 1), date(2026, 1, 3)),
    (SPRING, date(2026, 2, 15), date(2026, 2, 23)),
    (QINGMING, date(2026, 4, 4), date(2026, 4, 6)),
    (LABOR, date(2026, 5, 1), date(2026, 5, 5)),
    (DRAGON_BOAT, date(2026, 6, 19), date(2026, 6, 21)),
    (MID_AUTUMN, date(2026, 9, 25), date(2026, 9, 27)),
    (NATIONAL, date(2026, 10, 1), date(2026, 10, 7)),
)
_WORKED = (
    date(2025, 1, 26),
    date(2025, 2, 8),
    date(2025, 4, 27),
    date(2025, 9, 28),
    date(2025, 10, 11),
    date(2026, 1, 4),
    date(2026, 2, 14),
    date(2026, 2, 28),
    date(2026, 5, 9),
    date(2026, 9, 20),
    date(2026, 10, 10),
)
# First of the first month, Qingming, fifth of the fifth and fifteenth of the eighth month of the lunar calendar.
_LUNAR = {
    2027: (date(2027, 2, 6), date(2027, 4, 5), date(2027, 6, 9), date(2027, 9, 15)),
    2028: (date(2028, 1, 26), date(2028, 4, 4), date(2028, 5, 28), date(2028, 10, 3)),
    2029: (date(2029, 2, 13), date(2029, 4, 4), date(2029, 6, 16), date(2029, 9, 22)),
    2030: (date(2030, 2, 3), date(2030, 4, 5), date(2030, 6, 5), date(2030, 9, 12)),
    2031: (date(2031, 1, 23), date(2031, 4, 5), date(2031, 6, 24), date(2031, 10, 1)),
}


def china() -> Calendar:
    """Return the calendar ``CN``: 2025 and 2026 as announced, 2027 to 2031 by statute alone, and so provisional."""
    return Calendar(
        code=CODE,
        holidays=dict((*_announced(), *(day for year in _LUNAR for day in _statutory(year)))),
        workdays=frozenset(_WORKED),
        published_years=frozenset({2025, 2026}),
        source="State Council of China: 国办发明电〔2024〕12号, 国办发明电〔2025〕7号; decree 795 for later years",
    )


def _announced() -> Iterator[tuple[date, str]]:
    for name, first, last in _ANNOUNCED:
        yield from _named(name, first, (last - first).days + 1)


def _statutory(year: int) -> Iterator[tuple[date, str]]:
    spring, qingming, dragon_boat, mid_autumn = _LUNAR[year]
    # Where two fall on one day the later line names it.
    yield from _named(NEW_YEAR, date(year, 1, 1), 1)
    yield from _named(SPRING, spring - timedelta(days=1), 4)
    yield from _named(QINGMING, qingming, 1)
    yield from _named(LABOR, date(year, 5, 1), 2)
    yield from _named(DRAGON_BOAT, dragon_boat, 1)
    yield from _named(MID_AUTUMN, mid_autumn, 1)
    yield from _named(NATIONAL, date(year, 10, 1), 3)


def _named(name: str, first: date, count: int) -> Iterable[tuple[date, str]]:
    return ((first + timedelta(days=each), name) for each in range(count))
