"""Freezes: an entity that may not pay until two different people have let it go."""

import enum
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from tongbao.core.ids import uuid_text
from tongbao.risk.schema.signals import KEY_CHARS_MAX, Entity

FREEZE_PREFIX = "frz"
FREEZES_MAX = 100_000
"""In force at once; every process holds them all."""
REASON_CHARS_MAX = 500
ACTOR_CHARS_MAX = 100
ACTS_MAX = 200
"""Of one freeze, its release apart: requests and refusals alternate for a while, not for ever."""
PAGE_MAX = 100

Reason = Annotated[str, Meta(min_length=1, max_length=REASON_CHARS_MAX)]


class FreezeState(enum.StrEnum):
    """How a freeze stands; it is in force until it is released."""

    FROZEN = "frozen"
    REQUIRES_APPROVAL = "requires_approval"  # somebody asked for its release
    RELEASED = "released"


class FreezeActKind(enum.StrEnum):
    """What people do with a freeze."""

    FROZEN = "frozen"
    RELEASE_REQUESTED = "release_requested"
    RELEASE_REFUSED = "release_refused"
    RELEASED = "released"


class FreezeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be frozen in a mode, and why; ``key`` is that of ``Signals``, a pseudonym."""

    live: bool
    entity: Entity
    key: Annotated[str, Meta(min_length=1, max_length=KEY_CHARS_MAX)]
    reason: Reason


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """A freeze as it stands; ``requested_by`` is empty unless its release waits for a second person."""

    id: UUID
    live: bool
    entity: Entity
    key: str
    reason: str
    frozen_by: str
    frozen_at: datetime
    requested_by: str = ""
    released_at: datetime | None = None

    @property
    def reference(self) -> str:
        """The freeze as people see it."""
        return uuid_text(FREEZE_PREFIX, self.id)

    @property
    def state(self) -> FreezeState:
        """How it stands."""
        if self.released_at is not None:
            return FreezeState.RELEASED
        return FreezeState.REQUIRES_APPROVAL if self.requested_by else FreezeState.FROZEN


class FreezeAct(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a freeze's history, which is never edited; numbers count from 1 without gaps."""

    freeze_id: UUID
    number: int
    kind: FreezeActKind
    actor: str
    why: str
    at: datetime


class FreezeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which freezes are listed, newest first; None does not restrict, ``starting_after`` is the last one seen."""

    live: bool
    state: FreezeState | None = None
    entity: Entity | None = None
    starting_after: UUID | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 20


class FreezePage(msgspec.Struct, frozen=True, kw_only=True):
    """Freezes, newest first, and whether there are older ones."""

    items: tuple[Freeze, ...]
    has_more: bool
