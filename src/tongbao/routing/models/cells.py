"""Cells: counts of good and bad ends that forget, one row a segment, several memories side by side.

A row halves by the clock and by the count of its pool (all attempts of a method, over whichever channel): so a channel
that gets no traffic forgets as fast as the others, and is tried again. Every function works on any leading shape of rows;
a service decides for one payment, a benchmark for hundreds of worlds at once, by the same lines.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FIRST_ROWS = 256


class Memory(NamedTuple):
    """How one table forgets: half-lives in attempts of the pool, one a memory, and one in seconds for all."""

    counts: tuple[float, ...]
    seconds: float


class Cells:
    """Rows of decayed good and bad counts (rows, memories), as of a pool count and an instant each.

    Row 0 belongs to what was never seen; nothing is ever added to it.
    """

    COLUMNS = ("good", "bad", "trust", "index", "at_s")

    def __init__(self, memory: Memory) -> None:
        width = len(memory.counts)
        self._halves = np.array(memory.counts)
        self._per_second = 1.0 / memory.seconds
        self.good = np.zeros((_FIRST_ROWS, width))
        self.bad = np.zeros((_FIRST_ROWS, width))
        self.trust = np.zeros((_FIRST_ROWS, width))
        self.index = np.zeros(_FIRST_ROWS)
        self.at_s = np.zeros(_FIRST_ROWS)

    def hold(self, count: int) -> None:
        """Make room for rows up to ``count``."""
        while count > len(self.index):
            for name in self.COLUMNS:
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.zeros_like(column)]))

    def keep(self, rows: Ints) -> None:
        """Keep these rows only, in this order."""
        for name in self.COLUMNS:
            setattr(self, name, getattr(self, name)[rows])

    def read(self, rows: Ints, index: Floats, at_s: Floats) -> tuple[Floats, Floats]:
        """Return good and bad as of a pool count and an instant, each ``(*rows.shape, memories)``.

        ``index`` and ``at_s`` have the shape of ``rows`` or broadcast against it.
        """
        factor = self._factor(rows, index, at_s)
        return self.good[rows] * factor, self.bad[rows] * factor

    def add(self, rows: Ints, index: Floats, at_s: Floats, good: Floats, bad: Floats) -> None:
        """Forget up to now and add observations, ``(*rows.shape,)`` each; every row at most once in a call."""
        factor = self._factor(rows, index, at_s)
        self.good[rows] = self.good[rows] * factor + good[..., None]
        self.bad[rows] = self.bad[rows] * factor + bad[..., None]
        # News may be older than the last; a row never runs back.
        self.index[rows] = np.maximum(self.index[rows], index)
        self.at_s[rows] = np.maximum(self.at_s[rows], at_s)

    def _factor(self, rows: Ints, index: Floats, at_s: Floats) -> Floats:
        gap = np.maximum(index - self.index[rows], 0.0)
        age = np.maximum(at_s - self.at_s[rows], 0.0) * self._per_second
        return np.asarray(np.exp2(-(gap[..., None] / self._halves + age[..., None])))
