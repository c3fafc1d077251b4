"""Prices against an oracle in fractions: first match, sums, tiers, free volume, bounds, taxes, and what goes back."""

from datetime import date, timedelta
from itertools import pairwise

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.clearing import fee_oracle

from tongbao.clearing.policy.fee_checks import check_spec
from tongbao.clearing.policy.fee_regions import region_of
from tongbao.clearing.policy.fee_sums import sum_priced
from tongbao.clearing.policy.fees import MOVEMENTS_MAX, PLANS_MAX, Schedule, compile_schedule, joined
from tongbao.clearing.schema.fees import (
    Basis,
    Bearer,
    Charge,
    FeePart,
    Match,
    OnRefund,
    Priceable,
    Priced,
    ScheduleSpec,
    Tier,
    TierMode,
)
from tongbao.core.errors import InvalidRequest, InvariantBroken
from tongbao.core.money import Rounding

ON = date(2026, 3, 15)
CURRENCIES = ("JPY", "CNY", "BHD")
"""Of 0, 2 and 3 decimals."""
METHODS = ("card", "alipay", "wallet")
NAMES = ("processing", "network", "surcharge", "commission")
BEARERS = {
    "processing": Bearer.MERCHANT,
    "network": Bearer.HOUSE,
    "surcharge": Bearer.MERCHANT,
    "commission": Bearer.AGENT,
}
minor = st.integers(0, 50_000)
rates = st.sampled_from((0, 1, 38, 325, 3_800, 6_000, 22_750, 29_000, 500_000, 1_000_000))


def sale(amount_minor: int, currency: str = "CNY", **fields: object) -> Priceable:
    values: dict[str, object] = {"kind": "sale", "on": ON, "method": "card"}
    return Priceable(amount_minor=amount_minor, currency=currency, **(values | fields))  # type: ignore[arg-type]


def of(*charges: Charge) -> Schedule:
    return compile_schedule("test", 1, ScheduleSpec(charges=charges))


def flat(rate_e6: int, name: str = "processing", **fields: object) -> Charge:
    return Charge(name=name, tiers=(Tier(rate_e6=rate_e6),), **fields)  # type: ignore[arg-type]


def pair(priced: Priced) -> tuple[int, int]:
    return priced.merchant_minor, priced.tax_minor


def as_told(priced: Priced) -> fee_oracle.Parts:
    return [(part.name, part.bearer, part.amount_minor, part.tax_minor) for part in priced.parts]


def assert_sums(priced: Priced) -> None:
    for bearer, whole in (
        (Bearer.MERCHANT, priced.merchant_minor),
        (Bearer.HOUSE, priced.house_minor),
        (Bearer.AGENT, priced.agent_minor),
    ):
        assert sum(part.amount_minor for part in priced.parts if part.bearer is bearer) == whole
    taxes = [part.tax_minor for part in priced.parts if part.bearer is Bearer.MERCHANT]
    assert sum(taxes) == priced.tax_minor
    assert all(0 <= part.tax_minor <= part.amount_minor for part in priced.parts)


@st.composite
def charges(draw: st.DrawFn) -> Charge:
    name = draw(st.sampled_from(NAMES))
    is_share = name in ("surcharge", "commission")
    named = tuple(draw(st.lists(st.sampled_from(CURRENCIES), min_size=1, max_size=3, unique=True)))
    starts = [0, *sorted(draw(st.sets(st.integers(1, 60_000), max_size=3)))]
    low = {code: draw(st.integers(0, 40)) for code in named if draw(st.booleans())}
    high = {code: low.get(code, 0) + draw(st.integers(0, 900)) for code in named if draw(st.booleans())}
    begins = draw(st.none() | st.integers(0, 20_000))
    from_on = draw(st.none() | st.sampled_from([ON - timedelta(1), ON, ON + timedelta(1)]))
    return Charge(
        name=name,
        bearer=BEARERS[name],
        basis=Basis.FEE if is_share else Basis.AMOUNT,
        match=Match(
            kinds=("sale",),
            methods=tuple(draw(st.lists(st.sampled_from(METHODS), max_size=2, unique=True))),
            currencies=named,
            amount_from_minor=begins,
            amount_to_minor=draw(st.none() | st.integers((begins or 0) + 1, 60_000)),
        ),
        tiers=tuple(
            Tier(
                from_minor=start,
                rate_e6=draw(rates),
                fixed_minor={code: draw(st.integers(0, 30)) for code in named},
            )
            for start in starts
        ),
        tier_mode=TierMode.WHOLE if is_share else draw(st.sampled_from(TierMode)),
        min_minor=low,
        max_minor=high,
        free_minor={} if is_share else {code: draw(minor) for code in named if draw(st.booleans())},
        from_on=from_on,
        until_on=draw(st.none() | st.just((from_on or ON) + timedelta(1))),
        tax_e6=draw(st.sampled_from((0, 0, 60_000, 130_000, 1_000_000))),
        tax_included=draw(st.booleans()),
        on_refund=OnRefund.RETURNED if name in ("processing", "commission") else OnRefund.KEPT,
        rounding=draw(st.sampled_from(Rounding)),
    )


