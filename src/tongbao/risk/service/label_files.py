"""What became known of the payments of a file, and when: a file of labels, or a column of the payments themselves.

A label counts from the instant at which it became known and not before. A file of labels names its payments by their id, or
by their row counted from 0 where the payments have no id; without either it has a line for each payment, in their order.
Without a column of instants a label becomes known a fixed time after its payment, which holds for a column too.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tongbao.risk.service.event_files import (
    ALIASES,
    EPOCH,
    Field,
    Mapped,
    Unfit,
    instant,
    key_hash,
    plain,
    truth,
)
from tongbao.risk.service.table_files import Table, bad, open_table, shown

Ints = NDArray[np.int64]
Truths = NDArray[np.int8]
UNKNOWN = -1
_ROWS = ("row", "row_number", "index", "row_index", "event", "event_row", "", "unnamed:_0")
_KNOWN = (
    *("known_at", "known", "label_known_at", "labelled_at", "labeled_at", "label_time", "label_at"),
    *("reported_at", "known_time", "available_at", "known_t", "t_known"),
)
MS = timedelta(milliseconds=1)


class Seen(NamedTuple):
    """What a first reading of the payments told, arrays (n,): instants in milliseconds, hashes of keys, truth or -1."""

    at_ms: Ints
    keys: NDArray[np.void]
    is_fraud: Truths


class Labels(NamedTuple):
    """Labels in the order in which they became known, arrays (m,): row of the payment, milliseconds, truth.

    ``strangers`` is how many labels were of no payment of the file.
    """

    row: Ints
    known_ms: Ints
    is_fraud: NDArray[np.bool_]
    strangers: int = 0


class _Columns(NamedTuple):
    """Which column of a file of labels is what, by place; ``key`` and ``known`` are None where there is none."""

    key: int | None
    fraud: int
    known: int | None


def hashes(keys: list[bytes]) -> NDArray[np.void]:
    """Return hashes of keys as an array of 16 bytes each."""
    return np.frombuffer(b"".join(keys), dtype="V16")


def of_column(seen: Seen, delay: timedelta) -> Labels:
    """Return the labels of a column of the payments, each known ``delay`` after its payment."""
    row = np.flatnonzero(seen.is_fraud != UNKNOWN)
    return _ordered(row, seen.at_ms[row] + _after(delay), seen.is_fraud[row] == 1, 0)


def of_file(path: Path, named: Mapping[str, str], seen: Seen, delay: timedelta, events: Mapped) -> Labels:
    """Return the labels of a file; ``named`` gives its columns by ``id``, ``is_fraud`` and ``known_at``.

    ``events``: which column of the payments is what, and when their seconds begin. A label cannot be known before its payment.

    Raises InvalidRequest ``table_file_invalid`` with the line for what is no label, NotFound as ``open_table``.
    """
    keys: list[bytes] = []
    known: list[int] = []
    frauds: list[bool] = []
    with path.open("rb") as file:
        table = open_table(file, path)
        columns = _columns(table, named, has_ids=Field.ID in events.places)
        for number, line in enumerate(table.lines):
            try:
                key = str(number) if columns.key is None else _key(line.values[columns.key])
                frauds.append(truth(line.values[columns.fraud]))
                told = None if columns.known is None else line.values[columns.known]
                known.append(-1 if columns.known is None else (instant(told, events.begins) - EPOCH) // MS)
            except Unfit as error:
                raise bad(table.name, str(error), line.number) from error
            keys.append(key_hash(key))
    if columns.key is None and len(keys) != len(seen.at_ms):
        said = (
            f"without a column of ids there is one line a payment, but {len(keys):,} for {len(seen.at_ms):,}"
        )
        raise bad(path.name, said)
    return _joined(seen, hashes(keys), np.array(known, np.int64), np.array(frauds, np.bool_), delay)


def _joined(
    seen: Seen, keys: NDArray[np.void], known: Ints, frauds: NDArray[np.bool_], delay: timedelta
) -> Labels:
    """Return the labels of payments that are in the file."""
    if not len(keys) or not len(seen.keys):
        return _ordered(np.empty(0, np.int64), known[:0], frauds[:0], len(keys))
    row = rows_of(seen.keys, keys)
    is_here = row >= 0
    row, known, frauds = row[is_here], known[is_here], frauds[is_here]
    due = np.where(known < 0, seen.at_ms[row] + _after(delay), np.maximum(known, seen.at_ms[row] + 1))
    return _ordered(row, due, frauds, int((~is_here).sum()))


def _after(delay: timedelta) -> int:
    """Return a delay in milliseconds; the truth of a payment is never known to the payment itself."""
    return max(delay // MS, 1)


def rows_of(keys: NDArray[np.void], wanted: NDArray[np.void]) -> Ints:
    """Return the row of each wanted key among ``keys``, -1 where it is not there."""
    have, want = _numbers(keys), _numbers(wanted)
    order = np.argsort(have, kind="stable")
    place = np.minimum(np.searchsorted(have[order], want), len(have) - 1)
    row = order[place]
    # Order goes by half of the hash; the whole decides.
    found: Ints = np.where(keys[row] == wanted, row, -1).astype(np.int64)
    return found


def twice(keys: NDArray[np.void]) -> int | None:
    """Return the first row whose key an earlier row has too; None where all differ."""
    numbers = _numbers(keys)
    order = np.argsort(numbers, kind="stable")
    again = np.flatnonzero(numbers[order][1:] == numbers[order][:-1]) + 1
    rows = [int(order[place]) for place in again if keys[order[place]] == keys[order[place - 1]]]
    return min(rows) if rows else None


def _numbers(keys: NDArray[np.void]) -> NDArray[np.uint64]:
    """Return the first halves of hashes as numbers."""
    return np.ascontiguousarray(keys).view(np.uint64)[::2]


def _ordered(row: Ints, known_ms: Ints, is_fraud: NDArray[np.bool_], strangers: int) -> Labels:
    order = np.argsort(known_ms, kind="stable")
    return Labels(row[order], known_ms[order], is_fraud[order], strangers)


def _key(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = "" if value is None else str(value).strip()
    if not text:
        raise Unfit("the id of the payment is empty")
    return text


def _columns(table: Table, named: Mapping[str, str], *, has_ids: bool) -> _Columns:
    names = {plain(column): place for place, column in reversed(list(enumerate(table.columns)))}
    usual = {
        Field.ID.value: (*ALIASES[Field.ID], *_ROWS) if has_ids else (*_ROWS, *ALIASES[Field.ID]),
        Field.IS_FRAUD.value: ALIASES[Field.IS_FRAUD],
        "known_at": _KNOWN,
    }
    found = {what: _place(table, names, aliases, named.get(what)) for what, aliases in usual.items()}
    if unknown := set(named) - set(usual):
        raise bad(
            table.name, f"no column of labels can be {shown(min(unknown))}; it may be {', '.join(usual)}"
        )
    fraud = found[Field.IS_FRAUD.value]
    if fraud is None:
        raise bad(table.name, "there is no column that tells fraud (such as is_fraud, fraud, label)", 1)
    return _Columns(found[Field.ID.value], fraud, found["known_at"])


def _place(table: Table, names: Mapping[str, int], aliases: tuple[str, ...], named: str | None) -> int | None:
    if named is None:
        return next((names[alias] for alias in aliases if alias in names), None)
    if named not in table.columns:
        raise bad(
            table.name, f"there is no column {shown(named)}; there are {', '.join(table.columns)[:300]}", 1
        )
    return table.columns.index(named)
