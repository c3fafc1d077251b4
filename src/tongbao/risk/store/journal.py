"""The SQL of the journal: the facts of risk control in the order of commits, from which state is rebuilt."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from tongbao.core import copying
from tongbao.core.db import Connection
from tongbao.core.partitions import Partitioned

JOURNAL = Partitioned("risk", "journal", "id")
_COLUMNS = ("position", "id", "topic", "body")
_PAGE = "SELECT position, id, topic, body FROM risk.journal WHERE position > $1 ORDER BY position LIMIT $2"
# Conflicts with itself only, so whoever makes partitions goes one by one and writers go on.
_LOCK_PARTITIONS = "LOCK TABLE ONLY risk.journal IN SHARE UPDATE EXCLUSIVE MODE"
_END = "SELECT coalesce(max(position), 0) FROM risk.journal"


class JournalRow(NamedTuple):
    """One fact as it was published: its place in the order of commits, its id and its JSON."""

    position: int
    id: UUID
    topic: str
    body: bytes


async def lock_partitions(connection: Connection) -> None:
    """Wait until nobody else makes partitions, and keep others waiting until the transaction ends."""
    await connection.execute(_LOCK_PARTITIONS)


async def append(connection: Connection, rows: Sequence[JournalRow]) -> None:
    """Add facts; joins the transaction."""
    packed = (
        copying.row(
            [
                copying.bigint(row.position),
                copying.uuid(row.id),
                copying.text(row.topic),
                copying.blob(row.body),
            ]
        )
        for row in rows
    )
    await copying.copy(connection, "risk", "journal", _COLUMNS, packed)


async def page(connection: Connection, after: int, limit: int) -> list[JournalRow]:
    """Return the next facts after a position, in order."""
    return [JournalRow(*row) for row in await connection.fetch(_PAGE, after, limit)]


async def end(connection: Connection) -> int:
    """Return the last position in the journal; 0 where it is empty."""
    return int(await connection.fetchval(_END))
