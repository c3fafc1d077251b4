"""A payment as risk control sees it: amounts, codes and the keys of everybody involved, each a pseudonym."""

import enum
from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.core.ids import uuid_text

KEY_CHARS_MAX = 80
"""Of the key of an entity: a keyed hash, an id of ours or a domain; never a card number, name or whole address."""


class Entity(enum.IntEnum):
    """Whose history is kept. The value is the place of its state and never changes."""

    CUSTOMER = 0
    CARD = 1
    DEVICE = 2
    MERCHANT = 3
    ADDRESS = 4  # network address
    EMAIL_DOMAIN = 5
    BENEFICIARY = (
        6  # whoever gets the money in the end: the wallet that is topped up, the account that is paid
    )


class DeviceSign(enum.IntFlag):
    """What a device shows of itself; claims of a client, so they only ever count against it."""

    NONE = 0
    EMULATOR = 1
    VPN = 2
    ROOTED = 4
    TIME_ZONE_MISMATCH = 8  # its clock is not that of the country its address is in
    HEADLESS = 16


class Signals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One payment that is about to be tried.

    ``id`` names this look at it (a UUIDv7), ``subject_id`` the payment intent. ``value`` is the amount in hundredths of the
    currency's major unit, whatever its exponent: 500 JPY are 50,000, 5.00 EUR are 500; currencies are not converted.
    Keys of entities are pseudonyms of up to 80 characters, empty where unknown. Countries are ISO 3166 alpha-2, empty
    where unknown; ``latitude`` and ``longitude`` are degrees, None where unknown.
    """

    id: UUID
    at: datetime
    book_id: int
    live: bool
    subject_id: UUID
    value: int
    currency: str
    method: str
    customer: str = ""
    card: str = ""
    device: str = ""
    merchant: str = ""
    address: str = ""
    email_domain: str = ""
    beneficiary: str = ""
    card_country: str = ""
    merchant_country: str = ""
    address_country: str = ""
    mcc: str = ""
    funding: str = ""
    is_recurring: bool = False
    device_signs: DeviceSign = DeviceSign.NONE
    latitude: float | None = None
    longitude: float | None = None

    @property
    def at_ms(self) -> int:
        """The instant in whole milliseconds since 1970."""
        return int(self.at.timestamp() * 1000)

    def key(self, entity: Entity) -> str:
        """Return the key of an entity, empty where it is unknown."""
        return (
            self.customer,
            self.card,
            self.device,
            self.merchant,
            self.address,
            self.email_domain,
            self.beneficiary,
        )[entity]

    @property
    def subject(self) -> str:
        """The payment intent as people see it."""
        return uuid_text("pi", self.subject_id)
