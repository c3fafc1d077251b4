"""How the constants of the bandit baselines were chosen: ``python -m tongbao.bench.routing_tuning [processes]``.

Each constant of a grid is played through every regime of the protocol on seeds 0-19 with 20,000 payments, all side by
side. Its score is the mean over regimes of its regret over that of the windowed hedge; the smallest wins. Prints the
regrets per regime as they come, then the scores, and last one JSON object with the winners.
"""

import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from tongbao.bench.routing_baselines import PriorityList, RoundRobin, Static
from tongbao.bench.routing_baselines_bandits import (
    DiscountedThompson,
    DiscountedUcb,
    Exp3S,
    WindowedThompson,
    WindowedUcb,
)
from tongbao.bench.routing_baselines_queues import Autopilot, WindowedHedge
from tongbao.bench.routing_play import Feedback, Moment, Player, play
from tongbao.bench.routing_world_draws import FloatArray, IntArray, WorldSpec, every_spec
from tongbao.bench.routing_worlds import World

SEEDS = tuple(range(20))
HEDGE = ("hedge", 125)

Key = tuple[str, Any]
Build = Callable[[Sequence[int], int, Any], Player]


GRIDS: dict[str, tuple[Build, tuple[Any, ...]]] = {
    "ucb1": (lambda seeds, k, each: DiscountedUcb(len(seeds), k, each), ((1.0, 0.2), (1.0, 0.5), (1.0, 1.0))),
    "sw_ucb": (
        lambda seeds, k, each: WindowedUcb(len(seeds), k, each),
        ((1_000, 0.05), (1_000, 0.1), (2_000, 0.1), (2_000, 0.2), (4_000, 0.2)),
    ),
    "d_ucb": (
        lambda seeds, k, each: DiscountedUcb(len(seeds), k, each),
        ((0.998, 0.05), (0.998, 0.1), (0.999, 0.1), (0.999, 0.2), (0.9995, 0.2)),
    ),
    "sw_ts": (WindowedThompson, (1_000, 2_000, 4_000)),
    "d_ts": (DiscountedThompson, (0.998, 0.999, 0.9995)),
    "exp3s": (
        lambda seeds, k, each: Exp3S(len(seeds), k, each),
        ((0.02, 1e-5), (0.05, 1e-5), (0.05, 1e-4), (0.1, 1e-5)),
    ),
    "autopilot": (lambda seeds, k, each: Autopilot(len(seeds), k, each), (0.35, 0.6)),
    "hedge": (lambda seeds, k, each: WindowedHedge(len(seeds), k, each), (125, 200)),
    "static": (lambda seeds, k, each: Static(len(seeds), k, each), (2_000,)),
    "round_robin": (lambda seeds, k, _: RoundRobin(len(seeds), k), (0,)),
    "priority": (lambda seeds, k, _: PriorityList(len(seeds), k), (0,)),
}
"""What is compared, one constant or pair per player; the last four have none to choose and are there for the table."""


class SideBySide:
    """Several players that share one walk through a world: each has its own stretch of ``count`` rows."""

    name = "side_by_side"

    def __init__(self, players: Sequence[Player], count: int) -> None:
        self._players = players
        self._count = count
        self._edges = np.arange(len(players) + 1) * count

    def choose(self, moment: Moment) -> IntArray:
        """Return the choices of all players, one after the other."""
        parts = []
        for player, start in zip(self._players, self._edges, strict=False):
            mine = slice(start, start + self._count)
            now_s, group, costs = moment.now_s[mine], moment.group[mine], moment.cost_bps[mine]
            parts.append(player.choose(Moment(moment.t, now_s, group, costs, moment.uniforms[mine])))
        return np.concatenate(parts)

    def learn(self, feedback: Feedback) -> None:
        """Hand each player its own answers; the harness gives rows in ascending order."""
        bounds = np.searchsorted(feedback.row, self._edges)
        for player, edge, first, last in zip(
            self._players, self._edges, bounds[:-1], bounds[1:], strict=False
        ):
            if first == last:
                continue
            at = slice(first, last)
            player.learn(
                Feedback(
                    feedback.row[at] - edge,
                    feedback.arm[at],
                    feedback.group[at],
                    feedback.seen[at],
                    feedback.t0[at],
                    feedback.now_s[at],
                )
            )


def regrets(spec: WorldSpec, seeds: Sequence[int] = SEEDS) -> dict[Key, FloatArray]:
    """Return the regret (n,) of each constant of each grid in one regime."""
    keys = [(name, each) for name, (_, grid) in GRIDS.items() for each in grid]
    players = [GRIDS[name][0](seeds, spec.channels, each) for name, each in keys]
    run = play(World(spec, list(seeds) * len(keys)), SideBySide(players, len(seeds)))
    return dict(zip(keys, run.regret.reshape(len(keys), len(seeds)), strict=True))


def main(processes: int) -> None:
    """Play the grids and print the winners."""
    ratios: dict[Key, list[float]] = {}
    with ProcessPoolExecutor(processes) as pool:
        for spec, found in zip(every_spec(), pool.map(regrets, every_spec()), strict=True):
            means = {key: float(values.mean()) for key, values in found.items()}
            sys.stdout.write(
                json.dumps([spec.label, *([*key, round(means[key], 1)] for key in means)]) + "\n"
            )
            sys.stdout.flush()
            for key, mean in means.items():
                ratios.setdefault(key, []).append(mean / means[HEDGE])
    scores = {key: float(np.mean(values)) for key, values in ratios.items()}
    for (name, constants), score in scores.items():
        sys.stdout.write(f"{name:12s} {constants!s:16s} {score:.3f}\n")
    winners = {name: min(grid, key=lambda each: scores[name, each]) for name, (_, grid) in GRIDS.items()}
    sys.stdout.write(json.dumps(winners) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
