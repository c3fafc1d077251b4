"""Working days for whoever wires reconciliation: the days of calendars by their codes."""

from collections.abc import Sequence
from datetime import date, timedelta

from tongbao.clearing.policy.calendars import add_working_days, of_codes
from tongbao.clearing.policy.calendars import working_day as is_worked

DAYS_OFF_SPAN_MAX = 400
"""Days that one call looks at."""


def working_day(calendars: Sequence[str], on: date, count: int) -> date:
    """Return the day that lies ``count`` working days of these calendars after a day; without calendars all days count.

    ``count`` 0 is the day itself, or the first working day after it. Raises InvalidRequest ``calendar_unknown``.
    """
    return add_working_days(of_codes(tuple(calendars)), on, count).on


def days_off(calendars: Sequence[str], from_on: date, until_on: date) -> dict[date, str]:
    """Return the days of a half-open span, at most ``DAYS_OFF_SPAN_MAX``, on which one of these calendars does not work.

    Each with the name of its holiday, as whoever announced it writes it; empty for a plain weekend. Raises InvalidRequest
    ``calendar_unknown``.
    """
    known = of_codes(tuple(calendars))
    span = min((until_on - from_on).days, DAYS_OFF_SPAN_MAX)
    days = (from_on + timedelta(days=number) for number in range(span))
    return {
        on: next((each.holidays[on] for each in known if on in each.holidays), "")
        for on in days
        if not is_worked(known, on)
    }
