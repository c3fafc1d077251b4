"""The SQL of disputes over every book, for the house. Reads only."""

from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.core.db import Connection
from tongbao.payments.schema.refunds import Dispute

_DECODER = msgspec.json.Decoder(Dispute)
_FOUND = """
SELECT body FROM payments.dispute
WHERE (body ->> 'live')::boolean = $1 AND ($2::text[] IS NULL OR state = ANY ($2))
    AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
ORDER BY created_at DESC, id DESC LIMIT $5
"""
_ONE = "SELECT body FROM payments.dispute WHERE id = $1 LIMIT 1"


async def found(
    connection: Connection,
    live: bool,
    states: list[str] | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Dispute]:
    """Return disputes of a mode, newest first, in any of the states, those before one where it is given."""
    at, dispute_id = (None, None) if before is None else before
    rows = await connection.fetch(_FOUND, live, states, at, dispute_id, limit)
    return [_DECODER.decode(row["body"]) for row in rows]


async def one(connection: Connection, dispute_id: UUID) -> Dispute | None:
    """Return a dispute of any book."""
    row = await connection.fetchrow(_ONE, dispute_id)
    return None if row is None else _DECODER.decode(row["body"])
