"""Curves of what scored payments lately: read from payments that went on and whose labels were due. Changes nothing.

A payment that was declined has no truth and is left out, so the curves speak of those that a model let through. The truth
is what is known now: a label that came after its time counts too.
"""

import asyncio
from datetime import timedelta

import numpy as np

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.ids import first_uuid_at
from tongbao.risk.policy.model_curves import KNOWN_MIN, Curves, curves
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.store import events

__all__ = ["DAYS", "DUE", "KNOWN_MIN", "Curves", "ModelCurves"]

DAYS = 60
DUE = timedelta(days=7)
"""So long a payment has to be past: most labels of fraud have come by then."""
PAYMENTS_MAX = 50_000
PAGE_MAX = 5_000


class ModelCurves:
    """Reads curves. Stateless beside its database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def look(self, *, live: bool) -> Curves | None:
        """Return the curves of the scores of a mode; None while too little is known. Reads ``PAYMENTS_MAX`` at most."""
        now = self._clock.now()
        after, until = first_uuid_at(now - timedelta(days=DAYS)), now - DUE
        scores: list[float] = []
        truth: list[bool] = []
        for _ in range(PAYMENTS_MAX // PAGE_MAX):
            async with self._database.connection() as connection:
                page = await events.page(connection, (after, until), live, None, PAGE_MAX)
            for each in page:
                if each.score is not None and each.tier != Tier.DECLINE:
                    scores.append(each.score)
                    truth.append(bool(each.is_fraud))
            if len(page) < PAGE_MAX:
                break
            after = page[-1].id
        return await asyncio.to_thread(
            curves, np.array(scores, dtype=np.float64), np.array(truth, dtype=bool)
        )
