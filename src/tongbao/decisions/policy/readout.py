"""What may be concluded from an experiment: at planned looks a difference, at any time harm, and nothing before a week.

A look is taken once, at its planned instant or the first time that somebody reads after it, on the units exposed before
that instant. So reading every hour says the same as reading every week, and the error stays that of the plan. Between
the looks only harm is concluded, from an interval that holds at all times. Probabilities of being best are no rule here:
looked at daily they name a winner among equal arms in 14 to 47 % of experiments.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from tongbao.decisions.policy import looks
from tongbao.decisions.policy.limits import limit
from tongbao.decisions.policy.sizing import Wanted, units_for_mean
from tongbao.decisions.schema.experiments import (
    ArmReading,
    Cell,
    Experiment,
    GuardrailReading,
    Look,
    LookArm,
    Metric,
    Readout,
    ReadoutState,
)

ALPHA = 0.05
WEEK = timedelta(days=7)
HARM_UNITS_MIN = 200
"""Units of each arm before harm is judged: the always valid interval leans on the central limit theorem."""


class Facts(NamedTuple):
    """What a readout rests on: cells of the metric and of each guardrail by outcome, of all exposed units, at an instant."""

    at: datetime
    cells: Sequence[Cell]
    guardrails: Mapping[str, Sequence[Cell]]


def planned_at(experiment: Experiment, look: int) -> datetime:
    """Return the instant of a planned look of an experiment that was started."""
    assert experiment.started_at is not None
    return experiment.started_at + timedelta(days=experiment.horizon_days) * look / experiment.looks


def look_due(experiment: Experiment, now: datetime) -> int | None:
    """Return the look to be taken now, None where the last one due was taken or lies in the first week.

    A look that nobody took before the next was due is left out, which only makes errors rarer. Of an experiment that
    has ended the looks before its end are due.
    """
    assert experiment.started_at is not None
    until = min(now, experiment.ended_at or now)
    horizon = timedelta(days=experiment.horizon_days)
    look = min(int((until - experiment.started_at) * experiment.looks / horizon), experiment.looks)
    last = experiment.taken[-1].number if experiment.taken else 0
    if look <= last or planned_at(experiment, look) < experiment.started_at + WEEK:
        return None
    return look


def take(experiment: Experiment, look: int, cells: Sequence[Cell], now: datetime) -> Look:
    """Return a look at the units that were exposed before its instant."""
    control, *others = experiment.arms
    ready = looks.prepared(cells, experiment.metric)
    found = {arm: looks.effect(ready, arm, control) for arm in others}
    known = {arm: effect for arm, effect in found.items() if effect is not None}
    standing = looks.significant(
        {arm: effect.z for arm, effect in known.items()}, experiment.looks, look, ALPHA
    )
    z = limit(experiment.looks, look, ALPHA)
    arms = []
    for arm in others:
        if arm not in known:
            arms.append(LookArm(arm=arm))
            continue
        difference, half = known[arm].difference, z * math.sqrt(known[arm].variance)
        arms.append(
            LookArm(
                arm=arm,
                difference=difference,
                low=difference - half,
                high=difference + half,
                is_significant=arm in standing,
                is_better=arm in standing and (difference > 0) == experiment.metric.higher_is_better,
            )
        )
    return Look(number=look, at=planned_at(experiment, look), taken_at=now, arms=tuple(arms))


def readout(experiment: Experiment, facts: Facts) -> Readout:
    """Return what may be said now; a look that is due must have been taken before."""
    p = looks.sample_ratio_p(facts.cells, experiment.epochs)
    plain = Readout(
        experiment=experiment.name,
        at=facts.at,
        look=_last_look(experiment),
        looks=experiment.looks,
        sample_ratio_p=p,
        state=ReadoutState.BLOCKED,
        arms=tuple(
            ArmReading(arm=arm, units=_units(facts.cells, arm), state=ReadoutState.BLOCKED)
            for arm in experiment.arms
        ),
    )
    if p < looks.SAMPLE_RATIO_P_MIN:
        return plain
    guardrails = tuple(
        _guardrail(experiment, metric, facts.guardrails[metric.outcome]) for metric in experiment.guardrails
    )
    arms = _arms(experiment, facts.cells, frozenset(arm for each in guardrails for arm in each.harmful))
    return msgspec.structs.replace(
        plain,
        state=_overall([arm.state for arm in arms[1:]]),
        arms=arms,
        guardrails=guardrails,
        units_missing=_units_missing(experiment, facts.cells),
    )


def _arms(experiment: Experiment, cells: Sequence[Cell], harmful: frozenset[str]) -> tuple[ArmReading, ...]:
    """Return the readings of the metric; ``harmful`` arms broke a guardrail."""
    last = {each.arm: each for each in experiment.taken[-1].arms} if experiment.taken else {}
    readings = []
    for now in _now(experiment, experiment.metric, cells):
        harmed = now.arm in harmful or _is_worse(experiment.metric, now)
        seen = last.get(now.arm, LookArm(arm=now.arm))
        reading = msgspec.structs.replace(
            now,
            difference=seen.difference,
            low=seen.low,
            high=seen.high,
            is_significant=_verdict(experiment, now.arm) is not None,
            state=ReadoutState.HARMFUL if harmed else _state(experiment, now.arm),
        )
        readings.append(reading)
    return tuple(readings)


def _guardrail(experiment: Experiment, metric: Metric, cells: Sequence[Cell]) -> GuardrailReading:
    arms = _now(experiment, metric, cells)
    harmful = tuple(reading.arm for reading in arms if _is_worse(metric, reading))
    return GuardrailReading(
        outcome=metric.outcome,
        arms=tuple(
            msgspec.structs.replace(arm, state=ReadoutState.HARMFUL) if arm.arm in harmful else arm
            for arm in arms
        ),
        harmful=harmful,
    )


def _now(experiment: Experiment, metric: Metric, cells: Sequence[Cell]) -> list[ArmReading]:
    """Return units, mean and always valid interval of each arm; all intervals hold together with 1 - ``ALPHA``."""
    control = experiment.arms[0]
    ready = looks.prepared(cells, metric)
    alpha = ALPHA / ((len(experiment.arms) - 1) * (1 + len(experiment.guardrails)))
    readings = []
    for arm in experiment.arms:
        units = _units(cells, arm)
        found = None if arm == control else looks.effect(ready, arm, control)
        is_spoken = found is not None and min(units, _units(cells, control)) >= HARM_UNITS_MIN
        low, high = looks.always_valid(found, alpha) if found is not None and is_spoken else (None, None)
        readings.append(
            ArmReading(
                arm=arm,
                units=units,
                mean=_mean(ready, arm),
                always_low=low,
                always_high=high,
                state=ReadoutState.RUNNING,
            )
        )
    return readings


def _is_worse(metric: Metric, reading: ArmReading) -> bool:
    """Return whether the always valid interval lies on the bad side of 0."""
    if reading.always_low is None or reading.always_high is None:
        return False
    return reading.always_high < 0 if metric.higher_is_better else reading.always_low > 0


def _state(experiment: Experiment, arm: str) -> ReadoutState:
    verdict = _verdict(experiment, arm)
    if verdict is not None:
        return ReadoutState.BETTER if verdict else ReadoutState.WORSE
    if _last_look(experiment) == experiment.looks:
        return ReadoutState.NO_DIFFERENCE
    return ReadoutState.RUNNING if experiment.taken else ReadoutState.TOO_EARLY


def _verdict(experiment: Experiment, arm: str) -> bool | None:
    """Return whether an arm was better at the first look at which it stood out, None where it never did."""
    seen = (each for look in experiment.taken for each in look.arms)
    return next((each.is_better for each in seen if each.arm == arm and each.is_significant), None)


def _overall(states: Sequence[ReadoutState]) -> ReadoutState:
    """Return the state of the whole: what any arm says in this order, WORSE only where all arms are."""
    first = (ReadoutState.BLOCKED, ReadoutState.HARMFUL, ReadoutState.BETTER)
    for state in first:
        if state in states:
            return state
    rest = [state for state in states if state is not ReadoutState.WORSE]
    return rest[0] if rest else ReadoutState.WORSE


def _last_look(experiment: Experiment) -> int:
    return experiment.taken[-1].number if experiment.taken else 0


def _units(cells: Sequence[Cell], arm: str) -> int:
    return sum(cell.units for cell in cells if cell.arm == arm)


def _mean(cells: Sequence[Cell], arm: str) -> float | None:
    units = _units(cells, arm)
    return sum(cell.units * cell.mean for cell in cells if cell.arm == arm) / units if units else None


def _units_missing(experiment: Experiment, cells: Sequence[Cell]) -> int | None:
    """Return how many units the smallest arm still needs to find ``effect_min``, from the variance of control."""
    control = [
        cell
        for cell in looks.prepared(cells, experiment.metric)
        if cell.arm == experiment.arms[0] and cell.units > 1
    ]
    if experiment.effect_min is None or not control:
        return None
    freedom = sum(cell.units - 1 for cell in control)
    variance = sum((cell.units - 1) * cell.variance for cell in control) / freedom
    if not variance:
        return None
    needed = units_for_mean(variance, Wanted(effect=experiment.effect_min, looks=experiment.looks))
    weights = experiment.epochs[-1].weights_bps
    return max(0, needed - min(_units(cells, arm) for arm in experiment.arms if weights[arm]))
