"""The SQL of late truth: in which book a payment or refund is that a file names, and which refunds a run found in it."""

from typing import NamedTuple
from uuid import UUID

from tongbao.clearing.store.lines import HOUSE_BOOK_ID
from tongbao.core.db import Connection

# Files name payments without their book; they are looked up where they are kept, by their id alone.
_BOOK_OF_ATTEMPT = "SELECT book_id FROM payments.attempt WHERE id = $1 LIMIT 1"
_BOOK_OF_REFUND = "SELECT book_id FROM payments.refund WHERE id = $1 LIMIT 1"
_REFUNDS = """
SELECT d.line_id, m.book_id, m.source_id FROM clearing.matched AS d
JOIN clearing.movement AS m ON m.id = d.expected_id
WHERE d.book_id = $1 AND d.run_id = $2 AND d.leg = 0 AND d.line_id > $3 AND m.kind = 2
ORDER BY d.line_id LIMIT $4
"""


class RefundLine(NamedTuple):
    """A line that a run paired with a refund of ours."""

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


async def refunds_of(connection: Connection, run_id: UUID, after: int, limit: int) -> list[RefundLine]:
    """Return the lines that a run paired with refunds, in order, after a line."""
    rows = await connection.fetch(_REFUNDS, HOUSE_BOOK_ID, run_id, after, limit)
    return [RefundLine(*row) for row in rows]
