"""Lists of cards, people, devices, places: who is blocked, who is let through, and who is merely marked for rules.

A list has a name, and an effect that never changes. Its entries are added and removed by rows that stay; nothing is
edited. Lists belong to a book, those of ``HOUSE_BOOK_ID`` to the house: they apply to the payments of every book.
"""

import enum
import re
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.risk.schema.signals import Entity

HOUSE_BOOK_ID = 0
LIST_NAME_CHARS_MAX = 40
LIST_NAME = re.compile(r"[a-z0-9]+(?: [a-z0-9]+)*")
"""Small letters and digits, words apart by one space; no underscore, which stands for the space in values of rules."""
REASON_CHARS_MAX = 200
ACTOR_CHARS_MAX = 80
LISTS_MAX = 100
"""Lists of one book and mode."""
ENTRIES_MAX = 100_000
"""Entries of one book that stand, all its lists together."""
ENTRIES_TOTAL_MAX = 1_000_000
"""Entries that stand in all books: every process keeps them in memory, about 1 kB each."""
ADDED_MAX = 1_000
"""Entries that one act adds."""
PAGE_MAX = 500


class ListEffect(enum.StrEnum):
    """What being on a list does by itself."""

    BLOCK = "block"  # the payment is declined, whatever a score or an allow says
    ALLOW = "allow"  # the score counts no longer, as with a rule that allows
    MARK = "mark"  # nothing: rules ask for it


class ListKind(enum.StrEnum):
    """What a value on a list names."""

    CUSTOMER = "customer"
    CARD = "card"
    DEVICE = "device"
    MERCHANT = "merchant"
    ADDRESS = "address"
    EMAIL_DOMAIN = "email_domain"
    BENEFICIARY = "beneficiary"
    CARD_COUNTRY = "card_country"
    ADDRESS_COUNTRY = "address_country"
    MERCHANT_COUNTRY = "merchant_country"
    MCC = "mcc"

    @property
    def entity(self) -> Entity | None:
        """The entity that is named; None for countries and categories."""
        return Entity.__members__.get(self.name)


class ListKey(NamedTuple):
    """Which list: of a book (``HOUSE_BOOK_ID``: of the house), for live payments or for those of the sandbox, by name."""

    book_id: int
    live: bool
    name: str


class NamedList(msgspec.Struct, frozen=True, kw_only=True):
    """A list as it was declared, for live payments or for those of the sandbox."""

    book_id: int
    live: bool
    name: str
    effect: ListEffect
    note: str
    declared_at: datetime
    declared_by: str

    @property
    def key(self) -> ListKey:
        """Which list it is."""
        return ListKey(self.book_id, self.live, self.name)


class NewEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be put on a list: a pseudonym of an entity, an ISO 3166 alpha-2 country or a category of four digits.

    ``expires_at`` is exclusive; None: it stands until it is removed.
    """

    kind: ListKind
    value: str
    reason: str
    expires_at: datetime | None = None


class ListEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry with who added it and, where somebody did, who removed it."""

    id: UUID
    book_id: int
    live: bool
    list_name: str
    kind: ListKind
    value: str
    reason: str
    added_at: datetime
    added_by: str
    expires_at: datetime | None = None
    removed_at: datetime | None = None
    removed_by: str = ""
    removed_because: str = ""

    def stands(self, at: datetime) -> bool:
        """Return whether it is on the list at ``at``."""
        return self.removed_at is None and (self.expires_at is None or at < self.expires_at)


class EntryEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry did while it stood. Money in hundredths by currency, the greatest part first.

    ``blocked_count``: payments that a block list declined; a payment on two lists counts for both. ``allowed_count``: those
    whose score was set aside. With ``is_partial`` there are more: only the newest were read. ``last_at`` None: none matched.
    """

    payment_count: int = 0
    blocked_count: int = 0
    allowed_count: int = 0
    fraud_count: int = 0
    values: tuple[tuple[str, int], ...] = ()
    blocked_values: tuple[tuple[str, int], ...] = ()
    last_at: datetime | None = None
    is_partial: bool = False


class Listed(msgspec.Struct, frozen=True):
    """One reason why a payment is on a list; the value itself is not told."""

    list_name: str
    effect: ListEffect
    kind: ListKind
    entry_id: UUID
    book_id: int
    reason: str
