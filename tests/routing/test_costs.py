"""Costs of a channel: every part, exact to the minor unit, against an oracle in decimals."""

from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest
from tongbao.routing.policy.costs import CostOf, PartKind, check, cost
from tongbao.routing.schema.payments import Payment
from tongbao.routing.schema.spec import Cost, RoutingSpec, Row, Tier
from tongbao.routing.schema.volumes import no_rates


def payment(amount_minor: int, currency: str = "EUR", **fields: object) -> Payment:
    values: dict[str, object] = {
        "book_id": 7,
        "live": False,
        "subject_id": UUID(int=1),
        "amount_minor": amount_minor,
        "currency": currency,
        "method": "card",
    }
    return Payment(**(values | fields))  # type: ignore[arg-type]


def yen(minor: int, source: str, target: str) -> int | None:
    """1 EUR is 160 JPY; nothing else is known."""
    if (source, target) == ("EUR", "JPY"):
        return round(Decimal(minor) * 160 / 100)
    return no_rates(minor, source, target)


def price(spec: Cost, of: Payment, volume_minor: int = 0) -> CostOf:
    return cost(spec, of, volume_minor, yen)


VISA_DE = {"brand": "visa", "funding": "debit", "card_country": "DE", "merchant_country": "DE", "mcc": "5411"}
TABLE = (
    Row(bps=10),
    Row(brand="visa", bps=20),
    Row(funding="debit", bps=30),
    Row(brand="visa", region="domestic", bps=-40, fixed_minor=-1),
    Row(brand="visa", funding="debit", region="domestic", mcc="5912", bps=50),
    Row(region="foreign", bps=60),
)
EUR = Cost(currency="EUR", bps=100)
CASES: list[tuple[Cost, Payment, int, int]] = [
    (EUR, payment(10_000), 0, 100),
    (EUR, payment(0), 0, 0),
    (EUR, payment(49), 0, 0),
    (EUR, payment(50), 0, 1),  # half a cent goes up
    (Cost(currency="EUR", bps=290, fixed_minor=30), payment(12_345), 0, 388),  # 358.005 + 30
    (Cost(currency="EUR", bps=100, minimum_minor=25), payment(1_000), 0, 25),
    (Cost(currency="EUR", bps=100, maximum_minor=500), payment(100_000), 0, 500),
    (Cost(currency="EUR", bps=1, fixed_minor=9), payment((1 << 62) + 1), 0, ((1 << 62) + 1 + 5_000) // 10_000 + 9),
    # Tiers: the one that was reached, whatever their order; the base before the first.
    (Cost(currency="EUR", bps=100, tiers=(Tier(from_volume_minor=500, bps=50), Tier(from_volume_minor=100, bps=80, fixed_minor=3))), payment(10_000), 99, 100),
    (Cost(currency="EUR", bps=100, tiers=(Tier(from_volume_minor=500, bps=50), Tier(from_volume_minor=100, bps=80, fixed_minor=3))), payment(10_000), 100, 83),
    (Cost(currency="EUR", bps=100, tiers=(Tier(from_volume_minor=500, bps=50), Tier(from_volume_minor=100, bps=80, fixed_minor=3))), payment(10_000), 10**12, 50),
    # The table: most fields named, the first of equals, added to the base.
    (Cost(currency="EUR", bps=100, table=TABLE), payment(10_000), 0, 110),
    (Cost(currency="EUR", bps=100, table=TABLE), payment(10_000, brand="visa"), 0, 120),
    (Cost(currency="EUR", bps=100, table=TABLE), payment(10_000, brand="visa", funding="debit"), 0, 120),
    (Cost(currency="EUR", bps=100, table=TABLE), payment(10_000, **VISA_DE), 0, 59),
    (Cost(currency="EUR", bps=100, table=TABLE), payment(10_000, **(VISA_DE | {"mcc": "5912"})), 0, 150),
    (Cost(currency="EUR", bps=100, table=TABLE), payment(10_000, card_country="US", merchant_country="DE"), 0, 160),
    (Cost(currency="EUR", bps=100, table=TABLE[1:]), payment(10_000, card_country="US"), 0, 100),
    # More taken away than there is: never below zero.
    (Cost(currency="EUR", bps=10, table=(Row(bps=-90),)), payment(10_000), 0, 0),
    # Conversion, and fixed parts in another currency.
    (Cost(currency="EUR", bps=100, settles=("EUR",), conversion_bps=150), payment(10_000), 0, 100),
    (Cost(currency="EUR", bps=100, settles=("EUR",), conversion_bps=150), payment(10_000, "JPY"), 0, 250),
    (Cost(currency="EUR", bps=100, conversion_bps=150), payment(10_000, "JPY"), 0, 100),
    (Cost(currency="EUR", bps=100, fixed_minor=30), payment(10_000, "JPY"), 0, 148),
    (Cost(currency="EUR", bps=100, minimum_minor=200), payment(10_000, "JPY"), 0, 320),
    (Cost(currency="EUR", bps=100, maximum_minor=50), payment(10_000, "JPY"), 0, 80),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "of", "volume_minor", "expected"), CASES)
