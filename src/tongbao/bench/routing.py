"""``tongbao bench routing``: our routing against published policies in simulated worlds, evaluation off policy, speed.

The worlds are those of ``routing_worlds``: this is a simulation, and no figure here is a promise for production. Settings
were chosen on seeds 0 to 49; the figures come from seeds 1000 on, which nothing was chosen on. Ours sees marks and issuer
groups and learns from second attempts; the baselines see success and failure, as they were published.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, NamedTuple

import msgspec
import numpy as np

from tongbao.bench import off_policy, routing_speed
from tongbao.bench.routing_baselines import BASELINES
from tongbao.bench.routing_measures import Played, Row, summary
from tongbao.bench.routing_play import play
from tongbao.bench.routing_player import Routed
from tongbao.bench.routing_world_draws import Regime, WorldSpec, every_spec
from tongbao.bench.routing_worlds import World
from tongbao.routing.service.simulating import Simulated

OURS = "tongbao"
REFERENCE = "hedge_125"
FIRST_SEED = 1_000
PROCESSES = 2
Say = Callable[[str], None]


class Sizes(NamedTuple):
    """How much is played: seeds and payments of each regime, which baselines, replications off policy, decisions."""

    seeds: int
    payments: int
    baselines: tuple[str, ...]
    replications: int
    decisions: int


FULL = Sizes(200, 20_000, tuple(BASELINES), 200, 20_000)
QUICK = Sizes(4, 2_500, (REFERENCE, "static", "ucb1", "d_ucb", "d_ts"), 20, 2_000)
"""Quick figures come from few and short worlds: their errors are several times as large."""


def run(sizes: Sizes, say: Say) -> dict[str, Any]:
    """Return the figures as one JSON-ready object; progress is told by the way."""
    begun = time.perf_counter()
    say("Speed of one decision …")
    speed = routing_speed.measure(sizes.decisions)
    rows = _worlds(sizes, say)
    say("Evaluation off policy …")
    judged = off_policy.run(sizes.replications)
    return {
        **headline(rows),
        "ope_abs_error_points": round(judged.abs_error_points[judged.recommended], 3),
        "ope_coverage": round(judged.coverage[judged.recommended], 3),
        "decision_p99_us": round(speed.p99_us, 1),
        "decisions_per_s": round(speed.decisions_per_s),
        "double_charges": sum(row.double_charges for row in rows if row.player == OURS),
        "seeds": sizes.seeds,
        "payments": sizes.payments,
        "speed": {name: round(value, 1) for name, value in speed._asdict().items()},
        "off_policy": msgspec.to_builtins(judged),
        "regimes": [_told(row) for row in rows],
        "seconds": round(time.perf_counter() - begun, 1),
    }


def headline(rows: Iterable[Row]) -> dict[str, float]:
    """Return the figures that are promised, from the rows of all players in all regimes.

    ``worst_regret_ratio``: the greatest regret over that of the windowed hedge where the world changes;
    ``stationary_ratio``: regret over that of the best baseline where it does not; ``shed_payments_max``: the longest that a
    dead channel was held on to; ``uplift_points``: first-attempt approvals over static rules, mean over regimes.
    """
    ours = {row.regime: row for row in rows if row.player == OURS}
    changing = [row for regime, row in ours.items() if regime != Regime.STATIONARY.value]
    hedged = {regime: row.ratio_hedge for regime, row in ours.items()}
    shed = [
        row.shed_max for row in ours.values() if row.regime == Regime.HARD_OUTAGE.value and row.shed_count
    ]
    return {
        "worst_regret_ratio": round(max(hedged[row.regime] for row in changing), 3),
        "stationary_ratio": round(ours[Regime.STATIONARY.value].ratio_best, 3),
        "shed_payments_max": max(shed, default=0),
        "uplift_points": round(float(np.mean([row.uplift_static_pp for row in ours.values()])), 2),
    }


def _worlds(sizes: Sizes, say: Say) -> list[Row]:
    """Play every regime by every player, on all processors; return a row each."""
    specs = every_spec(sizes.payments)
    jobs = [(spec, name, sizes.seeds) for spec in specs for name in (OURS, *sizes.baselines)]
    runs: list[Played] = []
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        pending = [pool.submit(_played, *job) for job in jobs]
        for number, done in enumerate(as_completed(pending), 1):
            runs.append(done.result())
            if number % len(specs) == 0:
                say(f"  {number} of {len(jobs)} walks through worlds")
    rows = summary(runs, reference=REFERENCE, candidates=frozenset({OURS, "naive_cascade"}))
    return sorted(rows, key=lambda row: (row.regime, row.player))


def _played(spec: WorldSpec, name: str, seeds: int) -> Played:
    world = World(spec, range(FIRST_SEED, FIRST_SEED + seeds))
    if name != OURS:
        return play(world, BASELINES[name](world))
    simulated = Simulated(seeds, spec.channels, spec.groups)
    return play(world, Routed(simulated, by_value=spec.regime is Regime.COST_SPREAD))


def _told(row: Row) -> dict[str, Any]:
    """Return a row for JSON: rounded, without what was not measured."""
    told: dict[str, Any] = {}
    for name, value in msgspec.to_builtins(row).items():
        if isinstance(value, float):
            if np.isfinite(value):
                told[name] = round(value, 4)
        else:
            told[name] = value
    return told


def table(figures: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the lines of a table for people: one regime a line, ours beside the reference and the best baseline."""
    by_regime: dict[str, dict[str, dict[str, Any]]] = {}
    for row in figures["regimes"]:
        by_regime.setdefault(row["regime"], {})[row["player"]] = row
    lines = []
    for regime, players in by_regime.items():
        ours, reference = players[OURS], players[REFERENCE]
        low, high = ours.get("ratio_hedge_low"), ours.get("ratio_hedge_high")
        spread = "" if low is None or high is None else f" ({low:.2f}-{high:.2f})"
        lines.append(
            (
                regime,
                f"{ours['regret']:.0f}",
                f"{reference['regret']:.0f}",
                f"{ours['ratio_hedge']:.2f}{spread}",
                f"{ours['ratio_best']:.2f} {ours['best']}",
                f"{ours['uplift_static_pp']:+.2f}",
                f"{100 * ours['success_share']:.2f}",
                f"{100 * ours['final_share']:.2f}",
            )
        )
    return lines
