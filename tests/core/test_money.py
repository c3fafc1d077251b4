"""Money: construction, arithmetic, rounding, division without loss, JSON."""

import decimal
import operator
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest
from tongbao.core.money import PARTS_MAX, Money, Rounding, from_json, sum_money, to_json, zero

LIMIT = 2**63
amounts = st.integers(-LIMIT + 1, LIMIT - 1)
weight_lists = st.lists(st.integers(0, 10**12), min_size=1, max_size=30).filter(any)
quick = settings(max_examples=200, deadline=None)


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(InvalidRequest) as refused:
        act()
    return refused.value.code


def cny(amount: int) -> Money:
    return Money(amount, "CNY")


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (True, "CNY", "amount_not_exact"),
        (1.0, "CNY", "amount_not_exact"),
        ("1", "CNY", "amount_not_exact"),
        (Decimal(1), "CNY", "amount_not_exact"),
        (None, "CNY", "amount_not_exact"),
        (LIMIT, "CNY", "amount_out_of_range"),
        (-LIMIT, "CNY", "amount_out_of_range"),
        (1, "RMB", "currency_unknown"),
        (1, "cny", "currency_unknown"),
        (1, "XAU", "currency_without_minor_unit"),
        (1, "XXX", "currency_without_minor_unit"),
    ],
)
def test_make_money_of_bad_parts_is_refused(amount: Any, currency: str, code: str) -> None:
    assert refusal(lambda: Money(amount, currency)) == code


def test_money_is_frozen_slotted_hashable_and_survives_pickle() -> None:
    money = cny(5)
    with pytest.raises(FrozenInstanceError):
        money.amount_minor = 6  # type: ignore[misc]  # the point of the test
    assert not hasattr(money, "__dict__")
    assert {money: 1}[cny(5)] == 1
    assert pickle.loads(pickle.dumps(money)) == money


@pytest.mark.parametrize(
    ("value", "currency", "amount_minor"),
    [
        ("12.34", "CNY", 1234),
        ("-0.5", "CNY", -50),
        ("7", "CNY", 700),
        ("0012", "JPY", 12),
        ("1.234", "KWD", 1234),
        ("0.0001", "CLF", 1),
        (12, "CNY", 1200),
        (Decimal("1E+3"), "JPY", 1000),
        (Decimal("-0.00"), "CNY", 0),
        (Decimal("0E+90"), "CNY", 0),
        ("92233720368547758.07", "CNY", LIMIT - 1),
    ],
)
def test_of_major_with_an_exact_value_gives_minor_units(
    value: Decimal | str | int, currency: str, amount_minor: int
) -> None:
    assert Money.of_major(value, currency) == Money(amount_minor, currency)


@pytest.mark.parametrize(
    ("value", "currency", "code"),
    [
        (1.5, "CNY", "amount_not_exact"),
        (True, "CNY", "amount_not_exact"),
        (Decimal("NaN"), "CNY", "amount_not_exact"),
        (Decimal("-Infinity"), "CNY", "amount_not_exact"),
        ("1,234", "CNY", "amount_malformed"),
        (" 1", "CNY", "amount_malformed"),
        ("1e3", "CNY", "amount_malformed"),
        ("1_000", "CNY", "amount_malformed"),
        ("+1", "CNY", "amount_malformed"),
        (".5", "CNY", "amount_malformed"),
        ("5.", "CNY", "amount_malformed"),
        ("１２", "CNY", "amount_malformed"),
        ("NaN", "CNY", "amount_malformed"),
        ("1\n", "CNY", "amount_malformed"),
        ("9" * 10_000, "CNY", "amount_malformed"),
        ("1.234", "CNY", "amount_too_precise"),
        ("1.000", "USD", "amount_too_precise"),
        (Decimal("1.0"), "JPY", "amount_too_precise"),
        ("92233720368547758.08", "CNY", "amount_out_of_range"),
        (Decimal("1E+999999"), "CNY", "amount_out_of_range"),
        (10**4000, "CNY", "amount_out_of_range"),
        ("1", "XDR", "currency_without_minor_unit"),
    ],
)
def test_of_major_with_an_inexact_or_malformed_value_is_refused(value: Any, currency: str, code: str) -> None:
    assert refusal(lambda: Money.of_major(value, currency)) == code


