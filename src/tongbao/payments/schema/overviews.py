"""What overviews of a merchant's payments ask for, and the sums that they return. Amounts are minor units."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.payments.schema.standing import Standing

PAGE_MAX = 100
WORD_CHARS_MAX = 200
SCANNED_MAX = 50_000
"""So many payments, the newest ones, are looked through for a word."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which payments are wanted, newest first; what is None or empty does not restrict. Times are half-open.

    ``word``: in the order number (its beginning), the e-mail address, the description or the metadata; a payment of one of
    ``customers`` or over exactly one of ``amounts`` counts as found by it too. ``method``: of the latest attempt.
    """

    limit: int = 25
    after: UUID | None = None
    standing: Standing | None = None
    method: str | None = None
    least_minor: int | None = None
    most_minor: int | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    word: str | None = None
    amounts: tuple[int, ...] = ()
    customers: tuple[UUID, ...] = ()


class Taking(NamedTuple):
    """What the payments that began in one hour came to, the hours counted from the beginning of what was asked.

    ``tried``: those that were sent to a channel and ended there; ``approved``: those of them with a yes.
    """

    currency: str
    hour: int
    payment_count: int
    tried_count: int
    approved_count: int
    taken_minor: int


class Rail(NamedTuple):
    """How the attempts over one channel with one method ended: with a yes or a no."""

    method: str
    channel: str
    ended_count: int
    approved_count: int


class GoneBack(NamedTuple):
    """Refunds and disputes that began in one hour, counted as in ``Taking``."""

    currency: str
    hour: int
    refund_count: int
    refund_minor: int
    dispute_count: int
    dispute_minor: int
