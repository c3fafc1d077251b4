"""The payments that a replay may still learn from: features as they were seen, in little room.

Rows are kept in blocks; a column that is the same all over a block costs one number there. Beyond ``ROWS_MAX`` the oldest
blocks leave, which is told.
"""

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tongbao.risk.models.base import Floats

ROWS_MAX = 300_000
BLOCK_ROWS = 4_096
Places = NDArray[np.int64]


class _Block(NamedTuple):
    """Rows from number ``first`` on: one row of all columns, and those columns that differ within the block."""

    first: int
    common: Floats
    places: Places
    values: Floats


class KeptExamples:
    """Features of the youngest payments by their row; rows are added in order."""

    def __init__(self, width: int, rows_max: int = ROWS_MAX) -> None:
        self._blocks: deque[_Block] = deque()
        self._open = np.empty((BLOCK_ROWS, width))
        self._first = 0
        self._count = 0
        self._rows_max = rows_max

    @property
    def first(self) -> int:
        """The oldest row that is kept."""
        return self._blocks[0].first if self._blocks else self._first

    def add(self, features: Floats) -> None:
        """Keep the features of the next payment."""
        self._open[self._count] = features
        self._count += 1
        if self._count == BLOCK_ROWS:
            self._blocks.append(_packed(self._first, self._open))
            self._first += BLOCK_ROWS
            self._count = 0
        if self._first - self.first > self._rows_max:
            self._blocks.popleft()

    def forget_before(self, row: int) -> None:
        """Let go of blocks that end before a row."""
        while self._blocks and self._blocks[0].first + len(self._blocks[0].values) <= row:
            self._blocks.popleft()

    def rows(self, first: int, end: int) -> tuple[Floats, Places]:
        """Return features of rows from ``first`` to before ``end``, shape (end - first, n), and which columns those are.

        Columns that are the same in all of them are left out. ``first`` must be kept.
        """
        blocks = [
            block for block in self._all() if block.first < end and block.first + len(block.values) > first
        ]
        places = _differing(blocks)
        found = np.empty((end - first, len(places)))
        for block in blocks:
            low, high = max(first, block.first), min(end, block.first + len(block.values))
            part = found[low - first : high - first]
            part[:] = block.common[places]
            mine = np.searchsorted(places, block.places)
            part[:, mine] = block.values[low - block.first : high - block.first]
        return found, places

    def _all(self) -> list[_Block]:
        tail = [_packed(self._first, self._open[: self._count])] if self._count else []
        return [*self._blocks, *tail]


def _packed(first: int, rows: Floats) -> _Block:
    common = rows[0].copy()
    is_same = ((rows == common) | (np.isnan(rows) & np.isnan(common))).all(axis=0)
    places = np.flatnonzero(~is_same)
    return _Block(first, common, places, rows[:, places].copy())


def _differing(blocks: list[_Block]) -> Places:
    """Return the columns that differ within or between blocks."""
    if not blocks:
        return np.empty(0, np.int64)
    commons = np.array([block.common for block in blocks])
    is_same = ((commons == commons[0]) | (np.isnan(commons) & np.isnan(commons[0]))).all(axis=0)
    differs = ~is_same
    for block in blocks:
        differs[block.places] = True
    return np.flatnonzero(differs)
