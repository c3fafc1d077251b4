"""The SQL of late truth: in which book a payment or refund is that a file names, and which open refunds runs found in it."""

from typing import NamedTuple
from uuid import UUID

from tongbao.clearing.store.lines import HOUSE_BOOK_ID
from tongbao.core.db import Connection

# Files name payments without their book; they are looked up where they are kept, by their id alone.
_BOOK_OF_ATTEMPT = "SELECT book_id FROM payments.attempt WHERE id = $1 LIMIT 1"
_BOOK_OF_REFUND = "SELECT book_id FROM payments.refund WHERE id = $1 LIMIT 1"
# The few refunds that have no end yet, whichever run of the source paired them: those that are asked about again, and those of
# which nobody asks any more.
_REFUNDS = """
SELECT d.line_id, o.book_id, o.id AS refund_id
FROM (
    SELECT r.book_id, r.id, r.parent_id FROM payments.refund AS r
    WHERE r.due_at IS NOT NULL AND r.state IN ('sent', 'pending', 'unresolved')
    UNION ALL
    SELECT r.book_id, r.id, r.parent_id FROM payments.refund AS r
    WHERE r.due_at IS NULL AND r.state IN ('sent', 'pending', 'unresolved')
) AS o
JOIN clearing.movement AS m
    ON m.book_id = o.book_id AND m.intent_id = o.parent_id AND m.source_id = o.id AND m.kind = 2
JOIN clearing.matched AS d ON d.book_id = $1 AND d.leg = 0 AND d.expected_id = m.id
JOIN clearing.run AS n ON n.book_id = $1 AND n.id = d.run_id AND n.source = $2
WHERE d.line_id > $3
ORDER BY d.line_id LIMIT $4
"""


class RefundLine(NamedTuple):
    """A line that a run paired with a refund of ours that has no end yet."""

    line_id: int
    book_id: int
    refund_id: UUID


async def book_of_attempt(connection: Connection, attempt_id: UUID) -> int | None:
    """Return the book of an attempt; None where there is none."""
    found: int | None = await connection.fetchval(_BOOK_OF_ATTEMPT, attempt_id)
    return found


async def book_of_refund(connection: Connection, refund_id: UUID) -> int | None:
    """Return the book of a refund; None where there is none."""
    found: int | None = await connection.fetchval(_BOOK_OF_REFUND, refund_id)
    return found


async def open_refunds(connection: Connection, source: str, after: int, limit: int) -> list[RefundLine]:
    """Return the lines of a source that any run paired with refunds that have no end yet, in order, after a line."""
    rows = await connection.fetch(_REFUNDS, HOUSE_BOOK_ID, source, after, limit)
    return [RefundLine(*row) for row in rows]
