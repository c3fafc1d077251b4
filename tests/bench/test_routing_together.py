"""Worlds walked at once are the worlds walked one by one: a row does not see its neighbors."""

import dataclasses

import numpy as np
import pytest

from tongbao.bench.routing_baselines import BASELINES
from tongbao.bench.routing_measures import Played
from tongbao.bench.routing_play import Feedback, Moment, Player, play, play_together
from tongbao.bench.routing_player import Routed
from tongbao.bench.routing_world_draws import IntArray, Regime, WorldSpec
from tongbao.bench.routing_worlds import World
from tongbao.bench.routing_worlds_together import WORLDS_MAX, Together
from tongbao.core.errors import InvalidRequest
from tongbao.routing.service.simulating import Simulated

PAYMENTS = 550
"""More than one block of the walk."""
SPECS = (
    WorldSpec(Regime.DELAYED, PAYMENTS),
    WorldSpec(Regime.HARD_OUTAGE, PAYMENTS),
    WorldSpec(Regime.RATE_LIMIT, PAYMENTS),
    WorldSpec(Regime.MISLABELLED, PAYMENTS, mislabel=0.2),
    WorldSpec(Regime.COST_SPREAD, PAYMENTS),
)
DRAWING = {"sw_ts", "d_ts"}
"""Players that draw from a generator of their own, one for all rows."""


def _worlds() -> list[World]:
    return [World(spec, range(number, number + 2 + number % 2)) for number, spec in enumerate(SPECS)]


def _ours(rows: Together) -> Routed:
    return Routed(Simulated(rows.count, rows.channels, rows.groups), rows.counts_value)


def _assert_equal(one: Played, other: Played) -> None:
    for each in dataclasses.fields(Played):
        left, right = getattr(one, each.name), getattr(other, each.name)
        if each.name == "events":
            for figure in dataclasses.fields(left):
                np.testing.assert_array_equal(getattr(left, figure.name), getattr(right, figure.name))
        else:
            np.testing.assert_array_equal(left, right, err_msg=each.name)


@pytest.mark.parametrize("name", sorted(set(BASELINES) - DRAWING))
def test_play_together_of_a_baseline_gives_each_world_what_it_gives_alone(name: str) -> None:
    worlds = _worlds()
    together = Together(worlds)
    for world, found in zip(worlds, play_together(together, BASELINES[name](together)), strict=True):
        _assert_equal(found, play(world, BASELINES[name](world)))


def test_play_together_of_ours_gives_each_world_what_it_gives_alone() -> None:
    worlds = _worlds()
    together = Together(worlds)
    for world, found in zip(worlds, play_together(together, _ours(together)), strict=True):
        alone = play(world, _ours(Together([world])))
        _assert_equal(found, alone)
        assert found.attempts.min() > 1


@pytest.mark.parametrize("name", sorted(DRAWING))
def test_play_together_of_a_drawing_baseline_is_repeatable(name: str) -> None:
    together = Together(_worlds())
    once, again = (play_together(together, BASELINES[name](together)) for _ in range(2))
    for one, other in zip(once, again, strict=True):
        _assert_equal(one, other)


def test_ours_ranks_by_value_only_where_rows_say_so() -> None:
    together = Together([World(WorldSpec(Regime.COST_SPREAD, PAYMENTS), range(6))] * 2)
    half = np.arange(together.count) < 6
    simulated = Simulated(together.count, together.channels, together.groups)
    by_value, by_approvals = play_together(together, Routed(simulated, half))
    assert by_value.value_bps.mean() > by_approvals.value_bps.mean()
    assert by_value.cost_bps.mean() < by_approvals.cost_bps.mean()


class Listening:
    """Takes each channel in turn and writes down when the answers of which rows came."""

    name = "listening"

    def __init__(self, count: int) -> None:
        self._count = count
        self._t = 0
        self.heard: list[tuple[int, Feedback]] = []

    def choose(self, moment: Moment) -> IntArray:
        self._t = moment.t
        return np.full(self._count, moment.t % 5)

    def learn(self, feedback: Feedback) -> None:
        self.heard.append((self._t, feedback))


def test_answers_of_prompt_rows_come_at_once_beside_those_of_delayed_rows() -> None:
    together = Together([World(SPECS[0], range(3)), World(SPECS[1], range(2))])
    player: Player = (listening := Listening(together.count))
    play_together(together, player)
    told = np.zeros((PAYMENTS, together.count), dtype=np.int64)
    for t, feedback in listening.heard:
        assert (np.diff(feedback.row) > 0).all()
        np.testing.assert_array_equal(feedback.arm, feedback.t0 % 5)
        is_prompt = feedback.row >= 3
        assert (feedback.t0[is_prompt] == t).all()
        assert (feedback.t0[~is_prompt] < t).all()
        told[feedback.t0, feedback.row] += 1
    assert (told[:, 3:] == 1).all()
    assert told.max() == 1
    assert 0.8 < told[:, :3].mean() < 1


@pytest.mark.parametrize(
    "other",
    [
        WorldSpec(Regime.DRIFT, PAYMENTS + 1),
        WorldSpec(Regime.DRIFT, PAYMENTS, channels=4),
        WorldSpec(Regime.DRIFT, PAYMENTS, groups=3),
    ],
)
def test_worlds_of_other_sizes_are_rejected(other: WorldSpec) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Together([World(SPECS[0], [1]), World(other, [1])])
    assert refused.value.code == "worlds_differ"


@pytest.mark.parametrize("count", [0, WORLDS_MAX + 1])
def test_no_worlds_or_too_many_are_rejected(count: int) -> None:
    world = World(WorldSpec(Regime.DRIFT, 1), [1])
    with pytest.raises(InvalidRequest) as refused:
        Together([world] * count)
    assert refused.value.code == "worlds_count_invalid"
