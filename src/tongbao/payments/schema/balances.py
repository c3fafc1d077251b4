"""What a merchant has, and what moved it, as merchants' own books like to see it."""

from datetime import datetime
from uuid import UUID

import msgspec


class BalanceLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a merchant has in one currency, minor units: payable now, and not yet."""

    currency: str
    available_minor: int
    pending_minor: int


class BalanceTransaction(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of a merchant's balance, minor units; ``id`` is that of its attempt, refund or dispute.

    ``amount_minor`` is negative for what goes out. ``source`` is the text id of what it came from. Fees are priced when
    the batch is cut: until then they are zero and the whole amount is pending.
    """

    id: UUID
    type: str
    amount_minor: int
    fee_minor: int
    currency: str
    source: str
    created_at: datetime
    available_at: datetime
    is_available: bool
    description: str | None = None
