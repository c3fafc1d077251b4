"""A file of payments gets the features that its payments would have got live, bit for bit."""

import os
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from tests.risk.feature_streams import DAY_MS, fold, payment, random_stream

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import batch, encoding
from tongbao.risk.models.arena import Limits
from tongbao.risk.models.registry import FEATURES, NAMES
from tongbao.risk.models.state import FeatureState
from tongbao.risk.schema.signals import Entity, Signals

AT = {name: place for place, name in enumerate(NAMES)}


def test_build_from_signals_equals_the_state_fed_one_at_a_time() -> None:
    stream = random_stream(np.random.default_rng(1), 4_000, 100.0, people=40)
    live = fold(FeatureState(), stream)
    numbers, places = encoding.encode_many(stream.payments)
    np.testing.assert_array_equal(batch.build_from(numbers, places, stream.as_outcomes), live)


def test_build_within_tight_limits_equals_the_state_within_them() -> None:
    stream = random_stream(np.random.default_rng(2), 1_500, 10.0, people=60)
    limits = Limits(events=256, entities=100, pairs=500)
    live = fold(FeatureState(limits), stream)
    numbers, places = encoding.encode_many(stream.payments)
    np.testing.assert_array_equal(batch.build_from(numbers, places, stream.as_outcomes, limits), live)


def _signals(columns: batch.Columns, row: int) -> Signals:
    known = {kind.name.lower(): f"{keys[row]}" for kind, keys in columns.keys.items() if keys[row] >= 0}
    seconds = (int(columns.at_ms[row]) - payment(0, 0).at_ms) / 1000
    return payment(row, seconds, int(columns.value[row]), **known)


def _synthetic(count: int) -> tuple[batch.Columns, batch.Outcomes]:
    rng = np.random.default_rng(3)
    at_ms = payment(0, 0).at_ms + np.sort(rng.integers(0, 60 * 86_400, count)) * 1000
    customer = rng.integers(0, 3_000, count)
    keys = {
        Entity.CUSTOMER: customer,
        Entity.CARD: np.where(rng.random(count) < 0.1, -1, 2 * customer + rng.integers(0, 2, count)),
        Entity.DEVICE: np.where(rng.random(count) < 0.9, customer, rng.integers(0, 4_000, count)),
        Entity.MERCHANT: rng.integers(0, 500, count),
        Entity.ADDRESS: rng.integers(0, 5_000, count),
    }
    is_fraud = rng.random(count) < 0.02
    known_ms = at_ms + rng.integers(DAY_MS, 30 * DAY_MS, count)
    return batch.Columns(at_ms, rng.integers(100, 30_000, count), keys), batch.labels(is_fraud, known_ms)


@pytest.mark.nightly
def test_build_of_a_hundred_thousand_equals_the_state_fed_one_at_a_time() -> None:
    columns, outcomes = _synthetic(100_000)
    _assert_equal(columns, outcomes)


def test_build_of_columns_equals_the_state_fed_one_at_a_time() -> None:
    columns, outcomes = _synthetic(5_000)
    _assert_equal(columns, outcomes)


def _assert_equal(columns: batch.Columns, outcomes: batch.Outcomes) -> None:
    found = batch.build(columns, outcomes)
    state, told = FeatureState(), 0
    order = np.lexsort((outcomes.row, outcomes.known_ms))
    for row in range(len(columns.at_ms)):
        signals = _signals(columns, row)
        while told < len(order) and outcomes.known_ms[order[told]] <= signals.at_ms:
            known_ms, of = int(outcomes.known_ms[order[told]]), int(outcomes.row[order[told]])
            state.label(UUID(int=of + 1), True, known_ms)
            told += 1
        assert np.array_equal(state.features(signals), found[row], equal_nan=True), row
        state.learn(signals)


