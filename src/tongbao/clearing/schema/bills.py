"""Bills: every movement of a merchant with what it costs, what is left of it, and where that money is."""

import enum
from datetime import date, datetime
from uuid import UUID

import msgspec

from tongbao.clearing.schema.movements import Movement, MovementKind

BILL_PAGE_MAX = 100
FILTER_VALUES_MAX = 100


class MoneyState(enum.StrEnum):
    """Where the money of a movement is. What is ``carried`` went into the net of the batch that follows."""

    WAITING = "waiting"  # for its cut
    CUT = "cut"  # in a batch, not priced yet
    PRICED = "priced"  # waits for approval
    APPROVED = "approved"  # waits for its payout
    SENT = "sent"  # on its way through the bank
    PAID = "paid"
    CARRIED = "carried"
    FAILED = "failed"  # the bank refused or returned the payout


class BillFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which movements are looked at: every field that is given must hold; empty is anything. Times are half-open."""

    from_at: datetime | None = None
    until_at: datetime | None = None
    kinds: tuple[MovementKind, ...] = ()
    channels: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    currencies: tuple[str, ...] = ()
    states: tuple[MoneyState, ...] = ()
    intent_id: UUID | None = None
    batch_id: UUID | None = None


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a movement costs its merchant, minor units; ``net = amount - fee - reserve``, and the fee holds its tax.

    ``is_estimated``: by the list in force at the time of the movement; fixed once its batch is priced.
    """

    fee_minor: int
    tax_minor: int
    reserve_minor: int
    net_minor: int
    schedule: str
    schedule_version: int
    is_estimated: bool


class Whereabouts(msgspec.Struct, frozen=True, kw_only=True):
    """Where the money of a movement is; ``payout_on`` is expected until it is ``paid``, then ``paid_at`` says when."""

    state: MoneyState
    payout_on: date
    batch_id: UUID | None = None
    payout_id: UUID | None = None
    payout_state: str = ""
    paid_at: datetime | None = None


class BillLine(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of a bill. ``cost`` is None where no list could be found by which to estimate it."""

    movement: Movement
    cost: Cost | None
    where: Whereabouts


class BillTotal(msgspec.Struct, frozen=True, kw_only=True):
    """What the movements of a filter come to in one currency, minor units.

    Fees, tax and reserve hold what was estimated, which ``estimated_count`` movements are; ``open_count`` are neither priced
    nor estimated, since no list prices them or there are more than a bill ever estimates, and stand with their amounts only.
    """

    currency: str
    count: int = 0
    amount_minor: int = 0
    sales_minor: int = 0
    refunds_minor: int = 0
    disputes_minor: int = 0
    adjustments_minor: int = 0
    fee_minor: int = 0
    tax_minor: int = 0
    reserve_minor: int = 0
    estimated_count: int = 0
    open_count: int = 0

    @property
    def net_minor(self) -> int:
        """Amounts less fees and reserve."""
        return self.amount_minor - self.fee_minor - self.reserve_minor


class BillPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a bill, newest first; ``next_cursor`` is None on the last one."""

    lines: tuple[BillLine, ...]
    next_cursor: str | None = None


class Upcoming(msgspec.Struct, frozen=True, kw_only=True):
    """A payout to come. ``amount_minor``: the movements so far; ``expected_minor``: what is likely paid.

    ``is_fixed``: its batch is priced and nothing changes any more. ``batch_id`` is None before the cut. ``expected_minor`` holds
    what earlier batches carry on, and is None where there are too many movements to estimate.
    """

    currency: str
    cut_at: datetime
    payout_on: date
    state: MoneyState
    count: int
    amount_minor: int
    expected_minor: int | None
    is_fixed: bool
    is_provisional: bool = False
    batch_id: UUID | None = None
