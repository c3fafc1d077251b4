"""Compiling: from JSON to what decides, with the path of what is wrong."""

from typing import Any

import pytest

from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.risk.policy.exploring import Exploring
from tongbao.risk.policy.tiering import Range, terms_of
from tongbao.risk.schema.tiers import Costs, Tier
from tongbao.risk.service.compiling import (
    DEFAULT,
    JUDGEMENT_PRICE,
    POLICY,
    checker,
    checker_over,
    compile_spec,
)

RULE = 'high: when amount > 500 EUR then step_up because "much" owner mei'
TESTED = RULE + '\n    test "much": amount = {amount} EUR -> matches'


def test_compile_nothing_gives_the_default() -> None:
    assert compile_spec({}) == DEFAULT
    assert DEFAULT.terms == terms_of(Costs(), JUDGEMENT_PRICE, JUDGEMENT_PRICE)
    assert compile_spec({"model": "ab"}).terms == terms_of(Costs())
    assert DEFAULT.exploring.share == 0
    assert DEFAULT.rules.rules == ()
    assert POLICY == "risk"


def test_compile_whole_spec_gives_its_parts() -> None:
    found = compile_spec(
        {
            "model": "ab12",
            "costs": {"review_fee": 700},
            "review_price": 25.5,
            "explore_share": 0.05,
            "explore_value_max": 9_000,
            "can_step_up": False,
            "fallback": "review",
            "rules": RULE,
        }
    )
    assert found.terms.review == 725.5
    assert found.terms.step_up == 5
    assert found.exploring == Exploring(0.05, 9_000)
    assert found.within == Range(can_step_up=False)
    assert found.rules.rules[0].act.value == "step_up"
    assert found.spec.fallback is Tier.REVIEW


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"costs": {"nonsense": 1}}, "costs.nonsense"),
        ({"costs": {"fraud_fee": -1}}, "costs.fraud_fee"),
        ({"costs": {"margin_bps": 10_001}}, "costs.margin_bps"),
        ({"costs": []}, "costs"),
        ({"step_up_price": -1}, "step_up_price"),
        ({"review_price": float("nan")}, "review_price"),
        ({"explore_share": 0.21}, "explore_share"),
        ({"fallback": "shrug"}, "fallback"),
        ({"model": "Not A Digest"}, "model"),
        ({"can_step_up": False}, "fallback"),
        ({"can_review": False, "fallback": "review"}, "fallback"),
        ({"can_review": False, "review_price": 1.0}, "review_price"),
        ({"can_step_up": False, "step_up_price": 1.0, "fallback": "review"}, "step_up_price"),
        (
            {"can_step_up": False, "can_review": False, "fallback": "decline", "explore_share": 0.1},
            "explore_share",
        ),
        ({"rules": "x" * 60_001}, "rules"),
    ],
)
def test_compile_what_cannot_be_meant_names_its_path(spec: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        compile_spec(spec)
    assert error.value.code == "policy_spec_invalid"
    assert error.value.facts["path"] == path
    assert error.value.detail


def test_compile_rules_that_do_not_parse_is_refused_with_their_place() -> None:
    with pytest.raises(InvalidRequest) as error:
        compile_spec({"rules": "high: when amount >\n"})
    assert error.value.code == "rules_invalid"
    assert error.value.facts["line"] == 1


def test_compile_rules_about_a_list_that_there_is_not_is_refused() -> None:
    rules = RULE.replace("amount > 500 EUR", 'listed("trusted")')
    assert len(compile_spec({"rules": rules}, lists={"trusted"}).rules.rules) == 1
    with pytest.raises(InvalidRequest) as error:
        compile_spec({"rules": rules}, lists=())
    assert error.value.code == "rules_invalid"


def test_checker_passes_sound_drafts_and_refuses_those_whose_own_tests_fail() -> None:
    check = checker()
    check({})
    check({"rules": TESTED.format(amount=501)})
    with pytest.raises(InvalidRequest) as error:
        check({"rules": TESTED.format(amount=499)})
    assert error.value.code == "rules_tests_failed"
    assert compile_spec({"rules": TESTED.format(amount=499)}).rules.rules


async def test_checker_of_a_house_refuses_a_model_that_nobody_kept(database: Database) -> None:
    check = checker_over(database)
    await check({"rules": TESTED.format(amount=501)})
    with pytest.raises(NotFound) as unknown:
        await check({"model": "00ff"})
    assert (unknown.value.code, unknown.value.facts) == ("model_unknown", {"digest": "00ff"})
    with pytest.raises(InvalidRequest) as invalid:
        await check({"model": "Not A Digest"})
    assert invalid.value.code == "policy_spec_invalid"
