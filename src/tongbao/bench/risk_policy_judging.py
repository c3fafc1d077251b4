"""The policies of the benchmark judged off policy, by the product's own evaluation, and held against the truth.

The log is that of the thresholds with a tenth of random tiers: it holds what any of the three tiers led to. Fraud is rarer
than one payment in a hundred, so a policy may do otherwise with all of it and still overlap by nine tenths: such
intervals are wide. With 174,000 payments all of them held the truth in 25 logs each, with a few thousand they do not.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tongbao.bench.risk_policy_tried import THRESHOLDS, Tried, explored
from tongbao.bench.risk_policy_world import Array, Codes, Scored, World
from tongbao.decisions.policy import off_policy, reward_model
from tongbao.decisions.policy.off_policy import Assessment, Sample
from tongbao.decisions.schema.evaluation import Safeguards, Verdict

CHANCE_EDGES = (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9)
VALUE_GROUPS = 6
FOLDS = 5


def judged(
    policies: dict[str, Tried], scored: Scored, world: World, chance: Array, seeds: Sequence[tuple[int, ...]]
) -> dict[str, dict[str, Any]]:
    """Return what evaluation off policy says of each, over several logs of the same payments, one from each seed."""
    present = np.flatnonzero(~scored.is_past)
    here = world.at(present)
    thresholds = policies[THRESHOLDS].runs[0][present]
    bucket = _buckets(scored, chance)[present]
    expected = here.expected()
    found: dict[str, list[Assessment]] = {name: [] for name in policies}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        tier, logged = explored(thresholds, rng)
        cost = here.drawn(tier, rng.random(len(tier)))
        fold = np.arange(len(tier)) % FOLDS
        log = reward_model.Log(bucket=bucket, action=tier, fold=fold, outcome=cost)
        model = reward_model.fit(log, FOLDS, int(bucket.max()) + 1, 4)
        for name, tried in policies.items():
            target = tried.chances[present]
            sample = _sample(tier, logged, target, cost, (model, fold, bucket))
            found[name].append(off_policy.assess(sample, Safeguards(), rng, higher_is_better=False))
    return {
        name: _told(found[name], float((tried.chances[present] * expected).sum(axis=1).mean()))
        for name, tried in policies.items()
    }


def _buckets(scored: Scored, chance: Array) -> Codes:
    """Return groups of alike payments: chance of fraud and value."""
    edges = np.quantile(scored.value[scored.is_past], np.linspace(0, 1, VALUE_GROUPS + 1)[1:-1])
    groups: Codes = np.digitize(chance, CHANCE_EDGES) * VALUE_GROUPS + np.digitize(scored.value, edges)
    return groups


def _sample(
    tier: Codes,
    logged: Array,
    target: Array,
    cost: Array,
    modeled: tuple[reward_model.RewardModel, Codes, Codes],
) -> Sample:
    model, fold, bucket = modeled
    rows = np.arange(len(tier))
    values = model.means[fold, bucket]
    return Sample(
        propensity=logged[rows, tier],
        outcome=cost,
        target=target[rows, tier],
        chosen_value=values[rows, tier],
        target_value=(values * target).sum(axis=1),
        overlap=np.minimum(logged, target).sum(axis=1),
        unsupported=np.where(logged > 0, 0.0, target).sum(axis=1),
    )


def _told(found: Sequence[Assessment], truth: float) -> dict[str, Any]:
    """Return the first log's estimates, and over all logs how many were refused and how many intervals hold the truth."""
    first = found[0]
    kept = [each for each in found if each.verdict is not Verdict.REFUSED]
    hits = [
        estimate.low <= truth <= estimate.high
        for each in kept
        for estimate in each.estimates
        if estimate.estimator != "ips"
    ]
    return {
        "truth": round(truth, 5),
        "overlap": round(first.overlap, 4),
        "effective_count": round(first.effective_count, 1),
        "verdict": first.verdict.value,
        "refusal": None if first.refusal is None else first.refusal.value,
        "refused_share": round(1 - len(kept) / len(found), 4),
        "covered_share": round(float(np.mean(hits)), 4) if hits else None,
        "estimates": {
            each.estimator: [round(each.value, 5), round(each.low, 5), round(each.high, 5)]
            for each in first.estimates
        },
    }
