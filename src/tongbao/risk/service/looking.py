"""Looking: what became of judged payments, how they were spread over tiers, and whether scores still look as they did."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import numpy as np

from tongbao.core import currencies
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.core.ids import derive, first_uuid_at, uuid_text
from tongbao.decisions.schema.log import PREFIX as DECISION_PREFIX
from tongbao.decisions.service.log import DecisionLog
from tongbao.decisions.service.tracing import lineage_of
from tongbao.risk.models.drift import REFERENCE_ROWS_MIN, Drift, measured
from tongbao.risk.schema.models import Shift
from tongbao.risk.store import events, neighbors
from tongbao.risk.store.events import Judged, TierShare

__all__ = ["Judged", "Looking", "Mode", "TierShare", "hundredths", "subject_of"]

LOOKS_MAX = 50
"""Looks at one payment that are read."""
SPAN_MAX = timedelta(days=92)
DRIFT_ROWS_MAX = 50_000
REFERENCE = timedelta(days=7)
PAGE_MAX = 5_000
CENTS = 2
"""The exponent of hundredths."""


class Mode(NamedTuple):
    """Whose payments: live or test, of one book or of all (None)."""

    live: bool
    book_id: int | None = None


class Looking:
    """Reads judged payments; changes nothing. One object a process."""

    def __init__(self, database: Database, log: DecisionLog) -> None:
        self._database = database
        self._log = log

    async def book_of(self, subject_id: UUID) -> int:
        """Return whose payment it is, for the house's own people; raise NotFound ``payment_not_judged``."""
        reference = uuid_text("pi", subject_id)
        try:
            return (await lineage_of(self._database, self._log, subject_id, reference)).book_id
        except NotFound as error:
            raise _not_judged(subject_id) from error

    async def book_of_look(self, decision_id: UUID) -> int:
        """Return whose payment a decision about risk is about; raise NotFound ``decision_unknown``."""
        async with self._database.connection() as connection:
            found = await neighbors.known(connection, [decision_id])
        if not found:
            reference = uuid_text(DECISION_PREFIX, decision_id)
            raise NotFound("decision_unknown", f"{reference} is no decision about risk", id=reference)
        return found[0].signals.book_id

    async def looks(self, book_id: int, subject_id: UUID) -> list[Judged]:
        """Return every look at a payment with all that became known, oldest first; at most ``LOOKS_MAX``.

        Raises NotFound ``payment_not_judged`` for one that risk control has not seen, or not written down yet.
        """
        async with self._database.connection() as connection:
            found = await events.of_subject(connection, book_id, subject_id, LOOKS_MAX)
        if not found:
            raise _not_judged(subject_id)
        return found

    async def shares(self, of: Mode, from_at: datetime, to_at: datetime) -> list[TierShare]:
        """Return how payments of a time were spread over tiers, and what became of them.

        Raises InvalidRequest ``risk_span_invalid`` for a time that ends before it begins, or of more than 92 days.
        """
        if not timedelta() < to_at - from_at <= SPAN_MAX:
            raise InvalidRequest(
                "risk_span_invalid", f"a time begins before it ends, and has at most {SPAN_MAX.days} days"
            )
        async with self._database.connection() as connection:
            return await events.shares(connection, (from_at, to_at), of.live, of.book_id)

    async def score_shift(self, of: Mode, now: datetime) -> Shift | None:
        """Return how far the scores of the last day moved from those of the week before it.

        None where either has too few payments. At most ``DRIFT_ROWS_MAX`` payments of each are read, the oldest.
        """
        day = now - timedelta(days=1)
        then = await self._scores(of, day - REFERENCE, day)
        today = await self._scores(of, day, now)
        if min(len(then), len(today)) < REFERENCE_ROWS_MIN:
            return None
        drift = Drift(measured(("score",), np.array(then)[:, None]), buckets=1)
        drift.add(0, np.array(today)[:, None])
        return drift.shifts()[0]

    async def _scores(self, of: Mode, from_at: datetime, to_at: datetime) -> list[float]:
        scores: list[float] = []
        after = UUID(int=first_uuid_at(from_at).int - 1)
        read = 0
        while read < DRIFT_ROWS_MAX:
            async with self._database.connection() as connection:
                page = await events.page(connection, (after, to_at), of.live, of.book_id, PAGE_MAX)
            scores += [each.score for each in page if each.score is not None]
            read += len(page)
            if len(page) < PAGE_MAX:
                break
            after = page[-1].id
        return scores


def _not_judged(subject_id: UUID) -> NotFound:
    reference = uuid_text("pi", subject_id)
    return NotFound("payment_not_judged", f"risk control has not judged {reference}", id=reference)


def subject_of(book_id: int, reference: str) -> UUID:
    """Return the payment that a merchant calls ``reference``: the same for the same name of the same book."""
    return derive(UUID(int=book_id), f"risk:{reference}")


def hundredths(amount_minor: int, currency: str) -> int:
    """Return an amount in hundredths of the major unit, cut towards zero where the currency has smaller units.

    Raises InvalidRequest ``currency_unknown`` or ``currency_without_minor_unit``.
    """
    exponent = currencies.currency(currency).exponent
    scale: int = 10 ** abs(CENTS - exponent)
    return amount_minor * scale if exponent <= CENTS else amount_minor // scale
