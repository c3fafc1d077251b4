"""The SQL of models: each by the digest of its bytes, with the card that describes it; never changed."""

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from tongbao.core.db import Connection

_INSERT = """
INSERT INTO risk.model (digest, made_at, made_by, kind, body, card) VALUES ($1, $2, $3, $4, $5, $6::jsonb)
ON CONFLICT (digest) DO NOTHING
"""
_BODY = "SELECT body FROM risk.model WHERE digest = $1"
_FIELDS = "digest, made_at, made_by, kind, length(body) AS size_bytes, card"
_ONE = "SELECT " + _FIELDS + " FROM risk.model WHERE digest = $1"
_PAGE = "SELECT " + _FIELDS + " FROM risk.model ORDER BY made_at DESC, digest LIMIT $1"


class ModelRow(NamedTuple):
    """A model as it was kept; ``card`` is what its card is written from."""

    digest: str
    made_at: datetime
    made_by: str
    kind: str
    size_bytes: int
    card: dict[str, Any]


async def insert(connection: Connection, row: ModelRow, body: bytes) -> None:
    """Keep a model; one that is kept already stays as it is. Joins the transaction."""
    card = msgspec.json.encode(row.card).decode()
    await connection.execute(_INSERT, row.digest, row.made_at, row.made_by, row.kind, body, card)


async def body(connection: Connection, digest: str) -> bytes | None:
    """Return the bytes of a model."""
    found: bytes | None = await connection.fetchval(_BODY, digest)
    return found


async def one(connection: Connection, digest: str) -> ModelRow | None:
    """Return what is known of a model, without its bytes."""
    row = await connection.fetchrow(_ONE, digest)
    return _row(row) if row else None


async def page(connection: Connection, limit: int) -> list[ModelRow]:
    """Return the newest models, without their bytes."""
    return [_row(row) for row in await connection.fetch(_PAGE, limit)]


def _row(row: Any) -> ModelRow:
    values = list(row)
    if isinstance(values[5], str):
        values[5] = msgspec.json.decode(values[5])
    return ModelRow(*values)