def test_cost_is_exact_and_its_parts_sum_to_it(
    spec: Cost, of: Payment, volume_minor: int, expected: int
) -> None:
    result = price(spec, of, volume_minor)
    assert result.minor == expected
    assert sum(part.minor for part in result.parts) == expected
    assert not result.is_partial


def test_cost_names_its_parts() -> None:
    spec = Cost(
        currency="EUR",
        bps=100,
        fixed_minor=30,
        table=TABLE,
        settles=("USD",),
        conversion_bps=50,
        maximum_minor=150,
    )
    parts = price(spec, payment(10_000, brand="visa")).parts
    assert [(part.kind, part.bps, part.fixed_minor, part.minor) for part in parts] == [
        (PartKind.BASE, 100, 30, 130),
        (PartKind.TABLE, 20, 0, 20),
        (PartKind.CONVERSION, 50, 0, 50),
        (PartKind.BOUND, 0, 0, -50),
    ]


def test_cost_of_a_decline_is_the_fee_in_the_currency_of_the_payment() -> None:
    spec = Cost(currency="EUR", bps=100, declined_minor=10)
    assert price(spec, payment(10_000)).declined_minor == 10
    assert price(spec, payment(10_000, "JPY")).declined_minor == 16


@pytest.mark.parametrize("name", ["fixed_minor", "minimum_minor", "maximum_minor", "declined_minor"])
def test_cost_without_a_rate_leaves_fixed_parts_out_and_says_so(name: str) -> None:
    spec = msgspec.structs.replace(EUR, **{name: 5})
    result = price(spec, payment(10_000, "USD"))
    assert (result.minor, result.declined_minor, result.is_partial) == (100, 0, True)
    assert not price(EUR, payment(10_000, "USD")).is_partial


def test_effective_rate_is_of_the_rounded_cost() -> None:
    assert price(EUR, payment(50)).bps_effective == 200.0
    assert price(EUR, payment(0)).bps_effective == 0.0


MINORS = st.integers(0, 10**7)
COSTS = st.builds(
    Cost,
    currency=st.just("EUR"),
    bps=st.integers(0, 10_000),
    fixed_minor=MINORS,
    minimum_minor=st.integers(0, 1_000),
    maximum_minor=st.none() | st.integers(1_000, 10**9),
    declined_minor=MINORS,
    tiers=st.lists(
        st.builds(Tier, from_volume_minor=st.integers(0, 10**6), bps=st.integers(0, 10_000), fixed_minor=MINORS),
        max_size=4,
        unique_by=lambda tier: tier.from_volume_minor,
    ).map(tuple),
    table=st.lists(
        st.builds(Row, brand=st.sampled_from(["", "visa"]), bps=st.integers(-10_000, 10_000), fixed_minor=st.integers(-99, 99)),
        max_size=3,
    ).map(tuple),
    settles=st.sampled_from([(), ("EUR",), ("USD",)]),
    conversion_bps=st.integers(0, 10_000),
)  # fmt: skip


