"""A risk model of your own, from nothing to something that a policy may name: weight of evidence over twelve features.

Run it with ``.venv/bin/python examples/own_risk_model.py``: it makes up payments with a few thieves, learns from the
first three quarters of them, and is measured on the last one against the scorecard that a house begins with. It uses no
database. What it prints stands in ``own_risk_model.txt`` and in docs/howto/add-a-model.md, and a test compares them.

``own_risk_model.py --house`` learns from the live payments of the house that the environment names (``--house --test``:
from its test payments), measures against the model in force, and puts what it learned on the shelf. Nothing decides with it
until somebody has published a policy that names it.

- Features: the twelve of ``models.registry`` that tell most about fraud in the examples; NaN has a weight of its own.
- Output: a sum of log-odds, calibrated on later payments; higher speaks against the payment.
- Label: whether it was fraud, as known now; only payments that are at least seven days old count. Seed: none.
- Baseline to beat: the scorecard; after that, the boosted trees of ``models.training``.
- Reference: weight of evidence and information value, Siddiqi 2017.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from tongbao.core.clock import Clock
from tongbao.core.config import Settings
from tongbao.core.db import Database
from tongbao.core.errors import AppError, InvalidRequest
from tongbao.decisions.service.policies import Policies
from tongbao.risk.models import artifact, batch, calibration, drift
from tongbao.risk.models.artifact import Kind, Model, ModelScorer, Training
from tongbao.risk.models.base import Floats
from tongbao.risk.models.contributions import Explainer
from tongbao.risk.models.logistic import Additive, Curve
from tongbao.risk.models.registry import LABEL_DELAY_S, NAMES
from tongbao.risk.policy import champions
from tongbao.risk.policy.champions import Contest, Pricing, ScoredPayments
from tongbao.risk.schema.models import ModelFacts, ModelMetrics, ModelVersions
from tongbao.risk.schema.signals import Entity
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.examples import Gathered, gather
from tongbao.risk.service.retraining import Card
from tongbao.risk.service.shelf import Shelf
from tongbao.web.commands.risk_desk import open_risk_desk

FEATURES = 12
BINS = 6
DRAWN = 20.0
"""Payments by which the shares of a bin are drawn towards those of all: few examples say little."""
LATER_SHARE = 0.25
FRAUDS_MIN = 30
DAYS = 56
BEGAN = datetime(2026, 1, 5, tzinfo=UTC)
Flags = NDArray[np.bool_]


def learn(given: Gathered) -> Model:
    """Learn from payments in the order of time; the last quarter of them makes the curve from sums to chances."""
    frauds = int(given.is_fraud.sum())
    split = round(len(given.at_s) * (1 - LATER_SHARE))
    if frauds < FRAUDS_MIN or not 0 < given.is_fraud[split:].sum() < len(given.at_s) - split:
        raise InvalidRequest("too_few_labels", f"{frauds} frauds are too few to learn from", frauds=frauds)
    earlier = _sum(given.x[:split], given.is_fraud[:split], calibration.by_logistic())
    raw = ModelScorer(earlier, NAMES).raw(given.x[split:])
    curve = calibration.fit(raw, given.is_fraud[split:])
    model = _sum(given.x, given.is_fraud, curve)
    return msgspec.structs.replace(
        model,
        training=Training(
            rows=len(given.at_s),
            frauds=frauds,
            from_at=datetime.fromtimestamp(int(given.at_s[0]), UTC),
            to_at=datetime.fromtimestamp(int(given.at_s[-1]), UTC),
            versions={"numpy": np.__version__},
            settings={"source": "weight of evidence", "bins": BINS, "features": FEATURES},
        ),
    )


def _sum(x: Floats, is_fraud: Flags, curve: calibration.Calibration) -> Model:
    """Return the sum over the features that tell most."""
    told = sorted(
        ((*_evidence(x[:, place], is_fraud), name) for place, name in enumerate(NAMES)),
        key=lambda each: (-each[1], each[2]),
    )[:FEATURES]
    share = float(is_fraud.mean())
    return Model(
        kind=Kind.LOGISTIC,  # a sum of one curve for each feature, whatever learned it
        names=tuple(name for _, _, name in told),
        additive=Additive(float(np.log(share / (1 - share))), tuple(each for each, _, _ in told)),
        calibration=curve,
    )


def _evidence(column: Floats, is_fraud: Flags) -> tuple[Curve, float]:
    """Return what each bin of a feature adds in log-odds, and the information value: how much the feature tells."""
    known = column[~np.isnan(column)]
    inner = np.linspace(0, 1, BINS + 1)[1:-1]
    edges = np.unique(np.quantile(known, inner, method="inverted_cdf")) if known.size else np.empty(0)
    edges = edges[edges < known.max()] if known.size else edges
    bins = np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column, side="left"))
    frauds = np.bincount(bins, is_fraud, len(edges) + 2)
    goods = np.bincount(bins, ~is_fraud, len(edges) + 2)
    spread = (frauds + goods + DRAWN) / (frauds + goods + DRAWN).sum()
    of_frauds = (frauds + DRAWN * spread) / (frauds.sum() + DRAWN)
    of_goods = (goods + DRAWN * spread) / (goods.sum() + DRAWN)
    steps = np.log(of_frauds / of_goods)
    value = float(((of_frauds - of_goods) * steps).sum())
    return Curve(tuple(edges.tolist()), tuple(steps[:-1].tolist()), float(steps[-1])), value


def measured(given: Gathered, champion: ModelScorer, pricing: Pricing, now: datetime) -> tuple[Model, Card]:
    """Return the model of all payments, and the card of how its twin did on the last quarter, which it had not seen."""
    split = round(len(given.at_s) * (1 - LATER_SHARE))
    is_later = np.arange(len(given.at_s)) >= split
    later = given.part(is_later)
    own = ModelScorer(learn(given.part(~is_later)), NAMES).score(later.x)
    comparison = champions.compare(
        ScoredPayments(
            champion=champion.score(later.x),
            challenger=own,
            values=later.values,
            occurred_at_s=later.at_s,
            known_at_s=later.known_at_s,
            is_fraud=later.is_fraud,
            customers=later.customers,
        ),
        Contest(decided_at=now, label_delay_s=LABEL_DELAY_S),
        pricing,
        np.random.default_rng(1),
    )
    model = learn(given)
    facts = _facts(model, later, own, now)
    return model, Card(facts=facts, comparison=comparison, reference=drift.measured(("score",), own[:, None]))


def _facts(model: Model, later: Gathered, own: Floats, now: datetime) -> ModelFacts:
    """Return what the card of the model tells."""
    told = model.training
    assert told.from_at is not None
    assert told.to_at is not None
    return ModelFacts(
        digest=artifact.digest(artifact.dump(model)),
        kind=model.kind.value,
        trained_from=told.from_at.date(),
        trained_to=told.to_at.date() + timedelta(days=1),
        labels_known_at=now,
        label_delay_s=LABEL_DELAY_S,
        train_count=told.rows,
        train_fraud_count=told.frauds,
        seed=0,
        metrics=ModelMetrics(
            ap=float(average_precision_score(later.is_fraud, own)),
            auc=float(roc_auc_score(later.is_fraud, own)),
            count=len(own),
            fraud_count=int(later.is_fraud.sum()),
            calibration=drift.calibration_fit(own, later.is_fraud),
        ),
        versions=ModelVersions(features=f"{len(NAMES)} declared", policy=POLICY, libraries=told.versions),
        limits_zh=("两个特征所共有的信息会被重复计算。",),
        limits_en=("What two features share is counted twice.",),
    )


def story(seed: int = 5) -> Gathered:
    """Make up nine weeks of 400 customers, of whom a thief takes the card of one every other day or so."""
    rng = np.random.default_rng(seed)
    count, customers, sprees = 8_000, 400, 40
    usual = np.exp(rng.normal(7.6, 0.5, customers))
    who = rng.integers(0, customers, count)
    at_s = rng.uniform(0, 63 * 86_400, count)
    value = usual[who] * np.exp(rng.normal(0, 0.6, count))
    # Now and then somebody pays from a device that nobody has seen.
    device = np.where(rng.random(count) < 0.06, customers + np.arange(count), who)
    is_fraud = np.zeros(count, np.bool_)
    for spree in range(sprees):
        places = rng.choice(count, 4, replace=False)
        who[places], device[places] = who[places[0]], customers + count + spree
        at_s[places] = at_s[places[0]] + np.sort(rng.uniform(0, 4 * 86_400, 4))
        value[places] = usual[who[places[0]]] * np.exp(rng.normal(0.9, 0.7, 4))
        is_fraud[places] = True
    order = np.argsort(at_s, kind="stable")
    began_ms = int(BEGAN.timestamp()) * 1000
    at_ms = began_ms + (at_s[order] * 1000).astype(np.int64)
    known_ms = at_ms + 3 * 86_400_000
    who, device, is_fraud = who[order], device[order], is_fraud[order]
    values = np.round(value[order]).astype(np.int64)
    keys = {Entity.CUSTOMER: who, Entity.CARD: who, Entity.DEVICE: device}
    keys[Entity.MERCHANT] = rng.integers(0, 30, count)
    x = batch.build(batch.Columns(at_ms, values, keys), batch.labels(is_fraud, known_ms))
    return Gathered(x, is_fraud, at_ms // 1000, known_ms // 1000, values, np.full(count, np.nan), who)


def tour() -> None:
    """Learn from made-up payments, and print how that went."""
    given = story()
    scorecard = ModelScorer(artifact.by_judgement(NAMES), NAMES)
    now = datetime.fromtimestamp(int(given.at_s[-1]), UTC) + timedelta(days=14)
    model, card = measured(given, scorecard, Pricing(), now)
    print(
        f"1. {len(given.at_s):,} payments, {int(given.is_fraud.sum())} of them fraud, {len(NAMES)} features each"
    )
    print("2. What tells most:", ", ".join(model.names[:4]))
    later = given.part(np.arange(len(given.at_s)) >= round(len(given.at_s) * (1 - LATER_SHARE)))
    before = average_precision_score(later.is_fraud, scorecard.score(later.x))
    print("3. On the last quarter, which it had not seen")
    print(f"   average precision {card.facts.metrics.ap:.2f}, the scorecard {before:.2f}")
    print(
        f"   {card.comparison.verdict.value}: {card.comparison.saving.value / 100:.2f} saved a payment, ",
        end="",
    )
    print(f"{card.comparison.moved_share * 100:.1f} % of payments treated otherwise")
    body = artifact.dump(model)
    again = ModelScorer(artifact.load(body, artifact.digest(body)), NAMES)
    print("4. Kept and read back, it gives the same chances, one by one and all at once:", end=" ")
    rows = later.x[:200]
    print([again.score_one(row) for row in rows] == ModelScorer(model, NAMES).score(rows).tolist())
    worst = int(np.argmax(again.score(later.x)))
    print(f"5. The payment that it likes least: {again.score_one(later.x[worst]):.0%}", end=" ")
    print("(it was fraud)" if later.is_fraud[worst] else "(it was good)")
    why = Explainer(model, NAMES).explain(later.x[worst])
    for place in np.argsort(-why.log_odds)[:3]:
        print(f"   {why.names[place]} {why.values[place]:.1f}: {why.log_odds[place]:+.1f}")


async def offer(
    database: Database, clock: Clock, shelf: Shelf, policies: Policies, *, live: bool
) -> tuple[str, Card]:
    """Learn from the payments of a house, measure against the model in force, keep what was learned; return its digest."""
    given = await gather(database, clock, DAYS, live=live)
    rollout = await policies.current(POLICY)
    spec = {} if rollout is None else (await policies.version(POLICY, rollout.champion)).spec
    in_force = str(spec.get("model", ""))
    champion = await shelf.load(in_force) if in_force else artifact.by_judgement(NAMES)
    scorer = ModelScorer(champion, NAMES)
    model, card = await asyncio.to_thread(measured, given, scorer, Pricing(), clock.now())
    return await shelf.keep(model, "own_risk_model", msgspec.to_builtins(card)), card


async def at_house(*, live: bool) -> None:
    """Offer a model to the house that the environment names, and say how to go on."""
    async with open_risk_desk(Settings.model_validate({})) as desk:
        runtime, policies = desk.runtime, desk.decisions.policies
        digest, card = await offer(runtime.database, runtime.clock, desk.risk.shelf, policies, live=live)
    print(champions.comparison_text(card.comparison, "en"))
    print(f"kept as {digest}; its card: tongbao risk models --card {digest}")
    print("next: a draft of the policy risk that names it in the field model")


if __name__ == "__main__":
    if "--house" not in sys.argv:
        tour()
        sys.exit()
    try:
        asyncio.run(at_house(live="--test" not in sys.argv))
    except AppError as error:
        sys.exit(f"{error.code}: {error.detail}")
