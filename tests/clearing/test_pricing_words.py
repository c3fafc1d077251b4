"""A change of prices in words, in both languages."""

from datetime import date

from tongbao.clearing.policy.price_diff import diff
from tongbao.clearing.policy.price_texts import charge_text, rate_text
from tongbao.clearing.schema.fees import (
    Basis,
    Bearer,
    Charge,
    Match,
    OnRefund,
    ScheduleSpec,
    Tier,
    TierMode,
)

CARD = Charge(
    name="card",
    match=Match(methods=("card",), currencies=("USD",)),
    tiers=(Tier(rate_e6=29_000, fixed_minor={"USD": 30}),),
)
CHEAPER = Charge(
    name="card",
    match=Match(methods=("card",), currencies=("USD",)),
    tiers=(Tier(rate_e6=27_500, fixed_minor={"USD": 30}),),
    max_minor={"USD": 5_000},
)
DISPUTE = Charge(
    name="dispute",
    match=Match(kinds=("dispute",), currencies=("USD",)),
    tiers=(Tier(fixed_minor={"USD": 1_500}),),
)


def spec(*charges: Charge) -> ScheduleSpec:
    return ScheduleSpec(charges=charges)


def test_diff_of_equal_lists_is_nothing() -> None:
    assert diff(spec(CARD), spec(CARD), "en") == ("Nothing differs.",)
    assert diff(spec(CARD), spec(CARD), "zh-CN") == ("没有变化。",)


def test_diff_of_a_changed_charge_tells_each_term_before_and_after() -> None:
    assert diff(spec(CARD), spec(CHEAPER), "en") == (
        "Changed: card (for sale; method card; currency USD): price from 2.9 % + 0.30 USD to 2.75 % + 0.30 USD; "
        "bounds from none to at most 50.00 USD.",
    )
    assert diff(spec(CARD), spec(CHEAPER), "zh") == (
        "修改：card（适用于 sale；支付方式 card；币种 USD）：价格由“2.9 % + 0.30 USD”改为“2.75 % + 0.30 USD”；"
        "上下限由“无”改为“最高 50.00 USD”。",
    )


def test_diff_of_other_charges_tells_what_came_and_went() -> None:
    came, went = diff(spec(CARD), spec(DISPUTE), "en")
    assert came == (
        "Added: dispute (for dispute; currency USD): paid by the merchant; 15.00 USD; on refund kept; rounding half up."
    )
    assert went.startswith("Removed: card (")


def test_diff_of_charges_of_one_name_in_another_order_is_told() -> None:
    any_card = Charge(name="card", match=Match(methods=("card",)), tiers=(Tier(rate_e6=1),))
    assert diff(spec(CARD, any_card), spec(any_card, CARD), "en") == (
        "The order of card differs: of its charges the first that matches counts.",
    )
    assert diff(spec(CARD, DISPUTE), spec(DISPUTE, CARD), "en") == ("Nothing differs.",)


def test_text_of_a_charge_with_every_term_names_them_all() -> None:
    full = Charge(
        name="everything",
        match=Match(currencies=("CNY",), amount_from_minor=100, amount_to_minor=5_000_000),
        tiers=(Tier(rate_e6=6_000), Tier(from_minor=10_000_000, rate_e6=3_800)),
        tier_mode=TierMode.MARGINAL,
        min_minor={"CNY": 1},
        free_minor={"CNY": 1_000_000},
        from_on=date(2026, 3, 1),
        until_on=date(2026, 4, 1),
        tax_name="VAT",
        tax_e6=60_000,
        tax_included=True,
        on_refund=OnRefund.RETURNED,
    )
    assert charge_text(full, "en") == (
        "everything (for sale; currency CNY; amount from 1.00 CNY; amount below 50000.00 CNY; from 2026-03-01; "
        "before 2026-04-01): paid by the merchant; 0.6 %, from 100000.00 CNY a month 0.38 %; "
        "steps for the part in each step; bounds at least 0.01 CNY; free volume 10000.00 CNY; "
        "tax VAT 6 % included; on refund returned; rounding half up"
    )
    assert "月交易额满 100000.00 CNY 起 0.38 %" in charge_text(full, "zh-CN")


def test_text_of_a_share_names_the_fee_and_the_agent() -> None:
    share = Charge(name="commission", bearer=Bearer.AGENT, basis=Basis.FEE, tiers=(Tier(rate_e6=35_000),))
    assert "paid to the agent; 3.5 % of the fee" in charge_text(share, "en")
    assert "支付给代理商；3.5 %（按手续费计）" in charge_text(share, "zh")


def test_text_of_a_rate_is_exact() -> None:
    rates = [rate_text(rate) for rate in (0, 1, 325, 3_800, 20_000, 1_000_000)]
    assert rates == ["0 %", "0.0001 %", "0.0325 %", "0.38 %", "2 %", "100 %"]
