"""Lines of the European Central Bank's files: what they say, and what is refused for which reason."""

from datetime import date
from decimal import Decimal

import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.fx.policy.ecb_lines import Heading, day, heading
from tongbao.fx.schema import PublishedRate

HEADING = Heading(("USD", "CYP", "CNY"), ("CYP",))


def test_heading_with_a_comma_at_its_end_names_the_currencies_and_those_withdrawn() -> None:
    assert heading(["Date", "USD", "CYP", "CNY", ""]) == HEADING
    assert heading(["Date", " USD", " CYP", " CNY", " "]) == HEADING


def test_line_gives_rates_and_counts_what_is_not_available() -> None:
    found = day(HEADING, ["2026-10-30", "1.1172", "N/A", "7.4326", ""])
    on = date(2026, 10, 30)
    assert found.rates == (
        PublishedRate("EUR", "USD", on, Decimal("1.1172")),
        PublishedRate("EUR", "CNY", on, Decimal("7.4326")),
    )
    assert found.missing_count == 1


def test_line_of_the_file_of_one_day_is_read_alike() -> None:
    found = day(HEADING, ["30 October 2026", " 1.1172", " 0.58231", " 7.4326", " "])
    assert (found.published_on, len(found.rates)) == (date(2026, 10, 30), 2)


def test_rates_keep_the_digits_that_were_written() -> None:
    (rate,) = day(Heading(("GBP",), ()), ["2026-10-30", "0.83380"]).rates
    assert str(rate.rate) == "0.83380"


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ([], "rates_file_unreadable"),
        (["Date"], "rates_file_unreadable"),
        (["Day", "USD"], "rates_file_unreadable"),
        (["Date", *("USD" for _ in range(201))], "rates_file_unreadable"),
        (["Date", "USD", "QQQ"], "rates_currency_unknown"),
        (["Date", "USD", "usd"], "rates_currency_unknown"),
        (["Date", "USD", "XAU"], "rates_currency_unknown"),
        (["Date", "USD", "", "CNY"], "rates_currency_unknown"),
        (["Date", "USD", "USD"], "rates_currency_twice"),
        (["Date", "EUR", "USD"], "rates_currency_twice"),
    ],
)
def test_heading_that_is_none_is_refused(cells: list[str], code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        heading(cells)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        (["2026-10-30", "1.1", "N/A"], "rates_line_unreadable"),
        (["2026-10-30", "1.1", "N/A", "7", "8"], "rates_line_unreadable"),
        (["2026-13-30", "1.1", "N/A", "7"], "rates_day_invalid"),
        (["1998-12-31", "1.1", "N/A", "7"], "rates_day_invalid"),
        (["yesterday", "1.1", "N/A", "7"], "rates_day_invalid"),
        (["2026-10-30", "0", "N/A", "7"], "rate_invalid"),
        (["2026-10-30", "0.000", "N/A", "7"], "rate_invalid"),
        (["2026-10-30", "-1.1", "N/A", "7"], "rate_invalid"),
        (["2026-10-30", "1,1", "N/A", "7"], "rate_invalid"),
        (["2026-10-30", "1e3", "N/A", "7"], "rate_invalid"),
        (["2026-10-30", "NaN", "N/A", "7"], "rate_invalid"),
        (["2026-10-30", "١.٢", "N/A", "7"], "rate_invalid"),
        (["2026-10-30", "1" * 30, "N/A", "7"], "rate_invalid"),
    ],
)
def test_line_that_is_none_is_refused_with_its_reason(cells: list[str], code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        day(HEADING, cells)
    assert refused.value.code == code
