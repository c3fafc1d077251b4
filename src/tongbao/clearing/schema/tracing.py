"""Where money is: the way of one payment, refund, batch or payout in steps, where it is now, and what comes next."""

import enum
from datetime import date, datetime
from uuid import UUID

import msgspec


class Stage(enum.StrEnum):
    """A step on the way from a captured payment to a line of the bank's statement."""

    CREATED = "created"
    MOVED = "moved"
    REPORTED = "reported"
    CUT = "cut"
    PRICED = "priced"
    APPROVED = "approved"
    CARRIED = "carried"
    FAILED = "failed"
    PAYOUT_CREATED = "payout_created"
    PAYOUT_SENT = "payout_sent"
    PAYOUT_PAID = "payout_paid"
    PAYOUT_REJECTED = "payout_rejected"
    PAYOUT_RETURNED = "payout_returned"
    PAYOUT_CANCELED = "payout_canceled"
    STATED = "stated"


class Next(enum.StrEnum):
    """What happens next to money."""

    CAPTURE = "capture"
    RECORD = "record"
    CUT = "cut"
    PRICE = "price"
    APPROVE = "approve"
    SEND = "send"
    PAY = "pay"
    STATE = "state"
    MEND = "mend"
    CARRY = "carry"
    DONE = "done"


class TraceStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step: what, when, about what, and how much, minor units. ``facts`` are what is to be told of it, as text.

    A step known by its day alone has ``on`` and no ``at``.
    """

    stage: Stage
    at: datetime | None = None
    on: date | None = None
    reference: str = ""
    amount_minor: int | None = None
    facts: dict[str, str] = {}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one currency in one place: how much, in which batch and payout, and what comes next, when.

    ``state`` is a state of a bill, ``not_captured``, or ``pending`` where the payment is captured and its movement not recorded
    yet. ``carried_to``: the batch that took over what was carried on, where one was cut. ``amount_minor`` are movements, before fees; ``net_minor`` after what is withheld, None where that is not known.
    """

    state: str
    currency: str
    amount_minor: int
    net_minor: int | None
    movement_count: int
    cut_at: datetime | None = None
    payout_on: date | None = None
    paid_at: datetime | None = None
    batch_id: UUID | None = None
    payout_id: UUID | None = None
    carried_to: UUID | None = None
    next: Next
    next_at: datetime | None = None
    next_on: date | None = None


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: what was asked for, its way, where it is now, and that in one sentence by language."""

    asked: str
    kind: str
    steps: tuple[TraceStep, ...]
    places: tuple[Place, ...]
    sentences: dict[str, str]


class TracedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a channel's file or a bank's statement that was matched with a movement or payout."""

    expected_id: UUID
    is_bank: bool
    source: str
    on: date
    amount_minor: int
    statement: str
