"""What no list of prices may say, each refused with the path of the field."""

import re
from datetime import date
from typing import Any

import pytest

from tongbao.clearing.policy.fee_checks import may_meet, read_spec
from tongbao.clearing.policy.fees import compile_schedule
from tongbao.clearing.schema.fees import Charge, Match, ScheduleSpec, Tier
from tongbao.core.errors import InvalidRequest

FEE: dict[str, Any] = {"name": "fee", "tiers": [{"rate_e6": 6_000}]}
IN_CNY = {"currencies": ["CNY"]}


def refusal(*charges: dict[str, Any]) -> str:
    with pytest.raises(InvalidRequest, match="schedule_invalid") as caught:
        read_spec({"charges": list(charges)})
    assert caught.value.facts["reason"]
    return str(caught.value.facts["path"])


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"name": "x" * 81}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"tax_name": "x" * 65}, "tax_name"),
        ({"tiers": []}, "tiers"),
        ({"tiers": [{"from_minor": 5}]}, "tiers[0].from_minor"),
        (
            {"match": IN_CNY, "tiers": [{}, {"from_minor": 5}, {"from_minor": 5}]},
            "tiers[2].from_minor",
        ),
        ({"tiers": [{}, {"from_minor": 5}]}, "match.currencies"),
        ({"tiers": [{"rate_e6": 1_000_001}]}, "tiers[0].rate_e6"),
        ({"tiers": [{"rate_e6": 0.5}]}, "tiers[0].rate_e6"),
        ({"tiers": [{"rate_e6": -1}]}, "tiers[0].rate_e6"),
        ({"tiers": [{"fixed_minor": {"CNY": 5}}]}, "match.currencies"),
        (
            {"match": {"currencies": ["CNY", "EUR"]}, "tiers": [{"fixed_minor": {"CNY": 5}}]},
            "tiers[0].fixed_minor",
        ),
        ({"tiers": [{"rate_e6": 1, "fixed_minor": {"QQQ": 5}}]}, "tiers[0].fixed_minor"),
        ({"tiers": [{"rate_e6": 1, "fixed_minor": {"cny": 5}}]}, "tiers[0].fixed_minor"),
        ({"min_minor": {"XAU": 5}}, "min_minor"),
        ({"min_minor": {"CNY": 6}, "max_minor": {"CNY": 5}}, "min_minor.CNY"),
        ({"match": IN_CNY, "max_minor": {"EUR": 5}}, "max_minor.EUR"),
        ({"match": {"currencies": ["QQQ"]}}, "match.currencies"),
        ({"match": {"kinds": []}}, "match.kinds"),
        ({"match": {"kinds": ["sell"]}}, "match.kinds[0]"),
        ({"match": {"fundings": ["debit", "loan"]}}, "match.fundings[1]"),
        ({"match": {"regions": ["moon"]}}, "match.regions[0]"),
        ({"match": {"packages": ["gold"]}}, "match.packages[0]"),
        ({"match": {"mccs": ["541"]}}, "match.mccs[0]"),
        ({"match": {"brands": ["visa", "visa"]}}, "match.brands"),
        ({"match": {"stores": [""]}}, "match.stores[0]"),
        ({"match": {"amount_from_minor": 5}}, "match.currencies"),
        ({"match": {**IN_CNY, "amount_from_minor": 5, "amount_to_minor": 5}}, "match.amount_to_minor"),
        ({"match": {**IN_CNY, "amount_to_minor": 0}}, "match.amount_to_minor"),
        ({"from_on": "2026-03-01", "until_on": "2026-03-01"}, "until_on"),
        ({"from_on": "2026-02-30"}, "from_on"),
        ({"bearer": "payer"}, "bearer"),
        ({"surprise": 1}, ""),
        ({"basis": "fee"}, "basis"),
    ],
)
def test_read_a_charge_that_cannot_be_meant_is_refused_at_its_field(wrong: dict[str, Any], path: str) -> None:
    assert refusal(FEE | wrong) == f"$.charges[0].{path}".rstrip(".")


@pytest.mark.parametrize(
    ("charges", "path"),
    [
        ([FEE, FEE], "$.charges[1]"),
        ([FEE, FEE | {"match": IN_CNY}], "$.charges[1]"),
        ([FEE, FEE | {"from_on": "2026-03-01"}], "$.charges[1]"),
        ([FEE | {"match": IN_CNY}, FEE | {"bearer": "house"}], "$.charges[1].bearer"),
        ([FEE | {"match": IN_CNY}, FEE | {"on_refund": "returned"}], "$.charges[1].on_refund"),
        ([FEE, FEE | {"name": "share", "basis": "fee", "free_minor": {"CNY": 1}}], "$.charges[1].free_minor"),
        ([FEE, FEE | {"name": "share", "basis": "fee", "tier_mode": "marginal"}], "$.charges[1].tier_mode"),
        (
            [FEE, FEE | {"name": "share", "basis": "fee", "match": {"kinds": ["dispute"]}}],
            "$.charges[1].basis",
        ),
        ([FEE | {"bearer": "house"}, FEE | {"name": "share", "basis": "fee"}], "$.charges[1].basis"),
    ],
)
def test_read_charges_that_contradict_each_other_are_refused(
    charges: list[dict[str, Any]], path: str
) -> None:
    assert refusal(*charges) == path


@pytest.mark.parametrize(
    "charges",
    [
        [],
        [FEE | {"match": IN_CNY}, FEE],
        [FEE | {"until_on": "2026-03-01"}, FEE],
        [FEE | {"match": {**IN_CNY, "amount_to_minor": 500}}, FEE | {"match": IN_CNY}],
        [FEE, FEE | {"name": "share", "basis": "fee", "bearer": "agent"}],
        [FEE | {"tiers": [{"rate_e6": 29_000, "fixed_minor": {"USD": 30}}]}],
        [FEE | {"tiers": [{}]}],
    ],
)
def test_read_what_can_be_meant_is_taken(charges: list[dict[str, Any]]) -> None:
    assert len(read_spec({"charges": charges}).charges) == len(charges)


@pytest.mark.parametrize("data", [None, [], "x", {"charges": [FEE] * 501}, {"price": 1}])
def test_read_what_is_no_list_is_refused(data: object) -> None:
    with pytest.raises(InvalidRequest, match="schedule_invalid"):
        read_spec(data)


def test_compile_values_made_in_code_are_checked_like_those_that_came_as_json() -> None:
    spec = ScheduleSpec(charges=(Charge(name="x" * 81, tiers=(Tier(rate_e6=1),)),))
    with pytest.raises(InvalidRequest, match=re.escape("$.charges[0].name")):
        compile_schedule("x", 1, spec)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Match(), Match(currencies=("CNY",)), True),
        (Match(currencies=("EUR",)), Match(currencies=("CNY",)), False),
        (Match(amount_to_minor=5), Match(amount_from_minor=5), False),
        (Match(amount_to_minor=6), Match(amount_from_minor=5), True),
    ],
)
def test_meet_two_matches_only_where_a_movement_fits_both(one: Match, other: Match, expected: bool) -> None:
    assert may_meet(one, other) is may_meet(other, one) is expected


def test_read_dates_of_a_promotion_are_days() -> None:
    spec = read_spec({"charges": [FEE | {"from_on": "2026-03-01", "until_on": "2026-04-01"}]})
    assert spec.charges[0].until_on == date(2026, 4, 1)
