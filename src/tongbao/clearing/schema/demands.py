"""Demands: what a merchant owes and is asked to pay, what came of it, and how old it is.

A debt itself is what batches carried on; a demand says who is asked for how much of it until when. What a merchant pays, and
what two people give up, are movements: the next batch nets them with the debt.
"""

import enum
from collections.abc import Mapping
from datetime import date, datetime
from uuid import UUID

import msgspec

from tongbao.clearing.schema.adjustments import Deed
from tongbao.core.ids import uuid_text

DEMAND_PREFIX = "dmd"
RECEIPTS_MAX = 100
"""Of one demand."""
AGE_DAYS = (0, 30, 60, 90)
"""Ends of the ages of what is overdue: not due yet, up to 30, 60, 90 days, and older."""
AgeRow = tuple[str, bool, int, int, int]
"""Currency, mode, days overdue (0 or less: not due), count and amount of demands."""


class DemandState(enum.StrEnum):
    """The life of a demand."""

    OPEN = "open"
    PART_PAID = "part_paid"
    PAID = "paid"
    WRITTEN_OFF = "written_off"  # what was left of it, by two people
    CANCELED = "canceled"  # nothing came, and nothing is asked for any more


DEMAND_MOVES: Mapping[DemandState, frozenset[DemandState]] = {
    DemandState.OPEN: frozenset(
        {DemandState.PART_PAID, DemandState.PAID, DemandState.WRITTEN_OFF, DemandState.CANCELED}
    ),
    DemandState.PART_PAID: frozenset({DemandState.PAID, DemandState.WRITTEN_OFF}),
    DemandState.PAID: frozenset(),
    DemandState.WRITTEN_OFF: frozenset(),
    DemandState.CANCELED: frozenset(),
}
"""Where a demand may go from each state."""
STANDING = frozenset({DemandState.OPEN, DemandState.PART_PAID})


class DemandOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is demanded, in positive minor units. ``reference``: on the letter to the merchant, once in a book."""

    book_id: int
    currency: str
    amount_minor: int
    due_on: date
    reference: str
    note: str


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """One demand, in positive minor units. ``given_up_by``: who wants to write off what is left; somebody else has to as well."""

    id: UUID
    live: bool
    order: DemandOrder
    state: DemandState
    version: int = 1
    received_minor: int = 0
    written_off_minor: int = 0
    given_up_by: str = ""
    history: tuple[Deed, ...] = ()
    created_by: str
    created_at: datetime
    updated_at: datetime

    @property
    def text_id(self) -> str:
        """The id as people and APIs see it: ``dmd_01jd…``."""
        return uuid_text(DEMAND_PREFIX, self.id)

    @property
    def left_minor(self) -> int:
        """What is still asked for; nothing of one that is over."""
        if self.state not in STANDING:
            return 0
        return self.order.amount_minor - self.received_minor - self.written_off_minor


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came for a demand: by which reference of the bank, on which day. ``line_id``: the line of a statement, if one shows it."""

    id: UUID
    book_id: int
    demand_id: UUID
    bank_reference: str
    currency: str
    amount_minor: int
    received_on: date
    line_id: int | None = None
    actor: str
    recorded_at: datetime


class DebtAge(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of demands in one currency and mode, by age: not due, 1–30, 31–60, 61–90 days overdue, older."""

    currency: str
    live: bool
    counts: tuple[int, int, int, int, int]
    amounts_minor: tuple[int, int, int, int, int]


class Debtor(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant that owes: what its batches carried on, what waits beside it (signed), and what is demanded of it, minor units."""

    book_id: int
    currency: str
    live: bool
    debt_minor: int
    waiting_minor: int
    demanded_minor: int
    earliest_due_on: date | None = None

    @property
    def owed_minor(self) -> int:
        """What is owed once all that waits is counted, fees aside."""
        return max(0, self.debt_minor - self.waiting_minor)
