"""Which learner of tiers earns its place against thieves who adapt: tables, a small deep agent, the cost rule, production.

The world is ``risk_adversary_world``, its thieves ``risk_adversary_gang``; how defenders are trained and tested stands in
``risk_adversary_play``. Every defender sees the same, is trained for as many days, and meets the same test seeds. What came out
is told in ``docs/reference/risk-adversary.md``.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from tongbao.bench.risk_adversary_defenders import (
    CostRule,
    Defender,
    Production,
    Random,
    Thresholds,
)
from tongbao.bench.risk_adversary_learners import AheadRule, DeepQ, FittedQ
from tongbao.bench.risk_adversary_measures import COLUMNS, Pair, summed
from tongbao.bench.risk_adversary_play import Sizes, played, trained
from tongbao.bench.risk_adversary_world import Spec

FULL = Sizes(seeds=20, spec=Spec(), rounds=3, round_days=30, before=26, adapting=49, after=21)
QUICK = Sizes(
    seeds=2, spec=Spec(500, 2.0, 120), rounds=2, round_days=30, before=26, adapting=21, after=14, effort=0.2
)
SEED_STEP = 1_000
"""Between the first test seeds of two values of ``seed``."""
DEFENDERS: dict[str, Callable[[int, float], Defender]] = {
    "random": lambda _seed, _effort: Random(),
    "thresholds": lambda _seed, _effort: Thresholds(),
    "cost_rule": lambda _seed, _effort: CostRule(),
    "production": lambda _seed, _effort: Production(),
    "fitted_q": lambda _seed, _effort: FittedQ(),
    "cost_rule_ahead": lambda _seed, _effort: AheadRule(),
    "deep_q": lambda seed, effort: DeepQ(seed, effort=effort),
    "deep_q_ahead": lambda seed, effort: DeepQ(seed, is_ahead=True, effort=effort),
}
LEARNERS = ("fitted_q", "cost_rule_ahead", "deep_q", "deep_q_ahead")
"""Those who look ahead, of which it is asked whether they earn their place."""


def run(size: Sizes = FULL, seed: int = 1) -> dict[str, Any]:
    """Return the figures as one JSON-ready object; equal arguments give equal figures but for times.

    The constants of the world were set while looking at ``seed`` 0; its table would flatter. Raises InvalidRequest
    ``too_few_seeds`` and ``market_invalid``.
    """
    begun = time.process_time()
    parts = [play_seed(size, seed * SEED_STEP + number) for number in range(size.seeds)]
    return {**figures_of(parts), "seconds": round(time.process_time() - begun, 1)}


def play_seed(size: Sizes, seed: int) -> dict[str, tuple[Pair, float]]:
    """Return what every defender came to with one test seed, and the seconds its training took."""
    found: dict[str, tuple[Pair, float]] = {}
    for name, make in DEFENDERS.items():
        defender = make(seed, size.effort)
        log, learned_s = trained(defender, size, seed)
        found[name] = (played(defender, log, size, seed), learned_s)
    return found


def figures_of(parts: list[dict[str, tuple[Pair, float]]]) -> dict[str, Any]:
    """Return the figures over seeds, and which learners are better than the cost rule beyond noise, by column."""
    runs = {name: [part[name][0] for part in parts] for name in DEFENDERS}
    trained_s = {name: sum(part[name][1] for part in parts) / max(len(parts), 1) for name in DEFENDERS}
    rows = summed(runs, trained_s)
    return {
        "defenders": rows,
        "earns_its_place": {
            column: [name for name in LEARNERS if rows[name][column]["is_better"]] for column in COLUMNS
        },
        "seeds": len(parts),
    }


def table(figures: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the lines of a table for people, the first one its heads.

    Costs and extra costs to the cost rule with 95 % intervals, in hundredths of a major unit a good payment; shares in percent,
    before / against adapted thieves when frozen / when adapting; income of a stolen card in major units.
    """
    heads = ("defender", *COLUMNS, *(f"extra {column}" for column in COLUMNS))
    lines = [(*heads, "friction", "fraud stopped", "income", "decide us", "train s", "weekly s")]
    for name, row in figures["defenders"].items():
        columns = [row[column] for column in COLUMNS]
        lines.append(
            (
                name,
                *(_interval(column["cost"]) for column in columns),
                *(_interval(column["extra"]) if name != "cost_rule" else "" for column in columns),
                _means([column["friction_share"] for column in columns], 100),
                _means([column["fraud_value_stopped"] for column in columns], 100),
                _means([row["incomes"][column] for column in COLUMNS], 1),
                f"{row['decide_us']:.1f}",
                f"{row['train_s']:.2f}",
                f"{row['learn_s']:.2f}",
            )
        )
    return lines


def _interval(three: list[float]) -> str:
    mean, low, high = (100 * value for value in three)
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"


def _means(known: list[list[float] | None], times: float) -> str:
    return " / ".join("-" if each is None else f"{times * each[0]:.1f}" for each in known)


def main() -> None:
    """Print the table and the figures; ``--quick`` takes a small world and few seeds. The last line is JSON."""
    figures = run(QUICK if "--quick" in sys.argv[1:] else FULL)
    for line in table(figures):
        sys.stdout.write(" | ".join(line) + "\n")
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
