"""Lists over all books: what the house looks for among payouts and batches, and where a page of them ends."""

from datetime import date
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.clearing.schema.payouts import PayoutState

LIST_PAGE_MAX = 100


class PayoutFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which payouts are looked at: every field that is given must hold; None is anything. ``due_on``: the day they go."""

    live: bool | None = None
    book_id: int | None = None
    state: PayoutState | None = None
    currency: str | None = None
    due_on: date | None = None


class BatchFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which batches are looked at: those in a state that are paid by a date; None is anything."""

    state: BatchState
    until_on: date = date.max
    live: bool | None = None
    book_id: int | None = None
    currency: str | None = None


class BatchPlace(NamedTuple):
    """Where a batch stands in the order of its list."""

    payout_on: date
    book_id: int
    id: UUID


class BatchPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of batches, the earliest date of payment first; ``next_cursor`` is None on the last one."""

    batches: tuple[Batch, ...]
    next_cursor: str | None = None
