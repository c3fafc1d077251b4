"""The SQL of announcements, of what people did about them, and of the dates that are counted anew by them."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.clearing.schema.announcements import Announcement
from tongbao.clearing.schema.batches import Batch
from tongbao.clearing.schema.movements import MovementKind
from tongbao.core.db import Connection

_READ = msgspec.json.Decoder(Announcement).decode
_READ_BATCH = msgspec.json.Decoder(Batch).decode
_ENCODE = msgspec.json.Encoder().encode

_INSERT = """
INSERT INTO clearing.announcement (id, calendar, year, state, version, decided_at, body)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_UPDATE = """
UPDATE clearing.announcement SET state = $2, version = $3, decided_at = $4, body = $5
WHERE id = $1 AND version = $3 - 1
"""
_ACT = """
INSERT INTO clearing.announcement_act (announcement_id, version, at, act, actor, note)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_ONE = "SELECT body FROM clearing.announcement WHERE id = $1"
_LOCK = _ONE + " FOR UPDATE"
_PAGE = """
SELECT body FROM clearing.announcement
WHERE ($1::text IS NULL OR calendar = $1) AND ($2::integer IS NULL OR year = $2)
ORDER BY id DESC LIMIT $3
"""
# Of a calendar and year the one that was decided last holds.
_IN_FORCE = """
SELECT DISTINCT ON (calendar, year) body FROM clearing.announcement
WHERE state = 'in_force' ORDER BY calendar, year, decided_at DESC, id DESC LIMIT $1
"""
_WAITING = """
SELECT m.book_id, m.id, m.currency, m.kind, m.occurred_at, m.cut_at, m.payout_on FROM clearing.movement AS m
WHERE m.batch_id IS NULL AND m.payout_on >= $1 AND (m.book_id, m.id) > ($2, $3)
ORDER BY m.book_id, m.id LIMIT $4
"""
_REPLAN = """
UPDATE clearing.movement AS m SET cut_at = u.cut_at, payout_on = u.payout_on
FROM unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::date[]) AS u (book_id, id, cut_at, payout_on)
WHERE m.book_id = u.book_id AND m.id = u.id AND m.batch_id IS NULL
"""
_BATCHES = """
SELECT body FROM clearing.batch
WHERE state = ANY ('{cut,priced,approved}') AND payout_id IS NULL AND payout_on >= $1 AND (book_id, id) > ($2, $3)
ORDER BY book_id, id LIMIT $4
"""


class Waiting(NamedTuple):
    """A movement that no batch took yet, with what its cut is counted from."""

    book_id: int
    id: UUID
    currency: str
    kind: MovementKind
    occurred_at: datetime
    cut_at: datetime
    payout_on: date


async def insert(connection: Connection, made: Announcement) -> None:
    """Write a new announcement and who entered it."""
    order = made.order
    body = _ENCODE(made).decode()
    await connection.execute(
        _INSERT, made.id, order.calendar, order.year, made.state.value, made.version, made.decided_at, body
    )
    await _act(connection, made)


async def update(connection: Connection, after: Announcement) -> None:
    """Write the next version of an announcement that is locked, and who made it so."""
    body = _ENCODE(after).decode()
    await connection.execute(_UPDATE, after.id, after.state.value, after.version, after.decided_at, body)
    await _act(connection, after)


async def one(connection: Connection, announcement_id: UUID, *, lock: bool = False) -> Announcement | None:
    """Return an announcement, locked where asked."""
    body = await connection.fetchval(_LOCK if lock else _ONE, announcement_id)
    return None if body is None else _READ(body)


async def page(
    connection: Connection, calendar: str | None, year: int | None, limit: int
) -> list[Announcement]:
    """Return announcements, the newest first."""
    return [_READ(row[0]) for row in await connection.fetch(_PAGE, calendar, year, limit)]


async def in_force(connection: Connection, limit: int) -> list[Announcement]:
    """Return the announcement that holds for each calendar and year."""
    return [_READ(row[0]) for row in await connection.fetch(_IN_FORCE, limit)]


async def waiting(
    connection: Connection, from_on: date, after: tuple[int, UUID], limit: int
) -> list[Waiting]:
    """Return movements that wait to be paid from a day on, by book and id, those behind ``after``."""
    rows = await connection.fetch(_WAITING, from_on, *after, limit)
    return [Waiting(**(dict(row) | {"kind": MovementKind(row["kind"])})) for row in rows]


async def replan(connection: Connection, moved: Sequence[Waiting]) -> int:
    """Write other cuts and dates; what a batch took meanwhile stays as it is. Return how many were written."""
    columns = zip(*((each.book_id, each.id, each.cut_at, each.payout_on) for each in moved), strict=True)
    done = await connection.execute(_REPLAN, *map(list, columns))
    return int(done.rpartition(" ")[2])


async def batches(connection: Connection, from_on: date, after: tuple[int, UUID], limit: int) -> list[Batch]:
    """Return batches without a payout that are paid from a day on, by book and id, those behind ``after``."""
    return [_READ_BATCH(row[0]) for row in await connection.fetch(_BATCHES, from_on, *after, limit)]


async def _act(connection: Connection, made: Announcement) -> None:
    deed = made.history[-1]
    note = f"{made.order.calendar} {made.order.year}: {deed.note or made.order.source}"
    await connection.execute(_ACT, made.id, made.version, deed.at, deed.act, deed.actor, note)
