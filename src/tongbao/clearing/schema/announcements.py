"""Announcements: the holidays of a year as an authority publishes them, entered by one person and put in force by another."""

import enum
from collections.abc import Mapping
from datetime import date, datetime
from uuid import UUID

import msgspec

from tongbao.clearing.schema.adjustments import Deed
from tongbao.core.ids import uuid_text

ANNOUNCEMENT_PREFIX = "ann"
HOLIDAYS_MAX = 60
WORKDAYS_MAX = 40
NAME_CHARS_MAX = 80
SOURCE_CHARS_MAX = 400
ANNOUNCEMENTS_MAX = 400


class AnnouncedHoliday(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One holiday, from its first day to its last, weekends included."""

    name: str
    first: date
    last: date


class AnnouncementOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was announced for one year of a calendar, as a whole: it takes the place of all that was known of that year.

    ``workdays``: days of weekends that are worked. ``source``: who announced it, the number and the day of the document.
    """

    calendar: str
    year: int
    source: str
    holidays: tuple[AnnouncedHoliday, ...]
    workdays: tuple[date, ...] = ()


class AnnouncementState(enum.StrEnum):
    """The life of an announcement. Of those in force for a year the one that was decided last holds."""

    PROPOSED = "proposed"
    IN_FORCE = "in_force"
    DECLINED = "declined"


ANNOUNCEMENT_MOVES: Mapping[AnnouncementState, frozenset[AnnouncementState]] = {
    AnnouncementState.PROPOSED: frozenset({AnnouncementState.IN_FORCE, AnnouncementState.DECLINED}),
    AnnouncementState.IN_FORCE: frozenset(),
    AnnouncementState.DECLINED: frozenset(),
}
"""Where an announcement may go from each state; what is in force is corrected by another one."""


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """An announcement on its way. ``planned_at``: when dates of payment were last counted anew by it."""

    id: UUID
    order: AnnouncementOrder
    state: AnnouncementState
    version: int = 1
    proposed_by: str
    decided_at: datetime | None = None
    planned_at: datetime | None = None
    history: tuple[Deed, ...] = ()

    @property
    def text_id(self) -> str:
        """The id as people see it: ``ann_01jd…``."""
        return uuid_text(ANNOUNCEMENT_PREFIX, self.id)


class Replanned(msgspec.Struct, frozen=True):
    """How many movements and batches got another cut or another date of payment."""

    movement_count: int = 0
    batch_count: int = 0


class YearState(enum.StrEnum):
    """How sure the days of one year of a calendar are."""

    ANNOUNCED = "announced"  # entered here by two people
    STATUTORY = "statutory"  # by a rule that is published, or announced before this program came
    PROVISIONAL = "provisional"  # only what the statute gives; days may still move


class CalendarYear(msgspec.Struct, frozen=True, kw_only=True):
    """The days of one year of a calendar as they count now. ``by``: the announcement that says so, where it is one."""

    calendar: str
    year: int
    state: YearState
    source: str
    holidays: tuple[AnnouncedHoliday, ...]
    workdays: tuple[date, ...]
    by: Announcement | None = None


class DayChange(msgspec.Struct, frozen=True):
    """A day that an announcement would make free, or worked; ``name`` is that of the holiday that comes or goes."""

    on: date
    is_free: bool
    name: str
