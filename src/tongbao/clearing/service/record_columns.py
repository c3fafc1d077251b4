"""Rows of the database as columns for matching, some thousands at a time, so that a million rows stay within bounds."""

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from tongbao.clearing.policy.matching_records import Records, Words, day_number, texts
from tongbao.clearing.schema.movements import KIND_NAMES, MovementKind
from tongbao.clearing.store.reconciliation import Pages, Row

NO_BOOK = -1


class Side:
    """The records of one side: columns, and by the same index who they are and in which book."""

    def __init__(self, records: Records, keys: npt.NDArray[Any], books: npt.NDArray[np.int64]) -> None:
        self.records = records
        self.keys = keys
        self._books = books

    def expected_id(self, index: int) -> UUID:
        """Return the id of an expected record."""
        return UUID(bytes=self.keys[index].tobytes())

    def line_id(self, index: int) -> int:
        """Return the id of a line."""
        return int(self.keys[index])

    def book_id(self, index: int) -> int | None:
        """Return whose record it is; None where it belongs to the house."""
        found = int(self._books[index])
        return None if found == NO_BOOK else found


async def of_movements(pages: Pages, words: Words, due: Callable[[date], date]) -> Side:
    """Return the columns of movements; ``due`` says until when one of a day should be reported.

    Their group is day, currency and kind, by which channels give totals.
    """
    kinds = {kind.value: KIND_NAMES[kind] for kind in MovementKind}

    def kind_of(row: Row) -> str:
        return kinds[row["kind"]]

    return await _expected(
        pages, words, due, kind_of, lambda row: f"{row['day']}/{row['currency']}/{kind_of(row)}"
    )


async def of_moneys(pages: Pages, words: Words, due: Callable[[date], date]) -> Side:
    """Return the columns of what a statement of a bank should show: transfers of channels, payouts, returns."""
    return await _expected(pages, words, due, lambda row: str(row["kind"]), lambda row: str(row["batch"]))


async def of_lines(pages: Pages, words: Words, *, amount: str, tells_fees: bool) -> Side:
    """Return the columns of lines; ``amount`` names the column that is compared."""
    made = _Columns(words)
    async for rows in pages:
        made.add(
            rows,
            keys=np.array([row["id"] for row in rows], dtype=np.int64),
            kinds=[row["kind"] for row in rows],
            groups=[row["batch"] for row in rows],
            due=[0] * len(rows),
            amount=amount,
            fees=[row["fee_minor"] if tells_fees or row["fee_minor"] else None for row in rows],
        )
    return made.side(np.dtype(np.int64))


async def _expected(
    pages: Pages,
    words: Words,
    due: Callable[[date], date],
    kind_of: Callable[[Row], str],
    group_of: Callable[[Row], str],
) -> Side:
    made = _Columns(words)
    async for rows in pages:
        made.add(
            rows,
            keys=np.frombuffer(b"".join(row["id"].bytes for row in rows), dtype="V16"),
            kinds=[kind_of(row) for row in rows],
            groups=[group_of(row) for row in rows],
            due=[day_number(due(row["day"])) for row in rows],
            amount="amount_minor",
            fees=[row["cost_minor"] for row in rows],
        )
    return made.side(np.dtype("V16"))


class _Columns:
    """Columns in pieces."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._pieces: list[Records] = []
        self._keys: list[npt.NDArray[Any]] = []
        self._books: list[npt.NDArray[np.int64]] = []

    def add(
        self,
        rows: list[Row],
        *,
        keys: npt.NDArray[Any],
        kinds: list[str],
        groups: list[str],
        due: list[int],
        amount: str,
        fees: list[int | None],
    ) -> None:
        """Add the columns of some rows."""
        number = self._words.number
        self._keys.append(keys)
        books = [NO_BOOK if row.get("book_id") is None else row["book_id"] for row in rows]
        self._books.append(np.array(books, dtype=np.int64))
        self._pieces.append(
            Records(
                kind=np.array([number(kind) for kind in kinds], dtype=np.int16),
                currency=np.array([number(row["currency"]) for row in rows], dtype=np.int16),
                amount=np.array([row[amount] for row in rows], dtype=np.int64),
                reference=texts(row["reference"] for row in rows),
                channel_reference=texts(row["theirs"] for row in rows),
                group=texts(groups),
                on=np.array([day_number(row["day"]) for row in rows], dtype=np.int32),
                due_on=np.array(due, dtype=np.int32),
                fee=np.array([fee or 0 for fee in fees], dtype=np.int64),
                has_fee=np.array([fee is not None for fee in fees], dtype=np.bool_),
            )
        )

    def side(self, key_type: np.dtype[Any]) -> Side:
        """Return everything in one piece."""
        if not self._pieces:
            empty = np.array([], dtype=np.int64)
            self.add([], keys=np.array([], dtype=key_type), kinds=[], groups=[], due=[], amount="", fees=[])
            return Side(self._pieces[0], self._keys[0], empty)
        keys, books = np.concatenate(self._keys), np.concatenate(self._books)
        order = _order(keys)
        whole = {
            name: np.concatenate([getattr(piece, name) for piece in self._pieces])[order]
            for name in Records.__struct_fields__
        }
        return Side(Records(**whole), keys[order], books[order])


def _order(keys: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the order of records by their ids, which no plan of the database changes."""
    if keys.dtype == np.int64:
        return np.argsort(keys, kind="stable")
    halves = np.ascontiguousarray(keys).view(">u8").reshape(-1, 2)
    return np.lexsort((halves[:, 1], halves[:, 0]))
