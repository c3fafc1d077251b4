"""Amounts, shares and instants as text."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.core.money import Money
from tongbao.web.ui import money
from tongbao.web.ui.kit import Kit

AT = datetime(2026, 11, 21, 14, 2, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("minor", "currency", "language", "said"),
    [
        (123456, "CNY", "en", "¥1,234.56"),
        (123456, "CNY", "zh-CN", "¥1,234.56"),
        (-94, "CNY", "en", "−¥0.94"),
        (1500, "JPY", "zh-CN", "JP¥1,500"),
        (1234, "BHD", "en", "BHD\xa01.234"),
        (500, "???", "en", "500 ???"),
    ],
)
def test_amount_is_written_with_the_decimals_of_its_currency(
    minor: int, currency: str, language: str, said: str
) -> None:
    assert money.amount(minor, currency, language) == said


def test_sign_is_shown_only_where_it_says_something() -> None:
    assert money.amount(12, "CNY", "en", sign=True) == "+¥0.12"
    assert money.amount(0, "CNY", "en", sign=True) == "¥0.00"


@given(st.integers(-(10**15), 10**15), st.sampled_from(["CNY", "JPY", "BHD"]))
def test_plain_amount_reads_back_as_the_same_money(minor: int, currency: str) -> None:
    assert Money.of_major(money.plain_amount(minor, currency), currency).amount_minor == minor


def test_instants_shares_and_large_numbers() -> None:
    assert [money.instant(AT, style) for style in money.STYLES] == [
        "2026-11-21 14:02:31",
        "2026-11-21 14:02",
        "2026-11-21",
        "14:02:31",
    ]
    with pytest.raises(ValueError, match="an instant is written"):
        money.instant(AT, "weekday")
    assert money.percent(0.0031, 2, sign=True) == "+0.31%"
    assert money.percent(-0.5) == "−50.0%"
    assert (money.compact(123456, "en"), money.compact(123456, "zh-CN")) == ("123.5K", "12.3万")


def test_age_needs_to_know_what_time_it_is() -> None:
    assert Kit("en", AT + timedelta(minutes=5)).when(AT, "age") == "5 minutes ago"
    assert Kit("en").when(AT, "age") == "2026-11-21 14:02"
