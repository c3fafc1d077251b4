"""What evaluation off policy is worth: policies are judged from another one's log, and then by the truth.

A world has four groups of payments and five channels whose success rates lie between 0.80 and 0.92, drawn anew for every
replication. A Thompson sampler with an exploration floor routes payments in batches, learns from each batch, forgets, and
writes the probability of every choice. From that log alone five policies are evaluated by the product's own code; what
each is truly worth is the expectation over the known world, with no simulation error. One of them always takes the worst
channel: the log hardly holds it, and the product has to refuse.

A learning logger makes the log dependent in time, which the estimators' theory of independent decisions does not cover.
That the intervals hold nevertheless is part of what is measured.

The 95th percentile of an error cannot fall below 0.30 points with 50,000 payments: so much is chance even where a policy
routes all of them itself. It is reported beside the mean, and not asked to be smaller.
"""

import json
import sys
import time

import msgspec
import numpy as np
import numpy.typing as npt

from tongbao.decisions.policy import off_policy, reward_model
from tongbao.decisions.policy.off_policy import Assessment, Sample
from tongbao.decisions.schema.evaluation import EXPLORING, Verdict

PAYMENTS = 50_000
BATCH = 1_250
CHANNELS = 5
GROUPS = 4
FLOOR = 0.03
DRAWS = 100
MEMORY = 400.0
"""Payments of a group over a channel that the logger remembers; the older fade."""
FOLDS = 5
RATE_LOW, RATE_HIGH = 0.80, 0.92
FULL_REPLICATIONS = 200
QUICK_REPLICATIONS = 40
TARGETS = ("greedy", "soft", "context", "cost", "stranger")
REFUSED = "stranger"

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


class World(msgspec.Struct, frozen=True, eq=False):
    """``rates`` (n_groups, n_channels): probability of success; ``shares`` (n_groups,) of all payments."""

    rates: Array
    shares: Array


class Journal(msgspec.Struct, frozen=True, eq=False):
    """What the logger wrote: arrays (m,), the probabilities of all choices (m, n_channels), and by which policies.

    ``policies`` (n_batches, n_groups, n_channels): those of each batch; only the truth is computed from them.
    """

    group: Codes
    action: Codes
    outcome: Array
    chances: Array
    policies: Array


class OffPolicyFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Errors in points (0.01 of the success rate) and coverage of nominal 95 % intervals, over policies not refused.

    ``abs_error_points``, ``p95_error_points``, ``coverage``: by estimator; ``difference`` is that of the product's own
    verdict, against the log's mean. ``by_target``: coverage and mean error of the recommended estimator by policy.
    ``refused_share``: of replications, by policy. ``wrong_verdict_share``: of verdicts better or worse, that were not so.
    """

    replications: int
    payments: int
    recommended: str
    abs_error_points: dict[str, float]
    p95_error_points: dict[str, float]
    coverage: dict[str, float]
    by_target: dict[str, dict[str, float]]
    refused_share: dict[str, float]
    wrong_verdict_share: float
    decided_share: float
    seconds: float


class _Tally:
    """Errors (in points) and hits, by estimator and by target."""

    def __init__(self) -> None:
        self.errors: dict[tuple[str, str], list[float]] = {}
        self.hits: dict[tuple[str, str], list[bool]] = {}
        self.refused: dict[str, list[bool]] = {name: [] for name in TARGETS}
        self.overlap: dict[str, list[float]] = {name: [] for name in TARGETS}
        self.effective: dict[str, list[float]] = {name: [] for name in TARGETS}
        self.verdicts: list[bool] = []
        self.undecided = 0
        self.recommended = ""

    def add(self, target: str, found: Assessment, truth: float, logged_truth: float) -> None:
        """Hold one assessment against the truth."""
        self.refused[target].append(found.verdict is Verdict.REFUSED)
        self.overlap[target].append(found.overlap)
        self.effective[target].append(found.effective_count)
        if found.difference is None:
            return
        self.recommended = found.recommended
        gain = truth - logged_truth
        facts = [(each.estimator, each, truth) for each in found.estimates]
        for name, estimate, true in [*facts, ("difference", found.difference, gain)]:
            self.errors.setdefault((name, target), []).append(100 * abs(estimate.value - true))
            self.hits.setdefault((name, target), []).append(estimate.low <= true <= estimate.high)
        if found.verdict is Verdict.UNDECIDED:
            self.undecided += 1
        else:
            self.verdicts.append((found.verdict is Verdict.BETTER) == (gain > 0))

    def over_targets(self, estimator: str) -> tuple[list[float], list[bool]]:
        """Return errors and hits of one estimator over all targets."""
        errors = [each for (name, _), all_of in self.errors.items() if name == estimator for each in all_of]
        hits = [each for (name, _), all_of in self.hits.items() if name == estimator for each in all_of]
        return errors, hits


def run(
    replications: int = FULL_REPLICATIONS, seed: int = 1_000, payments: int = PAYMENTS
) -> OffPolicyFigures:
    """Return the figures of ``replications`` worlds; equal arguments give equal figures but for ``seconds``."""
    begun = time.perf_counter()
    fold = _folds(payments)
    tally = _Tally()
    for number in range(replications):
        rng = np.random.default_rng((seed, number))
        world = draw_world(rng)
        journal = logged(world, payments, rng)
        model = _model(journal, fold)
        logged_truth = _worth_of_log(world, journal)
        for name, chances in targets(world, rng).items():
            truth = float(world.shares @ (chances * world.rates).sum(axis=1))
            found = off_policy.assess(_sample(journal, chances, fold, model), EXPLORING, rng)
            tally.add(name, found, truth, logged_truth)
    return _figures(tally, replications, payments, time.perf_counter() - begun)


def draw_world(rng: np.random.Generator) -> World:
    """Return a world with rates between ``RATE_LOW`` and ``RATE_HIGH``."""
    return World(rng.uniform(RATE_LOW, RATE_HIGH, (GROUPS, CHANNELS)), rng.dirichlet(np.full(GROUPS, 8.0)))


def logged(world: World, payments: int, rng: np.random.Generator) -> Journal:
    """Route ``payments`` by Thompson sampling with a floor, in batches, learning between them."""
    group = rng.choice(GROUPS, payments, p=world.shares)
    action = np.empty(payments, dtype=np.int64)
    outcome = np.empty(payments)
    chances = np.empty((payments, CHANNELS))
    tries, wins = np.zeros((GROUPS, CHANNELS)), np.zeros((GROUPS, CHANNELS))
    policies = []
    for start in range(0, payments, BATCH):
        part = slice(start, start + BATCH)
        policy = _thompson(tries, wins, rng)
        policies.append(policy)
        chances[part] = policy[group[part]]
        drawn = rng.random(len(group[part]))[:, None]
        action[part] = np.minimum((policy.cumsum(axis=1)[group[part]] < drawn).sum(axis=1), CHANNELS - 1)
        outcome[part] = rng.random(len(drawn)) < world.rates[group[part], action[part]]
        cell = group[part] * CHANNELS + action[part]
        tries += np.bincount(cell, minlength=tries.size).reshape(tries.shape)
        wins += np.bincount(cell, weights=outcome[part], minlength=tries.size).reshape(tries.shape)
        kept = np.minimum(1.0, MEMORY / np.maximum(tries, 1.0))
        tries, wins = tries * kept, wins * kept
    return Journal(group, action, outcome, chances, np.array(policies))


def targets(world: World, rng: np.random.Generator) -> dict[str, Array]:
    """Return the policies that are judged, as probabilities (n_groups, n_channels), from an inexact idea of the world."""
    believed = world.rates + rng.normal(0, 0.01, world.rates.shape)
    overall = np.broadcast_to(world.shares @ believed, world.rates.shape)
    fee = np.broadcast_to(rng.permutation(np.linspace(0.0, 0.03, CHANNELS)), world.rates.shape)
    return {
        "greedy": _mixed(overall, 0.60),
        "soft": _softened(overall, 0.02),
        "context": _mixed(believed, 0.85),
        "cost": _softened(believed - fee, 0.015),
        REFUSED: _mixed(-believed, 1.0),
    }


def _thompson(tries: Array, wins: Array, rng: np.random.Generator) -> Array:
    """Return the probability of each channel to be drawn best, over the floor."""
    drawn = rng.beta(wins + 1, tries - wins + 1, (DRAWS, GROUPS, CHANNELS))
    best = np.eye(CHANNELS)[drawn.argmax(axis=2)].mean(axis=0)
    floored: Array = FLOOR + (1 - CHANNELS * FLOOR) * best
    return floored


def _mixed(scores: Array, share: float) -> Array:
    """Return ``share`` for the best of each group, the rest evenly over all."""
    mixed: Array = share * np.eye(CHANNELS)[scores.argmax(axis=1)] + (1 - share) / CHANNELS
    return mixed


def _softened(scores: Array, temperature: float) -> Array:
    raised = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
    softened: Array = raised / raised.sum(axis=1, keepdims=True)
    return softened


def _folds(payments: int) -> Codes:
    """Return folds that do not depend on anything: payments are in random order already."""
    return np.arange(payments) % FOLDS


def _model(journal: Journal, fold: Codes) -> reward_model.RewardModel:
    log = reward_model.Log(bucket=journal.group, action=journal.action, fold=fold, outcome=journal.outcome)
    return reward_model.fit(log, FOLDS, GROUPS, CHANNELS)


def _worth_of_log(world: World, journal: Journal) -> float:
    """Return what the logger was worth over its log, in expectation over payments, channels and outcomes."""
    starts = np.arange(0, len(journal.group), BATCH)
    sizes = np.diff([*starts, len(journal.group)])
    by_batch = (journal.policies * world.rates).sum(axis=2) @ world.shares
    return float(np.average(by_batch, weights=sizes))


def _sample(journal: Journal, chances: Array, fold: Codes, model: reward_model.RewardModel) -> Sample:
    rows = np.arange(len(fold))
    by_cell = (model.means * chances).sum(axis=2)
    return Sample(
        propensity=journal.chances[rows, journal.action],
        outcome=journal.outcome,
        target=chances[journal.group, journal.action],
        chosen_value=model.value(fold, journal.group, journal.action),
        target_value=by_cell[fold, journal.group],
        overlap=np.minimum(journal.chances, chances[journal.group]).sum(axis=1),
        span=1.0,
    )


def _figures(tally: _Tally, replications: int, payments: int, seconds: float) -> OffPolicyFigures:
    names = ("ips", "snips", "dr", "difference")
    errors = {name: tally.over_targets(name)[0] for name in names}
    hits = {name: tally.over_targets(name)[1] for name in names}
    return OffPolicyFigures(
        replications=replications,
        payments=payments,
        recommended=tally.recommended,
        abs_error_points={name: round(float(np.mean(errors[name])), 4) for name in names},
        p95_error_points={name: round(float(np.quantile(errors[name], 0.95)), 4) for name in names},
        coverage={name: round(float(np.mean(hits[name])), 4) for name in names},
        by_target={name: _target_figures(tally, name) for name in TARGETS},
        refused_share={name: round(float(np.mean(tally.refused[name])), 4) for name in TARGETS},
        wrong_verdict_share=round(1 - float(np.mean(tally.verdicts)), 4) if tally.verdicts else 0.0,
        decided_share=round(len(tally.verdicts) / max(1, len(tally.verdicts) + tally.undecided), 4),
        seconds=round(seconds, 2),
    )


def _target_figures(tally: _Tally, target: str) -> dict[str, float]:
    told = {
        "overlap": round(float(np.mean(tally.overlap[target])), 4),
        "effective_count": round(float(np.mean(tally.effective[target])), 1),
    }
    key = (tally.recommended, target)
    if key in tally.hits:
        told["abs_error_points"] = round(float(np.mean(tally.errors[key])), 4)
        told["coverage"] = round(float(np.mean(tally.hits[key])), 4)
    return told


def main() -> None:
    """Print the figures as JSON; ``--quick`` runs ``QUICK_REPLICATIONS``."""
    replications = QUICK_REPLICATIONS if "--quick" in sys.argv[1:] else FULL_REPLICATIONS
    sys.stdout.write(json.dumps(msgspec.to_builtins(run(replications)), indent=2) + "\n")


if __name__ == "__main__":
    main()
