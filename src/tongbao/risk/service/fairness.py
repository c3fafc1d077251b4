"""Fairness as it is now: whom risk control bothers, by groups of the latest payments. Changes nothing."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.ids import first_uuid_at
from tongbao.risk.models.registry import LABEL_DELAY_S
from tongbao.risk.policy import fairness as policy
from tongbao.risk.policy.fairness import Told, group_counts
from tongbao.risk.policy.fairness_texts import group_words, segment_words
from tongbao.risk.policy.worth import counted
from tongbao.risk.schema.fairness import Fairness
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.store import fairness as store
from tongbao.risk.store.fairness import Row

__all__ = ["Fairness", "FairnessReading", "group_counts", "group_words", "segment_words"]

LENGTH = timedelta(days=35)
"""Four weeks of payments whose labels had time to come, and the week whose labels had not."""
DUE = timedelta(seconds=LABEL_DELAY_S)
PAYMENTS_MAX = 50_000
PAGE_MAX = 5_000


class FairnessReading:
    """Reads judged payments. One object a process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def look(self, *, live: bool, book_id: int | None = None) -> Fairness:
        """Return the groups of the newest ``PAYMENTS_MAX`` payments of the last ``LENGTH``, of one book or of all."""
        now = self._clock.now()
        begin = now - LENGTH
        rows: list[Row] = []
        seen: dict[str, UUID] = {}
        before = first_uuid_at(now + timedelta(seconds=1))
        while len(rows) < PAYMENTS_MAX:
            async with self._database.connection() as connection:
                page = await store.page(connection, (begin, before), live, book_id, PAGE_MAX)
                await _see(connection, page, seen, (live, book_id))
            rows += page
            if len(page) < PAGE_MAX:
                break
            before = page[-1].id
        told = [_told(each, seen, now) for each in rows]
        segments = await asyncio.to_thread(policy.shares, told)
        return Fairness(
            from_at=rows[-1].at if rows else begin,
            to_at=now,
            payment_count=len(rows),
            good_count=sum(each.is_good is True for each in told),
            is_partial=len(rows) >= PAYMENTS_MAX,
            segments=segments,
        )


async def _see(
    connection: Connection, page: list[Row], seen: dict[str, UUID], of: tuple[bool, int | None]
) -> None:
    """Learn when the customers of a page were first seen."""
    customers = {each.about.customer for each in page} - seen.keys() - {""}
    if customers:
        seen |= await store.first_seen(connection, sorted(customers), *of)


def _told(row: Row, seen: dict[str, UUID], now: datetime) -> Told:
    customer = row.about.customer
    return Told(
        tier=Tier(row.tier),
        value=counted(row.value, row.currency, {}),
        country=row.about.card_country,
        is_known=None if not customer else seen.get(customer, row.id).int < row.id.int,
        is_good=_is_good(row, now),
    )


def _is_good(row: Row, now: datetime) -> bool | None:
    """Return whether a payment was good; None where nobody knows."""
    if row.is_fraud is not None:
        return not row.is_fraud
    return True if row.is_approved and row.at <= now - DUE else None
