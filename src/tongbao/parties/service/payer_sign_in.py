"""Payers who are signed in: their sessions, the browsers they want to be known in, and the way back without passkeys.

A session begins with a right code or a passkey, always with a new token. A remembered device is a random key, kept as
its digest: it saves typing an address, and never stands for a proof that risk control asks for.
"""

import hashlib
import random
from datetime import datetime
from typing import NamedTuple

from pydantic import SecretStr

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import LimitExceeded
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.parties.errors import ContactTaken, SessionRefused, UnknownDevice, UnknownSession
from tongbao.parties.policy import fields
from tongbao.parties.policy import payer_sign_in as policy
from tongbao.parties.ports import (
    PAYER_DEVICE_PREFIX,
    PAYER_SESSION_PREFIX,
    Contact,
    Enrolment,
    IssuedPayerSession,
    Means,
    PayerDeviceId,
    PayerSession,
    PayerSessionId,
    RememberedDevice,
)
from tongbao.parties.schema import Holder, HolderKind, Payer, PayerId
from tongbao.parties.service.sign_in import ADDRESS_CHARS_MAX, AGENT_CHARS_MAX, TOKEN_BITS
from tongbao.parties.store import payer_sign_in as store
from tongbao.parties.store import payers as payer_store
from tongbao.parties.store import sessions as passkey_store

TOKEN_CHARS_MAX = 100
LABEL_CHARS_MAX = 80


class Browser(NamedTuple):
    """From where somebody comes: network address, what the browser calls itself, the token it had before."""

    address: str
    agent: str
    replaces: str | None = None


class SignedInPayer(NamedTuple):
    """A living session and whose it is."""

    payer: Payer
    session: PayerSession


def contact_of(typed: str) -> Contact:
    """Return the address that somebody typed, an e-mail address or a telephone number; raise BadField."""
    return policy.contact_of(typed)


def masked(contact: Contact) -> str:
    """Return an address as it may be shown: ``m***@example.com``, ``***4567``."""
    return policy.masked(contact)


def checked_name(name: str) -> str:
    """Return the name of somebody who wants a wallet; raise BadField ``name_invalid``."""
    fields.check_name("name", name)
    return name