@quick
@given(amounts, st.sampled_from(["JPY", "CNY", "KWD", "CLF"]))
def test_of_major_undoes_major_whatever_the_ambient_precision(amount: int, currency: str) -> None:
    money = Money(amount, currency)
    with decimal.localcontext(decimal.Context(prec=3)):
        assert Money.of_major(money.major, currency) == money
        assert Money.of_major(str(money).split()[0], currency) == money


def test_arithmetic_within_a_currency_is_that_of_integers() -> None:
    assert cny(5) + cny(-7) == cny(-2)
    assert cny(5) - cny(7) == cny(-2)
    assert cny(5) * 3 == 3 * cny(5) == cny(15)
    assert -cny(5) == cny(-5)
    assert abs(cny(-5)) == cny(5)
    assert cny(1)
    assert not zero("CNY")
    assert str(cny(-5)) == "-0.05 CNY"


def test_order_within_a_currency_is_that_of_amounts() -> None:
    assert cny(1) < cny(2) <= cny(2)
    assert cny(2) > cny(1) >= cny(1)
    assert sorted([cny(3), cny(-1), cny(2)]) == [cny(-1), cny(2), cny(3)]


@pytest.mark.parametrize(
    "act", [operator.add, operator.sub, operator.lt, operator.le, operator.gt, operator.ge]
)
def test_act_on_two_currencies_is_refused(act: Callable[[Any, Any], object]) -> None:
    assert cny(1) != Money(1, "USD")
    assert refusal(lambda: act(cny(1), Money(1, "USD"))) == "currency_mismatch"
    with pytest.raises(TypeError):
        act(cny(1), 1)


@pytest.mark.parametrize("count", [1.5, True, Decimal(2), "2"])
def test_multiply_by_anything_but_a_whole_number_is_a_type_error(count: Any) -> None:
    with pytest.raises(TypeError):
        cny(1) * count


def test_result_beyond_63_bits_is_refused() -> None:
    most = cny(LIMIT - 1)
    assert refusal(lambda: most + cny(1)) == "amount_out_of_range"
    assert refusal(lambda: -most - cny(1)) == "amount_out_of_range"
    assert refusal(lambda: most * 2) == "amount_out_of_range"
    assert refusal(lambda: most.times(Decimal(2), Rounding.DOWN)) == "amount_out_of_range"


def test_sum_money_of_large_credits_and_debits_needs_only_its_result_in_range() -> None:
    most = cny(LIMIT - 1)
    assert sum_money([most, most, -most], "CNY") == most
    assert sum_money([], "JPY") == Money(0, "JPY")
    assert refusal(lambda: sum_money([most], "JPY")) == "currency_mismatch"


@pytest.mark.parametrize(
    ("rounding", "positive", "negative"),
    [
        (Rounding.HALF_EVEN, 2, -2),
        (Rounding.HALF_UP, 3, -3),
        (Rounding.HALF_DOWN, 2, -2),
        (Rounding.UP, 3, -3),
        (Rounding.DOWN, 2, -2),
        (Rounding.CEILING, 3, -2),
        (Rounding.FLOOR, 2, -3),
    ],
)
def test_times_of_a_tie_follows_the_named_rounding(rounding: Rounding, positive: int, negative: int) -> None:
    assert cny(5).times(Decimal("0.5"), rounding) == cny(positive)
    assert cny(-5).times(Decimal("0.5"), rounding) == cny(negative)


def test_times_without_a_rounding_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        cny(5).times(Decimal("0.5"))  # type: ignore[call-arg]  # the point of the test


@quick
@given(amounts, st.decimals(-1, 1, allow_nan=False, places=30))
def test_times_is_exact_before_its_one_rounding(amount: int, rate: Decimal) -> None:
    with decimal.localcontext(decimal.Context(prec=2)):
        result = cny(amount).times(rate, Rounding.HALF_EVEN).amount_minor
    assert result == round(amount * Fraction(rate))


