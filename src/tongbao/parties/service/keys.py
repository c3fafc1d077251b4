"""API keys: issued, rotated, revoked. Writes join the caller's transaction, reads open a connection of their own.

The text of a key leaves this module once, in ``IssuedKey.text``, and is stored nowhere: the database has its
SHA-256. What a revocation or a rotation ends stops opening within ``access.FRESH_S`` seconds.
"""

import hashlib
import random
from datetime import timedelta

import msgspec
from pydantic import SecretStr

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.parties.errors import BadField, GrantTooWide, KeyDead, UnknownKey
from tongbao.parties.policy import fields, roles
from tongbao.parties.policy import keys as policy
from tongbao.parties.schema import (
    KEY_PREFIX,
    ApiKey,
    IssuedKey,
    KeyDraft,
    KeyId,
    KeyKind,
    OperatorScope,
    Page,
    PageRequest,
    Permission,
    Scope,
)
from tongbao.parties.store import keys as store

FIRST_PAGE: PageRequest[KeyId] = PageRequest()
OVERLAP = timedelta(hours=24)
OVERLAP_MAX = timedelta(days=7)


class Keys:
    """Issues and ends keys of the scope's merchant in the scope's mode. ``rng`` must be cryptographic."""

    def __init__(
        self, database: Database, clock: Clock, ids: IdFactory, rng: random.Random | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._rng = rng or random.SystemRandom()

    async def create(self, connection: Connection, scope: Scope, draft: KeyDraft) -> IssuedKey:
        """Issue a key; joins the caller's transaction.

        Raises BadField, and GrantTooWide where the key could do more than whoever asks for it.
        """
        policy.check(draft, self._clock.now())
        permissions = policy.permissions(draft)
        _check_grant(draft.kind, permissions, scope)
        return await self._issue(connection, scope, draft, permissions)

    async def rotate(
        self, connection: Connection, scope: Scope, key_id: KeyId, overlap: timedelta = OVERLAP
    ) -> IssuedKey:
        """Issue a key like another, which dies after ``overlap`` (0 to 7 days); joins the caller's transaction.

        A key with an end gets as long a life again. Raises UnknownKey, BadField, GrantTooWide, and KeyDead for
        a key that is revoked, expired or replaced already: of two rotations at once one wins.
        """
        if not timedelta(0) <= overlap <= OVERLAP_MAX:
            raise BadField("overlap", f"an overlap is 0 to {OVERLAP_MAX.days} days")
        now = self._clock.now()
        old = _found(await store.lock_key(connection, scope, key_id), key_id)
        expired = old.expires_at is not None and old.expires_at <= now
        if old.revoked_at is not None or old.replaced_by is not None or expired:
            raise KeyDead(uuid_text(KEY_PREFIX, key_id))
        _check_grant(old.kind, old.permissions, scope)
        life = None if old.expires_at is None else old.expires_at - old.created_at
        draft = KeyDraft(
            kind=old.kind,
            label=old.label,
            allowed_addresses=old.allowed_addresses,
            expires_at=None if life is None else now + life,
        )
        issued = await self._issue(connection, scope, draft, old.permissions)
        ends_at = now + overlap if old.expires_at is None else min(now + overlap, old.expires_at)
        replaced = msgspec.structs.replace(old, expires_at=ends_at, replaced_by=issued.key.key_id)
        await store.update_key(connection, scope, replaced)
        return issued

    async def revoke(self, connection: Connection, scope: Scope, key_id: KeyId) -> ApiKey:
        """Revoke a key for good; once more does nothing. Joins the caller's transaction. Raises UnknownKey."""
        key = _found(await store.lock_key(connection, scope, key_id), key_id)
        if key.revoked_at is not None:
            return key
        revoked = msgspec.structs.replace(key, revoked_at=self._clock.now())
        await store.update_key(connection, scope, revoked)
        return revoked

    async def revoke_any(self, connection: Connection, operator: OperatorScope, key_id: KeyId) -> None:
        """Revoke a key of whichever merchant, for the house; joins the caller's transaction. Raises UnknownKey."""
        if not await store.revoke_any(connection, operator, key_id, self._clock.now()):
            raise UnknownKey(uuid_text(KEY_PREFIX, key_id))

    async def get(self, scope: Scope, key_id: KeyId) -> ApiKey:
        """Return one of the merchant's keys of this mode, without its text; raise UnknownKey."""
        async with self._database.connection() as connection:
            return _found(await store.key_by_id(connection, scope, key_id), key_id)

    async def list(self, scope: Scope, request: PageRequest[KeyId] = FIRST_PAGE) -> Page[ApiKey]:
        """Return a page of the merchant's keys of this mode; raise BadField for a page that cannot be."""
        fields.check_page(request)
        async with self._database.connection() as connection:
            return await store.keys(connection, scope, request)

    async def _issue(
        self, connection: Connection, scope: Scope, draft: KeyDraft, permissions: frozenset[Permission]
    ) -> IssuedKey:
        text = policy.text(draft.kind, self._rng.getrandbits(policy.KEY_BITS), live=scope.live)
        key = ApiKey(
            key_id=KeyId(self._ids.uuid()),
            kind=draft.kind,
            live=scope.live,
            label=draft.label,
            prefix=policy.prefix(draft.kind, live=scope.live),
            last4=text[-4:],
            permissions=permissions,
            allowed_addresses=draft.allowed_addresses,
            created_by=scope.actor,
            created_at=self._clock.now(),
            expires_at=draft.expires_at,
            revoked_at=None,
            last_used_at=None,
            replaced_by=None,
        )
        await store.insert_key(connection, scope, key, hashlib.sha256(text.encode()).digest())
        return IssuedKey(key, SecretStr(text))


def _found(key: ApiKey | None, key_id: KeyId) -> ApiKey:
    if key is None:
        raise UnknownKey(uuid_text(KEY_PREFIX, key_id))
    return key


def _check_grant(kind: KeyKind, permissions: frozenset[Permission], scope: Scope) -> None:
    """Raise GrantTooWide for a key that could do more than whoever asks; a publishable one is public anyway."""
    if kind is not KeyKind.PUBLISHABLE:
        missing = roles.missing(permissions, scope.permissions)
        if missing:
            raise GrantTooWide(missing)
