"""Payment links, checkout sessions and transfers between wallets."""

import enum
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import msgspec

from tongbao.payments.schema.documents import Document, Kind
from tongbao.payments.schema.intents import CaptureMethod

LINE_ITEMS_MAX = 100
QUANTITY_MAX = 999_999
EXTRAS_MAX = 20


class LineItem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is bought: ``unit_minor`` each, ``quantity`` times."""

    name: str
    unit_minor: int
    quantity: int = 1
    description: str | None = None

    @property
    def total_minor(self) -> int:
        """Unit amount times quantity, minor units."""
        return self.unit_minor * self.quantity


class ExtraKind(enum.StrEnum):
    """What is part of a sum beside the items."""

    DISCOUNT = "discount"
    SHIPPING = "shipping"
    TAX = "tax"
    FEE = "fee"  # what paying in this way costs, where the payer bears it


class Extra(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the sum: ``amount_minor`` is negative for a discount and never for anything else.

    ``label``: the merchant's own word for it; None: the page has one.
    """

    kind: ExtraKind
    amount_minor: int
    label: str | None = None


class OpenAmount(msgspec.Struct, frozen=True, kw_only=True):
    """A sum that its payer chooses: ``least_minor`` to ``most_minor``, both included; ``preset_minor`` is offered first."""

    least_minor: int
    most_minor: int
    preset_minor: int | None = None


class PaymentLink(Document, frozen=True, kw_only=True, tag="payment_link"):
    """A link that opens a new checkout session for everybody who follows it.

    With an ``open_amount`` its one item has no price of its own: its payers say what they pay.
    """

    KIND: ClassVar[Kind] = Kind.LINK
    PREFIX: ClassVar[str] = "plink"

    active: bool = True
    currency: str
    items: tuple[LineItem, ...]
    method_kinds: tuple[str, ...] = ()
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    redirect_url: str | None = None
    inactive_message: str | None = None
    completed_count: int = 0
    completed_count_max: int | None = None
    open_amount: OpenAmount | None = None

    @property
    def status(self) -> str:
        """Whether it can be used."""
        return "active" if self.active else "inactive"

    @property
    def amount_minor(self) -> int:
        """The sum of its items."""
        return sum(item.total_minor for item in self.items)


class SessionState(enum.StrEnum):
    """The life of a checkout session."""

    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"


class CheckoutSession(Document, frozen=True, kw_only=True, tag="checkout.session"):
    """One visit of a payer to the hosted cashier. ``extension_count``: how often its payer needed more time."""

    KIND: ClassVar[Kind] = Kind.SESSION
    PREFIX: ClassVar[str] = "cs"

    state: SessionState
    mode: str = "payment"
    currency: str
    items: tuple[LineItem, ...]
    intent_id: UUID | None = None
    link_id: UUID | None = None
    customer_id: UUID | None = None
    customer_email: str | None = None
    client_reference: str | None = None
    success_url: str | None = None
    cancel_url: str | None = None
    locale: str = "auto"
    method_kinds: tuple[str, ...] = ()
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    client_secret: str
    expires_at: datetime
    paid: bool = False
    extras: tuple[Extra, ...] = ()
    extension_count: int = 0

    @property
    def status(self) -> str:
        """The state as it is stored beside the document."""
        return self.state.value

    @property
    def parent_id(self) -> UUID | None:
        """The link that opened it."""
        return self.link_id

    @property
    def owner_id(self) -> UUID | None:
        """The customer whose it is."""
        return self.customer_id

    @property
    def subtotal_minor(self) -> int:
        """The sum of its items."""
        return sum(item.total_minor for item in self.items)

    @property
    def amount_minor(self) -> int:
        """What is to be paid: the sum of its items and of everything beside them."""
        return self.subtotal_minor + self.extra_minor(*ExtraKind)

    def extra_minor(self, *kinds: ExtraKind) -> int:
        """Return the sum of what is of these kinds beside the items, with its sign."""
        return sum(each.amount_minor for each in self.extras if each.kind in kinds)


class WalletTransfer(Document, frozen=True, kw_only=True, tag="wallet_transfer"):
    """Money that went from one wallet to another, in one commit over two books."""

    KIND: ClassVar[Kind] = Kind.WALLET_TRANSFER
    PREFIX: ClassVar[str] = "wtr"

    from_book_id: int
    to_book_id: int
    amount_minor: int
    currency: str
    note: str | None = None

    @property
    def status(self) -> str:
        """It is only ever kept when it was done."""
        return "posted"
