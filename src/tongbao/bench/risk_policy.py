"""What a policy of tiers costs: ours beside thresholds, known costs and no control, on scored payments with known truth.

Payments and truth come from a file that was scored out of time; what a tier does to them is simulated, see
``risk_policy_world``. Half of the weeks are the past, the policies (``risk_policy_tried``) learn from there. Costs are those of the
other half, in major units a payment. All choose among three tiers, as in the published comparison; what the fourth, the
decline, adds is told apart, since in this matrix a good payment is cheap to turn away. Every policy is judged off policy
too (``risk_policy_judging``).
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tongbao.bench.risk_policy_judging import judged
from tongbao.bench.risk_policy_tried import (
    DECLINING,
    KNOWN,
    NONE,
    PRODUCTION,
    THRESHOLDS,
    Runs,
    Tried,
    policies,
)
from tongbao.bench.risk_policy_world import (
    Array,
    Scored,
    World,
    calibrated,
    check,
    read_scores,
    thinned,
    world_of,
)
from tongbao.decisions.policy.off_policy_estimators import student_quantile
from tongbao.risk.schema.tiers import TIERS


class Sizes(NamedTuple):
    """Payments at most, draws of the simulator, runs of production, logs that policies are judged by.

    ``is_declining``: whether production with all four tiers is walked through as well.
    """

    payments: int
    draws: int
    runs: int
    replications: int
    is_declining: bool = True


FULL = Sizes(1_000_000, 40, 6, 20)
QUICK = Sizes(1_000_000, 10, 1, 1, is_declining=False)
"""All payments, for a thinner sample would move the cost by more than policies differ."""


def run(scored: Scored, sizes: Sizes = FULL, seed: int = 0) -> dict[str, Any]:
    """Return the figures as one JSON-ready object; equal arguments give equal figures but for ``seconds``.

    Raises InvalidRequest ``scores_invalid``.
    """
    begun = time.perf_counter()
    check(scored)
    scored = thinned(scored, sizes.payments)
    world = world_of(scored)
    chance = calibrated(scored)
    tried, learned = policies(scored, world, chance, Runs(sizes.runs, seed, sizes.is_declining))
    rows = {name: _row(each, scored, world, sizes.draws, seed) for name, each in tried.items()}
    seeds = [(seed, 4, number) for number in range(sizes.replications)]
    found = judged(tried, scored, world, chance, seeds)
    none = rows[NONE]["cost"]
    for name, row in rows.items():
        row["ratio_to_none"] = round(row["cost"] / none, 4)
        row["off_policy"] = found[name]
    ours = rows[PRODUCTION]
    covers = [row["off_policy"]["covered_share"] for row in rows.values()]
    told = [each for each in covers if each is not None]
    return {
        "policy_cost": ours["cost"],
        "policy_cost_low": ours["low"],
        "policy_cost_high": ours["high"],
        "policy_cost_decline": rows[DECLINING]["cost"] if DECLINING in rows else None,
        "ratio_to_none": ours["ratio_to_none"],
        "against_thresholds": _difference(tried, THRESHOLDS, scored, world),
        "against_known_costs": _difference(tried, KNOWN, scored, world),
        "off_policy_covered_share": round(float(np.mean(told)), 4) if told else None,
        "learned": learned,
        "policies": rows,
        "payments": int((~scored.is_past).sum()),
        "seconds": round(time.perf_counter() - begun, 1),
    }


def _row(tried: Tried, scored: Scored, world: World, draws: int, seed: int) -> dict[str, Any]:
    """Return what a policy truly costs after the past.

    ``cost`` is exact over what happens in the tiers that were given, and the mean over the runs of the policy; ``low`` and
    ``high`` are 95 % over payments, taking these as a sample. ``drawn``: mean and 95 % interval over draws of the simulator
    on these payments, which holds the exact cost but for chance.
    """
    present = np.flatnonzero(~scored.is_past)
    here = world.at(present)
    runs = [tier[present] for tier in tried.runs]
    rows = np.arange(len(present))
    costs = here.expected()
    expected = np.mean([costs[rows, tier] for tier in runs], axis=0)
    low, high = _interval(expected, len(expected))
    rng = np.random.default_rng((seed, 3))
    means = [here.drawn(runs[number % len(runs)], rng.random(len(rows))).mean() for number in range(draws)]
    stolen = np.where(scored.is_fraud, scored.value, 0)[present]
    stopped = np.mean([here.stops[rows, tier] for tier in runs], axis=0)
    shares = np.mean([np.bincount(tier, minlength=4) for tier in runs], axis=0) / len(rows)
    return {
        "cost": round(float(expected.mean()), 5),
        "low": low,
        "high": high,
        "drawn": [round(float(np.mean(means)), 5), *_interval(np.array(means), len(means))],
        "shares": {tier.value: round(float(share), 5) for tier, share in zip(TIERS, shares, strict=True)},
        "fraud_value_stopped": round(float((stolen * stopped).sum() / stolen.sum()), 4),
    }


def _interval(values: Array, count: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean."""
    half = student_quantile(count - 1) * float(values.std(ddof=1)) / count**0.5
    mean = float(values.mean())
    return round(mean - half, 5), round(mean + half, 5)


def _difference(tried: dict[str, Tried], other: str, scored: Scored, world: World) -> dict[str, float]:
    """Return expected cost of production minus that of another policy, with its 95 % interval over payments."""
    present = np.flatnonzero(~scored.is_past)
    costs = world.expected()[present]
    rows = np.arange(len(present))
    ours, theirs = (
        np.mean([costs[rows, tier[present]] for tier in tried[name].runs], axis=0)
        for name in (PRODUCTION, other)
    )
    low, high = _interval(ours - theirs, len(rows))
    return {"value": round(float((ours - theirs).mean()), 5), "low": low, "high": high}


def table(figures: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the lines of a table for people: policy, cost with interval, ratio, tiers, fraud stopped, off policy."""
    lines: list[tuple[str, ...]] = []
    for name, row in figures["policies"].items():
        off_policy = row["off_policy"]
        dr = off_policy["estimates"].get("dr")
        said = off_policy["refusal"] if dr is None else f"{dr[0]:.3f} ({dr[1]:.3f}-{dr[2]:.3f})"
        shares = "/".join(f"{100 * share:.1f}" for share in row["shares"].values())
        cost = f"{row['cost']:.4f} ({row['low']:.4f}-{row['high']:.4f})"
        lines.append(
            (
                name,
                cost,
                f"{row['ratio_to_none']:.3f}",
                shares,
                f"{row['fraud_value_stopped']:.3f}",
                str(said),
            )
        )
    return lines


def main() -> None:
    """Print the figures of the NPZ file that is named; ``--quick`` takes a sample. The last line is JSON."""
    names = [each for each in sys.argv[1:] if not each.startswith("--")]
    figures = run(read_scores(Path(names[0])), QUICK if "--quick" in sys.argv[1:] else FULL)
    for line in table(figures):
        sys.stdout.write("  ".join(line) + "\n")
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
