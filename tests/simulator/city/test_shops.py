"""The shops of a city: every kind, three currencies, hours that make sense, prices that the sandbox takes as they are."""

from collections import Counter
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.core.currencies import currency
from tongbao.simulator.city.habits import is_open
from tongbao.simulator.city.schema import CityTerms, ShopKind
from tongbao.simulator.city.shops import price, scale_of, shops
from tongbao.simulator.city.trades import RHYTHMS, TRADES
from tongbao.simulator.sandbox.behavior import MAGIC_FAULTS
from tongbao.simulator.sandbox.declines import AMOUNTS

SPECIAL = {5, 51, 54, 59, 61, 91, 96, *range(81, 88)}
"""Endings of amounts that the sandbox answers in special ways, as docs/reference/sandbox.md lists them."""


def _shops(count: int, seed: int = 3) -> CityTerms:
    return CityTerms(seed=seed, began_on=date(2026, 10, 1), days=1, shops=count)


def test_shops_are_equal_for_equal_terms_and_differ_by_seed() -> None:
    assert shops(_shops(40)) == shops(_shops(40))
    assert shops(_shops(40)) != shops(_shops(40, seed=4))
    assert shops(_shops(40))[:16] == shops(_shops(16))


def test_fourteen_shops_are_of_all_kinds_and_three_currencies() -> None:
    found = shops(_shops(14))
    assert {shop.kind for shop in found} == set(ShopKind)
    assert Counter(shop.currency for shop in found) == {"CNY": 12, "USD": 1, "JPY": 1}
    yen = next(shop for shop in found if shop.currency == "JPY")
    assert (yen.country, scale_of("JPY"), currency("JPY").exponent) == ("JP", 1, 0)
    assert 300 < yen.ticket_minor < 2_000


def test_two_shops_already_sell_in_two_currencies() -> None:
    assert [shop.currency for shop in shops(_shops(2))] == ["CNY", "USD"]


def test_five_hundred_shops_have_names_of_their_own_and_whole_descriptions() -> None:
    found = shops(_shops(500))
    assert len({shop.name for shop in found}) == 500
    assert len({shop.display_name for shop in found}) == 500
    for shop in found:
        assert shop.display_name.isascii()
        assert not shop.name.isascii()
        assert len(shop.mcc) == 4
        assert shop.mcc.isdigit()
        assert len(shop.hours) == 7
        assert any(shop.hours)
        assert all(0 <= day[0] < day[1] <= 1_440 for day in shop.hours if day)
        assert shop.goods
        assert all(not good.isascii() for good in shop.goods)
        assert 0 < shop.refund_share + shop.dispute_share < 0.3
        assert shop.ticket_minor > 0


def test_every_rhythm_has_a_weight_for_each_hour() -> None:
    assert all(len(weights) == 24 and min(weights) >= 0 for weights in RHYTHMS.values())
    assert set(TRADES) == set(ShopKind)


@pytest.mark.parametrize(
    ("weekday", "second", "expected"),
    [
        (0, 12 * 3600.0, False),
        (1, 9 * 3600 - 1801.0, False),
        (1, 12 * 3600.0, True),
        (6, 20 * 3600.0, True),
        (6, 22 * 3600.0, False),
    ],
)
def test_is_open_follows_hours_and_closing_days(weekday: int, second: float, expected: bool) -> None:
    flowers = next(shop for shop in shops(_shops(14)) if shop.kind is ShopKind.FLOWERS)
    assert is_open(flowers, weekday, second) is expected


def test_special_endings_are_all_that_the_sandbox_has() -> None:
    assert set(AMOUNTS) | set(MAGIC_FAULTS) == SPECIAL


@given(major=st.floats(0.0, 1e7), code=st.sampled_from(("CNY", "USD", "JPY")))
def test_price_is_positive_near_what_was_meant_and_never_special(major: float, code: str) -> None:
    minor = price(major, code)
    assert minor > 0
    assert minor % 100 not in SPECIAL
    assert abs(minor / scale_of(code) - major) <= (10 if code == "JPY" else 1.01)
