"""The SQL of snapshots: the learned state at positions of the facts."""

from datetime import datetime
from typing import NamedTuple

from tongbao.core.db import Connection

_SAVE = """
INSERT INTO risk.snapshot (position, taken_at, digest, body) VALUES ($1, $2, $3, $4)
ON CONFLICT (position) DO NOTHING
"""
_NEWEST = "SELECT position, taken_at, digest, body FROM risk.snapshot ORDER BY position DESC LIMIT 1"
_FORGET = """
DELETE FROM risk.snapshot WHERE position < (
    SELECT min(position) FROM (SELECT position FROM risk.snapshot ORDER BY position DESC LIMIT $1) AS kept
)
"""


class SnapshotRow(NamedTuple):
    """A dumped state, what it hashes to, and the position of the last fact in it."""

    position: int
    taken_at: datetime
    digest: str
    body: bytes


async def save(connection: Connection, row: SnapshotRow, kept: int) -> None:
    """Keep a snapshot and delete all but the newest ``kept``; joins the transaction."""
    await connection.execute(_SAVE, *row)
    await connection.execute(_FORGET, kept)


async def newest(connection: Connection) -> SnapshotRow | None:
    """Return the newest snapshot."""
    row = await connection.fetchrow(_NEWEST)
    return SnapshotRow(*row) if row else None
