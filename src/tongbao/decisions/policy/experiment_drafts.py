"""What an experiment may look like, and which measured values can be kept."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.schema.experiments import (
    ARMS_MAX,
    GUARDRAILS_MAX,
    HORIZON_DAYS_MAX,
    LOOKS_MAX,
    MEASUREMENTS_MAX,
    WEIGHT_BPS_TOTAL,
    Experiment,
    ExperimentDraft,
    Measurement,
    Metric,
)
from tongbao.decisions.schema.policies import NOTE_CHARS_MAX

UNIT_CHARS_MAX = 200
HORIZON_DAYS_MIN = 7
"""Nothing but harm is concluded before a full week: weekdays and weekends differ."""
CLOCK_SKEW_MAX = timedelta(minutes=5)
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,79}\Z")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


def check(draft: ExperimentDraft) -> None:
    """Raise InvalidRequest ``experiment_invalid`` for a draft that can never run; ``param`` names the field."""
    for field, name in (("name", draft.name), ("unit", draft.unit), ("layer", draft.layer)):
        if name is not None:
            _check_name(field, name)
    _check_slice(draft)
    _check_arms(draft.arms)
    check_weights(draft.arms, draft.weights_bps)
    _check_metrics(draft)
    if not 1 <= draft.looks <= LOOKS_MAX:
        raise _invalid("looks", f"an experiment has 1 to {LOOKS_MAX} planned looks")
    if not HORIZON_DAYS_MIN <= draft.horizon_days <= HORIZON_DAYS_MAX:
        raise _invalid("horizon_days", f"an experiment runs {HORIZON_DAYS_MIN} to {HORIZON_DAYS_MAX} days")
    if draft.effect_min is not None and not 0 < draft.effect_min < math.inf:
        raise _invalid("effect_min", "the smallest effect worth finding is above 0")
    check_note(draft.note)


def storable(name: str) -> str:
    """Return a name with a mark in place of what a database cannot hold, to look it up: nothing has that name."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", name)


def check_note(note: str) -> None:
    """Raise InvalidRequest for an overlong note, or one that cannot be stored."""
    if len(note) > NOTE_CHARS_MAX or _UNSTORABLE.search(note):
        raise _invalid("note", f"a note has at most {NOTE_CHARS_MAX} characters that can be stored")


def check_weights(arms: Sequence[str], weights_bps: Mapping[str, int]) -> None:
    """Raise InvalidRequest where weights are not those of all arms, are negative, or do not add up to 10,000.

    Control keeps some of the traffic: without it nothing can be compared.
    """
    if set(weights_bps) != set(arms) or min(weights_bps.values()) < 0:
        raise _invalid("weights_bps", "every arm, and nothing else, has a weight of 0 or more")
    if sum(weights_bps.values()) != WEIGHT_BPS_TOTAL:
        raise _invalid("weights_bps", f"weights add up to {WEIGHT_BPS_TOTAL}")
    if not weights_bps[arms[0]]:
        raise _invalid("weights_bps", "control, the first arm, keeps a weight above 0")


def check_unit(unit: str) -> None:
    """Raise InvalidRequest for an empty, overlong or unprintable name of a unit."""
    if not unit or len(unit) > UNIT_CHARS_MAX or _UNPRINTABLE.search(unit):
        raise _invalid("unit", f"a unit is named by 1 to {UNIT_CHARS_MAX} printable characters")


def check_measurements(experiment: Experiment, measurements: Collection[Measurement], now: datetime) -> None:
    """Raise InvalidRequest for too many values, for one that nobody asked for, that is no number, or not yet measured."""
    if len(measurements) > MEASUREMENTS_MAX:
        raise _invalid("measurements", f"at most {MEASUREMENTS_MAX} values at once")
    wanted = _outcomes(experiment)
    for each in measurements:
        check_unit(each.unit)
        if each.outcome not in wanted:
            raise _invalid("outcome", f"the experiment does not measure {each.outcome[:80]!r}")
        if not math.isfinite(each.value):
            raise _invalid("value", "a value is a finite number")
        if each.measured_at.tzinfo is None or each.measured_at > now + CLOCK_SKEW_MAX:
            raise _invalid(
                "measured_at", "a value was measured at an instant with a time zone, not in future"
            )


def _outcomes(experiment: Experiment) -> frozenset[str]:
    """Return every outcome that an experiment keeps values of."""
    metrics = (experiment.metric, *experiment.guardrails)
    return frozenset(name for metric in metrics for name in (metric.outcome, metric.second) if name)


def _invalid(param: str, detail: str) -> InvalidRequest:
    return InvalidRequest("experiment_invalid", detail, param=param)


def _check_name(field: str, name: str) -> None:
    if not _NAME.match(name):
        raise _invalid(field, f"{field} has 1 to 80 lower case letters, digits, dashes, dots or underlines")


def _check_slice(draft: ExperimentDraft) -> None:
    if not 0 <= draft.layer_from_bps < draft.layer_to_bps <= WEIGHT_BPS_TOTAL:
        raise _invalid("layer_from_bps", f"a slice lies within 0 and {WEIGHT_BPS_TOTAL} and is not empty")
    if draft.layer is None and draft.layer_to_bps - draft.layer_from_bps != WEIGHT_BPS_TOTAL:
        raise _invalid("layer", "only a layer can be sliced")


def _check_arms(arms: Sequence[str]) -> None:
    if not 2 <= len(arms) <= ARMS_MAX or len(set(arms)) != len(arms):
        raise _invalid("arms", f"an experiment has 2 to {ARMS_MAX} different arms")
    for arm in arms:
        _check_name("arms", arm)


def _check_metrics(draft: ExperimentDraft) -> None:
    if len(draft.guardrails) > GUARDRAILS_MAX:
        raise _invalid("guardrails", f"an experiment has at most {GUARDRAILS_MAX} guardrails")
    metrics = (draft.metric, *draft.guardrails)
    if len({metric.outcome for metric in metrics}) != len(metrics):
        raise _invalid("guardrails", "every metric has an outcome of its own")
    for metric in metrics:
        _check_metric(metric)


def _check_metric(metric: Metric) -> None:
    for name in (metric.outcome, metric.covariate, metric.per):
        if name is not None:
            _check_name("metric", name)
    if metric.covariate is not None and metric.per is not None:
        raise _invalid("metric", "a metric has a covariate or is a ratio, not both")
    if metric.second == metric.outcome:
        raise _invalid("metric", "the second outcome of a metric is another one")
    if not -math.inf < metric.value_min < metric.value_max < math.inf:
        raise _invalid("metric", "value_min lies below value_max")
