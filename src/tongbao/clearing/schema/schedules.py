"""Versions of price lists: drafted, simulated, published from an instant on, or withdrawn; and what a draft would have cost."""

import enum
from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.clearing.schema.fees import Bearer, ScheduleSpec
from tongbao.clearing.schema.movements import MovementKind

NAME_CHARS_MAX = 64
NOTE_CHARS_MAX = 500
MOVED_MAX = 10
"""Merchants of each currency that a simulation names."""


class ScheduleState(enum.StrEnum):
    """The life of a version. What took effect stays: another version comes after it."""

    DRAFT = "draft"
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"


class ScheduleAct(enum.StrEnum):
    """What was done with a version."""

    DRAFTED = "drafted"
    SIMULATED = "simulated"
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"


class Role(enum.StrEnum):
    """What a list is for, told by who bears its charges; lists of different roles are joined."""

    MERCHANTS = "merchants"
    COSTS = "costs"
    AGENTS = "agents"


class ScheduleStep(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a version's trail: who, when, why."""

    act: ScheduleAct
    at: datetime
    actor: str
    note: str = ""


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What movements cost whom, minor units; less what refunds gave back. ``tax_minor`` is within ``merchant_minor``."""

    merchant_minor: int = 0
    tax_minor: int = 0
    house_minor: int = 0
    agent_minor: int = 0

    @property
    def margin_minor(self) -> int:
        """What the house keeps."""
        return self.merchant_minor - self.tax_minor - self.house_minor - self.agent_minor


class SimulatedLine(msgspec.Struct, frozen=True, kw_only=True):
    """Movements that share a key: how many, of how much, what they cost by the old lists and by the new one.

    ``key`` is the method, or the merchant's book, or empty for all of the currency. ``amount_minor`` is that of sales.
    """

    currency: str
    key: str = ""
    count: int
    amount_minor: int
    old: Sums
    new: Sums


class SimulatedCharge(msgspec.Struct, frozen=True, kw_only=True):
    """One charge by its name over all movements of a currency, minor units."""

    currency: str
    name: str
    bearer: Bearer
    old_minor: int
    new_minor: int


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """What a time would have cost by a draft, against the lists that were in force then.

    The time is half-open. ``known``: the newest version of the list that was published when this was made (0: none).
    ``left_out_count``: refunds of payments from before the time, which no new price changes. ``moved``: the merchants of
    each currency whose side moves most, and ``raised_count``, ``lowered_count`` all that move (merchant and currency).
    """

    start_at: datetime
    until_at: datetime
    made_at: datetime
    made_by: str
    known: int
    count: int
    left_out_count: int
    raised_count: int
    lowered_count: int
    totals: tuple[SimulatedLine, ...]
    methods: tuple[SimulatedLine, ...]
    charges: tuple[SimulatedCharge, ...]
    moved: tuple[SimulatedLine, ...]


class ScheduleVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a price list; once published it holds from ``effective_at`` until a later one does."""

    name: str
    version: int
    state: ScheduleState
    spec: ScheduleSpec
    note: str
    made_by: str
    made_at: datetime
    effective_at: datetime | None = None
    simulation: Simulation | None = None
    published_by: str | None = None
    published_at: datetime | None = None
    history: tuple[ScheduleStep, ...] = ()


class PastMovement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A movement as a simulation reads it. ``is_refunded``: a refund of the same payment lies in the time as well."""

    book_id: int
    currency: str
    kind: MovementKind
    amount_minor: int
    intent_id: UUID | None
    occurred_at: datetime
    method: str
    channel: str
    brand: str
    funding: str
    card_country: str
    store: str
    is_refunded: bool
