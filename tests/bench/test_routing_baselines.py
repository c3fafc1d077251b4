"""Baselines do what their published forms say."""

import numpy as np
import pytest

from tongbao.bench import routing_tuning
from tongbao.bench.routing_baselines import BASELINES, FAILOVER_S, PriorityList, Static
from tongbao.bench.routing_baselines_bandits import Window, upper_bounds
from tongbao.bench.routing_baselines_queues import (
    BUCKET,
    Autopilot,
    Queues,
    WindowedHedge,
    calibration,
)
from tongbao.bench.routing_play import Feedback, Moment, Player, play
from tongbao.bench.routing_world_draws import FloatArray, IntArray, Regime, WorldSpec
from tongbao.bench.routing_worlds import Outcome, World

COUNT = 6
LEARNING = sorted(set(BASELINES) - {"oracle", "round_robin", "priority"})


def _moment(t: int, rng: np.random.Generator, channels: int, now_s: float | None = None) -> Moment:
    now = np.full(COUNT, t / 10 if now_s is None else now_s)
    costs = np.arange(COUNT * channels, dtype=np.float64).reshape(COUNT, channels) + 40
    uniforms = rng.random((COUNT, channels + 2))
    return Moment(t, now, np.zeros(COUNT, dtype=np.int64), costs, uniforms)


def _answer(moment: Moment, arm: IntArray, won: FloatArray) -> Feedback:
    seen = np.where(won, Outcome.APPROVED, Outcome.ISSUER_DECLINED).astype(np.int8)
    return Feedback(np.arange(COUNT), arm, moment.group, seen, np.full(COUNT, moment.t), moment.now_s)


def _run(player: Player, rates: FloatArray, seed: int = 0, start: int = 0) -> IntArray:
    """Play against success rates (T, K); return the choices (T, n)."""
    rng = np.random.default_rng(seed)
    chosen = []
    for t, rate in enumerate(rates, start):
        moment = _moment(t, rng, len(rate))
        arm = player.choose(moment)
        player.learn(_answer(moment, arm, rng.random(COUNT) < rate[arm]))
        chosen.append(arm)
    return np.stack(chosen)


@pytest.mark.parametrize("name", LEARNING)
@pytest.mark.parametrize("better", [0, 2])
def test_baseline_finds_the_better_of_very_different_channels(name: str, better: int) -> None:
    world = World(WorldSpec(Regime.STATIONARY, channels=3), range(COUNT))
    rates = np.full((3_000, 3), 0.3)
    rates[:, better] = 0.9
    chosen = _run(BASELINES[name](world), rates)
    assert (chosen[-500:] == better).mean() > 0.75


@pytest.mark.parametrize("name", ["sw_ucb", "d_ucb", "sw_ts", "d_ts", "exp3s", "hedge_125", "autopilot"])
def test_forgetting_baseline_follows_a_change(name: str) -> None:
    world = World(WorldSpec(Regime.STATIONARY, channels=2), range(COUNT))
    rates = np.full((5_000, 2), 0.2)
    rates[:2_000, 0] = 0.9
    rates[2_000:, 1] = 0.9
    chosen = _run(BASELINES[name](world), rates)
    assert (chosen[1_500:2_000] == 0).mean() > 0.75
    assert (chosen[-500:] == 1).mean() > 0.75


def test_static_never_follows_a_change() -> None:
    rates = np.full((1_000, 2), 0.2)
    rates[:400, 0] = 0.9
    rates[400:, 1] = 0.9
    chosen = _run(Static(COUNT, 2, survey=200), rates)
    assert (chosen[200:] == 0).all()
    assert (chosen[:200] == (np.arange(200) % 2)[:, None]).all()


def test_hedge_sends_five_percent_to_the_others_evenly() -> None:
    rates = np.full((6_000, 4), 0.1)
    rates[:, 1] = 0.95
    chosen = _run(WindowedHedge(COUNT, 4), rates)[1_000:]
    shares = [(chosen == arm).mean() for arm in range(4)]
    assert 1 - shares[1] == pytest.approx(0.05, abs=0.006)
    assert shares[0] == pytest.approx(0.05 / 3, abs=0.004)
    assert shares[3] == pytest.approx(0.05 / 3, abs=0.004)


def test_queue_forgets_what_is_older_than_its_bucket() -> None:
    queues = Queues(2, 2, bucket=10, capacity=40)
    row, arm = np.array([0]), np.array([1])
    assert queues.scores[0, 1] == 1.0
    for _ in range(10):
        queues.push(row, arm, np.array([0]))
    assert queues.scores.tolist() == [[1.0, 0.0], [1.0, 1.0]]
    for _ in range(5):
        queues.push(row, arm, np.array([1]))
    assert queues.scores[0, 1] == 0.5


def test_queue_resized_keeps_the_newest_and_fills_with_time() -> None:
    queues = Queues(1, 1, bucket=10, capacity=40)
    row, arm = np.array([0]), np.array([0])
    outcomes = [0] * 10 + [1, 1, 1, 0]
    for each in outcomes:
        queues.push(row, arm, np.array([each]))
    queues.resize(0, 4)
    assert queues.scores[0, 0] == 0.75
    queues.resize(0, 6)
    queues.push(row, arm, np.array([0]))
    assert queues.scores[0, 0] == 3 / 5
    for _ in range(100):
        queues.push(row, arm, np.array([0]))
    assert queues.scores[0, 0] == 0.0


