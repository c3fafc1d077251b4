"""Step-up challenges: a payer proves who it is for exactly one payment, in time and within a few attempts."""

import enum
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from tongbao.core.ids import uuid_text

CHALLENGE_PREFIX = "chl"
CODE_DIGITS = 6
ATTEMPTS_MAX = 5
PAYEE_CHARS_MAX = 120
REFERENCE_CHARS_MAX = 120
PAGE_MAX = 100
_PURPOSE = b"tongbao/purpose/v1"


class Means(enum.StrEnum):
    """How a payer proves who it is."""

    CODE = "code"  # a code that was sent to an address known before
    PASSKEY = "passkey"
    THREE_DS = "three_ds"  # the issuer asks, on the channel's own page; here it is only recorded


class ChallengeState(enum.StrEnum):
    """How a challenge stands; only an open one can change."""

    OPEN = "open"
    PASSED = "passed"
    FAILED = "failed"  # all attempts were wrong, or the issuer said no
    EXPIRED = "expired"
    ABANDONED = "abandoned"  # the payment was canceled, or asks for another amount now


MOVES: Mapping[ChallengeState, frozenset[ChallengeState]] = {
    ChallengeState.OPEN: frozenset(ChallengeState),
    ChallengeState.PASSED: frozenset(),
    ChallengeState.FAILED: frozenset(),
    ChallengeState.EXPIRED: frozenset(),
    ChallengeState.ABANDONED: frozenset(),
}
"""Where a challenge may go from each state; an open one stays open while codes are sent and typed."""


class DestinationKind(enum.StrEnum):
    """What kind of address a code goes to."""

    EMAIL = "email"
    PHONE = "phone"


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """An address that was known to belong to the payer before this payment. Never stored or logged by this room."""

    kind: DestinationKind
    address: str


class Letter(msgspec.Struct, frozen=True):
    """The words of a message that is about no payment; the code stands where the text says ``{code}``."""

    subject: str
    text: str


class CodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a message with a code says about the payment; ``minutes`` is how long the code is good for.

    With a ``letter`` the message is about something else, and says that.
    """

    payee: str
    amount_minor: int
    currency: str
    minutes: int
    live: bool
    letter: Letter | None = None


class Purpose(msgspec.Struct, frozen=True, kw_only=True):
    """The one payment that a proof is good for: ``subject_id`` is the intent, ``book_id`` the payee's book."""

    book_id: int
    subject_id: UUID
    amount_minor: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    currency: Annotated[str, Meta(pattern="^[A-Za-z]{3}$")]

    @property
    def digest(self) -> bytes:
        """SHA-256 over payment, payee, amount and currency: another amount is another purpose."""
        parts = (
            _PURPOSE,
            self.subject_id.bytes,
            self.book_id.to_bytes(8, "big"),
            self.amount_minor.to_bytes(8, "big"),
            self.currency.upper().encode("ascii"),
        )
        return hashlib.sha256(b"".join(parts)).digest()


class ChallengeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a challenge is opened for.

    ``signals_id`` is the look of risk control that asked for it, ``payee`` the name that the payer is shown,
    ``destination`` a reference (never an address) from which ``ports.Destinations`` finds where a code goes.
    """

    purpose: Purpose
    live: bool
    signals_id: UUID
    payee: str = ""
    means: Means = Means.CODE
    destination: Annotated[str, Meta(max_length=REFERENCE_CHARS_MAX)] = ""


class StepUpLink(msgspec.Struct, frozen=True, kw_only=True):
    """What the address of a step-up page says; ``return_url`` is the merchant's way back, empty where there is none."""

    order: ChallengeOrder
    return_url: str
    expires_at: datetime


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """A challenge as it stands; ``masked`` is the address as people see it, ``digest`` that of its ``Purpose``."""

    id: UUID
    book_id: int
    live: bool
    subject_id: UUID
    signals_id: UUID
    amount_minor: int
    currency: str
    payee: str
    digest: bytes
    means: Means
    state: ChallengeState
    destination: str
    masked: str
    attempts_left: int
    sends_left: int
    opened_at: datetime
    expires_at: datetime
    sent_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def reference(self) -> str:
        """The challenge as people see it."""
        return uuid_text(CHALLENGE_PREFIX, self.id)

    @property
    def subject(self) -> str:
        """The payment intent as people see it."""
        return uuid_text("pi", self.subject_id)

    def state_at(self, now: datetime) -> ChallengeState:
        """Return the state at an instant: an open challenge whose time is over counts as expired at once."""
        is_over = self.state is ChallengeState.OPEN and now >= self.expires_at
        return ChallengeState.EXPIRED if is_over else self.state


class ChallengeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which challenges are listed, newest first; None does not restrict, ``starting_after`` is the last one seen."""

    book_id: int | None = None
    live: bool | None = None
    state: ChallengeState | None = None
    starting_after: UUID | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 20


class ChallengePage(msgspec.Struct, frozen=True, kw_only=True):
    """Challenges, newest first, and whether there are older ones."""

    items: tuple[Challenge, ...]
    has_more: bool
