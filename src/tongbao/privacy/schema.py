"""Value types of the vault: cards in clear and as tokens, keys and their versions, the record of reveals.

Whatever holds a card or a key in clear never prints itself (``Hidden``). A token's text carries its book, so
that a token alone finds its row on a sharded engine: ``tok_``, 13 characters of the book, 26 random ones.
"""

import enum
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.ids import int_text, parse_int, parse_uuid, uuid_text

TOKEN_PREFIX = "tok"  # noqa: S105 - the beginning of every token, not a secret
FINGERPRINT_PREFIX = "fp"
BOOK_ITSELF = UUID(int=0)
"""The person that a book is to the vault: owner of the key behind the book's blind index."""
DIGEST_BYTES = 16
"""Bytes of a blind index: HMAC-SHA256 cut to 128 bits (NIST SP 800-107r1, 5.3.3)."""
SUBJECT_CHARS_MAX = 200
HOLDER_NAME_CHARS_MAX = 100
_BOOK_END = len(TOKEN_PREFIX) + 1 + 13


class Hidden(msgspec.Struct, frozen=True):
    """Something that never prints itself, in whichever way it is asked."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    __str__ = __repr__

    def __rich_repr__(self) -> list[str]:  # type: ignore[override]  # msgspec yields pairs, which would print
        return ["***"]


class Brand(enum.StrEnum):
    """Whose card it is, by the first digits (``policy.brands``)."""

    VISA = "visa"
    MASTERCARD = "mastercard"
    AMEX = "amex"
    DISCOVER = "discover"
    JCB = "jcb"
    DINERS = "diners"
    UNIONPAY = "unionpay"
    UNKNOWN = "unknown"


class CardInput(Hidden, frozen=True, kw_only=True):
    """A card as somebody typed it: spaces and dashes in the number and years of two digits are tolerated."""

    number: str
    exp_month: int
    exp_year: int
    cvc: str | None = None
    holder_name: str | None = None


class ValidCard(Hidden, frozen=True, kw_only=True):
    """A card that passed ``policy.cards.check_card``: digits only, a year of four digits, a known brand or not."""

    number: str
    exp_month: int
    exp_year: int
    cvc: str | None
    holder_name: str | None
    brand: Brand


class RevealedCard(Hidden, frozen=True):
    """A card in clear, for the length of one call."""

    number: str
    exp_month: int
    exp_year: int
    cvc: str | None
    holder_name: str | None = None


class CardToken(msgspec.Struct, frozen=True, kw_only=True):
    """What may be kept and shown of a card.

    ``fingerprint`` is equal for equal numbers within one book and tells nothing across books.
    """

    token: str
    card_bin: str
    last4: str
    brand: Brand
    exp_month: int
    exp_year: int
    fingerprint: str
    funding: str = "unknown"


class WrappedKey(NamedTuple):
    """A data key under the wrapping key of ``version``; only the key source that made it reads ``data``."""

    version: int
    data: bytes


class KeyVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a wrapping key. From ``retire_at`` on it opens nothing any more; None: no end is set."""

    version: int
    current: bool
    created_at: datetime | None = None
    retire_at: datetime | None = None


class KeyHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a key source can wrap and unwrap now, and in one sentence why not."""

    healthy: bool
    current_version: int
    detail: str = ""


class Purpose(enum.StrEnum):
    """What a card may be revealed for."""

    AUTHORIZE = "authorize"
    INCREMENT = "increment"
    CAPTURE = "capture"
    VOID = "void"
    VERIFY = "verify"
    REFUND = "refund"
    LEGAL = "legal"


WITH_CVC = frozenset({Purpose.AUTHORIZE, Purpose.VERIFY})
"""Purposes for which the CVC is handed out beside the number, while it is remembered."""


class PersonKey(Hidden, frozen=True, kw_only=True):
    """The data key of a person in a book, as it is stored; ``wrapped`` is None once it was destroyed."""

    book_id: int
    person_id: UUID
    region: str
    wrapped: WrappedKey | None

    @property
    def context(self) -> bytes:
        """What the wrapping is bound to: its row."""
        return f"person_key|{self.book_id}|{self.person_id.hex}|{self.region}".encode()


class Item(Hidden, frozen=True, kw_only=True):
    """A sealed value as it is stored.

    ``key_version`` is the version of the wrapping key that was current at the time of sealing. It is bound into the
    seal and stays when the data key is wrapped again.
    """

    book_id: int
    token_id: UUID
    person_id: UUID
    region: str
    key_version: int
    nonce: bytes
    ciphertext: bytes
    kind: str = "card"

    @property
    def context(self) -> bytes:
        """What the seal is bound to: table, field, token, region and version."""
        token = token_text(self.book_id, self.token_id)
        return f"item|{self.kind}|{token}|{self.region}|{self.key_version}".encode()


class Reveal(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the record of reveals: who saw a card, what for, and our reference of the act."""

    book_id: int
    reveal_id: UUID
    token_id: UUID
    purpose: Purpose
    actor: str
    subject: str
    revealed_at: datetime

    @property
    def token(self) -> str:
        """The token that was revealed."""
        return token_text(self.book_id, self.token_id)


def token_text(book_id: int, token_id: UUID) -> str:
    """Return the text of a token: ``tok_``, the book (13 characters), the random part (26)."""
    return int_text(TOKEN_PREFIX, book_id) + uuid_text("", token_id)[1:]


def parse_token(text: str) -> tuple[int, UUID]:
    """Return book and random part of a token's text; raise ValueError for anything else."""
    book_id = parse_int(TOKEN_PREFIX, text[:_BOOK_END])
    return book_id, parse_uuid("", "_" + text[_BOOK_END:])


def fingerprint_text(digest: bytes) -> str:
    """Return a blind index as the fingerprint that callers see."""
    return uuid_text(FINGERPRINT_PREFIX, UUID(bytes=digest))


def parse_fingerprint(text: str) -> bytes:
    """Read back what ``fingerprint_text`` wrote; raise ValueError for anything else."""
    return parse_uuid(FINGERPRINT_PREFIX, text).bytes
