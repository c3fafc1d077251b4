"""Alarms about a model in use: what was seen of it in, what is wrong and how badly out. Pure.

An alarm is critical, and takes a model out of traffic, only where more than chance speaks: the score drifts beyond a
stability index of 0.2, alerts are 30 % more or fewer, or the slope of calibration leaves 0.8 to 1.25. One drifting feature
or one changed mean is looked at by people: the model may be right about it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tongbao.risk.policy.feature_texts import feature_words
from tongbao.risk.schema.models import (
    Alarm,
    AlarmKind,
    AlertCounts,
    Change,
    DriftFacts,
    Interval,
    Severity,
    Shift,
    Standing,
)

PSI_NOTICE = 0.1
PSI_MAX = 0.2
COUNT_MIN = 500
"""Payments below which shares say nothing."""
FEATURE_ALARMS_MAX = 10
ERRORS = "squared_error"
STREAMS: dict[str, tuple[str, str]] = {
    ERRORS: ("评分误差（评分与已到期标签之差的平方）", "errors of scores (squared, against matured labels)"),
}
"""Streams whose mean is watched, in words: Chinese, English."""
Z95 = 1.959964


class _Bound(NamedTuple):
    """From where to where an estimate may be, what would be right, and how bad it is to be outside, unsure and sure."""

    kind: AlarmKind
    low: float
    high: float
    right: float
    unsure: Severity
    sure: Severity


_ALERT_RATE = _Bound(AlarmKind.ALERT_RATE, 0.7, 1.3, 1.0, Severity.WARNING, Severity.CRITICAL)
_SLOPE = _Bound(AlarmKind.CALIBRATION_SLOPE, 0.8, 1.25, 1.0, Severity.WARNING, Severity.CRITICAL)
# The level follows the amount of fraud; 0.25 log-odds are about a quarter more or less of it than was said.
_LEVEL = _Bound(AlarmKind.CALIBRATION_LEVEL, -0.25, 0.25, 0.0, Severity.NOTICE, Severity.WARNING)
_ROLLING_BACK = frozenset({AlarmKind.SCORE_DRIFT, AlarmKind.ALERT_RATE, AlarmKind.CALIBRATION_SLOPE})
_ORDER = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.NOTICE: 2}


def alarms(facts: DriftFacts) -> list[Alarm]:
    """Return what is wrong, the worst first; of drifting features at most ``FEATURE_ALARMS_MAX``, the farthest first."""
    found: list[Alarm] = []
    if facts.score is not None:
        found += _shifted(facts.score, AlarmKind.SCORE_DRIFT, Severity.CRITICAL)
    features = [
        alarm
        for each in facts.features
        for alarm in _shifted(each, AlarmKind.FEATURE_DRIFT, Severity.WARNING)
    ]
    found += sorted(features, key=lambda each: (-each.value, each.subject))[:FEATURE_ALARMS_MAX]
    if facts.alerts is not None and min(facts.alerts.payments, facts.alerts.payments_before) >= COUNT_MIN:
        ratio = alert_ratio(facts.alerts)
        found += [] if ratio is None else _outside(_ALERT_RATE, ratio, facts.alerts.payments)
    if facts.calibration is not None:
        found += _outside(_SLOPE, facts.calibration.slope, facts.calibration.count)
        found += _outside(_LEVEL, facts.calibration.level, facts.calibration.count)
    found += [_changed(each) for each in facts.changes]
    return sorted(found, key=lambda each: _ORDER[each.severity])


def must_roll_back(found: Iterable[Alarm]) -> bool:
    """Return whether a model with these alarms has to leave traffic."""
    return any(each.severity is Severity.CRITICAL and each.kind in _ROLLING_BACK for each in found)


def standing(found: Sequence[Alarm], previous: Sequence[Alarm] | None) -> Standing:
    """Return what becomes of a model with the alarms ``found``.

    ``previous``: alarms of the model before it, which goes on scoring unseen; None where there is none. Where payments
    themselves changed both are alarmed, and going back would put an older stranger in the place of a newer one.
    """
    if not must_roll_back(found):
        return Standing.KEEP
    if previous is None or must_roll_back(previous):
        return Standing.RETRAIN
    return Standing.ROLL_BACK


def alert_ratio(alerts: AlertCounts) -> Interval | None:
    """Return the share of alerts now over that of the reference, with the interval of Katz; None without alerts in either.

    Half an alert is added to the numbers of alerts, so that a share that fell to nothing can be told.
    """
    if min(alerts.payments, alerts.payments_before) < 1 or max(alerts.alerts, alerts.alerts_before) < 1:
        return None
    now, before = alerts.alerts + 0.5, alerts.alerts_before + 0.5
    ratio = now / (alerts.payments + 0.5) / (before / (alerts.payments_before + 0.5))
    variance = 1 / now - 1 / (alerts.payments + 0.5) + 1 / before - 1 / (alerts.payments_before + 0.5)
    width = math.exp(Z95 * math.sqrt(max(variance, 0.0)))
    return Interval(ratio, ratio / width, ratio * width)


def alarm_text(alarm: Alarm, language: str) -> str:
    """Return an alarm in one sentence, Chinese for languages that begin with ``zh``, else English."""
    chinese = language.startswith("zh")
    low, high = ("" if each is None else f"{each:g}" for each in (alarm.low, alarm.high))
    facts = {
        "subject": _subject(alarm, chinese=chinese),
        "value": f"{alarm.value:.3g}",
        "change": f"{(alarm.value - 1) * 100:+.0f} %",
        "before": "" if alarm.before is None else f"{alarm.before:.3g}",
        "low": low,
        "high": high,
        "count": f"{alarm.count:,}",
    }
    sentence = _TEXTS[alarm.kind][0 if chinese else 1].format(**facts)
    return sentence + _ASKS[alarm.severity][0 if chinese else 1]


_TEXTS: dict[AlarmKind, tuple[str, str]] = {
    AlarmKind.SCORE_DRIFT: (
        "评分分布已偏离训练时：稳定性指数 {value}，上限 {high}（{count} 笔支付）。",
        "Scores no longer look as in training: stability index {value}, at most {high} ({count} payments).",
    ),
    AlarmKind.FEATURE_DRIFT: (
        "特征“{subject}”的分布已变：稳定性指数 {value}，上限 {high}（{count} 笔支付）。",
        'The feature "{subject}" changed: stability index {value}, at most {high} ({count} payments).',
    ),
    AlarmKind.ALERT_RATE: (
        "被拦下或加验的支付占比变化 {change}，是参考期的 {value} 倍，允许 {low} 至 {high}。",
        "Payments that do not pass unseen changed by {change}: {value} times the reference, {low} to {high} are allowed.",
    ),
    AlarmKind.CALIBRATION_SLOPE: (
        "校准斜率为 {value}，应在 {low} 至 {high} 之间（{count} 条已到期标签）。",
        "The slope of calibration is {value}, it should be {low} to {high} ({count} matured labels).",
    ),
    AlarmKind.CALIBRATION_LEVEL: (
        "欺诈的实际水平与评分相差 {value}（对数几率），应在 {low} 至 {high} 之间（{count} 条已到期标签）。",
        "Fraud differs from what scores say by {value} in log-odds, it should be {low} to {high} ({count} matured labels).",
    ),
    AlarmKind.MEAN_CHANGED: (
        "数据流 {subject} 的均值由 {before} 变为 {value}（最近 {count} 个值）。",
        "The mean of the stream {subject} changed from {before} to {value} (the latest {count} values).",
    ),
}
_ASKS: dict[Severity, tuple[str, str]] = {
    Severity.CRITICAL: ("需立即处理。", " Act at once."),
    Severity.WARNING: ("请查看。", " Have a look."),
    Severity.NOTICE: ("", ""),
}


def _subject(alarm: Alarm, *, chinese: bool) -> str:
    """Return what an alarm is about in words; a stream without words of its own by its name."""
    if alarm.kind is AlarmKind.FEATURE_DRIFT:
        return feature_words(alarm.subject, "zh" if chinese else "en")
    return STREAMS[alarm.subject][0 if chinese else 1] if alarm.subject in STREAMS else alarm.subject


def _shifted(shift: Shift, kind: AlarmKind, worst: Severity) -> Iterator[Alarm]:
    """Yield an alarm where the index is above the limits and above what chance reaches."""
    if shift.count < COUNT_MIN or shift.psi <= max(PSI_NOTICE, shift.noise):
        return
    is_far = shift.psi > PSI_MAX
    yield Alarm(
        kind=kind,
        severity=worst if is_far else Severity.NOTICE,
        value=shift.psi,
        high=PSI_MAX if is_far else PSI_NOTICE,
        subject=shift.name if kind is AlarmKind.FEATURE_DRIFT else "",
        count=shift.count,
    )


def _outside(bound: _Bound, found: Interval, count: int) -> Iterator[Alarm]:
    """Yield an alarm where the estimate is outside: the worst where its interval leaves out what would be right."""
    if bound.low <= found.value <= bound.high:
        return
    yield Alarm(
        kind=bound.kind,
        severity=bound.unsure if found.holds(bound.right) else bound.sure,
        value=found.value,
        low=bound.low,
        high=bound.high,
        count=count,
    )


def _changed(change: Change) -> Alarm:
    return Alarm(
        kind=AlarmKind.MEAN_CHANGED,
        severity=Severity.WARNING,
        value=change.after,
        subject=change.name,
        before=change.before,
        count=change.count,
    )
