"""Statements: what a merchant had when a time began, what was added and taken, and what it had at the end.

What the house owes a merchant stands on four accounts of its book; a statement names each of them. Movements count at the
time at which they happened; fees and reserve when their batch was priced; payouts when the bank had paid them.
"""

import enum
from datetime import date, datetime
from uuid import UUID

import msgspec

from tongbao.clearing.schema.batches import Totals
from tongbao.clearing.schema.movements import MovementKind

STATEMENT_DAYS_MAX = 366


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """The days of a statement, half-open, in a time zone; and the instants at which they begin and end."""

    from_on: date
    until_on: date
    zone: str
    from_at: datetime
    until_at: datetime


class Holdings(msgspec.Struct, frozen=True, kw_only=True):
    """What a merchant has at an instant, minor units.

    ``in_transit``: not priced yet. ``payable``: priced and not paid, with what is on its way through the bank. ``reserve``:
    withheld. ``owed``: what the merchant owes the house, positive.
    """

    in_transit_minor: int = 0
    payable_minor: int = 0
    reserve_minor: int = 0
    owed_minor: int = 0

    @property
    def total_minor(self) -> int:
        """All that the house owes the merchant, less what it is owed."""
        return self.in_transit_minor + self.payable_minor + self.reserve_minor - self.owed_minor


class KindSum(msgspec.Struct, frozen=True, kw_only=True):
    """Movements of one kind, method and channel: how many and how much, minor units."""

    kind: MovementKind
    method: str
    channel: str
    count: int
    amount_minor: int


class FeeSum(msgspec.Struct, frozen=True, kw_only=True):
    """What movements of one kind, method and channel cost that were priced in the time; the fee holds its tax."""

    kind: MovementKind
    method: str
    channel: str
    count: int
    amount_minor: int
    fee_minor: int
    tax_minor: int


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement, minor units. ``closing = opening + movements - fees - payouts + returned``, exactly.

    ``is_final``: the time is over and everything that happened in it has been recorded. Sums of ``movements`` and ``fees``
    are those of their lines. ``held`` and ``released`` move between the reserve and the rest and change no total.
    """

    book_id: int
    currency: str
    period: Period
    opening: Holdings
    closing: Holdings
    movements: tuple[KindSum, ...]
    fees: tuple[FeeSum, ...]
    held_minor: int
    released_minor: int
    payout_count: int
    payouts_minor: int
    returned_minor: int
    is_final: bool
    made_at: datetime

    @property
    def movements_minor(self) -> int:
        """The sum of all movements."""
        return sum(each.amount_minor for each in self.movements)

    @property
    def fees_minor(self) -> int:
        """The sum of all fees with their tax."""
        return sum(each.fee_minor for each in self.fees)

    @property
    def tax_minor(self) -> int:
        """The tax within the fees."""
        return sum(each.tax_minor for each in self.fees)


class Entry(enum.StrEnum):
    """What a line of a statement is, beside movements by their kind."""

    FEES = "fees"
    RESERVE_HELD = "reserve_held"
    RESERVE_RELEASED = "reserve_released"
    PAYOUT = "payout"
    PAYOUT_RETURNED = "payout_came_back"


class BatchAct(enum.StrEnum):
    """What a batch did to a merchant's balance at an instant."""

    PRICED = "priced"
    PAID = "paid"
    RETURNED = "returned"


class BatchEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A batch at the instant at which it changed a balance."""

    batch_id: UUID
    act: BatchAct
    at: datetime
    cut_at: datetime
    payout_on: date
    totals: Totals
    paid_minor: int
    carried_minor: int


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line, oldest first. ``entry`` is the name of a movement's kind or an ``Entry``.

    ``amount_minor`` is what the line is about, ``change_minor`` what it adds to the balance (nothing where money only moves
    into the reserve or out of it) and ``balance_minor`` the balance after it. Of a movement ``fee_minor``, ``tax_minor`` and
    ``net_minor`` are told once it is priced; they are taken off with the line ``fees`` of its batch.
    """

    at: datetime
    entry: str
    reference: str
    amount_minor: int
    change_minor: int
    balance_minor: int
    payment: str = ""
    channel: str = ""
    method: str = ""
    store: str = ""
    channel_reference: str = ""
    fee_minor: int | None = None
    tax_minor: int | None = None
    net_minor: int | None = None
    batch: str = ""
    payout_on: date | None = None


class ProfitFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a profit report is made of: one merchant's book, one currency, one channel; None is any."""

    book_id: int | None = None
    currency: str | None = None
    channel: str | None = None


class ProfitKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a line of a profit report is of; empty and None where it is not told apart or not known."""

    currency: str
    month_on: date
    book_id: int | None = None
    method: str = ""
    channel: str = ""


class ProfitLine(msgspec.Struct, frozen=True, kw_only=True):
    """What the house earned, minor units. ``fees`` hold ``tax``; ``write_offs`` are negative where the house lost.

    ``volume`` is the sum of sales, ``count`` how many movements were priced.
    """

    key: ProfitKey
    count: int = 0
    volume_minor: int = 0
    fees_minor: int = 0
    tax_minor: int = 0
    cost_minor: int = 0
    agent_minor: int = 0
    write_offs_minor: int = 0

    @property
    def margin_minor(self) -> int:
        """What the house keeps."""
        kept = self.fees_minor - self.tax_minor - self.cost_minor - self.agent_minor
        return kept + self.write_offs_minor

    @property
    def margin_e6(self) -> int | None:
        """The margin in millionths of the volume, rounded down; None without volume."""
        return self.margin_minor * 1_000_000 // self.volume_minor if self.volume_minor else None
