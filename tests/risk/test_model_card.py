"""Model cards: every fact is told in both languages, nothing brings markup with it, equal facts give equal text."""

from datetime import UTC, date, datetime, timedelta, timezone

import msgspec
import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.risk.policy import model_card_texts
from tongbao.risk.policy.model_card import FEATURES_SHOWN, fairness_ratio, model_card
from tongbao.risk.schema.models import (
    CalibrationFit,
    DriftFacts,
    FeatureImportance,
    GroupCounts,
    Interval,
    ModelFacts,
    ModelMetrics,
    ModelVersions,
    Shift,
    Threshold,
)


def facts(**changes: object) -> ModelFacts:
    whole = ModelFacts(
        digest="a1b2c3d4e5f60718",
        kind="gbdt",
        trained_from=date(2026, 1, 1),
        trained_to=date(2026, 2, 26),
        labels_known_at=datetime(2026, 3, 5, tzinfo=UTC),
        label_delay_s=7 * 86_400,
        train_count=540_123,
        train_fraud_count=4_321,
        seed=7,
        metrics=ModelMetrics(
            ap=0.7512,
            auc=0.8756,
            count=58_264,
            fraud_count=385,
            calibration=CalibrationFit(
                slope=Interval(0.98, 0.91, 1.05),
                intercept=Interval(-0.05, -0.2, 0.1),
                level=Interval(-0.02, -0.1, 0.06),
                count=58_264,
                fraud_count=385,
            ),
            cost=15.1,
            baseline_ap=0.687,
            baseline_cost=29.9,
        ),
        versions=ModelVersions(features="f3", policy="12", libraries={"numpy": "2.4", "lightgbm": "4.7"}),
        features=tuple(
            FeatureImportance(name=f"feature_{place:02}", group=("card", "merchant")[place % 2], share=share)
            for place, share in enumerate([0.3, 0.2, *[0.02] * 25])
        ),
        thresholds=(
            Threshold(tier="review", value=20_000, score=0.31),
            Threshold(tier="step_up", value=20_000, score=0.021),
        ),
        groups=(
            GroupCounts(group="b", good_count=10_000, false_count=400),
            GroupCounts(group="a", good_count=10_000, false_count=200),
            GroupCounts(group="c", good_count=50, false_count=9),
        ),
        drift=DriftFacts(
            model="a1b2",
            at=datetime(2026, 3, 20, tzinfo=UTC),
            score=Shift(name="score", psi=0.31, noise=0.01, count=9_000),
            features=tuple(
                Shift(name=f"f{place}", psi=0.07 + place / 1_000, noise=0.01, count=9_000)
                for place in range(5)
            ),
        ),
        limits_zh=("只在卡支付上训练。",),
        limits_en=("Trained on card payments only.",),
    )
    return msgspec.structs.replace(whole, **changes)


def test_card_tells_every_fact_in_both_languages() -> None:
    for language, words in (
        ("en", ["step-up", "Trained on card payments only."]),
        ("zh-CN", ["加验", "只在卡支付上训练。"]),
    ):
        text = model_card(facts(), language)
        numbers = [
            "a1b2c3d4e5f6", "2026-01-01", "2026-02-26", "2026-03-05", "540,123", "4,321", "0.7512", "0.8756", "0.6870",
            "0.980 (0.910 – 1.050)", "0.1510", "0.2990", "feature\\_00", "30.00 %", "200.00", "0.0210", "0.3100", "0.31",
            "lightgbm | 4.7", "f3", "| 0.310 |", "| 0.074 |", "| 0.072 |", "0.50 ⚠",
        ]  # fmt: skip
        for each in numbers + words:
            assert each in text, each
        assert "{" not in text


def test_equal_facts_in_any_order_give_equal_text() -> None:
    turned = facts(
        features=facts().features[::-1], groups=facts().groups[::-1], thresholds=facts().thresholds[::-1]
    )
    for language in ("en", "zh"):
        assert model_card(turned, language) == model_card(facts(), language)


def test_tables_have_as_many_cells_as_heads() -> None:
    widths: list[int] = []
    for line in [*model_card(facts(), "en").splitlines(), ""]:
        if line.startswith("|"):
            widths.append(line.count("|"))
        elif widths:
            assert len(set(widths)) == 1
            widths = []


def test_features_are_shown_heaviest_first_and_the_rest_summed() -> None:
    text = model_card(facts(), "en")
    assert text.index("feature\\_00") < text.index("feature\\_01") < text.index("feature\\_02")
    assert text.count("| feature\\_") == FEATURES_SHOWN
    assert "The other 7 features have 14.00 % together." in text


def test_group_that_is_stopped_more_often_is_marked() -> None:
    rows = {
        line.split("|")[1].strip(): line
        for line in model_card(facts(), "en").splitlines()
        if line.startswith("|")
    }
    assert "| 2.00 % |" in rows["a"]
    assert "1.00 |" in rows["a"]
    assert "0.50 ⚠" in rows["b"]
    assert "too few" in rows["c"]


def test_fairness_ratio_leaves_out_groups_of_a_handful() -> None:
    assert fairness_ratio(facts().groups) == pytest.approx(0.5)
    assert fairness_ratio(facts().groups[:1]) is None
    clean = [GroupCounts(group=name, good_count=500, false_count=0) for name in "ab"]
    assert fairness_ratio(clean) == 1


def test_group_without_any_alarm_beside_one_with_few_is_not_marked_by_chance() -> None:
    groups = (
        GroupCounts(group="a", good_count=200, false_count=0),
        GroupCounts(group="b", good_count=200, false_count=1),
    )
    assert "⚠" not in model_card(facts(groups=groups), "en").partition("## Fairness")[2].partition("| a |")[2]


def test_what_is_not_known_is_said() -> None:
    bare = facts(
        groups=(),
        drift=None,
        metrics=ModelMetrics(ap=0.5, auc=0.7, count=10, fraud_count=2),
        features=(),
        thresholds=(),
    )
    assert model_card_texts.NO_GROUPS[1] in model_card(bare, "en")
    assert model_card_texts.NO_DRIFT[0] in model_card(bare, "zh")
    quiet = facts(drift=DriftFacts(model="m", at=datetime(2026, 3, 20, tzinfo=UTC)))
    assert "No alarms at 2026-03-20 00:00 (UTC)." in model_card(quiet, "en")


def test_instants_are_told_in_utc() -> None:
    beijing = datetime(2026, 3, 5, 8, tzinfo=timezone(timedelta(hours=8)))
    assert model_card(facts(labels_known_at=beijing), "en") == model_card(facts(), "en")


def test_names_bring_no_markup() -> None:
    groups = (GroupCounts(group="<b>x|y</b>\n# head", good_count=500, false_count=1),)
    text = model_card(facts(groups=groups), "en")
    assert "\\<b\\>x\\|y\\</b\\> \\# head" in text


def test_groups_that_cannot_be_are_refused() -> None:
    for groups in (
        (GroupCounts(group="a", good_count=5, false_count=6),),
        tuple(GroupCounts(group=str(place), good_count=5, false_count=0) for place in range(51)),
    ):
        with pytest.raises(InvalidRequest, match="model_card_groups_invalid"):
            model_card(facts(groups=groups), "en")
