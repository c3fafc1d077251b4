"""The way back of people who lost their password: recovery codes that they keep, or a link that an operator makes.

A code has 80 random bits, so that its digest needs no slow hash; tries are charged like those of a password. A link is
good for an hour, once, and the newest only. Either sets a new password, which ends all sessions.
"""

import base64
import hashlib
import random
from datetime import timedelta

from pydantic import SecretStr

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.ids import uuid_text
from tongbao.parties.errors import GrantTooWide, LinkDead, UnknownPerson
from tongbao.parties.policy import fields
from tongbao.parties.schema import PERSON_PREFIX, OperatorPermission, OperatorScope, Person, PersonId
from tongbao.parties.service.access import require_operator
from tongbao.parties.service.sign_in import TOKEN_BITS, SignIn
from tongbao.parties.store import people as people_store
from tongbao.parties.store import recovering as store

CODES = 10
CODE_BYTES = 10
GROUP_CHARS = 4
LINK_GOOD = timedelta(hours=1)
TYPED_CHARS_MAX = 100


class Recovering:
    """Makes codes and links, and takes them. ``rng`` must be cryptographic. Opens its own transactions."""

    def __init__(
        self, database: Database, clock: Clock, sign_in: SignIn, rng: random.Random | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._sign_in = sign_in
        self._rng = rng or random.SystemRandom()

    async def make_codes(self, person_id: PersonId) -> list[SecretStr]:
        """Return ten new codes of a person, this one time; those from before are good for nothing."""
        made = [self._code() for _ in range(CODES)]
        async with self._database.transaction() as connection:
            digests = [_code_digest(person_id, code) for code in made]
            await store.replace_codes(connection, person_id, digests, self._clock.now())
        return [SecretStr(code) for code in made]

    async def codes_left(self, person_id: PersonId) -> int:
        """Return how many codes a person has left."""
        async with self._database.connection() as connection:
            return await store.count_codes(connection, person_id)

    async def use_code(self, email: str, code: str, password: str, address: str) -> None:
        """Set a new password with a recovery code; raise SignInLocked, LinkDead, BadField ``password_invalid``.

        A code stays good where the new password is not taken.
        """
        await self._sign_in.charge(email, address)
        async with self._database.transaction() as connection:
            person = await people_store.person_by_email(connection, fields.fold_email(email))
            if person is None or person.disabled_at is not None or len(code) > TYPED_CHARS_MAX:
                raise LinkDead()
            digest = _code_digest(person.person_id, code)
            if not await store.use_code(connection, person.person_id, digest, self._clock.now()):
                raise LinkDead()
            await self._sign_in.set_password(connection, person.person_id, password)

    async def make_link(self, operator: OperatorScope, person_id: PersonId) -> SecretStr:
        """Return the token of a link that lets a person set a password, good for an hour, this one time.

        Raises PermissionMissing without ``staff.write``, GrantTooWide for oneself, UnknownPerson.
        """
        require_operator(operator, OperatorPermission.STAFF_WRITE)
        if operator.person_id == person_id:
            raise GrantTooWide(frozenset({"one's own password"}))
        token = f"{self._rng.getrandbits(TOKEN_BITS):064x}"
        async with self._database.transaction() as connection:
            if await people_store.person_by_id(connection, person_id) is None:
                raise UnknownPerson(uuid_text(PERSON_PREFIX, person_id))
            await store.set_link(connection, person_id, _digest(token), operator.actor, self._clock.now())
        return SecretStr(token)

    async def person_of_link(self, token: str) -> Person:
        """Return for whom a link sets a password; raise LinkDead."""
        async with self._database.connection() as connection:
            since = self._clock.now() - LINK_GOOD
            person_id = await store.person_of_link(connection, _digest(token), since)
            person = None if person_id is None else await people_store.person_by_id(connection, person_id)
        if person is None or person.disabled_at is not None:
            raise LinkDead()
        return person

    async def use_link(self, token: str, password: str) -> None:
        """Set a new password with a link; raise LinkDead, BadField ``password_invalid``, which leaves it good."""
        async with self._database.transaction() as connection:
            person_id = await store.use_link(connection, _digest(token), self._clock.now() - LINK_GOOD)
            if person_id is None:
                raise LinkDead()
            await self._sign_in.set_password(connection, person_id, password)

    def _code(self) -> str:
        text = base64.b32encode(self._rng.getrandbits(CODE_BYTES * 8).to_bytes(CODE_BYTES, "big")).decode()
        groups = [text[at : at + GROUP_CHARS] for at in range(0, len(text), GROUP_CHARS)]
        return "-".join(groups).lower()


def _code_digest(person_id: PersonId, code: str) -> bytes:
    """Return the form in which a code is kept; dashes, blanks and capitals make no difference."""
    plain = "".join(char for char in code.lower() if char.isalnum())
    return hashlib.sha256(b"tongbao/recovery-code/v1" + person_id.bytes + plain.encode()).digest()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
