"""Settlement batches: the movements of one merchant, currency and cut, netted to one payout."""

import enum
from collections.abc import Mapping
from datetime import date, datetime
from uuid import UUID

import msgspec

from tongbao.core.ids import uuid_text

BATCH_PREFIX = "bat"
HISTORY_MAX = 100


class BatchState(enum.StrEnum):
    """The life of a batch. Money leaves only from ``approved``; ``failed`` goes back to ``approved`` once it is mended."""

    OPEN = "open"  # its cut is still to come; a view: no row is written
    CUT = "cut"  # its movements are fixed
    PRICED = "priced"  # fees and reserve are fixed and posted
    APPROVED = "approved"
    PAID = "paid"  # the bank says that it went out, or nothing was to be paid
    RECONCILED = "reconciled"  # a statement of the bank shows it
    FAILED = "failed"  # the bank refused or returned it


BATCH_MOVES: Mapping[BatchState, frozenset[BatchState]] = {
    BatchState.OPEN: frozenset({BatchState.CUT}),
    BatchState.CUT: frozenset({BatchState.PRICED}),
    BatchState.PRICED: frozenset({BatchState.APPROVED}),
    BatchState.APPROVED: frozenset({BatchState.PAID, BatchState.FAILED}),
    BatchState.PAID: frozenset({BatchState.RECONCILED, BatchState.FAILED}),
    BatchState.RECONCILED: frozenset({BatchState.FAILED}),  # returned days later
    BatchState.FAILED: frozenset({BatchState.APPROVED}),
}
"""Where a batch may go from each state."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch adds up to, minor units; every field but ``gross_minor`` reads as it moves what the merchant gets.

    ``net = gross + refunds + disputes + adjustments + fees + reserve_held + reserve_released + brought``: ``fees`` and
    ``reserve_held`` are negative. ``brought``: what earlier batches left over (below the minimum) or the merchant owes.
    """

    count: int = 0
    gross_minor: int = 0
    refunds_minor: int = 0
    disputes_minor: int = 0
    adjustments_minor: int = 0
    fees_minor: int = 0
    reserve_held_minor: int = 0
    reserve_released_minor: int = 0
    brought_minor: int = 0
    tax_minor: int = 0
    cost_minor: int = 0
    agent_minor: int = 0

    @property
    def net_minor(self) -> int:
        """What the batch comes to for the merchant; negative where it owes."""
        return (
            self.gross_minor
            + self.refunds_minor
            + self.disputes_minor
            + self.adjustments_minor
            + self.fees_minor
            + self.reserve_held_minor
            + self.reserve_released_minor
            + self.brought_minor
        )


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One move of a batch: who, when, why."""

    state: BatchState
    at: datetime
    actor: str
    note: str = ""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One batch. ``id`` is derived from book, currency, mode and cut: cutting twice finds the first.

    ``paid_minor``: what is sent to the merchant (0 where the net is below the minimum or negative); ``carried_minor``: what
    the next batch brings instead (negative: the merchant owes). ``payout_id``: the payout, where there is one.
    ``is_provisional``: ``payout_on`` was counted over days that are not announced yet, and may move.
    """

    id: UUID
    book_id: int
    live: bool
    currency: str
    cut_at: datetime
    payout_on: date
    is_provisional: bool = False
    state: BatchState
    version: int = 1
    totals: Totals = Totals()
    paid_minor: int = 0
    carried_minor: int = 0
    payout_id: UUID | None = None
    needs_two: bool = False
    approvals: tuple[str, ...] = ()
    schedule: str = ""
    schedule_version: int = 0
    agreement_version: int = 0
    history: tuple[Step, ...] = ()
    created_at: datetime
    updated_at: datetime

    @property
    def reference(self) -> str:
        """The id as people and APIs see it: ``bat_01jd…``."""
        return uuid_text(BATCH_PREFIX, self.id)
