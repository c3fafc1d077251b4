"""Which days a file is of: what it says of itself, what was said when it came, its name, and only then its lines.

Lines never widen a period that was told: a payment of last week in the file of today leaves the day of last week as silent as it was.
"""

import enum
import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import NamedTuple

STRAY_DAYS = 3
"""A line this far outside of its file's days was late, or booked about midnight; one further off has a wrong day."""
PERIOD_DAYS_MAX = 400
_DATE = re.compile(r"(?<!\d)(20\d\d)([-_.]?)(\d\d)\2(\d\d)(?!\d)")


class ToldBy(enum.StrEnum):
    """Who says which days a file is of, the surest first."""

    CONTENT = "content"
    SENDER = "sender"  # the day that was given with the file
    NAME = "name"
    LINES = "lines"  # the days that most of them are of: a guess


class Period(NamedTuple):
    """Days from first to last, both inclusive."""

    first: date
    last: date
    by: ToldBy

    def is_far(self, on: date) -> bool:
        """Return whether a day lies further outside than being late explains; a guess explains every day."""
        margin = timedelta(days=STRAY_DAYS)
        return self.by is not ToldBy.LINES and not self.first - margin <= on <= self.last + margin


def period_of(
    told: tuple[date | None, date | None], given: date | None, name: str, days: Mapping[date, int]
) -> Period | None:
    """Return the days that a file is of; None where nothing tells them.

    ``told``: first and last day as the content says; ``given``: the day that was named when the file came; ``days``: how many
    lines are of each day. A name often holds the day on which a file was made: it counts where the file has no lines, or most
    of them are of its days.
    """
    first, last = told
    if last is not None:
        return Period(min(first or last, last), last, ToldBy.CONTENT)
    if given is not None:
        return Period(given, given, ToldBy.SENDER)
    named = named_days(name)
    if named is not None:
        within = sum(count for on, count in days.items() if named[0] <= on <= named[1])
        if 2 * within >= sum(days.values()):
            return Period(*named, ToldBy.NAME)
    if not days:
        return None
    busy = max(days.values())
    usual = [on for on, count in days.items() if 2 * count >= busy]
    return Period(min(usual), max(usual), ToldBy.LINES)


def named_days(name: str) -> tuple[date, date] | None:
    """Return the one day, or the first and last of two days, that a name holds (2026-11-02, 20261102); None for anything else."""
    found: list[date] = []
    for year, _, month, day in _DATE.findall(name):
        try:
            on = date(int(year), int(month), int(day))
        except ValueError:
            continue
        if on not in found:
            found.append(on)
    if len(found) == 1:
        return found[0], found[0]
    if len(found) == 2 and timedelta(0) < found[1] - found[0] <= timedelta(days=PERIOD_DAYS_MAX):
        return found[0], found[1]
    return None
