"""What overviews of every merchant's payments ask for, and what they return; for those who run the house."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.standing import Standing

PAGE_MAX = 100


class HouseWanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which payments are wanted, newest first; what is None does not restrict. Times are half-open.

    ``books``: whose payments, at most some thousands. ``method`` and ``channel``: of the latest attempt.
    """

    books: tuple[int, ...]
    limit: int = 25
    after: UUID | None = None
    standing: Standing | None = None
    method: str | None = None
    channel: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


class HousePayment(NamedTuple):
    """A payment with its latest attempt and the book it stands in."""

    book_id: int
    intent: Intent
    attempt: Attempt | None


class Waiting(msgspec.Struct, frozen=True):
    """Attempts whose end is not known: how many, and since when the oldest waits; None where there is none."""

    count: int
    oldest_at: datetime | None


class Hooked(NamedTuple):
    """Deliveries of webhooks of a time by how they ended."""

    delivered_count: int
    pending_count: int
    dead_count: int
    oldest_dead_at: datetime | None
