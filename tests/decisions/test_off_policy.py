"""Estimators off policy: closed forms, laws, coverage, every refusal, and inputs that cannot be a log."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.policy import off_policy_estimators as by
from tongbao.decisions.policy.off_policy import Assessment, Sample, assess
from tongbao.decisions.schema.evaluation import EXPLORING, Caveat, Estimate, Refusal, Safeguards, Verdict

ANY = Safeguards(count_min=1, agreement_min=0.0, effective_min=0.0)
LOGGER = np.array([0.6, 0.3, 0.1])
RATES = np.array([0.8, 0.9, 0.7])


def judged(sample: Sample, safeguards: Safeguards = ANY, *, higher_is_better: bool = True) -> Assessment:
    return assess(sample, safeguards, np.random.default_rng(5), higher_is_better=higher_is_better)


def sample_of(propensity: list[float], outcome: list[float], target: list[float], **more: Any) -> Sample:
    return Sample(propensity=np.array(propensity), outcome=np.array(outcome), target=np.array(target), **more)


def drawn(count: int, target: np.ndarray[Any, Any], seed: int = 3, *, model: bool = True) -> Sample:
    """A log of three actions with yes-or-no outcomes, and a model that is right on average."""
    rng = np.random.default_rng(seed)
    action = rng.choice(3, count, p=LOGGER)
    return Sample(
        propensity=LOGGER[action],
        outcome=(rng.random(count) < RATES[action]).astype(float),
        target=target[action],
        chosen_value=RATES[action] if model else None,
        target_value=np.full(count, float(target @ RATES)) if model else None,
        logged_value=np.full(count, float(LOGGER @ RATES)) if model else None,
        overlap=np.full(count, np.minimum(LOGGER, target).sum()),
    )


def named(assessment: Assessment, estimator: str) -> Estimate:
    return next(each for each in assessment.estimates if each.estimator == estimator)


def test_estimate_of_four_decisions_equals_the_sums_by_hand() -> None:
    found = judged(sample_of([0.5, 0.5, 0.25, 0.25], [1, 0, 1, 1], [0.25, 0.25, 0.5, 0.5]))
    # Weights 0.5, 0.5, 2, 2: IPS (0.5 + 2 + 2) / 4, SNIPS 4.5 / 5, Kish 25 / 8.5.
    assert named(found, "ips").value == pytest.approx(1.125)
    assert named(found, "snips").value == pytest.approx(0.9)
    assert found.effective_count == pytest.approx(25 / 8.5)
    assert found.agreement == pytest.approx(0.375)
    assert found.weight_max == pytest.approx(2.0)
    assert found.logged.value == pytest.approx(0.75)
    assert found.difference is not None
    assert found.difference.value == pytest.approx(0.15)
    assert found.recommended == "snips"


def test_estimate_with_a_model_is_the_model_plus_its_weighted_errors() -> None:
    sample = sample_of(
        [0.5, 0.5, 0.25, 0.25],
        [1, 0, 1, 1],
        [0.25, 0.25, 0.5, 0.5],
        chosen_value=np.array([0.8, 0.2, 0.5, 1.0]),
        target_value=np.array([0.6, 0.6, 0.7, 0.9]),
    )
    found = judged(sample)
    # Errors 0.2, -0.2, 0.5, 0 by weights 0.5, 0.5, 2, 2 add 1.0; the model's own answers add 2.8.
    assert named(found, "dr").value == pytest.approx(3.8 / 4)
    assert found.direct is not None
    assert found.direct.value == pytest.approx(0.7)
    assert found.recommended == "dr"


outcomes = st.lists(st.floats(-100, 100), min_size=2, max_size=30).filter(
    lambda each: max(each) - min(each) > 0.01
)


@settings(max_examples=50)
@given(outcome=outcomes, data=st.data())
def test_estimate_of_the_logger_itself_is_the_logged_mean(outcome: list[float], data: st.DataObject) -> None:
    chances = st.floats(0.05, 1)
    propensity = data.draw(st.lists(chances, min_size=len(outcome), max_size=len(outcome)))
    found = judged(sample_of(propensity, outcome, propensity))
    for estimator in ("ips", "snips"):
        assert named(found, estimator).value == pytest.approx(found.logged.value, abs=1e-9)
    assert found.agreement == pytest.approx(np.mean(propensity))
    assert found.effective_count == pytest.approx(len(outcome))
    assert found.difference is not None
    assert found.difference.value == pytest.approx(0, abs=1e-9)
    assert found.verdict is Verdict.UNDECIDED


# Powers of two scale floats without rounding, so that nothing but the law itself is looked at.
@settings(max_examples=40)
@given(outcome=outcomes, scale=st.sampled_from([0.125, 4.0, 1024.0]), data=st.data())
def test_estimate_scales_with_the_outcome(outcome: list[float], scale: float, data: st.DataObject) -> None:
    count = len(outcome)
    propensity = data.draw(st.lists(st.floats(0.05, 1), min_size=count, max_size=count))
    target = data.draw(st.lists(st.floats(0.01, 1), min_size=count, max_size=count))
    safeguards = msgspec.structs.replace(ANY, clipped_share_max=1.0)
    plain = judged(sample_of(propensity, outcome, target), safeguards)
    scaled = judged(sample_of(propensity, [scale * each for each in outcome], target), safeguards)
    assert (plain.refusal, plain.effective_count) == (scaled.refusal, scaled.effective_count)
    for before, after in zip(plain.estimates, scaled.estimates, strict=True):
        for field in ("value", "low", "high"):
            assert getattr(after, field) == pytest.approx(scale * getattr(before, field), rel=1e-6, abs=1e-6)


@settings(max_examples=50)
@given(data=st.data())
def test_every_figure_of_weights_is_within_its_range(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 1)), min_size=1))
    found = judged(sample_of([a for a, _, _ in rows], [b for _, b, _ in rows], [c for _, _, c in rows]))
    assert 0 <= found.weight_max <= 100
    assert 0 <= found.effective_count <= len(rows) * (1 + 1e-9)
    assert 0 <= found.clipped_share <= 1
    for each in found.estimates:
        assert each.low <= each.value <= each.high


@pytest.mark.parametrize("freedom", [5, 10, 30, 200, 5_000])
def test_student_quantile_is_that_of_student(freedom: int) -> None:
    assert by.student_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=5e-3)


def test_intervals_of_a_good_log_cover_as_often_as_they_promise() -> None:
    target = np.array([0.2, 0.7, 0.1])
    truth = float(target @ RATES)
    hits = {"ips": 0, "snips": 0, "dr": 0, "difference": 0}
    for seed in range(300):
        found = judged(drawn(1_500, target, seed))
        for each in found.estimates:
            hits[each.estimator] += each.low <= truth <= each.high
        assert found.difference is not None
        hits["difference"] += found.difference.low <= truth - float(LOGGER @ RATES) <= found.difference.high
    assert all(0.90 <= count / 300 <= 0.99 for count in hits.values()), hits


def test_heavy_losses_are_bootstrapped_and_told() -> None:
    rng = np.random.default_rng(2)
    outcome = np.where(rng.random(600) < 0.02, rng.lognormal(3.5, 1, 600), 0.0)
    propensity = np.full(600, 0.8)
    sample = Sample(propensity=propensity, outcome=outcome, target=propensity * 0.98 + 0.01)
    found = judged(sample, higher_is_better=False)
    assert Caveat.FEW_COUNT_MOST in found.caveats
    snips = named(found, "snips")
    assert snips.high - snips.value > 1.2 * (snips.value - snips.low)  # losses have their tail above
    again = judged(sample, higher_is_better=False)
    assert again == found


def test_resampling_of_a_normal_sample_is_as_wide_as_student() -> None:
    rng = np.random.default_rng(4)
    score = by.mean(rng.normal(10, 2, 3_000))
    below, above = by._bootstrap(score.influence, rng)
    assert below == pytest.approx(1.96, abs=0.2)
    assert above == pytest.approx(1.96, abs=0.2)


def test_successes_without_exception_do_not_prove_certainty() -> None:
    found = judged(sample_of([0.5] * 300, [1.0] * 300, [0.5] * 300, span=1.0))
    snips = named(found, "snips")
    assert snips.low == pytest.approx(1 - 3 / 300)


def test_decisions_that_depend_on_each_other_widen_the_interval() -> None:
    sample = drawn(400, LOGGER, model=False)
    twice = Sample(
        propensity=np.repeat(sample.propensity, 4),
        outcome=np.repeat(sample.outcome, 4),
        target=np.repeat(sample.target, 4),
    )
    naive = judged(twice).logged
    honest = judged(msgspec.structs.replace(twice, cluster=np.repeat(np.arange(400), 4))).logged
    once = judged(sample).logged
    assert honest.value == naive.value
    assert honest.high - honest.low == pytest.approx(once.high - once.low, rel=0.01)
    assert naive.high - naive.low == pytest.approx((once.high - once.low) / 2, rel=0.02)


def test_difference_is_narrower_than_two_intervals_side_by_side() -> None:
    found = judged(drawn(5_000, np.array([0.5, 0.4, 0.1])))
    assert found.difference is not None
    apart = named(found, "dr").high - named(found, "dr").low + found.logged.high - found.logged.low
    assert found.difference.high - found.difference.low < 0.5 * apart


@pytest.mark.parametrize(
    ("target", "higher", "verdict"),
    [
        ([0.1, 0.9, 0.0], True, Verdict.BETTER),
        ([0.1, 0.9, 0.0], False, Verdict.WORSE),
        ([0.2, 0.1, 0.7], True, Verdict.WORSE),
        ([0.5, 0.35, 0.15], True, Verdict.UNDECIDED),
    ],
)
def test_verdict_follows_the_interval_of_the_difference(
    target: list[float], higher: bool, verdict: Verdict
) -> None:
    found = judged(drawn(20_000, np.array(target)), EXPLORING, higher_is_better=higher)
    assert found.verdict is verdict


def test_weights_beyond_the_limit_are_cut_and_the_bias_is_bounded() -> None:
    propensity = [0.5] * 990 + [0.004] * 10
    target = [0.5] * 990 + [0.4] * 10
    outcome = [1.0, 0.0] * 500
    guards = msgspec.structs.replace(ANY, weight_max=90.0, clipped_share_max=0.2)
    found = judged(sample_of(propensity, outcome, target), guards)
    assert found.weight_max == pytest.approx(100)
    assert found.clipped_share == pytest.approx(100 / 1_990)
    assert found.clipped_bias_max == pytest.approx(0.1)
    whole = judged(sample_of(propensity, outcome, target), msgspec.structs.replace(guards, weight_max=1e9))
    assert found.refusal is whole.refusal is None
    for estimator in ("ips", "snips"):
        assert abs(named(found, estimator).value - named(whole, estimator).value) <= 0.1
    assert Caveat.WEIGHTS_CLIPPED in found.caveats
    assert Caveat.WEIGHTS_CLIPPED not in whole.caveats


EVEN = drawn(2_000, LOGGER, model=False)
STRANGER = drawn(2_000, np.array([0.0, 0.0, 1.0]), model=False)


@pytest.mark.parametrize(
    ("sample", "safeguards", "refusal"),
    [
        (drawn(99, LOGGER), Safeguards(), Refusal.COUNT_SMALL),
        (sample_of([0.5] * 200, [1.0] * 200, [0.5] * 200), Safeguards(), Refusal.OUTCOMES_CONSTANT),
        (
            msgspec.structs.replace(EVEN, unsupported=np.full(2_000, 0.01)),
            Safeguards(),
            Refusal.SUPPORT_MISSING,
        ),
        (STRANGER, Safeguards(), Refusal.AGREEMENT_LOW),
        (msgspec.structs.replace(STRANGER, overlap=None), Safeguards(), Refusal.AGREEMENT_LOW),
        (STRANGER, msgspec.structs.replace(EXPLORING, agreement_min=0.05), Refusal.EFFECTIVE_LOW),
        (
            msgspec.structs.replace(EVEN, propensity=EVEN.propensity * 0.7),
            Safeguards(),
            Refusal.PROPENSITIES_OFF,
        ),
        (
            drawn(20_000, np.array([0.4, 0.2, 0.4])),
            Safeguards(weight_max=3.0),
            Refusal.WEIGHTS_CLIPPED,
        ),
    ],
    ids=lambda each: str(each) if isinstance(each, Refusal) else "",
)
def test_log_that_does_not_tell_is_refused_without_estimates(
    sample: Sample, safeguards: Safeguards, refusal: Refusal
) -> None:
    found = judged(sample, safeguards)
    assert found.refusal is refusal
    assert found.verdict is Verdict.REFUSED
    assert found.estimates == ()
    assert found.difference is None
    assert found.logged.value == pytest.approx(float(sample.outcome.mean()))


def test_logger_itself_is_not_refused_however_random_it_is() -> None:
    found = judged(EVEN, Safeguards())
    assert found.agreement < 0.5
    assert found.overlap == pytest.approx(1)
    assert found.refusal is None


GOOD: dict[str, Any] = {"propensity": [0.5, 0.5], "outcome": [0.0, 1.0], "target": [0.5, 0.5]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"propensity": [], "outcome": [], "target": []},
        {"propensity": [0.5]},
        {"target": [0.5, 0.5, 0.5]},
        {"outcome": [0.0, float("nan")]},
        {"outcome": [0.0, float("inf")]},
        {"propensity": [0.5, float("nan")]},
        {"propensity": [0.5, 0.0]},
        {"propensity": [0.5, -0.1]},
        {"propensity": [0.5, 1.1]},
        {"target": [0.5, -0.1]},
        {"target": [0.5, 1.1]},
        {"overlap": np.array([0.5, 1.2])},
        {"unsupported": np.array([0.5, -0.2])},
        {"chosen_value": np.array([0.5, 0.5])},
        {"chosen_value": np.array([0.5, 0.5]), "target_value": np.array([0.5, np.nan])},
        {"cluster": np.array([0, 2])},
        {"cluster": np.array([0])},
        {"span": 0.0},
        {"span": float("nan")},
    ],
    ids=str,
)
def test_arrays_that_cannot_be_a_log_are_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        judged(sample_of(**(GOOD | wrong)))
    assert caught.value.code == "evaluation_input_invalid"


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight_max": 0.0},
        {"weight_max": float("nan")},
        {"clipped_share_max": 1.5},
        {"agreement_min": -0.1},
        {"effective_min": float("nan")},
    ],
    ids=str,
)
def test_safeguards_that_make_no_sense_are_rejected(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        judged(EVEN, msgspec.structs.replace(ANY, **wrong))
    assert caught.value.code == "evaluation_input_invalid"
