"""Several records under one key: equal amounts pair up, the rest pairs where its sums agree, else the difference is named.

Work grows with the number of records, however many share a key.
"""

from collections import defaultdict, deque
from typing import NamedTuple

import numpy as np

from tongbao.clearing.policy.matching_records import Ints, Records
from tongbao.clearing.schema.breaks import BreakKind, How

_Worth = tuple[int, int]
"""Currency and amount."""


class Group(NamedTuple):
    """Several that belong together, by indexes; one of the sides may be a single record."""

    how: How
    expected: tuple[int, ...]
    reported: tuple[int, ...]


class Groups:
    """Collects what was found under keys that several share."""

    def __init__(self, expected: Records, reported: Records, how: How) -> None:
        self._expected, self._reported, self._how = expected, reported, how
        self.pairs: list[tuple[int, int]] = []
        self.sums: list[Group] = []
        self.differences: list[tuple[BreakKind, tuple[int, ...], tuple[int, ...], int]] = []

    def settle(self, at_expected: Ints, at_reported: Ints) -> None:
        """Settle the records under one reference. What is left of one side alone stays open.

        Whoever has the channel's reference in common as well goes first: of two parts alike that is the right one.
        """
        paired: dict[_Worth, int] = {}
        rest: list[int] = []
        left, others = self._named(at_expected, at_reported, paired)
        waiting = _by_worth(self._expected, left)
        for other in others:
            worth = _worth(self._reported, other)
            if waiting[worth]:
                index = waiting[worth].popleft()
                paired[worth] = index
                self.pairs.append((index, other))
            else:
                rest.append(other)
        mine = sorted(index for queue in waiting.values() for index in queue)
        if mine and rest:
            self._rest(mine, rest)
        elif not mine:
            self._repeated(rest, paired)

    def _named(
        self, at_expected: Ints, at_reported: Ints, paired: dict[_Worth, int]
    ) -> tuple[Ints, list[int]]:
        """Pair those of equal worth that have the channel's reference in common; return what is left of both sides."""
        named: dict[tuple[bytes, _Worth], deque[int]] = defaultdict(deque)
        for index in _in_order(self._expected, at_expected):
            named[_name(self._expected, index), _worth(self._expected, index)].append(index)
        taken: set[int] = set()
        others: list[int] = []
        for other in _in_order(self._reported, at_reported):
            name, worth = _name(self._reported, other), _worth(self._reported, other)
            alike = named.get((name, worth)) if name else None
            if alike:
                index = alike.popleft()
                taken.add(index)
                paired[worth] = index
                self.pairs.append((index, other))
            else:
                others.append(other)
        left = [index for index in at_expected.tolist() if index not in taken]
        return np.array(left, dtype=np.int64), others

    def total(self, at_expected: Ints, at_reported: Ints) -> None:
        """Settle what is left under the name of a batch, by its sums."""
        self._rest(at_expected.tolist(), at_reported.tolist())

    def _rest(self, mine: list[int], theirs: list[int]) -> None:
        moved = _moved(self._expected, mine, self._reported, theirs)
        sides = tuple(mine), tuple(theirs)
        if moved == 0:
            self.sums.append(Group(How.TOTAL, *sides))
        elif len(mine) == 1 and len(theirs) == 1 and self._how is not How.TOTAL:
            # One of each is left: the same thing with another amount or currency.
            self.pairs.append((mine[0], theirs[0]))
        else:
            self.differences.append((BreakKind.SPLIT_MISMATCH, *sides, moved or 0))

    def _repeated(self, theirs: list[int], paired: dict[_Worth, int]) -> None:
        """Name what was reported once more than it happened; another amount stays open."""
        for other in theirs:
            worth = _worth(self._reported, other)
            if worth in paired:
                self.differences.append((BreakKind.DUPLICATE, (paired[worth],), (other,), worth[1]))


def _moved(expected: Records, mine: list[int], reported: Records, theirs: list[int]) -> int | None:
    """Return the reported sum less the expected one; None for more than one currency."""
    currencies = {int(expected.currency[index]) for index in mine}
    currencies |= {int(reported.currency[index]) for index in theirs}
    if len(currencies) > 1:
        return None
    # Python's integers: a sum of many amounts may pass 64 bits.
    there = sum(int(reported.amount[index]) for index in theirs)
    return there - sum(int(expected.amount[index]) for index in mine)


def _by_worth(records: Records, at: Ints) -> dict[_Worth, deque[int]]:
    waiting: dict[_Worth, deque[int]] = defaultdict(deque)
    for index in _in_order(records, at):
        waiting[_worth(records, index)].append(index)
    return waiting


def _in_order(records: Records, at: Ints) -> list[int]:
    return sorted(at.tolist(), key=lambda index: (int(records.on[index]), index))


def _name(records: Records, index: int) -> bytes:
    return bytes(records.channel_reference[index])


def _worth(records: Records, index: int) -> _Worth:
    return int(records.currency[index]), int(records.amount[index])
