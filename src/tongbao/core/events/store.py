"""The SQL of the relay and of retention: new facts found by snapshots, their order, and when they may go.

What is particular to one engine stands here and nowhere else. A fact carries the number of the transaction that
published it. The relay remembers the snapshot up to which it has placed facts: the first number not yet given
out then, and those that were still running. What a newer snapshot sees beyond that is new, however long another
transaction takes; so facts come in the order in which they became visible, and those that became visible between
two looks come by commit timestamp (``track_commit_timestamp``, on in the embedded server).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.core import copying
from tongbao.core.db import Connection

SEGMENT_FACTS_MAX = 1_024

_RELAY = """
SELECT next_position, next_xid, running_xids, xid_offset, native_xid, system_identifier
FROM events.relay WHERE relay_id = 1
"""
_LOCK_RELAY = _RELAY + " FOR UPDATE SKIP LOCKED"
_WAIT_RELAY = _RELAY + " FOR UPDATE"
_MOVE_RELAY = """
UPDATE events.relay SET next_position = $1, next_xid = $2, running_xids = $3, moved_at = $4 WHERE relay_id = 1
"""
_ADOPT = "UPDATE events.relay SET system_identifier = $1, xid_offset = $2, native_xid = $3 WHERE relay_id = 1"
_HEAD = "SELECT next_position - 1 FROM events.relay WHERE relay_id = 1"
_SYSTEM = "SELECT system_identifier FROM pg_control_system()"
_NO_SCANS = "SELECT set_config('enable_seqscan', 'off', true)"
_SNAPSHOT = "SELECT pg_current_snapshot()::text"
_LAST_XID = "SELECT coalesce(max(batch_xid), 0) FROM events.outbox"
_SUMMARIZE = "SELECT brin_summarize_new_values('events.outbox_batch'::regclass)"

_ANYTHING = """
SELECT EXISTS (SELECT 1 FROM events.outbox WHERE batch_xid >= $1 OR batch_xid = ANY ($2::bigint[]))
"""
_COUNT = """
SELECT count(*) FROM (SELECT 1 FROM events.outbox WHERE batch_xid >= $1 AND batch_xid < $2 LIMIT $3) AS found
"""
_PLACE = """
WITH fresh AS MATERIALIZED (
    SELECT o.id, o.batch_xid, o.topic, o.recorded_at FROM events.outbox AS o
    WHERE ((o.batch_xid >= $1 AND o.batch_xid < $2) OR o.batch_xid = ANY ($3::bigint[]))
        AND o.batch_xid <> ALL ($4::bigint[])
), batch AS (
    SELECT b.batch_xid, CASE WHEN $5::boolean AND b.batch_xid >= $6::bigint THEN
        pg_xact_commit_timestamp(((b.batch_xid - $7::bigint) & 4294967295)::text::xid) END AS committed_at
    FROM (SELECT DISTINCT batch_xid FROM fresh) AS b
), placed AS (
    SELECT f.id, f.topic, f.recorded_at,
        row_number() OVER (ORDER BY b.committed_at NULLS FIRST, f.batch_xid, f.id) - 1 AS place
    FROM fresh AS f JOIN batch AS b ON b.batch_xid = f.batch_xid
)
INSERT INTO events.segment (first_position, fact_count, recorded_to, topics, ids)
SELECT $8::bigint + min(place), count(*), max(recorded_at), array_agg(DISTINCT topic), array_agg(id ORDER BY place)
FROM placed GROUP BY place / $9::bigint
RETURNING fact_count
"""

_PASSED = """
SELECT s.first_position, s.ids FROM events.segment AS s
WHERE s.recorded_to < $1
    AND s.first_position + s.fact_count - 1 <= ALL (SELECT c.position FROM events.cursor AS c)
    AND NOT EXISTS (SELECT 1 FROM events.dead_letter AS d
        WHERE d.position >= s.first_position AND d.position < s.first_position + s.fact_count)
ORDER BY s.first_position LIMIT $2
FOR UPDATE SKIP LOCKED
"""
_DELETE_FACTS = "DELETE FROM events.outbox WHERE id = ANY ($1::uuid[])"
_DELETE_SEGMENTS = "DELETE FROM events.segment WHERE first_position = ANY ($1::bigint[])"


class OutboxRow(NamedTuple):
    """A fact as it is written."""

    id: UUID
    topic: str
    subject: str
    payload: bytes
    occurred_at: datetime
    recorded_at: datetime


class RelayRow(NamedTuple):
    """Up to where facts have a position; transaction numbers are stored ones (``xid_offset`` added)."""

    next_position: int
    next_xid: int
    running_xids: list[int]
    xid_offset: int
    native_xid: int
    system_identifier: int | None


class Snapshot(NamedTuple):
    """What has ended: everything below ``next_xid`` except ``running_xids``; in stored numbers."""

    next_xid: int
    running_xids: list[int]

    def until(self, stop_xid: int) -> "Snapshot":
        """Return the part of this snapshot below ``stop_xid``."""
        return Snapshot(stop_xid, [xid for xid in self.running_xids if xid < stop_xid])


async def insert_facts(connection: Connection, rows: Sequence[OutboxRow]) -> None:
    """Append to the outbox in the caller's transaction."""
    recorded = copying.instant(rows[0].recorded_at)
    await copying.copy(
        connection,
        "events",
        "outbox",
        OutboxRow._fields,
        [
            copying.row(
                (
                    copying.uuid(row.id),
                    copying.text(row.topic),
                    copying.text(row.subject),
                    copying.blob(row.payload),
                    copying.instant(row.occurred_at),
                    recorded if row.recorded_at is rows[0].recorded_at else copying.instant(row.recorded_at),
                )
            )
            for row in rows
        ],
    )


