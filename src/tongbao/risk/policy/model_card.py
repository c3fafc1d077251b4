"""A model card made from facts: what a model is for, what it learned from, how good and how fair it is, what it cannot do.

Markdown in Chinese or English. Equal facts give equal text. Pure; names that others chose are escaped, so that a feature
or group cannot bring markup with it.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models.associations import wilson
from tongbao.risk.policy import model_card_texts as texts
from tongbao.risk.policy.alarms import alarm_text, alarms
from tongbao.risk.schema.models import (
    GROUPS_MAX,
    DriftFacts,
    GroupCounts,
    Interval,
    ModelFacts,
    ModelMetrics,
)

FEATURES_SHOWN = 20
SHIFTS_SHOWN = 3
GROUP_COUNT_MIN = 100
RATIO_MIN = 0.8
DAY_S = 86_400
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#!~])")


def model_card(facts: ModelFacts, language: str) -> str:
    """Return the card, Chinese for languages that begin with ``zh``, else English.

    Raises InvalidRequest ``model_card_groups_invalid`` for groups with more false positives than payments, or too many.
    """
    _check(facts.groups)
    at = 0 if language.startswith("zh") else 1
    parts = [
        f"# {texts.TITLE[at].format(digest=_escaped(facts.digest[:12]))}",
        f"## {texts.PURPOSE[at]}",
        texts.PURPOSE_TEXT[at],
        f"## {texts.TRAINING[at]}",
        _training(facts, at),
        f"## {texts.METRICS[at]}",
        *_metrics(facts.metrics, at),
        f"## {texts.FEATURES[at]}",
        *_features(facts, at),
        f"## {texts.THRESHOLDS[at]}",
        *_thresholds(facts, at),
        f"## {texts.FAIRNESS[at]}",
        *_fairness(facts.groups, at),
        f"## {texts.DRIFT[at]}",
        *_drift(facts.drift, language, at),
        f"## {texts.LIMITS[at]}",
        _limits(facts, at),
        f"## {texts.VERSIONS[at]}",
        _versions(facts, at),
    ]
    return "\n\n".join(parts) + "\n"


def fairness_ratio(groups: Sequence[GroupCounts]) -> float | None:
    """Return the lowest false positive rate over the highest, in [0, 1]; None with fewer than two groups to compare.

    Groups of fewer than ``GROUP_COUNT_MIN`` good payments are left out. 1 where no good payment of any was stopped.
    """
    rates = [each.false_count / each.good_count for each in _compared(groups)]
    if len(rates) < 2:
        return None
    return min(rates) / max(rates) if max(rates) else 1.0


def _check(groups: Sequence[GroupCounts]) -> None:
    if len(groups) > GROUPS_MAX or any(not 0 <= each.false_count <= each.good_count for each in groups):
        detail = f"more than {GROUPS_MAX} groups, or one with more false positives than good payments"
        raise InvalidRequest("model_card_groups_invalid", detail)


def _training(facts: ModelFacts, at: int) -> str:
    values = {
        "kind": _escaped(facts.kind),
        "window": f"{facts.trained_from:%Y-%m-%d} – {facts.trained_to:%Y-%m-%d}",
        "labels": _instant(facts.labels_known_at),
        "delay": texts.DAYS[at].format(days=_days(facts)),
        "count": f"{facts.train_count:,}",
        "frauds": f"{facts.train_fraud_count:,}",
        "seed": str(facts.seed),
    }
    return _table(
        (texts.WHAT[at], texts.VALUE[at]), ((texts.TRAINING_ROWS[key][at], values[key]) for key in values)
    )


def _metrics(metrics: ModelMetrics, at: int) -> list[str]:
    rows = [("ap", f"{metrics.ap:.4f}", _optional(metrics.baseline_ap)), ("auc", f"{metrics.auc:.4f}", "")]
    if metrics.calibration is not None:
        rows.append(("slope", _interval(metrics.calibration.slope), ""))
        rows.append(("level", _interval(metrics.calibration.level), ""))
    if metrics.cost is not None:
        baseline = None if metrics.baseline_cost is None else metrics.baseline_cost / 100
        rows.append(("cost", f"{metrics.cost / 100:.4f}", _optional(baseline)))
    told = texts.MEASURED_ON[at].format(count=f"{metrics.count:,}", frauds=f"{metrics.fraud_count:,}")
    head = (texts.WHAT[at], texts.VALUE[at], texts.BASELINE[at])
    return [told, _table(head, ((texts.METRIC_ROWS[key][at], *values) for key, *values in rows))]


def _features(facts: ModelFacts, at: int) -> list[str]:
    ordered = sorted(facts.features, key=lambda each: (-each.share, each.name))
    by_group: dict[str, float] = {}
    for each in ordered:
        by_group[each.group] = by_group.get(each.group, 0.0) + each.share
    groups = (", ", "、")[at == 0].join(
        f"{_escaped(group)} {_percent(share)}"
        for group, share in sorted(by_group.items(), key=lambda item: (-item[1], item[0]))
    )
    told = texts.FEATURES_TEXT[at].format(count=len(ordered), groups=groups or "–")
    rows = (
        (_escaped(each.name), _escaped(each.group), _percent(each.share)) for each in ordered[:FEATURES_SHOWN]
    )
    parts = [told, _table(texts.FEATURE_HEAD[at], rows)]
    if rest := ordered[FEATURES_SHOWN:]:
        share = _percent(sum(each.share for each in rest))
        parts.append(texts.FEATURES_MORE[at].format(count=len(rest), share=share))
    return parts


def _thresholds(facts: ModelFacts, at: int) -> list[str]:
    rows = (
        (
            texts.TIERS[each.tier][at] if each.tier in texts.TIERS else _escaped(each.tier),
            f"{each.value / 100:,.2f}",
            f"{each.score:.4f}",
        )
        for each in sorted(facts.thresholds, key=lambda each: (each.value, each.score, each.tier))
    )
    return [texts.THRESHOLDS_TEXT[at], _table(texts.THRESHOLD_HEAD[at], rows)]


def _fairness(groups: Sequence[GroupCounts], at: int) -> list[str]:
    if not groups:
        return [texts.NO_GROUPS[at]]
    rates = [wilson(each.false_count, each.good_count) for each in _compared(groups)]
    lowest = min(rates, key=lambda each: (each.value, each.high), default=Interval(0.0, 0.0, 1.0))
    told = texts.GROUPS_TEXT[at].format(floor=f"{RATIO_MIN:g}", least=GROUP_COUNT_MIN)
    rows = (_group_row(each, lowest, at) for each in sorted(groups, key=lambda each: each.group))
    parts = [told, _table(texts.GROUP_HEAD[at], rows)]
    ratio = fairness_ratio(groups)
    return parts if ratio is None else [*parts, texts.RATIO[at].format(ratio=f"{ratio:.2f}")]


def _group_row(each: GroupCounts, lowest: Interval, at: int) -> tuple[str, ...]:
    name, count = _escaped(each.group), f"{each.good_count:,}"
    if each.good_count < GROUP_COUNT_MIN:
        return name, count, texts.TOO_FEW[at], "", ""
    rate = wilson(each.false_count, each.good_count)
    ratio = lowest.value / rate.value if rate.value else 1.0
    mark = " ⚠" if ratio < RATIO_MIN and rate.low > lowest.high else ""
    between = f"{_percent(rate.low)} – {_percent(rate.high)}"
    return name, count, _percent(rate.value), between, f"{ratio:.2f}{mark}"


def _drift(drift: DriftFacts | None, language: str, at: int) -> list[str]:
    if drift is None:
        return [texts.NO_DRIFT[at]]
    when = _instant(drift.at)
    rows = [] if drift.score is None else [(texts.SCORE_SHIFT[at], f"{drift.score.psi:.3f}")]
    farthest = sorted(drift.features, key=lambda each: (-each.psi, each.name))[:SHIFTS_SHOWN]
    rows += [
        (texts.FEATURE_SHIFT[at].format(name=_escaped(each.name)), f"{each.psi:.3f}") for each in farthest
    ]
    if drift.calibration is not None:
        rows.append((texts.METRIC_ROWS["slope"][at], _interval(drift.calibration.slope)))
        rows.append((texts.METRIC_ROWS["level"][at], _interval(drift.calibration.level)))
    parts = [_table((texts.WHAT[at], texts.VALUE[at]), rows)] if rows else []
    found = alarms(drift)
    if not found:
        return [texts.NO_ALARMS[at].format(at=when), *parts]
    told = _list(_escaped(alarm_text(each, language)) for each in found)
    return [texts.ALARMS_AT[at].format(at=when), told, *parts]


def _limits(facts: ModelFacts, at: int) -> str:
    added = (facts.limits_zh, facts.limits_en)[at]
    always = (each.format(days=_days(facts)) for each in texts.LIMITS_ALWAYS[at])
    return _list([*always, *(_escaped(each) for each in added)])


def _versions(facts: ModelFacts, at: int) -> str:
    values = {
        "digest": facts.digest,
        "features": facts.versions.features,
        "policy": facts.versions.policy,
    }
    rows = [(texts.VERSION_ROWS[key][at], _escaped(value)) for key, value in values.items()]
    rows += [(_escaped(name), _escaped(value)) for name, value in sorted(facts.versions.libraries.items())]
    return _table((texts.WHAT[at], texts.VALUE[at]), rows)


def _compared(groups: Sequence[GroupCounts]) -> list[GroupCounts]:
    return [each for each in groups if each.good_count >= GROUP_COUNT_MIN]


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _days(facts: ModelFacts) -> str:
    return f"{facts.label_delay_s / DAY_S:.3g}"


def _optional(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _interval(interval: Interval) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f} – {interval.high:.3f})".replace("-", "−")


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def _escaped(text: str) -> str:
    """Return text as Markdown shows it unchanged, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {each}" for each in lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)
