"""The alarm: how rarely it errs, how soon it sees, what it says of a change, and that its memory is bounded."""

import functools
import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tongbao.routing.policy import change_points
from tongbao.routing.policy.change_points import Change, Detector, amend, observe, observe_many, threshold

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def run(detector: Detector, rng: random.Random, rate: float, count: int, start: int = 0) -> list[Change]:
    """Feed outcomes, one a second; return the changes."""
    found = (observe(detector, rng.random() < rate, BEGIN + (start + i) * SECOND) for i in range(count))
    return [change for change in found if change is not None]


@functools.cache
def settled(seed: int, rate: float) -> tuple[Detector, random.Random]:
    """A detector after 5,000 outcomes without a change, and the chance that goes on; the caller copies both."""
    rng, detector = random.Random(seed), Detector()
    run(detector, rng, rate, 5_000)
    return detector, rng


def delay(seed: int, before: float, after: float, count_max: int = 10_000) -> tuple[int, Change | None]:
    """Outcomes from a change, after 5,000 without one, until it is announced."""
    known, chance = settled(seed, before)
    rng, detector = random.Random(), known.copy()
    rng.setstate(chance.getstate())
    for count in range(1, count_max + 1):
        change = observe(detector, rng.random() < after, BEGIN + (4_999 + count) * SECOND)
        if change is not None:
            return count, change
    return count_max, None


def test_threshold_of_rarer_alarms_is_higher_and_of_too_frequent_ones_refused() -> None:
    assert threshold(5_000) < threshold(50_000) < threshold(500_000)
    with pytest.raises(ValueError, match="less than 100"):
        threshold(99)


@pytest.mark.parametrize(
    ("each", "alarms_max"),
    [
        # With a mean of 50,000 or less, as few as the long form allows come with a probability of 14 % at the most; 300,000
        # were measured. The short form only fails where alarms are many times as frequent.
        (25_000, 2),
        pytest.param(80_000, 2, marks=pytest.mark.nightly),
    ],
)
def test_observe_an_unchanged_rate_alarms_less_than_once_in_50_000_outcomes(
    each: int, alarms_max: int
) -> None:
    alarms = 0
    for seed, rate in enumerate((0.95, 0.9, 0.8)):
        alarms += len(run(Detector(), random.Random(seed), rate, each))
    assert alarms <= alarms_max


@pytest.mark.parametrize("tries", [5, pytest.param(11, marks=pytest.mark.nightly)])
@pytest.mark.parametrize(
    ("before", "after", "median_max"), [(0.9, 0.7, 110), (0.9, 0.85, 1_300), (0.95, 0.0, 24), (0.8, 0.9, 400)]
)
def test_observe_a_change_is_announced_soon(before: float, after: float, median_max: int, tries: int) -> None:
    delays = sorted(delay(seed, before, after)[0] for seed in range(tries))
    assert delays[tries // 2] <= median_max


def test_observe_a_fall_tells_since_when_and_how_much() -> None:
    _, change = delay(3, 0.9, 0.6)
    assert change is not None
    assert abs(change.since - (BEGIN + 5_000 * SECOND)) <= 40 * SECOND
    assert change.before == pytest.approx(0.9, abs=0.02)
    assert change.size_low <= -0.3 <= change.size_high < 0
    assert change.size == pytest.approx(change.after - change.before)


def test_observe_after_an_alarm_learns_the_new_rate_and_sees_the_way_back() -> None:
    rng, detector = random.Random(5), Detector()
    first = run(detector, rng, 0.9, 5_000)
    second = run(detector, rng, 0.6, 5_000, 5_000)
    third = run(detector, rng, 0.9, 5_000, 10_000)
    assert [len(each) for each in (first, second, third)] == [0, 1, 1]
    assert second[0].size < 0 < third[0].size


@pytest.mark.parametrize("steps", [12, pytest.param(30, marks=pytest.mark.nightly)])
def test_observe_a_slow_drift_is_followed_without_alarm(steps: int) -> None:
    rng, detector = random.Random(6), Detector()
    rates = [0.92 - 0.02 * step / 30 for step in range(steps)]
    assert [run(detector, rng, rate, 2_000, step * 2_000) for step, rate in enumerate(rates)] == [[]] * steps


def test_observe_a_change_below_two_points_is_not_announced() -> None:
    detector = Detector()
    pattern = [True] * 99 + [False]
    for _ in range(60):
        assert observe_many(detector, pattern, BEGIN) == []
    for _ in range(60):
        assert observe_many(detector, [True] * 100, BEGIN) == []


def test_state_stays_bounded_and_comes_back_from_its_written_form() -> None:
    rng, detector = random.Random(7), Detector()
    run(detector, rng, 0.9, 20_000)
    assert len(detector.blocks) <= change_points.BLOCKS_OF_SIZE * change_points.SIZES + 1
    assert detector.count <= change_points.BASELINE_WEIGHT_MAX
    written = msgspec.json.encode(detector)
    assert len(written) < 6_000
    again = msgspec.json.decode(written, type=Detector)
    assert again == detector
    outcomes = [rng.random() < 0.5 for _ in range(200)]
    assert observe_many(again, outcomes, BEGIN) == observe_many(detector, outcomes, BEGIN) != []


def test_copy_shares_nothing() -> None:
    rng, detector = random.Random(8), Detector()
    run(detector, rng, 0.9, 100)
    copy = detector.copy()
    assert copy == detector
    run(copy, rng, 0.9, 1)
    assert copy != detector


def test_amend_corrects_the_block_of_its_time_and_never_leaves_what_is_possible() -> None:
    detector = Detector()
    observe_many(detector, [False] * 8, BEGIN)
    observe_many(detector, [True] * 8, BEGIN + timedelta(minutes=5))
    amend(detector, BEGIN + timedelta(minutes=1), 2, 0)
    assert [block.good for block in detector.blocks] == [2.0, 8.0]
    amend(detector, BEGIN + timedelta(minutes=6), -9, -9)
    assert [(block.good, block.count) for block in detector.blocks] == [(2.0, 8.0), (0.0, 0.0)]
    amend(detector, BEGIN - timedelta(days=1), 1, 1)
    assert (detector.good, detector.count) == (1.0, 1.0)


def test_observe_after_blocks_were_emptied_by_corrections_goes_on() -> None:
    rng, detector = random.Random(9), Detector()
    for step in range(2_000):
        at = BEGIN + step * SECOND
        observe(detector, rng.random() < 0.9, at)
        amend(detector, at, 0, -1)
    assert run(detector, rng, 0.9, 2_000, 2_000) == []
