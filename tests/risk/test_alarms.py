"""Alarms: the limits, what chance alone may do, who has to go, and the sentences."""

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from tongbao.risk.policy.alarms import (
    COUNT_MIN,
    FEATURE_ALARMS_MAX,
    alarm_text,
    alarms,
    alert_ratio,
    must_roll_back,
    standing,
)
from tongbao.risk.schema.models import (
    Alarm,
    AlarmKind,
    AlertCounts,
    CalibrationFit,
    Change,
    DriftFacts,
    Interval,
    Severity,
    Shift,
    Standing,
)

AT = datetime(2026, 3, 1, tzinfo=UTC)
RIGHT = Interval(1.0, 0.9, 1.1)
ZERO = Interval(0.0, -0.1, 0.1)


def shift(psi: float, noise: float = 0.02, count: int = 5_000, name: str = "score") -> Shift:
    return Shift(name=name, psi=psi, noise=noise, count=count)


def seen(**facts: object) -> DriftFacts:
    return msgspec.convert({"model": "m", "at": AT, **facts}, DriftFacts, from_attributes=True)


def fit(slope: Interval = RIGHT, level: Interval = ZERO) -> CalibrationFit:
    return CalibrationFit(slope=slope, intercept=ZERO, level=level, count=9_000, fraud_count=90)


def counts(alerts: int, before: int, payments: int = 10_000) -> AlertCounts:
    return AlertCounts(alerts=alerts, payments=payments, alerts_before=before, payments_before=10_000)


CASES = [
    ("nothing wrong", seen(score=shift(0.05), calibration=fit(), alerts=counts(250, 240)), [], False),
    ("nothing known", seen(), [], False),
    ("score moved a little", seen(score=shift(0.15)), [("score_drift", "notice")], False),
    ("score moved far", seen(score=shift(0.25)), [("score_drift", "critical")], True),
    ("score at the limit", seen(score=shift(0.2)), [("score_drift", "notice")], False),
    ("score moved within noise", seen(score=shift(0.25, noise=0.3)), [], False),
    ("score of a handful", seen(score=shift(0.9, count=COUNT_MIN - 1)), [], False),
    ("a feature moved far", seen(features=(shift(2.0, name="x"),)), [("feature_drift", "warning")], False),
    ("alerts doubled", seen(alerts=counts(500, 250)), [("alert_rate", "critical")], True),
    ("alerts vanished", seen(alerts=counts(0, 250)), [("alert_rate", "critical")], True),
    ("alerts 29 % more", seen(alerts=counts(129 * 20, 100 * 20)), [], False),
    ("alerts few, perhaps more", seen(alerts=counts(8, 5)), [("alert_rate", "warning")], False),
    ("alerts of a handful", seen(alerts=counts(50, 5, payments=100)), [], False),
    ("slope surely low", seen(calibration=fit(Interval(0.6, 0.5, 0.7))), [("calibration_slope", "critical")], True),
    ("slope perhaps low", seen(calibration=fit(Interval(0.6, 0.1, 1.1))), [("calibration_slope", "warning")], False),
    ("slope surely high", seen(calibration=fit(Interval(1.4, 1.2, 1.6))), [("calibration_slope", "critical")], True),
    ("more fraud", seen(calibration=fit(level=Interval(0.5, 0.3, 0.7))), [("calibration_level", "warning")], False),
    ("mean changed", seen(changes=(Change(name="error", before=0.01, after=0.03, count=800),)), [("mean_changed", "warning")], False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "expected", "goes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_alarms_of_facts(facts: DriftFacts, expected: list[tuple[str, str]], goes: bool) -> None:
    found = alarms(facts)
    assert [(each.kind.value, each.severity.value) for each in found] == expected
    assert must_roll_back(found) is goes


def test_alarms_stand_worst_first_and_name_the_farthest_features() -> None:
    features = tuple(shift(0.3 + place / 100, name=f"f{place}") for place in range(20))
    found = alarms(seen(features=features, score=shift(0.5), changes=()))
    assert found[0].severity is Severity.CRITICAL
    assert [each.subject for each in found[1:3]] == ["f19", "f18"]
    assert len(found) == 1 + FEATURE_ALARMS_MAX


def test_standing_goes_back_only_where_that_helps() -> None:
    critical, quiet = alarms(seen(score=shift(0.5))), alarms(seen(score=shift(0.05)))
    assert standing(quiet, quiet) is Standing.KEEP
    assert standing(quiet, None) is Standing.KEEP
    assert standing(critical, quiet) is Standing.ROLL_BACK
    assert standing(critical, critical) is Standing.RETRAIN
    assert standing(critical, None) is Standing.RETRAIN


def test_alert_ratio_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        ratio = alert_ratio(
            AlertCounts(
                alerts=int(rng.binomial(4_000, 0.03)),
                payments=4_000,
                alerts_before=int(rng.binomial(9_000, 0.02)),
                payments_before=9_000,
            )
        )
        assert ratio is not None
        held += ratio.holds(1.5)
    assert 0.92 <= held / 400 <= 0.98
    assert alert_ratio(counts(0, 0)) is None


def test_every_alarm_has_sentences_in_both_languages() -> None:
    for kind in AlarmKind:
        for severity in Severity:
            alarm = Alarm(
                kind=kind,
                severity=severity,
                value=0.31,
                low=0.7,
                high=1.3,
                subject="x1",
                before=0.1,
                count=5_000,
            )
            english, chinese = alarm_text(alarm, "en"), alarm_text(alarm, "zh-CN")
            assert "0.31" in english
            assert "0.31" in chinese
            assert english.isascii()
            assert chinese.endswith("。")
            assert "{" not in english + chinese
    found = alarms(seen(score=shift(0.25)))
    assert alarm_text(found[0], "en") == (
        "Scores no longer look as in training: stability index 0.25, at most 0.2 (5,000 payments). Act at once."
    )
    assert (
        alarm_text(found[0], "zh")
        == "评分分布已偏离训练时：稳定性指数 0.25，上限 0.2（5,000 笔支付）。需立即处理。"
    )
