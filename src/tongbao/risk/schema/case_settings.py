"""Settings of cases: versions of ``CaseSpec`` with who made them, and what waits for a second person."""

import enum
from datetime import datetime

import msgspec

from tongbao.risk.schema.cases import CaseSpec

NOTE_CHARS_MAX = 400
VERSIONS_MAX = 10_000


class SettingState(enum.StrEnum):
    """Where a version stands. The greatest one in force counts."""

    IN_FORCE = "in_force"
    WAITING = "waiting"  # for a second person
    REFUSED = "refused"  # by a second person, or taken back by whoever made it


class CaseSetting(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the settings; ``decided_by`` agreed or refused, empty where nobody was asked or has answered."""

    version: int
    made_at: datetime
    made_by: str
    note: str
    spec: CaseSpec
    state: SettingState
    decided_at: datetime | None = None
    decided_by: str = ""


class CaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force (``version`` 0: what is built in), and the version that waits where one does."""

    version: int
    spec: CaseSpec
    latest: int
    standing: CaseSetting | None = None
    waiting: CaseSetting | None = None
