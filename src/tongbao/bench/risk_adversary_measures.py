"""From what defenders came to, seed by seed, to figures with intervals.

Costs are in major units a good payment: a defender that makes thieves try more often must not look better for it. Intervals are
of 95 %, Student's t over seeds; differences to the cost rule are taken within each seed first. As there are many of these,
``is_better`` asks for more: that the difference lies below zero at 5 % shared out over all of them (Bonferroni).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

from tongbao.bench.risk_adversary_play import Played, Tally
from tongbao.bench.risk_adversary_world import Floats
from tongbao.core.errors import InvalidRequest
from tongbao.risk.schema.tiers import TIERS

REFERENCE = "cost_rule"
SEEDS_MIN = 2
Pair = tuple[Played, Played]
"""Frozen, adapting."""
COLUMNS: dict[str, Callable[[Pair], Tally]] = {
    "before": lambda pair: pair[0].before,
    "after_frozen": lambda pair: pair[0].after,
    "after_adapting": lambda pair: pair[1].after,
}
"""Thieves by habit; thieves adapted to a frozen defender; both adapted."""


def summed(runs: Mapping[str, Sequence[Pair]], trained_s: Mapping[str, float]) -> dict[str, Any]:
    """Return a row per defender. ``runs``: one entry a seed, in the same order for all.

    Raises InvalidRequest ``too_few_seeds`` for fewer than two, ``runs_not_paired`` where defenders met different numbers of them
    or the cost rule is not among them.
    """
    counts = {len(pairs) for pairs in runs.values()}
    if REFERENCE not in runs or len(counts) != 1:
        raise InvalidRequest(
            "runs_not_paired", "all defenders, the cost rule among them, meet the same seeds"
        )
    if min(counts) < SEEDS_MIN:
        raise InvalidRequest("too_few_seeds", "an interval over seeds needs two of them at least")
    comparisons = max(len(runs) - 1, 1) * len(COLUMNS)
    return {
        name: {
            **{
                column: _column(pairs, runs[REFERENCE], read, comparisons) for column, read in COLUMNS.items()
            },
            "lost_to_adaptation": _mean_of(
                [_cost(frozen.after) - _cost(frozen.before) for frozen, _ in pairs]
            ),
            "incomes": _incomes(pairs),
            "decide_us": round(
                1e6
                * sum(frozen.after.decide_s for frozen, _ in pairs)
                / sum(frozen.after.attempts for frozen, _ in pairs),
                2,
            ),
            "train_s": round(trained_s[name], 3),
            "learn_s": round(float(np.mean([adapting.learn_s for _, adapting in pairs])), 3),
        }
        for name, pairs in runs.items()
    }


def _column(
    pairs: Sequence[Pair], reference: Sequence[Pair], read: Callable[[Pair], Tally], comparisons: int
) -> dict[str, Any]:
    tallies = [read(pair) for pair in pairs]
    costs = np.array([_cost(tally) for tally in tallies])
    extra = costs - [_cost(read(pair)) for pair in reference]
    shares = np.mean([tally.tiers_good / tally.good for tally in tallies], axis=0)
    return {
        "cost": _mean_of(costs),
        "extra": _mean_of(extra),
        "is_better": bool(extra.mean() + _bound(len(extra), comparisons) * _error(extra) < 0),
        "is_worse": bool(extra.mean() - _bound(len(extra), comparisons) * _error(extra) > 0),
        "tiers_good": {tier.value: round(float(share), 4) for tier, share in zip(TIERS, shares, strict=True)},
        "friction_share": _mean_of([1 - tally.tiers_good[0] / tally.good for tally in tallies]),
        "lost_good_share": _mean_of([tally.lost_good / tally.good for tally in tallies]),
        "fraud_value_stopped": _mean_of(
            [tally.stolen_stopped / tally.stolen for tally in tallies if tally.stolen]
        ),
    }


def _cost(tally: Tally) -> float:
    return tally.cost / tally.good


def _incomes(pairs: Sequence[Pair]) -> dict[str, list[float] | None]:
    """Return what a stolen card earned the gang: before, then after against a frozen and an adapting defender."""
    told = {
        "before": [frozen.incomes[0] for frozen, _ in pairs],
        "after_frozen": [frozen.incomes[1] for frozen, _ in pairs],
        "after_adapting": [adapting.incomes[1] for _, adapting in pairs],
    }
    return {name: _mean_of(values) for name, values in told.items()}


def _bound(count: int, comparisons: int) -> float:
    """Return how many standard errors count as beyond noise, for so many comparisons at once."""
    return float(stdtrit(count - 1, 1 - 0.025 / comparisons))


def _error(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _mean_of(values: Sequence[float] | Floats) -> list[float] | None:
    """Return mean and 95 % interval over the seeds of which it is known; None where these are fewer than two."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if len(known) < SEEDS_MIN:
        return None
    half = _bound(len(known), 1) * _error(known)
    mean = float(known.mean())
    return [round(mean, 5), round(mean - half, 5), round(mean + half, 5)]
