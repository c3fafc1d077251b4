"""Stability index, calibration of matured labels: against plain arithmetic, known truths and a library's own fit."""

import itertools
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import drift
from tongbao.risk.models.drift import Drift, Reference, calibration_fit, measured

Floats = NDArray[np.float64]


def column(values: object) -> Floats:
    return np.array(values, dtype=float)[:, None]


def psi_by_hand(reference: Floats, now: Floats, edges: tuple[float, ...]) -> float:
    """The index of one column without unknown values, bin by bin."""
    bounds = [-math.inf, *edges, math.inf]
    total = 0.0
    counted = [
        (int(np.sum((reference > low) & (reference <= high))), int(np.sum((now > low) & (now <= high))))
        for low, high in itertools.pairwise(bounds)
    ]
    pairs = [(one + 0.5, other + 0.5) for one, other in counted if one or other]
    whole, other_whole = sum(one for one, _ in pairs), sum(other for _, other in pairs)
    for one, other in pairs:
        then, later = one / whole, other / other_whole
        total += (later - then) * math.log(later / then)
    return total


@given(st.integers(0, 10_000), st.floats(-2, 2), st.floats(0.3, 3))
@settings(max_examples=30, deadline=None)
def test_shift_of_a_column_is_the_index_by_hand(seed: int, by: float, spread: float) -> None:
    rng = np.random.default_rng(seed)
    before, now = rng.normal(size=800), by + spread * rng.normal(size=500)
    reference = measured(("x",), column(before))
    watch = Drift(reference)
    watch.add(3, column(now[:200]))
    watch.add(4, column(now[200:]))
    (shift,) = watch.shifts()
    assert shift.psi == pytest.approx(psi_by_hand(before, now, reference.edges[0]), rel=1e-12, abs=1e-15)
    assert shift.count == 500


def test_shift_without_change_exceeds_its_noise_about_once_in_a_thousand() -> None:
    rng = np.random.default_rng(1)
    above = 0
    for _ in range(1_000):
        watch = Drift(measured(("x",), rng.random((1_000, 1))))
        watch.add(0, rng.random((500, 1)))
        (shift,) = watch.shifts()
        above += shift.psi > shift.noise
    assert above <= 5


def test_reference_of_many_equal_values_gives_them_a_bin_of_their_own() -> None:
    reference = measured(("x",), column([0.0] * 700 + list(np.linspace(1, 2, 300))))
    watch = Drift(reference)
    watch.add(0, column([-1.0] * 700 + list(np.linspace(1, 2, 300))))
    (shift,) = watch.shifts()
    assert shift.psi > 1
    constant = Drift(measured(("x",), column([5.0] * 200)))
    constant.add(0, column([4.0] * 100))
    assert constant.shifts()[0].psi > 1


def test_unknown_values_that_grow_count_as_a_shift() -> None:
    rng = np.random.default_rng(2)
    watch = Drift(measured(("x", "y"), rng.random((1_000, 2))))
    rows = rng.random((1_000, 2))
    rows[:400, 1] = np.nan
    watch.add(0, rows)
    known, unknown = watch.shifts()
    assert known.psi < 0.05
    assert unknown.psi > 1


def test_column_that_was_never_known_is_a_reference_too() -> None:
    reference = measured(("x",), column([math.nan] * 200))
    watch = Drift(reference)
    watch.add(0, column([math.nan] * 100))
    assert watch.shifts()[0].psi == pytest.approx(0)
    watch.add(0, column([1.0] * 100))
    assert watch.shifts()[0].psi > 1


def test_window_forgets_old_buckets_and_refuses_what_is_older() -> None:
    rng = np.random.default_rng(3)
    watch = Drift(measured(("x",), rng.random((1_000, 1))), buckets=2)
    assert watch.add(10, rng.random((50, 1)) + 9)
    assert watch.add(9, rng.random((50, 1)) + 9)
    assert not watch.add(8, rng.random((50, 1)))
    assert watch.shifts()[0].count == 100
    assert watch.add(11, rng.random((70, 1)))
    assert watch.shifts()[0].count == 120
    assert watch.add(500, rng.random((30, 1)))
    assert watch.shifts()[0].count == 30


def test_shift_of_an_empty_window_is_nothing() -> None:
    watch = Drift(measured(("x",), column(range(200))))
    assert watch.shifts()[0].psi == 0
    assert watch.shifts()[0].count == 0


def test_state_survives_bytes_and_reference_survives_json() -> None:
    rng = np.random.default_rng(4)
    reference = measured(("x", "y"), rng.normal(size=(500, 2)))
    watch = Drift(reference, buckets=3)
    watch.add(7, rng.normal(size=(100, 2)) + 1)
    again = msgspec.json.decode(msgspec.json.encode(reference), type=Reference)
    assert again == reference
    loaded = Drift.load(again, watch.dump())
    assert loaded.shifts() == watch.shifts()
    assert loaded.dump() == watch.dump()
    for each in (loaded, watch):
        each.add(9, np.zeros((40, 2)))
    assert loaded.dump() == watch.dump()


