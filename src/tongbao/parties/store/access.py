"""The SQL that runs before there is a scope: it finds out whose key or session something is.

Nothing here reads what a merchant owns beyond what a scope is made of.
"""

from datetime import datetime

from tongbao.core.db import Connection
from tongbao.parties.facts import KeyFacts
from tongbao.parties.schema import (
    KeyId,
    MerchantId,
    MerchantRole,
    MerchantState,
    OperatorRole,
    PersonId,
    Session,
    SessionId,
)
from tongbao.parties.store.rows import read

_KEY_FACTS = """
SELECT k.key_id, k.digest, k.merchant_id, k.book_id, k.live, k.permissions, k.allowed_addresses, k.expires_at,
    k.revoked_at, k.last_used_at, m.state AS merchant_state
FROM parties.api_key AS k JOIN parties.merchant AS m ON m.merchant_id = k.merchant_id
WHERE k.digest = $1
"""
_NOTE_USE = """
UPDATE parties.api_key SET last_used_at = $2 WHERE key_id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)
"""
_SESSION = """
SELECT s.session_id, s.person_id, s.address, s.agent, s.created_at, s.seen_at,
    coalesce(s.ended_at, p.disabled_at) AS ended_at
FROM parties.session AS s JOIN parties.person AS p ON p.person_id = s.person_id
WHERE s.token_digest = $1
"""
_TOUCH = """
UPDATE parties.session SET seen_at = $2 WHERE session_id = $1 AND seen_at < $2 AND ended_at IS NULL
"""
_ROLE_AT = "SELECT role FROM parties.membership WHERE book_id = $1 AND person_id = $2"
_OPERATOR_ROLES = "SELECT role FROM parties.operator_role WHERE person_id = $1"
_BOOKS = "SELECT test_book_id, state FROM parties.merchant WHERE merchant_id = $1"


async def key_facts(connection: Connection, digest: bytes) -> KeyFacts | None:
    """Return what decides whether the key of this digest opens."""
    row = await connection.fetchrow(_KEY_FACTS, digest)
    return None if row is None else read(row, KeyFacts)


async def note_use(connection: Connection, key_id: KeyId, now: datetime, older_than: datetime) -> None:
    """Write that a key was used, unless that was written after ``older_than``."""
    await connection.execute(_NOTE_USE, key_id, now, older_than)


async def session(connection: Connection, token_digest: bytes) -> Session | None:
    """Return the session of this token; a disabled person's counts as ended."""
    row = await connection.fetchrow(_SESSION, token_digest)
    return None if row is None else read(row, Session)


async def touch_session(connection: Connection, session_id: SessionId, now: datetime) -> None:
    """Write that a session was seen, unless it was ended meanwhile."""
    await connection.execute(_TOUCH, session_id, now)


async def role_at(
    connection: Connection, merchant_id: MerchantId, person_id: PersonId
) -> MerchantRole | None:
    """Return what a person is to a merchant."""
    role = await connection.fetchval(_ROLE_AT, merchant_id, person_id)
    return None if role is None else MerchantRole(role)


async def operator_roles(connection: Connection, person_id: PersonId) -> list[OperatorRole]:
    """Return what a person is to the house."""
    return [OperatorRole(row["role"]) for row in await connection.fetch(_OPERATOR_ROLES, person_id)]


async def merchant_facts(connection: Connection, merchant_id: MerchantId) -> tuple[int, MerchantState] | None:
    """Return the test book and the state of the merchant for whom a scope is being made."""
    row = await connection.fetchrow(_BOOKS, merchant_id)
    return None if row is None else (row["test_book_id"], MerchantState(row["state"]))
