"""The base of everything that payments keeps, and how a document moves to its next version."""

import enum
from datetime import datetime
from typing import Any, ClassVar, Self
from uuid import UUID

import msgspec

from tongbao.core.ids import uuid_text

METADATA_KEYS_MAX = 50
METADATA_KEY_CHARS_MAX = 40
METADATA_VALUE_CHARS_MAX = 500


class Kind(enum.IntEnum):
    """What a document is; also the partition in which it is stored."""

    INTENT = 1
    ATTEMPT = 2
    REFUND = 3
    DISPUTE = 4
    METHOD = 5
    SETUP = 6
    MANDATE = 7
    LINK = 8
    SESSION = 9
    WALLET_TRANSFER = 10
    COMPLAINT = 11


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="object"):
    """Something that belongs to one book and changes by versions, never two at a time.

    ``version`` counts from 1 and grows by one with each change; a writer names the version that it saw.
    ``due_at``: when a worker should look at it again. Amounts are minor units of ``currency``. What has its default is
    not stored, so a default may never change.
    """

    KIND: ClassVar[Kind]
    PREFIX: ClassVar[str]

    id: UUID
    book_id: int
    live: bool
    version: int = 1
    created_at: datetime
    updated_at: datetime
    due_at: datetime | None = None
    metadata: dict[str, str] = {}

    @property
    def reference(self) -> str:
        """The id as people, APIs and channels see it: ``pi_01jd…``."""
        return uuid_text(self.PREFIX, self.id)

    @property
    def status(self) -> str:
        """The state as it is stored beside the document."""
        return ""

    @property
    def parent_id(self) -> UUID | None:
        """What it belongs to: the intent of an attempt, the attempt of a refund."""
        return None

    @property
    def owner_id(self) -> UUID | None:
        """The customer whose it is."""
        return None

    def changed(self, at: datetime, **changes: Any) -> Self:
        """Return the next version, with ``changes``."""
        return msgspec.structs.replace(self, version=self.version + 1, updated_at=at, **changes)
