"""How bills and payouts to come look under ``/v2/settlements``."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from tongbao.clearing.schema.batches import BATCH_PREFIX
from tongbao.clearing.schema.bills import BillLine, MoneyState
from tongbao.clearing.schema.bills import BillTotal as TotalFound
from tongbao.clearing.schema.bills import Upcoming as UpcomingFound
from tongbao.clearing.schema.fee_taxes import rate_bps
from tongbao.clearing.schema.fees import Bearer, FeePart
from tongbao.clearing.schema.movements import KIND_NAMES, PricedMovement
from tongbao.clearing.schema.payouts import PAYOUT_PREFIX
from tongbao.web.api.shapes import Model, maybe_id, same_fields

INTENT_PREFIX = "pi"


class Part(Model):
    """One charge of a fee, minor units; its tax stands within it. Where it has none its name is empty and its rate 0."""

    name: str
    amount_minor: int
    tax_minor: int
    tax_name: str
    tax_e6: int = Field(description="Millionths: 60000 is 6 %.")
    tax_bps: int | None = Field(description="Null where the rate is no whole number of basis points.")

    @classmethod
    def of(cls, found: FeePart) -> "Part":
        """Return a charge as it is sent."""
        return cls.model_validate(same_fields(cls, found, tax_bps=rate_bps(found.tax_e6)))


class Movement(Model):
    """One change of what a merchant is owed: its fee, what is left of it, and where that money is. Minor units.

    The fee is estimated by the list in force until the batch is priced, and null where no list is found.
    """

    object: Literal["movement"] = "movement"
    id: str
    kind: str
    payment: str | None
    reference: str
    channel_reference: str | None
    channel: str
    method: str
    brand: str
    store: str
    currency: str
    amount_minor: int
    fee_minor: int | None
    tax_minor: int | None = Field(description="Within the fee.")
    reserve_minor: int | None
    net_minor: int | None
    is_estimated: bool | None
    parts: list[Part] | None = Field(description="The charges of the fee, once it is priced.")
    occurred_at: datetime
    state: MoneyState
    cut_at: datetime
    payout_on: date = Field(description="Expected, until it is paid.")
    batch: str | None
    payout: str | None
    paid_at: datetime | None

    @classmethod
    def of(cls, line: BillLine, priced: PricedMovement | None = None) -> "Movement":
        """Return a line as it is sent; what channels and agents get of a payment is not the merchant's to see."""
        own = {
            name: getattr(of, name)
            for of in (line.movement, line.cost, line.where)
            for name in cls.model_fields
            if hasattr(of, name)
        }
        costs = ("fee_minor", "tax_minor", "reserve_minor", "net_minor", "is_estimated")
        told = {
            "id": line.movement.text_id,
            "kind": KIND_NAMES[line.movement.kind],
            "payment": maybe_id(INTENT_PREFIX, line.movement.intent_id),
            "batch": maybe_id(BATCH_PREFIX, line.where.batch_id),
            "payout": maybe_id(PAYOUT_PREFIX, line.where.payout_id),
            "parts": None if priced is None else _parts(priced),
        }
        return cls.model_validate(dict.fromkeys(costs) | own | told)


class Bill(Model):
    """Movements, newest first; go on with `cursor` = `next_cursor`."""

    object: Literal["bill"] = "bill"
    data: list[Movement]
    next_cursor: str | None
    has_more: bool

    @classmethod
    def of(
        cls, lines: Sequence[BillLine], next_cursor: str | None, priced: Mapping[UUID, PricedMovement]
    ) -> "Bill":
        """Return a page as it is sent."""
        shown = [Movement.of(each, priced.get(each.movement.id)) for each in lines]
        return cls(data=shown, next_cursor=next_cursor, has_more=next_cursor is not None)


class Total(Model):
    """What the movements of a filter come to in one currency, minor units.

    Fees hold what was estimated, of `estimated_count` movements; `open_count` stand with their amounts alone.
    """

    currency: str
    count: int
    amount_minor: int
    sales_minor: int
    refunds_minor: int
    disputes_minor: int
    adjustments_minor: int
    fee_minor: int
    tax_minor: int
    reserve_minor: int
    net_minor: int
    estimated_count: int
    open_count: int

    @classmethod
    def of(cls, found: TotalFound) -> "Total":
        """Return a sum as it is sent."""
        return cls.model_validate({name: getattr(found, name) for name in cls.model_fields})


class TotalList(Model):
    """Sums, by currency."""

    object: Literal["list"] = "list"
    data: list[Total]
    has_more: bool = False


class Upcoming(Model):
    """A payout to come: what its movements sum to, and what is likely paid (null: too many to estimate). Minor units."""

    currency: str
    cut_at: datetime
    payout_on: date
    state: MoneyState
    count: int
    amount_minor: int
    expected_minor: int | None
    is_fixed: bool = Field(description="Its batch is priced: nothing changes any more.")
    is_provisional: bool = Field(description="A day of the calendar on the way was not announced yet.")
    batch: str | None

    @classmethod
    def of(cls, found: UpcomingFound) -> "Upcoming":
        """Return a payout to come as it is sent."""
        own = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        return cls.model_validate(own | {"batch": maybe_id(BATCH_PREFIX, found.batch_id)})


class Calendar(Model):
    """The payouts to come, earliest first, and what the next batch begins with."""

    object: Literal["settlement_calendar"] = "settlement_calendar"
    currency: str
    carried_minor: int = Field(description="Left over from earlier batches; negative: owed by the merchant.")
    warning: str | None = Field(
        description="Why dates may still move: holidays on the way are not announced yet."
    )
    data: list[Upcoming]


def _parts(priced: PricedMovement) -> list[Part]:
    return [Part.of(each) for each in priced.parts if each.bearer is Bearer.MERCHANT]
