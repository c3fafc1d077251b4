"""How receipts and invoices look under ``/v2/receipts``, and what one is asked for with."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tongbao.clearing.schema.fee_taxes import Tax as TaxFound
from tongbao.clearing.schema.fee_taxes import rate_bps, taxes
from tongbao.clearing.schema.receipts import Receipt as ReceiptFound
from tongbao.clearing.schema.receipts import ReceiptItem, ReceiptKind
from tongbao.core.ids import int_text
from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.web.api.clearing_sides import who_did
from tongbao.web.api.shapes import Body, Model, same_fields

Id = Annotated[str, StringConstraints(max_length=64)]
Month = Annotated[str, StringConstraints(pattern=r"^20\d\d-(0[1-9]|1[0-2])$")]
CurrencyCode = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]


class ReceiptOrder(Body):
    """What a paper is of: a `payment`, a `refund`, or of an invoice `month` and `currency`. Exactly one of the three."""

    payment: Id | None = None
    refund: Id | None = None
    month: Month | None = None
    currency: CurrencyCode | None = None


class Item(Model):
    """One line, minor units; the amount holds the tax. `tax_bps` is null where the rate is no whole number of them."""

    name: str
    count: int
    amount_minor: int
    tax_minor: int
    tax_name: str
    tax_e6: int = Field(description="Millionths: 60000 is 6 %.")
    tax_bps: int | None
    at: datetime | None

    @classmethod
    def of(cls, found: ReceiptItem) -> "Item":
        """Return a line as it is sent."""
        return cls.model_validate(same_fields(cls, found, tax_bps=rate_bps(found.tax_e6)))


class Tax(Model):
    """One tax of a paper, minor units: what it was taken of, and what it came to."""

    name: str
    rate_e6: int
    rate_bps: int | None
    net_minor: int
    amount_minor: int

    @classmethod
    def of(cls, found: TaxFound) -> "Tax":
        """Return a tax as it is sent."""
        return cls.model_validate(found._asdict() | {"rate_bps": rate_bps(found.rate_e6)})


class Receipt(Model):
    """A paper, never changed once it has its number. Minor units; those of a refund are negative.

    `source`: the payment, the refund, or of an invoice its month. Of one source there may be several `part`s.
    """

    object: Literal["receipt"] = "receipt"
    id: str
    book: str
    live: bool
    kind: ReceiptKind
    number: str
    source: str
    part: int
    currency: str
    total_minor: int
    tax_minor: int
    items: list[Item]
    taxes: list[Tax]
    method: str
    description: str
    merchant_reference: str
    from_on: date | None = Field(description="First day of an invoice.")
    until_on: date | None = Field(description="Not included.")
    zone: str
    issued_at: datetime
    issued_by: str

    @classmethod
    def of(cls, found: ReceiptFound, *, is_house: bool = False) -> "Receipt":
        """Return a paper as it is sent; merchants learn that the house issued it, not who of its people."""
        issuer = (
            found.issued_by if _is_merchants(found.issued_by) else who_did(found.issued_by, is_house=is_house)
        )
        return cls.model_validate(
            same_fields(
                cls,
                found,
                id=found.reference,
                book=int_text(BOOK_PREFIX, found.book_id),
                number=found.text_number,
                items=[Item.of(each) for each in found.items],
                taxes=[Tax.of(each) for each in taxes(found.items)],
                issued_by=issuer,
            )
        )


class Receipts(Model):
    """Papers, those of the newest payments and months first; go on with `ending_before` = the last id."""

    object: Literal["list"] = "list"
    data: list[Receipt]
    has_more: bool = False


def _is_merchants(actor: str) -> bool:
    return actor.startswith(("person:", "key:"))