def oracle(spec: Cost, of: Payment, volume_minor: int) -> int:
    """The same from the contract's words, in decimals."""
    rate, fixed = Decimal(spec.bps), Decimal(spec.fixed_minor)
    for tier in sorted(spec.tiers, key=lambda each: each.from_volume_minor):
        if volume_minor >= tier.from_volume_minor:
            rate, fixed = Decimal(tier.bps), Decimal(tier.fixed_minor)
    lines = [row for row in spec.table if row.brand in {"", of.brand}]
    lines.sort(key=lambda row: row.brand == "")  # stable: named first, else as written
    if lines:
        rate, fixed = rate + lines[0].bps, fixed + lines[0].fixed_minor
    if spec.settles and of.currency not in spec.settles:
        rate += spec.conversion_bps
    exact = Decimal(of.amount_minor) * rate / 10_000 + fixed
    total = max(exact, Decimal(0)).quantize(Decimal(1), ROUND_HALF_UP)
    if spec.maximum_minor is not None:
        total = min(total, Decimal(spec.maximum_minor))
    return int(max(total, Decimal(spec.minimum_minor)))


@settings(max_examples=150, deadline=None)
@given(
    spec=COSTS,
    amount_minor=st.integers(0, 10**14),
    volume_minor=st.integers(0, 2 * 10**6),
    brand=st.sampled_from(["", "visa", "other"]),
)
def test_cost_equals_the_oracle_and_stays_within_its_bounds(
    spec: Cost, amount_minor: int, volume_minor: int, brand: str
) -> None:
    of = payment(amount_minor, brand=brand)
    result = price(spec, of, volume_minor)
    assert type(result.minor) is int
    assert result.minor == oracle(spec, of, volume_minor)
    assert 0 <= spec.minimum_minor <= result.minor
    assert spec.maximum_minor is None or result.minor <= spec.maximum_minor
    assert sum(part.minor for part in result.parts) == result.minor
    check(spec)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (Cost(currency="EUR", bps=-1), "bps"),
        (Cost(currency="EUR", bps=10_001), "bps"),
        (Cost(currency="EUR", bps=1, conversion_bps=-5), "conversion_bps"),
        (Cost(currency="EUR", bps=1, fixed_minor=-1), "fixed_minor"),
        (Cost(currency="EUR", bps=1, declined_minor=1 << 63), "fixed_minor"),
        (Cost(currency="EUR", bps=1, minimum_minor=5, maximum_minor=4), "maximum_minor"),
        (Cost(currency="EUR", bps=1, tiers=(Tier(from_volume_minor=1, bps=1),) * 2), "tiers"),
        (Cost(currency="EUR", bps=1, tiers=(Tier(from_volume_minor=-1, bps=1),)), "tiers"),
        (Cost(currency="EUR", bps=1, tiers=(Tier(from_volume_minor=1, bps=-1),)), "tiers"),
        (
            Cost(currency="EUR", bps=1, tiers=tuple(Tier(from_volume_minor=n, bps=1) for n in range(13))),
            "tiers",
        ),
        (Cost(currency="EUR", bps=1, table=(Row(region="abroad", bps=1),)), "table"),
        (Cost(currency="EUR", bps=1, table=(Row(bps=20_000),)), "table"),
    ],
)
def test_check_of_costs_that_mean_nothing_names_the_field(spec: Cost, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check(spec)
    assert (refused.value.code, refused.value.facts["field"]) == ("costs_invalid", field)


def test_check_of_an_unknown_currency_is_refused() -> None:
    for spec in (Cost(currency="EUX", bps=1), Cost(currency="EUR", bps=1, settles=("ZZZ",))):
        with pytest.raises(InvalidRequest) as refused:
            check(spec)
        assert refused.value.code == "currency_unknown"


@pytest.mark.parametrize(
    "text",
    [
        '{"costs": {"a": {"currency": "EUR", "bps": -1}}}',
        '{"costs": {"a": {"currency": "EUR", "bps": 1.5}}}',
        '{"costs": {"a": {"currency": "euro", "bps": 1}}}',
        '{"caps": {"a": {"currency": "EUR\\n"}}}',
        '{"caps": {"a": {"currency": "EUR", "day_minor_max": 9223372036854775808}}}',
        '{"caps": {"": {"currency": "EUR"}}}',
        '{"weights": {"a": -1}}',
        '{"explore_floor": 0.5}',
        '{"strategy": "magic"}',
        '{"other": 1}',
    ],
)
def test_spec_with_values_out_of_bounds_is_not_decoded(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=RoutingSpec)


def test_spec_survives_json() -> None:
    spec = RoutingSpec(
        costs={"a": Cost(currency="EUR", bps=1, table=TABLE)}, rules="a: when true then avoid a"
    )
    assert msgspec.json.decode(msgspec.json.encode(spec), type=RoutingSpec) == spec
