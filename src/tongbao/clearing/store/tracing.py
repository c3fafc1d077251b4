"""The SQL of traces: which movements a document made, and which lines of files were matched with what is traced.

Movements are keyed by the book of whoever asks; lines are the house's and reached only over ids of that book.
"""

from collections.abc import Sequence
from uuid import UUID

from tongbao.clearing.schema.batches import Batch
from tongbao.clearing.schema.tracing import TracedLine
from tongbao.core.db import Connection

# A document of a payment is the source of its movements; what names the payment names all of them.
_MOVEMENTS_OF = """
SELECT id FROM clearing.movement WHERE book_id = $1 AND intent_id = $2 AND ($3::uuid IS NULL OR source_id = $3)
ORDER BY occurred_at, id LIMIT $4
"""
_LINES = """
SELECT d.expected_id, d.leg = 1 AS is_bank, l.source, coalesce(l.value_on, l.business_on) AS day, l.gross_minor, l.batch
FROM clearing.matched AS d JOIN clearing.line AS l ON l.book_id = d.book_id AND l.id = d.line_id
WHERE d.book_id = 0 AND d.leg IN (0, 1) AND d.expected_id = ANY ($1::uuid[]) ORDER BY day, l.id LIMIT $2
"""
_FOLLOWING = """
SELECT id FROM clearing.batch WHERE book_id = $1 AND currency = $2 AND live = $3 AND cut_at > $4
ORDER BY cut_at LIMIT 1
"""


async def following(connection: Connection, batch: Batch) -> UUID | None:
    """Return the batch that begins with what another one carried on; None where it is not cut yet."""
    found: UUID | None = await connection.fetchval(
        _FOLLOWING, batch.book_id, batch.currency, batch.live, batch.cut_at
    )
    return found


async def movements_of(
    connection: Connection, book_id: int, intent_id: UUID, source_id: UUID | None, limit: int
) -> list[UUID]:
    """Return the movements of a payment, or of one attempt, refund or dispute of it, as they happened."""
    rows = await connection.fetch(_MOVEMENTS_OF, book_id, intent_id, source_id, limit)
    return [row["id"] for row in rows]


async def matched_lines(connection: Connection, expected: Sequence[UUID], limit: int) -> list[TracedLine]:
    """Return the lines that movements (of channels) and payouts (of banks) were matched with; ids the caller may see."""
    rows = await connection.fetch(_LINES, list(expected), limit)
    return [
        TracedLine(
            expected_id=row["expected_id"],
            is_bank=row["is_bank"],
            source=row["source"],
            on=row["day"],
            amount_minor=row["gross_minor"],
            statement=row["batch"],
        )
        for row in rows
    ]
