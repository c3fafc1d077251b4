"""``tongbao bench routing``: our routing against published policies in simulated worlds, evaluation off policy, speed.

The worlds are those of ``routing_worlds``: this is a simulation, and no figure here is a promise for production. Settings
were chosen on seeds 0 to 49; the figures come from seeds 1000 on, which nothing was chosen on. Ours sees marks and issuer
groups and learns from second attempts; the baselines see success and failure, as they were published.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, NamedTuple

import msgspec
import numpy as np

from tongbao.bench import off_policy, routing_speed
from tongbao.bench.off_policy import OffPolicyFigures
from tongbao.bench.routing_baselines import BASELINES
from tongbao.bench.routing_measures import Played, Row, summary
from tongbao.bench.routing_play import play_together
from tongbao.bench.routing_player import Routed
from tongbao.bench.routing_world_draws import Regime, WorldSpec, every_spec
from tongbao.bench.routing_worlds import World
from tongbao.bench.routing_worlds_together import Together
from tongbao.routing.service.simulating import Simulated

OURS = "tongbao"
REFERENCE = "hedge_125"
FIRST_SEED = 1_000
PROCESSES = 2
Say = Callable[[str], None]


class Sizes(NamedTuple):
    """How much is played: seeds and payments of each regime, which baselines, replications off policy, decisions.

    ``is_joined``: all regimes in one walk a player. A step costs about the same for few rows as for many, so this pays
    for few seeds; with many, walks apart need less memory and fill all processors evenly.
    """

    seeds: int
    payments: int
    baselines: tuple[str, ...]
    replications: int
    decisions: int
    is_joined: bool = False


FULL = Sizes(200, 20_000, tuple(BASELINES), 200, 20_000)
QUICK = Sizes(3, 20_000, (REFERENCE, "static", "ucb1", "d_ucb", "d_ts"), 20, 2_000, is_joined=True)
"""Quick figures come from few seeds: their errors are several times as large."""


def run(sizes: Sizes, say: Say) -> dict[str, Any]:
    """Return the figures as one JSON-ready object; progress is told by the way."""
    begun = time.perf_counter()
    say("Speed of one decision …")
    speed = routing_speed.measure(sizes.decisions)
    say("Walks through worlds, and evaluation off policy …")
    rows, judged = _played_and_judged(sizes, say)
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


def _played_and_judged(sizes: Sizes, say: Say) -> tuple[list[Row], OffPolicyFigures]:
    """Play every regime by every player and evaluate off policy, on all processors; return a row each, and figures."""
    specs = every_spec(sizes.payments)
    walks = [specs] if sizes.is_joined else [[spec] for spec in specs]
    # Ours takes longest by far, so it begins.
    jobs = [(walk, name, sizes.seeds) for name in (OURS, *sizes.baselines) for walk in walks]
    runs: list[Played] = []
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        pending = [pool.submit(_played, *job) for job in jobs]
        judging = pool.submit(off_policy.run, sizes.replications)
        for number, done in enumerate(as_completed(pending), 1):
            runs += done.result()
            if number % len(walks) == 0:
                say(f"  {number} of {len(jobs)} walks through worlds")
        judged = judging.result()
    rows = summary(runs, reference=REFERENCE, candidates=frozenset({OURS, "naive_cascade"}))
    return sorted(rows, key=lambda row: (row.regime, row.player)), judged


def _played(specs: Sequence[WorldSpec], name: str, seeds: int) -> list[Played]:
    """Play one player through the worlds of all specifications in one walk."""
    rows = Together([World(spec, range(FIRST_SEED, FIRST_SEED + seeds)) for spec in specs])
    return play_together(rows, _ours(rows) if name == OURS else BASELINES[name](rows))


def _ours(rows: Together) -> Routed:
    return Routed(Simulated(rows.count, rows.channels, rows.groups), rows.counts_value)


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
    lines: list[tuple[str, ...]] = []
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
