"""How lists look under ``/v2/risk``."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tongbao.core.ids import uuid_text
from tongbao.risk.schema.lists import (
    ADDED_MAX,
    REASON_CHARS_MAX,
    EntryEffect,
    ListEffect,
    ListEntry,
    ListKind,
    NamedList,
    NewEntry,
)
from tongbao.web.api.shapes import Body, Instant, Model, Text

ENTRY_PREFIX = "le"
# Longer text reaches the service, which says what is wrong with it.
Said = Annotated[str, StringConstraints(max_length=2 * REASON_CHARS_MAX)]


class ListOrder(Body):
    """A list to be declared; its effect never changes."""

    name: Text
    effect: ListEffect
    note: Said = Field(description="What it is for.")


class EntryBody(Body):
    """What is to be put on a list."""

    kind: ListKind
    value: Text = Field(description="A pseudonym, a country of ISO 3166, a category of four digits.")
    reason: Said
    expires_at: Instant | None = Field(default=None, description="From then on it counts no longer.")


class EntriesOrder(Body):
    """Entries that are added together, all or none."""

    entries: list[EntryBody] = Field(min_length=1, max_length=ADDED_MAX)

    def new(self) -> list[NewEntry]:
        """Return them as the service takes them."""
        return [NewEntry(**each.model_dump()) for each in self.entries]


class RemoveOrder(Body):
    """Why an entry is taken off."""

    reason: Said


class List(Model):
    """A list as it was declared."""

    object: Literal["risk_list"] = "risk_list"
    name: str
    live: bool
    effect: ListEffect
    note: str
    declared_at: datetime
    declared_by: str

    @classmethod
    def of(cls, found: NamedList) -> "List":
        """Return a list as it is sent."""
        return cls.model_validate(
            {name: getattr(found, name) for name in cls.model_fields if name != "object"}
        )


class Lists(Model):
    """Lists, by name."""

    object: Literal["list"] = "list"
    data: list[List]


class Entry(Model):
    """An entry with who added it, and who removed it where somebody did."""

    object: Literal["risk_list_entry"] = "risk_list_entry"
    id: str
    list: str
    kind: ListKind
    value: str
    reason: str
    stands: bool = Field(description="Whether it counts now.")
    added_at: datetime
    added_by: str
    expires_at: datetime | None
    removed_at: datetime | None
    removed_by: str
    removed_because: str

    @classmethod
    def of(cls, entry: ListEntry, now: datetime) -> "Entry":
        """Return an entry as it is sent."""
        own = {name: getattr(entry, name) for name in cls.model_fields if hasattr(entry, name)}
        told = {"id": uuid_text(ENTRY_PREFIX, entry.id), "list": entry.list_name, "stands": entry.stands(now)}
        return cls.model_validate(own | told)


class Effect(Model):
    """What an entry did while it stood; money in hundredths by currency. A payment on two lists counts for both."""

    object: Literal["risk_list_effect"] = "risk_list_effect"
    entry: str
    payment_count: int
    blocked_count: int = Field(description="Declined because a block list names them.")
    allowed_count: int = Field(description="Let through, whatever the score said.")
    fraud_count: int
    values: dict[str, int]
    blocked_values: dict[str, int]
    last_at: datetime | None
    is_partial: bool = Field(description="There are more: only the newest were read.")

    @classmethod
    def of(cls, entry: ListEntry, did: EntryEffect) -> "Effect":
        """Return what an entry did as it is sent."""
        own = {name: getattr(did, name) for name in cls.model_fields if hasattr(did, name)}
        told = {
            "entry": uuid_text(ENTRY_PREFIX, entry.id),
            "values": dict(did.values),
            "blocked_values": dict(did.blocked_values),
        }
        return cls.model_validate(own | told)


class Effects(Model):
    """What entries did, in the order of the entries: newest first."""

    object: Literal["list"] = "list"
    data: list[Effect]
    has_more: bool = False


class Entries(Model):
    """Entries, newest first."""

    object: Literal["list"] = "list"
    data: list[Entry]
    has_more: bool = False
