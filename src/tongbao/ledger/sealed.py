"""What a seal says: the canonical bytes of a journal row, and the hash that chains one seal to the next. Pure.

The store computes the same leaf hashes in SQL; ``tests/ledger/test_sealing.py`` holds both against each other.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tongbao.core import merkle
from tongbao.ledger.schema import JournalRow

GENESIS = bytes(32)
"""What the first seal of a book names as its predecessor."""
_DOMAIN = b"tongbao/seal/v1\n"
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def leaf(row: JournalRow, key: UUID | None = None) -> bytes:
    """Return the leaf hash of a journal row; ``key`` looks at it as if it stood under another key."""
    code = row.code.encode()
    reference = None if row.reference is None else row.reference.encode()
    data = b"".join(
        (
            (key or row.key).bytes,
            _int8(row.book_id),
            _int8(row.debit_account_id),
            _int8(row.credit_account_id),
            _int8(row.amount_minor),
            row.asset_id.to_bytes(4, "big", signed=True),
            int(row.kind).to_bytes(2, "big"),
            _time(row.occurred_at),
            _time(row.recorded_at),
            len(code).to_bytes(4, "big"),
            code,
            _optional(None if reference is None else len(reference).to_bytes(4, "big") + reference),
            _optional(None if row.group_key is None else row.group_key.bytes),
            _optional(None if row.group_size is None else row.group_size.to_bytes(2, "big")),
            _optional(None if row.refers_to is None else row.refers_to.bytes),
            _optional(None if row.released_minor is None else _int8(row.released_minor)),
            _optional(None if row.requested_minor is None else _int8(row.requested_minor)),
            _optional(None if row.expires_at is None else _time(row.expires_at)),
        )
    )
    return merkle.leaf_hash(data)


def seal_hash(
    book_id: int, seal_no: int, first_seq: int, transfer_count: int, root: bytes, previous: bytes
) -> bytes:
    """Return the hash that names a seal and everything before it."""
    numbers = _int8(book_id) + _int8(seal_no) + _int8(first_seq) + transfer_count.to_bytes(4, "big")
    return hashlib.sha256(_DOMAIN + numbers + root + previous).digest()


def unpack_keys(keys: bytes) -> list[UUID]:
    """Return the transfer keys that stand one after another in a seal; raise ValueError for a torn one."""
    if len(keys) % 16:
        raise ValueError(f"{len(keys)} bytes are not a whole number of keys")
    return [UUID(bytes=keys[at : at + 16]) for at in range(0, len(keys), 16)]


def _int8(value: int) -> bytes:
    return value.to_bytes(8, "big", signed=True)


def _time(at: datetime) -> bytes:
    return _int8((at - _POSTGRES_EPOCH) // _MICROSECOND)


def _optional(data: bytes | None) -> bytes:
    return b"\x00" if data is None else b"\x01" + data