@pytest.mark.parametrize(
    "rate", [0.5, 2, True, Decimal("NaN"), Decimal("Infinity"), Decimal(f"1.{'3' * 200}")]
)
def test_times_a_rate_that_is_not_exact_is_refused(rate: Any) -> None:
    assert refusal(lambda: cny(3).times(rate, Rounding.DOWN)) == "rate_not_exact"
    if rate != 2:
        assert refusal(lambda: cny(3).bps(rate, Rounding.DOWN)) == "rate_not_exact"


@pytest.mark.parametrize(
    ("rate", "amount_minor"), [(Decimal("1E-999999"), 0), (Decimal("0E+999999"), 0), (Decimal("-2E+1"), -60)]
)
def test_times_an_extreme_rate_is_still_exact(rate: Decimal, amount_minor: int) -> None:
    assert cny(3).times(rate, Rounding.HALF_EVEN) == cny(amount_minor)


@pytest.mark.parametrize(
    ("amount", "bps", "fee"),
    [(10_000, 60, 60), (10_000, 10_000, 10_000), (333, 150, 5), (100, 0, 0), (100, -38, 0)],
)
def test_bps_of_an_amount_is_its_ten_thousandths(amount: int, bps: int, fee: int) -> None:
    assert cny(amount).bps(bps, Rounding.HALF_UP) == cny(fee)


@pytest.mark.parametrize(
    ("amount", "weights", "parts"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (-100, [1, 1, 1], [-34, -33, -33]),
        (101, [3, 0, 7], [30, 0, 71]),
        (5, [1, 3], [1, 4]),
        (1, [1, 1, 1], [1, 0, 0]),
        (2, [1, 2, 2], [0, 1, 1]),
        (0, [1, 2], [0, 0]),
    ],
)
def test_allocate_gives_left_over_units_to_the_largest_remainders(
    amount: int, weights: list[int], parts: list[int]
) -> None:
    assert [part.amount_minor for part in cny(amount).allocate(weights)] == parts


@quick
@given(amounts, weight_lists)
def test_allocate_sums_exactly_and_stays_within_one_unit_of_each_share(
    amount: int, weights: list[int]
) -> None:
    parts = cny(amount).allocate(weights)
    assert sum_money(parts, "CNY") == cny(amount)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part.amount_minor - Fraction(amount * weight, sum(weights))) < 1
        assert part.amount_minor == 0 or weight > 0
    assert parts == cny(amount).allocate(tuple(weights))
    assert tuple(-part for part in parts) == cny(-amount).allocate(weights)


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [1, -1], [1.0], [True], [1] * (PARTS_MAX + 1)])
def test_allocate_by_bad_weights_is_refused(weights: list[Any]) -> None:
    assert refusal(lambda: cny(1).allocate(weights)) == "weights_invalid"


@quick
@given(amounts, st.integers(1, 50))
def test_split_gives_equal_parts_larger_first(amount: int, count: int) -> None:
    parts = cny(amount).split(count)
    sizes = [abs(part.amount_minor) for part in parts]
    assert len(parts) == count
    assert sum_money(parts, "CNY") == cny(amount)
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("count", [0, -1, True, 2.0, PARTS_MAX + 1])
def test_split_into_a_bad_count_is_refused(count: Any) -> None:
    assert refusal(lambda: cny(1).split(count)) == "weights_invalid"


def test_json_form_reads_back() -> None:
    assert to_json(cny(-5)) == {"amount": -5, "currency": "CNY"}
    assert from_json(to_json(cny(-5))) == cny(-5)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (None, "amount_malformed"),
        ([5, "CNY"], "amount_malformed"),
        ({"amount": 5}, "amount_malformed"),
        ({"amount": 5, "currency": "CNY", "scale": 2}, "amount_malformed"),
        ({"amount": 5, "currency": ["CNY"]}, "amount_malformed"),
        ({"amount": 5.0, "currency": "CNY"}, "amount_not_exact"),
        ({"amount": "5", "currency": "CNY"}, "amount_not_exact"),
        ({"amount": 5, "currency": "cny"}, "currency_unknown"),
    ],
)
def test_json_of_another_form_is_refused(data: object, code: str) -> None:
    assert refusal(lambda: from_json(data)) == code
