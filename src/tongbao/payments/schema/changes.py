"""A change: everything that one step of a payment writes, committed as a whole or not at all."""

import enum
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.events.facts import Fact
from tongbao.core.requests.asks import Ask, Rendered
from tongbao.decisions.schema.log import Decision, Outcome
from tongbao.ledger.schema import PostResult, Transfer
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.facts import Event
from tongbao.routing.schema.payments import Attempted

REFERENCE_VALUE_CHARS_MAX = 200


class ReferenceKind(enum.IntEnum):
    """What an outside id names; unique within a book and kind."""

    MERCHANT = 1  # the merchant's own order number: one order, one intent
    DISPUTE = 2  # the channel's id of a dispute


class Reference(NamedTuple):
    """An outside id of a document."""

    kind: ReferenceKind
    value: str
    subject_id: UUID


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What one commit writes. ``updates`` carry the next version; the stored one must be the version before.

    ``claim``: the request begins here (``subject_id`` tells what it is about, should it be cut short).
    ``answer``: the request ends here. Both may stand in one change. ``decisions`` were made for what is written,
    ``outcomes`` and ``attempted`` are what became known of earlier ones, ``facts`` what else other rooms are told.
    """

    book_id: int
    live: bool
    at: datetime
    claim: Ask | None = None
    subject_id: UUID | None = None
    inserts: tuple[Document, ...] = ()
    updates: tuple[Document, ...] = ()
    references: tuple[Reference, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    events: tuple[Event, ...] = ()
    told: tuple[Document, ...] = ()
    decisions: tuple[Decision, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    attempted: tuple[Attempted, ...] = ()
    facts: tuple[Fact, ...] = ()
    ask: Ask | None = None
    answer: Rendered | None = None


class Written(msgspec.Struct, frozen=True):
    """The change was committed."""


class Stale(msgspec.Struct, frozen=True):
    """A document had moved on: nothing was written; read again and decide again."""


class Replayed(msgspec.Struct, frozen=True):
    """The same request was answered before: this is the answer that it got."""

    answer: Rendered


class Claimed(msgspec.Struct, frozen=True):
    """The same request is under way, or was cut short; ``subject_id`` is what it was about."""

    subject_id: UUID | None
    claimed_at: datetime


class Reused(msgspec.Struct, frozen=True):
    """The key was used for a request that said something else."""


class Taken(msgspec.Struct, frozen=True):
    """An outside id names something else already."""

    reference: Reference
    subject_id: UUID


class Refused(msgspec.Struct, frozen=True):
    """The ledger refused one of the transfers; nothing was written."""

    result: PostResult


Result = Written | Stale | Replayed | Claimed | Reused | Taken | Refused
