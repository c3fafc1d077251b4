"""Windows, numbers of partners and labels equal a slow reference on any stream."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.risk.feature_streams import DAY_MS, DELAY_MS, SIDES, Reference, fold, payment, random_stream, tell

from tongbao.risk.models import batch
from tongbao.risk.models.arena import Limits
from tongbao.risk.models.registry import BY_NAME, FEATURES, NAMES, Pair
from tongbao.risk.models.state import FeatureState
from tongbao.risk.schema.signals import Entity

WINDOWED = [
    feature
    for feature in FEATURES
    if isinstance(feature.source, Entity)
    and feature.window_s
    and not feature.aggregation.startswith(("spree", "unexplained"))
]
AT = {name: place for place, name in enumerate(NAMES)}


def _close(found: float, expected: float) -> bool:
    return bool(np.isclose(found, expected, rtol=1e-12, atol=1e-12, equal_nan=True))


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**9), days=st.sampled_from([0.05, 3.0, 36.0]))
def test_features_of_windows_equal_the_reference(seed: int, days: float) -> None:
    rng = np.random.default_rng(seed)
    stream = random_stream(rng, 70, days, people=2)
    found = fold(FeatureState(), stream)
    reference = Reference(stream)
    for row in rng.choice(70, 12, replace=False):
        for feature in WINDOWED:
            assert isinstance(feature.source, Entity)
            expected = reference.expected(
                row, feature.name, feature.source, feature.aggregation, feature.window_s
            )
            assert _close(found[row, AT[feature.name]], expected), (row, feature.name)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_features_of_rows_of_frauds_equal_the_reference(seed: int) -> None:
    stream = random_stream(np.random.default_rng(seed), 90, 36.0, people=2)
    found = fold(FeatureState(), stream)
    reference = Reference(stream)
    for row in range(45, 90):
        if not stream.payments[row].merchant:
            continue
        names = ("merchant_streak", "merchant_since_fraud_d", "merchant_since_clean_d")
        expected = reference.run(row, Entity.MERCHANT)
        for name, value in zip(names, expected, strict=True):
            assert _close(found[row, AT[name]], value), (row, name)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_features_of_pairs_and_whole_histories_equal_the_reference(seed: int) -> None:
    stream = random_stream(np.random.default_rng(seed), 80, 36.0, people=2)
    found = fold(FeatureState(), stream)
    reference = Reference(stream)
    for row in range(40, 80):
        signals = stream.payments[row]
        for pair, (one, other) in SIDES.items():
            name = f"pair_{pair.name.lower()}"
            if name not in AT or not (signals.key(one) and signals.key(other)):
                continue
            met = [past for past in stream.payments[:row] if past.key(one) == signals.key(one)]
            met = [past for past in met if past.key(other) == signals.key(other)]
            assert found[row, AT[name]] == len(met)
            days = (signals.at_ms - met[0].at_ms) / DAY_MS if met else 0.0
            assert _close(found[row, AT[f"{name}_age_d"]], days)
        for entity in Entity:
            if signals.key(entity):
                past = reference.past(row, entity, -1, signals.at_ms)
                assert found[row, AT[f"{entity.name.lower()}_history"]] == len(past)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_decayed_rate_with_late_labels_equals_the_weighted_mean(seed: int) -> None:
    stream = random_stream(np.random.default_rng(seed), 80, 36.0, people=2)
    found = fold(FeatureState(), stream)
    reference = Reference(stream)
    for row in range(40, 80):
        now = stream.payments[row].at_ms
        if not stream.payments[row].merchant:
            continue
        aged = reference.past(row, Entity.MERCHANT, -1, now - DELAY_MS)
        youngest = stream.payments[aged[-1]].at_ms if aged else 0
        weights = [0.5 ** ((youngest - stream.payments[other].at_ms) / (7 * DAY_MS)) for other in aged]
        frauds = sum(
            weight * reference.known(now, other, batch.LABEL)
            for weight, other in zip(weights, aged, strict=True)
        )
        expected = (frauds + 0.02) / (sum(weights) + 2.0)
        assert found[row, AT["merchant_decayed_rate"]] == pytest.approx(expected, rel=1e-9)


def test_features_after_late_labels_equal_those_of_labels_in_time() -> None:
    stream = random_stream(np.random.default_rng(5), 120, 20.0)
    frauds = [row for row in range(120) if row % 3 == 0]
    early, late = FeatureState(), FeatureState()
    for signals in stream.payments:
        early.learn(signals)
        late.learn(signals)
        if frauds and signals is stream.payments[frauds[0]]:
            assert early.label(signals.id, True, signals.at_ms)
            frauds.pop(0)
    probe = payment(
        500, 30 * 86_400, customer="CUSTOMER-1", card="CARD-1", merchant="MERCHANT-1", device="DEVICE-1"
    )
    late.learn(probe)
    early.learn(probe)
    for row in range(0, 120, 3):
        assert late.label(stream.payments[row].id, True, probe.at_ms)
    again = payment(501, 30 * 86_400 + 60, customer="CUSTOMER-1", card="CARD-1", merchant="MERCHANT-1")
    np.testing.assert_allclose(late.features(again), early.features(again), rtol=1e-9)


def test_label_taken_back_leaves_no_trace_in_sums() -> None:
    stream = random_stream(np.random.default_rng(6), 120, 20.0)
    plain, told = FeatureState(), FeatureState()
    for signals in stream.payments:
        plain.learn(signals)
        told.learn(signals)
    probe = payment(500, 31 * 86_400, 1_000, **{entity.name.lower(): f"{entity.name}-1" for entity in Entity})
    plain.learn(probe)
    told.learn(probe)
    for row in (3, 50, 80):
        told.label(stream.payments[row].id, True, probe.at_ms)
        told.label(stream.payments[row].id, False, probe.at_ms + 1)
    np.testing.assert_allclose(told.features(probe), plain.features(probe), rtol=1e-9)


def test_label_counts_only_once_the_delay_has_passed() -> None:
    state, first = FeatureState(), payment(0, 0, merchant="m")
    state.learn(first)
    assert state.label(first.id, True, first.at_ms + 1)

    def risk(seconds: float) -> float:
        return float(state.features(payment(9, seconds, merchant="m"))[AT["merchant_risk_7d"]])

    assert risk(7 * 86_400 - 1) == 0.0
    assert risk(7 * 86_400) == 1.0
    assert risk(14 * 86_400 - 1) == 1.0
    assert risk(14 * 86_400) == 0.0


def test_label_of_an_unknown_or_too_old_payment_is_refused() -> None:
    state, first = FeatureState(), payment(0, 0, merchant="m")
    assert not state.label(first.id, True, first.at_ms)
    state.learn(first)
    assert state.label(first.id, True, first.at_ms + 37 * DAY_MS - 1)
    assert not state.label(first.id, False, first.at_ms + 37 * DAY_MS)
    assert not state.ended(first.id, False, first.at_ms + 37 * DAY_MS)
    assert not state.proved(first.id, True, first.at_ms + 37 * DAY_MS)


def test_features_at_a_time_that_steps_back_are_those_of_the_last_time() -> None:
    state, late = FeatureState(), payment(0, 5_000, customer="a", merchant="m")
    state.learn(late)
    back, same = payment(1, 10, customer="a", merchant="m"), payment(1, 5_000, customer="a", merchant="m")
    np.testing.assert_array_equal(state.features(back), state.features(same))
    other = FeatureState()
    other.learn(late)
    state.learn(back)
    other.learn(same)
    assert state.digest() == other.digest()


def test_learn_the_same_payment_again_changes_nothing() -> None:
    state, first = FeatureState(), payment(0, 0, customer="a")
    state.learn(first)
    before = state.digest()
    state.learn(first)
    assert state.digest() == before


def test_features_of_unknown_entities_are_nan() -> None:
    state = FeatureState()
    found = dict(zip(NAMES, state.features(payment(0, 0, customer="a")), strict=True))
    for name, value in found.items():
        source = BY_NAME[name].source
        if isinstance(source, Pair) or (source is not None and source != Entity.CUSTOMER):
            assert np.isnan(value), name
    assert found["customer_count_1h"] == 1.0
    assert np.isnan(found["customer_ratio"])
    assert np.isnan(found["device_trust"])
    assert found["customer_gap_s"] == 30 * 86_400


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**9), room=st.sampled_from([16, 32, 64]))
def test_features_when_payments_leave_early_equal_those_of_the_payments_that_are_left(
    seed: int, room: int
) -> None:
    stream = random_stream(np.random.default_rng(seed), 200, 3.0, people=3)
    state = FeatureState(Limits(events=room))
    fold(state, stream)
    assert state.counts()["events"] == room
    assert state.counts()["events_dropped_early"] == 200 - room
    fresh = FeatureState()
    for signals in stream.payments[-room:]:
        fresh.learn(signals)
    for number, (at_ms, row, what, _) in enumerate(stream.outcomes):
        if row >= 200 - room and what == batch.END and at_ms <= stream.payments[-1].at_ms:
            tell(fresh, stream, number)
    keys = {entity.name.lower(): f"{entity.name}-1" for entity in Entity}
    probe = payment(900, 3 * 86_400 + 7_200, 1_000, **keys)
    for feature in WINDOWED:
        if feature.delay_s or feature.aggregation == "known_fraud":
            continue
        place = AT[feature.name]
        assert _close(state.features(probe)[place], fresh.features(probe)[place]), feature.name


def test_entity_unseen_for_the_idle_time_is_new_again_whether_reclaimed_or_not() -> None:
    limits = Limits(idle_ms=40 * DAY_MS)
    state, busy = FeatureState(limits), FeatureState(limits)
    for one in (state, busy):
        one.learn(payment(0, 0, customer="a", card="c", merchant="m"))
    busy.learn(payment(1, 41 * 86_400, customer="b"))
    assert (state.counts()["entities"], busy.counts()["entities"]) == (3, 1)
    assert (state.counts()["pairs"], busy.counts()["pairs"]) == (3, 0)
    probe = payment(2, 41 * 86_400 + 1, customer="a", card="c", merchant="m")
    np.testing.assert_array_equal(state.features(probe), busy.features(probe))
    assert state.features(probe)[AT["customer_history"]] == 0
    at_the_edge = payment(3, 40 * 86_400, customer="a")
    assert state.features(at_the_edge)[AT["customer_history"]] == 1


def test_learn_beyond_the_limits_of_entities_and_pairs_forgets_the_longest_unseen() -> None:
    state = FeatureState(Limits(entities=56, pairs=72))
    for number in range(200):
        state.learn(
            payment(number, number, customer=f"c{number}", merchant=f"m{number % 3}", device=f"d{number}")
        )
    counts = state.counts()
    assert (counts["entities"], counts["pairs"]) == (56, 72)
    assert counts["entities_evicted_early"] == 400 + 3 - 56
    assert counts["pairs_evicted_early"] == 400 - 72
    found = state.features(payment(999, 201, customer="c199", merchant="m1", device="d0"))
    assert found[AT["customer_history"]] == 1
    assert found[AT["device_history"]] == 0


@pytest.mark.parametrize(("ago_ms", "expected"), [(DELAY_MS - 1, 0), (DELAY_MS, 1)])
def test_matured_counts_from_the_end_of_the_delay_on(ago_ms: int, expected: int) -> None:
    state = FeatureState()
    state.learn(payment(0, 0, merchant="m"))
    assert state.features(payment(1, ago_ms / 1000, merchant="m"))[AT["merchant_matured_1d"]] == expected