@st.composite
def specs(draw: st.DrawFn) -> ScheduleSpec:
    """Lists that are accepted: what is never reached, or a share of nothing, is left out."""
    kept: list[Charge] = []
    drawn = draw(st.lists(charges(), min_size=1, max_size=7))
    for charge in sorted(drawn, key=lambda each: each.basis is Basis.FEE):
        try:
            check_spec(ScheduleSpec(charges=(*kept, charge)))
        except InvalidRequest:
            continue
        kept.append(charge)
    assume(kept)
    return ScheduleSpec(
        charges=tuple(draw(st.permutations(kept)) if len(set(kept_names(kept))) == len(kept) else kept)
    )


def kept_names(kept: list[Charge]) -> list[str]:
    return [charge.name for charge in kept]


movements = st.builds(
    sale,
    st.integers(0, 50_000),
    st.sampled_from(CURRENCIES),
    method=st.sampled_from(METHODS),
    volume_minor=st.integers(0, 90_000),
    on=st.sampled_from([ON - timedelta(1), ON, ON + timedelta(1)]),
)


@settings(max_examples=120, deadline=None)
@given(specs(), st.lists(movements, min_size=1, max_size=6))
def test_price_any_movement_by_any_list_is_what_the_words_say_and_sums_to_the_whole(
    spec: ScheduleSpec, several: list[Priceable]
) -> None:
    schedule = compile_schedule("test", 1, spec)
    for movement in several:
        priced = schedule.price(movement)
        assert as_told(priced) == fee_oracle.price(spec, movement)
        assert priced == schedule.price(movement)
        assert_sums(priced)


@settings(max_examples=70, deadline=None)
@given(specs(), movements, st.lists(st.integers(1, 20_000), min_size=1, max_size=6), st.randoms())
def test_give_back_in_any_steps_and_order_returns_all_of_the_returned_and_none_of_the_kept(
    spec: ScheduleSpec, movement: Priceable, steps: list[int], order: object
) -> None:
    schedule = compile_schedule("test", 1, spec)
    original = sum(steps)
    paid = schedule.price(msgspec.structs.replace(movement, amount_minor=original))
    for _ in range(2):
        given_before, before = Priced(), 0
        for step in steps:
            back = schedule.give_back(
                paid,
                amount_minor=step,
                original_minor=original,
                refunded_before_minor=before,
                given_before=given_before,
            )
            assert all(part.amount_minor <= part.tax_minor <= 0 for part in back.parts)
            given_before, before = sum_priced((given_before, back)), before + step
            for part in given_before.parts:
                whole = next(each for each in paid.parts if each.name == part.name)
                assert -part.amount_minor == whole.amount_minor * before // original
        left = sum_priced((paid, given_before))
        expected = {name: stays for name, stays in fee_oracle.kept_after(spec, paid).items() if stays}
        assert {part.name: part.amount_minor for part in left.parts} == expected
        order.shuffle(steps)  # type: ignore[attr-defined]


@settings(max_examples=40, deadline=None)
@given(specs(), st.permutations(range(4)))
def test_price_reordered_names_costs_the_same(spec: ScheduleSpec, turn: list[int]) -> None:
    rank = dict(zip(NAMES, turn, strict=True))
    turned = ScheduleSpec(charges=tuple(sorted(spec.charges, key=lambda each: rank[each.name])))
    one, other = compile_schedule("a", 1, spec), compile_schedule("b", 1, turned)
    for amount in (0, 1, 999, 40_000):
        movement = sale(amount, "BHD", volume_minor=500)
        assert sorted(as_told(one.price(movement))) == sorted(as_told(other.price(movement)))


falling = st.lists(rates, min_size=1, max_size=4).map(lambda drawn: sorted(drawn, reverse=True))


@settings(max_examples=50, deadline=None)
@given(falling, st.integers(0, 30_000), st.lists(st.integers(0, 9_000), min_size=2, max_size=5))
def test_price_marginal_steps_grow_with_the_amount_and_fall_with_the_volume(
    drawn: list[int], volume: int, grown: list[int]
) -> None:
    tiers = tuple(Tier(from_minor=index * 5_000, rate_e6=rate) for index, rate in enumerate(drawn))
    schedule = of(
        Charge(name="x", match=Match(currencies=("CNY",)), tiers=tiers, tier_mode=TierMode.MARGINAL)
    )
    fees = [schedule.price(sale(amount, volume_minor=volume)).merchant_minor for amount in sorted(grown)]
    assert all(low <= high for low, high in pairwise(fees))
    later = [schedule.price(sale(4_000, volume_minor=start)).merchant_minor for start in sorted(grown)]
    assert all(low >= high for low, high in pairwise(later))


