"""Trails: who did what, when and why. Every room that keeps one answers in this form, so that all can be read as one.

A line's ``key`` is text of ASCII that no other line of any room has; lines are ordered by time, then by key, newest first.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

PAGE_MAX = 200


class Line(NamedTuple):
    """One act. ``room`` and ``act`` are words of the program; ``subject`` names what it was done to, ``note`` why."""

    at: datetime
    key: str
    room: str
    act: str
    actor: str
    subject: str
    note: str


class Wanted(NamedTuple):
    """Which lines: before a place, of an actor, since and until instants (half-open); None does not restrict."""

    before: tuple[datetime, str] | None = None
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50

    @property
    def arguments(
        self,
    ) -> tuple[datetime | None, str | None, str | None, datetime | None, datetime | None, int]:
        """The parts as every statement takes them: the place, the actor, the time, one row more than is wanted."""
        at, key = self.before or (None, None)
        return at, key, self.actor, self.since, self.until, max(1, min(self.limit, PAGE_MAX)) + 1


class Trail(Protocol):
    """The acts of one room."""

    async def lines(self, wanted: Wanted) -> Sequence[Line]:
        """Return the newest lines that are wanted, one more than the limit where there are more."""
        ...


def merged(found: Iterable[Sequence[Line]], limit: int) -> tuple[list[Line], bool]:
    """Return the newest lines of several trails, and whether older ones follow."""
    lines = sorted(
        (line for each in found for line in each), key=lambda line: (line.at, line.key), reverse=True
    )
    return lines[:limit], len(lines) > limit
