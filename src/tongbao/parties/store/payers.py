"""The SQL of payers, and of devices of payers and customers."""

from datetime import datetime

from tongbao.core.db import Connection
from tongbao.parties.schema import Device, DeviceId, DeviceOwner, Payer, PayerId
from tongbao.parties.store.rows import changed_one, read

DEVICES_MAX = 100

_PAYER = "SELECT book_id AS wallet_book_id, payer_id, name, locale, created_at FROM parties.payer "
_PAYER_BY_ID = _PAYER + "WHERE payer_id = $1"
_PAYER_BY_BOOK = _PAYER + "WHERE book_id = $1"
_INSERT_PAYER = """
INSERT INTO parties.payer (book_id, payer_id, name, locale, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (book_id) DO NOTHING
"""
_INSERT_DEVICE = """
INSERT INTO parties.device (book_id, owner_id, device_id, label, public_key, first_seen_at, last_seen_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_TOUCH_DEVICE = """
UPDATE parties.device SET last_seen_at = greatest(last_seen_at, $4)
WHERE book_id = $1 AND owner_id = $2 AND device_id = $3
"""
_DEVICES = """
SELECT device_id, label, public_key, first_seen_at, last_seen_at FROM parties.device
WHERE book_id = $1 AND owner_id = $2 ORDER BY last_seen_at DESC, device_id DESC LIMIT $3
"""
_COUNT_DEVICES = "SELECT count(*) FROM parties.device WHERE book_id = $1 AND owner_id = $2"


async def insert_payer(connection: Connection, payer: Payer) -> bool:
    """Add a payer; False where the wallet's book has one."""
    status = await connection.execute(
        _INSERT_PAYER, payer.wallet_book_id, payer.payer_id, payer.name, payer.locale, payer.created_at
    )
    return changed_one(status)


async def payer_by_id(connection: Connection, payer_id: PayerId) -> Payer | None:
    """Return a payer."""
    row = await connection.fetchrow(_PAYER_BY_ID, payer_id)
    return None if row is None else read(row, Payer)


async def payer_by_book(connection: Connection, wallet_book_id: int) -> Payer | None:
    """Return the payer of a wallet's book."""
    row = await connection.fetchrow(_PAYER_BY_BOOK, wallet_book_id)
    return None if row is None else read(row, Payer)


async def insert_device(connection: Connection, owner: DeviceOwner, device: Device) -> None:
    """Add a device of an owner."""
    await connection.execute(
        _INSERT_DEVICE,
        owner.book_id,
        owner.owner_id,
        device.device_id,
        device.label,
        device.public_key,
        device.first_seen_at,
        device.last_seen_at,
    )


async def touch_device(
    connection: Connection, owner: DeviceOwner, device_id: DeviceId, now: datetime
) -> bool:
    """Write that a device was seen; False where the owner has no such one."""
    return changed_one(await connection.execute(_TOUCH_DEVICE, owner.book_id, owner.owner_id, device_id, now))


async def devices(connection: Connection, owner: DeviceOwner) -> list[Device]:
    """Return an owner's devices, those seen last before, at most ``DEVICES_MAX``."""
    rows = await connection.fetch(_DEVICES, owner.book_id, owner.owner_id, DEVICES_MAX)
    return [read(row, Device) for row in rows]


async def count_devices(connection: Connection, owner: DeviceOwner) -> int:
    """Return how many devices an owner has."""
    return int(await connection.fetchval(_COUNT_DEVICES, owner.book_id, owner.owner_id))
