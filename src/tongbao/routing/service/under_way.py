"""Calls under way: attempts of this process that no channel has answered yet.

They belong to no log, so they are kept beside the learned state: they hold traffic back from a channel that is asked
more than it has answered, and a channel that has gone silent is taken for ill before its calls time out.
"""

from collections import OrderedDict
from itertools import islice
from typing import NamedTuple
from uuid import UUID

CALLS_MAX = 100_000
"""Beyond it the oldest are forgotten."""
OVERDUE_S = 4.0
"""No channel takes so long for an answer, unless it is ill: the slowest of ours answers its usual call within two."""
HORIZON_S = 60.0
OVERDUE_COUNTED_MAX = 64

Line = tuple[bool, str, str]
"""Mode, method and channel."""


class Calls(NamedTuple):
    """Calls of one line without an answer, and those among them that should have had one."""

    open: int
    overdue: int


class UnderWay:
    """The open calls of one process, oldest first by line."""

    def __init__(self) -> None:
        self._lines: dict[Line, OrderedDict[UUID, float]] = {}
        self._line_of: OrderedDict[UUID, Line] = OrderedDict()

    def begin(self, call: UUID, line: Line, at_s: float) -> None:
        """Note a call that is about to be made."""
        if len(self._line_of) >= CALLS_MAX:
            self.end(next(iter(self._line_of)))
        self._line_of[call] = line
        self._lines.setdefault(line, OrderedDict())[call] = at_s

    def end(self, call: UUID) -> None:
        """Note that a call has been answered, whatever the answer; one that is not known is passed over."""
        line = self._line_of.pop(call, None)
        if line is not None:
            del self._lines[line][call]

    def calls(self, line: Line, at_s: float) -> Calls:
        """Return what is open on a line at an instant; calls beyond the horizon are dropped."""
        open_calls = self._lines.get(line)
        if not open_calls:
            return Calls(0, 0)
        while open_calls:
            call, since_s = next(iter(open_calls.items()))
            if at_s - since_s < HORIZON_S:
                break
            self.end(call)
        overdue = 0
        for since_s in islice(open_calls.values(), OVERDUE_COUNTED_MAX):
            if at_s - since_s < OVERDUE_S:
                break
            overdue += 1
        return Calls(len(open_calls), overdue)