@settings(max_examples=50, deadline=None)
@given(
    specs(), st.lists(st.tuples(st.integers(0, 20_000), st.sampled_from(CURRENCIES)), min_size=1, max_size=8)
)
def test_price_many_in_any_pieces_equals_each_with_the_volume_before_it(
    spec: ScheduleSpec, sold: list[tuple[int, str]]
) -> None:
    schedule = compile_schedule("test", 1, spec)
    several = [
        sale(amount, currency, on=ON + timedelta(days=6 * place), kind=("sale", "refund")[place % 3 == 2])
        for place, (amount, currency) in enumerate(sold)
    ]
    volumes: dict[tuple[str, int, int], int] = {}
    expected = []
    for each in several:
        month = (each.currency, each.on.year, each.on.month)
        before = volumes.get(month, 0)
        expected.append(schedule.price(msgspec.structs.replace(each, volume_minor=before)))
        volumes[month] = before + (each.amount_minor if each.kind == "sale" else 0)
    assert schedule.price_many(several) == expected
    carried: dict[tuple[str, int, int], int] = {}
    half = len(several) // 2
    in_two = schedule.price_many(several[:half], carried) + schedule.price_many(several[half:], carried)
    assert (in_two, carried) == (expected, volumes)


STEPS = (
    Tier(rate_e6=6_000, fixed_minor={"CNY": 10}),
    Tier(from_minor=100_000, rate_e6=5_000),
    Tier(from_minor=200_000, rate_e6=4_000),
)
CNY = Match(currencies=("CNY",))


@pytest.mark.parametrize(
    ("charge", "movement", "expected"),
    [
        (flat(6_000), sale(10_000), (60, 0)),
        (flat(6_000), sale(75), (0, 0)),
        (flat(6_000, rounding=Rounding.UP), sale(75), (1, 0)),
        (flat(5_000), sale(100), (1, 0)),
        (flat(5_000, rounding=Rounding.HALF_EVEN), sale(100), (0, 0)),
        (flat(5_000, rounding=Rounding.HALF_EVEN), sale(300), (2, 0)),
        (flat(5_000, rounding=Rounding.HALF_DOWN), sale(300), (1, 0)),
        (flat(22_750), sale(1_000, "BHD"), (23, 0)),
        (flat(32_500), sale(1_000, "JPY"), (33, 0)),
        (flat(6_000), sale(10_000, kind="refund"), (0, 0)),
        (Charge(name="x", match=CNY, tiers=STEPS), sale(50_000, volume_minor=99_999), (310, 0)),
        (Charge(name="x", match=CNY, tiers=STEPS), sale(50_000, volume_minor=100_000), (250, 0)),
        (
            Charge(name="x", match=CNY, tiers=STEPS, tier_mode=TierMode.MARGINAL),
            sale(200_000, volume_minor=50_000),
            (50 * 6 + 10 + 100 * 5 + 50 * 4, 0),
        ),
        (flat(6_000, free_minor={"CNY": 30_000}), sale(10_000, volume_minor=20_000), (0, 0)),
        (flat(6_000, free_minor={"CNY": 30_000}), sale(10_000, volume_minor=25_000), (30, 0)),
        (flat(6_000, free_minor={"CNY": 30_000}), sale(10_000, "JPY"), (60, 0)),
        (flat(6_000, min_minor={"CNY": 100}), sale(10_000), (100, 0)),
        (flat(6_000, max_minor={"CNY": 50}), sale(10_000), (50, 0)),
        (flat(6_000, min_minor={"CNY": 100}, free_minor={"CNY": 10_000}), sale(10_000), (0, 0)),
        (flat(6_000, tax_e6=60_000), sale(10_000), (64, 4)),
        (flat(6_000, tax_e6=60_000, tax_included=True), sale(10_000), (60, 3)),
        (flat(6_000, from_on=ON), sale(10_000), (60, 0)),
        (flat(6_000, until_on=ON), sale(10_000), (0, 0)),
        (
            Charge(name="x", match=Match(kinds=("dispute",), currencies=("CNY",)), tiers=(STEPS[0],)),
            sale(0, kind="dispute"),
            (10, 0),
        ),
        (
            flat(6_000, match=Match(currencies=("CNY",), amount_from_minor=100, amount_to_minor=10_000)),
            sale(10_000),
            (0, 0),
        ),
    ],
)
def test_price_one_charge_gives_fee_and_tax(
    charge: Charge, movement: Priceable, expected: tuple[int, int]
) -> None:
    assert pair(of(charge).price(movement)) == expected


