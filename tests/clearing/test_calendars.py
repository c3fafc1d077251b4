"""Calendars against the lists that their authorities publish, and what is counted by them."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.clearing.policy.calendars import (
    CALENDARS,
    add_working_days,
    next_working_day,
    of_codes,
    provisional,
    working_day,
)
from tongbao.clearing.policy.calendars_rules import easter
from tongbao.clearing.schema.calendars import CALENDAR_DAYS_MAX, Calendar, WorkingDay
from tongbao.core.errors import InvalidRequest, InvariantBroken

CHINA, TARGET, US = (of_codes((code,)) for code in ("CN", "TARGET", "US"))
CODES = st.lists(st.sampled_from(sorted(CALENDARS)), max_size=3, unique=True).map(tuple)
DAYS = st.dates(date(2023, 1, 1), date(2032, 12, 31))

# 国办发明电〔2025〕7号: weekdays of 2026 that are free, and days of weekends that are worked.
FREE_2026 = (
    *("01-01", "01-02"),
    *("02-16", "02-17", "02-18", "02-19", "02-20", "02-23"),
    *("04-06", "05-01", "05-04", "05-05", "06-19", "09-25"),
    *("10-01", "10-02", "10-05", "10-06", "10-07"),
)
WORKED_2026 = ("01-04", "02-14", "02-28", "05-09", "09-20", "10-10")
# European Central Bank, "TARGET closing days", besides weekends.
TARGET_2026 = ("01-01", "04-03", "04-06", "05-01", "12-25")
TARGET_2027 = ("01-01", "03-26", "03-29")
# Federal Reserve Board, "Holidays Observed" (K.8): 4 July 2026 is a Saturday, and the Friday before is open.
US_2026 = (*("01-01", "01-19", "02-16", "05-25", "06-19", "09-07", "10-12", "11-11", "11-26", "12-25"),)
# 4 July 2027 is a Sunday, observed on Monday; Juneteenth and Christmas are Saturdays.
US_2027 = ("01-01", "01-18", "02-15", "05-31", "07-05", "09-06", "10-11", "11-11", "11-25")


def of_year(year: int, calendars: tuple[Calendar, ...], *, weekend: bool) -> tuple[str, ...]:
    """Weekdays of a year that are free, or days of weekends that are worked."""
    days = (date(year, 1, 1) + timedelta(days=each) for each in range(366))
    return tuple(
        on.strftime("%m-%d")
        for on in days
        if on.year == year and (on.isoweekday() > 5) is weekend and working_day(calendars, on) is weekend
    )


@pytest.mark.parametrize(
    ("calendars", "year", "free", "worked"),
    [
        (CHINA, 2026, FREE_2026, WORKED_2026),
        (TARGET, 2026, TARGET_2026, ()),
        (TARGET, 2027, TARGET_2027, ()),
        (US, 2026, US_2026, ()),
        (US, 2027, US_2027, ()),
    ],
)
def test_calendar_of_a_year_is_the_published_list(
    calendars: tuple[Calendar, ...], year: int, free: tuple[str, ...], worked: tuple[str, ...]
) -> None:
    assert of_year(year, calendars, weekend=False) == free
    assert of_year(year, calendars, weekend=True) == worked
    assert not provisional(calendars, date(year, 7, 1))


def test_china_of_a_year_that_is_not_announced_is_statutory_and_provisional() -> None:
    # From the eve of 6 February (first of the first month) on; 1 and 2 May and 3 October are weekend days.
    assert of_year(2027, CHINA, weekend=False) == (
        *("01-01", "02-05", "02-08", "04-05", "06-09", "09-15"),
        "10-01",
    )
    assert provisional(CHINA, date(2027, 3, 1))
    assert next_working_day(CHINA, date(2027, 2, 5)) == WorkingDay(date(2027, 2, 9), True)


@pytest.mark.parametrize(
    ("year", "sunday"),
    [
        (1961, date(1961, 4, 2)),
        (2000, date(2000, 4, 23)),
        (2008, date(2008, 3, 23)),
        (2024, date(2024, 3, 31)),
        (2026, date(2026, 4, 5)),
        (2038, date(2038, 4, 25)),
    ],
)
def test_easter_of_known_years(year: int, sunday: date) -> None:
    assert easter(year) == sunday


@pytest.mark.parametrize(
    ("calendars", "on", "count", "expected"),
    [
        (CHINA, date(2026, 2, 13), 1, date(2026, 2, 14)),  # the Saturday before the festival is worked
        (CHINA, date(2026, 2, 14), 1, date(2026, 2, 24)),
        (CHINA, date(2026, 9, 30), 1, date(2026, 10, 8)),
        (CHINA, date(2026, 10, 9), 1, date(2026, 10, 10)),
        (TARGET, date(2026, 4, 2), 1, date(2026, 4, 7)),
        (US, date(2026, 7, 2), 2, date(2026, 7, 6)),
        ((*CHINA, *TARGET), date(2026, 9, 30), 2, date(2026, 10, 9)),
        ((*CHINA, *US), date(2026, 10, 9), 1, date(2026, 10, 13)),
        (CHINA, date(2026, 10, 3), 0, date(2026, 10, 8)),
        ((), date(2026, 10, 3), 1, date(2026, 10, 4)),
    ],
)
def test_add_working_days_over_holidays_and_swapped_days(
    calendars: tuple[Calendar, ...], on: date, count: int, expected: date
) -> None:
    assert add_working_days(calendars, on, count) == WorkingDay(expected, False)


def test_add_working_days_into_a_year_not_announced_is_provisional() -> None:
    assert add_working_days(CHINA, date(2026, 12, 31), 1) == WorkingDay(date(2027, 1, 4), True)
    assert add_working_days(CHINA, date(2026, 12, 30), 1) == WorkingDay(date(2026, 12, 31), False)


@given(codes=CODES, on=DAYS, count=st.integers(0, 30))
def test_add_working_days_counts_each_worked_day_once(codes: tuple[str, ...], on: date, count: int) -> None:
    calendars = of_codes(codes)
    found = add_working_days(calendars, on, count).on
    assert working_day(calendars, found)
    between = [on + timedelta(days=each) for each in range(1, (found - on).days + 1)]
    worked = sum(working_day(calendars, day) for day in between)
    is_worked = working_day(calendars, on)
    assert worked == (count if count else 0 if is_worked else 1)


def test_of_codes_of_an_unknown_calendar_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="calendar_unknown"):
        of_codes(("CN", "MARS"))


def test_next_working_day_of_a_calendar_without_any_is_an_alarm() -> None:
    never = (Calendar(code="NEVER", weekend=frozenset(range(1, 8))),)
    with pytest.raises(InvariantBroken, match="calendar_without_days"):
        next_working_day(never, date(2026, 1, 1))


def test_every_calendar_names_its_source_and_stays_small() -> None:
    for calendar in CALENDARS.values():
        assert calendar.source
        assert calendar.published_years
        assert len(calendar.holidays) + len(calendar.workdays) <= CALENDAR_DAYS_MAX
