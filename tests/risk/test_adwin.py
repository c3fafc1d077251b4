"""ADWIN against a reference that keeps every value, and against what the paper promises."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models.adwin import DELTA, EVERY, PER_SIZE, SIDE_MIN, Adwin


class Naive:
    """The same rules over buckets that keep their values, with sums and variances made anew each time."""

    def __init__(self, sizes: int = 26) -> None:
        self.sizes = sizes
        self.buckets: list[list[float]] = []
        self.seen = 0

    def add(self, value: float) -> bool:
        self.buckets.append([value])
        self._merge()
        self.seen += 1
        changed = False
        while self.seen % EVERY == 0 and self._is_cut():
            self.buckets.pop(0)
            changed = True
        return changed

    def values(self) -> list[float]:
        return [value for bucket in self.buckets for value in bucket]

    def _merge(self) -> None:
        for size in range(self.sizes):
            same = [place for place, bucket in enumerate(self.buckets) if len(bucket) == 2**size]
            if len(same) <= PER_SIZE:
                return
            if size == self.sizes - 1:
                self.buckets.pop(0)
                return
            self.buckets[same[0]] += self.buckets.pop(same[1])

    def _is_cut(self) -> bool:
        values = np.array(self.values())
        if len(values) < 2 * SIDE_MIN:
            return False
        log_term = math.log(2 * math.log(len(values)) / DELTA)
        older = 0
        for bucket in self.buckets:
            older += len(bucket)
            newer = len(values) - older
            if newer < SIDE_MIN:
                return False
            if older < SIDE_MIN:
                continue
            inverse = 1 / older + 1 / newer
            bound = math.sqrt(2 * inverse * values.var() * log_term) + 2 / 3 * inverse * log_term
            if abs(values[:older].mean() - values[older:].mean()) > bound:
                return True
        return False


@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(20, 250), st.floats(0, 1)), min_size=1, max_size=4),
    st.sampled_from([3, 5, 26]),
)
@settings(max_examples=12, deadline=None)
def test_window_is_that_of_the_reference_after_every_value(
    seed: int, pieces: list[tuple[int, float]], sizes: int
) -> None:
    rng = random.Random(seed)
    watch, naive = Adwin("s", sizes=sizes), Naive(sizes)
    for count, rate in pieces:
        for _ in range(count):
            value = float(rng.random() < rate) if seed % 2 else min(rng.random() * 2 * rate, 1.0)
            assert (watch.add(value) is not None) == naive.add(value)
            assert watch.width == len(naive.values())
            assert watch.mean == pytest.approx(np.mean(naive.values()))


def test_many_at_once_are_as_one_by_one() -> None:
    values = np.random.default_rng(1).random(3_000)
    values[1_500:] = values[1_500:] / 4
    one, other = Adwin("s"), Adwin("s")
    single = [change for value in values.tolist() if (change := one.add(value)) is not None]
    assert other.add_many(values) == single
    assert one.dump() == other.dump()


def test_change_is_found_soon_and_told_with_both_means() -> None:
    rng = np.random.default_rng(2)
    watch = Adwin("error")
    assert watch.add_many((rng.random(20_000) < 0.02).astype(float)) == []
    changes = watch.add_many((rng.random(2_000) < 0.08).astype(float))
    assert changes
    assert changes[0].name == "error"
    assert changes[0].before == pytest.approx(0.02, abs=0.01)
    assert changes[0].after > changes[0].before
    assert watch.mean == pytest.approx(0.08, abs=0.02)
    assert watch.width < 4_000


def test_stream_without_change_is_rarely_cut() -> None:
    rng = np.random.default_rng(3)
    cut = sum(bool(Adwin("s").add_many((rng.random(10_000) < 0.05).astype(float))) for _ in range(100))
    assert cut <= 3


def test_memory_stays_as_it_is_however_long_the_stream() -> None:
    watch = Adwin("s", sizes=8)
    size = len(watch.dump())
    watch.add_many(np.full(50_000, 0.5))
    assert len(watch.dump()) <= size + 16
    assert watch.width <= PER_SIZE * (2**8 - 1)


def test_state_survives_bytes() -> None:
    rng = np.random.default_rng(4)
    watch = Adwin("s", delta=0.01)
    watch.add_many(rng.random(1_000))
    loaded = Adwin.load(watch.dump())
    more = rng.random(2_000) / 3
    assert loaded.add_many(more) == watch.add_many(more) != []
    assert loaded.dump() == watch.dump()
    with pytest.raises(InvalidRequest, match="risk_state_invalid"):
        Adwin.load(watch.dump()[:-1])


def test_value_outside_of_the_range_is_refused_and_nothing_taken_in() -> None:
    watch = Adwin("s")
    assert math.isnan(watch.mean)
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(InvalidRequest, match="adwin_value_invalid"):
            watch.add_many(np.array([0.5, wrong]))
    assert watch.width == 0
    with pytest.raises(InvalidRequest, match="adwin_invalid"):
        Adwin("s", delta=0)
