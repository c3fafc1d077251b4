import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import calibration
from tongbao.risk.models.calibration import (
    CHANCE_MAX,
    CHANCE_MIN,
    Calibration,
    brier,
    by_logistic,
    chances,
    fit,
    slope,
)


def drawn(seed: int, n: int = 20_000) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Raw scores twice as extreme as they should be, and truth: about 6 % fraud."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(-4.0, 1.5, n)
    return 2.0 * log_odds + 1.0, rng.random(n) < 1.0 / (1.0 + np.exp(-log_odds))


def test_fit_extreme_scores_gives_chances_that_come_true() -> None:
    curve = fit(*drawn(1))
    raw, is_fraud = drawn(2)
    found = chances(raw, *curve.arrays)
    assert slope(chances(raw, *by_logistic().arrays), is_fraud) == pytest.approx(0.5, abs=0.05)
    assert slope(found, is_fraud) == pytest.approx(1.0, abs=0.06)
    assert found.mean() == pytest.approx(is_fraud.mean(), rel=0.05)
    truth = 1.0 / (1.0 + np.exp(-(raw - 1.0) / 2.0))
    assert brier(found, is_fraud) < brier(truth, is_fraud) * 1.01


def test_fit_is_as_good_as_plain_isotonic_regression_and_keeps_the_order() -> None:
    raw, is_fraud = drawn(3)
    later, truth = drawn(4)
    plain = IsotonicRegression(out_of_bounds="clip").fit(raw, is_fraud).predict(later)
    found = chances(later, *fit(raw, is_fraud).arrays)
    assert brier(found, truth) <= brier(plain, truth)
    assert len(np.unique(plain)) < len(np.unique(found))


@settings(max_examples=60, deadline=None)
@given(
    raw=st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=80),
    truths=st.lists(st.booleans(), min_size=80, max_size=80),
    asked=st.lists(st.floats(allow_nan=False), min_size=2, max_size=40),
)
def test_chance_of_any_curve_never_falls_and_stays_in_bounds(
    raw: list[float], truths: list[bool], asked: list[float]
) -> None:
    is_fraud = np.array([True, False, *truths][: len(raw)])
    curve = fit(np.array(raw), is_fraud)
    found = chances(np.sort(np.array(asked)), *curve.arrays)
    assert (np.diff(found) >= 0).all()
    assert found.min() >= CHANCE_MIN
    assert found.max() <= CHANCE_MAX
    assert [curve.chance(x) for x in sorted(asked)] == found.tolist()


def test_chance_of_a_point_is_its_own_and_between_points_in_between() -> None:
    curve = Calibration(raw=(-1.0, 1.0), log_odds=(-4.0, 0.0))
    assert curve.chance(1.0) == 0.5
    assert curve.chance(0.0) == pytest.approx(1 / (1 + np.exp(2.0)))
    assert curve.chance(2.0) == pytest.approx(1 / (1 + np.exp(-1.0)))
    assert np.isnan(curve.chance(float("nan")))


def test_fit_perfect_scores_stays_short_of_certainty() -> None:
    raw = np.concatenate([np.linspace(-5, -4, 980), np.linspace(4, 5, 20)])
    curve = fit(raw, raw > 0)
    assert 0.85 < curve.chance(4.5) < 0.99
    assert curve.chance(-4.5) < 0.001


@pytest.mark.parametrize("is_fraud", [[False, False], [True, True], []])
def test_fit_one_outcome_only_is_rejected(is_fraud: list[bool]) -> None:
    with pytest.raises(InvalidRequest, match="too_few_labels"):
        fit(np.arange(float(len(is_fraud))), np.array(is_fraud, np.bool_))


@pytest.mark.parametrize(
    ("raw", "log_odds"),
    [
        ((), ()),
        ((1.0, 2.0), (1.0,)),
        ((1.0, 1.0), (0.0, 1.0)),
        ((1.0, 2.0), (1.0, 0.0)),
        ((1.0, float("nan")), (0.0, 1.0)),
        ((1.0, 2.0), (0.0, float("inf"))),
    ],
)
def test_make_a_curve_that_does_not_rise_is_rejected(
    raw: tuple[float, ...], log_odds: tuple[float, ...]
) -> None:
    with pytest.raises(InvalidRequest, match="calibration_invalid"):
        Calibration(raw, log_odds)


def test_slope_without_both_outcomes_or_spread_is_rejected() -> None:
    with pytest.raises(InvalidRequest, match="too_few_labels"):
        slope(np.array([0.1, 0.2]), np.array([False, False]))
    with pytest.raises(InvalidRequest, match="too_few_labels"):
        slope(np.array([0.1, 0.1]), np.array([False, True]))


def test_example_of_the_module_runs() -> None:
    result = doctest.testmod(calibration)
    assert result.attempted
    assert not result.failed
