"""The working days of 2025 to 2027 beside a calendar that others keep; it is a development package."""

from datetime import date, timedelta
from typing import Any

import pytest

from tongbao.clearing.policy.calendars import of_codes, provisional, working_day
from tongbao.clearing.policy.calendars_china import china

holidays: Any = pytest.importorskip("holidays", reason="the package holidays is not installed")
DAY = timedelta(days=1)


def days(year: int) -> list[date]:
    return [date(year, 1, 1) + number * DAY for number in range(365)]


@pytest.mark.parametrize("year", [2025, 2026, 2027])
@pytest.mark.parametrize("code", ["TARGET", "US"])
def test_working_days_by_rule_equal_those_of_others(code: str, year: int) -> None:
    ours = of_codes((code,))
    theirs = (
        holidays.financial_holidays("XECB", years=year)
        if code == "TARGET"
        else holidays.country_holidays("US", years=year, observed=False)
    )
    for on in days(year):
        # A holiday on a Sunday is observed on the Monday after; one on a Saturday is not.
        is_free = on in theirs or (code == "US" and on.weekday() == 0 and on - DAY in theirs)
        assert working_day(ours, on) is (on.weekday() < 5 and not is_free), on


@pytest.mark.parametrize("year", [2025, 2026])
def test_announced_days_of_china_equal_those_of_others(year: int) -> None:
    theirs = holidays.country_holidays("CN", years=year)
    for on in days(year):
        assert working_day((china(),), on) is theirs.is_working_day(on), on


def test_statutory_days_of_china_not_announced_equal_those_of_others() -> None:
    theirs = holidays.country_holidays("CN", years=2027, observed=False)
    ours = {on for on in china().holidays if on.year == 2027}
    assert provisional((china(),), date(2027, 6, 1))
    assert ours == {on for on in theirs if on.year == 2027}
