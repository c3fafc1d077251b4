"""How agreements look: what is agreed with a merchant about its money in one currency."""

from datetime import datetime, time
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, StringConstraints

from tongbao.clearing.schema.agreements import (
    CUTS_A_DAY_MAX,
    RESERVE_DAYS_MAX,
    Agreement,
    AgreementVersion,
    Cycle,
)
from tongbao.clearing.schema.fees import RATE_WHOLE
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import int_text
from tongbao.ledger.schema import AMOUNT_MINOR_MAX, BOOK_PREFIX
from tongbao.web.api.clearing_sides import who_did
from tongbao.web.api.shapes import Body, Instant, Model

Name = Annotated[str, StringConstraints(max_length=64)]
Minor = Annotated[int, Field(ge=0, le=AMOUNT_MINOR_MAX)]
Why = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class Terms(Body):
    """How money is settled: when it is cut and paid, what is withheld, who looks."""

    cycle: Cycle = Cycle.T
    days: int = Field(1, ge=0, le=60, description="D counts all days, T working days of the calendars.")
    cuts: Annotated[tuple[time, ...], Field(min_length=1, max_length=CUTS_A_DAY_MAX)] = (time(0, 0),)
    zone: Name = "Asia/Shanghai"
    calendars: Annotated[tuple[Name, ...], Field(max_length=5)] = ("CN",)
    payout_min_minor: Minor = Field(0, description="Below it the net is carried into the next batch.")
    reserve_e6: int = Field(0, ge=0, le=RATE_WHOLE, description="Share of sales withheld, millionths.")
    reserve_days: int = Field(0, ge=0, le=RESERVE_DAYS_MAX)
    approval_above_minor: Minor | None = Field(None, description="A larger payout needs two people.")
    schedule: Name = Field("", description="Name of the price list; empty: the house's.")
    agent_schedule: Name = ""

    def agreement(self) -> Agreement:
        """Return it as the service takes it; raise InvalidRequest ``agreement_invalid``."""
        try:
            return msgspec.convert(self.model_dump(mode="json"), Agreement)
        except msgspec.ValidationError as error:
            raise InvalidRequest("agreement_invalid", str(error)) from error


class AgreementOrder(Body):
    """A new version of what is agreed, from an instant on (now)."""

    agreement: Terms
    note: Why
    effective_at: Instant | None = None


class AgreementModel(Model):
    """A version of what is agreed; `book` is null where the house's own holds, version 0 is built in."""

    object: Literal["settlement_agreement"] = "settlement_agreement"
    book: str | None
    currency: str
    version: int
    effective_at: datetime
    agreement: dict[str, Any]
    made_by: str
    made_at: datetime
    note: str

    @classmethod
    def of(cls, found: AgreementVersion, *, is_house: bool = False) -> "AgreementModel":
        """Return a version as it is sent; what agents get and the house's notes stay in the house."""
        body = Terms.model_validate(msgspec.to_builtins(found.agreement)).model_dump(mode="json")
        if not is_house:
            del body["agent_schedule"]
        return cls(
            book=int_text(BOOK_PREFIX, found.book_id) if found.book_id else None,
            currency=found.currency,
            version=found.version,
            effective_at=found.effective_at,
            agreement=body,
            made_by=who_did(found.made_by, is_house=is_house),
            made_at=found.made_at,
            note=found.note if is_house else "",
        )


class AgreementList(Model):
    """Versions, newest first."""

    object: Literal["list"] = "list"
    data: list[AgreementModel]
    has_more: bool = False
