"""The memory of a learner: a bounded table of numbers by key that fade, and what is under way by key.

A key is an arm, with the segment behind it where the learner has segments. Fading is lazy: a row keeps the numbers as
of its own last fact and fades when it is read, so a prediction writes nothing and an untouched row costs nothing.
Weights multiply, therefore facts may come in any order of time: a late one enters with the weight that it would have
kept by now.

Past ``Memory.cells_max`` the least recently seen key goes, with all that it knew; a fact or a ``begin`` is a sight, a
prediction is none. Source of the forgetting: ``forgetting``; of counting what is under way: ``base``.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.models import state
from tongbao.decisions.models.base import Floats
from tongbao.decisions.models.forgetting import NEVER, HalfLives, kept, kept_one

CELLS_MAX = 65_536
IN_FLIGHT_MAX = 1_024
KEY_CHARS_MAX = 512
_ROWS_AT_FIRST = 16
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """How much is remembered and for how long.

    ``in_flight_weight``: how much of a bad trial an observation under way counts. ``horizon_s``: after how many seconds
    it is given up. Raises InvalidRequest ``memory_invalid``.
    """

    half_lives: HalfLives = NEVER
    in_flight_weight: float = 0.25
    horizon_s: float = 900.0
    cells_max: int = 1_024

    def __post_init__(self) -> None:
        sound = 0 <= self.in_flight_weight <= 1 and self.horizon_s > 0 and 0 < self.cells_max <= CELLS_MAX
        if not sound:
            raise InvalidRequest("memory_invalid", f"no memory can be like this: {self}")


class Cells:
    """Rows of ``width`` floats by key, the first ``fading`` of which fade; absent keys read as zeros."""

    def __init__(self, memory: Memory, width: int, fading: int | None = None) -> None:
        self.memory = memory
        self._width = width
        self._fading = width if fading is None else fading
        self._rows: dict[Key, int] = {}  # in order of sight, least recent first
        self._in_flight: dict[Key, list[float]] = {}  # sorted instants of begin
        self._facts = 0
        # One row more than is given out: the last stays zero, index -1 is where absent keys are read.
        self._values = np.zeros((_ROWS_AT_FIRST + 1, width))
        self._at_s = np.zeros(_ROWS_AT_FIRST + 1)
        self._at_fact = np.zeros(_ROWS_AT_FIRST + 1)

    def __len__(self) -> int:
        return len(self._rows)

    def _allocate(self, rows: int) -> None:
        """Make room for ``rows`` keys and take over the rows in use."""
        used = len(self._rows)
        values, at_s, at_fact = np.zeros((rows + 1, self._width)), np.zeros(rows + 1), np.zeros(rows + 1)
        values[:used], at_s[:used], at_fact[:used] = (
            self._values[:used],
            self._at_s[:used],
            self._at_fact[:used],
        )
        self._values, self._at_s, self._at_fact = values, at_s, at_fact

    def read(self, keys: Sequence[Key], at_s: float) -> Floats:
        """Return the rows of ``keys`` faded to ``at_s``, shape ``(len(keys), width)``; a copy."""
        get = self._rows.get
        rows = np.array([get(key, -1) for key in keys], dtype=np.intp)
        values = self._values[rows]
        share = kept(at_s - self._at_s[rows], self._facts - self._at_fact[rows], self.memory.half_lives)
        values[:, : self._fading] *= share[:, None]
        return values

    def in_flight(self, keys: Sequence[Key], at_s: float) -> Floats:
        """Return how many pseudo-trials are under way by key at ``at_s``: the count times ``in_flight_weight``."""
        counts = np.zeros(len(keys))
        if self._in_flight:
            since = at_s - self.memory.horizon_s
            for position, key in enumerate(keys):
                if begun := self._in_flight.get(key):
                    counts[position] = len(begun) - bisect_right(begun, since)
            counts *= self.memory.in_flight_weight
        return counts

    def count_fact(self, keys: Sequence[Key], at_s: float) -> None:
        """Advance the index that all keys share, by which they forget, for one fact about ``keys``.

        Raises InvalidRequest ``instant_invalid`` and ``arm_name_too_long``, and then changes nothing.
        """
        _check_instant(at_s)
        for key in keys:
            if key not in self._rows:
                _check_key(key)
        self._facts += 1

    def touch(self, key: Key, at_s: float) -> tuple[Floats, float]:
        """Return the row of ``key`` for writing, faded up to now, and the weight with which a fact of ``at_s`` enters.

        The row is good until the next call. Callers count the fact first.
        """
        half_lives = self.memory.half_lives
        row = self._row(key, at_s)
        values, then = self._values[row], float(self._at_s[row])
        values[: self._fading] *= kept_one(at_s - then, self._facts - float(self._at_fact[row]), half_lives)
        self._at_s[row], self._at_fact[row] = max(then, at_s), self._facts
        return values, kept_one(then - at_s, 0.0, half_lives)

    def begin(self, key: Key, at_s: float) -> None:
        """Note one observation under way; past ``IN_FLIGHT_MAX`` the oldest is given up. Raises as ``count_fact``."""
        _check_instant(at_s)
        _check_key(key)
        self._row(key, at_s)
        begun = self._in_flight.setdefault(key, [])
        insort(begun, at_s)
        given_up = bisect_right(begun, begun[-1] - self.memory.horizon_s)
        del begun[: max(given_up, len(begun) - IN_FLIGHT_MAX)]

    def end(self, key: Key, begun_at_s: float) -> None:
        """Forget one observation under way, if it still is."""
        begun = self._in_flight.get(key, [])
        position = bisect_left(begun, begun_at_s)
        if position < len(begun) and begun[position] == begun_at_s:
            del begun[position]
            if not begun:
                del self._in_flight[key]

    def _row(self, key: Key, at_s: float) -> int:
        """Return the row of ``key``, a new one if need be, and note that it was seen."""
        row = self._rows.pop(key, None)
        if row is None:
            row = self._new_row(key, at_s)
        self._rows[key] = row
        return row

    def _new_row(self, key: Key, at_s: float) -> int:
        row = len(self._rows)
        if row == self.memory.cells_max:
            oldest = next(iter(self._rows))
            row = self._rows.pop(oldest)
            self._in_flight.pop(oldest, None)
            self._values[row] = 0.0
        elif row == len(self._at_s) - 1:
            self._allocate(min(2 * row, self.memory.cells_max))
        self._at_s[row], self._at_fact[row] = at_s, self._facts
        return row

    def dump(self, kind: str, layout: str) -> bytes:
        """Return everything as bytes, for a learner of this kind and layout."""
        rows = list(self._rows.values())
        table = state.Table(
            facts=self._facts,
            keys=list(self._rows),
            values=self._values[rows].tolist(),
            at_s=self._at_s[rows].tolist(),
            at_fact=self._at_fact[rows].tolist(),
            in_flight=sorted(self._in_flight.items()),
        )
        return state.packed(kind, layout, table)

    def load(self, data: bytes, kind: str, layout: str) -> None:
        """Take over what ``dump`` gave. Raises InvalidRequest ``learner_state_invalid`` and then changes nothing."""
        table = state.unpacked(data, kind, layout)
        state.check(table, self._width, self.memory.cells_max, IN_FLIGHT_MAX)
        count = len(table.keys)
        self._rows = {}
        self._allocate(max(count, _ROWS_AT_FIRST))
        self._rows = {key: row for row, key in enumerate(table.keys)}
        self._in_flight = dict(table.in_flight)
        self._facts = table.facts
        if count:
            self._values[:count], self._at_s[:count] = table.values, table.at_s
            self._at_fact[:count] = table.at_fact


def _check_instant(at_s: float) -> None:
    if not math.isfinite(at_s):
        raise InvalidRequest("instant_invalid", f"{at_s} is no instant")


def _check_key(key: Key) -> None:
    if sum(map(len, key)) > KEY_CHARS_MAX:
        raise InvalidRequest("arm_name_too_long", f"arm and segment exceed {KEY_CHARS_MAX} characters")
