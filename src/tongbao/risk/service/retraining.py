"""Retraining: a new model from the labels that are known, held against the one in force, drafted if it saves money.

The payments are cut by time: the challenger that is compared learns from the earlier part only and both are priced on the
later part, with the labels known now. What is kept is its twin, of the same settings, that learned from everything. Nothing
is put into force here: people publish the draft after reading its card, or take back what the watch (``watching``) put out.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.lazy import Lazily
from tongbao.decisions.service.policies import Policies
from tongbao.risk.models import artifact, drift, training
from tongbao.risk.models.artifact import Model, ModelScorer
from tongbao.risk.models.base import Floats
from tongbao.risk.models.registry import BY_NAME, LABEL_DELAY_S, NAMES
from tongbao.risk.models.training import Examples, Options
from tongbao.risk.policy import champions, model_weights
from tongbao.risk.policy.champions import Contest, Pricing, ScoredPayments
from tongbao.risk.schema.models import (
    Comparison,
    ComparisonVerdict,
    ModelFacts,
    ModelMetrics,
    ModelVersions,
)
from tongbao.risk.schema.spec import RiskSpec
from tongbao.risk.service import feature_drift
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.examples import Gathered, Told, gather
from tongbao.risk.service.shelf import Shelf

DAYS = 56
LATER_SHARE = 0.25
EVERY = timedelta(days=7)
ACTOR = "retraining"
SEED = 20
SCORE = "score"

metrics = Lazily("sklearn.metrics")


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. ``version`` is the draft, None where the champion stays; ``reason`` says why in one sentence."""

    digest: str
    made_at: datetime
    count: int
    fraud_count: int
    comparison: Comparison
    reason: str
    version: int | None = None


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept beside a model: the facts of its card, its comparison, what its scores and its features looked like.

    ``features``: of those that it leans on, over everything that it learned from; None: kept before they were measured.
    """

    facts: ModelFacts
    comparison: Comparison
    reference: drift.Reference
    features: drift.Reference | None = None


class Retraining:
    """Trains for one house; one training at a time."""

    def __init__(self, database: Database, clock: Clock, policies: Policies, shelf: Shelf) -> None:
        self._database = database
        self._clock = clock
        self._policies = policies
        self._shelf = shelf
        self._single = asyncio.Lock()
        self._tried_at: datetime | None = None

    async def train(
        self,
        *,
        live: bool = True,
        days: int = DAYS,
        actor: str = ACTOR,
        told: Told = lambda _step, _count: None,
    ) -> Trained:
        """Train, compare, keep the model, and draft a policy with it where it saves money.

        Raises InvalidRequest ``too_few_labels`` where there is too little to learn from, LimitExceeded.
        """
        async with self._single:
            gathered = await gather(self._database, self._clock, days, live=live, told=told)
            told("training", len(gathered.at_s))
            spec = await self._champion()
            judge = self._shelf.judge(spec.model)
            made = await asyncio.to_thread(_made, gathered, judge.scorer, spec, self._clock.now())
            model, card = made
            digest = await self._shelf.keep(model, actor, msgspec.to_builtins(card))
            version = None
            if card.comparison.verdict is ComparisonVerdict.PROMOTE:
                version = await self._drafted(spec, digest, card.comparison, actor)
            return Trained(
                digest=digest,
                made_at=self._clock.now(),
                count=len(gathered.at_s),
                fraud_count=int(gathered.is_fraud.sum()),
                comparison=card.comparison,
                reason=champions.comparison_text(card.comparison, "en"),
                version=version,
            )

    async def train_if_due(self, *, live: bool = True) -> Trained | None:
        """Train where the newest model is a week old; None where it is not time, or there is too little to learn from."""
        newest = await self._shelf.newest()
        last = max([each.made_at for each in newest], default=None)
        last = max(filter(None, (last, self._tried_at)), default=None)
        if last is not None and self._clock.now() - last < EVERY:
            return None
        self._tried_at = self._clock.now()
        try:
            return await self.train(live=live)
        except InvalidRequest as error:
            if error.code != "too_few_labels":
                raise
            return None

    async def _champion(self) -> RiskSpec:
        """Return the specification in force; the default where none is."""
        rollout = await self._policies.current(POLICY)
        if rollout is None:
            return RiskSpec()
        found = await self._policies.version(POLICY, rollout.champion)
        return msgspec.convert(found.spec, RiskSpec)

    async def _drafted(self, spec: RiskSpec, digest: str, comparison: Comparison, actor: str) -> int:
        draft: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(spec, model=digest))
        note = f"model {digest[:12]}: {champions.comparison_text(comparison, 'en')}"[:400]
        return (await self._policies.draft(POLICY, draft, note, actor)).version


def card_of(card: dict[str, Any]) -> Card:
    """Read back what is kept beside a model; raise InvalidRequest ``model_card_invalid``."""
    try:
        return msgspec.convert(card, Card)
    except msgspec.ValidationError as error:
        raise InvalidRequest("model_card_invalid", str(error)) from error


def _made(gathered: Gathered, champion: ModelScorer, spec: RiskSpec, now: datetime) -> tuple[Model, Card]:
    """Return the model of all payments, and the card that tells how its twin did on those it had not seen."""
    if not len(gathered.at_s):
        raise InvalidRequest("too_few_labels", "no payment is old enough for its label yet", rows=0, frauds=0)
    options = Options(seed=SEED, monotone=training.rising(NAMES))
    split_s = np.quantile(gathered.at_s, 1 - LATER_SHARE)
    earlier, later = gathered.part(gathered.at_s < split_s), gathered.part(gathered.at_s >= split_s)
    twin = training.fit(_examples(earlier), options)
    own = ModelScorer(twin, NAMES).score(later.x)
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
        Pricing(
            costs=spec.costs,
            step_up_price=spec.step_up_price,
            review_price=spec.review_price,
            can_step_up=spec.can_step_up,
            can_review=spec.can_review,
        ),
        np.random.default_rng(SEED),
    )
    model = training.fit(_examples(gathered), options)
    reference = drift.measured((SCORE,), own[:, None])
    return model, Card(
        facts=_facts(model, later, own, now),
        comparison=comparison,
        reference=reference,
        features=feature_drift.reference_of(model, gathered.x),
    )


def _examples(gathered: Gathered) -> Examples:
    return Examples(gathered.x, gathered.is_fraud, gathered.at_s.astype(np.float64), NAMES)


def _facts(model: Model, later: Gathered, scores: Floats, now: datetime) -> ModelFacts:
    """Return the facts of a card; its metrics are those of the twin on the later part."""
    told = model.training
    assert told.from_at is not None
    assert told.to_at is not None
    return ModelFacts(
        digest=artifact.digest(artifact.dump(model)),
        kind=model.kind.value,
        trained_from=told.from_at.astimezone(UTC).date(),
        trained_to=told.to_at.astimezone(UTC).date() + timedelta(days=1),
        labels_known_at=now,
        label_delay_s=LABEL_DELAY_S,
        train_count=told.rows,
        train_fraud_count=told.frauds,
        seed=told.seed or 0,
        metrics=ModelMetrics(
            ap=float(metrics.average_precision_score(later.is_fraud, scores)),
            auc=float(metrics.roc_auc_score(later.is_fraud, scores)),
            count=len(scores),
            fraud_count=int(later.is_fraud.sum()),
            calibration=drift.calibration_fit(scores, later.is_fraud),
        ),
        versions=ModelVersions(
            features=f"{len(BY_NAME)} declared", policy=POLICY, libraries={"lightgbm": version("lightgbm")}
        ),
        features=model_weights.importances(model.names, model.text),
    )
