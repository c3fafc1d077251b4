"""Matches and breaks: which records of the three truths belong together, and every difference by its name.

The kinds of break are those of the field's reconciliation products; each says what is true and not who is to blame.
"""

import enum
from collections.abc import Mapping
from datetime import date, datetime
from uuid import UUID

import msgspec

from tongbao.core.ids import uuid_text

RUN_PREFIX = "rcn"
BREAK_PREFIX = "brk"


class Leg(enum.StrEnum):
    """Which two truths are compared."""

    CHANNEL = "channel"  # the journal against the channel's file, payment by payment
    BANK = "bank"  # the channel's transfers, and our payouts, against the bank's statement


class How(enum.StrEnum):
    """By what a match was found, the surest first."""

    REFERENCE = "reference"  # our reference, equal amount and currency
    CHANNEL_REFERENCE = "channel_reference"
    TOTAL = "total"  # several records that sum to one, under one key
    AMOUNT_DATE = "amount_date"  # the only two of this amount within the window, both ways
    PERSON = "person"  # somebody said so, with a reason


class BreakKind(enum.StrEnum):
    """What is different."""

    EXPECTED = "expected"  # in the books and not reported, still in time
    MISSING = "missing"  # in the books and not reported, overdue
    UNEXPECTED = "unexpected"  # reported and not in the books
    OVER_AMOUNT = "over_amount"  # reported more than the books say
    UNDER_AMOUNT = "under_amount"
    CURRENCY_MISMATCH = "currency_mismatch"
    DATA_MISMATCH = "data_mismatch"  # amounts agree; kind, day or reference do not
    SPLIT_MISMATCH = "split_mismatch"  # parts under one key do not sum to the whole
    DUPLICATE = "duplicate"  # reported more than once
    FEE_MISMATCH = "fee_mismatch"  # the channel took another cost than agreed
    STATEMENT_GAP = "statement_gap"  # a statement is missing: sequence or balances do not join
    RETURN_LATE = "return_late"  # a payout that was booked came back


class BreakState(enum.StrEnum):
    """The life of a break; a run that finds the other half resolves it by itself."""

    OPEN = "open"
    EXPLAINED = "explained"  # somebody said why; still to be mended
    PROPOSED = "proposed"  # a write-off waits for a second person
    RESOLVED = "resolved"
    WRITTEN_OFF = "written_off"


BREAK_MOVES: Mapping[BreakState, frozenset[BreakState]] = {
    BreakState.OPEN: frozenset({BreakState.EXPLAINED, BreakState.PROPOSED, BreakState.RESOLVED}),
    BreakState.EXPLAINED: frozenset({BreakState.OPEN, BreakState.PROPOSED, BreakState.RESOLVED}),
    BreakState.PROPOSED: frozenset({BreakState.OPEN, BreakState.WRITTEN_OFF, BreakState.RESOLVED}),
    BreakState.RESOLVED: frozenset({BreakState.OPEN}),
    BreakState.WRITTEN_OFF: frozenset(),
}


class Expected(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record of our books that somebody else should report: a movement, a channel's transfer, or a payout.

    ``id``: of the movement, line or payout. ``due_on``: the last day on which its absence is no surprise. ``group``: key under
    which several may be reported as one (the payment of several captures; a settlement batch).
    """

    id: UUID
    kind: str
    currency: str
    amount_minor: int
    reference: str
    channel_reference: str = ""
    group: str = ""
    on: date
    due_on: date
    fee_minor: int | None = None


class Reported(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record that a channel or bank reports, in the form of ``lines.Line``; ``id`` is that of the stored line."""

    id: int
    kind: str
    currency: str
    amount_minor: int
    reference: str = ""
    channel_reference: str = ""
    group: str = ""
    on: date | None = None
    fee_minor: int | None = None


class Pair(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Records that belong together: one each, or several of one side that sum to one of the other.

    ``confidence`` is 1 for everything but amounts and dates, where it is one over the number of rivals in the wider window.
    """

    how: How
    expected: tuple[UUID, ...]
    reported: tuple[int, ...]
    confidence: float = 1.0


class Found(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A difference that a run found; either side may be empty. ``difference_minor`` is reported less expected."""

    kind: BreakKind
    expected: tuple[UUID, ...] = ()
    reported: tuple[int, ...] = ()
    currency: str = ""
    difference_minor: int = 0
    facts: dict[str, str] = {}


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """A difference that somebody has to look at. ``id`` is derived from leg, source, kind and records: runs find it again.

    ``opened_on`` is the business day it belongs to, from which its age counts. ``assignee``: who looks after it, by how trails
    name them; nobody where it is empty.
    """

    id: UUID
    leg: Leg
    source: str
    found: Found
    state: BreakState
    version: int = 1
    book_id: int | None = None
    opened_on: date
    opened_at: datetime
    updated_at: datetime
    suggestion: str = ""
    note: str = ""
    actor: str = ""
    proposed_by: str = ""
    assignee: str = ""
    closed_at: datetime | None = None

    @property
    def reference(self) -> str:
        """The id as people and APIs see it: ``brk_01jd…``."""
        return uuid_text(BREAK_PREFIX, self.id)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One reconciliation of a source and leg up to a day: what went in and what came out. Equal input gives an equal run."""

    id: UUID
    leg: Leg
    source: str
    until_on: date
    expected_count: int
    reported_count: int
    matched_count: int
    break_count: int
    by_how: dict[str, int] = {}
    by_kind: dict[str, int] = {}
    digest: bytes = b""
    took_ms: int = 0
    started_at: datetime
    started_by: str

    @property
    def reference(self) -> str:
        """The id as people and APIs see it: ``rcn_01jd…``."""
        return uuid_text(RUN_PREFIX, self.id)
