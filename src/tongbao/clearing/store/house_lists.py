"""The SQL of lists over all books: payouts newest first, batches by the date on which they are paid."""

from uuid import UUID

import msgspec

from tongbao.clearing.schema.batches import Batch
from tongbao.clearing.schema.house_lists import BatchFilter, BatchPlace, PayoutFilter
from tongbao.clearing.schema.payouts import Payout
from tongbao.clearing.store.movements import LONG_S
from tongbao.core.db import Connection

_READ_PAYOUT = msgspec.json.Decoder(Payout).decode
_READ_BATCH = msgspec.json.Decoder(Batch).decode

_PAYOUTS = """
SELECT body FROM clearing.payout
WHERE ($1::boolean IS NULL OR live = $1) AND ($2::bigint IS NULL OR book_id = $2) AND ($3::text IS NULL OR state = $3)
    AND ($4::text IS NULL OR currency = $4) AND ($5::date IS NULL OR due_on = $5) AND ($6::uuid IS NULL OR id < $6)
ORDER BY id DESC LIMIT $7
"""
_BATCHES = """
SELECT body FROM clearing.batch
WHERE state = $1 AND payout_on <= $2 AND ($3::boolean IS NULL OR live = $3) AND ($4::bigint IS NULL OR book_id = $4)
    AND ($5::text IS NULL OR currency = $5)
    AND ($6::date IS NULL OR (payout_on, book_id, id) > ($6, $7::bigint, $8::uuid))
ORDER BY payout_on, book_id, id LIMIT $9
"""


async def payouts(
    connection: Connection, asked: PayoutFilter, before: UUID | None, limit: int
) -> list[Payout]:
    """Return payouts of all books, newest first, those before one of them."""
    values = (
        asked.live,
        asked.book_id,
        None if asked.state is None else asked.state.value,
        asked.currency,
        asked.due_on,
        before,
        limit,
    )
    return [_READ_PAYOUT(row[0]) for row in await connection.fetch(_PAYOUTS, *values, timeout=LONG_S)]


async def batches(
    connection: Connection, asked: BatchFilter, after: BatchPlace | None, limit: int
) -> list[Batch]:
    """Return batches of all books, the earliest date of payment first, those after a place of that order."""
    values = (
        asked.state.value,
        asked.until_on,
        asked.live,
        asked.book_id,
        asked.currency,
        *(after or (None, None, None)),
        limit,
    )
    return [_READ_BATCH(row[0]) for row in await connection.fetch(_BATCHES, *values, timeout=LONG_S)]
