"""The feature state: reading changes nothing, snapshots hold everything, and the future never reaches back."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.risk.feature_streams import DAY_MS, Stream, fold, payment, random_stream, tell

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import batch, layout
from tongbao.risk.models.arena import Limits
from tongbao.risk.models.registry import NAMES
from tongbao.risk.models.state import FeatureState
from tongbao.risk.schema.signals import DeviceSign, Entity

AT = {name: place for place, name in enumerate(NAMES)}


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_features_read_any_number_of_times_change_nothing(seed: int) -> None:
    stream = random_stream(np.random.default_rng(seed), 120, 30.0)
    read_often, read_once = FeatureState(), FeatureState()
    far = payment(
        9_999, 80 * 86_400, customer="CUSTOMER-1", card="CARD-1", device="DEVICE-1", merchant="MERCHANT-1"
    )
    for signals in stream.payments:
        before = read_often.digest()
        found = read_often.features(signals)
        read_often.features(far)
        assert read_often.digest() == before
        np.testing.assert_array_equal(read_often.features(signals), found)
        np.testing.assert_array_equal(read_once.features(signals), found)
        read_often.learn(signals)
        read_once.learn(signals)
    assert read_often.digest() == read_once.digest()


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**9), cut=st.integers(1, 199), room=st.sampled_from([64, 2**22]))
def test_load_what_was_dumped_gives_equal_digest_and_equal_future(seed: int, cut: int, room: int) -> None:
    stream = random_stream(np.random.default_rng(seed), 200, 60.0)
    whole = FeatureState(Limits(events=room))
    fold(whole, Stream(stream.payments, []), upto=cut)
    again = FeatureState.load(whole.dump())
    assert again.digest() == whole.digest()
    for row, signals in enumerate(stream.payments[cut:]):
        np.testing.assert_array_equal(again.features(signals), whole.features(signals))
        for state in (again, whole):
            state.learn(signals)
            state.label(stream.payments[row].id, row % 2 == 0, signals.at_ms)
            state.ended(stream.payments[row].id, row % 5 != 0, signals.at_ms)
    assert again.digest() == whole.digest()
    assert again.counts() | {"bytes": 0} == whole.counts() | {"bytes": 0}


def test_load_an_empty_state_gives_an_empty_state() -> None:
    assert FeatureState.load(FeatureState().dump()).digest() == FeatureState().digest()


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:40] + b"?" + data[41:]]
)
def test_load_damaged_bytes_is_refused(damage: object) -> None:
    data = FeatureState().dump()
    assert callable(damage)
    with pytest.raises(InvalidRequest) as refused:
        FeatureState.load(damage(data))
    assert refused.value.code == "feature_snapshot_damaged"


def test_load_a_snapshot_of_another_layout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = FeatureState().dump()
    monkeypatch.setattr(layout, "DELAY_MS", 1)
    with pytest.raises(InvalidRequest) as refused:
        FeatureState.load(data)
    assert refused.value.code == "feature_snapshot_foreign"


@pytest.mark.parametrize(
    "limits", [Limits(events=0), Limits(entities=8), Limits(pairs=8), Limits(idle_ms=DAY_MS)]
)
def test_state_with_limits_too_tight_is_refused(limits: Limits) -> None:
    with pytest.raises(InvalidRequest) as refused:
        FeatureState(limits)
    assert refused.value.code == "feature_limits_invalid"


def test_digest_tells_states_apart_by_one_label() -> None:
    state, first = FeatureState(), payment(0, 0, customer="a")
    state.learn(first)
    before = state.digest()
    state.label(first.id, True, first.at_ms)
    assert state.digest() != before


def test_snapshot_holds_no_key_of_an_entity() -> None:
    state = FeatureState()
    state.learn(payment(0, 0, customer="customer-of-note", card="card-of-note"))
    assert b"of-note" not in state.dump()


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**9), row=st.integers(30, 119))
def test_features_do_not_move_when_the_future_does(seed: int, row: int) -> None:
    rng = np.random.default_rng(seed)
    stream = random_stream(rng, 120, 30.0)
    now = stream.payments[row].at_ms
    other = random_stream(rng, 120, 30.0)
    later = [signals for signals in other.payments if signals.at_ms > now]
    changed = Stream(
        stream.payments[: row + 1] + later,
        [outcome for outcome in stream.outcomes if outcome[0] <= now],
    )
    first, second = fold(FeatureState(), stream, upto=row + 1), fold(FeatureState(), changed, upto=row + 1)
    np.testing.assert_array_equal(first, second)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**9), row=st.integers(30, 119))
def test_features_of_a_file_do_not_move_when_later_rows_or_labels_do(seed: int, row: int) -> None:
    rng = np.random.default_rng(seed)
    at_ms = np.sort(rng.integers(0, 40 * DAY_MS, 120))
    keys = {kind: rng.integers(0, 4, 120) for kind in Entity}
    value = rng.integers(1, 9_000, 120)
    is_fraud, known_ms = rng.random(120) < 0.4, at_ms + rng.integers(0, 20 * DAY_MS, 120)
    found = batch.build(batch.Columns(at_ms, value, keys), batch.labels(is_fraud, known_ms))
    value[row + 1 :] += 777
    for values in keys.values():
        values[row + 1 :] = rng.integers(0, 4, 119 - row)
    flipped = np.where(known_ms > at_ms[row], ~is_fraud, is_fraud)
    again = batch.build(batch.Columns(at_ms, value, keys), batch.labels(flipped, known_ms))
    np.testing.assert_array_equal(again[: row + 1], found[: row + 1])


def test_spree_counts_earlier_payments_far_above_the_usual_amount() -> None:
    state = FeatureState()
    for number, value in enumerate([1_000, 1_000, 1_000, 4_000, 3_000, 1_000]):
        state.learn(payment(number, number * 3_600, value, card="c"))
    found = state.features(payment(9, 7 * 3_600, 1_000, card="c"))
    # Usual amounts before each: 1,000 three times, then 4,000 is tamed to 2,500 and the mean is 1,375, which 3,000 exceeds 2.18 times.
    assert found[AT["card_spree_max_14d"]] == pytest.approx(4.0)
    assert found[AT["card_spree_count_14d"]] == 1
    assert found[AT["card_spree_share_14d"]] == pytest.approx(1 / 7)
    later = state.features(payment(9, 14 * 86_400 + 3 * 3_600, 1_000, card="c"))
    assert later[AT["card_spree_max_14d"]] == pytest.approx(3_000 / 1_375)
    assert later[AT["card_spree_count_14d"]] == 0


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_highest_ratio_of_a_spree_equals_the_highest_of_the_window(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.integers(0, 40 * 86_400, 120))
    state, seen = FeatureState(), list[tuple[int, float]]()
    for number in range(120):
        signals = payment(number, int(seconds[number]), int(rng.integers(1, 9_000)), customer="a")
        found = state.features(signals)
        recent = [ratio for at, ratio in seen if at > seconds[number] - 14 * 86_400]
        assert found[AT["customer_spree_max_14d"]] == (max(recent) if recent else 0.0)
        assert found[AT["customer_spree_count_14d"]] == sum(ratio > 2.5 for ratio in recent)
        ratio = found[AT["customer_ratio"]]
        seen.append((int(seconds[number]), 1.0 if np.isnan(ratio) else float(ratio)))
        state.learn(signals)


def test_unexplained_frauds_are_those_of_amounts_that_are_normal_for_the_payer() -> None:
    state = FeatureState()
    for number in range(3):
        state.learn(payment(number, number, 1_000, customer="a"))
    for number, value in ((10, 1_900), (11, 9_000), (12, 1_000)):
        customer = "stranger" if number == 12 else "a"
        state.learn(payment(number, number, value, customer=customer, merchant="m"))
    for number in (10, 11, 12):
        state.label(payment(number, 0).id, True, payment(0, 100).at_ms)
    found = state.features(payment(20, 8 * 86_400, merchant="m"))
    assert found[AT["merchant_streak"]] == 3
    assert found[AT["merchant_unexplained_28d"]] == 1


def test_proof_adds_trust_for_its_pair_of_card_and_device_only() -> None:
    state, first = FeatureState(), payment(0, 0, card="c", device="d", customer="a")
    other = payment(1, 1, card="c2", device="d", customer="a")
    state.learn(first)
    state.learn(other)

    def trust(card: str, signs: DeviceSign = DeviceSign.NONE, days: float = 1.0) -> float:
        probe = payment(9, days * 86_400, card=card, device="d", customer="a", device_signs=signs)
        return float(state.features(probe)[AT["device_trust"]])

    before = trust("c")
    assert trust("c2") == pytest.approx(before, rel=1e-4)
    assert state.proved(first.id, True, first.at_ms)
    assert trust("c") > 0.5 > before
    assert trust("c2") == pytest.approx(before, rel=1e-4)
    assert trust("c", DeviceSign.EMULATOR) == pytest.approx(0.2 * trust("c"))
    assert trust("new") == 0.0
    passed = trust("c")
    assert state.proved(first.id, False, first.at_ms + 1)
    assert before < trust("c") < passed


def test_declines_are_counted_once_however_often_they_are_told() -> None:
    state, first = FeatureState(), payment(0, 0, card="c")
    state.learn(first)
    for _ in range(2):
        assert state.ended(first.id, False, first.at_ms)
    found = state.features(payment(1, 60, card="c"))
    assert (found[AT["card_declines_1h"]], found[AT["card_decline_share_7d"]]) == (1, 1.0)
    state.ended(first.id, True, first.at_ms)
    assert state.features(payment(1, 60, card="c"))[AT["card_declines_1h"]] == 0


def test_times_of_day_and_week_are_those_of_utc() -> None:
    monday, saturday = payment(0, 6.5 * 3_600), payment(0, (5 * 24 + 7) * 3_600)
    assert monday.at.replace(hour=0, minute=0) == datetime(2026, 1, 5, tzinfo=UTC)
    state = FeatureState()
    names = ("hour", "night", "weekend")
    assert [state.features(monday)[AT[name]] for name in names] == [6.5, 1.0, 0.0]
    assert [state.features(saturday)[AT[name]] for name in names] == [7.0, 0.0, 1.0]


def test_outcome_of_a_payment_without_device_is_taken_and_proves_nothing() -> None:
    stream = Stream([payment(0, 0, card="c")], [(payment(0, 1).at_ms, 0, batch.PROOF, True)])
    state = FeatureState()
    fold(state, stream)
    before = state.digest()
    tell(state, stream, 0)
    assert state.digest() == before
