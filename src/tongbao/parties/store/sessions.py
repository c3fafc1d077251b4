"""The SQL of sessions, of wrong passwords and of passkeys: a person's own, no merchant's."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tongbao.core.db import Connection
from tongbao.parties.facts import Failures
from tongbao.parties.schema import (
    Holder,
    HolderKind,
    Passkey,
    PersonId,
    Session,
    SessionId,
)
from tongbao.parties.store.rows import changed_one, read

SESSIONS_MAX = 100
PASSKEYS_MAX = 50

_INSERT_SESSION = """
INSERT INTO parties.session (session_id, token_digest, person_id, address, agent, created_at, seen_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_SESSIONS = """
SELECT session_id, person_id, address, agent, created_at, seen_at, ended_at FROM parties.session
WHERE person_id = $1 AND ended_at IS NULL AND created_at > $2 AND seen_at > $3
ORDER BY session_id DESC LIMIT $4
"""
_END_SESSION = """
UPDATE parties.session SET ended_at = $3 WHERE person_id = $1 AND session_id = $2 AND ended_at IS NULL
"""
_END_BY_TOKEN = "UPDATE parties.session SET ended_at = $2 WHERE token_digest = $1 AND ended_at IS NULL"  # noqa: S105
_END_ALL = """
UPDATE parties.session SET ended_at = $2
WHERE person_id = $1 AND ended_at IS NULL AND session_id IS DISTINCT FROM $3
"""
_FORGET_SESSIONS = "DELETE FROM parties.session WHERE created_at < $1"

_OPEN_FAILURES = """
INSERT INTO parties.sign_in_failure (email_digest, address, failure_count) VALUES ($1, $2, 0)
ON CONFLICT (email_digest, address) DO NOTHING
"""
_LOCK_FAILURES = """
SELECT failure_count AS count, last_at, locked_until FROM parties.sign_in_failure
WHERE email_digest = $1 AND address = $2 FOR UPDATE
"""
_SET_FAILURES = """
UPDATE parties.sign_in_failure SET failure_count = $3, last_at = $4, locked_until = $5
WHERE email_digest = $1 AND address = $2
"""
_CLEAR_FAILURES = "DELETE FROM parties.sign_in_failure WHERE email_digest = $1 AND address = $2"
_FORGET_FAILURES = "DELETE FROM parties.sign_in_failure WHERE last_at < $1"

_PASSKEY = """
SELECT credential_id, holder_kind, holder_id, book_id, public_key, sign_count, transports, label, created_at, last_used_at
FROM parties.passkey
"""
_PASSKEY_BY_ID = _PASSKEY + "WHERE credential_id = $1"
_PASSKEYS = (
    _PASSKEY
    + """WHERE holder_id = $1 AND holder_kind = $2 AND book_id IS NOT DISTINCT FROM $3
ORDER BY created_at, credential_id LIMIT $4"""
)
_INSERT_PASSKEY = """
INSERT INTO parties.passkey (credential_id, holder_kind, holder_id, book_id, public_key, sign_count, transports,
    label, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (credential_id) DO NOTHING
"""
_TOUCH_PASSKEY = """
UPDATE parties.passkey SET sign_count = $2, last_used_at = $3
WHERE credential_id = $1 AND (sign_count < $2 OR (sign_count = 0 AND $2 = 0))
"""
_RENAME_PASSKEY = "UPDATE parties.passkey SET label = $2 WHERE credential_id = $1"
_SPEND_CHALLENGE = """
INSERT INTO parties.spent_challenge (digest, spent_at) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING
"""
_FORGET_CHALLENGES = "DELETE FROM parties.spent_challenge WHERE spent_at < $1"
_DELETE_PASSKEY = """
DELETE FROM parties.passkey
WHERE credential_id = $1 AND holder_id = $2 AND holder_kind = $3 AND book_id IS NOT DISTINCT FROM $4
"""
_DELETE_PASSKEYS = """
DELETE FROM parties.passkey WHERE holder_id = $1 AND holder_kind = $2 AND book_id IS NOT DISTINCT FROM $3
"""


async def insert_session(connection: Connection, session: Session, token_digest: bytes) -> None:
    """Add a session."""
    await connection.execute(
        _INSERT_SESSION,
        session.session_id,
        token_digest,
        session.person_id,
        session.address,
        session.agent,
        session.created_at,
        session.seen_at,
    )


async def sessions(
    connection: Connection, person_id: PersonId, created_after: datetime, seen_after: datetime
) -> list[Session]:
    """Return a person's living sessions, newest first, at most ``SESSIONS_MAX``."""
    rows = await connection.fetch(_SESSIONS, person_id, created_after, seen_after, SESSIONS_MAX)
    return [read(row, Session) for row in rows]


async def end_session(
    connection: Connection, person_id: PersonId, session_id: SessionId, now: datetime
) -> bool:
    """End one of a person's sessions; False where no such one lives."""
    return changed_one(await connection.execute(_END_SESSION, person_id, session_id, now))


async def end_by_token(connection: Connection, token_digest: bytes, now: datetime) -> None:
    """End the session of a token, if it lives."""
    await connection.execute(_END_BY_TOKEN, token_digest, now)


async def end_all(
    connection: Connection, person_id: PersonId, now: datetime, but: SessionId | None = None
) -> None:
    """End all of a person's sessions, or all but one."""
    await connection.execute(_END_ALL, person_id, now, but)


async def lock_failures(connection: Connection, email_digest: bytes, address: str) -> Failures:
    """Return the failures of an e-mail address from a network address, locked, none where there were none."""
    await connection.execute(_OPEN_FAILURES, email_digest, address)
    row = await connection.fetchrow(_LOCK_FAILURES, email_digest, address)
    return Failures(0, None, None) if row is None else read(row, Failures)


async def set_failures(connection: Connection, email_digest: bytes, address: str, failures: Failures) -> None:
    """Write failures that are locked."""
    await connection.execute(
        _SET_FAILURES, email_digest, address, failures.count, failures.last_at, failures.locked_until
    )


async def clear_failures(connection: Connection, email_digest: bytes, address: str) -> None:
    """Forget failures after a success."""
    await connection.execute(_CLEAR_FAILURES, email_digest, address)


async def forget(connection: Connection, failures_before: datetime, sessions_before: datetime) -> None:
    """Remove old failures, spent challenges, and sessions that began before an instant."""
    await connection.execute(_FORGET_FAILURES, failures_before)
    await connection.execute(_FORGET_CHALLENGES, failures_before)
    await connection.execute(_FORGET_SESSIONS, sessions_before)


async def spend_challenge(connection: Connection, digest: bytes, now: datetime) -> bool:
    """Write that a challenge was answered; False where it was before."""
    return changed_one(await connection.execute(_SPEND_CHALLENGE, digest, now))


async def rename_passkey(connection: Connection, credential_id: bytes, label: str) -> None:
    """Give a passkey another name."""
    await connection.execute(_RENAME_PASSKEY, credential_id, label)


async def insert_passkey(connection: Connection, passkey: Passkey) -> bool:
    """Add a passkey; False where its credential is registered already, for whomever."""
    status = await connection.execute(
        _INSERT_PASSKEY,
        passkey.credential_id,
        passkey.holder.kind,
        passkey.holder.holder_id,
        passkey.holder.book_id,
        passkey.public_key,
        passkey.sign_count,
        passkey.transports,
        passkey.label,
        passkey.created_at,
    )
    return changed_one(status)


async def passkey_by_id(connection: Connection, credential_id: bytes) -> Passkey | None:
    """Return the passkey of a credential, whoever holds it: signing in begins with it."""
    row = await connection.fetchrow(_PASSKEY_BY_ID, credential_id)
    return None if row is None else _passkey(row)


async def passkeys(connection: Connection, holder: Holder) -> list[Passkey]:
    """Return a holder's passkeys, oldest first, at most ``PASSKEYS_MAX``."""
    rows = await connection.fetch(_PASSKEYS, *_named(holder), PASSKEYS_MAX)
    return [_passkey(row) for row in rows]


async def touch_passkey(connection: Connection, credential_id: bytes, sign_count: int, now: datetime) -> bool:
    """Write a use; False where there is no such passkey or its counter does not grow."""
    return changed_one(await connection.execute(_TOUCH_PASSKEY, credential_id, sign_count, now))


async def delete_passkey(connection: Connection, holder: Holder, credential_id: bytes) -> bool:
    """Remove one of a holder's passkeys; False where the holder has no such one."""
    return changed_one(await connection.execute(_DELETE_PASSKEY, credential_id, *_named(holder)))


async def delete_passkeys(connection: Connection, holder: Holder) -> None:
    """Remove all of a holder's passkeys."""
    await connection.execute(_DELETE_PASSKEYS, *_named(holder))


def _named(holder: Holder) -> tuple[object, ...]:
    return holder.holder_id, holder.kind, holder.book_id


def _passkey(row: Mapping[str, Any]) -> Passkey:
    fields = dict(row)
    kind = HolderKind(fields.pop("holder_kind"))
    holder = Holder(kind, fields.pop("holder_id"), fields.pop("book_id"))
    return read({**fields, "holder": holder}, Passkey)