def test_price_shares_are_taken_of_the_fee_before_tax_wherever_they_stand() -> None:
    schedule = of(
        flat(35_000, "commission", bearer=Bearer.AGENT, basis=Basis.FEE),
        flat(120_000, "surtax", basis=Basis.FEE),
        flat(6_000, tax_e6=60_000),
        flat(2_000, "interchange", bearer=Bearer.HOUSE),
    )
    priced = schedule.price(sale(1_000_000))
    # 6,000 and tax of 360; 12 % of 6,000; 3.5 % of 6,720; 0.2 % of the amount.
    assert as_told(priced) == [
        ("commission", Bearer.AGENT, 235, 0),
        ("surtax", Bearer.MERCHANT, 720, 0),
        ("processing", Bearer.MERCHANT, 6_360, 360),
        ("interchange", Bearer.HOUSE, 2_000, 0),
    ]
    assert (priced.merchant_minor, priced.house_minor, priced.agent_minor, priced.tax_minor) == (
        7_080, 2_000, 235, 360,
    )  # fmt: skip


def test_price_promotion_comes_before_the_list_price_only_on_its_days() -> None:
    schedule = of(flat(0, from_on=ON, until_on=ON + timedelta(2)), flat(6_000))
    fees = [schedule.price(sale(10_000, on=ON + timedelta(day))).merchant_minor for day in (-1, 0, 1, 2)]
    assert fees == [60, 0, 0, 60]


def test_give_back_of_a_refund_that_failed_charges_it_again() -> None:
    schedule = of(flat(6_000, on_refund=OnRefund.RETURNED))
    paid = schedule.price(sale(1_667))
    first = schedule.give_back(
        paid, amount_minor=900, original_minor=1_667, refunded_before_minor=0, given_before=Priced()
    )
    again = schedule.give_back(
        paid, amount_minor=-900, original_minor=1_667, refunded_before_minor=900, given_before=first
    )
    assert (paid.merchant_minor, first.merchant_minor, again.merchant_minor) == (10, -5, 5)


@pytest.mark.parametrize(("amount", "before"), [(101, 0), (1, 100), (-1, 0), (50, -1)])
def test_give_back_beyond_the_payment_is_refused(amount: int, before: int) -> None:
    schedule = of(flat(6_000))
    with pytest.raises(InvalidRequest, match="refund_above_payment"):
        schedule.give_back(
            Priced(),
            amount_minor=amount,
            original_minor=100,
            refunded_before_minor=before,
            given_before=Priced(),
        )


def test_give_back_of_a_part_of_another_list_is_an_alarm() -> None:
    stranger = Priced((FeePart("other", Bearer.MERCHANT, 5),), 5)
    with pytest.raises(InvariantBroken, match="fee_part_unknown"):
        of(flat(6_000)).give_back(
            stranger, amount_minor=1, original_minor=1, refunded_before_minor=0, given_before=Priced()
        )


@pytest.mark.parametrize(
    ("movement", "code"),
    [
        (sale(-1), "amount_negative"),
        (sale(1, volume_minor=-1), "amount_negative"),
        (sale(1, "XXX"), "currency_without_minor_unit"),
        (sale(1, "QQQ"), "currency_unknown"),
        (sale(2**63 - 1, "CNY"), "amount_out_of_range"),
    ],
)
def test_price_what_is_no_movement_is_refused(movement: Priceable, code: str) -> None:
    schedule = of(flat(1_000_000), flat(1_000_000, "again"))
    with pytest.raises(InvalidRequest, match=code):
        schedule.price(movement)


def test_price_many_out_of_order_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="movements_unordered"):
        of(flat(1)).price_many([sale(1), sale(1, on=ON - timedelta(1))])


def test_price_many_more_kinds_than_are_remembered_stays_right() -> None:
    schedule = of(flat(6_000, match=Match(stores=("s1",))), flat(1_000, "other"))
    several = [sale(10_000, store=f"s{place}") for place in range(PLANS_MAX + 500)]
    assert [each.merchant_minor for each in schedule.price_many(several)[:3]] == [10, 70, 10]
    assert schedule.price(several[1]).merchant_minor == 70
    assert len(several) < MOVEMENTS_MAX


def test_join_lists_that_share_a_name_is_refused() -> None:
    one = ScheduleSpec(charges=(flat(1),))
    with pytest.raises(InvalidRequest, match="schedule_invalid"):
        joined(one, one)


@pytest.mark.parametrize(
    ("card", "merchant", "expected"),
    [
        ("CN", "CN", "domestic"),
        ("DE", "FR", "intra"),
        ("NO", "IE", "intra"),
        ("GB", "FR", "inter"),
        ("CN", "HK", "inter"),
        ("", "CN", ""),
        ("CN", "", ""),
    ],
)
def test_region_of_a_card_follows_the_two_countries(card: str, merchant: str, expected: str) -> None:
    assert region_of(card, merchant) == expected
