"""The SQL of payouts. The body of a payout is the payout; its columns are a copy. Moves hold the lock of its row."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from tongbao.clearing.schema.payouts import Payout, PayoutState
from tongbao.core.db import Connection

_READ = msgspec.json.Decoder(Payout).decode
_ENCODE = msgspec.json.Encoder().encode

_TO_CREATE = """
SELECT b.book_id, b.id FROM clearing.batch AS b
WHERE b.state = 'approved' AND b.payout_on <= $1 AND ($2::bigint IS NULL OR b.book_id = $2)
    AND NOT EXISTS (
        SELECT 1 FROM clearing.payout AS p
        WHERE p.book_id = b.book_id AND p.batch_id = b.id AND p.state NOT IN ('rejected', 'returned', 'canceled')
    )
ORDER BY b.payout_on, b.book_id, b.id LIMIT $3
"""
_OF_BATCH = "SELECT body FROM clearing.payout WHERE book_id = $1 AND batch_id = $2 ORDER BY id LIMIT $3"
_INSERT = """
INSERT INTO clearing.payout (book_id, id, batch_id, destination_id, amount_minor, version, live, due_on, due_at, sent_at,
    ended_at, updated_at, state, currency, bank, end_to_end, message_id, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
"""
_UPDATE = """
UPDATE clearing.payout SET destination_id = $3, version = $4, due_on = $5, due_at = $6, sent_at = $7, ended_at = $8,
    updated_at = $9, state = $10, message_id = $11, body = $12
WHERE book_id = $1 AND id = $2 AND version = $4 - 1
"""
_ONE = "SELECT body FROM clearing.payout WHERE book_id = $1 AND id = $2"
_LOCK = "SELECT body FROM clearing.payout WHERE book_id = $1 AND id = $2 FOR UPDATE"
_TO_SEND = """
SELECT p.body FROM clearing.payout AS p
WHERE p.bank = $1 AND p.state = 'created' AND p.due_on <= $2 AND EXISTS (
    SELECT 1 FROM clearing.destination AS d
    WHERE d.book_id = p.book_id AND d.currency = p.currency AND d.state = 'active'
)
ORDER BY p.currency, p.live, p.book_id, p.id LIMIT $3
FOR UPDATE OF p SKIP LOCKED
"""
_NAMED = "SELECT book_id, id FROM clearing.payout WHERE end_to_end = ANY ($1::text[]) AND bank = $2"
_OF_MESSAGE = """
SELECT body FROM clearing.payout WHERE message_id = $1 AND bank = $2 ORDER BY book_id, id LIMIT $3
"""
_LOCK_MESSAGE = """
SELECT body FROM clearing.payout WHERE message_id = $1 AND bank = $2 ORDER BY book_id, id LIMIT $3 FOR UPDATE
"""
_DUE = """
SELECT book_id, id FROM clearing.payout
WHERE due_at <= $1 AND ($2::bigint IS NULL OR book_id = $2) ORDER BY due_at LIMIT $3
"""
_PAGE = """
SELECT body FROM clearing.payout
WHERE book_id = $1 AND ($2::text IS NULL OR state = $2) AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4
"""


class Address(NamedTuple):
    """Where a payout stands."""

    book_id: int
    id: UUID


async def to_create(
    connection: Connection, until_on: date, book_id: int | None, limit: int
) -> list[tuple[int, UUID]]:
    """Return approved batches, by book and id, that nothing is on its way for although their day has come."""
    return [(row[0], row[1]) for row in await connection.fetch(_TO_CREATE, until_on, book_id, limit)]


async def of_batch(connection: Connection, book_id: int, batch_id: UUID, limit: int) -> list[Payout]:
    """Return the payouts of a batch, oldest first: those that failed, and the one on its way."""
    return [_READ(row[0]) for row in await connection.fetch(_OF_BATCH, book_id, batch_id, limit)]


async def insert(connection: Connection, payout: Payout) -> None:
    """Write a new payout."""
    await connection.execute(
        _INSERT,
        payout.book_id,
        payout.id,
        payout.batch_id,
        payout.destination_id,
        payout.amount_minor,
        payout.version,
        payout.live,
        payout.due_on,
        payout.due_at,
        payout.sent_at,
        payout.ended_at,
        payout.updated_at,
        payout.state.value,
        payout.currency,
        payout.bank,
        payout.end_to_end,
        payout.message_id,
        _ENCODE(payout).decode(),
    )


async def update(connection: Connection, payouts: Sequence[Payout]) -> None:
    """Write the next versions of payouts that are locked."""
    await connection.executemany(_UPDATE, [_changed(payout) for payout in payouts])


async def one(connection: Connection, book_id: int, payout_id: UUID, *, lock: bool = False) -> Payout | None:
    """Return a payout, locked where asked."""
    row = await connection.fetchval(_LOCK if lock else _ONE, book_id, payout_id)
    return None if row is None else _READ(row)


async def to_send(connection: Connection, bank: str, until_on: date, limit: int) -> list[Payout]:
    """Return payouts of a bank that are to go and have an account to go to, by currency and mode, locked.

    Those that somebody else holds are left out.
    """
    return [_READ(row[0]) for row in await connection.fetch(_TO_SEND, bank, until_on, limit)]


async def named(connection: Connection, bank: str, end_to_end: Collection[str]) -> list[Address]:
    """Return the payouts of a bank that have these end-to-end ids, over all books."""
    return [Address(*row) for row in await connection.fetch(_NAMED, list(end_to_end), bank)]


async def of_message(
    connection: Connection, bank: str, message_id: str, limit: int, *, lock: bool = False
) -> list[Payout]:
    """Return the payouts that went in a message, locked where asked."""
    rows = await connection.fetch(_LOCK_MESSAGE if lock else _OF_MESSAGE, message_id, bank, limit)
    return [_READ(row[0]) for row in rows]


async def due(connection: Connection, now: datetime, book_id: int | None, limit: int) -> list[Address]:
    """Return the payouts that are to be looked at again, longest due first."""
    return [Address(*row) for row in await connection.fetch(_DUE, now, book_id, limit)]


async def page(
    connection: Connection, book_id: int, state: PayoutState | None, before: UUID | None, limit: int
) -> list[Payout]:
    """Return payouts of a book, newest first."""
    rows = await connection.fetch(_PAGE, book_id, None if state is None else state.value, before, limit)
    return [_READ(row[0]) for row in rows]


def _changed(payout: Payout) -> tuple[Any, ...]:
    return (
        payout.book_id,
        payout.id,
        payout.destination_id,
        payout.version,
        payout.due_on,
        payout.due_at,
        payout.sent_at,
        payout.ended_at,
        payout.updated_at,
        payout.state.value,
        payout.message_id,
        _ENCODE(payout).decode(),
    )
