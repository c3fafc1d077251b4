"""The outcome model: shrinkage, cross-fitting, folds by hash, codes with a limit."""

from collections import Counter
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.policy.reward_model import PRIOR_COUNT, Log, codes_of, fit, fold_of

Codes = np.ndarray[Any, np.dtype[np.int64]]


def log_of(bucket: list[int], action: list[int], fold: list[int], outcome: list[float]) -> Log:
    return Log(
        bucket=np.array(bucket), action=np.array(action), fold=np.array(fold), outcome=np.array(outcome)
    )


def one(number: int) -> Codes:
    return np.array([number])


def test_fit_learns_the_rates_of_a_large_log() -> None:
    rng = np.random.default_rng(1)
    rates = np.array([[0.80, 0.92], [0.90, 0.81]])
    bucket, action = rng.integers(0, 2, 40_000), rng.integers(0, 2, 40_000)
    outcome = (rng.random(40_000) < rates[bucket, action]).astype(float)
    model = fit(Log(bucket=bucket, action=action, fold=np.arange(40_000) % 5, outcome=outcome), 5)
    for fold in range(5):
        assert model.means[fold] == pytest.approx(rates, abs=0.02)


def test_fit_leaves_out_the_fold_that_it_speaks_of() -> None:
    log = log_of([0] * 4, [0] * 4, [0, 0, 1, 1], [5.0, 5.0, 1.0, 1.0])
    model = fit(log, 2)
    assert model.value(one(0), one(0), one(0))[0] == pytest.approx(1.0)
    assert model.value(one(1), one(0), one(0))[0] == pytest.approx(5.0)


def test_fit_with_few_decisions_leans_on_the_parent() -> None:
    count = 2_000
    log = log_of(
        [0] * count + [1, 1],
        [0, 1] * (count // 2) + [0, 0],
        [0, 0, 1, 1] * (count // 4) + [0, 1],
        [1.0, 0.0] * (count // 2) + [0.0, 0.0],
    )
    model = fit(log, 2)
    small = model.value(one(0), one(1), one(0))[0]
    assert 0.8 < small < model.value(one(0), one(0), one(0))[0]
    # A cell that was never seen is what its action is worth, moved by what its group differs.
    assert model.value(one(0), one(1), one(1))[0] < 0.1


def test_fit_shrinks_by_the_prior_count_exactly() -> None:
    log = log_of([0] * 40, [0] * 40, [0, 1] * 20, [0.0, 1.0] * 20)
    # Fold 0 was learned from twenty ones alone: parent and cell are one, whatever the weight of the parent.
    model = fit(log, 2)
    assert model.means[0, 0, 0] == pytest.approx(1.0)
    two = log_of([0] * 40 + [0] * 40, [0] * 40 + [1] * 40, [0, 1] * 40, [1.0] * 40 + [0.0] * 40)
    level, seen = 0.5, 20
    parent = (seen * 1.0 + PRIOR_COUNT * level) / (seen + PRIOR_COUNT)
    expected = (seen * 1.0 + PRIOR_COUNT * parent) / (seen + PRIOR_COUNT)
    assert fit(two, 2).means[0, 0, 0] == pytest.approx(expected)


def test_values_stay_within_the_range_seen() -> None:
    rng = np.random.default_rng(3)
    log = Log(
        bucket=rng.integers(0, 30, 200),
        action=rng.integers(0, 10, 200),
        fold=np.arange(200) % 3,
        outcome=rng.normal(size=200),
    )
    model = fit(log, 3)
    assert model.means.min() >= log.outcome.min()
    assert model.means.max() <= log.outcome.max()


def test_fold_of_is_fixed_and_even() -> None:
    ids = [UUID(int=(7 << 76) | number) for number in range(5_000)]
    folds = Counter(fold_of(each, 5) for each in ids)
    assert set(folds) == {0, 1, 2, 3, 4}
    assert max(folds.values()) - min(folds.values()) < 200
    assert fold_of(UUID(int=1), 5) == 1


def test_codes_past_the_limit_share_the_last() -> None:
    assert codes_of(["b", "a", "a", "c", "a", "b"], 2).tolist() == [1, 0, 0, 1, 0, 1]
    assert codes_of(["b", "a", "a", "c", "a", "b"]).tolist() == [1, 0, 0, 2, 0, 1]


@pytest.mark.parametrize(
    ("log", "folds"),
    [
        (log_of([], [], [], []), 2),
        (log_of([0], [0], [0], [1.0]), 1),
        (log_of([0], [0], [0], [1.0]), 6),
        (log_of([0], [0], [2], [1.0]), 2),
        (log_of([-1], [0], [0], [1.0]), 2),
        (log_of([0, 0], [0], [0], [1.0]), 2),
        (log_of([0], [0], [0], [float("nan")]), 2),
        (log_of([1_000], [0], [0], [1.0]), 2),
    ],
)
def test_fit_of_what_is_no_log_is_rejected(log: Log, folds: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        fit(log, folds)
    assert caught.value.code == "evaluation_input_invalid"
