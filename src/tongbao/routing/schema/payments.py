"""A payment as routing sees it, and what an attempt has to say of its channel once it has ended."""

import enum
from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.core.events.facts import Fact
from tongbao.core.ids import uuid_text

UNKNOWN = ""
"""Where the issuer, brand, funding or country of a method is not known."""


class Mark(enum.StrEnum):
    """What the end of an attempt says, and of whom. Only this is learned from; raw codes are for people.

    Issuer acceptance is ``approved`` against ``issuer_declined``; a channel's health is ``technical`` and ``unresolved``
    against everything else. A payer's empty account, a wrong code, a merchant's bad request and a rule of our own say
    nothing of either.
    """

    APPROVED = "approved"
    ISSUER_DECLINED = "issuer_declined"
    TECHNICAL = "technical"
    UNRESOLVED = "unresolved"
    NEUTRAL = "neutral"


SICK = frozenset({Mark.TECHNICAL, Mark.UNRESOLVED})
"""What speaks against a channel's health."""


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """What a route may depend on. ``amount_minor`` of ``currency``; countries are ISO 3166 alpha-2.

    ``issuer`` groups payment methods whose issuer decides alike: the bank's name or the first digits of its cards.
    """

    book_id: int
    live: bool
    subject_id: UUID
    amount_minor: int
    currency: str
    method: str
    issuer: str = UNKNOWN
    brand: str = UNKNOWN
    funding: str = UNKNOWN
    card_country: str = UNKNOWN
    merchant_country: str = UNKNOWN
    mcc: str = UNKNOWN
    is_recurring: bool = False
    hour: int = 0
    weekday: int = 0


class Attempted(Fact, frozen=True, kw_only=True, tag="routing.attempted"):
    """Fact: an attempt came to a mark. A later mark of the same attempt names the one ``before`` it, which it replaces.

    ``code``: the standard reason, empty for an approval. ``took_ms``: from sending to this news. ``source``: ``answer``,
    ``notification``, ``inquiry``, ``settlement``. ``is_cascade``: another channel had said no to the payment just before.
    ``before_code``, ``before_at`` and ``before_took_ms`` are ``code``,
    ``occurred_at`` and ``took_ms`` of the fact that this one replaces: what was counted then is taken back there.
    """

    attempt_id: UUID
    decision_id: UUID | None
    book_id: int
    live: bool
    channel: str
    method: str
    issuer: str
    currency: str
    amount_minor: int
    mark: Mark
    before: Mark | None = None
    code: str = ""
    took_ms: int = 0
    source: str = "answer"
    is_cascade: bool = False
    before_code: str = ""
    before_at: datetime | None = None
    before_took_ms: int = 0

    @property
    def subject(self) -> str:
        """Return the text id of the attempt."""
        return uuid_text("pa", self.attempt_id)
