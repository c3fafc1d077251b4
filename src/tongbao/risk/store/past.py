"""The SQL of looking back: the state that was kept last before a position of the facts."""

from datetime import datetime

from tongbao.core.db import Connection
from tongbao.risk.store.snapshots import SnapshotRow

_AT = """
SELECT position, taken_at, digest, body FROM risk.snapshot WHERE position <= $1 ORDER BY position DESC LIMIT 1
"""
_BEFORE = """
SELECT position, taken_at, digest, body FROM risk.snapshot WHERE taken_at <= $1 ORDER BY position DESC LIMIT 1
"""


async def snapshot_before(connection: Connection, at: datetime) -> SnapshotRow | None:
    """Return the newest snapshot that was taken at or before an instant; None where all are later."""
    row = await connection.fetchrow(_BEFORE, at)
    return SnapshotRow(*row) if row else None


async def snapshot_at(connection: Connection, position: int) -> SnapshotRow | None:
    """Return the newest snapshot that holds no fact after ``position``; None where all are later."""
    row = await connection.fetchrow(_AT, position)
    return SnapshotRow(*row) if row else None
