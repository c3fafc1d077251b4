"""The two ceremonies of WebAuthn for a merchant's customers: a passkey is saved after a proof, and proves from then on.

Challenges are derived (``policy.passkeys``) and stored nowhere: the caller names the proof that one belongs to, and that
proof ends once. What an authenticator says is checked by the adapter, in a thread of its own; here stands what only the
rows know: whose passkey it is, since when, and how far its counter was.
"""

import asyncio
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import LimitExceeded
from tongbao.parties.adapters import passkey_webauthn as adapter
from tongbao.parties.errors import BadField, PasskeyRefused, UnknownPasskey
from tongbao.parties.policy import passkeys as policy
from tongbao.parties.schema import (
    CustomerId,
    Holder,
    HolderKind,
    Passkey,
    PasskeyVerdict,
    RelyingParty,
    Scope,
)
from tongbao.parties.service.passkeys import Passkeys
from tongbao.parties.store import customers
from tongbao.parties.store import sessions as store


class Proof(NamedTuple):
    """What an answer is good for: ``id`` is the challenge of the step-up, ``digest`` tells what is paid to whom."""

    id: UUID
    digest: bytes


class Payer(NamedTuple):
    """A customer of a merchant's book before one payment, which began at ``since``."""

    scope: Scope
    customer_id: CustomerId
    since: datetime

    @property
    def holder(self) -> Holder:
        """Who holds the passkeys."""
        return Holder(HolderKind.CUSTOMER, self.customer_id, self.scope.book_id)


class PasskeyCeremonies:
    """Asks and judges. ``party`` None: this house has no address that browsers make passkeys for, and all is off.

    ``secret`` is the same in every process. Reads open connections of their own, a registration and a use a
    transaction each.
    """

    def __init__(
        self, database: Database, clock: Clock, party: RelyingParty | None, *, secret: bytes
    ) -> None:
        self._database = database
        self._passkeys = Passkeys(database, clock)
        self._party = party
        self._secret = secret

    async def counting(self, payer: Payer) -> list[Passkey]:
        """Return the passkeys that prove this payer for its payment: those registered before it began."""
        if self._party is None:
            return []
        kept = await self._passkeys.list(payer.holder)
        return [each for each in kept if each.created_at < payer.since]

    async def question(self, payer: Payer, proof: Proof) -> str | None:
        """Return what the browser is asked for a proof, as JSON; None where no passkey of this payer counts."""
        counting = await self.counting(payer)
        if self._party is None or not counting:
            return None
        return await asyncio.to_thread(adapter.question, self._asking(self._party, proof), counting)

    async def judge(self, payer: Payer, proof: Proof, answer: bytes) -> PasskeyVerdict:
        """Return what an answer is worth at this moment; changes nothing."""
        return (await self._judged(payer, proof, answer))[0]

    async def prove(self, payer: Payer, proof: Proof, answer: bytes) -> PasskeyVerdict:
        """Judge an answer and count its use; of two with one counter at once one is ``CLONED``."""
        verdict, credential_id, count = await self._judged(payer, proof, answer)
        if verdict is not PasskeyVerdict.GOOD:
            return verdict
        try:
            async with self._database.transaction() as connection:
                await self._passkeys.touch(connection, credential_id, count)
        except PasskeyRefused:
            return PasskeyVerdict.CLONED
        except UnknownPasskey:
            # It was removed meanwhile.
            return PasskeyVerdict.UNKNOWN
        return verdict

    async def offer(self, payer: Payer, proof: Proof, name: str, display_name: str) -> str | None:
        """Return what the browser is asked in order to save a passkey, as JSON; None where none can be saved.

        ``name`` and ``display_name`` are what the payer sees in its list of passkeys.
        """
        present = await self._passkeys.list(payer.holder)
        if self._party is None or len(present) >= store.PASSKEYS_MAX:
            return None
        account = adapter.Account(
            policy.user_handle(self._secret, payer.customer_id), name, display_name or name
        )
        ceremony = self._saving(self._party, payer, proof)
        return await asyncio.to_thread(adapter.offer, ceremony, account, present)

    async def save(self, payer: Payer, proof: Proof, proved_at: datetime, answer: bytes) -> PasskeyVerdict:
        """Register the passkey of an answer to ``offer``: one for each proof, which was given at ``proved_at``."""
        if self._party is None:
            return PasskeyVerdict.FOREIGN
        ceremony = self._saving(self._party, payer, proof)
        verdict, made = await asyncio.to_thread(adapter.judge_registration, ceremony, answer)
        if made is None:
            return verdict
        try:
            return await self._kept(payer, proved_at, made)
        except PasskeyRefused:
            return PasskeyVerdict.TAKEN
        except LimitExceeded:
            return PasskeyVerdict.FULL
        except BadField:
            return PasskeyVerdict.MALFORMED

    async def _kept(self, payer: Payer, proved_at: datetime, made: adapter.Registered) -> PasskeyVerdict:
        async with self._database.transaction() as connection:
            # The customer's row is the lock: of two registrations after one proof the second sees the first.
            customer = await customers.lock(connection, payer.scope, payer.customer_id)
            if customer is None or customer.deleted_at is not None:
                return PasskeyVerdict.UNKNOWN
            kept = await store.passkeys(connection, payer.holder)
            if any(each.created_at >= proved_at for each in kept):
                return PasskeyVerdict.TAKEN
            await self._passkeys.register(
                connection,
                payer.holder,
                made.credential_id,
                made.public_key,
                sign_count=made.sign_count,
                transports=made.transports,
                label=made.kind,
            )
        return PasskeyVerdict.GOOD

    async def _judged(self, payer: Payer, proof: Proof, answer: bytes) -> tuple[PasskeyVerdict, bytes, int]:
        """Return the verdict on an answer, the passkey that gave it, and its counter."""
        credential_id = await asyncio.to_thread(adapter.credential_of, answer)
        if credential_id is None:
            return PasskeyVerdict.MALFORMED, b"", 0
        counting = {each.credential_id: each for each in await self.counting(payer)}
        passkey = counting.get(credential_id)
        if self._party is None or passkey is None:
            return PasskeyVerdict.UNKNOWN, b"", 0
        ceremony = self._asking(self._party, proof)
        handle = policy.user_handle(self._secret, payer.customer_id)
        verdict, count = await asyncio.to_thread(adapter.judge_assertion, ceremony, passkey, handle, answer)
        return verdict, credential_id, count

    def _asking(self, party: RelyingParty, proof: Proof) -> adapter.Ceremony:
        return adapter.Ceremony(party, policy.proof_challenge(self._secret, proof.id, proof.digest))

    def _saving(self, party: RelyingParty, payer: Payer, proof: Proof) -> adapter.Ceremony:
        challenge = policy.registration_challenge(self._secret, proof.id, payer.customer_id)
        return adapter.Ceremony(party, challenge)
