"""Confidence sequences: their form, and how often they fail on streams that are looked at all the time."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.decisions.policy.confidence import Floats, Moments, confidence_sequence, difference

STREAMS = 500
LOOKS = 200
STEP = 100


@given(st.floats(1, 1e7), st.floats(1e-6, 1e6), st.floats(0.001, 0.5), st.floats(1, 1e6))
def test_half_width_shrinks_with_count_and_grows_with_certainty(
    count: float, variance: float, alpha: float, tuned_at: float
) -> None:
    width = confidence_sequence(count, 0.0, variance, alpha, tuned_at)
    assert 0 < width < math.inf
    assert confidence_sequence(count * 2, 0.0, variance, alpha, tuned_at) < width
    assert confidence_sequence(count, 0.0, variance, alpha / 2, count) > confidence_sequence(
        count, 0.0, variance, alpha, count
    )
    assert confidence_sequence(count, 7.0, variance * 4, alpha, tuned_at) == pytest.approx(2 * width)


def test_half_width_is_wider_than_of_a_single_look_and_narrowest_where_tuned() -> None:
    at_1000 = [
        confidence_sequence(1_000, 0, 1, 0.05, tuned_at) for tuned_at in (10, 100, 1_000, 10_000, 100_000)
    ]
    assert min(at_1000) == at_1000[2]
    assert 1.3 < at_1000[2] / (1.96 / math.sqrt(1_000)) < 1.7


def test_half_width_equals_the_boundary_of_the_paper() -> None:
    count, alpha, rho = (
        400,
        0.05,
        math.sqrt((-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 1_000),
    )
    inside = 2 * (count * rho**2 + 1) / (count * rho) ** 2 * math.log(math.sqrt(count * rho**2 + 1) / alpha)
    assert confidence_sequence(count, 0, 0.25, alpha, 1_000) == pytest.approx(math.sqrt(0.25 * inside))


def test_half_width_without_knowledge_is_infinite() -> None:
    assert confidence_sequence(0, 0.5, 0.25, 0.05, 1_000) == math.inf
    assert confidence_sequence(10, math.nan, 0.25, 0.05, 1_000) == math.inf
    assert confidence_sequence(10, 0.5, math.nan, 0.05, 1_000) == math.inf


@pytest.mark.parametrize(
    ("alpha", "tuned_at"), [(0, 10), (1, 10), (math.nan, 10), (0.05, 0), (0.05, math.nan)]
)
def test_half_width_of_senseless_parameters_is_refused(alpha: float, tuned_at: float) -> None:
    with pytest.raises(ValueError, match=r"alpha|tuned"):
        confidence_sequence(10, 0.5, 0.25, alpha, tuned_at)


def test_arrays_give_what_single_numbers_give() -> None:
    counts, means, variances = (
        np.array([0.0, 10, 5_000]),
        np.array([0.0, 0.2, 0.3]),
        np.array([0.0, 0.16, 0.21]),
    )
    widths = confidence_sequence(counts, means, variances, 0.05, 1_000)
    single = [
        confidence_sequence(float(counts[i]), float(means[i]), float(variances[i]), 0.05, 1_000)
        for i in range(3)
    ]
    assert np.asarray(widths).tolist() == single
    low, high = difference(Moments(counts, means, variances), Moments(50.0, 0.25, 0.19), 0.05, 1_000)
    for i in range(3):
        one = difference(
            Moments(float(counts[i]), float(means[i]), float(variances[i])),
            Moments(50.0, 0.25, 0.19),
            0.05,
            1_000,
        )
        assert (np.asarray(low)[i], np.asarray(high)[i]) == one


def test_difference_turns_its_sign_with_its_arms() -> None:
    one, other = Moments(300, 0.91, 0.08), Moments(5_700, 0.9, 0.09)
    low, high = difference(one, other, 0.05, 10_000)
    assert difference(other, one, 0.05, 10_000) == (-high, -low)
    assert (low + high) / 2 == pytest.approx(0.01)


def test_difference_with_an_empty_arm_is_unknown() -> None:
    assert difference(Moments(0, math.nan, math.nan), Moments(10, 1, 0.1), 0.05, 100) == (-math.inf, math.inf)


def failing_share(
    sums: tuple[Floats, Floats], squares: tuple[Floats, Floats], counts: tuple[Floats, Floats]
) -> float:
    """Share of streams (rows) of which some look (column) excludes that both arms are alike."""
    arms = []
    for total, of_squares, count in zip(sums, squares, counts, strict=True):
        mean = total / count
        arms.append(Moments(count, mean, of_squares / count - mean**2))
    low, high = difference(arms[0], arms[1], 0.05, 10_000)
    return float(np.mean(((np.asarray(low) > 0) | (np.asarray(high) < 0)).any(axis=1)))


@pytest.mark.parametrize(
    ("rate", "share", "first_look"), [(0.9, 0.5, 1), (0.5, 0.5, 1), (0.9, 0.05, 20), (0.03, 0.2, 10)]
)
def test_difference_of_equal_rates_is_excluded_in_few_streams(
    rate: float, share: float, first_look: int
) -> None:
    rng = np.random.default_rng(20261122)
    treated = rng.binomial(STEP, share, (STREAMS, LOOKS))
    hits = rng.binomial(treated, rate).cumsum(axis=1)[:, first_look:].astype(float)
    others = rng.binomial(STEP - treated, rate).cumsum(axis=1)[:, first_look:].astype(float)
    counts = treated.cumsum(axis=1)[:, first_look:].astype(float)
    rest = (STEP - treated).cumsum(axis=1)[:, first_look:].astype(float)
    assert failing_share((hits, others), (hits, others), (counts, rest)) < 0.05


def test_difference_of_equal_skewed_amounts_is_excluded_in_few_streams() -> None:
    rng = np.random.default_rng(7)
    values = rng.exponential(40.0, (300, 2, 50, 100))
    sums, squares = values.sum(axis=3).cumsum(axis=2), (values**2).sum(axis=3).cumsum(axis=2)
    counts = np.broadcast_to(np.arange(1, 51) * 100.0, (300, 50))
    assert failing_share((sums[:, 0], sums[:, 1]), (squares[:, 0], squares[:, 1]), (counts, counts)) < 0.05


def test_a_single_look_repeated_fails_far_more_often() -> None:
    rng = np.random.default_rng(20261122)
    arms = rng.binomial(STEP // 2, 0.9, (2, STREAMS, LOOKS)).cumsum(axis=2)
    counts = np.arange(1, LOOKS + 1) * STEP / 2
    rates = arms / counts
    errors = np.sqrt((rates * (1 - rates)).sum(axis=0) / counts)
    assert np.mean((np.abs(rates[0] - rates[1]) > 1.96 * errors).any(axis=1)) > 0.2
