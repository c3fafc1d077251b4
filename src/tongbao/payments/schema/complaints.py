"""Complaints: a payer asks the merchant about a payment from a wallet, before anybody speaks of a dispute.

No money is withheld for one. It ends with words of the merchant, with money that goes back, or when its payer takes it back.
"""

import enum
from datetime import datetime
from typing import ClassVar, NamedTuple
from uuid import UUID

from tongbao.payments.schema.documents import Document, Kind

COMPLAIN_DAYS = 180
"""So long after it was paid a payer may complain about a payment."""
ANSWER_DAYS = 7
"""So long a merchant has to answer before the payer is told where else to turn."""
COMPLAINTS_MAX = 3
"""Of one payment, one after the other."""
WORDS_CHARS_MAX = 1_000
"""Of what a payer says, and of what a merchant answers."""


class ComplaintCause(enum.StrEnum):
    """What a payer says is wrong."""

    UNRECOGNIZED = "unrecognized"
    DUPLICATE = "duplicate"
    WRONG_AMOUNT = "wrong_amount"
    NOT_AS_DESCRIBED = "not_as_described"
    NOT_REFUNDED = "not_refunded"


WORDLESS = frozenset({ComplaintCause.UNRECOGNIZED, ComplaintCause.DUPLICATE})
"""Causes that say enough by themselves."""


class ComplaintState(enum.StrEnum):
    """The life of a complaint; all but the first are ends."""

    OPEN = "open"
    ANSWERED = "answered"
    REFUNDED = "refunded"
    WITHDRAWN = "withdrawn"


class Said(NamedTuple):
    """What a payer says: what is wrong, and a few words about it."""

    cause: ComplaintCause
    words: str = ""


class Complaint(Document, frozen=True, kw_only=True, tag="complaint"):
    """What the payer of the wallet ``wallet_book_id`` says of one payment, and what came of it.

    ``amount_minor`` is what the payment had captured, ``answer_by`` until when its merchant should answer. ``answered_by`` is
    the actor of the answer, ``refund_id`` the refund that ended it and ``refunded_minor`` how much that gave back.
    """

    KIND: ClassVar[Kind] = Kind.COMPLAINT
    PREFIX: ClassVar[str] = "cmp"

    state: ComplaintState
    intent_id: UUID
    attempt_id: UUID
    wallet_book_id: int
    cause: ComplaintCause
    words: str = ""
    amount_minor: int
    currency: str
    answer_by: datetime
    answer: str = ""
    answered_by: str = ""
    refund_id: UUID | None = None
    refunded_minor: int = 0
    ended_at: datetime | None = None

    @property
    def status(self) -> str:
        """The state as it is stored beside the document."""
        return self.state.value

    @property
    def parent_id(self) -> UUID | None:
        """The intent."""
        return self.intent_id
