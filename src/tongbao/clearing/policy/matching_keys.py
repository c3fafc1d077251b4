"""Joining two sides by a key: who stands alone under it on both sides, and who shares it. Pure numpy.

A key is a text and a number (the kind). It is hashed to 64 bits for sorting, and every pair is then compared in full:
a collision costs speed and never a wrong pair.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tongbao.clearing.policy.matching_records import Ints, Small, Texts

_Hashes = npt.NDArray[np.uint64]
_Indexes = npt.NDArray[np.intp]
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio (Knuth, TAOCP 6.4)
_SHIFT = np.uint64(32)


class Joined(NamedTuple):
    """What a join found. ``expected`` and ``reported``: indexes of those that are alone under their key on both sides.

    ``shared``: the keys that several share and both sides have, each with the indexes of both sides, ascending.
    """

    expected: Ints
    reported: Ints
    shared: list[tuple[Ints, Ints]]


class Keyed(NamedTuple):
    """One side of a join: texts and numbers of all records, and the indexes of those that take part."""

    text: Texts
    number: Small
    at: Ints


def join(expected: Keyed, reported: Keyed) -> Joined:
    """Return who belongs together under equal keys; records with an empty text take no part."""
    width = max(expected.text.dtype.itemsize, reported.text.dtype.itemsize)
    left, right = _Side(expected, width), _Side(reported, width)
    both, at_left, at_right = np.intersect1d(left.keys, right.keys, assume_unique=True, return_indices=True)
    alone = (left.counts[at_left] == 1) & (right.counts[at_right] == 1)
    ones = left.first(at_left[alone]), right.first(at_right[alone])
    equal = (expected.text[ones[0]] == reported.text[ones[1]]) & (
        expected.number[ones[0]] == reported.number[ones[1]]
    )
    shared = [
        pair
        for place in np.flatnonzero(~alone)
        for pair in _apart(left.all(at_left[place]), right.all(at_right[place]), expected, reported)
    ]
    del both
    order = np.argsort(ones[0][equal], kind="stable")
    return Joined(ones[0][equal][order], ones[1][equal][order], shared)


class _Side:
    """Hashes of one side in order, and where each begins."""

    def __init__(self, side: Keyed, width: int) -> None:
        text = side.text[side.at]
        at = side.at[text != b""]
        hashes = _hashed(side.text[at], side.number[at], width)
        order = np.argsort(hashes, kind="stable")
        self._at = at[order]
        self.keys, self._begins, self.counts = np.unique(hashes[order], return_index=True, return_counts=True)

    def first(self, places: _Indexes) -> Ints:
        found: Ints = self._at[self._begins[places]]
        return found

    def all(self, place: np.intp) -> Ints:
        begin = int(self._begins[place])
        found: Ints = np.sort(self._at[begin : begin + int(self.counts[place])])
        return found


def _hashed(text: Texts, number: Small, width: int) -> _Hashes:
    """Return 64 bits of each key: multiply and fold, word by word."""
    words = -(-width // 8)
    padded = np.zeros((len(text), words * 8), dtype=np.uint8)
    if len(text):
        padded[:, : text.dtype.itemsize] = np.ascontiguousarray(text).view(np.uint8).reshape(len(text), -1)
    hashes: _Hashes = number.astype(np.uint64) * _MULTIPLIER
    for word in range(words):
        hashes = (hashes ^ padded[:, word * 8 : word * 8 + 8].copy().view(np.uint64)[:, 0]) * _MULTIPLIER
        hashes = hashes ^ (hashes >> _SHIFT)
    return hashes


def _apart(left: Ints, right: Ints, expected: Keyed, reported: Keyed) -> list[tuple[Ints, Ints]]:
    """Return the indexes under one hash by their full keys: two texts may share a hash."""
    groups: dict[tuple[bytes, int], tuple[list[int], list[int]]] = {}
    for side, (indexes, keyed) in enumerate(((left, expected), (right, reported))):
        for index in indexes.tolist():
            key = bytes(keyed.text[index]), int(keyed.number[index])
            groups.setdefault(key, ([], []))[side].append(index)
    return [
        (np.array(mine, dtype=np.int64), np.array(theirs, dtype=np.int64))
        for mine, theirs in groups.values()
        if mine and theirs
    ]
