"""Whether a policy that never met traffic is better than the one that logged: estimate, interval, verdict or refusal.

The verdict is by DR where an outcome model is at hand, otherwise by SNIPS; IPS stands beside them, the direct method
(the model alone) is a cross-check and never decides. The difference to the policy that logged has an interval of its own,
on the same decisions, and is much narrower than the two intervals side by side. Where the full propensities are at hand, DR
compares what both policies are expected to do and not the luck of the draws that were logged: a policy then differs
from itself by nothing, however rarely it explored (a rarity drawn once would otherwise look like certainty).

``agreement`` (the mean probability with which the target does what was logged) is reported, but a random log agrees
only partly with itself: five channels drawn evenly give 0.2. Where the full propensities are at hand, refusal is
therefore by ``overlap``, the mean of ``sum_a min(target, logged)``: 1 for the logger itself, and equal to the
agreement where the log was not random. Without them it is by agreement.

Clipping weights at ``Safeguards.weight_max`` moves estimates by at most the weight that was cut off times the range of
the outcomes; that bound is part of the result, and more than ``clipped_share_max`` of cut weight is refused.

Pure: chance (for the bootstrap) arrives as a generator.
"""

import msgspec
import numpy as np

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.policy import off_policy_estimators as by
from tongbao.decisions.policy.off_policy_estimators import Codes, Score, Spread, Vector
from tongbao.decisions.schema.evaluation import Caveat, Estimate, Refusal, Safeguards, Verdict

SUPPORT_TOLERANCE = 1e-6
PROBABILITY_TOLERANCE = 1e-6
MEAN_WEIGHT_ERRORS_MAX = 5.0
"""Standard errors that the mean weight may be away from one before the logged propensities are taken to be wrong."""
MODELED = ("chosen_value", "target_value", "logged_value")
MEAN_WEIGHT_SLACK = 0.01
"""Deviation of the mean weight that is never taken for an error, for logs that are not random and have no error."""


