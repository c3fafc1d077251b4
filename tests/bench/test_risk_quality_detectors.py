"""Detectors as columns, in small: they see neither labels nor what comes later, and gains are paired."""

import msgspec
import numpy as np
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies

from tongbao.bench import risk_data, risk_quality, risk_quality_detectors
from tongbao.bench.risk_data import Payments
from tongbao.bench.risk_protocol import Flags, Rows, Stream, fold, mean, quality
from tongbao.bench.risk_quality_detectors import (
    BASE,
    CHANCE,
    OWN_MIN,
    OWN_PAYMENTS,
    TOGETHER,
    columns,
    earlier,
    own_deviations,
)
from tongbao.risk.models.anomaly import Z_MAX
from tongbao.risk.models.training import Options, Trees

STARTS = (33, 40)
DETECTORS = (
    *("isolation forest", "local outlier factor", "robust z", "distance to own kind", "own robust z"),
)


@pytest.fixture(scope="module")
def stream() -> Stream:
    """Sixty-two days of few customers; fraud is what is five times as large, and a little of the rest."""
    rng = np.random.default_rng(8)
    count = 18_000
    is_fraud = rng.random(count) < 0.06
    payments = Payments(
        at_ms=risk_data.FIRST_DAY_MS + np.sort(rng.integers(0, 62 * 86_400, count)) * 1000,
        customer=rng.integers(0, 300, count),
        merchant=rng.integers(0, 100, count),
        value=(rng.lognormal(8.0, 0.4, count) * np.where(is_fraud, 5, 1)).astype(np.int64),
        is_fraud=is_fraud,
    )
    return risk_data.stream(payments, risk_data.features(payments))


def test_payment_before_is_the_last_one_of_the_same_card() -> None:
    assert earlier(np.array([7, 3, 7, 7, 3, 9])).tolist() == [-1, -1, 0, 2, 1, -1]


def test_own_deviation_is_from_the_median_of_earlier_amounts_in_robust_spreads() -> None:
    values = np.array([100.0, 300.0, 200.0, 500.0, 400.0, 600.0, 10.0])
    found = own_deviations(values, np.zeros(7, dtype=np.int64))
    assert np.isnan(found[:OWN_MIN]).all()
    assert found[5] == pytest.approx((600 - 300) / (1.4826 * 100))
    assert found[6] == pytest.approx((10 - 350) / (1.4826 * 150))


def test_own_deviation_of_a_card_that_always_pays_the_same_is_bounded() -> None:
    values = np.array([100.0] * OWN_MIN + [100.0, 101.0, 9_999.0])
    found = own_deviations(values, np.zeros(len(values), dtype=np.int64))
    assert found[OWN_MIN:].tolist() == [0.0, 1.0, Z_MAX]


def test_own_deviation_forgets_what_is_long_past() -> None:
    values = np.concatenate([[1e6] * 200, np.arange(100.0, 100.0 + OWN_PAYMENTS + 1)])
    cards = np.zeros(len(values), dtype=np.int64)
    assert own_deviations(values, cards)[-1] == own_deviations(values[200:], cards[200:])[-1]


@hypothesis_given(
    strategies.lists(
        strategies.tuples(strategies.integers(0, 3), strategies.integers(1, 10_000)), max_size=60
    ),
    strategies.integers(0, 60),
)
def test_own_deviation_does_not_move_with_later_payments_or_other_cards(
    payments: list[tuple[int, int]], cut: int
) -> None:
    cards = np.array([card for card, _ in payments], dtype=np.int64)
    values = np.array([value for _, value in payments], dtype=np.float64)
    found = own_deviations(values, cards)
    assert np.array_equal(own_deviations(values[:cut], cards[:cut]), found[:cut], equal_nan=True)
    of_first = cards == 0
    assert np.array_equal(own_deviations(values[of_first], cards[of_first]), found[of_first], equal_nan=True)


def test_columns_do_not_move_with_labels_or_with_what_is_tested(stream: Stream) -> None:
    chosen = fold(stream, STARTS[0])
    before = earlier(stream.cards)
    found = columns(stream, chosen, before)
    for scores in found.values():
        assert scores.shape == (len(chosen.train) + len(chosen.test),)
        assert np.isfinite(scores).all()
        assert len(np.unique(scores)) > 100
    rows = stream.rows.copy()
    half = chosen.test[len(chosen.test) // 2 :]
    rows[half[0] :] *= 3
    changed = msgspec.structs.replace(stream, rows=rows, is_fraud=~stream.is_fraud)
    kept = len(chosen.train) + len(chosen.test) - len(half)
    for name, scores in columns(changed, chosen, before).items():
        assert np.array_equal(scores[:kept], found[name][:kept]), name
        assert not np.array_equal(scores[kept:], found[name][kept:]), name


def by_last(names: tuple[str, ...], seed: int) -> risk_quality_detectors.Fit:
    """Score by the last column, whatever it is: the amount stands first, so without a column all are alike."""

    def fit(rows: Rows, is_fraud: Flags, of: int) -> risk_quality_detectors.Score:
        assert rows.shape == (len(is_fraud), len(names))
        return lambda judged: np.nan_to_num(np.asarray(judged[:, -1], dtype=np.float64))

    return fit


def test_worth_is_paired_with_the_same_folds_and_seeds(stream: Stream) -> None:
    folds = [fold(stream, start) for start in STARTS]
    found = risk_quality_detectors.measure(stream, folds, (1, 2), by_last)
    assert list(found) == [BASE, *(f"with {name}" for name in (*DETECTORS, TOGETHER, CHANCE))]
    base, own, chance = found[BASE], found["with own robust z"], found[f"with {CHANCE}"]
    assert set(base.gain) == set(chance.over_chance) == {0.0}
    assert own.gain.ap == pytest.approx(own.mean.ap - base.mean.ap)
    assert own.gain.cp100 == pytest.approx(own.mean.cp100 - base.mean.cp100)
    assert own.over_chance.ap == pytest.approx(own.mean.ap - chance.mean.ap)
    # An amount far beyond the card's own ones is what fraud is here; chance tells nothing.
    assert own.over_chance.ap > 0.2
    assert own.over_chance.ap_se is not None
    assert own.over_chance.ap > own.over_chance.ap_se
    assert chance.mean.auc == pytest.approx(0.5, abs=0.1)


def test_single_fold_has_no_error(stream: Stream) -> None:
    found = risk_quality_detectors.measure(stream, [fold(stream, STARTS[0])], (1,), by_last)
    worth = found["with robust z"]
    assert (worth.mean.ap_se, worth.gain.ap_se, worth.over_chance.cp100_se) == (None, None, None)


def test_champion_learns_from_the_columns_and_is_told_as_the_ablation_is(stream: Stream) -> None:
    trees = Trees(bags=1, rounds=10)
    found = risk_quality.detectors(stream, STARTS, 7, (1,), trees)
    told = []
    for start in STARTS:
        train, test = fold(stream, start)
        score = risk_quality.own(Options(trees=trees))(stream.rows[train], stream.is_fraud[train], 1)
        told.append(quality(stream, test, score(stream.rows[test])))
    expected = mean(told)._asdict()
    differences = ("ap", "ap_se", "cp100", "cp100_se")
    assert {name: found[BASE][name] for name in expected} == pytest.approx(expected, abs=1e-4)
    for row in found.values():
        assert set(row) == {
            *expected,
            *(f"{kind}_{name}" for kind in ("gain", "over_chance") for name in differences),
        }
    assert found[f"with {TOGETHER}"]["ap"] != found[BASE]["ap"]