@pytest.mark.skipif(
    "TONGBAO_DATA" not in os.environ, reason="TONGBAO_DATA names no folder with handbook_dev.parquet"
)
@pytest.mark.slow
def test_features_of_the_handbook_equal_an_independent_computation() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.ParquetFile(Path(os.environ["TONGBAO_DATA"]) / "handbook_dev.parquet").read()
    rows = 300_000
    t, customer, terminal, cents, fraud = (
        table[name].to_numpy()[:rows].astype(np.int64) for name in ("t", "cust", "term", "cents", "fraud")
    )
    at_ms = payment(0, 0).at_ms + t * 1000
    columns = batch.Columns(at_ms, cents, {Entity.CUSTOMER: customer, Entity.MERCHANT: terminal})
    outcomes = batch.labels(fraud > 0, at_ms + 7 * DAY_MS)
    found = batch.build(columns, outcomes)
    for days in (1, 7, 30):
        count, total = _window(customer, t, cents, days, 0)
        np.testing.assert_array_equal(found[:, AT[f"customer_count_{days}d"]], count)
        np.testing.assert_allclose(found[:, AT[f"customer_mean_{days}d"]], total / count, rtol=1e-12)
        count, known = _window(terminal, t, fraud, days, 7)
        np.testing.assert_array_equal(found[:, AT[f"merchant_matured_{days}d"]], count)
        risk = np.divide(known, count, out=np.zeros(rows), where=count > 0)
        np.testing.assert_allclose(found[:, AT[f"merchant_risk_{days}d"]], risk, rtol=1e-12)


def _window(
    entity: np.ndarray, t: np.ndarray, x: np.ndarray, days: int, delay: int
) -> tuple[np.ndarray, np.ndarray]:
    """Count and sum over ``(t - delay - days, t - delay]`` of rows up to each one, by sorting instead of pointers."""
    order = np.lexsort((np.arange(t.size), entity))
    big = int(t.max()) + 100 * 86_400
    line = entity[order] * big + t[order] + 50 * 86_400
    sums = np.concatenate([[0], np.cumsum(x[order])])
    low = np.searchsorted(line, line - (delay + days) * 86_400, side="right")
    high = np.searchsorted(line, line - delay * 86_400, side="right") if delay else np.arange(1, t.size + 1)
    count, total = np.empty(t.size, np.int64), np.empty(t.size, np.int64)
    count[order], total[order] = high - low, sums[high] - sums[low]
    return count, total


def test_build_of_nothing_gives_no_rows() -> None:
    none = np.empty(0, np.int64)
    assert batch.build(batch.Columns(none, none, {})).shape == (0, len(FEATURES))


def test_keys_that_are_equal_for_different_kinds_are_different_entities() -> None:
    at_ms, value = np.array([0, 1_000]), np.array([5, 5])
    keys = {Entity.CUSTOMER: np.array([7, -1]), Entity.CARD: np.array([-1, 7])}
    found = batch.build(batch.Columns(at_ms, value, keys))
    assert found[1, AT["card_history"]] == 0
    assert np.isnan(found[1, AT["customer_history"]])


def test_label_known_at_the_time_of_a_payment_is_known_to_it() -> None:
    at_ms = np.array([0, 1_000, 1_001])
    columns = batch.Columns(at_ms, np.array([5, 5, 5]), {Entity.CARD: np.zeros(3, np.int64)})
    found = batch.build(columns, batch.labels(np.array([True, True, False]), np.array([1_000, 0, 0])))
    assert found[:, AT["card_known_fraud_30d"]].tolist() == [0, 1, 2]


GOOD = np.array([1, 2, 3])


@pytest.mark.parametrize(
    "columns",
    [
        batch.Columns(GOOD[::-1].copy(), GOOD, {}),
        batch.Columns(GOOD, GOOD[:2], {}),
        batch.Columns(GOOD, GOOD * 1.5, {}),  # type: ignore[arg-type]  # that is the mistake
        batch.Columns(GOOD, -GOOD, {}),
        batch.Columns(GOOD, GOOD, {Entity.CARD: GOOD[:1]}),
        batch.Columns(GOOD, GOOD, {}, card_country=GOOD + 700),
        batch.Columns(GOOD, GOOD, {}, places=np.zeros((2, 2))),
    ],
)
def test_build_of_columns_that_do_not_fit_is_refused(columns: batch.Columns) -> None:
    with pytest.raises(InvalidRequest) as refused:
        batch.build(columns)
    assert refused.value.code == "feature_columns_invalid"


@pytest.mark.parametrize(
    "outcomes",
    [
        batch.Outcomes(np.array([3]), GOOD[:1], np.array([0]), np.array([True])),
        batch.Outcomes(np.array([0]), GOOD[:1], np.array([7]), np.array([True])),
        batch.Outcomes(np.array([0]), GOOD, np.array([0]), np.array([True])),
    ],
)
def test_build_with_outcomes_of_nothing_is_refused(outcomes: batch.Outcomes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        batch.build(batch.Columns(GOOD, GOOD, {}), outcomes)
    assert refused.value.code == "feature_outcomes_invalid"
