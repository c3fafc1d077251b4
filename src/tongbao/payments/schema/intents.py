"""The payment intent: the wish to collect one amount. Its states are exactly those of Stripe's PaymentIntent.

What those states cannot say stands beside them: ``capture_state``, ``risk_state``, ``certainty``.
"""

import enum
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import msgspec

from tongbao.channels.schema import Action, Fault, Reason, Retry
from tongbao.payments.schema.documents import Document, Kind
from tongbao.risk.schema.tiers import Tier

DESCRIPTION_CHARS_MAX = 1_000
DESCRIPTOR_CHARS_MAX = 22
REFERENCE_CHARS_MAX = 64


class IntentState(enum.StrEnum):
    """The life of an intent; ``succeeded`` and ``canceled`` are its only ends."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


ENDS = frozenset({IntentState.SUCCEEDED, IntentState.CANCELED})
CONFIRMABLE = frozenset(
    {
        IntentState.REQUIRES_PAYMENT_METHOD,
        IntentState.REQUIRES_CONFIRMATION,
        IntentState.REQUIRES_ACTION,
    }
)
INTENT_MOVES: dict[IntentState, frozenset[IntentState]] = {
    IntentState.REQUIRES_PAYMENT_METHOD: frozenset(
        {
            IntentState.REQUIRES_CONFIRMATION,
            IntentState.REQUIRES_ACTION,
            IntentState.PROCESSING,
            IntentState.CANCELED,
        }
    ),
    IntentState.REQUIRES_CONFIRMATION: frozenset(
        {
            IntentState.REQUIRES_PAYMENT_METHOD,
            IntentState.REQUIRES_ACTION,
            IntentState.PROCESSING,
            IntentState.CANCELED,
        }
    ),
    IntentState.REQUIRES_ACTION: frozenset(
        {
            IntentState.REQUIRES_PAYMENT_METHOD,
            IntentState.REQUIRES_CONFIRMATION,
            IntentState.PROCESSING,
            IntentState.REQUIRES_CAPTURE,
            IntentState.SUCCEEDED,
            IntentState.CANCELED,
        }
    ),
    IntentState.PROCESSING: frozenset(
        {
            IntentState.REQUIRES_PAYMENT_METHOD,
            IntentState.REQUIRES_ACTION,
            IntentState.REQUIRES_CAPTURE,
            IntentState.SUCCEEDED,
            IntentState.CANCELED,
        }
    ),
    IntentState.REQUIRES_CAPTURE: frozenset(
        {IntentState.SUCCEEDED, IntentState.CANCELED, IntentState.REQUIRES_PAYMENT_METHOD}
    ),
    IntentState.SUCCEEDED: frozenset(),
    IntentState.CANCELED: frozenset(),
}
"""From each state, where an intent may go; staying is always allowed."""


class CaptureMethod(enum.StrEnum):
    """When authorized money is claimed."""

    AUTOMATIC = "automatic"
    AUTOMATIC_ASYNC = "automatic_async"
    MANUAL = "manual"
    MANUAL_MULTIPLE = "manual_multiple"

    @property
    def at_once(self) -> bool:
        """True where the channel is told to capture with the authorization."""
        return self in (CaptureMethod.AUTOMATIC, CaptureMethod.AUTOMATIC_ASYNC)


class CaptureState(enum.StrEnum):
    """How much of an intent was captured."""

    NONE = "none"
    PARTIAL = "partial"
    FULL = "full"


class RiskState(enum.StrEnum):
    """What risk control made of an intent."""

    CLEAR = "clear"
    REVIEW = "review"
    BLOCKED = "blocked"
    UNDECIDED = "undecided"  # it ended before anybody had decided about it


class Judged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What risk control said of a payment that it did not just let pass.

    ``look_id`` names the look, ``reasons`` are codes, those that decided first, ``score`` is the chance of fraud in [0, 1].
    """

    tier: Tier
    look_id: UUID | None = None
    reasons: tuple[str, ...] = ()
    score: float | None = None


class Certainty(enum.StrEnum):
    """Whether the outcome is known; ``conflicted``: the channel's story contradicts ours, and people look."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    CONFLICTED = "conflicted"


class CancelReason(enum.StrEnum):
    """Why an intent was canceled."""

    DUPLICATE = "duplicate"
    FRAUDULENT = "fraudulent"
    REQUESTED_BY_CUSTOMER = "requested_by_customer"
    ABANDONED = "abandoned"
    EXPIRED = "expired"
    VOID_INVOICE = "void_invoice"
    AUTOMATIC = "automatic"
    REVIEW_EXPIRED = "review_expired"  # what was held for a review could not be held any longer


class PaymentError(msgspec.Struct, frozen=True, kw_only=True):
    """Why the last attempt ended in a no, in standard words and in the channel's own.

    ``advice`` and texts follow from ``reason`` (``channels.policy``); here stand only facts.
    """

    reason: Reason
    fault: Fault
    retry: Retry
    channel: str | None = None
    channel_code: str | None = None
    channel_message: str | None = None
    attempt_id: UUID | None = None


class Intent(Document, frozen=True, kw_only=True, tag="payment_intent"):
    """The wish to collect ``amount_minor`` of ``currency`` once.

    ``amount_capturable_minor`` is authorized and neither captured nor released, ``amount_received_minor`` captured,
    ``amount_refunded_minor`` returned or on its way back. ``attempt_id`` names the latest attempt, ``paid_by_id`` the
    one whose money counts. ``wallet_book_id``: the wallet that the money tops up. ``judged``: what the last confirmation was
    judged as; None where nothing stood in its way. ``must_prove``: whatever risk control says, it is not collected before its
    payer has proved who it is. ``complaint_id`` names the latest complaint of its payer.
    """

    KIND: ClassVar[Kind] = Kind.INTENT
    PREFIX: ClassVar[str] = "pi"

    state: IntentState
    amount_minor: int
    currency: str
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    method_kinds: tuple[str, ...] = ("card",)
    method_id: UUID | None = None
    customer_id: UUID | None = None
    mandate_id: UUID | None = None
    description: str | None = None
    descriptor: str | None = None
    receipt_email: str | None = None
    merchant_reference: str | None = None
    transfer_group: str | None = None
    return_url: str | None = None
    setup_future_usage: str | None = None
    off_session: bool = False
    shipping: dict[str, object] | None = None
    client_secret: str
    amount_capturable_minor: int = 0
    amount_received_minor: int = 0
    amount_refunded_minor: int = 0
    risk_state: RiskState = RiskState.CLEAR
    judged: Judged | None = None
    certainty: Certainty = Certainty.KNOWN
    attempt_id: UUID | None = None
    paid_by_id: UUID | None = None
    attempt_count: int = 0
    next_action: Action | None = None
    last_error: PaymentError | None = None
    cancel_reason: CancelReason | None = None
    canceled_at: datetime | None = None
    expires_at: datetime | None = None
    link_id: UUID | None = None
    session_id: UUID | None = None
    wallet_book_id: int | None = None
    must_prove: bool = False
    complaint_id: UUID | None = None

    @property
    def status(self) -> str:
        """The state as it is stored beside the document."""
        return self.state.value

    @property
    def owner_id(self) -> UUID | None:
        """The customer whose it is."""
        return self.customer_id

    @property
    def capture_state(self) -> CaptureState:
        """How much of the amount was captured."""
        if not self.amount_received_minor:
            return CaptureState.NONE
        return CaptureState.FULL if self.amount_received_minor >= self.amount_minor else CaptureState.PARTIAL
