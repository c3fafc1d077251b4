"""Which days a file is of: whoever tells it surest, and lines that never widen what was told."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.clearing.policy.periods import STRAY_DAYS, ToldBy, named_days, period_of

DAY = date(2026, 11, 2)
NEXT = DAY + timedelta(days=1)
DAYS = st.dates(date(2026, 1, 1), date(2026, 12, 31))


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("bill-2026-11-02.csv", DAY, DAY),
        ("20261102.txt", DAY, DAY),
        ("wechat_2026.11.02-093000", DAY, DAY),
        ("2026-11-02_2026-11-03.csv", DAY, NEXT),
        ("00012-card-2026-11-02-20261102.txt", DAY, DAY),
    ],
)
def test_name_with_a_day_or_two_tells_them(name: str, first: date, last: date) -> None:
    assert named_days(name) == (first, last)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "bill.csv",
        "2026-13-02.csv",
        "1202611020",
        "2026-11-0",
        "2026-1102.csv",
        "2026-11-03_2026-11-02",
        "2026-11-01 2026-11-02 2026-11-03",
        "2020-01-01_2026-11-02",
    ],
)
def test_name_without_a_day_that_can_be_meant_tells_none(name: str) -> None:
    assert named_days(name) is None


def test_surest_of_those_who_tell_the_day_is_heard() -> None:
    name, days = f"{NEXT}.csv", {NEXT: 5}
    assert period_of((None, DAY), NEXT, name, days) == (DAY, DAY, ToldBy.CONTENT)
    assert period_of((None, None), DAY, name, days) == (DAY, DAY, ToldBy.SENDER)
    assert period_of((None, None), None, name, days) == (NEXT, NEXT, ToldBy.NAME)
    assert period_of((None, None), None, "file", days) == (NEXT, NEXT, ToldBy.LINES)
    assert period_of((None, None), None, "file", {}) is None


def test_name_of_the_day_on_which_a_file_was_made_counts_for_nothing_but_an_empty_one() -> None:
    name = f"export-{NEXT}.csv"
    assert period_of((None, None), None, name, {DAY: 3, NEXT: 1}) == (DAY, DAY, ToldBy.LINES)
    assert period_of((None, None), None, name, {}) == (NEXT, NEXT, ToldBy.NAME)


def test_few_lines_of_another_day_are_no_part_of_a_guess() -> None:
    days = {DAY - timedelta(days=9): 1, DAY: 40, DAY + timedelta(days=1): 38}
    assert period_of((None, None), None, "", days) == (DAY, NEXT, ToldBy.LINES)


@given(told=DAYS, lines=st.dictionaries(DAYS, st.integers(1, 9), max_size=9))
def test_lines_never_widen_what_was_told(told: date, lines: dict[date, int]) -> None:
    for period in (period_of((told, told), None, "", lines), period_of((None, None), told, "", lines)):
        assert period is not None
        assert (period.first, period.last) == (told, told)
        assert all(period.is_far(on) == (abs((on - told).days) > STRAY_DAYS) for on in lines)


@given(lines=st.dictionaries(DAYS, st.integers(1, 9), min_size=1, max_size=9))
def test_guess_lies_within_the_lines_and_calls_none_of_them_far(lines: dict[date, int]) -> None:
    period = period_of((None, None), None, "", lines)
    assert period is not None
    assert min(lines) <= period.first <= period.last <= max(lines)
    assert not any(period.is_far(on) for on in lines)
