"""The SQL of messages to banks and from them. All of them are the house's: book 0. Their content is sealed."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from tongbao.clearing.schema.bank_messages import BankMessage, MessageState
from tongbao.core.db import Connection

_HOUSE = 0
_INSERT = """
INSERT INTO clearing.bank_message (book_id, id, at, is_outgoing, bank, kind, message_id, state, attempts, due_at, digest, content)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (book_id, bank, digest) DO NOTHING
"""
_MOVE = """
UPDATE clearing.bank_message SET state = $3, attempts = $4, due_at = $5 WHERE book_id = $1 AND id = $2
"""
_CLAIM = """
SELECT id, at, is_outgoing, bank, kind, message_id, state, attempts, due_at, digest, content FROM clearing.bank_message
WHERE book_id = $1 AND due_at <= $2 AND is_outgoing AND state IN ('ready', 'sending')
ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_HEARD = """
SELECT id, at, is_outgoing, bank, kind, message_id, state, attempts, due_at, digest, content FROM clearing.bank_message
WHERE book_id = $1 AND due_at <= $2 AND NOT is_outgoing AND state = 'ready' ORDER BY due_at, id LIMIT $3
"""
_READ = """
UPDATE clearing.bank_message SET state = $3, attempts = $4, due_at = $5, kind = $6, message_id = $7
WHERE book_id = $1 AND id = $2
"""
_LOCK = """
SELECT id, at, is_outgoing, bank, kind, message_id, state, attempts, due_at, digest, content FROM clearing.bank_message
WHERE book_id = $1 AND id = $2 FOR UPDATE
"""
_KNOWN = (
    "SELECT digest FROM clearing.bank_message WHERE book_id = $1 AND bank = $2 AND digest = ANY ($3::bytea[])"
)
_OF_BANK = """
SELECT id, at, is_outgoing, bank, kind, message_id, state, attempts, due_at, digest, content FROM clearing.bank_message
WHERE book_id = $1 AND bank = $2 AND ($3::text IS NULL OR kind = $3) ORDER BY at, id LIMIT $4
"""


async def insert(connection: Connection, message: BankMessage) -> None:
    """Write a message; nothing happens where the same bytes stand there already."""
    await connection.execute(
        _INSERT,
        _HOUSE,
        message.id,
        message.at,
        message.is_outgoing,
        message.bank,
        message.kind,
        message.message_id,
        message.state.value,
        message.attempts,
        message.due_at,
        message.digest,
        message.content,
    )


async def move(connection: Connection, message: BankMessage) -> None:
    """Write state, attempts and due time of a message that is locked."""
    await connection.execute(_MOVE, _HOUSE, message.id, message.state.value, message.attempts, message.due_at)


async def claim(connection: Connection, now: datetime) -> BankMessage | None:
    """Return the outgoing message that is longest due, locked; None where there is none."""
    row = await connection.fetchrow(_CLAIM, _HOUSE, now)
    return None if row is None else _message(row)


async def heard(connection: Connection, now: datetime, limit: int) -> list[BankMessage]:
    """Return incoming messages that were kept and are to be applied (again), longest due first."""
    return [_message(row) for row in await connection.fetch(_HEARD, _HOUSE, now, limit)]


async def read(connection: Connection, message: BankMessage) -> None:
    """Write what an incoming message was read as, and whether it has to be applied again."""
    await connection.execute(
        _READ,
        _HOUSE,
        message.id,
        message.state.value,
        message.attempts,
        message.due_at,
        message.kind,
        message.message_id,
    )


async def lock(connection: Connection, message: UUID) -> BankMessage | None:
    """Return a message, locked."""
    row = await connection.fetchrow(_LOCK, _HOUSE, message)
    return None if row is None else _message(row)


async def known(connection: Connection, bank: str, digests: Collection[bytes]) -> set[bytes]:
    """Return which of these messages of a bank were kept before."""
    return {bytes(row[0]) for row in await connection.fetch(_KNOWN, _HOUSE, bank, list(digests))}


async def of_bank(connection: Connection, bank: str, kind: str | None, limit: int) -> list[BankMessage]:
    """Return messages of a bank, oldest first."""
    return [_message(row) for row in await connection.fetch(_OF_BANK, _HOUSE, bank, kind, limit)]


def _message(row: Any) -> BankMessage:
    values = dict(row) | {"state": MessageState(row["state"])}
    return BankMessage(**(values | {"id": UUID(int=row["id"].int)}))
