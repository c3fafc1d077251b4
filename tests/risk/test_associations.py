"""Mined rules: planted ones are found, noise is not, figures are those of plain counting, the text is a rule."""

import re

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.policy.expression_language import Field, FieldType, Language
from tongbao.decisions.policy.expressions import compile_condition
from tongbao.risk.models.associations import HELD_OUT_SHARE, Limits, MinedRule, Payments, mine, plain_number

NAMES = ("card_count_1h", "device_trust", "amount_ratio", "hour")


def payments(seed: int, planted: float = 0.5, count: int = 20_000) -> Payments:
    """Half of what has many payments of the card and little trust is fraud; one percent of the rest."""
    rng = np.random.default_rng(seed)
    rows = np.column_stack(
        [rng.poisson(1.5, count), rng.random(count), rng.lognormal(size=count), rng.random(count) * 24]
    )
    countries = rng.choice(["CN", "DE", "NG", 'X"'], count, p=[0.6, 0.3, 0.09, 0.01])
    hot = (rows[:, 0] > 3) & (rows[:, 1] < 0.25)
    is_fraud = rng.random(count) < np.where(hot, planted, 0.01)
    is_fraud |= (countries == "NG") & (rng.random(count) < planted / 5)
    rows[::50, 2] = np.nan
    return Payments(names=NAMES, rows=rows, is_fraud=is_fraud, codes={"card_country": countries.tolist()})


@pytest.fixture(scope="module")
def rules() -> list[MinedRule]:
    return mine(payments(1))


def test_planted_rule_is_found_first(rules: list[MinedRule]) -> None:
    first = rules[0]
    assert "card_count_1h > 3" in first.text
    assert "device_trust <= 0.2" in first.text
    assert first.precision.holds(0.5)
    assert first.lift.low > 5
    assert any('card_country == "NG"' in each.text for each in rules)


def test_figures_are_those_of_counting_on_the_newer_payments(rules: list[MinedRule]) -> None:
    given_rows = payments(1)
    cut = round(len(given_rows.is_fraud) * (1 - HELD_OUT_SHARE))
    newer = given_rows.is_fraud[cut:]
    language = Language(
        (
            *(Field(name, FieldType.NUMBER, "a feature") for name in NAMES),
            Field("card_country", FieldType.TEXT, "a code"),
        )
    )
    for rule in rules[:5]:
        test = compile_condition(rule.text, language).test
        matched = np.array(
            [
                test({**dict(zip(NAMES, row.tolist(), strict=True)), "card_country": code})
                for row, code in zip(
                    given_rows.rows[cut:], given_rows.codes["card_country"][cut:], strict=True
                )
            ]
        )
        hits = int(np.sum(matched & newer))
        assert (rule.count, rule.fraud_count) == (int(matched.sum()), hits)
        assert rule.support == pytest.approx(matched.mean())
        assert rule.recall == pytest.approx(hits / newer.sum())
        assert rule.lift.value == pytest.approx(hits / matched.sum() / newer.mean())
        expected = stats.binomtest(
            hits, int(matched.sum()), float(newer.mean()), alternative="greater"
        ).pvalue
        assert rule.chance == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_rules_say_different_things_and_each_condition_earns_its_place(rules: list[MinedRule]) -> None:
    assert len({each.text for each in rules}) == len(rules)
    for rule in rules:
        assert rule.conditions == rule.text.count(" and ") + 1 <= 3
        sides = [tuple(part.split()[:2]) for part in rule.text.split(" and ")]
        assert len(set(sides)) == len(sides)


def test_equal_payments_give_equal_rules(rules: list[MinedRule]) -> None:
    assert mine(payments(1)) == rules


def test_noise_gives_no_rules() -> None:
    found = 0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(8_000, 6))
        noise = Payments(names=tuple("abcdef"), rows=rows, is_fraud=rng.random(8_000) < 0.03)
        found += len(mine(noise, Limits(lift_min=1.1, fraud_count_min=5)))
    assert found == 0


def test_too_little_fraud_gives_no_rules() -> None:
    rows = payments(1)
    none = Payments(names=NAMES, rows=rows.rows, is_fraud=np.zeros(len(rows.rows), dtype=bool))
    assert mine(none) == []


def test_limit_of_rules_is_kept() -> None:
    assert len(mine(payments(1, count=8_000), Limits(rules_max=2))) == 2


@pytest.mark.parametrize("code", ["", "x" * 65, 'X"', "通宝", "a\nb"])
def test_code_that_no_rule_can_say_is_left_out(code: str) -> None:
    given_rows = payments(1, count=8_000)
    codes = [code if each == "NG" else each for each in given_rows.codes["card_country"]]
    found = mine(msgspec.structs.replace(given_rows, codes={"card_country": codes}))
    assert found
    assert not any("card_country" in each.text for each in found)


@given(st.floats(-1e12, 1e12).filter(lambda value: value == 0 or abs(value) > 1e-9))
def test_plain_number_is_close_and_written_without_exponent(value: float) -> None:
    text = plain_number(value)
    assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text)
    assert float(text) == pytest.approx(value, rel=0.006)


def test_payments_that_do_not_fit_are_refused() -> None:
    given_rows = payments(1, count=500)
    for wrong in (
        Payments(names=NAMES[:2], rows=given_rows.rows, is_fraud=given_rows.is_fraud),
        Payments(names=NAMES, rows=given_rows.rows, is_fraud=given_rows.is_fraud, codes={"a": ["x"]}),
    ):
        with pytest.raises(InvalidRequest, match="association_rows_invalid"):
            mine(wrong)
