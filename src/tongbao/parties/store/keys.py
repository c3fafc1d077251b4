"""The SQL of API keys, as their merchant sees them. Finding one by its digest is in ``store.access``."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tongbao.core.db import Connection
from tongbao.parties.schema import ApiKey, KeyId, MerchantId, OperatorScope, Page, PageRequest, Scope
from tongbao.parties.store.rows import changed_one, page, read

_KEY = """
SELECT key_id, kind, live, label, prefix, last4, permissions, allowed_addresses, created_by, created_at, expires_at,
    revoked_at, last_used_at, replaced_by
FROM parties.api_key
"""
_KEY_BY_ID = _KEY + "WHERE book_id = $1 AND key_id = $2"
_LOCK_KEY = _KEY_BY_ID + " FOR NO KEY UPDATE"
_KEYS_AFTER = (
    _KEY + "WHERE book_id = $3 AND ($1::uuid IS NULL OR key_id < $1) ORDER BY key_id DESC LIMIT $2 + 1"
)
_KEYS_BEFORE = _KEY + "WHERE book_id = $3 AND key_id > $1 ORDER BY key_id LIMIT $2 + 1"
_INSERT_KEY = """
INSERT INTO parties.api_key (key_id, digest, merchant_id, book_id, live, kind, label, prefix, last4, permissions,
    allowed_addresses, created_by, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
"""
_UPDATE_KEY = """
UPDATE parties.api_key SET expires_at = $3, revoked_at = $4, replaced_by = $5 WHERE book_id = $1 AND key_id = $2
"""
_REVOKE_ANY = "UPDATE parties.api_key SET revoked_at = coalesce(revoked_at, $2) WHERE key_id = $1"
_REVOKE_ALL = "UPDATE parties.api_key SET revoked_at = $2 WHERE merchant_id = $1 AND revoked_at IS NULL"


async def insert_key(connection: Connection, scope: Scope, key: ApiKey, digest: bytes) -> None:
    """Add a key of the scope's merchant and mode."""
    await connection.execute(
        _INSERT_KEY,
        key.key_id,
        digest,
        scope.merchant_id,
        scope.book_id,
        scope.live,
        key.kind,
        key.label,
        key.prefix,
        key.last4,
        sorted(key.permissions),
        key.allowed_addresses,
        key.created_by,
        key.created_at,
        key.expires_at,
    )


async def update_key(connection: Connection, scope: Scope, key: ApiKey) -> None:
    """Write when a key ends, ended, and by which it was replaced."""
    await connection.execute(
        _UPDATE_KEY, scope.book_id, key.key_id, key.expires_at, key.revoked_at, key.replaced_by
    )


async def key_by_id(connection: Connection, scope: Scope, key_id: KeyId) -> ApiKey | None:
    """Return one of the merchant's keys of this mode."""
    row = await connection.fetchrow(_KEY_BY_ID, scope.book_id, key_id)
    return None if row is None else _key(row)


async def lock_key(connection: Connection, scope: Scope, key_id: KeyId) -> ApiKey | None:
    """Return one of the merchant's keys of this mode, locked until the caller's transaction ends."""
    row = await connection.fetchrow(_LOCK_KEY, scope.book_id, key_id)
    return None if row is None else _key(row)


async def keys(connection: Connection, scope: Scope, request: PageRequest[KeyId]) -> Page[ApiKey]:
    """Return a page of the merchant's keys of this mode, dead ones too."""
    back = request.ending_before
    statement, cursor = (_KEYS_AFTER, request.starting_after) if back is None else (_KEYS_BEFORE, back)
    return page(await connection.fetch(statement, cursor, request.limit, scope.book_id), request, _key)


async def revoke_any(connection: Connection, _operator: OperatorScope, key_id: KeyId, now: datetime) -> bool:
    """Revoke a key of whichever merchant, for the house; False where there is none."""
    return changed_one(await connection.execute(_REVOKE_ANY, key_id, now))


async def revoke_all(
    connection: Connection, _operator: OperatorScope, merchant_id: MerchantId, now: datetime
) -> None:
    """Revoke every living key of a merchant, in both modes, for the house."""
    await connection.execute(_REVOKE_ALL, merchant_id, now)


def _key(row: Mapping[str, Any]) -> ApiKey:
    return read(row, ApiKey)
