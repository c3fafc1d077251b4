"""The SQL of accounts of all books by their state: what waits for a second person, cools down or is paused."""

from uuid import UUID

import msgspec

from tongbao.clearing.schema.payouts import Destination, DestinationState
from tongbao.core.db import Connection

_READ = msgspec.json.Decoder(Destination).decode
_PAGE = """
SELECT body FROM clearing.destination
WHERE state = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""


async def page(
    connection: Connection, state: DestinationState, before: UUID | None, limit: int
) -> list[Destination]:
    """Return accounts in a state, newest first, those before one of them."""
    rows = await connection.fetch(_PAGE, state.value, before, limit)
    return [_READ(row["body"]) for row in rows]
