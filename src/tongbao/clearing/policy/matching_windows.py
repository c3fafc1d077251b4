"""Pairs by amount and date alone: the only two of a kind, currency and amount near each other, without any rival. Pure numpy.

This is the weakest reason to believe in a pair, so it is kept for records of which one side tells no reference, and taken only
where neither side has a rival in a window twice as wide.
"""

from typing import NamedTuple

import numpy as np

from tongbao.clearing.policy.matching_records import UNKNOWN_DAY, Days, Flags, Ints, Records

_Side = tuple[Records, Ints]
"""Columns, and the indexes of records that are still open."""


class _Sorted(NamedTuple):
    """Open records of one side in order of worth and day."""

    worth: Ints
    on: Days
    at: Ints


def only_two(expected: _Side, reported: _Side, window_days: int) -> tuple[Ints, Ints]:
    """Return the indexes of pairs of one worth at most ``window_days`` apart that have no rival within twice as many."""
    numbers = _worths(expected, reported)
    mine, theirs = _sorted(expected, numbers[0]), _sorted(reported, numbers[1])
    wide = 2 * window_days
    first, count = _near(mine, theirs, wide)
    _, back = _near(theirs, mine, wide)
    alone = np.flatnonzero(count == 1)
    partner = first[alone]
    mutual = back[partner] == 1
    alone, partner = alone[mutual], partner[mutual]
    near = np.abs(mine.on[alone].astype(np.int64) - theirs.on[partner]) <= window_days
    at_expected, at_reported = mine.at[alone[near]], theirs.at[partner[near]]
    clear = ~_contradict(expected[0], at_expected, reported[0], at_reported)
    at_expected, at_reported = at_expected[clear], at_reported[clear]
    order = np.argsort(at_expected, kind="stable")
    return at_expected[order], at_reported[order]


def _worths(expected: _Side, reported: _Side) -> tuple[Ints, Ints]:
    """Return a number for each open record: equal for equal kind, currency and amount on both sides."""
    rows = [
        np.stack(
            [records.kind[at].astype(np.int64), records.currency[at].astype(np.int64), records.amount[at]],
            axis=1,
        )
        for records, at in (expected, reported)
    ]
    _, numbers = np.unique(np.concatenate(rows), axis=0, return_inverse=True)
    flat = numbers.reshape(-1).astype(np.int64)
    return flat[: len(rows[0])], flat[len(rows[0]) :]


def _sorted(side: _Side, worth: Ints) -> _Sorted:
    records, at = side
    on = records.on[at]
    known = on != UNKNOWN_DAY
    at, on, worth = at[known], on[known], worth[known]
    order = np.lexsort((at, on, worth))
    return _Sorted(worth[order], on[order], at[order])


def _near(of: _Sorted, among: _Sorted, days: int) -> tuple[Ints, Ints]:
    """Return for each record where its neighbors of equal worth within ``days`` begin, and how many they are."""
    # One sorted line of (worth, day): day fits 22 bits and more, worth the rest.
    line = (among.worth << 32) + among.on
    low = np.searchsorted(line, (of.worth << 32) + of.on - days, side="left")
    high = np.searchsorted(line, (of.worth << 32) + of.on + days, side="right")
    return low.astype(np.int64), (high - low).astype(np.int64)


def _contradict(expected: Records, at_expected: Ints, reported: Records, at_reported: Ints) -> Flags:
    """Return where both sides tell a reference of the same sort: had they been equal, they were paired before."""
    result = np.zeros(len(at_expected), dtype=np.bool_)
    for mine, theirs in (
        (expected.reference, reported.reference),
        (expected.channel_reference, reported.channel_reference),
    ):
        result |= (mine[at_expected] != b"") & (theirs[at_reported] != b"")
    return result
