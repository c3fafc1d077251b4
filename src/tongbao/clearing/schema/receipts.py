"""Receipts and invoices: what a payer got for its money, and what the house charges a merchant. Never changed once numbered."""

import enum
from datetime import date, datetime
from uuid import UUID

import msgspec

from tongbao.core.ids import uuid_text

RECEIPT_PREFIX = "rcpt"
NUMBER_DIGITS = 6
ITEMS_MAX = 1_000


class ReceiptKind(enum.StrEnum):
    """What a paper is."""

    RECEIPT = "receipt"  # a merchant's, for a payment
    REFUND_RECEIPT = "refund_receipt"  # a merchant's, for what it gave back
    INVOICE = "invoice"  # the house's, for a merchant's fees of a month


class ReceiptItem(msgspec.Struct, frozen=True, kw_only=True):
    """One line, minor units; ``amount`` holds ``tax``. ``name`` is a charge of the price list, or how was paid.

    ``tax_name`` and ``tax_e6`` (millionths) are those of the charge; papers that were numbered before they were told have the
    amount of the tax alone. ``movement_id``: of a receipt, the movement that is shown, so that it is shown once.
    """

    name: str
    count: int
    amount_minor: int
    tax_minor: int = 0
    tax_name: str = ""
    tax_e6: int = 0
    at: datetime | None = None
    movement_id: UUID | None = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One paper. Within ``series`` and ``year`` of a book ``number`` counts from 1 without gaps.

    ``source_id``: the payment, the refund, or of an invoice what its month and currency derive; of one source there may be
    several ``part``s, each with what came since the one before. ``from_on`` and ``until_on``: half-open days of an invoice.
    """

    id: UUID
    book_id: int
    live: bool
    kind: ReceiptKind
    series: str
    year: int
    number: int
    part: int
    source_id: UUID
    source: str
    currency: str
    items: tuple[ReceiptItem, ...]
    issued_at: datetime
    issued_by: str
    zone: str
    method: str = ""
    description: str = ""
    merchant_reference: str = ""
    from_on: date | None = None
    until_on: date | None = None

    @property
    def total_minor(self) -> int:
        """The sum of the items, with tax."""
        return sum(item.amount_minor for item in self.items)

    @property
    def tax_minor(self) -> int:
        """The tax within the total."""
        return sum(item.tax_minor for item in self.items)

    @property
    def text_number(self) -> str:
        """The number as people see it: ``R-2026-000017``."""
        return f"{self.series}-{self.year}-{self.number:0{NUMBER_DIGITS}}"

    @property
    def reference(self) -> str:
        """The id as APIs see it: ``rcpt_01jd…``."""
        return uuid_text(RECEIPT_PREFIX, self.id)
