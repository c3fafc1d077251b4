import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import logistic, regression
from tongbao.risk.models.logistic import Additive, Curve
from tongbao.risk.models.regression import fit


def examples(seed: int, n: int = 6_000) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A trend, a threshold, one whose absence is what tells, a constant, one that is always unknown; 4 % fraud."""
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [rng.normal(size=n), rng.exponential(size=n), rng.normal(size=n), np.full(n, 7.0), np.full(n, np.nan)]
    )
    x[rng.random(n) < 0.1, 2] = np.nan
    log_odds = -5.0 + x[:, 0] + 2.0 * (x[:, 1] > 2.0) + 2.0 * np.isnan(x[:, 2])
    return x, rng.random(n) < 1.0 / (1.0 + np.exp(-log_odds))


def test_fit_finds_trends_thresholds_and_what_is_missing() -> None:
    model = fit(*examples(1))
    x, is_fraud = examples(2)
    truth = x[:, 0] + 2.0 * (x[:, 1] > 2.0) + 2.0 * np.isnan(x[:, 2])
    best = average_precision_score(is_fraud, truth)
    assert average_precision_score(is_fraud, model.raw(x)) > 0.9 * best
    usual = np.array([0.0, 1.0, 0.0, 7.0, np.nan])
    unknown = np.array([0.0, 1.0, np.nan, 7.0, np.nan])
    assert model.raw_one(unknown) - model.raw_one(usual) == pytest.approx(2.0, abs=0.6)


def test_fit_curves_add_nothing_on_average() -> None:
    x, is_fraud = examples(3)
    model = fit(x, is_fraud)
    parts = np.array([model.parts(row) for row in x[:500]])
    rows = model.raw(x)
    np.testing.assert_allclose(parts.sum(axis=1) + model.bias, rows[:500], atol=1e-9)
    assert rows.mean() == pytest.approx(model.bias, abs=1e-9)
    assert model.bias == pytest.approx(-4.0, abs=1.5)


def test_fit_equal_examples_gives_equal_models() -> None:
    assert fit(*examples(4)) == fit(*examples(4))


def test_score_a_feature_that_no_example_lacked_counts_as_average_where_it_is_missing() -> None:
    model = fit(*examples(5))
    assert model.curves[0].missing == 0.0
    assert model.curves[2].missing != 0.0


def test_score_one_and_many_are_equal_bit_for_bit_and_change_nothing() -> None:
    model = fit(*examples(6))
    x, _ = examples(7, 300)
    x[::3, 0], x[1::3, 1] = np.inf, -np.inf
    kept = x.copy()
    many = model.raw(x)
    assert np.isfinite(many).all()
    assert [model.raw_one(row) for row in x] == many.tolist()
    assert x.tobytes() == kept.tobytes()


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=9, unique=True), st.floats(allow_nan=False))
def test_score_any_value_takes_the_step_of_its_bin(edges: list[float], x: float) -> None:
    rising = tuple(sorted(edges))
    curve = Curve(edges=rising, steps=tuple(float(i) for i in range(len(edges) + 1)), missing=-1.0)
    assert Additive(0.0, (curve,)).raw_one(np.array([x])) == sum(edge < x for edge in rising)


def test_score_slope_is_held_between_its_bounds() -> None:
    model = Additive(1.0, (Curve(slope=2.0, low=-1.0, high=3.0),))
    assert [model.raw_one(np.array([x])) for x in (-9.0, 0.5, 9.0)] == [-1.0, 2.0, 7.0]


@pytest.mark.parametrize("is_fraud", [[False, False], [True, True]])
def test_fit_one_outcome_only_is_rejected(is_fraud: list[bool]) -> None:
    with pytest.raises(InvalidRequest, match="too_few_labels"):
        fit(np.zeros((2, 1)), np.array(is_fraud))


@pytest.mark.parametrize(
    "parts",
    [
        {"edges": (1.0,)},
        {"edges": (1.0, 1.0), "steps": (0.0, 1.0, 2.0)},
        {"steps": (float("nan"),)},
        {"slope": float("inf")},
        {"low": 2.0, "high": 1.0},
    ],
)
def test_make_a_curve_of_unfitting_parts_is_rejected(parts: dict[str, float]) -> None:
    with pytest.raises(InvalidRequest, match="curve_invalid"):
        Curve(**parts)  # type: ignore[arg-type]  # some parts are tuples


def test_make_a_sum_of_nothing_is_rejected() -> None:
    with pytest.raises(InvalidRequest, match="curve_invalid"):
        Additive(0.0, ())
    with pytest.raises(InvalidRequest, match="curve_invalid"):
        Additive(float("nan"), (Curve(),))


def test_examples_of_the_modules_run() -> None:
    for module in (logistic, regression):
        result = doctest.testmod(module)
        assert result.attempted
        assert not result.failed
