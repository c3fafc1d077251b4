"""The SQL of payers' sign-in: contacts, codes, sessions, remembered devices, recoveries. None of it is any merchant's."""

from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.core.db import Connection
from tongbao.parties.ports import (
    CodeId,
    Contact,
    ContactKind,
    PayerDeviceId,
    PayerSession,
    PayerSessionId,
    RememberedDevice,
)
from tongbao.parties.schema import PayerId
from tongbao.parties.store.rows import changed_one, read

CONTACTS_MAX = 10
SESSIONS_MAX = 100
DEVICES_MAX = 50

_PAYER_OF = "SELECT payer_id FROM parties.payer_contact WHERE kind = $1 AND folded = $2"
_CONTACTS = """
SELECT kind, address, folded FROM parties.payer_contact
WHERE payer_id = $1 ORDER BY confirmed_at, kind, folded LIMIT $2
"""
_INSERT_CONTACT = """
INSERT INTO parties.payer_contact (kind, folded, address, payer_id, confirmed_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (kind, folded) DO NOTHING
"""
_COUNT_CODES = """
SELECT count(*) FROM parties.payer_code WHERE kind = $1 AND folded = $2 AND opened_at > $3
"""
_INSERT_CODE = """
INSERT INTO parties.payer_code (code_id, visit_digest, kind, folded, address, name, locale, code_digest, attempts_left,
    opened_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_CODE = """
