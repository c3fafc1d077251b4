"""The SQL of adjustments. The body of an adjustment is the adjustment; its columns are a copy. Moves hold the lock of its row."""

from uuid import UUID

import msgspec

from tongbao.clearing.schema.adjustments import Adjustment, AdjustmentState
from tongbao.core.db import Connection

_READ = msgspec.json.Decoder(Adjustment).decode

_INSERT = """
INSERT INTO clearing.adjustment (book_id, id, reverses, amount_minor, created_at, updated_at, version, live,
    currency, state, reference, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT DO NOTHING
"""
_UPDATE = """
UPDATE clearing.adjustment SET state = $3, version = $4, updated_at = $5, body = $6
WHERE book_id = $1 AND id = $2 AND version = $4 - 1
"""
_ONE = "SELECT body FROM clearing.adjustment WHERE book_id = $1 AND id = $2"
_LOCK = _ONE + " FOR UPDATE"
_BY_REFERENCE = "SELECT body FROM clearing.adjustment WHERE book_id = $1 AND reference = $2"
_BOOK_OF = "SELECT book_id FROM clearing.adjustment WHERE id = $1"
_PAGE = """
SELECT body FROM clearing.adjustment
WHERE ($1::bigint IS NULL OR book_id = $1) AND ($2::text IS NULL OR state = $2) AND ($3::uuid IS NULL OR id < $3)
    AND ($4::boolean IS NULL OR live = $4)
ORDER BY id DESC LIMIT $5
"""


async def insert(connection: Connection, made: Adjustment) -> bool:
    """Write a new adjustment; False where its reference is used, or what it takes back is taken back already."""
    order = made.order
    done = await connection.execute(
        _INSERT,
        order.book_id,
        made.id,
        order.reverses,
        order.amount_minor,
        made.created_at,
        made.updated_at,
        made.version,
        made.live,
        order.currency,
        made.state.value,
        order.reference,
        msgspec.json.encode(made).decode(),
    )
    return bool(done == "INSERT 0 1")


async def update(connection: Connection, after: Adjustment) -> None:
    """Write the next version of an adjustment that is locked."""
    await connection.execute(
        _UPDATE,
        after.order.book_id,
        after.id,
        after.state.value,
        after.version,
        after.updated_at,
        msgspec.json.encode(after).decode(),
    )


async def one(
    connection: Connection, book_id: int, adjustment_id: UUID, *, lock: bool = False
) -> Adjustment | None:
    """Return an adjustment of a book, locked where asked."""
    body = await connection.fetchval(_LOCK if lock else _ONE, book_id, adjustment_id)
    return None if body is None else _READ(body)


async def by_reference(connection: Connection, book_id: int, reference: str) -> Adjustment | None:
    """Return the adjustment of a book that was proposed under a reference."""
    body = await connection.fetchval(_BY_REFERENCE, book_id, reference)
    return None if body is None else _READ(body)


async def book_of(connection: Connection, adjustment_id: UUID) -> int | None:
    """Return the book of an adjustment; None where there is none."""
    found: int | None = await connection.fetchval(_BOOK_OF, adjustment_id)
    return found


async def page(
    connection: Connection,
    of: tuple[int | None, bool | None],
    state: AdjustmentState | None,
    before: UUID | None,
    limit: int,
) -> list[Adjustment]:
    """Return adjustments, newest first; ``of``: book and mode, None for any."""
    name = None if state is None else state.value
    rows = await connection.fetch(_PAGE, of[0], name, before, of[1], limit)
    return [_READ(row["body"]) for row in rows]
