"""Policies and their versions: what may decide, for whom, and since when.

A policy has a name (``routing``, ``risk``), versions with a specification each, and one roll-out at a time, which says
which version is champion, which is tried on a share of the units, and which only watches.
"""

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from tongbao.decisions.schema.log import Fact

SHARE_BPS_MAX = 10_000
SPEC_BYTES_MAX = 262_144
NAME_CHARS_MAX = 80
NOTE_CHARS_MAX = 1_000
CHOSEN = "chosen="
"""``chosen=decline`` names no outcome of the log but what the arm itself did: 1 where it chose that, else 0."""


class VersionState(enum.StrEnum):
    """The life of a version: written, replayed on the log, let out to traffic, put away."""

    DRAFT = "draft"
    REPLAYED = "replayed"
    PUBLISHED = "published"  # may be champion, challenger or shadow of a roll-out
    RETIRED = "retired"


class PolicyVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version. ``spec`` is plain JSON in the form of the policy's room; ``digest`` its SHA-256 in canonical form."""

    policy: str
    version: int
    state: VersionState
    spec: dict[str, Any]
    digest: str
    note: str
    created_at: datetime
    created_by: str
    replay_id: UUID | None = None


class Guardrail(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that a challenger must keep, against the champion over the same time.

    ``outcome``: which outcome of the log is watched, or with ``CHOSEN`` how often an arm chose something; ``worse_by``: how
    much worse than the champion's mean the challenger may be, in the outcome's own unit (0.01 is one point of approval);
    ``higher_is_better`` tells what worse means.
    ``value_range``: width of the range of single values, for the confidence sequence. ``count_min``: decisions with an
    outcome in each arm before it speaks.
    """

    outcome: str
    worse_by: float
    higher_is_better: bool = True
    value_range: float = 1.0
    count_min: int = 100

    @property
    def choice(self) -> str | None:
        """What an arm is watched to choose; None for a guardrail of an outcome."""
        return choice_of(self.outcome)


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """Who decides now. A change is a new ``epoch``; the salt stays, so units keep their arm while the share grows.

    ``share_bps``: of the units, in 1/10,000, that the challenger decides for.
    """

    policy: str
    epoch: int
    champion: int
    challenger: int | None = None
    share_bps: int = 0
    shadow: int | None = None
    salt: str
    guardrails: tuple[Guardrail, ...] = ()
    started_at: datetime
    started_by: str
    note: str = ""


def choice_of(outcome: str) -> str | None:
    """Return which choice ``chosen=…`` counts; None for an outcome of the log."""
    return outcome.removeprefix(CHOSEN) if outcome.startswith(CHOSEN) else None


class Action(enum.StrEnum):
    """What somebody, or a guardrail, did to a policy."""

    DRAFTED = "drafted"
    REPLAYED = "replayed"
    PUBLISHED = "published"
    ROLLED_OUT = "rolled_out"
    PROMOTED = "promoted"
    RETURNED = "returned"  # to control: by a guardrail or by hand
    RETIRED = "retired"


class PolicyChange(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit trail; ``actor`` is an operator, a merchant's user or ``guardrail``."""

    policy: str
    change_no: int
    at: datetime
    actor: str
    action: Action
    version: int | None
    details: dict[str, Fact] = {}