class PayerSignIn:
    """Opens and ends sessions of payers, remembers devices. ``rng`` must be cryptographic. Opens its own transactions."""

    def __init__(
        self, database: Database, clock: Clock, ids: IdFactory, rng: random.Random | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._rng = rng or random.SystemRandom()

    async def add_contact(self, connection: Connection, payer: Payer, contact: Contact) -> None:
        """Add an address that its reader has proved; joins the caller's transaction. Raises ContactTaken, LimitExceeded."""
        if len(await store.contacts(connection, payer.payer_id)) >= store.CONTACTS_MAX:
            raise LimitExceeded("contacts_full", f"at most {store.CONTACTS_MAX} addresses for one payer")
        if not await store.insert_contact(connection, payer.payer_id, contact, self._clock.now()):
            raise ContactTaken()

    async def contacts(self, payer_id: PayerId) -> list[Contact]:
        """Return a payer's addresses, the oldest first."""
        async with self._database.connection() as connection:
            return await store.contacts(connection, payer_id)

    async def open(self, payer_id: PayerId, means: Means, browser: Browser) -> IssuedPayerSession:
        """Open a session, always with a new token; the one that the browser had ends."""
        now = self._clock.now()
        token = self._token()
        session = PayerSession(
            session_id=PayerSessionId(self._ids.uuid()),
            payer_id=payer_id,
            means=means,
            address=fields.storable(browser.address[:ADDRESS_CHARS_MAX]),
            agent=fields.storable(browser.agent[:AGENT_CHARS_MAX]),
            created_at=now,
            seen_at=now,
            ended_at=None,
        )
        async with self._database.transaction() as connection:
            if browser.replaces is not None:
                await store.end_by_token(connection, _digest(browser.replaces), now)
            await store.insert_session(connection, session, _digest(token))
        return IssuedPayerSession(session, SecretStr(token))

    async def signed_in(self, token: str) -> SignedInPayer:
        """Return the payer of a living session, and note that it was seen; raise SessionRefused."""
        now = self._clock.now()
        async with self._database.connection() as connection:
            session = None
            if len(token) <= TOKEN_CHARS_MAX:
                session = await store.session(connection, _digest(token))
            payer = None
            if session is not None and not policy.is_over(session, now):
                payer = await payer_store.payer_by_id(connection, session.payer_id)
            if session is None or payer is None:
                raise SessionRefused("session_invalid", "this session is over; sign in again")
            if now >= session.seen_at + policy.SEEN_EVERY:
                await store.touch_session(connection, session.session_id, now)
        return SignedInPayer(payer, session)

    async def sign_out(self, token: str) -> None:
        """End the session of a token; once more does nothing."""
        async with self._database.connection() as connection:
            await store.end_by_token(connection, _digest(token), self._clock.now())

    async def sessions(self, payer_id: PayerId) -> list[PayerSession]:
        """Return a payer's living sessions, newest first."""
        now = self._clock.now()
        async with self._database.connection() as connection:
            return await store.sessions(connection, payer_id, now - policy.ABSOLUTE, now - policy.IDLE)

    async def end(self, payer_id: PayerId, session_id: PayerSessionId) -> None:
        """End one of a payer's own sessions; raise UnknownSession."""
        async with self._database.connection() as connection:
            if not await store.end_session(connection, payer_id, session_id, self._clock.now()):
                raise UnknownSession(uuid_text(PAYER_SESSION_PREFIX, session_id))

    async def end_all(self, payer_id: PayerId, *, but: PayerSessionId | None = None) -> None:
        """End all of a payer's sessions, or all but the one they are in."""
        async with self._database.connection() as connection:
            await store.end_all(connection, payer_id, self._clock.now(), but)

    async def remember(self, payer_id: PayerId, label: str) -> SecretStr:
        """Remember a browser and return its key, this one time; raise LimitExceeded ``devices_full``."""
        now = self._clock.now()
        key = self._token()
        device = RememberedDevice(
            device_id=PayerDeviceId(self._ids.uuid()),
            payer_id=payer_id,
            label=fields.storable(label[:LABEL_CHARS_MAX]),
            remembered_at=now,
            seen_at=now,
            revoked_at=None,
        )
        async with self._database.transaction() as connection:
            if len(await store.devices(connection, payer_id, now - policy.DEVICE_GOOD)) >= store.DEVICES_MAX:
                raise LimitExceeded("devices_full", f"at most {store.DEVICES_MAX} devices for one payer")
            await store.insert_device(connection, device, _digest(key))
        return SecretStr(key)

    async def recognized(self, key: str) -> RememberedDevice | None:
        """Return the device of a key, and note that it was seen; None where it is forgotten or was never known."""
        if not key or len(key) > TOKEN_CHARS_MAX:
            return None
        now = self._clock.now()
        async with self._database.connection() as connection:
            device = await store.device(connection, _digest(key))
            if device is None or policy.is_forgotten(device, now):
                return None
            if now >= device.seen_at + policy.SEEN_EVERY:
                await store.touch_device(connection, device.device_id, now)
        return device

    async def devices(self, payer_id: PayerId) -> list[RememberedDevice]:
        """Return a payer's remembered devices, those seen last before."""
        async with self._database.connection() as connection:
            return await store.devices(connection, payer_id, self._clock.now() - policy.DEVICE_GOOD)

    async def forget_device(self, payer_id: PayerId, device_id: PayerDeviceId) -> None:
        """Forget one of a payer's devices; raise UnknownDevice."""
        async with self._database.connection() as connection:
            if not await store.revoke_device(connection, payer_id, device_id, self._clock.now()):
                raise UnknownDevice(uuid_text(PAYER_DEVICE_PREFIX, device_id))

    async def enrolment(self, session: PayerSession) -> Enrolment:
        """Return whether this session may add a passkey, and why not."""
        async with self._database.connection() as connection:
            kept = await passkey_store.passkeys(connection, Holder(HolderKind.PAYER, session.payer_id))
            begun_at = await store.recovery(connection, session.payer_id)
        return policy.enrolment(session.means, len(kept), begun_at, self._clock.now())

    async def recovery_ready_at(self, payer_id: PayerId) -> datetime | None:
        """Return when a recovery that is under way lets a new passkey in; None where none is."""
        async with self._database.connection() as connection:
            begun_at = await store.recovery(connection, payer_id)
        if begun_at is None or policy.is_stale(begun_at, self._clock.now()):
            return None
        return policy.ready_at(begun_at)

    async def begin_recovery(self, payer_id: PayerId) -> bool:
        """Begin the way back of a payer who has lost all passkeys; False where it has begun already."""
        now = self._clock.now()
        stale_before = now - policy.RECOVERY_WAIT - policy.RECOVERY_GOOD
        async with self._database.connection() as connection:
            return await store.begin_recovery(connection, payer_id, now, stale_before)

    async def call_off_recovery(self, payer_id: PayerId) -> bool:
        """Stop a recovery, as whoever is signed in may; False where none is under way."""
        async with self._database.connection() as connection:
            return await store.end_recovery(connection, payer_id)

    async def recovered(self, session: PayerSession, kept: bytes) -> None:
        """End a recovery with the passkey that was added: all others, remembered devices and other sessions go."""
        now = self._clock.now()
        holder = Holder(HolderKind.PAYER, session.payer_id)
        async with self._database.transaction() as connection:
            await store.end_recovery(connection, session.payer_id)
            for passkey in await passkey_store.passkeys(connection, holder):
                if passkey.credential_id != kept:
                    await passkey_store.delete_passkey(connection, holder, passkey.credential_id)
            await store.revoke_devices(connection, session.payer_id, now)
            await store.end_all(connection, session.payer_id, now, session.session_id)

    def _token(self) -> str:
        return f"{self._rng.getrandbits(TOKEN_BITS):064x}"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
