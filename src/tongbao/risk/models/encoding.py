"""Payments as native code takes them: a row of whole numbers and a place.

Keys of entities and ids become 128-bit numbers; of keys only their BLAKE2b hash is kept, so a state holds no key
in the clear and every key costs the same. Two keys that share a hash are not to be expected in the life of any system.
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from tongbao.risk.models.geo import country_code, place_of
from tongbao.risk.models.layout import IN_WIDTH
from tongbao.risk.models.tables import Ints
from tongbao.risk.schema.signals import Signals

Floats = NDArray[np.float64]

_NUMBERS = struct.Struct("=7q")
_TWO = struct.Struct("=2q")
_UNKNOWN = bytes(16)
_KINDS = tuple(b"risk-entity-%d" % kind for kind in range(7))


def _hashed(key: str, kind: bytes) -> bytes:
    return blake2b(key.encode(), digest_size=16, person=kind).digest() if key else _UNKNOWN


def packed(signals: Signals) -> bytes:
    """Return a payment as ``IN_WIDTH`` numbers of 8 bytes."""
    customer, card, device, merchant, address, email_domain, beneficiary = _KINDS
    return b"".join(
        (
            signals.id.bytes,
            _NUMBERS.pack(
                signals.at_ms,
                signals.value,
                country_code(signals.card_country),
                country_code(signals.merchant_country),
                country_code(signals.address_country),
                signals.device_signs,
                signals.is_recurring,
            ),
            _hashed(signals.customer, customer),
            _hashed(signals.card, card),
            _hashed(signals.device, device),
            _hashed(signals.merchant, merchant),
            _hashed(signals.address, address),
            _hashed(signals.email_domain, email_domain),
            _hashed(signals.beneficiary, beneficiary),
        )
    )


def encode(signals: Signals) -> Ints:
    """Return a payment as numbers, shape (``IN_WIDTH``,)."""
    return np.frombuffer(packed(signals), np.int64)


def encode_many(many: Sequence[Signals]) -> tuple[Ints, Floats]:
    """Return payments as numbers, shape (n, ``IN_WIDTH``), and their places in degrees, shape (n, 2)."""
    numbers = np.frombuffer(b"".join(map(packed, many)), np.int64).reshape(-1, IN_WIDTH)
    return numbers, np.array([place_of(signals) for signals in many]).reshape(-1, 2)


def id_numbers(event_id: UUID) -> tuple[int, int]:
    """Return an id as two numbers."""
    return _TWO.unpack(event_id.bytes)
