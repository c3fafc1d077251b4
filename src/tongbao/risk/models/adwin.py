"""ADWIN: a window over a stream in [0, 1] that shrinks by itself where the mean changed (Bifet and Gavalda 2007).

The window is kept as buckets of 1, 2, 4 ... values, at most ``PER_SIZE`` of each, so that memory is O(log W). Every
``EVERY`` values each boundary between buckets is a possible cut: where the means of both sides differ by more than the
bound of section 4 of the paper, with the variance of the window, the oldest bucket is dropped, and so on until none does.
``delta`` bounds how often a stream that does not change is cut, at each look.

The stream of scores says that payments changed; the stream of squared errors, that the model is wrong more often.
"""

import math

import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models import array_state
from tongbao.risk.models.base import Floats
from tongbao.risk.models.native import native
from tongbao.risk.schema.models import Change

DELTA = 0.002
PER_SIZE = 5
EVERY = 32
SIDE_MIN = 5
"""Values on either side of a cut, at the least."""
SIZES = 26
"""Sizes of buckets: what does not fit into 5 buckets of 2 ** 25 values is forgotten."""
_KIND = "adwin"
Integers = NDArray[np.int64]


class Adwin:
    """The window over one stream of values in [0, 1]. About 0.1 microseconds a value in batches, 7 one by one.

    Example::

        watch = Adwin("score")
        for change in watch.add_many(scores):
            print(change.before, change.after)
    """

    def __init__(self, name: str, delta: float = DELTA, sizes: int = SIZES) -> None:
        if not 0 < delta < 1 or not 1 <= sizes <= SIZES:
            raise InvalidRequest("adwin_invalid", f"delta {delta} or {sizes} sizes is out of range")
        self.name = name
        self.delta = delta
        self._totals = np.zeros((sizes, PER_SIZE + 1))
        self._spreads = np.zeros((sizes, PER_SIZE + 1))
        self._used = np.zeros(sizes, dtype=np.int64)
        self._seen = np.zeros(1, dtype=np.int64)

    @property
    def width(self) -> int:
        """How many values the window holds."""
        return int(np.sum(self._used << np.arange(len(self._used))))

    @property
    def mean(self) -> float:
        """The mean of the window; NaN of an empty one."""
        return float(_total(self._totals, self._used)) / self.width if self.width else math.nan

    def add(self, value: float) -> Change | None:
        """Take in one value; return the change that it makes evident. Raises as ``add_many`` does."""
        changes = self.add_many(np.array([value]))
        return changes[-1] if changes else None

    def add_many(self, values: Floats) -> list[Change]:
        """Take in values (n,) in order; return the changes that they make evident, at most one in ``EVERY`` values.

        Raises InvalidRequest ``adwin_value_invalid`` for what is not in [0, 1], and takes in nothing then.
        """
        if not bool(np.all((values >= 0) & (values <= 1))):
            raise InvalidRequest("adwin_value_invalid", "values of a watched stream lie between 0 and 1")
        row = np.ascontiguousarray(values, dtype=np.float64)
        changes = []
        at = 0
        while at < len(row):
            at, dropped, total = _feed(
                (self._totals, self._spreads, self._used, self._seen), row, at, self.delta
            )
            if dropped:
                change = Change(name=self.name, before=total / dropped, after=self.mean, count=self.width)
                changes.append(change)
        return changes

    def dump(self) -> bytes:
        """Return the window as bytes."""
        arrays = {
            "delta": np.array([self.delta]),
            "totals": self._totals,
            "spreads": self._spreads,
            "used": self._used,
            "seen": self._seen,
        }
        return array_state.packed(_KIND, (self.name,), arrays)

    @classmethod
    def load(cls, payload: bytes) -> "Adwin":
        """Return what ``dump`` wrote. Raises InvalidRequest ``risk_state_invalid``."""
        names, arrays = array_state.unpacked(payload, _KIND)
        used = array_state.integers(arrays, "used", (None,))
        delta = array_state.floats(arrays, "delta", (1,))
        if len(names) != 1 or not 1 <= len(used) <= SIZES or not 0 < delta[0] < 1:
            raise array_state.refused("this is no window")
        if used.min() < 0 or used.max() > PER_SIZE:
            raise array_state.refused("a size has too many buckets")
        watch = cls(names[0], float(delta[0]), len(used))
        watch._used = used
        watch._totals = array_state.floats(arrays, "totals", watch._totals.shape)
        watch._spreads = array_state.floats(arrays, "spreads", watch._spreads.shape)
        watch._seen = array_state.integers(arrays, "seen", (1,))
        return watch


