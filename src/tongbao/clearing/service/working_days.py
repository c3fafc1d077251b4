"""Working days for whoever counts by the codes of calendars, with the holidays that people entered."""

from collections.abc import Sequence
from datetime import date, timedelta

from tongbao.clearing.policy.announcements import with_announced
from tongbao.clearing.policy.calendars import CALENDARS, Known, add_working_days, of_codes
from tongbao.clearing.policy.calendars import unannounced as not_announced
from tongbao.clearing.policy.calendars import working_day as is_worked
from tongbao.clearing.schema.announcements import ANNOUNCEMENTS_MAX
from tongbao.clearing.store import announcements as store
from tongbao.core.db import Connection

DAYS_OFF_SPAN_MAX = 400
"""Days that one call looks at."""


class WorkingDays:
    """The calendars of one process, as they were known when it last asked; settling asks every few seconds."""

    def __init__(self) -> None:
        self.known: Known = CALENDARS

    async def learn(self, connection: Connection) -> Known:
        """Return all calendars with the announcements in force, and keep them; joins the caller's transaction."""
        self.known = await in_force(connection)
        return self.known

    def working_day(self, calendars: Sequence[str], on: date, count: int) -> date:
        """Return the day that lies ``count`` working days after a day; see the function of this name."""
        return working_day(calendars, on, count, self.known)

    def days_off(self, calendars: Sequence[str], from_on: date, until_on: date) -> dict[date, str]:
        """Return the days off of a half-open span; see the function of this name."""
        return days_off(calendars, from_on, until_on, self.known)

    def unannounced(
        self, calendars: Sequence[str], from_on: date, until_on: date
    ) -> tuple[tuple[str, int], ...]:
        """Return code and year of what is not announced of a half-open span. Raises InvalidRequest ``calendar_unknown``."""
        return not_announced(of_codes(tuple(calendars), self.known), from_on, until_on)


async def in_force(connection: Connection) -> Known:
    """Return all calendars with the announcements in force; joins the caller's transaction."""
    found = await store.in_force(connection, ANNOUNCEMENTS_MAX)
    return with_announced(tuple(each.order for each in found)) if found else CALENDARS


def working_day(calendars: Sequence[str], on: date, count: int, known: Known = CALENDARS) -> date:
    """Return the day that lies ``count`` working days of these calendars after a day; without calendars all days count.

    ``count`` 0 is the day itself, or the first working day after it. Raises InvalidRequest ``calendar_unknown``.
    """
    return add_working_days(of_codes(tuple(calendars), known), on, count).on


def days_off(
    calendars: Sequence[str], from_on: date, until_on: date, known: Known = CALENDARS
) -> dict[date, str]:
    """Return the days of a half-open span, at most ``DAYS_OFF_SPAN_MAX``, on which one of these calendars does not work.

    Each with the name of its holiday, as whoever announced it writes it; empty for a plain weekend. Raises InvalidRequest
    ``calendar_unknown``.
    """
    chosen = of_codes(tuple(calendars), known)
    span = min((until_on - from_on).days, DAYS_OFF_SPAN_MAX)
    days = (from_on + timedelta(days=number) for number in range(span))
    return {
        on: next((each.holidays[on] for each in chosen if on in each.holidays), "")
        for on in days
        if not is_worked(chosen, on)
    }
