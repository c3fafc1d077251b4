"""Refunds and disputes: money that goes back, by our will or by the payer's."""

import enum
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import msgspec

from tongbao.channels.schema import Reason
from tongbao.payments.schema.documents import Document, Kind


class RefundState(enum.StrEnum):
    """The life of a refund; ``unresolved`` is shown to callers as pending."""

    SENT = "sent"
    PENDING = "pending"
    UNRESOLVED = "unresolved"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


OPEN_REFUNDS = frozenset({RefundState.SENT, RefundState.PENDING, RefundState.UNRESOLVED})


class Refund(Document, frozen=True, kw_only=True, tag="refund"):
    """The return of captured money. The amount is put aside in the ledger when the refund is made."""

    KIND: ClassVar[Kind] = Kind.REFUND
    PREFIX: ClassVar[str] = "re"

    state: RefundState
    intent_id: UUID
    attempt_id: UUID
    amount_minor: int
    currency: str
    cause: str | None = None
    sent_at: datetime
    ended_at: datetime | None = None
    inquiry_count: int = 0
    sequence: int = 0
    channel_reference: str | None = None
    code: str | None = None
    reason: Reason | None = None
    signals_id: UUID | None = None

    @property
    def status(self) -> str:
        """The state as it is stored beside the document."""
        return self.state.value

    @property
    def parent_id(self) -> UUID | None:
        """The intent."""
        return self.intent_id


class DisputeState(enum.StrEnum):
    """The life of a dispute, in Stripe's words."""

    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"


FRAUDULENT = "fraudulent"
"""The cause of a refund that the merchant gives because the payment was fraud, in Stripe's word."""
FRAUD_CODES = frozenset(
    {
        "10.1",
        "10.2",
        "10.3",
        "10.4",
        "10.5",
        "4837",
        "4849",
        "4863",
        "4870",
        "4871",
        "F24",
        "F29",
        "FR2",
        "UA01",
        "UA02",
        "UA05",
    }
)
"""Reason codes of disputes about fraud: Visa 10.x, Mastercard, American Express, Discover; from the networks' public guides."""
OPEN_DISPUTES = frozenset({DisputeState.NEEDS_RESPONSE, DisputeState.UNDER_REVIEW})

EVIDENCE_FIELDS = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "product_description",
    "receipt",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_text",
)
EVIDENCE_CHARS_MAX = 20_000


class Dispute(Document, frozen=True, kw_only=True, tag="dispute"):
    """A payer's objection, from the first notice to the outcome. The amount is withheld from the merchant."""

    KIND: ClassVar[Kind] = Kind.DISPUTE
    PREFIX: ClassVar[str] = "dp"

    state: DisputeState
    intent_id: UUID
    attempt_id: UUID
    amount_minor: int
    currency: str
    cause: str = "general"
    network_reason_code: str | None = None
    channel_reference: str
    respond_by: datetime | None = None
    evidence: dict[str, str] = msgspec.field(default_factory=dict)
    evidence_submitted_at: datetime | None = None
    submission_count: int = 0
    signals_id: UUID | None = None

    @property
    def status(self) -> str:
        """The state as it is stored beside the document."""
        return self.state.value

    @property
    def parent_id(self) -> UUID | None:
        """The intent."""
        return self.intent_id

    @property
    def is_about_fraud(self) -> bool:
        """True where the payer says that it was not the payer who paid."""
        return self.cause == FRAUDULENT or self.network_reason_code in FRAUD_CODES
