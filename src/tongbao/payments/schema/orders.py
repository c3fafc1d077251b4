"""What callers ask of payments, and what they get back."""

from datetime import datetime
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from tongbao.channels.schema import Method
from tongbao.core.requests.asks import Rendered
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import CaptureMethod, Intent
from tongbao.payments.schema.methods import Mandate, PaymentMethod, SetupIntent
from tongbao.payments.schema.refunds import Refund
from tongbao.risk.schema.signals import DeviceSign

View = TypeVar("View")


class Done(NamedTuple, Generic[View]):
    """What a use case ended with.

    ``view`` is what it made or changed; None for a repeat, which changed nothing and got ``rendered``, the answer of
    the first time. ``rendered`` is None where nobody asked for an answer to be kept.
    """

    view: View | None
    rendered: Rendered | None = None

    @property
    def is_replay(self) -> bool:
        """True where the answer is that of an earlier request."""
        return self.view is None


class IntentView(NamedTuple):
    """An intent with its latest attempt and the method that it would be, or was, paid with."""

    intent: Intent
    attempt: Attempt | None = None
    method: PaymentMethod | None = None


class RefundView(NamedTuple):
    """A refund with what it gives back."""

    refund: Refund
    attempt: Attempt
    intent: Intent


class SetupView(NamedTuple):
    """A set-up intent with its method and mandate."""

    setup: SetupIntent
    method: PaymentMethod | None = None
    mandate: Mandate | None = None


class MandateTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a payer permits; see ``Mandate``."""

    currency: str | None = None
    amount_minor_max: int | None = None
    period: str | None = None
    period_minor_max: int | None = None
    period_count_max: int | None = None
    ends_at: datetime | None = None


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """On what the payer is: an opaque reference that its client keeps, and what the client shows of itself."""

    reference: str
    signs: DeviceSign = DeviceSign.NONE


class ConfirmOrder(msgspec.Struct, frozen=True, kw_only=True):
    """How to collect: with a saved method or one given now, from a payer who is here or under a mandate.

    ``method`` without ``method_id`` is kept beside its payment, so that refunds and receipts can name it; its customer
    gets it only where ``setup_future_usage`` asks for that. ``payer_address``: the payer's network address; ``device``: what
    the payer is on.
    ``extended``: keep what is authorized for longer than usual, where the channel can.
    """

    method_id: UUID | None = None
    method: Method | None = None
    mandate_id: UUID | None = None
    off_session: bool | None = None
    return_url: str | None = None
    payer_address: str | None = None
    device: Device | None = None
    capture_method: CaptureMethod | None = None
    extended: bool = False


class IntentOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A payment intent to be made; see ``Intent`` for the fields. ``confirm`` collects at once."""

    amount_minor: int
    currency: str
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    method_kinds: tuple[str, ...] = ()
    customer_id: UUID | None = None
    method_id: UUID | None = None
    method: Method | None = None
    description: str | None = None
    descriptor: str | None = None
    receipt_email: str | None = None
    merchant_reference: str | None = None
    transfer_group: str | None = None
    setup_future_usage: str | None = None
    shipping: dict[str, object] | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    expires_at: datetime | None = None
    link_id: UUID | None = None
    session_id: UUID | None = None
    wallet_book_id: int | None = None
    must_prove: bool = False
    confirm: ConfirmOrder | None = None


class IntentChange(msgspec.Struct, frozen=True, kw_only=True):
    """What of an intent is to be changed before it is confirmed; UNSET leaves a field as it is.

    ``metadata`` is merged: an empty value removes its key.
    """

    amount_minor: int | msgspec.UnsetType = msgspec.UNSET
    currency: str | msgspec.UnsetType = msgspec.UNSET
    capture_method: CaptureMethod | msgspec.UnsetType = msgspec.UNSET
    method_kinds: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    customer_id: UUID | msgspec.UnsetType | None = msgspec.UNSET
    method_id: UUID | msgspec.UnsetType | None = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    descriptor: str | msgspec.UnsetType | None = msgspec.UNSET
    receipt_email: str | msgspec.UnsetType | None = msgspec.UNSET
    transfer_group: str | msgspec.UnsetType | None = msgspec.UNSET
    setup_future_usage: str | msgspec.UnsetType | None = msgspec.UNSET
    shipping: dict[str, object] | msgspec.UnsetType | None = msgspec.UNSET
    metadata: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class PageOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of a list is wanted, newest first: ``limit`` 1 to 100, half-open interval of creation."""

    limit: int = 10
    after: UUID | None = None
    before: UUID | None = None
    owner_id: UUID | None = None
    parent_id: UUID | None = None
    state: str | None = None
    containing: dict[str, object] | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


class Page(NamedTuple, Generic[View]):
    """Part of a list, and whether it goes on in the direction that was asked."""

    items: list[View]
    has_more: bool
