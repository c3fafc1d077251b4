"""Curves of scores against the truth: known areas, ties, bounds, too little to tell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.risk.policy.model_curves import BINS_MAX, KNOWN_MIN, POINTS_MAX, curves

SCORES = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 1.0]), st.booleans()), max_size=300)


def test_perfect_scores_reach_the_corner_of_both_curves() -> None:
    scores, frauds = np.array([0.9] * 8 + [0.1] * 12), np.array([True] * 8 + [False] * 12)
    found = curves(scores, frauds)
    assert found is not None
    assert (found.payment_count, found.fraud_count, found.auc, found.ap) == (20, 8, 1.0, 1.0)
    assert found.roc == ((0.0, 0.0), (0.0, 1.0), (1.0, 1.0))
    assert found.precision == ((1.0, 1.0), (1.0, 0.4))
    assert [count for _, _, count in found.bins] == [12, 8]
    assert np.allclose([each[:2] for each in found.bins], [(0.1, 0.0), (0.9, 1.0)])


def test_constant_scores_are_worth_nothing() -> None:
    found = curves(np.full(30, 0.4), np.arange(30) < 10)
    assert found is not None
    assert found.auc == pytest.approx(0.5)
    assert found.ap == pytest.approx(1 / 3)
    assert np.allclose(found.bins, [(0.4, 1 / 3, 30)])


def test_ranks_turned_round_have_no_area() -> None:
    found = curves(np.linspace(0, 1, 40), np.arange(40) < 20)
    assert found is not None
    assert found.auc == pytest.approx(0.0)


@pytest.mark.parametrize(("frauds", "good"), [(KNOWN_MIN - 1, 50), (50, KNOWN_MIN - 1), (0, 0)])
def test_too_few_of_either_kind_draw_nothing(frauds: int, good: int) -> None:
    scores = np.linspace(0, 1, frauds + good)
    assert curves(scores, np.arange(frauds + good) < frauds) is None


@given(SCORES)
def test_curves_rise_stay_in_bounds_and_count_everybody(rows: list[tuple[float, bool]]) -> None:
    found = curves(np.array([each[0] for each in rows]), np.array([each[1] for each in rows], dtype=bool))
    if found is None:
        return
    assert 0 <= found.auc <= 1 + 1e-9
    assert 0 <= found.ap <= 1 + 1e-9
    assert len(found.roc) <= POINTS_MAX
    assert len(found.bins) <= BINS_MAX
    assert (found.roc[0], found.roc[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert list(found.roc) == sorted(found.roc)
    assert sum(count for _, _, count in found.bins) == len(rows)
