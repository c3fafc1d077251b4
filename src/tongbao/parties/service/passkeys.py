"""The rows of passkeys.

Rows only: nothing here checks a signature or a challenge. The ceremonies of WebAuthn (``passkey_ceremonies``) call this
after they have verified what an authenticator said.
"""

from collections.abc import Sequence

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import LimitExceeded
from tongbao.parties.errors import BadField, PasskeyRefused, UnknownPasskey
from tongbao.parties.policy import fields
from tongbao.parties.schema import Holder, Passkey
from tongbao.parties.store import sessions as store

CREDENTIAL_BYTES_MAX = 1_023
PUBLIC_KEY_BYTES_MAX = 4_096
SIGN_COUNT_MAX = 2**32 - 1
TRANSPORTS = frozenset({"usb", "nfc", "ble", "smart-card", "hybrid", "internal"})


class Passkeys:
    """Keeps passkeys of people, payers and customers. Writes join the caller's transaction, reads open their own connection."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def register(
        self,
        connection: Connection,
        holder: Holder,
        credential_id: bytes,
        public_key: bytes,
        *,
        sign_count: int = 0,
        transports: Sequence[str] = (),
        label: str = "",
    ) -> Passkey:
        """Keep a credential that was verified; joins the caller's transaction.

        Sizes and transports are those of WebAuthn level 3. Raises BadField, LimitExceeded ``passkeys_full`` at
        50 a holder, PasskeyRefused ``passkey_taken`` where the credential is registered, for whomever.
        """
        _check(credential_id, public_key, sign_count, transports)
        fields.check_text("label", label, chars_max=fields.NAME_CHARS_MAX)
        if len(await store.passkeys(connection, holder)) >= store.PASSKEYS_MAX:
            raise LimitExceeded("passkeys_full", f"at most {store.PASSKEYS_MAX} passkeys for one holder")
        passkey = Passkey(
            credential_id=credential_id,
            holder=holder,
            public_key=public_key,
            sign_count=sign_count,
            transports=tuple(transports),
            label=label,
            created_at=self._clock.now(),
            last_used_at=None,
        )
        if not await store.insert_passkey(connection, passkey):
            raise PasskeyRefused("passkey_taken", "this passkey is registered already")
        return passkey

    async def find(self, credential_id: bytes) -> Passkey:
        """Return the passkey of a credential, whoever holds it; raise UnknownPasskey."""
        async with self._database.connection() as connection:
            passkey = await store.passkey_by_id(connection, credential_id)
        if passkey is None:
            raise UnknownPasskey(credential_id.hex()[:16])
        return passkey

    async def list(self, holder: Holder) -> list[Passkey]:
        """Return a holder's passkeys, oldest first."""
        async with self._database.connection() as connection:
            return await store.passkeys(connection, holder)

    async def touch(self, connection: Connection, credential_id: bytes, sign_count: int) -> None:
        """Note a verified use with the counter that came with it; joins the caller's transaction.

        Raises UnknownPasskey, and PasskeyRefused ``passkey_cloned`` where a counter that counts did not grow
        (WebAuthn level 3, 6.1.1): two authenticators have the same key.
        """
        if await store.touch_passkey(connection, credential_id, sign_count, self._clock.now()):
            return
        if await store.passkey_by_id(connection, credential_id) is None:
            raise UnknownPasskey(credential_id.hex()[:16])
        raise PasskeyRefused("passkey_cloned", "the counter of this passkey went back")

    async def remove(self, connection: Connection, holder: Holder, credential_id: bytes) -> None:
        """Remove one of a holder's passkeys; joins the caller's transaction. Raises UnknownPasskey."""
        if not await store.delete_passkey(connection, holder, credential_id):
            raise UnknownPasskey(credential_id.hex()[:16])


def _check(credential_id: bytes, public_key: bytes, sign_count: int, transports: Sequence[str]) -> None:
    if not 16 <= len(credential_id) <= CREDENTIAL_BYTES_MAX:
        raise BadField("credential_id", f"a credential id has 16 to {CREDENTIAL_BYTES_MAX} bytes")
    if not 1 <= len(public_key) <= PUBLIC_KEY_BYTES_MAX:
        raise BadField("public_key", f"a public key has 1 to {PUBLIC_KEY_BYTES_MAX} bytes")
    if not 0 <= sign_count <= SIGN_COUNT_MAX:
        raise BadField("sign_count", "a signature counter has 32 bits")
    if not TRANSPORTS.issuperset(transports):
        raise BadField("transports", f"transports are of {', '.join(sorted(TRANSPORTS))}")
