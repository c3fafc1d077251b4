"""Working days for whoever wires reconciliation: the days of calendars by their codes."""

from collections.abc import Sequence
from datetime import date

from tongbao.clearing.policy.calendars import add_working_days, of_codes


def working_day(calendars: Sequence[str], on: date, count: int) -> date:
    """Return the day that lies ``count`` working days of these calendars after a day; without calendars all days count.

    ``count`` 0 is the day itself, or the first working day after it. Raises InvalidRequest ``calendar_unknown``.
    """
    return add_working_days(of_codes(tuple(calendars)), on, count).on
