"""The attempt: one try to collect an intent's amount over one channel, and the acts that follow on it.

An attempt is committed as ``sent`` before its channel is called. ``unresolved`` means that nobody here knows what
happened there: it is inquired until it is known, never repeated under another reference and never cascaded.
"""

import enum
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import msgspec

from tongbao.channels.schema import Action, Authentication, Initiator, Method, Operation, Reason
from tongbao.payments.schema.documents import Document, Kind
from tongbao.payments.schema.intents import Judged
from tongbao.routing.schema.payments import Mark


class AttemptState(enum.StrEnum):
    """The life of an attempt."""

    SENT = "sent"
    ACTION_REQUIRED = "action_required"
    PENDING = "pending"
    UNRESOLVED = "unresolved"
    AUTHORIZED = "authorized"
    CHARGED = "charged"
    CAPTURED_PARTIAL = "captured_partial"
    CAPTURED = "captured"
    VOIDED = "voided"
    DECLINED = "declined"
    NOT_FOUND = "not_found"
    CONFLICTED = "conflicted"
    REVERSING = "reversing"
    REVERSED = "reversed"


OPEN = frozenset(
    {AttemptState.SENT, AttemptState.ACTION_REQUIRED, AttemptState.PENDING, AttemptState.UNRESOLVED}
)
"""States in which the channel has still to say how it ended."""
HOLDING = frozenset({AttemptState.AUTHORIZED, AttemptState.CAPTURED_PARTIAL})
"""States in which something is authorized and may be captured or voided."""
PAID = frozenset({AttemptState.CHARGED, AttemptState.CAPTURED_PARTIAL, AttemptState.CAPTURED})
DEAD = frozenset({AttemptState.VOIDED, AttemptState.DECLINED, AttemptState.NOT_FOUND, AttemptState.REVERSED})
"""Ends from which no money comes: only after one of these another attempt may be made."""

ATTEMPT_MOVES: dict[AttemptState, frozenset[AttemptState]] = {
    **dict.fromkeys(
        OPEN,
        (OPEN - {AttemptState.SENT})
        | DEAD
        | {
            AttemptState.AUTHORIZED,
            AttemptState.CHARGED,
            AttemptState.CONFLICTED,
            AttemptState.REVERSING,
        },
    ),
    AttemptState.AUTHORIZED: frozenset(
        {
            AttemptState.VOIDED,
            AttemptState.CAPTURED_PARTIAL,
            AttemptState.CAPTURED,
            AttemptState.CONFLICTED,
            AttemptState.REVERSING,
        }
    ),
    AttemptState.CAPTURED_PARTIAL: frozenset({AttemptState.CAPTURED, AttemptState.CONFLICTED}),
    AttemptState.CHARGED: frozenset({AttemptState.CONFLICTED, AttemptState.REVERSING}),
    AttemptState.CAPTURED: frozenset({AttemptState.CONFLICTED}),
    # A late yes after a no, or after the intent was settled otherwise, is given back.
    **dict.fromkeys(
        DEAD - {AttemptState.REVERSED}, frozenset({AttemptState.REVERSING, AttemptState.CONFLICTED})
    ),
    AttemptState.CONFLICTED: frozenset({AttemptState.REVERSING, AttemptState.CHARGED, AttemptState.VOIDED}),
    AttemptState.REVERSING: frozenset({AttemptState.REVERSED, AttemptState.CONFLICTED}),
    AttemptState.REVERSED: frozenset(),
}
"""From each state, where an attempt may go; staying is always allowed."""


class ActState(enum.StrEnum):
    """How an act on an attempt stands."""

    SENT = "sent"
    PENDING = "pending"
    UNRESOLVED = "unresolved"
    APPROVED = "approved"
    DECLINED = "declined"


OPEN_ACTS = frozenset({ActState.SENT, ActState.PENDING, ActState.UNRESOLVED})


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One act on an authorization: increment, capture or void; committed as ``sent`` before it is sent.

    ``final``: a capture after which the rest is released.
    """

    id: UUID
    operation: Operation
    amount_minor: int
    state: ActState
    final: bool = False
    sent_at: datetime
    inquiry_count: int = 0
    channel_reference: str | None = None
    code: str | None = None
    reason: Reason | None = None


class HoldPart(msgspec.Struct, frozen=True):
    """A hold in the ledger that backs part of an authorization; ``left_minor`` is not captured yet."""

    key: UUID
    left_minor: int


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What routing was told of an attempt last: its mark, the reason's code, when, and how long it had taken."""

    mark: Mark
    code: str
    at: datetime
    took_ms: int


class Attempt(Document, frozen=True, kw_only=True, tag="attempt"):
    """One try over one channel. Amounts: asked, authorized, captured, refunded, and refunds on their way.

    ``decision_id`` names the choice of the channel, ``signals_id`` the look that risk control took at the payment.

    ``authenticates``: the issuer was asked to make sure of the payer, and ``authentication`` is what came of it.
    ``must_prove``: that was risk control's condition, without which a yes is given back. ``judged`` as in the intent.

    ``sequence`` counts the acts, so that each has a short number of its own on protocols with short references.
    """

    KIND: ClassVar[Kind] = Kind.ATTEMPT
    PREFIX: ClassVar[str] = "pa"

    state: AttemptState
    intent_id: UUID
    customer_id: UUID | None = None
    method_id: UUID | None = None
    channel: str
    method: Method
    initiator: Initiator = Initiator.PAYER
    amount_minor: int
    currency: str
    capture: bool
    extended: bool = False
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    refund_pending_minor: int = 0
    disputed_minor: int = 0
    sent_at: datetime
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    inquiry_count: int = 0
    channel_reference: str | None = None
    network_reference: str | None = None
    approval_code: str | None = None
    cvc_check: str | None = None
    code: str | None = None
    message: str | None = None
    reason: Reason | None = None
    action: Action | None = None
    acts: tuple[Act, ...] = ()
    holds: tuple[HoldPart, ...] = ()
    fallbacks: tuple[str, ...] = ()
    suspense_minor: int = 0
    decision_id: UUID | None = None
    signals_id: UUID | None = None
    judged: Judged | None = None
    is_cascade: bool = False
    authenticates: bool = False
    must_prove: bool = False
    authentication: Authentication | None = None
    is_proof_told: bool = False
    told: Told | None = None

    @property
    def status(self) -> str:
        """The state as it is stored beside the document."""
        return self.state.value

    @property
    def parent_id(self) -> UUID | None:
        """The intent."""
        return self.intent_id

    @property
    def open_act(self) -> Act | None:
        """The act whose end is not known yet; there is at most one at a time."""
        return next((act for act in self.acts if act.state in OPEN_ACTS), None)

    @property
    def refundable_minor(self) -> int:
        """What may still be refunded: captured, and neither returned nor on its way."""
        return self.captured_minor - self.refunded_minor - self.refund_pending_minor

    @property
    def capturable_minor(self) -> int:
        """What is authorized and not captured."""
        return self.authorized_minor - self.captured_minor if self.state in HOLDING else 0
