"""Both sides of a break as records, how people look at them, and what writing it off posts and matches."""

from datetime import date
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.clearing.schema.breaks import Break
from tongbao.clearing.schema.lines import LineKind

Match = tuple[int, UUID]
"""A line and a record of ours that belong together; one of the two may be nobody."""


class ExpectedSide(msgspec.Struct, frozen=True, kw_only=True):
    """A record of our books in a break: a movement, a line by which a channel says it paid, or a payout.

    ``document`` is its id as people see it, ``payment`` that of its payment, ``fee_minor`` the cost that was agreed.
    """

    id: UUID
    document: str
    kind: str
    currency: str
    amount_minor: int
    reference: str
    channel_reference: str = ""
    on: date
    book_id: int | None = None
    payment: str = ""
    fee_minor: int | None = None


class ReportedSide(msgspec.Struct, frozen=True, kw_only=True):
    """A line in a break. ``amount_minor`` is what is compared: gross of a channel, net of a bank."""

    id: int
    kind: LineKind
    currency: str
    amount_minor: int
    net_minor: int
    fee_minor: int
    reference: str
    channel_reference: str
    batch: str
    on: date | None
    text: str


class Sides(NamedTuple):
    """Both sides of a break, in the order of its records."""

    expected: tuple[ExpectedSide, ...] = ()
    reported: tuple[ReportedSide, ...] = ()


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A break as people look at it. ``suggestion``: its code; ``suggested`` its sentence by language."""

    of: Break
    expected: tuple[ExpectedSide, ...]
    reported: tuple[ReportedSide, ...]
    due_on: date | None
    suggestion: str
    suggested: dict[str, str]


class Part(NamedTuple):
    """One amount that is written off, minor units, reported less expected.

    ``book_id``: the merchant's book, None for the platform's. ``account``: ``receivable``, ``cost``, ``bank``, ``suspense``.
    """

    book_id: int | None
    account: str
    currency: str
    amount_minor: int