def test_load_of_other_columns_or_broken_bytes_is_refused() -> None:
    rng = np.random.default_rng(5)
    reference = measured(("x",), rng.normal(size=(500, 1)))
    payload = Drift(reference).dump()
    other = measured(("y",), rng.normal(size=(500, 1)))
    finer = measured(("x",), rng.normal(size=(500, 1)), bins=20)
    broken = payload[:-3] + bytes([payload[-3] ^ 1]) + payload[-2:]
    for use, data in (
        (other, payload),
        (finer, payload),
        (reference, broken),
        (reference, b"no"),
        (reference, payload[:40]),
    ):
        with pytest.raises(InvalidRequest) as refused:
            Drift.load(use, data)
        assert refused.value.code == "risk_state_invalid"


def test_reference_or_rows_that_do_not_fit_are_refused() -> None:
    rows = np.zeros((200, 2))
    for names, given_rows, bins in (
        (("x",), rows, 10),
        (("x", "x"), rows, 10),
        (("x", "y"), rows[:50], 10),
        (("x", "y"), rows, 1),
    ):
        with pytest.raises(InvalidRequest, match="drift_reference_invalid"):
            measured(names, given_rows, bins)
    with pytest.raises(InvalidRequest, match="drift_rows_invalid"):
        Drift(measured(("x", "y"), rows)).add(0, np.zeros((3, 1)))
    with pytest.raises(InvalidRequest, match="drift_buckets_invalid"):
        Drift(measured(("x", "y"), rows), buckets=0)


def test_reference_whose_parts_do_not_belong_together_is_refused() -> None:
    whole = measured(("x",), column(range(200)))
    (counts,) = whole.counts
    for changes in (
        {"names": ("x", "y")},
        {"edges": (whole.edges[0][::-1],)},
        {"counts": (counts[:-1],)},
        {"counts": ((-1, *counts[1:]),)},
        {"names": (), "edges": (), "counts": ()},
    ):
        data = msgspec.to_builtins(whole) | changes
        with pytest.raises(InvalidRequest, match="drift_reference_invalid"):
            msgspec.convert(data, Reference)


def test_reference_of_endless_values_can_be_written() -> None:
    reference = measured(("x",), column([*range(150), *[math.inf] * 50]))
    assert msgspec.json.decode(msgspec.json.encode(reference), type=Reference) == reference
    watch = Drift(reference)
    watch.add(0, column([*range(150), *[math.inf] * 50]))
    assert watch.shifts()[0].psi == pytest.approx(0)


def world(seed: int, count: int, slope: float, level: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores, and labels whose log-odds are ``level`` + ``slope`` times theirs."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-3, 1.5, count)
    chance = 1 / (1 + np.exp(-(level + slope * odds)))
    return 1 / (1 + np.exp(-odds)), rng.random(count) < chance


@pytest.mark.parametrize(("slope", "level"), [(1.0, 0.0), (0.6, -0.5), (1.5, 1.0)])
def test_calibration_intervals_hold_the_truth(slope: float, level: float) -> None:
    held = 0
    for seed in range(60):
        fit = calibration_fit(*world(seed, 4_000, slope, level))
        assert fit is not None
        held += fit.slope.holds(slope) and fit.intercept.holds(level)
    assert held >= 50


def test_calibration_equals_the_fit_of_a_library() -> None:
    scores, is_fraud = world(7, 5_000, 0.8, 0.3)
    fit = calibration_fit(scores, is_fraud)
    assert fit is not None
    odds = np.log(scores / (1 - scores))[:, None]
    library = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1_000).fit(odds, is_fraud)
    assert fit.slope.value == pytest.approx(library.coef_[0, 0], rel=1e-4)
    assert fit.intercept.value == pytest.approx(library.intercept_[0], rel=1e-3)
    assert fit.fraud_count == int(is_fraud.sum())


def test_calibration_level_of_right_scores_is_zero_and_of_doubled_odds_is_their_logarithm() -> None:
    scores, is_fraud = world(8, 40_000, 1.0, math.log(2))
    fit = calibration_fit(scores, is_fraud)
    assert fit is not None
    assert fit.level.holds(math.log(2))
    assert not fit.level.holds(0)


def test_calibration_without_enough_to_tell_is_none() -> None:
    scores, is_fraud = world(9, 3_000, 1, 0)
    assert calibration_fit(scores, np.zeros(3_000, dtype=bool)) is None
    assert calibration_fit(np.full(3_000, 0.1), is_fraud) is None
    few = np.flatnonzero(is_fraud)[: drift.FRAUDS_MIN - 1]
    kept = np.append(np.flatnonzero(~is_fraud), few)
    assert calibration_fit(scores[kept], is_fraud[kept]) is None


def test_calibration_of_scores_that_part_perfectly_is_none() -> None:
    scores = np.append(np.linspace(0.01, 0.1, 500), np.linspace(0.9, 0.99, 100))
    assert calibration_fit(scores, scores > 0.5) is None


def test_calibration_of_what_is_no_score_is_refused() -> None:
    labels = np.arange(100) < 40
    for scores in (np.full(100, np.nan), np.full(99, 0.5)):
        with pytest.raises(InvalidRequest, match="calibration_rows_invalid"):
            calibration_fit(scores, labels)
