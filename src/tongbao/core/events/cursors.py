"""The SQL of consumers: their place and lease, the facts that follow it, and their dead letters.

A lease makes one process the active one of a consumer. It is a row with a time by the database's clock, not a lock
held open: a handler that waits for somebody else's server must not hold back the sealer's or vacuum's horizon.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from tongbao.core.db import Connection
from tongbao.core.events.facts import Delivered, decode
from tongbao.core.events.store import SEGMENT_FACTS_MAX

ERROR_CHARS_MAX = 500

_REGISTER = """
INSERT INTO events.cursor (consumer, position, attempts, owner, leased_until, moved_at)
SELECT $1, CASE WHEN $2::boolean THEN r.next_position - 1 ELSE 0 END, 0, NULL, $3, $3
FROM events.relay AS r WHERE r.relay_id = 1
ON CONFLICT DO NOTHING
"""
_CLAIM = """
SELECT position, attempts, clock_timestamp() AS at FROM events.cursor
WHERE consumer = $1 AND (owner IS NULL OR owner = $2 OR leased_until <= clock_timestamp())
FOR UPDATE SKIP LOCKED
"""
_LEASE = "UPDATE events.cursor SET owner = $2, leased_until = $3, position = $4 WHERE consumer = $1"
_RELEASE = """
UPDATE events.cursor SET owner = NULL, position = greatest(position, $3) WHERE consumer = $1 AND owner = $2
"""
_LOCK_OWN = "SELECT position FROM events.cursor WHERE consumer = $1 AND owner = $2 FOR UPDATE"
_SAVE = """
UPDATE events.cursor SET position = $3, attempts = $4, moved_at = $5
WHERE consumer = $1 AND owner = $2 AND position <= $6
"""
_DROP = "DELETE FROM events.cursor WHERE consumer = $1"
_DROP_DEAD = "DELETE FROM events.dead_letter WHERE consumer = $1"
_HEAD = "SELECT next_position - 1 FROM events.relay WHERE relay_id = 1"
_OUTLOOK = """
SELECT r.next_position - 1, ARRAY (
    SELECT DISTINCT d.consumer FROM events.dead_letter AS d
    WHERE d.consumer = ANY ($1::text[]) AND d.replay_at IS NOT NULL
)
FROM events.relay AS r WHERE r.relay_id = 1
"""

_READ = """
SELECT p.position, o.id, o.topic, o.subject, o.occurred_at, o.recorded_at, o.payload
FROM (
    SELECT s.first_position + n.place - 1 AS position, n.id
    FROM events.segment AS s, unnest(s.ids) WITH ORDINALITY AS n (id, place)
    WHERE s.first_position > $1::bigint - $5::bigint AND s.first_position <= $2::bigint
        AND (cardinality($3::text[]) = 0 OR s.topics && $3::text[])
) AS p
JOIN events.outbox AS o ON o.id = p.id
WHERE p.position > $1::bigint AND p.position <= $2::bigint AND (cardinality($3::text[]) = 0 OR o.topic = ANY ($3::text[]))
ORDER BY p.position LIMIT $4
"""

_BURY = """
INSERT INTO events.dead_letter (consumer, position, fact_id, attempts, died_at, replay_at, error)
VALUES ($1, $2, $3, $4, $5, NULL, $6)
"""
_ASK_REPLAY = "UPDATE events.dead_letter SET replay_at = $2 WHERE consumer = $1 AND replay_at IS NULL"
_REPLAYABLE = """
SELECT d.position, o.id, o.topic, o.subject, o.occurred_at, o.recorded_at, o.payload
FROM events.dead_letter AS d JOIN events.outbox AS o ON o.id = d.fact_id
WHERE d.consumer = $1 AND d.replay_at IS NOT NULL ORDER BY d.position LIMIT $2
"""
_REVIVE = "DELETE FROM events.dead_letter WHERE consumer = $1 AND position = $2"
_REBURY = """
UPDATE events.dead_letter SET attempts = attempts + 1, died_at = $3, replay_at = NULL, error = $4
WHERE consumer = $1 AND position = $2
"""
_DEAD = """
SELECT position, fact_id, attempts, died_at, replay_at, error FROM events.dead_letter
WHERE consumer = $1 AND position > $2 ORDER BY position LIMIT $3
"""


class Place(NamedTuple):
    """How far a consumer has come, and how often what follows has failed."""

    position: int
    attempts: int


class DeadLetter(NamedTuple):
    """A fact that a consumer could not handle; ``replay_at`` is when somebody asked to try it again."""

    position: int
    fact_id: UUID
    attempts: int
    died_at: datetime
    replay_at: datetime | None
    error: str


async def register(connection: Connection, consumer: str, at: datetime, *, from_now: bool) -> None:
    """Give a new consumer its place; nothing happens where it has one."""
    await connection.execute(_REGISTER, consumer, from_now, at)


async def claim(
    connection: Connection, consumer: str, owner: UUID, lease_s: float, passed: int
) -> Place | None:
    """Become, or stay, the active process of a consumer for ``lease_s`` seconds; None where another one is.

    ``passed`` is a position up to which the owner found nothing to handle; it is kept where it is further.
    Needs a transaction.
    """
    row = await connection.fetchrow(_CLAIM, consumer, owner)
    if row is None:
        return None
    position = max(row["position"], passed)
    await connection.execute(_LEASE, consumer, owner, row["at"] + timedelta(seconds=lease_s), position)
    return Place(position, row["attempts"])


async def release(connection: Connection, consumer: str, owner: UUID, position: int) -> None:
    """Let another process become the active one at once."""
    await connection.execute(_RELEASE, consumer, owner, position)


async def lock_own(connection: Connection, consumer: str, owner: UUID) -> bool:
    """Keep the lease from passing on until the transaction ends; False where it has."""
    return await connection.fetchval(_LOCK_OWN, consumer, owner) is not None


async def save(
    connection: Connection, consumer: str, owner: UUID, before: Place, after: Place, at: datetime
) -> bool:
    """Keep a consumer's place; False where ``owner`` is not the active process any more.

    False too where the place is beyond ``before``: then an earlier commit, whose answer was lost, did succeed.
    """
    status: str = await connection.execute(
        _SAVE, consumer, owner, after.position, after.attempts, at, before.position
    )
    return status == "UPDATE 1"


async def drop(connection: Connection, consumer: str) -> None:
    """Forget a consumer, its place and its dead letters."""
    await connection.execute(_DROP_DEAD, consumer)
    await connection.execute(_DROP, consumer)


async def head(connection: Connection) -> int:
    """Return the last position given."""
    position: int = await connection.fetchval(_HEAD)
    return position


async def outlook(connection: Connection, consumers: Sequence[str]) -> tuple[int, Collection[str]]:
    """Return the last position given, and those of these consumers of whose dead letters a replay was asked for."""
    position, asked = await connection.fetchrow(_OUTLOOK, consumers)
    return position, frozenset(asked)


async def read(
    connection: Connection, after: int, upto: int, topics: Sequence[str], limit: int
) -> list[Delivered]:
    """Return the facts at positions in (after, upto] of these topics (all where none), in order."""
    rows = await connection.fetch(_READ, after, upto, topics, limit, SEGMENT_FACTS_MAX)
    return [_delivered(row) for row in rows]


async def bury(
    connection: Connection, consumer: str, dead: Delivered, attempts: int, error: str, at: datetime
) -> None:
    """Write a dead letter."""
    await connection.execute(_BURY, consumer, dead.position, dead.id, attempts, at, _cut(error))


async def ask_replay(connection: Connection, consumer: str, at: datetime) -> int:
    """Mark the dead letters of a consumer for replay; return how many."""
    status: str = await connection.execute(_ASK_REPLAY, consumer, at)
    return int(status.rsplit(" ", 1)[1])


async def replayable(connection: Connection, consumer: str, limit: int) -> list[Delivered]:
    """Return the first facts of a consumer's dead letters that are marked for replay."""
    return [_delivered(row) for row in await connection.fetch(_REPLAYABLE, consumer, limit)]


async def revive(connection: Connection, consumer: str, position: int) -> None:
    """Remove a dead letter that was handled after all."""
    await connection.execute(_REVIVE, consumer, position)


async def rebury(connection: Connection, consumer: str, position: int, error: str, at: datetime) -> None:
    """Note that a replay failed."""
    await connection.execute(_REBURY, consumer, position, at, _cut(error))


async def dead_letters(connection: Connection, consumer: str, after: int, limit: int) -> list[DeadLetter]:
    """Return dead letters of a consumer after a position, in order."""
    rows = await connection.fetch(_DEAD, consumer, after, limit)
    return [DeadLetter(*row) for row in rows]


def _delivered(row: Connection) -> Delivered:
    *place, payload = row
    position, fact_id, topic, subject, occurred_at, recorded_at = place
    return Delivered(
        position, UUID(int=fact_id.int), topic, subject, occurred_at, recorded_at, decode(topic, payload)
    )


def _cut(error: str) -> str:
    return error.replace("\x00", "")[:ERROR_CHARS_MAX]
