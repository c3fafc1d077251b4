"""Taxes of fees: told on every part, kept apart in sums, given back as they were charged, and read where nobody told them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.clearing.test_fees import flat, of, sale

from tongbao.clearing.policy.fee_sums import given_back, priced_of, sum_priced
from tongbao.clearing.policy.pricing import negated
from tongbao.clearing.schema.fee_taxes import Tax, rate_bps, rate_text, taxes
from tongbao.clearing.schema.fees import Bearer, Charge, FeePart, Match, OnRefund, Tier

M = Bearer.MERCHANT
rates = st.sampled_from((0, 30_000, 60_000))
parts = st.builds(
    FeePart,
    st.sampled_from("ab"),
    st.just(M),
    st.integers(-500, 500),
    st.integers(-50, 50),
    st.just("VAT"),
    rates,
)


def test_price_tells_name_and_rate_of_the_tax_on_its_part() -> None:
    schedule = of(flat(10_000, tax_name="VAT", tax_e6=60_000), flat(20_000, "surcharge"))
    taxed, plain = schedule.price(sale(10_000)).parts
    assert (taxed.tax_minor, taxed.tax_name, taxed.tax_e6) == (6, "VAT", 60_000)
    assert (plain.tax_minor, plain.tax_name, plain.tax_e6) == (0, "", 0)


def test_price_of_a_fixed_part_tells_its_tax_too() -> None:
    fixed = Charge(
        name="service",
        match=Match(currencies=("CNY",)),
        tiers=(Tier(fixed_minor={"CNY": 100}),),
        tax_name="VAT",
        tax_e6=60_000,
    )
    (part,) = of(fixed).price(sale(10_000)).parts
    assert (part.amount_minor, part.tax_minor, part.tax_name, part.tax_e6) == (106, 6, "VAT", 60_000)


@given(st.lists(st.lists(parts, max_size=6), max_size=6))
def test_sum_keeps_rates_apart_and_loses_nothing(several: list[list[FeePart]]) -> None:
    whole = sum_priced(priced_of(each) for each in several)
    keys = [(part.name, part.bearer, part.tax_name, part.tax_e6) for part in whole.parts]
    assert len(set(keys)) == len(keys)
    for rate in (0, 30_000, 60_000):
        for field in ("amount_minor", "tax_minor"):
            before = sum(getattr(part, field) for each in several for part in each if part.tax_e6 == rate)
            assert sum(getattr(part, field) for part in whole.parts if part.tax_e6 == rate) == before


def test_give_back_and_negate_tell_the_tax_that_was_charged() -> None:
    schedule = of(flat(10_000, tax_name="VAT", tax_e6=60_000, on_refund=OnRefund.RETURNED))
    paid = schedule.price(sale(10_000))
    (back,) = given_back(paid, priced_of(()), (10_000, 10_000), {"processing": True}).parts
    (turned,) = negated(paid).parts
    assert back == turned == FeePart("processing", M, -106, -6, "VAT", 60_000)


def test_read_part_that_was_stored_before_taxes_were_told() -> None:
    stored = b'[{"name":"processing","bearer":"merchant","amount_minor":106,"tax_minor":6}]'
    (part,) = msgspec.json.decode(stored, type=tuple[FeePart, ...])
    assert part == FeePart("processing", M, 106, 6)
    assert taxes([part]) == (Tax("", 0, 100, 6),)
    assert msgspec.json.decode(msgspec.json.encode(part), type=FeePart) == part


@pytest.mark.parametrize(
    ("rate_e6", "bps", "text"),
    [
        (0, 0, "0%"),
        (100, 1, "0.01%"),
        (60_000, 600, "6%"),
        (22_750, None, "2.275%"),
        (200_000, 2_000, "20%"),
        (1, None, "0.0001%"),
        (1_000_000, 10_000, "100%"),
    ],
)
def test_rate_is_told_in_basis_points_and_in_percent(rate_e6: int, bps: int | None, text: str) -> None:
    # 2.275 % are 227.5 basis points.
    assert (rate_bps(rate_e6), rate_text(rate_e6)) == (bps, text)
