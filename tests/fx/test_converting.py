"""Rates made of rates, and amounts told in another currency: exact to the last unit, rounded once."""

import decimal
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.core.currencies import currency
from tongbao.core.errors import Conflict, InvalidRequest, NotFound
from tongbao.core.money import Money, Rounding, divided
from tongbao.fx.policy.converting import converted
from tongbao.fx.policy.crossing import check, check_age, check_day, crossed, legs_of
from tongbao.fx.schema import KnownRate, Rate

ON = date(2026, 10, 30)
RATES = {"USD": "1.1172", "CNY": "7.4326", "JPY": "175.68", "ISK": "136", "KRW": "1491.76"}
CODES = st.sampled_from(["EUR", *RATES])


def leg(code: str) -> KnownRate:
    return KnownRate(
        source="ecb",
        base="EUR",
        quote=code,
        published_on=ON,
        revision=1,
        rate=Decimal(RATES[code]),
        imported_at=datetime(2026, 10, 30, 15, tzinfo=UTC),
        file_digest="0" * 64,
    )


def rate(base: str, quote: str, asked_on: date = ON) -> Rate:
    return crossed("ecb", (base, quote), asked_on, [leg(code) for code in legs_of(base, quote)])


@pytest.mark.parametrize(
    ("base", "quote", "numerator", "denominator", "text"),
    [
        ("EUR", "USD", 2793, 2500, "1.1172"),
        ("USD", "EUR", 2500, 2793, "0.89509488"),
        ("USD", "CNY", 37163, 5586, "6.6528822"),
        ("CNY", "JPY", 878400, 37163, "23.636413"),
        ("JPY", "USD", 931, 146400, "0.0063592896"),
        ("USD", "USD", 1, 1, "1.0000000"),
    ],
)
def test_rate_of_a_pair_is_the_exact_quotient_of_its_legs(
    base: str, quote: str, numerator: int, denominator: int, text: str
) -> None:
    found = rate(base, quote)
    assert Fraction(found.numerator, found.denominator) == Fraction(numerator, denominator)
    assert found.text == text


@given(base=CODES, quote=CODES)
def test_rates_of_a_pair_and_back_are_each_others_inverse(base: str, quote: str) -> None:
    there, back = rate(base, quote), rate(quote, base)
    assert there.numerator * back.numerator == there.denominator * back.denominator


@given(base=CODES, through=CODES, quote=CODES)
def test_rates_have_no_triangle_to_earn_from(base: str, through: str, quote: str) -> None:
    first, second, whole = rate(base, through), rate(through, quote), rate(base, quote)
    left = Fraction(first.numerator, first.denominator) * Fraction(second.numerator, second.denominator)
    assert left == Fraction(whole.numerator, whole.denominator)


def test_pair_without_a_published_leg_is_unknown() -> None:
    with pytest.raises(NotFound, match="no rate of CNY"):
        crossed("ecb", ("USD", "CNY"), ON, [leg("USD")])


@pytest.mark.parametrize(
    ("amount", "base", "quote", "rounding", "expected", "is_exact"),
    [
        (10_000, "EUR", "USD", Rounding.HALF_EVEN, 11_172, True),
        (1, "EUR", "USD", Rounding.HALF_EVEN, 1, False),
        (1, "EUR", "USD", Rounding.UP, 2, False),
        (10_000, "USD", "JPY", Rounding.HALF_EVEN, 15_725, False),  # yen have no decimals
        (15_725, "JPY", "USD", Rounding.DOWN, 9_999, False),
        (100, "JPY", "EUR", Rounding.HALF_UP, 57, False),
        (0, "EUR", "CNY", Rounding.UP, 0, True),
        (-10_001, "EUR", "CNY", Rounding.FLOOR, -74_334, False),
        (-10_001, "EUR", "CNY", Rounding.CEILING, -74_333, False),
        (777, "CNY", "CNY", Rounding.HALF_EVEN, 777, True),
    ],
)
def test_converted_amount_is_rounded_once_to_minor_units(
    amount: int, base: str, quote: str, rounding: Rounding, expected: int, is_exact: bool
) -> None:
    found = converted(Money(amount, base), rate(base, quote), rounding)
    assert (found.converted_minor, found.is_exact) == (expected, is_exact)
    assert found.rounding == rounding.name.lower()


@given(
    amount=st.integers(-(10**15), 10**15),
    base=CODES,
    quote=CODES,
    rounding=st.sampled_from(list(Rounding)),
)
def test_converted_amount_lies_within_one_unit_of_the_exact_one(
    amount: int, base: str, quote: str, rounding: Rounding
) -> None:
    of = rate(base, quote)
    exact = (
        Fraction(amount, 10 ** currency(base).exponent)
        * Fraction(of.numerator, of.denominator)
        * 10 ** currency(quote).exponent
    )
    found = converted(Money(amount, base), of, rounding)
    assert abs(found.converted_minor - exact) < 1
    assert found.is_exact == (found.converted_minor == exact)


@given(numerator=st.integers(-(10**30), 10**30), denominator=st.integers(1, 10**6))
@pytest.mark.parametrize("rounding", list(Rounding))
def test_divided_rounds_as_decimal_does(rounding: Rounding, numerator: int, denominator: int) -> None:
    whole, rest = divmod(numerator, denominator)
    # Only on which side of a half the rest lies decides, so a quarter stands for any rest below it.
    side = (2 * rest > denominator) - (2 * rest < denominator)
    quarter = Decimal(0) if not rest else Decimal(2 + side) / 4
    context = decimal.Context(prec=60)
    number = context.add(Decimal(whole), quarter)
    assert divided(numerator, denominator, rounding) == int(number.quantize(Decimal(1), rounding, context))


def test_convert_an_amount_of_another_currency_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="currency_mismatch"):
        converted(Money(100, "CNY"), rate("EUR", "USD"), Rounding.HALF_EVEN)


def test_convert_to_more_than_fits_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="amount_out_of_range"):
        converted(Money(2**62, "EUR"), rate("EUR", "KRW"), Rounding.HALF_EVEN)


def test_rate_older_than_accepted_is_refused() -> None:
    weekend = rate("USD", "CNY", date(2026, 11, 2))
    assert check_age(weekend, 3).age_days == 3
    with pytest.raises(Conflict, match="rate_too_old") as refused:
        check_age(weekend, 2)
    assert refused.value.facts == {"published_on": "2026-10-30", "age_days": 3}
    with pytest.raises(InvalidRequest, match="rate_age_invalid"):
        check_age(weekend, -1)


def test_day_to_come_and_unknown_names_are_refused() -> None:
    check_day(ON, ON)
    with pytest.raises(InvalidRequest, match="rate_in_future"):
        check_day(date(2026, 10, 31), ON)
    for source, base, quote, code in (
        ("moon", "EUR", "USD", "rate_source_unknown"),
        ("ecb", "EUR", "QQQ", "currency_unknown"),
        ("ecb", "XAU", "USD", "currency_without_minor_unit"),
    ):
        with pytest.raises(InvalidRequest, match=code):
            check(source, base, quote)
