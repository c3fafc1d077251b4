"""Saved payment methods, set-up intents and mandates: what lets a payer pay again without asking again."""

import enum
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import msgspec

from tongbao.channels.schema import Method, kind_of
from tongbao.payments.schema.documents import Document, Kind
from tongbao.payments.schema.intents import PaymentError


class PaymentMethod(Document, frozen=True, kw_only=True, tag="payment_method"):
    """How somebody pays: a vault token and what may be shown of a card, or a wallet. Never a card number."""

    KIND: ClassVar[Kind] = Kind.METHOD
    PREFIX: ClassVar[str] = "pm"

    method: Method
    customer_id: UUID | None = None
    billing: dict[str, object] = msgspec.field(default_factory=dict)
    fingerprint: str | None = None

    @property
    def status(self) -> str:
        """Whether a customer keeps it."""
        return "attached" if self.customer_id else "loose"

    @property
    def owner_id(self) -> UUID | None:
        """The customer whose it is."""
        return self.customer_id

    @property
    def kind(self) -> str:
        """``card``, ``wallet``, ``alipay`` or ``wechat_pay``."""
        return kind_of(self.method)


class SetupState(enum.StrEnum):
    """The life of a set-up intent, in Stripe's words."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


class SetupIntent(Document, frozen=True, kw_only=True, tag="setup_intent"):
    """The wish to keep a method for later, checked at a channel."""

    KIND: ClassVar[Kind] = Kind.SETUP
    PREFIX: ClassVar[str] = "seti"

    state: SetupState
    customer_id: UUID | None = None
    method_id: UUID | None = None
    mandate_id: UUID | None = None
    usage: str = "off_session"
    description: str | None = None
    client_secret: str
    channel: str | None = None
    channel_reference: str | None = None
    last_error: PaymentError | None = None
    cancel_reason: str | None = None
    mandate_terms: dict[str, object] | None = None

    @property
    def status(self) -> str:
        """The state as it is stored beside the document."""
        return self.state.value

    @property
    def owner_id(self) -> UUID | None:
        """The customer whose it is."""
        return self.customer_id


class MandateState(enum.StrEnum):
    """Whether a mandate may be used."""

    PENDING = "pending"
    ACTIVE = "active"
    PAUSED = "paused"  # by its payer, who may let it go on
    INACTIVE = "inactive"


class Period(enum.StrEnum):
    """Over what time a mandate's cap counts."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class Mandate(Document, frozen=True, kw_only=True, tag="mandate"):
    """A payer's standing permission, with caps: at most so much a payment, so much and so often a period.

    Caps are minor units of ``currency``; None is no cap. ``used_minor`` and ``used_count`` count payments of the
    period that began at ``period_began_at``, also those on their way.
    """

    KIND: ClassVar[Kind] = Kind.MANDATE
    PREFIX: ClassVar[str] = "mandate"

    state: MandateState
    method_id: UUID
    customer_id: UUID | None = None
    currency: str | None = None
    amount_minor_max: int | None = None
    period: Period | None = None
    period_minor_max: int | None = None
    period_count_max: int | None = None
    period_began_at: datetime | None = None
    used_minor: int = 0
    used_count: int = 0
    ends_at: datetime | None = None
    network_reference: str | None = None
    accepted_at: datetime
    accepted_address: str | None = None
    single_use: bool = False

    @property
    def status(self) -> str:
        """The state as it is stored beside the document."""
        return self.state.value

    @property
    def parent_id(self) -> UUID | None:
        """The method that it is for."""
        return self.method_id

    @property
    def owner_id(self) -> UUID | None:
        """The customer whose it is."""
        return self.customer_id
