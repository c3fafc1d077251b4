"""Replay a policy on logged decisions: join decisions with outcomes, ask the policy, weigh, and report.

Opens no transaction and reads no clock: decisions and outcomes are handed in, times stand in the order. An outcome
counts once a decision is older than the order's horizon, whatever came of younger ones: what comes fast is not like what
comes slowly, and taking only what is there already would favor the policy whose successes are quick.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import msgspec
import numpy as np

from tongbao.core.errors import InvalidRequest, LimitExceeded
from tongbao.decisions.policy import off_policy, reward_model
from tongbao.decisions.policy.off_policy import Assessment, Sample
from tongbao.decisions.policy.off_policy_estimators import Vector
from tongbao.decisions.schema.evaluation import (
    DECISIONS_MAX,
    FOLDS_MAX,
    FOLDS_MIN,
    HORIZON_S_MAX,
    Caveat,
    EvaluationOrder,
    Missing,
    Report,
)
from tongbao.decisions.schema.log import PROPENSITY_TOLERANCE, Decision, Fact

Target = Callable[[Decision], Mapping[str, float]]
"""The policy that is replayed: its probabilities over the decision's candidates; those that it leaves out have 0."""

MISSING_SHARE_TOLD = 0.02
"""Share of decisions without an outcome from which on the report warns."""


class _Joined(msgspec.Struct, frozen=True):
    """Decisions that count with their outcomes, in equal order, and how many had none."""

    decisions: list[Decision]
    outcomes: list[float]
    missing_count: int


class _Replay(msgspec.Struct, frozen=True):
    """What the policy did with the decisions: per decision, and flat over all actions that it or the log gave a chance."""

    target: list[float]
    overlap: list[float]
    unsupported: list[float]
    rows: list[int]
    actions: list[str]
    chances: list[float]
    logged: list[float]


def evaluate(
    decisions: Sequence[Decision], outcomes: Mapping[UUID, float], target: Target, order: EvaluationOrder
) -> Report:
    """Return what ``target`` would have earned on the decisions of the order's time; publishes nothing.

    ``outcomes``: the standing value of the order's outcome, by decision id. Equal arguments give an equal report.
    Raises InvalidRequest: ``replay_order_invalid``; ``replay_empty`` where no decision with an outcome is left;
    ``replay_target_invalid`` where ``target`` raises, names an unknown candidate, or its probabilities are none;
    ``evaluation_input_invalid`` for a log that cannot be one. Raises LimitExceeded ``replay_too_large``.
    """
    _check_order(order)
    if len(decisions) > DECISIONS_MAX:
        raise LimitExceeded("replay_too_large", f"a replay reads up to {DECISIONS_MAX:,} decisions at a time")
    joined = _join(decisions, outcomes, order)
    if not joined.decisions:
        raise InvalidRequest("replay_empty", "no decision of the time asked for has an outcome that counts")
    replay = _replay(joined.decisions, target)
    assessment = off_policy.assess(
        _sample(joined, replay, order),
        order.safeguards,
        np.random.default_rng(order.seed),
        higher_is_better=order.higher_is_better,
    )
    return _report(assessment, joined, order)


def _check_order(order: EvaluationOrder) -> None:
    counted = order.missing is Missing.COUNTED
    value = order.missing_value
    sound = (
        order.from_at < order.to_at
        and 0 <= order.horizon_s <= HORIZON_S_MAX
        and FOLDS_MIN <= order.folds <= FOLDS_MAX
        and order.seed >= 0
        and (value is None or math.isfinite(value))
        and (order.value_range is None or 0 < order.value_range < math.inf)
    )
    if not sound:
        raise InvalidRequest("replay_order_invalid", "the time, horizon, folds, seed or range make no sense")
    if counted and (value is None or order.horizon_s == 0):
        raise InvalidRequest(
            "replay_order_invalid", "to count a missing outcome takes the value and a horizon after which"
        )


def _join(decisions: Sequence[Decision], outcomes: Mapping[UUID, float], order: EvaluationOrder) -> _Joined:
    """Return the decisions of the time that are older than the horizon, with outcomes by the order's rule."""
    kept: list[Decision] = []
    values: list[float] = []
    missing = 0
    seen: set[UUID] = set()
    for decision in decisions:
        age_s = (order.made_at - decision.decided_at).total_seconds()
        if not order.from_at <= decision.decided_at < order.to_at or age_s < order.horizon_s:
            continue
        if decision.id in seen:
            raise InvalidRequest("evaluation_input_invalid", f"{decision.reference} is in the log twice")
        seen.add(decision.id)
        value = outcomes.get(decision.id)
        missing += value is None
        if value is None and order.missing is Missing.COUNTED:
            value = order.missing_value
        if value is not None:
            kept.append(decision)
            values.append(value)
    return _Joined(kept, values, missing)


