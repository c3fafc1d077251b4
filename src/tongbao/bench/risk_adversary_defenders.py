"""Those who choose tiers without looking ahead: chance, thresholds, the cost rule, and the production policy.

Every defender decides the payments of a quarter and learns from its log when told to. What is frozen is simply not told.
"""

import itertools
from typing import Protocol

import numpy as np

from tongbao.bench.risk_adversary_log import (
    Batch,
    ChanceModel,
    expected_costs,
    features_of,
    fraud_shares,
)
from tongbao.bench.risk_adversary_world import NEW_BELOW, Asked, Codes, Floats
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.compiling import compile_spec
from tongbao.risk.service.tiers_simulating import Stream, TierWalker

TRAINING_EXPLORES = 0.10
LIVE_EXPLORES = 0.02
LIVE_VALUE_MAX = 200.0
EDGES = np.array([0.003, 0.01, 0.03, 0.06, 0.12, 0.25, 0.5, 0.8])
"""Chances of fraud that thresholds are chosen from."""
TRAINED_MODEL = "00"
"""Any digest: a policy that names no model takes its chances for a judgement and asks more for step-ups."""
TRUTH_DELAY_S = 30 * 86_400.0
"""Of the production policy's rates: when all truth is known."""


class Defender(Protocol):
    """Whoever chooses tiers."""

    @property
    def name(self) -> str:
        """How tables call it."""

    @property
    def explores(self) -> bool:
        """Whether it must now and then draw a tier to learn more, because it learns what tiers cost from what they did."""

    def decide(self, asked: Asked) -> Codes:
        """Return a place in ``TIERS`` for each payment (n,)."""

    def learn(self, batch: Batch) -> None:
        """Take in what is known of the past."""


class Random:
    """All four tiers alike: what data without any policy would look like."""

    name, explores = "random", False

    def decide(self, asked: Asked) -> Codes:
        """Return tiers drawn evenly."""
        return (asked.uniform * 4).astype(np.int64)

    def learn(self, batch: Batch) -> None:
        """Learn nothing."""


class Opening:
    """What is done in the first weeks, by everybody alike: thresholds on the raw score, and three in ten at random."""

    name, explores, share = "opening", False, 0.3

    def decide(self, asked: Asked) -> Codes:
        """Return tiers by rough thresholds or at random."""
        rough = np.searchsorted([2.0, 3.0, 4.0], asked.view.score)
        drawn = (asked.uniform / self.share * 4).astype(np.int64)
        return np.where(asked.uniform < self.share, drawn, rough).astype(np.int64)

    def learn(self, batch: Batch) -> None:
        """Learn nothing."""


class Thresholds:
    """Three thresholds on the chance of fraud, the ones of ``EDGES`` that would have cost least in the past."""

    name, explores = "thresholds", False

    def __init__(self) -> None:
        self.chance = ChanceModel()
        self._tier_of_bin = np.zeros(len(EDGES) + 1, dtype=np.int64)

    def decide(self, asked: Asked) -> Codes:
        """Return tiers by thresholds."""
        chance = self.chance.chances(features_of(asked.view))
        tiers: Codes = self._tier_of_bin[np.searchsorted(EDGES, chance)]
        return tiers

    def learn(self, batch: Batch) -> None:
        """Fit chances and choose thresholds."""
        self.chance.fit(batch)
        chance = self.chance.chances(batch.features)
        costs = expected_costs(fraud_shares(batch, chance), batch.value, batch.approved)
        bins = np.searchsorted(EDGES, chance)
        count = len(EDGES) + 1
        sums = np.stack([np.bincount(bins, costs[:, tier], count) for tier in range(4)], axis=1)
        places = np.arange(count)
        self._tier_of_bin = min(
            (np.searchsorted(cuts, places, side="right") for cuts in _cuts(count)),
            key=lambda tiers: float(sums[places, tiers].sum()),
        )


def _cuts(count: int) -> list[tuple[int, ...]]:
    """Return from which bin on each of the three stricter tiers begins, in all ways."""
    return list(itertools.combinations_with_replacement(range(count + 1), 3))


class CostRule:
    """The cheapest tier of each payment by itself, from its chance of fraud and known rates."""

    name, explores = "cost_rule", False

    def __init__(self) -> None:
        self.chance = ChanceModel()

    def decide(self, asked: Asked) -> Codes:
        """Return the cheapest tiers."""
        view = asked.view
        chance = self.chance.chances(features_of(view))
        return cheapest(expected_costs(chance, view.value, view.approved))

    def learn(self, batch: Batch) -> None:
        """Fit chances."""
        self.chance.fit(batch)


class Production:
    """The code of the payment path: the cost rule with learned rates and bounded exploration, payment by payment.

    Its rates are learned always, as they are in production; what is frozen or not is the chance of fraud.
    """

    name, explores = "production", False

    def __init__(self) -> None:
        self.chance = ChanceModel()
        self._walker = TierWalker(compile_spec({"explore_share": LIVE_EXPLORES, "model": TRAINED_MODEL}))

    def decide(self, asked: Asked) -> Codes:
        """Return the tiers of the policy of the payment path."""
        view = asked.view
        count = len(view.value)

        def ends(row: int, tier: Tier) -> bool:
            return bool(asked.ends[row, tier.strictness])

        stream = Stream(
            at_s=np.full(count, asked.at_s),
            chance=self.chance.chances(features_of(view)),
            value=np.round(view.value * 100).astype(np.int64),
            is_fraud=asked.is_fraud,
            segments=[("new",) if few else ("known",) for few in (view.approved < NEW_BELOW).tolist()],
            uniform=asked.uniform,
            truth_delay_s=TRUTH_DELAY_S,
        )
        return self._walker.walk(stream, ends).tier

    def learn(self, batch: Batch) -> None:
        """Fit chances."""
        self.chance.fit(batch)


def cheapest(costs: Floats) -> Codes:
    """Return the tier of the lowest of the costs (n, 4); of equals the one that the payer notices least."""
    tiers: Codes = costs.argmin(axis=1).astype(np.int64)
    return tiers


def explored(tier: Codes, value: Floats, share: float, rng: np.random.Generator) -> Codes:
    """Return tiers of which a share of those below ``LIVE_VALUE_MAX`` is drawn evenly from all four."""
    is_drawn = (rng.random(len(tier)) < share) & (value <= LIVE_VALUE_MAX)
    return np.where(is_drawn, rng.integers(0, 4, len(tier)), tier).astype(np.int64)
