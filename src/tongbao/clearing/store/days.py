"""The SQL of days: what is true of one, their versions, and up to which of them nothing more is dated.

All of it belongs to the house, which is book 0 here.
"""

from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec

from tongbao.clearing.schema.days import Day, DayAct
from tongbao.clearing.store.lines import HOUSE_BOOK_ID
from tongbao.core.db import Connection

NEVER = date(1, 1, 1)
"""Stands where no day was closed yet."""

_COVERED = """
SELECT DISTINCT source FROM clearing.file
WHERE book_id = $1 AND state = 'read' AND until_on >= $2
    AND coalesce((body -> 'header' ->> 'from_on')::date, until_on) <= $2
"""
_RUN_UNTIL = "SELECT source, max(until_on) AS until_on FROM clearing.run WHERE book_id = $1 GROUP BY source"
_READING = "SELECT count(*) FROM clearing.file WHERE book_id = $1 AND state = 'reading' AND received_at < $2"
# A file that was refused and sent again is no worry.
_REFUSED = """
SELECT count(*) FROM clearing.file AS f
WHERE f.book_id = $1 AND f.state = 'refused' AND f.received_at >= $2 AND f.received_at < $3 AND NOT EXISTS (
    SELECT 1 FROM clearing.file AS n
    WHERE n.book_id = f.book_id AND n.source = f.source AND n.state = 'read' AND n.received_at > f.received_at)
"""
# Counted where they are kept: no face of payments counts over all books.
# Of all that was ever paid only what is still asked about (index document_due) and what nobody asks about any more (attempt_lost)
# is looked at; the states are those of OPEN.
_UNRESOLVED = """
SELECT (SELECT count(*) FROM payments.attempt
        WHERE due_at IS NOT NULL AND state IN ('sent', 'action_required', 'pending', 'unresolved') AND id < $1)
    + (SELECT count(*) FROM payments.attempt
        WHERE due_at IS NULL AND state IN ('sent', 'action_required', 'pending', 'unresolved') AND id < $1)
"""
_UNCUT = "SELECT count(*) FROM clearing.movement WHERE batch_id IS NULL AND cut_at <= $1"
_BATCHES = """
SELECT count(*) FILTER (WHERE state = 'cut') AS unpriced, count(*) FILTER (WHERE state = 'priced') AS unapproved
FROM clearing.batch WHERE cut_at <= $1 AND state IN ('cut', 'priced')
"""
_PAYOUTS = """
SELECT count(*) FILTER (WHERE state IN ('created', 'unresolved')) AS unknown,
    count(*) FILTER (WHERE state IN ('sent', 'accepted')) AS unbooked
FROM clearing.payout WHERE due_on <= $1 AND state IN ('created', 'sent', 'accepted', 'unresolved')
"""
# A refund that failed is reported by nobody.
_MOVEMENTS = """
SELECT count(*) AS count, count(*) FILTER (WHERE m.recorded_at >= $3) AS late,
    count(*) FILTER (WHERE EXISTS (
        SELECT 1 FROM clearing.matched AS d WHERE d.book_id = $1 AND d.leg = 0 AND d.expected_id = m.id)) AS matched
FROM clearing.movement AS m
WHERE m.occurred_at >= $2 AND m.occurred_at < $3 AND m.kind IN (1, 2, 4, 5)
    AND NOT (m.kind = 2 AND EXISTS (
        SELECT 1 FROM clearing.movement AS f
        WHERE f.book_id = m.book_id AND f.intent_id = m.intent_id AND f.source_id = m.source_id AND f.kind = 3))
"""
_STANDING = """
SELECT count(*) FILTER (WHERE kind <> 'expected') AS overdue, count(*) FILTER (WHERE state = 'proposed') AS proposed
FROM clearing.break WHERE book_id = $1 AND state IN ('open', 'explained', 'proposed') AND opened_on <= $2
"""
_LOCKED_ON = "SELECT locked_on FROM clearing.locked_until WHERE book_id = $1"
_SHARE = _LOCKED_ON + " FOR SHARE"
_LOCK = _LOCKED_ON + " FOR UPDATE"
_LOCK_UNTIL = "UPDATE clearing.locked_until SET locked_on = $2 WHERE book_id = $1"
_DAY = "SELECT body FROM clearing.day WHERE book_id = $1 AND closed_on = $2"
_PAGE = """
SELECT body FROM clearing.day WHERE book_id = $1 AND ($2::date IS NULL OR closed_on < $2)
ORDER BY closed_on DESC LIMIT $3
"""
_PUT = """
INSERT INTO clearing.day (book_id, closed_on, version, state, body) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (book_id, closed_on) DO UPDATE SET version = excluded.version, state = excluded.state, body = excluded.body
"""
_ADD_ACT = """
INSERT INTO clearing.day_act (book_id, closed_on, version, at, act, actor, note, report)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_ACTS = """
SELECT version, act, at, actor, note FROM clearing.day_act WHERE book_id = $1 AND closed_on = $2 ORDER BY version
"""


async def open_day(connection: Connection, on: date) -> date:
    """Return the first day from ``on`` on that takes anything; until the transaction ends no day is closed or opened.

    For whoever dates something: in the transaction that writes it.
    """
    locked_on: date | None = await connection.fetchval(_SHARE, HOUSE_BOOK_ID)
    if locked_on is None or locked_on == NEVER or on > locked_on:
        return on
    return locked_on + timedelta(days=1)


async def lock(connection: Connection) -> date:
    """Return up to which day everything is locked, and let nobody date anything until the transaction ends."""
    return await connection.fetchval(_LOCK, HOUSE_BOOK_ID) or NEVER


async def locked_on(connection: Connection) -> date:
    """Return up to which day everything is locked; ``NEVER`` where no day was closed."""
    return await connection.fetchval(_LOCKED_ON, HOUSE_BOOK_ID) or NEVER


async def lock_until(connection: Connection, on: date) -> None:
    """Lock everything up to a day, and nothing after it."""
    await connection.execute(_LOCK_UNTIL, HOUSE_BOOK_ID, on)


async def one(connection: Connection, on: date) -> Day | None:
    """Return a day that somebody closed or wanted to."""
    body = await connection.fetchval(_DAY, HOUSE_BOOK_ID, on)
    return None if body is None else msgspec.json.decode(body, type=Day)


async def page(connection: Connection, before: date | None, limit: int) -> list[Day]:
    """Return days, newest first."""
    rows = await connection.fetch(_PAGE, HOUSE_BOOK_ID, before, limit)
    return [msgspec.json.decode(row["body"], type=Day) for row in rows]


async def put(connection: Connection, day: Day, act: DayAct) -> None:
    """Keep the next version of a day, and who made it why."""
    body = msgspec.json.encode(day).decode()
    await connection.execute(_PUT, HOUSE_BOOK_ID, day.on, day.version, day.state.value, body)
    report = None if day.report is None else msgspec.json.encode(day.report).decode()
    await connection.execute(
        _ADD_ACT, HOUSE_BOOK_ID, day.on, day.version, act.at, act.act, act.actor, act.note, report
    )


async def acts(connection: Connection, on: date) -> list[DayAct]:
    """Return what was done about a day, oldest first."""
    rows = await connection.fetch(_ACTS, HOUSE_BOOK_ID, on)
    return [msgspec.convert(dict(row), DayAct) for row in rows]


async def covered(connection: Connection, on: date) -> set[str]:
    """Return the sources of which a file that was read covers a day."""
    return {row["source"] for row in await connection.fetch(_COVERED, HOUSE_BOOK_ID, on)}


async def runs_until(connection: Connection) -> dict[str, date]:
    """Return by source up to which day it was reconciled."""
    return {row["source"]: row["until_on"] for row in await connection.fetch(_RUN_UNTIL, HOUSE_BOOK_ID)}


async def files(connection: Connection, begin: datetime, end: datetime, now: datetime) -> tuple[int, int]:
    """Return how many files that came before ``end`` are still being read, and how many since ``begin`` were refused for good."""
    reading = await connection.fetchval(_READING, HOUSE_BOOK_ID, end)
    refused = await connection.fetchval(_REFUSED, HOUSE_BOOK_ID, begin, now)
    return int(reading), int(refused)


async def unresolved(connection: Connection, before: UUID) -> int:
    """Return how many attempts older than an id have no known end."""
    return int(await connection.fetchval(_UNRESOLVED, before))


async def batches(connection: Connection, end: datetime) -> tuple[int, int, int]:
    """Return movements not cut, batches not priced and batches not approved, of all that is cut by an instant."""
    uncut = await connection.fetchval(_UNCUT, end)
    row = await connection.fetchrow(_BATCHES, end)
    return int(uncut), int(row["unpriced"]), int(row["unapproved"])


async def payouts(connection: Connection, on: date) -> tuple[int, int]:
    """Return, of the payouts that were due by a day, how many are not sent or unresolved, and how many the bank has but not booked.

    What was sent and not answered is among the second.
    """
    row = await connection.fetchrow(_PAYOUTS, on)
    return row["unknown"], row["unbooked"]


async def movements(connection: Connection, begin: datetime, end: datetime) -> tuple[int, int, int]:
    """Return how many movements a channel should report of a time, how many were recorded later, how many are matched."""
    row = await connection.fetchrow(_MOVEMENTS, HOUSE_BOOK_ID, begin, end)
    return row["count"], row["late"], row["matched"]


async def standing(connection: Connection, on: date) -> tuple[int, int]:
    """Return how many breaks up to a day stand and are not merely still in time, and how many wait for a second person."""
    row = await connection.fetchrow(_STANDING, HOUSE_BOOK_ID, on)
    return row["overdue"], row["proposed"]