State = tuple[Floats, Floats, Integers, Integers]


@native
def _feed(state: State, values: Floats, start: int, delta: float) -> tuple[int, int, float]:
    """Take in values from ``start`` on until a change; return the next place, and count and sum of what was dropped."""
    totals, spreads, used, seen = state
    for at in range(start, values.size):
        _insert(totals, spreads, used, values[at])
        seen[0] += 1
        if seen[0] % EVERY:
            continue
        dropped = 0
        lost = 0.0
        while _is_cut(totals, spreads, used, delta):
            size = used.size - 1
            while used[size] == 0:
                size -= 1
            dropped += 1 << size
            lost += totals[size, 0]
            _drop_oldest(totals, spreads, used, size)
        if dropped:
            return at + 1, dropped, lost
    return values.size, 0, 0.0


@native
def _insert(totals: Floats, spreads: Floats, used: Integers, value: float) -> None:
    """Add a bucket of one value; where a size has too many, its two oldest become one of the next."""
    total = value
    spread = 0.0
    for size in range(used.size):
        totals[size, used[size]] = total
        spreads[size, used[size]] = spread
        used[size] += 1
        if used[size] <= PER_SIZE:
            return
        if size == used.size - 1:
            _drop_oldest(totals, spreads, used, size)
            return
        count = 1 << size
        apart = (totals[size, 0] - totals[size, 1]) / count
        total = totals[size, 0] + totals[size, 1]
        spread = spreads[size, 0] + spreads[size, 1] + apart * apart * count / 2
        _drop_oldest(totals, spreads, used, size)
        _drop_oldest(totals, spreads, used, size)


@native
def _drop_oldest(totals: Floats, spreads: Floats, used: Integers, size: int) -> None:
    for place in range(used[size] - 1):
        totals[size, place] = totals[size, place + 1]
        spreads[size, place] = spreads[size, place + 1]
    used[size] -= 1


@native
def _total(totals: Floats, used: Integers) -> float:
    total = 0.0
    for size in range(used.size):
        for place in range(used[size]):
            total += totals[size, place]
    return total


@native
def _is_cut(totals: Floats, spreads: Floats, used: Integers, delta: float) -> bool:
    """Return whether the means on the two sides of any boundary differ by more than the bound."""
    width = 0
    for size in range(used.size):
        width += used[size] << size
    if width < 2 * SIDE_MIN:
        return False
    whole = _total(totals, used)
    spread = 0.0
    for size in range(used.size):
        for place in range(used[size]):
            count = 1 << size
            apart = totals[size, place] / count - whole / width
            spread += spreads[size, place] + apart * apart * count
    log_term = math.log(2 * math.log(width) / delta)
    older = 0
    sum_older = 0.0
    for size in range(used.size - 1, -1, -1):
        for place in range(used[size]):
            older += 1 << size
            sum_older += totals[size, place]
            newer = width - older
            if newer < SIDE_MIN:
                return False
            if older < SIDE_MIN:
                continue
            inverse = 1 / older + 1 / newer
            bound = math.sqrt(2 * inverse * (spread / width) * log_term) + 2 / 3 * inverse * log_term
            if abs(sum_older / older - (whole - sum_older) / newer) > bound:
                return True
    return False
