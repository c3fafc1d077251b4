"""Payers with a wallet of the house, and the devices of payers and customers.

Writes join the caller's transaction, reads open a connection of their own.
"""

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import LimitExceeded
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.parties.errors import BadField, UnknownCustomer, UnknownDevice, UnknownPayer, WalletTaken
from tongbao.parties.policy import fields
from tongbao.parties.schema import (
    CUSTOMER_PREFIX,
    DEVICE_PREFIX,
    PAYER_PREFIX,
    CustomerOwner,
    Device,
    DeviceId,
    DeviceOwner,
    Payer,
    PayerId,
)
from tongbao.parties.store import customers as customer_store
from tongbao.parties.store import payers as store

PUBLIC_KEY_BYTES_MAX = 4_096


class Payers:
    """Creates and finds payers."""

    def __init__(self, database: Database, clock: Clock, ids: IdFactory) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids

    async def create(
        self, connection: Connection, wallet_book_id: int, name: str, locale: str = "en"
    ) -> Payer:
        """Add the payer of a wallet's book, which the caller has opened; joins the caller's transaction.

        Raises BadField, WalletTaken.
        """
        fields.check_name("name", name)
        fields.check_locale(locale)
        payer = Payer(
            payer_id=PayerId(self._ids.uuid()),
            wallet_book_id=wallet_book_id,
            name=name,
            locale=locale,
            created_at=self._clock.now(),
        )
        if not await store.insert_payer(connection, payer):
            raise WalletTaken(wallet_book_id)
        return payer

    async def get(self, payer_id: PayerId) -> Payer:
        """Return a payer; raise UnknownPayer."""
        async with self._database.connection() as connection:
            payer = await store.payer_by_id(connection, payer_id)
        if payer is None:
            raise UnknownPayer(uuid_text(PAYER_PREFIX, payer_id))
        return payer

    async def of_wallet(self, wallet_book_id: int) -> Payer:
        """Return the payer whose wallet has this book; raise UnknownPayer."""
        async with self._database.connection() as connection:
            payer = await store.payer_by_book(connection, wallet_book_id)
        if payer is None:
            raise UnknownPayer(f"of book {wallet_book_id}")
        return payer


class Devices:
    """Registers and lists devices; ``public_key`` stays empty until a device binds a key of its own."""

    def __init__(self, database: Database, clock: Clock, ids: IdFactory) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids

    async def register(
        self, connection: Connection, owner: DeviceOwner, label: str, public_key: bytes = b""
    ) -> Device:
        """Add a device of an owner; joins the caller's transaction.

        Raises BadField, UnknownCustomer for a customer who is not there or deleted, LimitExceeded
        ``devices_full`` at 100 an owner.
        """
        fields.check_name("label", label)
        if len(public_key) > PUBLIC_KEY_BYTES_MAX:
            raise BadField("public_key", f"a public key has at most {PUBLIC_KEY_BYTES_MAX} bytes")
        if isinstance(owner, CustomerOwner):
            customer = await customer_store.lock(connection, owner.scope, owner.customer_id)
            if customer is None or customer.deleted_at is not None:
                raise UnknownCustomer(uuid_text(CUSTOMER_PREFIX, owner.customer_id))
        if await store.count_devices(connection, owner) >= store.DEVICES_MAX:
            raise LimitExceeded("devices_full", f"at most {store.DEVICES_MAX} devices for one owner")
        now = self._clock.now()
        device = Device(
            device_id=DeviceId(self._ids.uuid()),
            label=label,
            public_key=public_key,
            first_seen_at=now,
            last_seen_at=now,
        )
        await store.insert_device(connection, owner, device)
        return device

    async def touch(self, connection: Connection, owner: DeviceOwner, device_id: DeviceId) -> None:
        """Note that a device was seen now; joins the caller's transaction. Raises UnknownDevice."""
        if not await store.touch_device(connection, owner, device_id, self._clock.now()):
            raise UnknownDevice(uuid_text(DEVICE_PREFIX, device_id))

    async def list(self, owner: DeviceOwner) -> list[Device]:
        """Return an owner's devices, those seen last before."""
        async with self._database.connection() as connection:
            return await store.devices(connection, owner)