class Sample(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Logged decisions with their outcomes as arrays (m,), in any order.

    ``propensity``: probability with which the logger chose what it chose, in (0, 1]. ``target``: probability with which
    the new policy would have chosen the same, in [0, 1]. ``chosen_value`` and ``target_value``: an outcome model's
    expectation for what was chosen, and its mean under the new policy; both or neither. ``logged_value``: its mean
    under the policy that logged. ``overlap`` and ``unsupported``: per decision ``sum_a min(target, logged)``, and the probability that the target gives to what the
    logger could not do. ``cluster``: group of decisions that depend on each other (tries of one payment). ``span``:
    width of the range of outcomes where known, else that of those seen.
    """

    propensity: Vector
    outcome: Vector
    target: Vector
    chosen_value: Vector | None = None
    target_value: Vector | None = None
    logged_value: Vector | None = None
    overlap: Vector | None = None
    unsupported: Vector | None = None
    cluster: Codes | None = None
    span: float | None = None


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """What a sample says; the fields are those of ``Report``. Refused: no estimates, no difference."""

    count: int
    agreement: float
    overlap: float
    effective_count: float
    weight_max: float
    clipped_share: float
    clipped_bias_max: float
    unsupported: float
    logged: Estimate
    estimates: tuple[Estimate, ...] = ()
    direct: Estimate | None = None
    difference: Estimate | None = None
    recommended: str = ""
    verdict: Verdict
    refusal: Refusal | None = None
    caveats: tuple[Caveat, ...] = ()


class _Weighing(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The weights of a sample, cut and uncut, and what is told of them."""

    raw: Vector
    weight: Vector
    effective: float
    clipped_share: float
    span: float


def assess(
    sample: Sample, safeguards: Safeguards, rng: np.random.Generator, *, higher_is_better: bool = True
) -> Assessment:
    """Return estimates, difference and verdict, or a refusal.

    Raises InvalidRequest ``evaluation_input_invalid`` for arrays that are empty, of different lengths, not finite, or
    for probabilities or safeguards outside of their range.
    """
    check(sample)
    _demand(
        safeguards.weight_max > 0
        and 0 <= safeguards.clipped_share_max <= 1
        and 0 <= safeguards.agreement_min <= 1
        and safeguards.effective_min >= 0,
        "the safeguards make no sense",
    )
    weighing = _weigh(sample, safeguards)
    logged_score = by.mean(sample.outcome)
    count = float(len(sample.outcome))
    logged = _estimate("logged", logged_score, _spread(sample, count, weighing.span, 1.0), rng)[0]
    facts = Assessment(
        count=len(sample.outcome),
        agreement=float(sample.target.mean()),
        overlap=float((sample.target if sample.overlap is None else sample.overlap).mean()),
        effective_count=weighing.effective,
        weight_max=float(weighing.raw.max()),
        clipped_share=weighing.clipped_share,
        clipped_bias_max=float((weighing.raw - weighing.weight).mean()) * weighing.span,
        unsupported=0.0 if sample.unsupported is None else float(sample.unsupported.mean()),
        logged=logged,
        verdict=Verdict.REFUSED,
    )
    refusal = _refusal(facts, weighing, safeguards)
    if refusal is not None:
        return msgspec.structs.replace(facts, refusal=refusal)
    return _judged(sample, weighing, facts, rng, higher_is_better)


def check(sample: Sample) -> None:
    """Raise InvalidRequest ``evaluation_input_invalid`` unless the arrays can be a log."""
    count = len(sample.outcome)
    _demand(count > 0, "there is no decision to evaluate on")
    _demand(
        (sample.chosen_value is None) == (sample.target_value is None),
        "an outcome model gives both of its arrays or none",
    )
    _demand(
        sample.logged_value is None or sample.target_value is not None,
        "what the logger was expected to reach comes from an outcome model",
    )
    for name in (*("propensity", "outcome", "target", "overlap", "unsupported"), *MODELED):
        values = getattr(sample, name)
        if values is not None:
            _demand(values.shape == (count,), f"{name} has another length than outcome")
            _demand(bool(np.isfinite(values).all()), f"{name} holds what is not a number")
    top = 1 + PROBABILITY_TOLERANCE
    for name in ("propensity", "target", "overlap", "unsupported"):
        values = getattr(sample, name)
        if values is not None:
            _demand(bool(((values >= 0) & (values <= top)).all()), f"{name} is not within 0 and 1")
    _demand(bool((sample.propensity > 0).all()), "something was chosen that had no chance")
    if sample.cluster is not None:
        _demand(sample.cluster.shape == (count,), "cluster has another length than outcome")
        _demand(
            0 <= int(sample.cluster.min()) <= int(sample.cluster.max()) < count, "cluster is out of range"
        )
    if sample.span is not None:
        _demand(np.isfinite(sample.span) and sample.span > 0, "span is not a positive number")


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InvalidRequest("evaluation_input_invalid", otherwise)


def _weigh(sample: Sample, safeguards: Safeguards) -> _Weighing:
    raw = sample.target / sample.propensity
    weight = np.minimum(raw, safeguards.weight_max)
    total = float(raw.sum())
    seen = float(sample.outcome.max() - sample.outcome.min())
    return _Weighing(
        raw=raw,
        weight=weight,
        effective=by.effective_count(raw),
        clipped_share=float((raw - weight).sum()) / total if total else 0.0,
        span=seen if sample.span is None else max(sample.span, seen),
    )


def _spread(sample: Sample, effective: float, span: float, leverage: float) -> Spread:
    floor = by.RULE_OF_THREE * span * leverage / max(effective, 1.0)
    return Spread(effective=effective, floor=floor, cluster=sample.cluster)


def _estimate(name: str, score: Score, spread: Spread, rng: np.random.Generator) -> tuple[Estimate, bool]:
    low, high, heavy = by.interval(score, spread, rng)
    return Estimate(estimator=name, value=score.value, low=low, high=high), heavy


def _refusal(facts: Assessment, weighing: _Weighing, safeguards: Safeguards) -> Refusal | None:
    """Return the first reason for which the log does not tell, in the order of ``Refusal``."""
    raw = weighing.raw
    deviation = abs(float(raw.mean()) - (1 - facts.unsupported))
    error = float(raw.std()) / len(raw) ** 0.5
    reasons = (
        (facts.count < safeguards.count_min, Refusal.COUNT_SMALL),
        (weighing.span == 0, Refusal.OUTCOMES_CONSTANT),
        (facts.unsupported > SUPPORT_TOLERANCE, Refusal.SUPPORT_MISSING),
        (facts.overlap < safeguards.agreement_min, Refusal.AGREEMENT_LOW),
        (weighing.effective < safeguards.effective_min, Refusal.EFFECTIVE_LOW),
        (deviation > MEAN_WEIGHT_SLACK + MEAN_WEIGHT_ERRORS_MAX * error, Refusal.PROPENSITIES_OFF),
        (weighing.clipped_share > safeguards.clipped_share_max, Refusal.WEIGHTS_CLIPPED),
    )
    return next((reason for holds, reason in reasons if holds), None)


def _judged(
    sample: Sample, weighing: _Weighing, facts: Assessment, rng: np.random.Generator, higher_is_better: bool
) -> Assessment:
    """Return ``facts`` with estimates, difference, caveats and verdict."""
    spread = _spread(sample, weighing.effective, weighing.span, 1.0)
    scores = _scores(sample, weighing.weight)
    found = {name: _estimate(name, score, spread, rng) for name, score in scores.items()}
    direct = found.pop("direct", (None, False))[0]
    recommended = "dr" if "dr" in scores else "snips"
    leverage = float(np.abs(weighing.weight - 1).mean())
    difference, heavy = _estimate(
        recommended,
        _difference(sample, weighing.weight, scores[recommended]),
        _spread(sample, weighing.effective, weighing.span, leverage),
        rng,
    )
    estimates = tuple(each for each, _ in found.values())
    return msgspec.structs.replace(
        facts,
        estimates=estimates,
        direct=direct,
        difference=difference,
        recommended=recommended,
        verdict=_verdict(difference, higher_is_better),
        caveats=_caveats(facts, heavy or found[recommended][1], found["snips"][0], found[recommended][0]),
    )


def _scores(sample: Sample, weight: Vector) -> dict[str, Score]:
    scores = {"ips": by.ips(weight, sample.outcome), "snips": by.snips(weight, sample.outcome)}
    if sample.chosen_value is not None and sample.target_value is not None:
        scores["dr"] = by.doubly_robust(weight, sample.outcome, sample.chosen_value, sample.target_value)
        scores["direct"] = by.mean(sample.target_value)
    return scores


def _difference(sample: Sample, weight: Vector, recommended: Score) -> Score:
    """Return the new policy minus the one that logged; by DR with full propensities, both in expectation."""
    chosen, target, logged = sample.chosen_value, sample.target_value, sample.logged_value
    if chosen is None or target is None or logged is None:
        return recommended.minus(by.mean(sample.outcome))
    return by.doubly_robust(weight - 1.0, sample.outcome, chosen, target - logged)


def _verdict(difference: Estimate, higher_is_better: bool) -> Verdict:
    if difference.low <= 0 <= difference.high:
        return Verdict.UNDECIDED
    return Verdict.BETTER if (difference.value > 0) == higher_is_better else Verdict.WORSE


def _caveats(facts: Assessment, heavy: bool, snips: Estimate, chosen: Estimate) -> tuple[Caveat, ...]:
    apart = snips.high < chosen.low or chosen.high < snips.low
    told = (
        (facts.clipped_share > 0, Caveat.WEIGHTS_CLIPPED),
        (heavy, Caveat.FEW_COUNT_MOST),
        (apart, Caveat.ESTIMATORS_DISAGREE),
    )
    return tuple(caveat for holds, caveat in told if holds)
