"""Replaying a policy on logged decisions: joining, missing outcomes, the target's answers, the report."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.schema.evaluation import (
    Caveat,
    EvaluationOrder,
    Missing,
    Refusal,
    Report,
    Safeguards,
    Verdict,
)
from tongbao.decisions.schema.log import Candidate, Decision, Why
from tongbao.decisions.service.evaluating import evaluate

FROM = datetime(2026, 3, 1, tzinfo=UTC)
TO = datetime(2026, 4, 1, tzinfo=UTC)
RATES = {("debit", "a"): 0.9, ("debit", "b"): 0.8, ("credit", "a"): 0.75, ("credit", "b"): 0.9}
COUNT = 3_000
Log = tuple[list[Decision], dict[UUID, float]]


def uuid7(rng: random.Random) -> UUID:
    return UUID(int=(rng.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62)) | (0x7 << 76) | (0x2 << 62))


def decision_of(rng: random.Random, **changes: Any) -> Decision:
    chosen = "a" if rng.random() < 0.6 else "b"
    plain = Decision(
        id=uuid7(rng),
        book_id=1,
        live=True,
        kind="routing",
        subject_id=uuid7(rng),
        decided_at=FROM + timedelta(seconds=rng.randrange(30 * 86_400)),
        policy="routing",
        version=3,
        context={"funding": rng.choice(["debit", "credit"]), "amount_minor": rng.randrange(10_000)},
        candidates=(
            Candidate(name="a", propensity=0.6),
            Candidate(name="b", propensity=0.4),
            Candidate(name="c", excluded="breaker_open"),
        ),
        chosen=chosen,
        reasons=(Why(code="best_expected"),),
    )
    return msgspec.structs.replace(plain, **changes)


@pytest.fixture(scope="module")
def log() -> Log:
    rng = random.Random(7)
    decisions = [decision_of(rng) for _ in range(COUNT)]
    rates = (RATES[str(each.context["funding"]), each.chosen] for each in decisions)
    outcomes = {each.id: float(rng.random() < rate) for each, rate in zip(decisions, rates, strict=True)}
    return decisions, outcomes


def order_of(**changes: Any) -> EvaluationOrder:
    plain = EvaluationOrder(
        id=UUID(int=5),
        policy="routing",
        version=4,
        against="routing v3",
        outcome="approved",
        from_at=FROM,
        to_at=TO,
        made_at=TO + timedelta(days=1),
        made_by="operator",
        context_keys=("funding",),
    )
    return msgspec.structs.replace(plain, **changes)


def by_funding(decision: Decision) -> Mapping[str, float]:
    """A policy that knows which channel is better for which cards."""
    return {"a": 0.9, "b": 0.1} if decision.context["funding"] == "debit" else {"a": 0.1, "b": 0.9}


def as_logged(decision: Decision) -> Mapping[str, float]:
    return {each.name: each.propensity for each in decision.candidates}


def test_evaluate_a_better_policy_finds_it_better(log: Log) -> None:
    report = evaluate(*log, by_funding, order_of())
    truth = 0.5 * (0.9 * 0.9 + 0.1 * 0.8) + 0.5 * (0.1 * 0.75 + 0.9 * 0.9)
    assert report.verdict is Verdict.BETTER
    assert report.recommended == "dr"
    assert [each.estimator for each in report.estimates] == ["ips", "snips", "dr"]
    for each in report.estimates:
        assert each.low <= truth <= each.high
    assert report.direct is not None
    assert report.direct.value == pytest.approx(truth, abs=0.03)
    assert report.count == COUNT
    assert report.logged.value == pytest.approx(sum(log[1].values()) / COUNT)
    assert report.overlap == pytest.approx(0.6, abs=0.1)
    assert report.is_share
    assert (report.policy, report.version, report.made_by) == ("routing", 4, "operator")


def test_evaluate_twice_gives_equal_reports_that_survive_json(log: Log) -> None:
    report = evaluate(*log, by_funding, order_of())
    assert evaluate(*log, by_funding, order_of()) == report
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_evaluate_the_logger_itself_gives_what_was_logged(log: Log) -> None:
    report = evaluate(*log, as_logged, order_of())
    assert report.overlap == pytest.approx(1)
    assert report.effective_count == pytest.approx(COUNT)
    assert report.verdict is Verdict.UNDECIDED
    assert report.estimates[0].value == pytest.approx(report.logged.value)


def test_evaluate_the_logger_itself_differs_by_nothing_however_rarely_it_explored() -> None:
    rng = random.Random(11)
    rare = (Candidate(name="a", propensity=0.999), Candidate(name="b", propensity=0.001))
    decisions = [decision_of(rng, chosen="b" if at == 40 else "a", candidates=rare) for at in range(260)]
    costs = {each.id: 600.0 if each.chosen == "b" else 0.0 for each in decisions}
    report = evaluate(decisions, costs, as_logged, order_of(higher_is_better=False))
    assert report.difference is not None
    assert report.difference.value == pytest.approx(0, abs=1e-9)
    assert report.verdict is Verdict.UNDECIDED


def test_evaluate_what_the_logger_could_not_do_is_refused(log: Log) -> None:
    report = evaluate(*log, lambda _: {"a": 0.5, "b": 0.4, "c": 0.1}, order_of())
    assert report.refusal == Refusal.SUPPORT_MISSING
    assert report.unsupported == pytest.approx(0.1)
    assert report.estimates == ()


def test_evaluate_a_stranger_is_refused(log: Log) -> None:
    report = evaluate(*log, lambda _: {"b": 1.0}, order_of())
    assert report.refusal == Refusal.AGREEMENT_LOW


def test_evaluate_excludes_what_has_no_outcome_and_warns(log: Log) -> None:
    decisions, outcomes = log
    known = dict(list(outcomes.items())[:2_000])
    report = evaluate(decisions, known, by_funding, order_of())
    assert (report.count, report.missing_count) == (2_000, 1_000)
    assert report.caveats[0] is Caveat.OUTCOMES_MISSING


def test_evaluate_counts_a_missing_outcome_after_the_horizon(log: Log) -> None:
    decisions, outcomes = log
    known = dict(list(outcomes.items())[:2_000])
    counted = {"missing": Missing.COUNTED, "missing_value": 0.0, "horizon_s": 86_400}
    report = evaluate(decisions, known, by_funding, order_of(**counted))
    assert (report.count, report.missing_count) == (COUNT, 1_000)
    assert report.logged.value == pytest.approx(sum(known.values()) / COUNT)


@pytest.mark.parametrize("rule", [{}, {"missing": Missing.COUNTED, "missing_value": 0.0}])
def test_evaluate_leaves_out_what_is_younger_than_the_horizon(log: Log, rule: dict[str, Any]) -> None:
    decisions, outcomes = log
    order = order_of(made_at=TO, horizon_s=10 * 86_400, **rule)
    old = [each for each in decisions if each.decided_at <= TO - timedelta(days=10)]
    report = evaluate(decisions, outcomes, by_funding, order)
    assert report.count == len(old) < COUNT


def test_evaluate_takes_the_time_half_open(log: Log) -> None:
    decisions, outcomes = log
    edge = sorted(decisions, key=lambda each: each.decided_at)
    order = order_of(from_at=edge[500].decided_at, to_at=edge[1_500].decided_at)
    inside = [each for each in decisions if order.from_at <= each.decided_at < order.to_at]
    report = evaluate(decisions, outcomes, by_funding, order)
    assert report.count == len(inside)
    assert report.missing_count == 0


def test_evaluate_tries_of_one_payment_as_dependent(log: Log) -> None:
    decisions, outcomes = log
    pairs = [
        msgspec.structs.replace(each, subject_id=decisions[at // 2].id) for at, each in enumerate(decisions)
    ]
    alike = {each.id: outcomes[pairs[at - at % 2].id] for at, each in enumerate(pairs)}
    grouped = evaluate(pairs, alike, as_logged, order_of()).logged
    apart = evaluate(decisions, alike, as_logged, order_of()).logged
    assert grouped.high - grouped.low == pytest.approx(2**0.5 * (apart.high - apart.low), rel=0.02)


def failing(decision: Decision) -> Mapping[str, float]:
    raise KeyError(decision.chosen)


@pytest.mark.parametrize(
    "target",
    [
        failing,
        lambda _: {"a": 0.5, "z": 0.5},
        lambda _: {"a": 0.5, "b": 0.4},
        lambda _: {"a": 1.5, "b": -0.5},
        lambda _: {"a": float("nan"), "b": 0.5},
        lambda _: {"a": "much"},
        lambda _: None,
        lambda _: {},
    ],
)
def test_evaluate_a_target_that_is_no_policy_is_rejected(log: Log, target: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        evaluate(*log, target, order_of())
    assert caught.value.code == "replay_target_invalid"
    assert str(caught.value.facts["decision"]).startswith("dec_")


@pytest.mark.parametrize(
    "changes",
    [
        {"to_at": FROM},
        {"horizon_s": -1},
        {"horizon_s": 10**9},
        {"folds": 1},
        {"folds": 6},
        {"seed": -1},
        {"value_range": 0.0},
        {"missing_value": float("nan")},
        {"missing": Missing.COUNTED, "horizon_s": 60},
        {"missing": Missing.COUNTED, "missing_value": 0.0},
    ],
    ids=str,
)
def test_evaluate_an_order_that_makes_no_sense_is_rejected(log: Log, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        evaluate(*log, by_funding, order_of(**changes))
    assert caught.value.code == "replay_order_invalid"


def test_evaluate_nothing_is_rejected(log: Log) -> None:
    with pytest.raises(InvalidRequest) as caught:
        evaluate(log[0], {}, by_funding, order_of())
    assert caught.value.code == "replay_empty"


@pytest.mark.parametrize("kind", ["twice", "unknown_choice", "no_number", "no_chance"])
def test_evaluate_a_log_that_cannot_be_one_is_rejected(log: Log, kind: str) -> None:
    decisions, outcomes = log[0][:300], dict(log[1])
    first = decisions[0]
    if kind == "twice":
        decisions = [*decisions, first]
    elif kind == "unknown_choice":
        decisions = [msgspec.structs.replace(first, chosen="z"), *decisions[1:]]
    elif kind == "no_number":
        outcomes[first.id] = float("nan")
    else:
        decisions = [msgspec.structs.replace(first, chosen="c"), *decisions[1:]]
    with pytest.raises(InvalidRequest) as caught:
        evaluate(decisions, outcomes, by_funding, order_of())
    assert caught.value.code == "evaluation_input_invalid"


def test_evaluate_equal_outcomes_needs_a_range(log: Log) -> None:
    decisions, outcomes = log
    alike = dict.fromkeys(outcomes, 1.0)
    assert evaluate(decisions, alike, by_funding, order_of()).refusal == Refusal.OUTCOMES_CONSTANT
    report = evaluate(decisions, alike, by_funding, order_of(value_range=1.0))
    assert report.refusal is None
    assert report.logged.low == pytest.approx(1 - 3 / COUNT)


def test_evaluate_keeps_the_safeguards_that_it_judged_by(log: Log) -> None:
    strict = Safeguards(agreement_min=0.9)
    report = evaluate(*log, by_funding, order_of(safeguards=strict))
    assert report.refusal == Refusal.AGREEMENT_LOW
    assert report.safeguards == strict
