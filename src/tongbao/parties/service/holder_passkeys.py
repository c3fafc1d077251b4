"""Passkeys of people and payers: added by who is signed in, and signing in whoever has one, without any other word.

Signing in is discoverable (WebAuthn level 3, 6.2.1): the authenticator says whose passkey it is. The challenge belongs to
one visit of a browser and is spent with the first right answer to it.
"""

import asyncio
import hashlib
from typing import NamedTuple
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import LimitExceeded
from tongbao.parties.adapters import passkey_webauthn as adapter
from tongbao.parties.errors import BadField, PasskeyNotTaken, PasskeyRefused, UnknownPasskey
from tongbao.parties.policy import fields
from tongbao.parties.policy import passkeys as policy
from tongbao.parties.schema import Holder, HolderKind, Passkey, PasskeyVerdict, RelyingParty
from tongbao.parties.service.passkeys import Passkeys
from tongbao.parties.store import sessions as store

LABEL_CHARS_MAX = 60


class Enrolling(NamedTuple):
    """Who adds a passkey in which session; ``name`` and ``display_name`` are what the authenticator lists."""

    holder: Holder
    session_id: UUID
    name: str
    display_name: str


class Kept(NamedTuple):
    """What became of a registration; ``credential_id`` is empty where it was not kept."""

    verdict: PasskeyVerdict
    credential_id: bytes = b""


class HolderPasskeys:
    """Asks and judges. ``party`` None: this house has no address that browsers make passkeys for, and all is off.

    ``secret`` is the same in every process. Opens its own connections and transactions.
    """

    def __init__(
        self, database: Database, clock: Clock, party: RelyingParty | None, *, secret: bytes
    ) -> None:
        self._database = database
        self._clock = clock
        self._passkeys = Passkeys(database, clock)
        self._party = party
        self._secret = secret

    @property
    def is_open(self) -> bool:
        """Whether browsers make passkeys for this house."""
        return self._party is not None

    async def question(self, visit: str) -> str | None:
        """Return what the browser is asked to sign somebody in, as JSON; None where there are no passkeys at all."""
        if self._party is None:
            return None
        ceremony = adapter.Ceremony(self._party, policy.sign_in_challenge(self._secret, visit))
        return await asyncio.to_thread(adapter.question, ceremony, [])

    async def recognize(self, kind: HolderKind, visit: str, answer: bytes) -> Holder:
        """Return who answered, and spend the visit's challenge; raise PasskeyNotTaken with the verdict."""
        if self._party is None:
            raise PasskeyNotTaken(PasskeyVerdict.FOREIGN)
        credential_id = await asyncio.to_thread(adapter.credential_of, answer)
        if credential_id is None:
            raise PasskeyNotTaken(PasskeyVerdict.MALFORMED)
        async with self._database.connection() as connection:
            passkey = await store.passkey_by_id(connection, credential_id)
        if passkey is None or passkey.holder.kind is not kind:
            raise PasskeyNotTaken(PasskeyVerdict.UNKNOWN)
        challenge = policy.sign_in_challenge(self._secret, visit)
        ceremony = adapter.Ceremony(self._party, challenge)
        handle = policy.user_handle(self._secret, passkey.holder.holder_id)
        verdict, count = await asyncio.to_thread(adapter.judge_assertion, ceremony, passkey, handle, answer)
        if verdict is not PasskeyVerdict.GOOD:
            raise PasskeyNotTaken(verdict)
        await self._spend(challenge, passkey, count)
        return passkey.holder

    async def offer(self, enrolling: Enrolling) -> str | None:
        """Return what the browser is asked in order to add a passkey, as JSON; None where none can be added."""
        present = await self._passkeys.list(enrolling.holder)
        if self._party is None or len(present) >= store.PASSKEYS_MAX:
            return None
        handle = policy.user_handle(self._secret, enrolling.holder.holder_id)
        account = adapter.Account(handle, enrolling.name, enrolling.display_name)
        ceremony = adapter.Ceremony(self._party, self._challenge(enrolling))
        return await asyncio.to_thread(adapter.offer, ceremony, account, present, anywhere=True)

    async def save(self, enrolling: Enrolling, answer: bytes, label: str) -> Kept:
        """Keep the passkey of an answer to ``offer``, under a name that its holder chose; raise BadField."""
        fields.check_text("label", label, chars_max=LABEL_CHARS_MAX)
        if self._party is None:
            return Kept(PasskeyVerdict.FOREIGN)
        ceremony = adapter.Ceremony(self._party, self._challenge(enrolling))
        verdict, made = await asyncio.to_thread(adapter.judge_registration, ceremony, answer)
        if made is None:
            return Kept(verdict)
        try:
            async with self._database.transaction() as connection:
                await self._passkeys.register(
                    connection,
                    enrolling.holder,
                    made.credential_id,
                    made.public_key,
                    sign_count=made.sign_count,
                    transports=made.transports,
                    label=label.strip(),
                )
        except PasskeyRefused:
            return Kept(PasskeyVerdict.TAKEN)
        except LimitExceeded:
            return Kept(PasskeyVerdict.FULL)
        except BadField:
            return Kept(PasskeyVerdict.MALFORMED)
        return Kept(PasskeyVerdict.GOOD, made.credential_id)

    async def list(self, holder: Holder) -> list[Passkey]:
        """Return a holder's passkeys, oldest first."""
        return await self._passkeys.list(holder)

    async def rename(self, holder: Holder, reference: str, label: str) -> None:
        """Give one of a holder's passkeys another name; raise BadField, UnknownPasskey."""
        fields.check_text("label", label, chars_max=LABEL_CHARS_MAX, required=True)
        async with self._database.transaction() as connection:
            passkey = await _named(connection, holder, reference)
            await store.rename_passkey(connection, passkey.credential_id, label.strip())

    async def remove(self, holder: Holder, reference: str) -> None:
        """Remove one of a holder's passkeys; raise UnknownPasskey."""
        async with self._database.transaction() as connection:
            passkey = await _named(connection, holder, reference)
            await store.delete_passkey(connection, holder, passkey.credential_id)

    async def _spend(self, challenge: bytes, passkey: Passkey, count: int) -> None:
        """Count a use and close the challenge, both or neither."""
        now = self._clock.now()
        try:
            async with self._database.transaction() as connection:
                if not await store.spend_challenge(connection, hashlib.sha256(challenge).digest(), now):
                    raise PasskeyNotTaken(PasskeyVerdict.STALE)
                await self._passkeys.touch(connection, passkey.credential_id, count)
        except PasskeyRefused:
            raise PasskeyNotTaken(PasskeyVerdict.CLONED) from None
        except UnknownPasskey:
            raise PasskeyNotTaken(PasskeyVerdict.UNKNOWN) from None

    def _challenge(self, enrolling: Enrolling) -> bytes:
        return policy.enrolment_challenge(self._secret, enrolling.session_id, enrolling.holder.holder_id)


async def _named(connection: Connection, holder: Holder, reference: str) -> Passkey:
    """Return the passkey that a list names so; raise UnknownPasskey."""
    for passkey in await store.passkeys(connection, holder):
        if passkey.reference == reference:
            return passkey
    raise UnknownPasskey(reference[:60])
