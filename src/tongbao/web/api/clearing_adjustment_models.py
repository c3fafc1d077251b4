"""How adjustments, demands and debts look under ``/v2``."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
from pydantic import Field, StrictInt, StringConstraints

from tongbao.clearing.schema.adjustments import (
    ADJUSTMENT_PREFIX,
    EVIDENCE_CHARS_MAX,
    REASON_CHARS_MAX,
    REFERENCE_CHARS_MAX,
    AdjustmentOrder,
    AdjustmentState,
    Deed,
)
from tongbao.clearing.schema.adjustments import Adjustment as AdjustmentFound
from tongbao.clearing.schema.demands import DebtAge, DemandOrder, DemandState
from tongbao.clearing.schema.demands import Debtor as DebtorFound
from tongbao.clearing.schema.demands import Demand as DemandFound
from tongbao.clearing.schema.demands import Receipt as ReceiptFound
from tongbao.clearing.schema.movements import MOVEMENT_PREFIX
from tongbao.core.ids import int_text
from tongbao.ledger.schema import AMOUNT_MINOR_MAX, BOOK_PREFIX
from tongbao.payments.schema.intents import Intent
from tongbao.web.api.clearing_sides import book_of
from tongbao.web.api.shapes import Amount, Body, Currency, Model, Text, given_id, maybe_id

Reference = Annotated[str, StringConstraints(min_length=1, max_length=REFERENCE_CHARS_MAX)]
Note = Annotated[str, StringConstraints(max_length=500)]
Why = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Version = Annotated[int | None, Field(ge=1, description="The version that was looked at.")]


class ProposeOrder(Body):
    """What is to be given to a merchant, or taken where the amount is negative, why, and what shows it to be right."""

    book: Text
    currency: Currency
    amount_minor: StrictInt = Field(ge=-AMOUNT_MINOR_MAX, le=AMOUNT_MINOR_MAX)
    reason: Annotated[str, StringConstraints(min_length=1, max_length=REASON_CHARS_MAX)]
    reference: Reference = Field(description="Yours, of a ticket; once in a book.")
    evidence: Annotated[str, StringConstraints(min_length=1, max_length=EVIDENCE_CHARS_MAX)]
    payment: Text | None = Field(default=None, description="The payment that it is about, `pi_…`.")
    reverses: Text | None = Field(
        default=None, description="The posted adjustment that it takes back, `adj_…`."
    )

    def order(self) -> AdjustmentOrder:
        """Return what is proposed; raise NotFound ``resource_missing``, InvalidRequest ``id_malformed``."""
        return AdjustmentOrder(
            book_id=book_of(self.book),
            currency=self.currency.upper(),
            amount_minor=self.amount_minor,
            reason=self.reason,
            reference=self.reference,
            evidence=self.evidence,
            intent_id=None if self.payment is None else given_id(Intent.PREFIX, self.payment, "payment"),
            reverses=None
            if self.reverses is None
            else given_id(ADJUSTMENT_PREFIX, self.reverses, "reverses"),
        )


class DecideOrder(Body):
    """What a second person says of a proposal."""

    version: Version = None
    note: Note = ""


class WhyOrder(Body):
    """Why something is done."""

    note: Why


class NoteOrder(Body):
    """A word beside an act."""

    note: Note = ""


class DemandBody(Body):
    """What a merchant that owes is asked to pay, until when."""

    book: Text
    currency: Currency
    amount_minor: Amount
    due_on: date
    reference: Reference = Field(description="On the letter to the merchant; once in a book.")
    note: Why

    def order(self) -> DemandOrder:
        """Return what is demanded; raise NotFound ``resource_missing``."""
        return DemandOrder(
            book_id=book_of(self.book),
            currency=self.currency.upper(),
            amount_minor=self.amount_minor,
            due_on=self.due_on,
            reference=self.reference,
            note=self.note,
        )


class ReceiveOrder(Body):
    """Money that came into the house's account, by the reference of the bank."""

    amount_minor: Amount
    bank_reference: Reference
    received_on: date
    note: Note = ""


class LineOrder(Body):
    """The break whose line is a payment of a demand."""

    brk: Text = Field(alias="break", description="`brk_…`, an unexpected line of a bank.")
    note: Why


class Act(Model):
    """What was done: by whom, and why."""

    act: str
    at: datetime
    actor: str
    note: str
    amount_minor: int