async def scan_nothing(connection: Connection) -> None:
    """Keep the planner from reading the whole outbox for a handful of new facts, until the transaction ends."""
    await connection.execute(_NO_SCANS)


async def relay(connection: Connection) -> RelayRow:
    """Return how far the relay has come, without locking it."""
    return RelayRow(*await connection.fetchrow(_RELAY))


async def lock_relay(connection: Connection, *, wait: bool = False) -> RelayRow | None:
    """Become the only relay until the transaction ends; None where another one is at work."""
    row = await connection.fetchrow(_WAIT_RELAY if wait else _LOCK_RELAY)
    return None if row is None else RelayRow(*row)


async def move_relay(connection: Connection, next_position: int, seen: Snapshot, at: datetime) -> None:
    """Remember up to where facts have a position."""
    await connection.execute(_MOVE_RELAY, next_position, seen.next_xid, seen.running_xids, at)


async def head(connection: Connection) -> int:
    """Return the last position given; 0 before the first."""
    position: int = await connection.fetchval(_HEAD)
    return position


async def snapshot(connection: Connection, xid_offset: int) -> Snapshot:
    """Return which transactions have ended now."""
    text: str = await connection.fetchval(_SNAPSHOT)
    _, next_xid, running = text.split(":")
    return Snapshot(int(next_xid) + xid_offset, [int(xid) + xid_offset for xid in running.split(",") if xid])


async def system_identifier(connection: Connection) -> int:
    """Return what tells this database cluster from any other."""
    identifier: int = await connection.fetchval(_SYSTEM)
    return identifier


async def keeps_commit_times(connection: Connection) -> bool:
    """Tell whether the server knows when each transaction committed."""
    return bool(await connection.fetchval("SHOW track_commit_timestamp") == "on")


async def adopt(connection: Connection, seen: RelayRow, system: int) -> None:
    """Make stored numbers go on upwards in a cluster whose transaction numbers began anew.

    Joins the caller's transaction, which holds the relay's row. Publishers wait until it ends.
    """
    # Setting any default locks publishers out, so that the highest number read next stays the highest.
    await _set_offset(connection, 0)
    last: int = await connection.fetchval(_LAST_XID)
    ended = await snapshot(connection, 0)
    first = max(last + 1, seen.next_xid)
    offset = max(0, first - min([ended.next_xid, *ended.running_xids]))
    await _set_offset(connection, offset)
    await connection.execute(_ADOPT, system, offset, first)


async def _set_offset(connection: Connection, offset: int) -> None:
    # built SQL: a default takes no parameters
    default = f"(pg_current_xact_id()::text::bigint + {offset:d})"
    await connection.execute(f"ALTER TABLE events.outbox ALTER COLUMN batch_xid SET DEFAULT {default}")


async def anything_since(connection: Connection, seen: RelayRow) -> bool:
    """Tell whether facts are visible that may have no position yet."""
    return bool(await connection.fetchval(_ANYTHING, seen.next_xid, seen.running_xids))


async def count_between(connection: Connection, first_xid: int, stop_xid: int, limit: int) -> int:
    """Count the visible facts with numbers in [first_xid, stop_xid), no further than ``limit``."""
    count: int = await connection.fetchval(_COUNT, first_xid, stop_xid, limit)
    return count


async def place(connection: Connection, seen: RelayRow, ended: Snapshot, *, by_commit: bool) -> int:
    """Give every fact that ``ended`` sees and ``seen`` did not its position; return how many there were."""
    since = sorted(set(seen.running_xids) - set(ended.running_xids))
    rows = await connection.fetch(
        _PLACE,
        seen.next_xid,
        ended.next_xid,
        since,
        ended.running_xids,
        by_commit,
        seen.native_xid,
        seen.xid_offset,
        seen.next_position,
        SEGMENT_FACTS_MAX,
    )
    return sum(row["fact_count"] for row in rows)


async def summarize(connection: Connection) -> None:
    """Let the block ranges that filled up since be skipped by the next search for new facts."""
    await connection.fetchval(_SUMMARIZE)


async def forget(connection: Connection, before: datetime, segments_max: int) -> int:
    """Delete the oldest segments that everybody has passed, with their facts; return the number of segments."""
    rows = await connection.fetch(_PASSED, before, segments_max)
    if rows:
        await connection.execute(_DELETE_FACTS, [fact_id for row in rows for fact_id in row["ids"]])
        await connection.execute(_DELETE_SEGMENTS, [row["first_position"] for row in rows])
    return len(rows)
