"""Movements: what changes what a merchant is owed, one row each, equal to the journal's moves on ``in_transit``.

``amount_minor`` is signed from the merchant's view: a sale is positive, a refund and a dispute negative. A movement is
derived from a document of ``payments``, or from what two people agreed on, and carries the id from which the journal's key was
derived, so that movement, document and transfer name each other.
"""

import enum
from datetime import date, datetime
from uuid import UUID

import msgspec

from tongbao.clearing.schema.fees import FeePart
from tongbao.core.ids import uuid_text

MOVEMENT_PREFIX = "mv"


class MovementKind(enum.IntEnum):
    """What a movement is; the order is that of a statement."""

    SALE = 1  # captured, or charged at once
    REFUND = 2  # put aside for a payer
    REFUND_FAILED = 3  # a refund that the channel could not make, given back
    DISPUTE = 4  # withheld for a dispute
    DISPUTE_WON = 5  # given back
    ADJUSTMENT = 6  # agreed by two people, with a reason
    PAYOUT_RETURNED = 7  # the bank gave a payout back; moves nothing here, and may have a price
    DEBT_PAID = 8  # the merchant paid what it owed, over a bank
    DEBT_WRITTEN_OFF = 9  # given up by two people


KIND_NAMES = {
    MovementKind.SALE: "sale",
    MovementKind.REFUND: "refund",
    MovementKind.REFUND_FAILED: "refund_failed",
    MovementKind.DISPUTE: "dispute",
    MovementKind.DISPUTE_WON: "dispute_won",
    MovementKind.ADJUSTMENT: "adjustment",
    MovementKind.PAYOUT_RETURNED: "payout_returned",
    MovementKind.DEBT_PAID: "debt_paid",
    MovementKind.DEBT_WRITTEN_OFF: "debt_written_off",
}
"""The words of prices, APIs and files."""


class Movement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One change of what a merchant is owed.

    ``id`` is derived from the document and the step; ``transfer_key`` is that of the journal. ``source_id`` is the document
    (attempt, refund, dispute, adjustment, demand, payout), ``intent_id`` the payment, where it is about one, and ``channel`` its
    channel, empty where none moved the money. ``reference`` is what the channel knows it by (ours), and
    ``channel_reference`` what the channel calls it. ``cut_at`` and ``payout_on``: when it is cut and paid by the agreement of
    the time at which it happened. ``batch_id`` is None until a batch took it.
    """

    id: UUID
    book_id: int
    live: bool
    kind: MovementKind
    transfer_key: UUID
    source_id: UUID
    intent_id: UUID | None
    channel: str
    method: str
    brand: str = ""
    funding: str = ""
    card_country: str = ""
    store: str = ""
    currency: str
    amount_minor: int
    reference: str
    channel_reference: str | None
    occurred_at: datetime
    recorded_at: datetime
    cut_at: datetime
    payout_on: date
    batch_id: UUID | None = None

    @property
    def text_id(self) -> str:
        """The id as people and APIs see it: ``mv_01jd…``."""
        return uuid_text(MOVEMENT_PREFIX, self.id)


class PricedMovement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a movement cost, written when its batch was priced. ``fee_minor`` is the merchant's, with tax; signed like a cost.

    ``net_minor`` is amount less fee less reserve; ``reserve_minor`` is withheld until ``reserve_until_on``.
    """

    movement_id: UUID
    book_id: int
    batch_id: UUID
    schedule: str
    schedule_version: int
    fee_minor: int
    tax_minor: int
    cost_minor: int
    agent_minor: int
    reserve_minor: int
    net_minor: int
    parts: tuple[FeePart, ...]
