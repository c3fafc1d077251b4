"""How statements look under ``/v2/settlements/statements``."""

from datetime import date, datetime
from typing import Literal

import msgspec
from pydantic import Field

from tongbao.clearing.schema.movements import KIND_NAMES
from tongbao.clearing.schema.statements import FeeSum, KindSum, Statement, StatementLine
from tongbao.clearing.schema.statements import Holdings as HoldingsFound
from tongbao.web.api.shapes import Model


class Holdings(Model):
    """What a merchant has at an instant, minor units; `total_minor` is all of it less what it owes."""

    in_transit_minor: int
    payable_minor: int
    reserve_minor: int
    owed_minor: int
    total_minor: int

    @classmethod
    def of(cls, found: HoldingsFound) -> "Holdings":
        """Return it as it is sent."""
        return cls.model_validate({name: getattr(found, name) for name in cls.model_fields})


class Sum(Model):
    """Movements of one kind, method and channel; `fee_minor` and `tax_minor` of those priced in the time."""

    kind: str
    method: str
    channel: str
    count: int
    amount_minor: int
    fee_minor: int | None = None
    tax_minor: int | None = None

    @classmethod
    def of(cls, found: KindSum | FeeSum) -> "Sum":
        """Return a sum as it is sent."""
        return cls.model_validate(msgspec.structs.asdict(found) | {"kind": KIND_NAMES[found.kind]})


class Line(Model):
    """One line, oldest first, minor units."""

    at: datetime
    entry: str
    reference: str
    amount_minor: int
    change_minor: int
    balance_minor: int
    payment: str
    channel: str
    method: str
    store: str
    channel_reference: str
    fee_minor: int | None
    tax_minor: int | None
    net_minor: int | None
    batch: str
    payout_on: date | None


class StatementModel(Model):
    """A statement, minor units: `closing = opening + movements - fees - payouts + returned`. `data`: its first lines."""

    object: Literal["settlement_statement"] = "settlement_statement"
    currency: str
    from_on: date
    until_on: date = Field(description="Not included.")
    zone: str
    opening: Holdings
    closing: Holdings
    movements: list[Sum]
    fees: list[Sum]
    movements_minor: int
    fees_minor: int
    tax_minor: int
    held_minor: int
    released_minor: int
    payout_count: int
    payouts_minor: int
    returned_minor: int
    is_final: bool
    made_at: datetime
    line_count: int
    data: list[Line]
    has_more: bool

    @classmethod
    def of(cls, found: Statement, lines: list[StatementLine], count: int) -> "StatementModel":
        """Return a statement as it is sent."""
        own = {
            name: getattr(of, name)
            for of in (found.period, found)
            for name in cls.model_fields
            if hasattr(of, name)
        }
        told = {
            "opening": Holdings.of(found.opening),
            "closing": Holdings.of(found.closing),
            "movements": [Sum.of(each) for each in found.movements],
            "fees": [Sum.of(each) for each in found.fees],
            "line_count": count,
            "data": [Line.model_validate(msgspec.structs.asdict(each)) for each in lines],
            "has_more": count > len(lines),
        }
        return cls.model_validate(own | told)
