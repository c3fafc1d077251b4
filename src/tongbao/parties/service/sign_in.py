"""Sign-in with a password, and the sessions that follow from it.

An unknown e-mail address, a wrong password, a person without one and a disabled person get the same answer after
the same work. A try is charged before it is checked, so that many at once gain nothing; from the fifth wrong one on
an e-mail address is locked for the network address it was tried from (``policy.sign_in``), known or not.
"""

import hashlib
import hmac
import random

from pydantic import SecretStr

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.parties.errors import SessionRefused, SignInLocked, SignInRefused, UnknownPerson, UnknownSession
from tongbao.parties.facts import Credentials
from tongbao.parties.policy import fields
from tongbao.parties.policy import payer_sign_in as payer_policy
from tongbao.parties.policy import sign_in as policy
from tongbao.parties.schema import (
    PERSON_PREFIX,
    SESSION_PREFIX,
    IssuedSession,
    PersonId,
    Session,
    SessionId,
)
from tongbao.parties.service.passwords import Passwords
from tongbao.parties.store import payer_sign_in as payer_store
from tongbao.parties.store import people as people_store
from tongbao.parties.store import sessions as store

TOKEN_BITS = 256
ADDRESS_CHARS_MAX = 64
AGENT_CHARS_MAX = 200


class SignIn:
    """Sets passwords, opens and ends sessions. ``rng`` must be cryptographic.

    ``set_password`` joins the caller's transaction; everything else opens its own.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        passwords: Passwords,
        rng: random.Random | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._passwords = passwords
        self._rng = rng or random.SystemRandom()

    async def set_password(self, connection: Connection, person_id: PersonId, password: str) -> None:
        """Set a person's password and end all their sessions; joins the caller's transaction.

        Who may do that is the caller's to know: a recovery must be as strong as a sign-in. Raises UnknownPerson,
        BadField ``password_invalid``, Unavailable ``sign_in_busy``.
        """
        person = await people_store.lock_person(connection, person_id)
        if person is None:
            raise UnknownPerson(uuid_text(PERSON_PREFIX, person_id))
        policy.check_password(password, person.email, person.name)
        digest = await self._passwords.hash(password)
        now = self._clock.now()
        await people_store.set_password(connection, person_id, digest, now)
        await store.end_all(connection, person_id, now)

    async def has_password(self, connection: Connection, person_id: PersonId, password: str) -> bool:
        """Return whether this is a person's password, as a seed asks that sets it otherwise; joins the transaction.

        It charges no try: never let anybody from outside come here.
        """
        person = await people_store.person_by_id(connection, person_id)
        if person is None:
            return False
        found = await people_store.credentials(connection, fields.fold_email(person.email))
        return found is not None and await self._passwords.verify(found.password_digest, password)

    async def sign_in(
        self, email: str, password: str, *, address: str, agent: str, replaces: str | None = None
    ) -> IssuedSession:
        """Open a session, always with a new token; the one that the browser had (``replaces``) ends.

        Raises SignInRefused, SignInLocked with the seconds to wait, BadField for a password over 128
        characters, Unavailable ``sign_in_busy``.
        """
        found = await self._checked(email, password, address)
        renewed = await self._renewed(found, password)
        async with self._database.transaction() as connection:
            if renewed is not None:
                await people_store.set_password(connection, found.person_id, renewed, self._clock.now())
            if replaces is not None:
                await store.end_by_token(connection, _digest(replaces), self._clock.now())
            return await self._open(
                connection, found.person_id, fields.storable(address[:ADDRESS_CHARS_MAX]), agent
            )

    async def let_in(
        self, person_id: PersonId, *, address: str, agent: str, replaces: str | None = None
    ) -> IssuedSession:
        """Open a session for somebody whom something as strong as a password has proved; raise SignInRefused.

        The token is new; the session that the browser had (``replaces``) ends.
        """
        async with self._database.transaction() as connection:
            person = await people_store.person_by_id(connection, person_id)
            if person is None or person.disabled_at is not None:
                raise SignInRefused()
            if replaces is not None:
                await store.end_by_token(connection, _digest(replaces), self._clock.now())
            return await self._open(
                connection, person_id, fields.storable(address[:ADDRESS_CHARS_MAX]), agent
            )

    async def change_password(
        self, email: str, password: str, new: str, *, address: str, agent: str
    ) -> IssuedSession:
        """Change one's own password: all sessions end, and a new one is opened.

        Raises what ``sign_in`` raises for the present password, and BadField ``password_invalid`` for the new one.
        """
        found = await self._checked(email, password, address)
        async with self._database.transaction() as connection:
            await self.set_password(connection, found.person_id, new)
            return await self._open(
                connection, found.person_id, fields.storable(address[:ADDRESS_CHARS_MAX]), agent
            )

    async def charge(self, email: str, address: str) -> None:
        """Count a try at an e-mail address before it is checked, whatever is tried; raise SignInLocked."""
        await self._charge(_email_digest(email), fields.storable(address[:ADDRESS_CHARS_MAX]))

    async def sign_out(self, token: str) -> None:
        """End the session of a token; once more does nothing."""
        async with self._database.connection() as connection:
            await store.end_by_token(connection, _digest(token), self._clock.now())

    async def sessions(self, person_id: PersonId) -> list[Session]:
        """Return a person's living sessions, newest first."""
        now = self._clock.now()
        async with self._database.connection() as connection:
            return await store.sessions(connection, person_id, now - policy.ABSOLUTE, now - policy.IDLE)

    async def end(self, person_id: PersonId, session_id: SessionId) -> None:
        """End one of a person's own sessions; raise UnknownSession."""
        async with self._database.connection() as connection:
            if not await store.end_session(connection, person_id, session_id, self._clock.now()):
                raise UnknownSession(uuid_text(SESSION_PREFIX, session_id))

    async def end_all(self, person_id: PersonId, *, but: SessionId | None = None) -> None:
        """End all of a person's sessions, or all but the one they are in."""
        async with self._database.connection() as connection:
            await store.end_all(connection, person_id, self._clock.now(), but)

    async def forget(self) -> None:
        """Remove failures, codes and sessions, payers' too, that no rule needs any more; about once an hour."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            await store.forget(connection, now - policy.FAILURES_FORGOTTEN, now - policy.KEPT)
            await payer_store.forget(connection, now - payer_policy.CODES_KEPT, now - policy.KEPT)

    async def _checked(self, email: str, password: str, address: str) -> Credentials:
        """Return whom an e-mail address and a password belong to, charged and cleared; see ``sign_in`` for errors."""
        policy.check_length_of_guess(password)
        email_digest = _email_digest(email)
        address = fields.storable(address[:ADDRESS_CHARS_MAX])
        await self._charge(email_digest, address)
        async with self._database.connection() as connection:
            found = await people_store.credentials(connection, fields.fold_email(email))
        right = await self._passwords.verify(found.password_digest if found else None, password)
        if found is None or not right or found.disabled_at is not None:
            raise SignInRefused()
        async with self._database.connection() as connection:
            await store.clear_failures(connection, email_digest, address)
        return found

    async def _charge(self, email_digest: bytes, address: str) -> None:
        """Count a try before it is checked; raise SignInLocked where it comes too early."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            failures = await store.lock_failures(connection, email_digest, address)
            wait_s = policy.seconds_locked(failures, now)
            if not wait_s:
                await store.set_failures(connection, email_digest, address, policy.charge(failures, now))
        if wait_s:
            raise SignInLocked(wait_s)

    async def _renewed(self, found: Credentials, password: str) -> str | None:
        """Return a digest with today's parameters where the stored one has others."""
        if found.password_digest is None or not self._passwords.is_outdated(found.password_digest):
            return None
        return await self._passwords.hash(password)

    async def _open(
        self, connection: Connection, person_id: PersonId, address: str, agent: str
    ) -> IssuedSession:
        now = self._clock.now()
        token = f"{self._rng.getrandbits(TOKEN_BITS):064x}"
        session = Session(
            session_id=SessionId(self._ids.uuid()),
            person_id=person_id,
            address=address,
            agent=fields.storable(agent[:AGENT_CHARS_MAX]),
            created_at=now,
            seen_at=now,
            ended_at=None,
        )
        await store.insert_session(connection, session, _digest(token))
        return IssuedSession(session, SecretStr(token), SecretStr(csrf_of(token)))


def csrf_of(token: str) -> str:
    """Return the token against request forgery that goes with a session: it needs no storage and tells nothing."""
    return hmac.new(token.encode("utf-8", "replace"), b"tongbao/csrf/v1", hashlib.sha256).hexdigest()


def check_csrf(token: str, csrf: str) -> None:
    """Raise SessionRefused ``csrf_invalid`` where a form or request does not carry its session's token."""
    if not hmac.compare_digest(csrf_of(token).encode(), csrf.encode("utf-8", "replace")):
        raise SessionRefused("csrf_invalid", "this page is out of date; load it again")


def _email_digest(email: str) -> bytes:
    return hashlib.sha256(fields.fold_email(email).encode()).digest()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
