"""The policies that the benchmark compares, from no control to production, each as tiers for all payments.

What may be learned is learned from the past: thresholds, calibration, rates. ``production`` is the code of the payment path
(``risk.service.tiers_simulating``) from its priors on, exploring, with truth a week late and only for what was not stopped.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tongbao.bench.risk_policy_world import (
    DAY_S,
    NEW_BELOW,
    REVIEW_CAUGHT,
    REVIEW_LOST,
    STEP_UP_CAUGHT,
    STEP_UP_LOST,
    STEP_UP_LOST_NEW,
    Array,
    Codes,
    Mask,
    Scored,
    World,
)
from tongbao.risk.schema.tiers import Costs, Tier
from tongbao.risk.service.compiling import Compiled, compile_spec
from tongbao.risk.service.tiers_simulating import Stream, TierWalker

TRUTH_DELAY_S = 7.0 * DAY_S
LOG_EXPLORES = 0.10
"""Of the log that rates are learned from and policies are judged by: drawn evenly from three tiers."""
EXPLORE_SHARE = 0.02
MEASURED = "0123456789abcdef"
"""Stands for the model whose measured chances are given: the caution towards the built-in scorecard does not apply."""
"""Of production, between neighbors of the best tier only."""
GRID = (0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.8, 1.1)
TRIED = 3
"""Tiers that are compared: all but the decline."""
NONE, ALL_STEP_UP, THRESHOLDS = "always_allow", "always_step_up", "thresholds"
KNOWN, LEARNED, PRODUCTION, DECLINING = "known_costs", "learned_rates", "production", "production_decline"


class Runs(NamedTuple):
    """How often production is run, from which seed, and whether with all four tiers as well."""

    walks: int
    seed: int
    is_declining: bool


class Tried(NamedTuple):
    """A policy on all payments: a tier each (n,) for every run, and its propensities (n, 4)."""

    runs: Sequence[Codes]
    chances: Array


def policies(
    scored: Scored, world: World, chance: Array, runs: Runs
) -> tuple[dict[str, Tried], dict[str, float]]:
    """Return every policy, and the rates that production ended with."""
    count = len(chance)
    low, high = _tuned(scored, world, chance)
    thresholds = _by_thresholds(chance, low, high)
    fixed = {
        NONE: np.zeros(count, dtype=np.int64),
        ALL_STEP_UP: np.ones(count, dtype=np.int64),
        THRESHOLDS: thresholds,
        KNOWN: _cheapest(_expected(scored, chance, _true_rates(scored))),
        LEARNED: _cheapest(_expected(scored, chance, _logged_rates(scored, world, thresholds, runs.seed))),
    }
    found = {name: Tried([tier], np.eye(4)[tier]) for name, tier in fixed.items()}
    spec = compile_spec({"explore_share": EXPLORE_SHARE, "model": MEASURED})
    three = spec._replace(within=spec.within._replace(ceiling=Tier.REVIEW))
    found[PRODUCTION], learned = _walked(three, scored, world, chance, runs)
    if runs.is_declining:
        found[DECLINING], _ = _walked(spec, scored, world, chance, runs)
    return found, learned


def _walked(
    compiled: Compiled, scored: Scored, world: World, chance: Array, runs: Runs
) -> tuple[Tried, dict[str, float]]:
    """Let production walk through past and present, as often as asked; propensities and rates are those of the first run."""
    segments = [("new",) if is_new else ("known",) for is_new in (scored.history < NEW_BELOW).tolist()]
    tiers: list[Codes] = []
    chances = np.zeros((0, 4))
    rates: dict[str, float] = {}
    for number in range(runs.walks):
        rng = np.random.default_rng((runs.seed, 1, number))
        happens = rng.random(len(chance))
        stream = Stream(
            at_s=scored.at_s.astype(np.float64),
            chance=chance,
            value=scored.value,
            is_fraud=scored.is_fraud,
            segments=segments,
            uniform=rng.random(len(chance)),
            truth_delay_s=TRUTH_DELAY_S,
        )
        walker = TierWalker(compiled)
        is_stopped = happens[:, None] < world.stops

        def stops(row: int, tier: Tier, is_stopped: Mask = is_stopped) -> bool:
            return bool(is_stopped[row, tier.strictness])

        walk = walker.walk(stream, stops)
        tiers.append(walk.tier)
        if not number:
            chances = walk.propensities
            rates = _told_rates(walker, float(scored.at_s[-1]))
    return Tried(tiers, chances), rates


def _told_rates(walker: TierWalker, at_s: float) -> dict[str, float]:
    told = {}
    for segment in ("new", "known"):
        beliefs = walker.beliefs((segment,), at_s)
        for tier, belief in zip(("step_up", "review"), beliefs, strict=True):
            told[f"{tier}_lost_{segment}"] = round(belief.lost.mean, 4)
            told[f"{tier}_caught_{segment}"] = round(belief.caught.mean, 4)
    return told


def _tuned(scored: Scored, world: World, chance: Array) -> tuple[float, float]:
    """Return the two thresholds that would have cost least in the past."""
    past = np.flatnonzero(scored.is_past)
    costs = world.expected()[past]
    rows = np.arange(len(past))
    pairs = [(low, high) for low in GRID for high in GRID if low <= high]
    return min(pairs, key=lambda pair: float(costs[rows, _by_thresholds(chance[past], *pair)].mean()))


def _by_thresholds(chance: Array, low: float, high: float) -> Codes:
    tiers: Codes = (chance > low).astype(np.int64) + (chance > high)
    return tiers


def _true_rates(scored: Scored) -> Array:
    """Return (n, 2, 2): by tier (step-up, review), lost and caught."""
    lost = np.where(scored.history < NEW_BELOW, STEP_UP_LOST_NEW, STEP_UP_LOST)
    rates = np.empty((len(lost), 2, 2))
    rates[:, 0, 0], rates[:, 0, 1] = lost, STEP_UP_CAUGHT
    rates[:, 1, 0], rates[:, 1, 1] = REVIEW_LOST, REVIEW_CAUGHT
    return rates


def _logged_rates(scored: Scored, world: World, thresholds: Codes, seed: int) -> Array:
    """Return rates (n, 2, 2) as shares seen in an exploring log of the past, whose truth is all known."""
    rng = np.random.default_rng((seed, 2))
    tier, _ = explored(thresholds, rng)
    is_stopped = rng.random(len(tier)) < world.stops[np.arange(len(tier)), tier]
    is_new = scored.history < NEW_BELOW
    rates = np.empty((len(tier), 2, 2))
    for place in (1, 2):
        seen = scored.is_past & (tier == place)
        for group in (is_new, ~is_new):
            rates[group, place - 1, 0] = _share(is_stopped[seen & group & ~scored.is_fraud], 0.1)
        rates[:, place - 1, 1] = _share(is_stopped[seen & scored.is_fraud], 0.9)
    return rates


def _share(hits: Mask, before: float) -> float:
    """Return the share of hits, with ten cases of ``before`` for where there are few."""
    return (float(hits.sum()) + 10 * before) / (len(hits) + 10)


def _expected(scored: Scored, chance: Array, rates: Array) -> Array:
    """Return expected costs (n, 3) in major units, by the arithmetic of the published comparison."""
    costs = Costs()
    value = scored.value / 100
    harm = chance * (value + costs.fraud_fee / 100)
    loss = (1 - chance) * (value * costs.margin_bps / 10_000 + costs.goodwill / 100)
    step_up = costs.step_up_fee / 100 + (1 - rates[:, 0, 1]) * harm + rates[:, 0, 0] * loss
    review = costs.review_fee / 100 + (1 - rates[:, 1, 1]) * harm + rates[:, 1, 0] * loss
    return np.stack([harm, step_up, review], axis=1)


def _cheapest(costs: Array) -> Codes:
    places: Codes = costs.argmin(axis=1).astype(np.int64)
    return places


def explored(tier: Codes, rng: np.random.Generator) -> tuple[Codes, Array]:
    """Return tiers of which ``LOG_EXPLORES`` are drawn evenly from three, and the propensities of all (n, 4)."""
    count = len(tier)
    chances = np.zeros((count, 4))
    chances[:, :TRIED] = LOG_EXPLORES / TRIED
    chances[np.arange(count), tier] += 1 - LOG_EXPLORES
    drawn = np.where(rng.random(count) < LOG_EXPLORES, rng.integers(0, TRIED, count), tier)
    return drawn, chances
