"""Who is asking: from the text of a key, or the token of a session, to a scope.

The one place where scopes are made. A key is looked up by the SHA-256 of its text and remembered in this process
for ``FRESH_S`` seconds from before the database was asked, so a revocation, a suspension or a narrowed key counts
two seconds after its commit at the latest, in every process. Sessions are not remembered: roles and sign-outs
count at once.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import AppError
from tongbao.core.ids import int_text, uuid_text
from tongbao.parties.errors import (
    KeyRefused,
    MerchantNotOpen,
    PermissionMissing,
    SessionRefused,
    UnknownMerchant,
)
from tongbao.parties.facts import KeyFacts
from tongbao.parties.policy import keys, roles, sign_in
from tongbao.parties.schema import (
    KEY_PREFIX,
    MERCHANT_PREFIX,
    PERSON_PREFIX,
    KeyId,
    Membership,
    MerchantId,
    MerchantState,
    OperatorPermission,
    OperatorRole,
    OperatorScope,
    Permission,
    Person,
    Scope,
    Session,
)
from tongbao.parties.service.freshness import Remembered
from tongbao.parties.store import access as store
from tongbao.parties.store import people as people_store

FRESH_S = 2.0
KEYS_REMEMBERED_MAX = 10_000
UNKNOWN_REMEMBERED_MAX = 10_000
TEXT_CHARS_MAX = 100
USE_NOTED_EVERY = timedelta(minutes=1)


def require(scope: Scope, permission: Permission) -> None:
    """Raise PermissionMissing, which names the permission, where the scope does not hold it."""
    if permission not in scope.permissions:
        raise PermissionMissing(permission, scope.actor)


def require_operator(operator: OperatorScope, permission: OperatorPermission) -> None:
    """Raise PermissionMissing, which names the permission, where the operator does not hold it."""
    if permission not in operator.permissions:
        raise PermissionMissing(permission, operator.actor)


class Known(NamedTuple):
    """A signed-in person: what they are to the house and to merchants."""

    session: Session
    person: Person
    operator: OperatorScope
    roles: tuple[OperatorRole, ...]
    memberships: tuple[Membership, ...]


def roles_with(permission: Permission | OperatorPermission) -> tuple[str, ...]:
    """Return the roles that hold a permission, by name: whom to ask who has it not."""
    if isinstance(permission, OperatorPermission):
        return tuple(role.value for role, held in roles.OPERATOR_ROLES.items() if permission in held)
    return tuple(role.value for role, held in roles.MERCHANT_ROLES.items() if permission in held)


@dataclass(frozen=True, slots=True)
class _Known:
    """A key as it was read, and the scope that it opens; ``is_settled`` where time alone cannot close it."""

    facts: KeyFacts
    scope: Scope
    allowed: tuple[keys.Network, ...]
    is_settled: bool


class Access:
    """Makes scopes. One object a process; ``close`` it. Opens its own connections.

    ``monotonic_s`` measures freshness in real seconds, whatever ``clock`` plays.
    """

    def __init__(
        self, database: Database, clock: Clock, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._known: Remembered[_Known] = Remembered(KEYS_REMEMBERED_MAX)
        # Apart from the known ones: whoever sends a million wrong keys must not push the right ones out.
        self._unknown: Remembered[bool] = Remembered(UNKNOWN_REMEMBERED_MAX)
        self._asked: dict[bytes, asyncio.Task[_Known | None]] = {}
        self._noting: dict[KeyId, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Finish the notes of when keys were used."""
        await asyncio.gather(*self._noting.values(), *self._asked.values(), return_exceptions=True)

    async def scope_of_key(self, text: str, *, address: str | None) -> Scope:
        """Return the scope that a key opens from a network address; the hot path of every request.

        Raises KeyRefused ``api_key_invalid``, ``api_key_revoked``, ``api_key_expired``, ``api_key_address`` (in
        this order, around MerchantNotOpen before the last), and Unavailable where the database is away and the
        key is not remembered.
        """
        if len(text) > TEXT_CHARS_MAX or not text.isascii():
            raise _invalid()
        digest = hashlib.sha256(text.encode()).digest()
        known = self._known.get(digest, self._monotonic_s())
        if known is None:
            known = await self._look_up(text, digest)
        if not known.is_settled:
            refusal = keys.refusal(known.facts, self._clock.now())
            if refusal is not None:
                raise refusal
        if known.allowed and not keys.is_inside(address, known.allowed):
            raise KeyRefused("api_key_address", "this key may not be used from this address")
        return known.scope

    async def scope_of_session(self, token: str, *, merchant_id: MerchantId, live: bool) -> Scope:
        """Return the scope of a signed-in person at one of their merchants, in a mode.

        While the merchant is suspended they may look and change nothing. Raises SessionRefused, UnknownMerchant
        where they do not belong to it, MerchantNotOpen where it is closed.
        """
        async with self._database.connection() as connection:
            session = await self._session(connection, token)
            role = await store.role_at(connection, merchant_id, session.person_id)
            books = await store.merchant_facts(connection, merchant_id)
        if role is None or books is None:
            raise UnknownMerchant(int_text(MERCHANT_PREFIX, merchant_id))
        test_book_id, state = books
        if state is MerchantState.CLOSED:
            raise MerchantNotOpen(state)
        permissions = roles.of_merchant_role(role, live=live)
        if state is MerchantState.SUSPENDED:
            permissions = roles.while_suspended(permissions)
        return Scope(
            merchant_id=merchant_id,
            book_id=merchant_id if live else test_book_id,
            live=live,
            actor=f"person:{uuid_text(PERSON_PREFIX, session.person_id)}",
            permissions=frozenset[str](permissions),
        )

    async def operator_of_session(self, token: str) -> OperatorScope:
        """Return what a signed-in person may do for the house; nothing, where they have no role in it.

        Raises SessionRefused.
        """
        async with self._database.connection() as connection:
            session = await self._session(connection, token)
            held = await store.operator_roles(connection, session.person_id)
        return OperatorScope(
            person_id=session.person_id,
            actor=f"person:{uuid_text(PERSON_PREFIX, session.person_id)}",
            permissions=roles.of_operator_roles(held),
        )

    async def who(self, token: str) -> "Known":
        """Return everything that a page needs to know of a signed-in person, read at once; raise SessionRefused."""
        async with self._database.connection() as connection:
            session = await self._session(connection, token)
            person = await people_store.person_by_id(connection, session.person_id)
            held = await store.operator_roles(connection, session.person_id)
            memberships = await people_store.memberships(connection, session.person_id)
        if person is None:
            raise _session_invalid()
        operator = OperatorScope(
            person_id=person.person_id,
            actor=f"person:{uuid_text(PERSON_PREFIX, person.person_id)}",
            permissions=roles.of_operator_roles(held),
        )
        return Known(session, person, operator, tuple(held), tuple(memberships))

    async def session(self, token: str) -> Session:
        """Return the living session of a token, and note that it was seen; raise SessionRefused."""
        async with self._database.connection() as connection:
            return await self._session(connection, token)

    async def scope_of_job(
        self, merchant_id: MerchantId, *, live: bool, job: str, permissions: frozenset[Permission]
    ) -> Scope:
        """Return a scope for work that the program does by itself for a merchant, with what the work needs.

        Also for a suspended or closed one, whose money still has to be settled. Raises UnknownMerchant.
        """
        async with self._database.connection() as connection:
            books = await store.merchant_facts(connection, merchant_id)
        if books is None:
            raise UnknownMerchant(int_text(MERCHANT_PREFIX, merchant_id))
        return Scope(
            merchant_id=merchant_id,
            book_id=merchant_id if live else books[0],
            live=live,
            actor=f"job:{job}",
            permissions=frozenset[str](permissions),
        )

    async def _session(self, connection: Connection, token: str) -> Session:
        if len(token) > TEXT_CHARS_MAX:
            raise _session_invalid()
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        session = await store.session(connection, digest)
        now = self._clock.now()
        if session is None or sign_in.is_over(session, now):
            raise _session_invalid()
        if sign_in.needs_touch(session, now):
            await store.touch_session(connection, session.session_id, now)
        return session

    async def _look_up(self, text: str, digest: bytes) -> _Known:
        """Ask the database about a key, once for all who ask at the same time; raise KeyRefused for no key."""
        if not keys.looks_like_a_key(text) or self._unknown.get(digest, self._monotonic_s()):
            raise _invalid()
        asked = self._asked.get(digest)
        if asked is None:
            asked = asyncio.create_task(self._read(digest))
            self._asked[digest] = asked
            asked.add_done_callback(lambda done: self._answered(digest, done))
        known = await asyncio.shield(asked)
        if known is None:
            raise _invalid()
        return known

    def _answered(self, digest: bytes, done: "asyncio.Task[_Known | None]") -> None:
        self._asked.pop(digest, None)
        if not done.cancelled():
            done.exception()  # its callers may all have left: an error that nobody awaits is no news

    async def _read(self, digest: bytes) -> _Known | None:
        fresh_until_s = self._monotonic_s() + FRESH_S
        async with self._database.connection() as connection:
            facts = await store.key_facts(connection, digest)
        if facts is None or not hmac.compare_digest(facts.digest, digest):
            self._unknown.put(digest, True, fresh_until_s)
            return None
        now = self._clock.now()
        refusal = keys.refusal(facts, now)
        if refusal is None:
            self._note_use(facts, now)
        settled = refusal is None and facts.expires_at is None
        known = _Known(facts, _scope(facts), keys.networks(facts.allowed_addresses), settled)
        self._known.put(digest, known, fresh_until_s)
        return known

    def _note_use(self, facts: KeyFacts, now: datetime) -> None:
        """Let it be written that a key was used, off the caller's path, where the last note is a minute old."""
        old = facts.last_used_at is None or now - facts.last_used_at >= USE_NOTED_EVERY
        if old and facts.key_id not in self._noting:
            task = asyncio.create_task(self._write_use(facts.key_id, now))
            self._noting[facts.key_id] = task
            task.add_done_callback(lambda _: self._noting.pop(facts.key_id, None))

    async def _write_use(self, key_id: KeyId, now: datetime) -> None:
        with suppress(AppError):  # a display of coarse times is worth no failed request
            async with self._database.connection() as connection:
                await store.note_use(connection, key_id, now, now - USE_NOTED_EVERY)


def operator_of_job(job: str, permissions: frozenset[OperatorPermission]) -> OperatorScope:
    """Return the scope of work that the program does by itself for the house, with what the work needs."""
    return OperatorScope(person_id=None, actor=f"job:{job}", permissions=permissions)


def _scope(facts: KeyFacts) -> Scope:
    return Scope(
        merchant_id=facts.merchant_id,
        book_id=facts.book_id,
        live=facts.live,
        actor=f"key:{uuid_text(KEY_PREFIX, facts.key_id)}",
        permissions=frozenset[str](facts.permissions),
    )


def _invalid() -> KeyRefused:
    return KeyRefused("api_key_invalid", "there is no such key")


def _session_invalid() -> SessionRefused:
    return SessionRefused("session_invalid", "this session is over; sign in again")
