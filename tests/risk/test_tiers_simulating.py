"""Tiers over a file of payments: in order, with truths that come late, learned by the code of the payment path."""

import numpy as np
import pytest

from tongbao.core.errors import InvalidRequest
from tongbao.risk.schema.tiers import TIERS, Tier
from tongbao.risk.service.compiling import compile_spec
from tongbao.risk.service.tiers_simulating import Stream, TierWalker

DAY_S = 86_400.0
COUNT = 3_000


def stream_of(seed: int, truth_delay_s: float = 7 * DAY_S) -> Stream:
    rng = np.random.default_rng(seed)
    chance = rng.beta(0.1, 2.0, COUNT)
    return Stream(
        at_s=np.sort(rng.uniform(0, 30 * DAY_S, COUNT)),
        chance=chance,
        value=rng.integers(100, 30_000, COUNT),
        is_fraud=rng.random(COUNT) < chance,
        segments=[("known",)] * COUNT,
        uniform=rng.random(COUNT),
        truth_delay_s=truth_delay_s,
    )


def stops_of(stream: Stream, seed: int, lost: float = 0.06, caught: float = 0.9) -> np.ndarray:
    uniform = np.random.default_rng(seed).random(COUNT)
    stopped: np.ndarray = uniform < np.where(stream.is_fraud, caught, lost)
    return stopped


def test_walk_learns_the_rates_it_meets_though_truth_is_late_and_partial() -> None:
    stream = stream_of(1)
    stopped = stops_of(stream, 2, lost=0.03)
    dear = {"goodwill": 20_000, "review_fee": 100_000}  # so that nearly all doubtful payments are stepped up
    walker = TierWalker(compile_spec({"model": "ab", "costs": dear, "explore_share": 0.05}))
    walker.walk(stream, lambda row, _: bool(stopped[row]))
    step = walker.beliefs(("known",), 30 * DAY_S).step_up
    assert step.lost.mean == pytest.approx(0.03, abs=0.04)  # half of the way from the prior of 0.10
    assert step.caught.mean == pytest.approx(0.9, abs=0.05)


def test_walk_is_written_down_soundly_and_again_the_same() -> None:
    stream = stream_of(3)
    stopped = stops_of(stream, 4)
    one, other = (
        TierWalker(compile_spec({"model": "ab", "explore_share": 0.1})).walk(
            stream, lambda row, _: bool(stopped[row])
        )
        for _ in range(2)
    )
    assert np.array_equal(one.tier, other.tier)
    assert np.array_equal(one.propensities, other.propensities)
    assert one.propensities.sum(axis=1) == pytest.approx(1)
    drawn = one.propensities[np.arange(COUNT), one.tier]
    assert (drawn > 0).all()
    best = one.propensities.argmax(axis=1)
    assert np.array_equal(one.tier != best, one.is_explored)
    expected = 1 - one.propensities.max(axis=1).mean()
    assert one.is_explored.mean() == pytest.approx(expected, abs=4 * (expected / COUNT) ** 0.5)


def test_walk_asks_only_about_tiers_that_can_stop_and_tells_them() -> None:
    stream = stream_of(5)
    asked: dict[int, Tier] = {}

    def stops(row: int, tier: Tier) -> bool:
        asked[row] = tier
        return False

    walk = TierWalker(compile_spec({"model": "ab"})).walk(stream, stops)
    rows = np.flatnonzero((walk.tier == 1) | (walk.tier == 2))
    assert asked == {int(row): TIERS[walk.tier[row]] for row in rows}
    assert len(rows) > 50


def test_walk_before_any_truth_is_due_does_not_depend_on_it() -> None:
    stream = stream_of(6, truth_delay_s=60 * DAY_S)
    stopped = stops_of(stream, 7)
    honest = TierWalker(compile_spec({"model": "ab"})).walk(stream, lambda row, _: bool(stopped[row]))
    lying = Stream(
        **{name: getattr(stream, name) for name in Stream.__struct_fields__ if name != "is_fraud"},
        is_fraud=~stream.is_fraud,
    )
    assert np.array_equal(
        honest.tier,
        TierWalker(compile_spec({"model": "ab"})).walk(lying, lambda row, _: bool(stopped[row])).tier,
    )


@pytest.mark.parametrize(
    "broken",
    [
        {"chance": np.zeros(3)},
        {"at_s": np.arange(COUNT, 0, -1.0)},
        {"truth_delay_s": -1.0},
        {"segments": []},
    ],
)
def test_walk_through_what_is_no_stream_is_refused(broken: dict[str, object]) -> None:
    stream = stream_of(8)
    fields = {name: getattr(stream, name) for name in Stream.__struct_fields__} | broken
    with pytest.raises(InvalidRequest) as error:
        TierWalker(compile_spec({"model": "ab"})).walk(Stream(**fields), lambda *_: False)
    assert error.value.code == "stream_invalid"
