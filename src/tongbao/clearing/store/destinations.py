"""The SQL of accounts that money may go to, and of who moved them. The body is the account; its columns are a copy."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.clearing.schema.payouts import Destination
from tongbao.core.db import Connection

_READ = msgspec.json.Decoder(Destination).decode
_ENCODE = msgspec.json.Encoder().encode

_INSERT = """
INSERT INTO clearing.destination (book_id, id, version, usable_at, updated_at, state, currency, fingerprint, sealed, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_UPDATE = """
UPDATE clearing.destination SET version = $3, usable_at = $4, updated_at = $5, state = $6, body = $7
WHERE book_id = $1 AND id = $2 AND version = $3 - 1
"""
_ACT = """
INSERT INTO clearing.destination_act (book_id, destination_id, version, at, state, actor, note)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_ONE = "SELECT body FROM clearing.destination WHERE book_id = $1 AND id = $2"
_LOCK = "SELECT body FROM clearing.destination WHERE book_id = $1 AND id = $2 FOR UPDATE"
_OF_BOOK = """
SELECT body FROM clearing.destination
WHERE book_id = $1 AND ($2::text IS NULL OR currency = $2) ORDER BY id DESC LIMIT $3
"""
_SAME = """
SELECT body FROM clearing.destination
WHERE book_id = $1 AND currency = $2 AND fingerprint = $3 AND state <> 'retired' LIMIT 1
"""
_IN_STATE = """
SELECT body FROM clearing.destination WHERE book_id = $1 AND currency = $2 AND state = $3 ORDER BY id FOR UPDATE
"""
_COOLED = """
SELECT book_id, id FROM clearing.destination
WHERE state = 'cooling' AND usable_at <= $1 AND ($2::bigint IS NULL OR book_id = $2) ORDER BY usable_at LIMIT $3
"""
_ACTIVE = """
SELECT d.body, d.sealed FROM clearing.destination AS d
JOIN unnest($1::bigint[], $2::text[]) AS w (book_id, currency) ON d.book_id = w.book_id AND d.currency = w.currency
WHERE d.state = 'active'
"""
_ACTS = """
SELECT version, at, state, actor, note FROM clearing.destination_act
WHERE book_id = $1 AND destination_id = $2 ORDER BY version LIMIT $3
"""


class Act(NamedTuple):
    """One line of an account's trail: who, when, why."""

    version: int
    at: datetime
    state: str
    actor: str
    note: str


class Sealed(NamedTuple):
    """An account with its number as it lies in the database."""

    destination: Destination
    sealed: bytes


async def insert(connection: Connection, account: Destination, fingerprint: bytes, sealed: bytes) -> None:
    """Write a new account."""
    await connection.execute(
        _INSERT,
        account.book_id,
        account.id,
        account.version,
        account.usable_at,
        account.updated_at,
        account.state.value,
        account.currency,
        fingerprint,
        sealed,
        _ENCODE(account).decode(),
    )


async def update(connection: Connection, account: Destination) -> bool:
    """Write the next version; False where the one before is not the one that stands there."""
    done: str = await connection.execute(
        _UPDATE,
        account.book_id,
        account.id,
        account.version,
        account.usable_at,
        account.updated_at,
        account.state.value,
        _ENCODE(account).decode(),
    )
    return done == "UPDATE 1"


async def note(connection: Connection, account: Destination, actor: str, text: str) -> None:
    """Write who brought an account to its version, and why."""
    await connection.execute(
        _ACT,
        account.book_id,
        account.id,
        account.version,
        account.updated_at,
        account.state.value,
        actor,
        text,
    )


async def one(
    connection: Connection, book_id: int, account_id: UUID, *, lock: bool = False
) -> Destination | None:
    """Return an account, locked where asked."""
    row = await connection.fetchval(_LOCK if lock else _ONE, book_id, account_id)
    return None if row is None else _READ(row)


async def of_book(
    connection: Connection, book_id: int, currency: str | None, limit: int
) -> list[Destination]:
    """Return the accounts of a book, newest first."""
    return [_READ(row[0]) for row in await connection.fetch(_OF_BOOK, book_id, currency, limit)]


async def same(connection: Connection, book_id: int, currency: str, fingerprint: bytes) -> Destination | None:
    """Return the account of a book that has this number and is not retired."""
    row = await connection.fetchval(_SAME, book_id, currency, fingerprint)
    return None if row is None else _READ(row)


async def lock_state(connection: Connection, book_id: int, currency: str, state: str) -> list[Destination]:
    """Return the accounts of a book and currency in a state, locked."""
    return [_READ(row[0]) for row in await connection.fetch(_IN_STATE, book_id, currency, state)]


async def cooled(
    connection: Connection, now: datetime, book_id: int | None, limit: int
) -> list[tuple[int, UUID]]:
    """Return the accounts whose cooling time is over, by book and id."""
    return [(row[0], row[1]) for row in await connection.fetch(_COOLED, now, book_id, limit)]


async def active(
    connection: Connection, wanted: Collection[tuple[int, str]]
) -> dict[tuple[int, str], Sealed]:
    """Return the account in use by book and currency, with its sealed number; those without one are left out."""
    books, currencies = zip(*wanted, strict=True)
    rows = await connection.fetch(_ACTIVE, list(books), list(currencies))
    found = (Sealed(_READ(row["body"]), bytes(row["sealed"])) for row in rows)
    return {(each.destination.book_id, each.destination.currency): each for each in found}


async def acts(connection: Connection, book_id: int, account_id: UUID, limit: int) -> list[Act]:
    """Return the trail of an account, oldest first."""
    return [Act(*row) for row in await connection.fetch(_ACTS, book_id, account_id, limit)]