def _replay(decisions: Sequence[Decision], target: Target) -> _Replay:
    replay = _Replay([], [], [], [], [], [], [])
    for row, decision in enumerate(decisions):
        logged = {each.name: each.propensity for each in decision.candidates}
        if decision.chosen not in logged:
            raise InvalidRequest(
                "evaluation_input_invalid", f"{decision.reference} chose what was no candidate"
            )
        chances = _asked(decision, logged, target)
        replay.target.append(chances.get(decision.chosen, 0.0))
        replay.overlap.append(min(1.0, sum(min(p, logged[name]) for name, p in chances.items())))
        replay.unsupported.append(min(1.0, sum(p for name, p in chances.items() if logged[name] == 0)))
        for name, before in logged.items():
            chance = chances.get(name, 0.0)
            if chance > 0 or before > 0:
                replay.rows.append(row)
                replay.actions.append(name)
                replay.chances.append(chance)
                replay.logged.append(before)
    return replay


def _asked(decision: Decision, logged: Mapping[str, float], target: Target) -> dict[str, float]:
    """Return the target's probabilities, checked against the candidates of the decision."""
    try:
        chances = {str(name): float(chance) for name, chance in target(decision).items()}
    except Exception as error:
        raise InvalidRequest(
            "replay_target_invalid",
            f"the policy failed on {decision.reference}: {type(error).__name__}",
            decision=decision.reference,
        ) from error
    wrong = ""
    if unknown := sorted(chances.keys() - logged.keys()):
        wrong = f"it knows a candidate {unknown[0]!r} that was none"
    elif not all(0 <= chance <= 1 + PROPENSITY_TOLERANCE for chance in chances.values()):
        wrong = "a probability is not within 0 and 1"
    elif not abs(math.fsum(chances.values()) - 1) <= PROPENSITY_TOLERANCE:
        wrong = "its probabilities do not sum to one"
    if wrong:
        raise InvalidRequest(
            "replay_target_invalid",
            f"the policy on {decision.reference}: {wrong}",
            decision=decision.reference,
        )
    return chances


def _sample(joined: _Joined, replay: _Replay, order: EvaluationOrder) -> Sample:
    """Return the arrays of an assessment, the outcome model's among them where there is one to be had."""
    decisions, count = joined.decisions, len(joined.decisions)
    outcome = np.array(joined.outcomes, dtype=np.float64)
    propensity = np.array([decision.propensity for decision in decisions])
    subject = reward_model.codes_of([decision.subject_id for decision in decisions], count)
    sample = Sample(
        propensity=propensity,
        outcome=outcome,
        target=np.array(replay.target),
        overlap=np.array(replay.overlap),
        unsupported=np.array(replay.unsupported),
        cluster=subject if int(subject.max()) + 1 < count else None,
        span=order.value_range,
    )
    off_policy.check(sample)
    fold = np.array([reward_model.fold_of(decision.id, order.folds) for decision in decisions])
    bucket = reward_model.codes_of([_group(decision, order.context_keys) for decision in decisions])
    chosen = [decision.chosen for decision in decisions]
    action = reward_model.codes_of(replay.actions + chosen, reward_model.ACTIONS_MAX)
    rows, flat, taken = np.array(replay.rows), action[: len(replay.actions)], action[len(replay.actions) :]
    log = reward_model.Log(bucket=bucket, action=taken, fold=fold, outcome=outcome)
    model = reward_model.fit(log, order.folds, actions=int(action.max()) + 1)
    value = model.value(fold[rows], bucket[rows], flat)

    def expected(chances: list[float]) -> Vector:
        return np.bincount(rows, weights=value * np.array(chances), minlength=count).astype(np.float64)

    return msgspec.structs.replace(
        sample,
        chosen_value=model.value(fold, bucket, taken),
        target_value=expected(replay.chances),
        logged_value=expected(replay.logged),
    )


def _group(decision: Decision, keys: tuple[str, ...]) -> tuple[Fact, ...]:
    return tuple(decision.context.get(key) for key in keys)


def _report(assessment: Assessment, joined: _Joined, order: EvaluationOrder) -> Report:
    caveats = assessment.caveats
    of_all = len(joined.decisions) + (joined.missing_count if order.missing is Missing.EXCLUDED else 0)
    if joined.missing_count > MISSING_SHARE_TOLD * of_all:
        caveats = (Caveat.OUTCOMES_MISSING, *caveats)
    shared = {name: getattr(assessment, name) for name in assessment.__struct_fields__}
    shared["caveats"] = caveats
    return Report(
        id=order.id,
        policy=order.policy,
        version=order.version,
        against=order.against,
        outcome=order.outcome,
        from_at=order.from_at,
        to_at=order.to_at,
        made_at=order.made_at,
        made_by=order.made_by,
        missing_count=joined.missing_count,
        missing=order.missing,
        missing_value=order.missing_value,
        horizon_s=order.horizon_s,
        higher_is_better=order.higher_is_better,
        is_share=set(joined.outcomes) <= {0, 1},
        safeguards=order.safeguards,
        **shared,
    )