SELECT kind, address, folded, name, locale, code_digest, attempts_left, opened_at, used_at FROM parties.payer_code
WHERE code_id = $1 AND visit_digest = $2
"""
_LOCK_CODE = _CODE + " FOR UPDATE"
_TRY_CODE = "UPDATE parties.payer_code SET attempts_left = attempts_left - 1 WHERE code_id = $1"
_USE_CODE = "UPDATE parties.payer_code SET used_at = $2 WHERE code_id = $1"

_SESSION_ROW = """
SELECT session_id, payer_id, means, address, agent, created_at, seen_at, ended_at FROM parties.payer_session
"""
_INSERT_SESSION = """
INSERT INTO parties.payer_session (session_id, token_digest, payer_id, means, address, agent, created_at, seen_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_SESSION = _SESSION_ROW + "WHERE token_digest = $1"
_SESSIONS = (
    _SESSION_ROW
    + """WHERE payer_id = $1 AND ended_at IS NULL AND created_at > $2 AND seen_at > $3
ORDER BY session_id DESC LIMIT $4"""
)
_TOUCH_SESSION = """
UPDATE parties.payer_session SET seen_at = $2 WHERE session_id = $1 AND seen_at < $2 AND ended_at IS NULL
"""
_END_SESSION = """
UPDATE parties.payer_session SET ended_at = $3 WHERE payer_id = $1 AND session_id = $2 AND ended_at IS NULL
"""
_END_BY_TOKEN = "UPDATE parties.payer_session SET ended_at = $2 WHERE token_digest = $1 AND ended_at IS NULL"  # noqa: S105
_END_ALL = """
UPDATE parties.payer_session SET ended_at = $2
WHERE payer_id = $1 AND ended_at IS NULL AND session_id IS DISTINCT FROM $3
"""

_DEVICE_ROW = """
SELECT device_id, payer_id, label, remembered_at, seen_at, revoked_at FROM parties.payer_device
"""
_INSERT_DEVICE = """
INSERT INTO parties.payer_device (device_id, key_digest, payer_id, label, remembered_at, seen_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_DEVICE = _DEVICE_ROW + "WHERE key_digest = $1"
_DEVICES = (
    _DEVICE_ROW
    + """WHERE payer_id = $1 AND revoked_at IS NULL AND seen_at > $2
ORDER BY seen_at DESC, device_id DESC LIMIT $3"""
)
_TOUCH_DEVICE = "UPDATE parties.payer_device SET seen_at = $2 WHERE device_id = $1 AND seen_at < $2"
_REVOKE_DEVICE = """
UPDATE parties.payer_device SET revoked_at = $3 WHERE payer_id = $1 AND device_id = $2 AND revoked_at IS NULL
"""
_REVOKE_DEVICES = "UPDATE parties.payer_device SET revoked_at = $2 WHERE payer_id = $1 AND revoked_at IS NULL"

_RECOVERY = "SELECT begun_at FROM parties.payer_recovery WHERE payer_id = $1"
_BEGIN_RECOVERY = """
INSERT INTO parties.payer_recovery (payer_id, begun_at) VALUES ($1, $2)
ON CONFLICT (payer_id) DO UPDATE SET begun_at = excluded.begun_at WHERE parties.payer_recovery.begun_at <= $3
"""
_END_RECOVERY = "DELETE FROM parties.payer_recovery WHERE payer_id = $1"

_FORGET_CODES = "DELETE FROM parties.payer_code WHERE opened_at < $1"
_FORGET_SESSIONS = "DELETE FROM parties.payer_session WHERE created_at < $1"


class CodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A code as it is kept: whom it was sent to, its digest, and what is left of it."""

    kind: ContactKind
    address: str
    folded: str
    name: str
    locale: str
    code_digest: bytes
    attempts_left: int
    opened_at: datetime
    used_at: datetime | None

    @property
    def contact(self) -> Contact:
        """The address it was sent to."""
        return Contact(kind=self.kind, address=self.address, folded=self.folded)


class NewCode(msgspec.Struct, frozen=True, kw_only=True):
    """A code to be kept for somebody's visit; ``name`` is that of somebody new, empty otherwise."""

    code_id: CodeId
    visit_digest: bytes
    contact: Contact
    name: str
    locale: str
    code_digest: bytes
    attempts_left: int
    opened_at: datetime


async def payer_of(connection: Connection, contact: Contact) -> PayerId | None:
    """Return whose address this is."""
    found = await connection.fetchval(_PAYER_OF, contact.kind, contact.folded)
    return None if found is None else PayerId(found)


async def contacts(connection: Connection, payer_id: PayerId) -> list[Contact]:
    """Return a payer's addresses, the oldest first, at most ``CONTACTS_MAX``."""
    return [read(row, Contact) for row in await connection.fetch(_CONTACTS, payer_id, CONTACTS_MAX)]


async def insert_contact(connection: Connection, payer_id: PayerId, contact: Contact, now: datetime) -> bool:
    """Add an address that was proved; False where somebody has it."""
    status = await connection.execute(
        _INSERT_CONTACT, contact.kind, contact.folded, contact.address, payer_id, now
    )
    return changed_one(status)


async def count_codes(connection: Connection, contact: Contact, after: datetime) -> int:
    """Return how many codes were opened for an address after an instant."""
    return int(await connection.fetchval(_COUNT_CODES, contact.kind, contact.folded, after))


async def insert_code(connection: Connection, new: NewCode) -> None:
    """Add a code."""
    await connection.execute(
        _INSERT_CODE,
        new.code_id,
        new.visit_digest,
        new.contact.kind,
        new.contact.folded,
        new.contact.address,
        new.name,
        new.locale,
        new.code_digest,
        new.attempts_left,
        new.opened_at,
    )


async def code(connection: Connection, code_id: UUID, visit_digest: bytes) -> CodeRow | None:
    """Return a code that was asked for in a visit."""
    row = await connection.fetchrow(_CODE, code_id, visit_digest)
    return None if row is None else read(row, CodeRow)


async def lock_code(connection: Connection, code_id: UUID, visit_digest: bytes) -> CodeRow | None:
    """Return a code that was asked for in a visit, locked until the caller's transaction ends."""
    row = await connection.fetchrow(_LOCK_CODE, code_id, visit_digest)
    return None if row is None else read(row, CodeRow)


async def try_code(connection: Connection, code_id: UUID) -> None:
    """Take one attempt of a code."""
    await connection.execute(_TRY_CODE, code_id)


async def use_code(connection: Connection, code_id: UUID, now: datetime) -> None:
    """Write that a code was right; it is not so again."""
    await connection.execute(_USE_CODE, code_id, now)


async def insert_session(connection: Connection, session: PayerSession, token_digest: bytes) -> None:
    """Add a session."""
    await connection.execute(
        _INSERT_SESSION,
        session.session_id,
        token_digest,
        session.payer_id,
        session.means,
        session.address,
        session.agent,
        session.created_at,
        session.seen_at,
    )


async def session(connection: Connection, token_digest: bytes) -> PayerSession | None:
    """Return the session of a token."""
    row = await connection.fetchrow(_SESSION, token_digest)
    return None if row is None else read(row, PayerSession)


async def sessions(
    connection: Connection, payer_id: PayerId, created_after: datetime, seen_after: datetime
) -> list[PayerSession]:
    """Return a payer's living sessions, newest first, at most ``SESSIONS_MAX``."""
    rows = await connection.fetch(_SESSIONS, payer_id, created_after, seen_after, SESSIONS_MAX)
    return [read(row, PayerSession) for row in rows]


async def touch_session(connection: Connection, session_id: PayerSessionId, now: datetime) -> None:
    """Write that a session was seen."""
    await connection.execute(_TOUCH_SESSION, session_id, now)


async def end_session(
    connection: Connection, payer_id: PayerId, session_id: PayerSessionId, now: datetime
) -> bool:
    """End one of a payer's sessions; False where no such one lives."""
    return changed_one(await connection.execute(_END_SESSION, payer_id, session_id, now))


async def end_by_token(connection: Connection, token_digest: bytes, now: datetime) -> None:
    """End the session of a token, if it lives."""
    await connection.execute(_END_BY_TOKEN, token_digest, now)


async def end_all(
    connection: Connection, payer_id: PayerId, now: datetime, but: PayerSessionId | None = None
) -> None:
    """End all of a payer's sessions, or all but one."""
    await connection.execute(_END_ALL, payer_id, now, but)


async def insert_device(connection: Connection, device: RememberedDevice, key_digest: bytes) -> None:
    """Add a remembered device."""
    await connection.execute(
        _INSERT_DEVICE,
        device.device_id,
        key_digest,
        device.payer_id,
        device.label,
        device.remembered_at,
        device.seen_at,
    )


async def device(connection: Connection, key_digest: bytes) -> RememberedDevice | None:
    """Return the device of a key."""
    row = await connection.fetchrow(_DEVICE, key_digest)
    return None if row is None else read(row, RememberedDevice)


async def devices(connection: Connection, payer_id: PayerId, seen_after: datetime) -> list[RememberedDevice]:
    """Return a payer's remembered devices, those seen last before, at most ``DEVICES_MAX``."""
    rows = await connection.fetch(_DEVICES, payer_id, seen_after, DEVICES_MAX)
    return [read(row, RememberedDevice) for row in rows]


async def touch_device(connection: Connection, device_id: PayerDeviceId, now: datetime) -> None:
    """Write that a device was seen."""
    await connection.execute(_TOUCH_DEVICE, device_id, now)


async def revoke_device(
    connection: Connection, payer_id: PayerId, device_id: PayerDeviceId, now: datetime
) -> bool:
    """Forget one of a payer's devices; False where there is no such one."""
    return changed_one(await connection.execute(_REVOKE_DEVICE, payer_id, device_id, now))


async def revoke_devices(connection: Connection, payer_id: PayerId, now: datetime) -> None:
    """Forget all of a payer's devices."""
    await connection.execute(_REVOKE_DEVICES, payer_id, now)


async def recovery(connection: Connection, payer_id: PayerId) -> datetime | None:
    """Return when a payer's recovery began."""
    found: datetime | None = await connection.fetchval(_RECOVERY, payer_id)
    return found


async def begin_recovery(
    connection: Connection, payer_id: PayerId, now: datetime, stale_before: datetime
) -> bool:
    """Begin a recovery; False where one is under way that began after ``stale_before``."""
    return changed_one(await connection.execute(_BEGIN_RECOVERY, payer_id, now, stale_before))


async def end_recovery(connection: Connection, payer_id: PayerId) -> bool:
    """End a recovery, done or called off; False where there was none."""
    return changed_one(await connection.execute(_END_RECOVERY, payer_id))


async def forget(connection: Connection, codes_before: datetime, sessions_before: datetime) -> None:
    """Remove old codes and sessions."""
    await connection.execute(_FORGET_CODES, codes_before)
    await connection.execute(_FORGET_SESSIONS, sessions_before)
