"""How the database of a house does: its size, its sessions, and how far its readers of facts have come."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple

from tongbao.core.db import Database
from tongbao.core.events.store import SEGMENT_FACTS_MAX

CONSUMERS_MAX = 200
LAG_COUNTED_MAX = 20_000
"""So many facts behind are told exactly; beyond it makes no difference."""

_DATABASE = """
SELECT pg_database_size(current_database()) AS size_bytes,
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS session_count,
    coalesce((SELECT extract(epoch FROM max(clock_timestamp() - xact_start)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()), 0)::double precision AS oldest_s
"""
# A reader remembers its place when it met something of its own: what is behind it counts only where it asks for it.
_CONSUMERS = """
SELECT c.consumer,
    CASE WHEN t.topics IS NULL OR t.topics = '' THEN r.next_position - 1 - c.position ELSE (
        SELECT count(*) FROM (
            SELECT 1 FROM events.segment AS s, unnest(s.ids) WITH ORDINALITY AS n (id, place)
            JOIN events.outbox AS o ON o.id = n.id
            WHERE s.first_position > c.position - $4::bigint AND s.first_position + n.place - 1 > c.position
                AND s.topics && string_to_array(t.topics, ',') AND o.topic = ANY (string_to_array(t.topics, ','))
            LIMIT $5
        ) AS found
    ) END AS lag,
    c.moved_at, c.attempts,
    (SELECT count(*) FROM events.dead_letter AS d WHERE d.consumer = c.consumer) AS dead_count,
    (SELECT min(d.died_at) FROM events.dead_letter AS d WHERE d.consumer = c.consumer) AS dead_since
FROM events.cursor AS c
CROSS JOIN events.relay AS r
LEFT JOIN unnest($1::text[], $2::text[]) AS t (consumer, topics) ON t.consumer = c.consumer
WHERE r.relay_id = 1 ORDER BY c.consumer LIMIT $3
"""
_RELAY = "SELECT moved_at FROM events.relay WHERE relay_id = 1"


class DatabaseVitals(NamedTuple):
    """``oldest_s``: how long the longest transaction has been open, in seconds."""

    size_bytes: int
    session_count: int
    oldest_s: float


class ConsumerVitals(NamedTuple):
    """A reader of facts. ``lag``: facts for it that it has not passed; ``attempts``: at the one it stands before."""

    name: str
    lag: int
    moved_at: datetime
    attempts: int
    dead_count: int
    dead_since: datetime | None


class Vitals(NamedTuple):
    """Everything at one instant. ``relay_moved_at``: when facts were given their places last."""

    database: DatabaseVitals
    consumers: tuple[ConsumerVitals, ...]
    relay_moved_at: datetime


async def vitals(database: Database, topics: Mapping[str, Collection[str]]) -> Vitals:
    """Return how a database does, in one snapshot; raise Unavailable where it does not answer.

    ``topics``: by reader, of which topics it reads facts; empty for one that reads all.
    """
    names, asked = list(topics), [",".join(each) for each in topics.values()]
    async with database.transaction(read_only=True, snapshot=True) as connection:
        general = DatabaseVitals(*await connection.fetchrow(_DATABASE))
        consumers = [
            ConsumerVitals(*row)
            for row in await connection.fetch(
                _CONSUMERS, names, asked, CONSUMERS_MAX, SEGMENT_FACTS_MAX, LAG_COUNTED_MAX
            )
        ]
        relay_moved_at: datetime = await connection.fetchval(_RELAY)
    return Vitals(general, tuple(consumers), relay_moved_at)