def test_window_counts_exactly_the_last_rounds() -> None:
    rng = np.random.default_rng(3)
    window = Window(COUNT, 3, size=7)
    arms, wins = rng.integers(3, size=(40, COUNT)), rng.random((40, COUNT)) < 0.5
    for t in range(40):
        window.add(_answer(_moment(t, rng, 3), arms[t], wins[t]))
        for row in range(COUNT):
            last = slice(max(0, t - 6), t + 1)
            for arm in range(3):
                mine = arms[last, row] == arm
                assert window.tries[row, arm] == mine.sum()
                assert window.wins[row, arm] == wins[last, row][mine].sum()


def test_window_with_seeds_at_different_rounds_stays_exact() -> None:
    rng = np.random.default_rng(4)
    window = Window(2, 2, size=3)
    told: list[list[int]] = [[], []]
    for _ in range(30):
        row = np.flatnonzero(rng.random(2) < 0.5)
        arm = rng.integers(2, size=len(row))
        if not len(row):
            continue
        seen = np.zeros(len(row), dtype=np.int8)
        window.add(Feedback(row, arm, row, seen, row, row.astype(np.float64)))
        for place, used in zip(row.tolist(), arm.tolist(), strict=True):
            told[place].append(used)
    for place in range(2):
        last = told[place][-3:]
        assert window.tries[place].tolist() == [last.count(0), last.count(1)]
        assert window.wins[place].tolist() == window.tries[place].tolist()


def test_untried_channel_has_an_infinite_bound() -> None:
    bounds = upper_bounds(np.array([[5.0, 0.0]]), np.array([[10.0, 0.0]]), 0.1)
    assert np.isinf(bounds[0, 1])
    assert 0.5 < bounds[0, 0] < 0.6


def test_priority_fails_over_after_three_failures_for_a_minute() -> None:
    player = PriorityList(COUNT, 3)
    rng = np.random.default_rng(0)
    lost, won = np.zeros(COUNT, dtype=bool), np.ones(COUNT, dtype=bool)

    def pay(now_s: float, result: FloatArray) -> int:
        moment = _moment(0, rng, 3, now_s)
        arm = player.choose(moment)
        player.learn(_answer(moment, arm, result))
        return int(arm[0])

    assert [pay(1.0, lost), pay(1.0, lost), pay(1.0, won)] == [0, 0, 0]
    assert [pay(2.0, lost) for _ in range(3)] == [0, 0, 0]
    assert pay(3.0, won) == 1
    assert pay(2.0 + FAILOVER_S - 0.1, won) == 1
    assert pay(2.0 + FAILOVER_S, won) == 0
    assert [pay(70.0, lost) for _ in range(9)] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    # All are passed over: the one that comes back first is used.
    assert pay(71.0, won) == 0


@pytest.mark.parametrize(
    ("volume", "channels", "bucket", "hedge"),
    [
        (36_000, 5, 475, 4 * 475 / 36_000),
        (100, 5, 100, 0.30),
        (1_000_000, 2, 2_000, 0.01),
        (9_000, 5, 225, 4 * 225 / 9_000),
    ],
)
def test_calibration_follows_the_published_formula(
    volume: float, channels: int, bucket: int, hedge: float
) -> None:
    found, share = calibration(volume, channels)
    assert found == bucket
    assert share == pytest.approx(hedge)


def test_autopilot_leaves_a_dead_channel_before_its_queue_says_so() -> None:
    dead_at, channels = 500, 2
    rates = np.full((1_500, channels), 0.6)
    rates[:dead_at, 0] = 0.98
    rates[dead_at:, 0] = 0.0
    chosen = _run(Autopilot(COUNT, channels, eliminated_below=0.6), rates)
    slower = _run(WindowedHedge(COUNT, channels, bucket=BUCKET), rates)
    assert (chosen[dead_at - 100 : dead_at] == 0).mean() > 0.9
    assert (chosen[dead_at:] == 0).sum() < (slower[dead_at:] == 0).sum()


def test_every_baseline_plays_every_number_of_channels() -> None:
    rng = np.random.default_rng(1)
    for channels in (2, 3, 8):
        world = World(WorldSpec(Regime.STATIONARY, channels=channels), range(COUNT))
        for name, make in BASELINES.items():
            if name == "oracle":
                continue
            arm = make(world).choose(_moment(0, rng, channels))
            assert arm.shape == (COUNT,)
            assert arm.min() >= 0
            assert arm.max() < channels


@pytest.mark.parametrize("regime", [Regime.HARD_OUTAGE, Regime.DELAYED, Regime.RATE_LIMIT])
def test_players_side_by_side_come_to_what_they_come_to_alone(regime: Regime) -> None:
    spec, seeds = WorldSpec(regime, payments=400), (3, 8)
    together = routing_tuning.regrets(spec, seeds)
    assert len(together) == sum(len(grid) for _, grid in routing_tuning.GRIDS.values())
    for name, constants in (
        ("hedge", 125),
        ("d_ucb", (0.998, 0.1)),
        ("sw_ts", 1_000),
        ("exp3s", (0.05, 1e-5)),
    ):
        player = routing_tuning.GRIDS[name][0](seeds, spec.channels, constants)
        alone = play(World(spec, seeds), player)
        np.testing.assert_allclose(together[name, constants], alone.regret)
