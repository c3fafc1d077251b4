"""Detectors without labels: equal to scikit-learn's, kept whole in bytes, quiet on what is usual."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import array_state
from tongbao.risk.models.anomaly import LOF_ROWS_MAX, Z_MAX, Isolation, OutlierFactor, RobustZ

Floats = NDArray[np.float64]
NAMES = tuple(f"f{place}" for place in range(6))


def traffic(count: int, seed: int) -> Floats:
    """Features of several scales; the fourth takes few values, as counts do."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 6)) * [1, 10, 0.01, 1, 1, 1]
    rows[:, 1] = np.exp(rows[:, 0] / 2 + rng.normal(size=count))
    rows[:, 3] = rng.poisson(0.3, count)
    return rows


@pytest.mark.parametrize("count", [60, 255, 3_000])
def test_forest_scores_as_the_library_does(count: int) -> None:
    good, rows = traffic(count, 1), traffic(500, 2) * 1.5
    rows[0] = good[0]
    library = IsolationForest(n_estimators=100, max_samples=min(count, 256), random_state=5).fit(good)
    forest = Isolation.fit(NAMES, good, seed=5)
    assert np.abs(forest.score(rows) + library.score_samples(rows)).max() < 1e-9


def test_forest_takes_values_at_a_threshold_to_the_side_of_the_library() -> None:
    good = traffic(300, 1)
    library = IsolationForest(n_estimators=100, max_samples=256, random_state=5).fit(good)
    rows = np.repeat(np.median(good, axis=0)[None, :], 100, axis=0)
    for row, estimator in zip(rows, library.estimators_, strict=True):
        # Just above the first threshold of a tree, and as often as not below it in single precision.
        row[estimator.tree_.feature[0]] = np.nextafter(estimator.tree_.threshold[0], np.inf)
    forest = Isolation.fit(NAMES, good, seed=5)
    assert np.abs(forest.score(rows) + library.score_samples(rows)).max() < 1e-9


def test_forest_scores_one_as_many_bit_for_bit_and_changes_nothing() -> None:
    forest = Isolation.fit(NAMES, traffic(1_000, 1), seed=1, trees=20)
    rows = traffic(50, 3)
    rows[::7, 2] = np.nan
    before = forest.dump()
    assert [forest.score_one(row) for row in rows] == forest.score(rows).tolist()
    assert forest.dump() == before


def test_forest_takes_unknown_as_the_median() -> None:
    good = traffic(1_000, 1)
    forest = Isolation.fit(NAMES, good, seed=1)
    row = traffic(1, 4)[0]
    filled = row.copy()
    row[1], filled[1] = np.nan, np.median(good[:, 1])
    assert forest.score_one(row) == forest.score_one(filled)


def test_forest_of_equal_seeds_is_equal_and_survives_bytes() -> None:
    good = traffic(500, 1)
    one = Isolation.fit(NAMES, good, seed=3, trees=10)
    assert one.dump() == Isolation.fit(NAMES, good, seed=3, trees=10).dump()
    loaded = Isolation.load(one.dump())
    assert loaded.names == NAMES
    assert loaded.score(good).tolist() == one.score(good).tolist()


def test_forest_that_leads_nowhere_is_refused() -> None:
    names, arrays = array_state.unpacked(
        Isolation.fit(NAMES, traffic(100, 1), seed=1, trees=2).dump(), "isolation_forest"
    )
    for key, place, value in (
        ("nodes", (0, 1), 0),
        ("nodes", (0, 2), 10**6),
        ("nodes", (0, 0), 6),
        ("values", -1, 0.0),
    ):
        broken = {name: array.copy() for name, array in arrays.items()}
        broken[key][place] = value
        with pytest.raises(InvalidRequest, match="not whole"):
            Isolation.load(array_state.packed("isolation_forest", names, broken))
    with pytest.raises(InvalidRequest, match="risk_state_invalid"):
        Isolation.load(RobustZ.fit(NAMES, traffic(100, 1)).dump())


