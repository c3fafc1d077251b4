"""Calls under way: attempts of this process that no channel has answered yet.

They belong to no log, so they are kept beside the learned state: they hold traffic back from a channel that is asked
more than it has answered, and a channel that has gone silent is taken for ill before its calls time out. What is too
long is measured by what the channel needed lately: one that answers within milliseconds is missed after a second.
"""

from collections import OrderedDict
from itertools import islice
from typing import NamedTuple
from uuid import UUID

CALLS_MAX = 100_000
"""Beyond it the oldest are forgotten."""
OVERDUE_S = 4.0
"""No channel takes so long for an answer, unless it is ill: the slowest of ours answers its usual call within two."""
OVERDUE_S_MIN = 1.0
"""A process that pauses for less takes no channel for silent."""
OVERDUE_TIMES = 4.0
"""So many times the slowest answer of late is too long."""
SLOWEST_KEPT = 0.98
"""The slowest answer of late: the longest there was, forgotten by this factor with each answer (half within 34)."""
ANSWERS_MIN = 20
"""With fewer answers nobody knows what is usual."""
HORIZON_S = 60.0
OVERDUE_COUNTED_MAX = 64

Line = tuple[bool, str, str]
"""Mode, method and channel."""


class Calls(NamedTuple):
    """Calls of one line without an answer, and those among them that should have had one."""

    open: int
    overdue: int


class _Line:
    """The open calls of one line, oldest first, and how long its answers took lately."""

    __slots__ = ("answers", "open", "slowest_s")

    def __init__(self) -> None:
        self.open: OrderedDict[UUID, float] = OrderedDict()
        self.answers = 0
        self.slowest_s = 0.0

    def answered(self, took_s: float) -> None:
        """Note how long an answer, or the time-out of a call, took."""
        self.answers += 1
        self.slowest_s = max(took_s, self.slowest_s * SLOWEST_KEPT)

    @property
    def overdue_s(self) -> float:
        """So old a call should have had an answer."""
        if self.answers < ANSWERS_MIN:
            return OVERDUE_S
        return min(max(OVERDUE_TIMES * self.slowest_s, OVERDUE_S_MIN), OVERDUE_S)


class UnderWay:
    """The open calls of one process."""

    def __init__(self) -> None:
        self._lines: dict[Line, _Line] = {}
        self._line_of: OrderedDict[UUID, _Line] = OrderedDict()

    def begin(self, call: UUID, line: Line, at_s: float) -> None:
        """Note a call that is about to be made."""
        if len(self._line_of) >= CALLS_MAX:
            self.end(next(iter(self._line_of)))
        known = self._lines.get(line)
        if known is None:
            known = self._lines[line] = _Line()
        self._line_of[call] = known
        known.open[call] = at_s

    def end(self, call: UUID, at_s: float | None = None) -> None:
        """Note that a call has been answered, whatever the answer; one that is not known is passed over.

        ``at_s``: when; without it the call is forgotten and says nothing of how long answers take.
        """
        line = self._line_of.pop(call, None)
        if line is None:
            return
        since_s = line.open.pop(call)
        if at_s is not None:
            line.answered(max(0.0, at_s - since_s))

    def calls(self, line: Line, at_s: float) -> Calls:
        """Return what is open on a line at an instant; calls beyond the horizon are dropped."""
        known = self._lines.get(line)
        if known is None or not known.open:
            return Calls(0, 0)
        open_calls = known.open
        while open_calls:
            call, since_s = next(iter(open_calls.items()))
            if at_s - since_s < HORIZON_S:
                break
            self.end(call)
        overdue, overdue_s = 0, known.overdue_s
        for since_s in islice(open_calls.values(), OVERDUE_COUNTED_MAX):
            if at_s - since_s < overdue_s:
                break
            overdue += 1
        return Calls(len(open_calls), overdue)
