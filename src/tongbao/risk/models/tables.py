"""Tables that native code looks up, grows and forgets in: rows, an index by key, and the order of use.

Open addressing with linear probing and removal by shifting back, so that no marks of the dead pile up. Keys are two 64-bit
numbers. Rows are addressed by number and stay where they are while they live.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tongbao.risk.models.borrowing import borrowing
from tongbao.risk.models.layout import (
    FREE,
    KEY_A,
    KEY_B,
    LIVE,
    NEWER,
    OLDER,
    OLDEST,
    USED,
    YOUNGEST,
)

Ints = NDArray[np.int64]
Shorts = NDArray[np.int32]

_ODD_A = np.uint64(0x9E3779B97F4A7C15)
_ODD_B = np.uint64(0xC2B2AE3D27D4EB4F)
_SHIFT = np.uint64(32)


class Table(NamedTuple):
    """Rows of shape (capacity, width), their places by key (row + 1, 0 where free; a power of two), and numbers of the table."""

    rows: Ints
    places: Shorts
    meta: Ints


@borrowing
def home(a: int, b: int, mask: int) -> int:
    """Return the place where a key wants to stand in an index of ``mask + 1`` places."""
    mixed = np.uint64(a) * _ODD_A
    mixed = (mixed ^ (mixed >> _SHIFT) ^ np.uint64(b)) * _ODD_B
    # Ids of other makers may differ in high bits only; the product has carried those up and out of the mask.
    mixed = (mixed ^ (mixed >> _SHIFT)) * _ODD_A
    return np.int64((mixed ^ (mixed >> _SHIFT)) & np.uint64(mask))  # type: ignore[return-value]  # an int to native code


@borrowing
def find(index: Shorts, rows: Ints, a: int, b: int) -> int:
    """Return the row of a key, -1 where there is none."""
    mask = index.size - 1
    place = home(a, b, mask)
    while index[place] != 0:
        row = index[place] - 1
        if rows[row, KEY_A] == a and rows[row, KEY_B] == b:
            return np.int64(row)  # type: ignore[return-value]  # one type for both ways out
        place = (place + 1) & mask
    return np.int64(-1)  # type: ignore[return-value]  # likewise


@borrowing
def enter(index: Shorts, rows: Ints, row: int) -> None:
    """Enter a row into the index under the key that it holds."""
    mask = index.size - 1
    place = home(rows[row, KEY_A], rows[row, KEY_B], mask)
    while index[place] != 0:
        place = (place + 1) & mask
    index[place] = row + 1


@borrowing
def strike(index: Shorts, rows: Ints, row: int) -> None:
    """Take a row out of the index; the row itself is left alone."""
    mask = index.size - 1
    hole = home(rows[row, KEY_A], rows[row, KEY_B], mask)
    while index[hole] != row + 1:
        hole = (hole + 1) & mask
    place = (hole + 1) & mask
    while index[place] != 0:
        other = index[place] - 1
        wanted = home(rows[other, KEY_A], rows[other, KEY_B], mask)
        if ((place - wanted) & mask) >= ((place - hole) & mask):
            index[hole] = index[place]
            hole = place
        place = (place + 1) & mask
    index[hole] = 0


@borrowing
def unlink(table: Table, row: int) -> None:
    """Take a row out of the order of use."""
    older, newer = table.rows[row, OLDER], table.rows[row, NEWER]
    if older >= 0:
        table.rows[older, NEWER] = newer
    else:
        table.meta[OLDEST] = newer
    if newer >= 0:
        table.rows[newer, OLDER] = older
    else:
        table.meta[YOUNGEST] = older


@borrowing
def link(table: Table, row: int) -> None:
    """Put a row at the young end of the order of use."""
    youngest = table.meta[YOUNGEST]
    table.rows[row, OLDER] = youngest
    table.rows[row, NEWER] = -1
    if youngest >= 0:
        table.rows[youngest, NEWER] = row
    else:
        table.meta[OLDEST] = row
    table.meta[YOUNGEST] = row


@borrowing
def take(table: Table, a: int, b: int) -> int:
    """Return a row of zeros for a new key, entered and the youngest; the caller has seen to it that there is room."""
    row = int(table.meta[FREE])
    if row >= 0:
        table.meta[FREE] = table.rows[row, NEWER]
    else:
        row = int(table.meta[USED])
        table.meta[USED] = row + 1
    table.rows[row, :] = 0
    table.rows[row, KEY_A] = a
    table.rows[row, KEY_B] = b
    enter(table.places, table.rows, row)
    link(table, row)
    table.meta[LIVE] += 1
    return row


@borrowing
def give_back(table: Table, row: int) -> None:
    """Forget a row."""
    strike(table.places, table.rows, row)
    unlink(table, row)
    table.rows[row, :] = 0
    table.rows[row, NEWER] = table.meta[FREE]
    table.meta[FREE] = row
    table.meta[LIVE] -= 1


@borrowing
def enter_all(index: Shorts, rows: Ints, youngest: int) -> None:
    """Enter every row of an order of use into an empty index, beginning at its young end."""
    row = youngest
    while row >= 0:
        enter(index, rows, row)
        row = rows[row, OLDER]
