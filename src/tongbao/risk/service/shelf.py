"""The shelf of models: kept in the database by digest, read into memory when a policy in force names them."""

import asyncio
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import structlog

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import AppError, NotFound
from tongbao.risk.models import artifact
from tongbao.risk.models.artifact import Model, ModelScorer
from tongbao.risk.models.contributions import Explainer
from tongbao.risk.models.registry import NAMES
from tongbao.risk.store import models as store
from tongbao.risk.store.models import ModelRow

MODELS_SHOWN_MAX = 100

_log = structlog.get_logger(__name__)


class Judge(NamedTuple):
    """A model ready for use: what scores, and what explains scores."""

    scorer: ModelScorer
    explainer: Explainer


class Shelf:
    """One per process. ``judge`` waits for nothing; ``refresh`` brings in what is named, from outside of any payment."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.built_in = _judge(artifact.by_judgement(NAMES))
        self._ready: dict[str, Judge] = {}

    def judge(self, digest: str) -> Judge:
        """Return a model by its digest; the built-in scorecard for an empty one, and for one that is not ready."""
        return self._ready.get(digest, self.built_in)

    async def keep(self, model: Model, actor: str, card: dict[str, Any]) -> str:
        """Keep a model and return its digest; keeping it again changes nothing."""
        body = artifact.dump(model)
        digest = artifact.digest(body)
        row = ModelRow(digest, self._clock.now(), actor, model.kind.value, len(body), card)
        async with self._database.transaction() as connection:
            await store.insert(connection, row, body)
        return digest

    async def load(self, digest: str) -> Model:
        """Return a model; raise NotFound ``model_unknown``."""
        async with self._database.connection() as connection:
            body = await store.body(connection, digest)
        if body is None:
            raise _unknown(digest)
        return artifact.load(body, digest)

    async def row(self, digest: str) -> ModelRow:
        """Return what is known of a model; raise NotFound ``model_unknown``."""
        return await kept(self._database, digest)

    async def newest(self) -> list[ModelRow]:
        """Return the newest models."""
        async with self._database.connection() as connection:
            return await store.page(connection, MODELS_SHOWN_MAX)

    async def refresh(self, wanted: Collection[str]) -> None:
        """Make ready the models that are wanted, and let go of all others; one that cannot be made ready is logged."""
        ready = {digest: self._ready[digest] for digest in wanted if digest in self._ready}
        for digest in set(wanted) - ready.keys() - {""}:
            try:
                model = await self.load(digest)
                ready[digest] = await asyncio.to_thread(_judge, model)
            except AppError as error:
                _log.error("risk_model_not_ready", digest=digest, code=error.code, detail=error.detail)
        self._ready = ready


async def kept(database: Database, digest: str) -> ModelRow:
    """Return what is known of a model that somebody kept; raise NotFound ``model_unknown``."""
    async with database.connection() as connection:
        found = await store.one(connection, digest)
    if found is None:
        raise _unknown(digest)
    return found


def _judge(model: Model) -> Judge:
    """Return a model ready for use; what it needs is compiled here and not under the first payment."""
    judge = Judge(ModelScorer(model, NAMES), Explainer(model, NAMES))
    judge.scorer.score_one(np.full(len(NAMES), np.nan))
    return judge


def _unknown(digest: str) -> NotFound:
    return NotFound("model_unknown", f"there is no model {digest[:80]}", digest=digest[:80])
