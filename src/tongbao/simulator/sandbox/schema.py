"""What the outside world writes into its book: payments, acts on them, disputes.

Amounts are minor units of ISO 4217. References are the merchant's (ours); channel references are the world's own.
"""

import enum
from datetime import datetime

import msgspec


class State(enum.StrEnum):
    """How far a payment or payout is, as its channel sees it."""

    PRESENTED = "presented"  # a code was made and nobody has scanned it
    WAITING = "waiting"  # a payer stands before it
    PENDING = "pending"  # accepted, decided later
    AUTHORIZED = "authorized"
    CAPTURED = "captured"  # all or, where ``captured_minor`` says so, a part of it was claimed
    DECLINED = "declined"
    VOIDED = "voided"  # closed unpaid, or given back


PAYABLE = frozenset({State.PRESENTED, State.WAITING})
FINISHED = frozenset({State.DECLINED, State.VOIDED})


class Purpose(enum.StrEnum):
    """Which way the money goes."""

    PAYMENT = "payment"
    PAYOUT = "payout"


class Operation(enum.StrEnum):
    """What a channel is asked to do; behavior is set by these names."""

    AUTHORIZE = "authorize"
    INCREMENT = "increment"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    PAYOUT = "payout"
    INQUIRE = "inquire"
    PAY = "pay"  # the payer's own act, not the merchant's


class Refusal(enum.StrEnum):
    """Why the book refuses an entry; each protocol has its own word for it."""

    NOT_FOUND = "not_found"
    REFERENCE_CONFLICT = "reference_conflict"  # the reference is known with another amount or currency
    STATE_INVALID = "state_invalid"
    AMOUNT_TOO_LARGE = "amount_too_large"
    EXPIRED = "expired"


class Act(msgspec.Struct, kw_only=True):
    """Something done to a payment under a reference of its own. ``asked``: how often it was asked for.

    With ``decline`` it was refused and moved nothing; it is kept so that a repeat hears the same.
    """

    operation: Operation
    reference: str
    channel_reference: str
    amount_minor: int
    done: bool
    at: datetime
    decline: str | None = None
    finish_at: datetime | None = None
    asked: int = 1


class Dispute(msgspec.Struct, kw_only=True):
    """A payer's complaint about a payment; ``status`` is ``needs_response``, ``won``, ``lost`` or ``withdrawn``.

    ``ended_at`` is None while it waits for a response.
    """

    reference: str
    reason_code: str
    amount_minor: int
    status: str
    opened_at: datetime
    respond_by: datetime
    ended_at: datetime | None = None


class Payment(msgspec.Struct, kw_only=True):
    """One payment or payout in the book of one channel.

    ``amount_minor`` is what was asked for (increments added), ``approved_minor`` what was granted. ``details``
    hold what the protocol needs later: where to notify, what is bought, how the payer meets it. ``scanned`` tells
    whether a payer ever stood before it; what was merely presented some channels do not know. No card number
    and no code of a card is ever kept.
    """

    channel: str
    reference: str
    channel_reference: str
    purpose: Purpose
    amount_minor: int
    currency: str
    state: State
    opened_at: datetime
    approved_minor: int = 0
    captured_minor: int = 0
    decided_at: datetime | None = None
    expires_at: datetime | None = None
    finish_at: datetime | None = None
    closed_for_capture: bool = False
    scanned: bool = True
    decline: str | None = None
    approval_code: str | None = None
    asked: int = 1
    tampered_minor: int = 0
    details: dict[str, str] = {}
    acts: dict[str, Act] = {}
    disputes: dict[str, Dispute] = {}

    @property
    def refunded_minor(self) -> int:
        """Sum of the refunds that are done."""
        return sum(act.amount_minor for act in self.refunds() if act.done)

    @property
    def reserved_for_refunds_minor(self) -> int:
        """Sum of the refunds that are done or under way: no more than what was captured."""
        return sum(act.amount_minor for act in self.refunds())

    @property
    def taken_minor(self) -> int:
        """What the payer is poorer by now; 0 for payouts."""
        return self.captured_minor - self.refunded_minor if self.purpose is Purpose.PAYMENT else 0

    @property
    def said_minor(self) -> int:
        """The amount that the channel claims in answers and notifications: wrong where it was told to lie."""
        return self.approved_minor + self.tampered_minor

    def refunds(self) -> list[Act]:
        """Return the refunds that were not refused, in the order in which they were asked for."""
        return [
            act for act in self.acts.values() if act.operation is Operation.REFUND and act.decline is None
        ]