def test_outlier_factor_is_that_of_the_library_on_robust_z() -> None:
    good, rows = traffic(1_500, 1), traffic(200, 2) * 2
    good[:, 3] += np.random.default_rng(9).random(1_500)  # no ties among distances
    scaling = RobustZ.fit(NAMES, good)
    library = LocalOutlierFactor(n_neighbors=20, novelty=True, algorithm="kd_tree").fit(
        np.unique(scaling.z(good), axis=0)
    )
    factors = OutlierFactor.fit(NAMES, good, seed=1).score(rows)
    assert factors == pytest.approx(-library.score_samples(scaling.z(rows)), rel=1e-9)


def test_outlier_factor_survives_bytes_and_refuses_too_few_rows() -> None:
    good = traffic(300, 1)
    factor = OutlierFactor.fit(NAMES, good, seed=1)
    rows = traffic(40, 2)
    assert OutlierFactor.load(factor.dump()).score(rows).tolist() == factor.score(rows).tolist()
    with pytest.raises(InvalidRequest, match="anomaly_rows_invalid"):
        OutlierFactor.fit(NAMES, np.ones((100, 6)), seed=1)
    with pytest.raises(InvalidRequest, match="anomaly_neighbors_invalid"):
        OutlierFactor.fit(NAMES, good, seed=1, neighbors=0)


def test_outlier_factor_keeps_a_bounded_sample() -> None:
    held = len(OutlierFactor.fit(NAMES, traffic(LOF_ROWS_MAX, 1), seed=1).dump())
    assert len(OutlierFactor.fit(NAMES, traffic(2 * LOF_ROWS_MAX, 1), seed=1).dump()) <= held


def test_robust_z_is_in_units_of_spread_that_outliers_do_not_move() -> None:
    rng = np.random.default_rng(6)
    good = rng.normal(5, 2, (4_000, 1))
    good[:200] = 1e9
    scaling = RobustZ.fit(("x",), good)
    assert scaling.z(np.array([[5.0], [9.0], [1.0]]))[:, 0] == pytest.approx([0, 2, -2], abs=0.25)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, 0.0), (1.0, Z_MAX), (-1.0, -Z_MAX), (math.nan, 0.0), (math.inf, Z_MAX), (-math.inf, -Z_MAX)],
)
def test_robust_z_of_a_constant_feature_is_all_or_nothing(value: float, expected: float) -> None:
    scaling = RobustZ.fit(("x",), np.zeros((100, 1)))
    assert scaling.z(np.array([[value]]))[0, 0] == expected


def test_robust_z_where_most_values_are_equal_uses_the_mean_deviation() -> None:
    good = np.append(np.zeros(90), np.full(10, 10.0))[:, None]
    assert RobustZ.fit(("x",), good).z(np.array([[10.0]]))[0, 0] == pytest.approx(10 / 1.2533, rel=1e-6)


def test_detectors_rank_planted_outliers_above_good_traffic() -> None:
    good, rows = traffic(2_000, 1), traffic(200, 2)
    rows[:20, [0, 2, 4]] = rows[:20, [0, 2, 4]] * 3 + [6, 0.06, 6]
    for detector in (
        RobustZ.fit(NAMES, good),
        Isolation.fit(NAMES, good, seed=1),
        OutlierFactor.fit(NAMES, good, seed=1),
    ):
        scores = detector.score(rows)
        assert np.median(scores[:20]) > np.quantile(scores[20:], 0.97)
        assert (detector.score(rows) == scores).all()


def test_rows_that_cannot_be_learned_from_are_refused() -> None:
    good = traffic(100, 1)
    endless = good.copy()
    endless[0, 0] = np.inf
    for rows in (good[:10], good[:, :3], endless):
        with pytest.raises(InvalidRequest, match="anomaly_rows_invalid"):
            Isolation.fit(NAMES, rows, seed=1)
    with pytest.raises(InvalidRequest, match="anomaly_trees_invalid"):
        Isolation.fit(NAMES, good, seed=1, trees=0)
