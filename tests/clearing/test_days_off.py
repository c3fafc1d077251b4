"""Days on which nothing is paid, by name, for calendars that people look at."""

from datetime import date

import pytest

from tongbao.clearing.service.working_days import DAYS_OFF_SPAN_MAX, days_off
from tongbao.core.errors import InvalidRequest


def test_holidays_have_names_and_weekends_none() -> None:
    found = days_off(("CN",), date(2026, 10, 1), date(2026, 11, 1))
    assert "国庆节" in found[date(2026, 10, 1)]
    assert found[date(2026, 10, 24)] == ""
    assert date(2026, 10, 26) not in found


def test_swapped_workdays_are_no_days_off() -> None:
    assert date(2026, 10, 10) not in days_off(("CN",), date(2026, 10, 1), date(2026, 11, 1))


def test_one_closed_calendar_of_several_is_enough() -> None:
    both = days_off(("CN", "TARGET"), date(2026, 12, 25), date(2026, 12, 26))
    assert both[date(2026, 12, 25)]
    assert not days_off(("CN",), date(2026, 12, 25), date(2026, 12, 26))


def test_without_calendars_every_day_is_worked() -> None:
    assert not days_off((), date(2026, 10, 1), date(2026, 11, 1))


def test_span_is_half_open_and_bounded() -> None:
    assert not days_off(("CN",), date(2026, 10, 1), date(2026, 10, 1))
    assert max(days_off(("CN",), date(2026, 1, 1), date(2030, 1, 1))) < date(2026, 1, 1).replace(
        year=2026 + DAYS_OFF_SPAN_MAX // 365 + 1
    )


def test_unknown_calendar_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no calendar"):
        days_off(("MOON",), date(2026, 1, 1), date(2026, 1, 2))
