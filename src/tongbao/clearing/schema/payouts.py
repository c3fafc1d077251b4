"""Payouts: money on its way to a merchant's account, and the accounts that it may go to."""

import enum
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec

from tongbao.core.ids import uuid_text

PAYOUT_PREFIX = "po"
DESTINATION_PREFIX = "dst"
END_TO_END_CHARS = 35
"""ISO 20022 Max35Text: what a payout is found by in every message of every bank on the way."""
COOLING = timedelta(hours=24)


class PayoutState(enum.StrEnum):
    """The life of a payout. ``sent`` is committed before the bank is called; ``unresolved`` is inquired, never repeated anew."""

    CREATED = "created"
    SENT = "sent"
    ACCEPTED = "accepted"  # the bank took it (pain.002 ACCP, ACSP); not yet the end
    UNRESOLVED = "unresolved"
    PAID = "paid"  # booked (pain.002 ACSC, or an entry of a statement)
    REJECTED = "rejected"
    RETURNED = "returned"  # it came back after it was booked
    CANCELED = "canceled"  # before it was sent


PAYOUT_MOVES: Mapping[PayoutState, frozenset[PayoutState]] = {
    PayoutState.CREATED: frozenset({PayoutState.SENT, PayoutState.CANCELED}),
    PayoutState.SENT: frozenset(
        {
            PayoutState.ACCEPTED,
            PayoutState.UNRESOLVED,
            PayoutState.PAID,
            PayoutState.REJECTED,
            PayoutState.RETURNED,
        }
    ),
    PayoutState.UNRESOLVED: frozenset(
        {PayoutState.SENT, PayoutState.ACCEPTED, PayoutState.PAID, PayoutState.REJECTED, PayoutState.RETURNED}
    ),
    PayoutState.ACCEPTED: frozenset({PayoutState.PAID, PayoutState.REJECTED, PayoutState.RETURNED}),
    PayoutState.PAID: frozenset({PayoutState.RETURNED}),
    PayoutState.REJECTED: frozenset(),
    PayoutState.RETURNED: frozenset(),
    PayoutState.CANCELED: frozenset(),
}
"""From each state, where a payout may go. From ``unresolved`` back to ``sent`` only under the same ids."""


class Resolving(msgspec.Struct, frozen=True, kw_only=True):
    """What one person says became of a payout that the bank says nothing of; another one has to say the same."""

    state: PayoutState
    actor: str
    note: str
    at: datetime


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way to one account. ``end_to_end`` is derived from the id and equal in every repeat.

    ``resolving``: what a first person says became of it, while it is unresolved.
    """

    id: UUID
    book_id: int
    live: bool
    batch_id: UUID
    destination_id: UUID
    bank: str
    amount_minor: int
    currency: str
    state: PayoutState
    version: int = 1
    end_to_end: str
    message_id: str = ""
    due_on: date
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    due_at: datetime | None = None
    inquiry_count: int = 0
    bank_reference: str | None = None
    code: str | None = None
    message: str | None = None
    resolving: Resolving | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def reference(self) -> str:
        """The id as people and APIs see it: ``po_01jd…``."""
        return uuid_text(PAYOUT_PREFIX, self.id)


class DestinationState(enum.StrEnum):
    """Whether money may go to an account."""

    PROPOSED = "proposed"  # a second person has to confirm it
    COOLING = "cooling"  # confirmed; nothing is paid to it until ``usable_at``
    ACTIVE = "active"
    PAUSED = "paused"  # a payout to it failed, or somebody stopped it
    RETIRED = "retired"


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """An account that a merchant's money may go to. The number itself is sealed; only its end stands here.

    ``scheme``: ``iban`` or ``local``; ``agent_code``: BIC or the bank's own code.
    """

    id: UUID
    book_id: int
    currency: str
    state: DestinationState
    version: int = 1
    holder: str
    scheme: str
    last4: str
    agent_code: str
    country: str
    proposed_by: str
    confirmed_by: str | None = None
    usable_at: datetime | None = None
    paused_reason: str = ""
    created_at: datetime
    updated_at: datetime

    @property
    def reference(self) -> str:
        """The id as people and APIs see it: ``dst_01jd…``."""
        return uuid_text(DESTINATION_PREFIX, self.id)