class Adjustment(Model):
    """Money given to a merchant, or taken, beside all payments. What only the house knows is null for merchants."""

    object: Literal["adjustment"] = "adjustment"
    id: str
    book: str
    live: bool
    currency: str
    amount_minor: int = Field(description="Signed: what the merchant gets.")
    reason: str
    reference: str
    payment: str | None
    reverses: str | None
    movement: str | None = Field(description="`mv_…` once it is posted.")
    state: AdjustmentState
    version: int
    evidence: str | None
    needs_two: bool | None
    approvals: list[str] | None
    proposed_by: str | None
    history: list[Act] | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, found: AdjustmentFound, *, is_house: bool) -> "Adjustment":
        """Return an adjustment as it is sent."""
        order = found.order
        inner = {
            "evidence": order.evidence,
            "needs_two": found.needs_two,
            "approvals": list(found.approvals),
            "proposed_by": found.proposed_by,
            "history": _acts(found.history),
        }
        return cls(
            id=found.text_id,
            book=int_text(BOOK_PREFIX, order.book_id),
            live=found.live,
            currency=order.currency,
            amount_minor=order.amount_minor,
            reason=order.reason,
            reference=order.reference,
            payment=maybe_id(Intent.PREFIX, order.intent_id),
            reverses=maybe_id(ADJUSTMENT_PREFIX, order.reverses),
            movement=maybe_id(MOVEMENT_PREFIX, found.movement_id),
            state=found.state,
            version=found.version,
            created_at=found.created_at,
            updated_at=found.updated_at,
            **(inner if is_house else dict.fromkeys(inner)),
        )


class Adjustments(Model):
    """Adjustments, newest first."""

    object: Literal["list"] = "list"
    data: list[Adjustment]
    has_more: bool = False


class Receipt(Model):
    """Money that came for a demand. `shown`: whether a statement of the bank shows it."""

    bank_reference: str
    amount_minor: int
    currency: str
    received_on: date
    recorded_at: datetime
    shown: bool

    @classmethod
    def of(cls, found: ReceiptFound) -> "Receipt":
        """Return a receipt as it is sent."""
        own = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        return cls.model_validate(own | {"shown": found.line_id is not None})


class Demand(Model):
    """What a merchant is asked to pay. What only the house knows is null for merchants."""

    object: Literal["demand"] = "demand"
    id: str
    book: str
    live: bool
    currency: str
    amount_minor: int
    received_minor: int
    written_off_minor: int
    left_minor: int
    due_on: date
    reference: str
    state: DemandState
    version: int
    given_up_by: str | None
    history: list[Act] | None
    receipts: list[Receipt] | None = None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(
        cls, found: DemandFound, *, is_house: bool, receipts: Sequence[ReceiptFound] | None = None
    ) -> "Demand":
        """Return a demand as it is sent."""
        order = found.order
        return cls(
            id=found.text_id,
            book=int_text(BOOK_PREFIX, order.book_id),
            live=found.live,
            currency=order.currency,
            amount_minor=order.amount_minor,
            received_minor=found.received_minor,
            written_off_minor=found.written_off_minor,
            left_minor=found.left_minor,
            due_on=order.due_on,
            reference=order.reference,
            state=found.state,
            version=found.version,
            given_up_by=found.given_up_by if is_house else None,
            history=_acts(found.history) if is_house else None,
            receipts=None if receipts is None else [Receipt.of(each) for each in receipts],
            created_at=found.created_at,
            updated_at=found.updated_at,
        )


class Demands(Model):
    """Demands, newest first."""

    object: Literal["list"] = "list"
    data: list[Demand]
    has_more: bool = False


class Age(Model):
    """What standing demands ask for: not due yet, 1–30, 31–60, 61–90 days overdue, older."""

    currency: str
    live: bool
    counts: list[int]
    amounts_minor: list[int]


class Debtor(Model):
    """A merchant that owes. `owed_minor`: once all that waits is counted, fees aside."""

    book: str
    currency: str
    live: bool
    debt_minor: int
    waiting_minor: int
    demanded_minor: int
    owed_minor: int
    earliest_due_on: date | None

    @classmethod
    def of(cls, found: DebtorFound) -> "Debtor":
        """Return a debtor as it is sent."""
        own = {name: getattr(found, name) for name in cls.model_fields if hasattr(found, name)}
        return cls.model_validate(own | {"book": int_text(BOOK_PREFIX, found.book_id)})


class Debts(Model):
    """What merchants owe: demands by age, and who owes, in order of books; go on with `starting_after` = the last book."""

    object: Literal["debts"] = "debts"
    ages: list[Age]
    data: list[Debtor]
    has_more: bool = False

    @classmethod
    def of(cls, ages: Sequence[DebtAge], debtors: Sequence[DebtorFound], *, has_more: bool) -> "Debts":
        """Return debts as they are sent."""
        return cls(
            ages=[Age.model_validate(msgspec.structs.asdict(each)) for each in ages],
            data=[Debtor.of(each) for each in debtors],
            has_more=has_more,
        )


def _acts(history: Sequence[Deed]) -> list[Act]:
    return [Act.model_validate(msgspec.structs.asdict(each)) for each in history]
