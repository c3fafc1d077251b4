"""The close of a day: what was checked, how well the day was, and that it is locked."""

import enum
from datetime import date, datetime

import msgspec


class DayState(enum.StrEnum):
    """A closed day takes nothing more: what comes late belongs to the day on which it comes."""

    OPEN = "open"
    CLOSED = "closed"


class CheckState(enum.StrEnum):
    """How a check of the list stands."""

    PASSED = "passed"
    WARNED = "warned"  # may be closed over, by a person, with a reason
    FAILED = "failed"  # may not


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the list. ``code`` names its sentence; ``facts`` are what stands in it."""

    code: str
    state: CheckState
    facts: dict[str, str | int] = {}


class AgeLine(msgspec.Struct, frozen=True, kw_only=True):
    """Open breaks of one kind and currency by age: today, 1–3, 4–7, 8–30 days, older."""

    kind: str
    currency: str
    counts: tuple[int, int, int, int, int]
    amounts_minor: tuple[int, int, int, int, int]


class DayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was true when the day was closed. ``score`` is 0 to 100, higher is better; its parts sum to it."""

    on: date
    checks: tuple[Check, ...]
    score: int
    score_parts: dict[str, int]
    trial_balance: dict[str, int]
    breaks: tuple[AgeLine, ...]
    movement_count: int
    matched_share: float
    late_count: int


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One business day of the house, in its zone.

    ``asked``: what one person wants and a second one has to (``close`` over warnings, or ``reopen``), by ``asked_by``.
    """

    on: date
    state: DayState
    report: DayReport | None = None
    closed_at: datetime | None = None
    closed_by: str = ""
    note: str = ""
    version: int = 0
    asked: str = ""
    asked_by: str = ""


class DayAct(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a day's trail: what was done, by whom, when, why. ``act``: ``asked_close``, ``closed``, ``asked_reopen``, ``reopened``."""

    version: int
    act: str
    at: datetime
    actor: str
    note: str
