"""The list of refused lines of an import, ``<file>.refused.csv``: complete or not there.

It holds number, reason and key of each line, then the line's own fields, and so is a file of transfers itself:
mended, it can be imported, and its keys tie it to the import that refused the lines.
"""

import csv
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from tongbao.core.ids import uuid_text
from tongbao.ledger import transfer_file
from tongbao.ledger.schema import TRANSFER_PREFIX
from tongbao.ledger.transfer_file import Columns, Row


class RefusedLine(msgspec.Struct, frozen=True):
    """One refused line: its number in the file (row number in Parquet), a stable code and one sentence."""

    line_no: int
    refusal: str
    detail: str


class RefusedFile:
    """The list of refused lines; it appears, or replaces an older one, when the import is through."""

    def __init__(self, path: Path, columns: Columns, import_id: UUID) -> None:
        self.path = path.with_name(path.name + ".refused.csv")
        self._partial = self.path.with_name(f"{self.path.name}.partial-{os.getpid()}")
        self._columns = columns
        self._import_id = import_id
        self._kept = [
            at for at, name in enumerate(columns.names) if name not in (*transfer_file.REPORT_COLUMNS, "key")
        ]
        self._file: Any = None
        self._writer: Any = None

    def __enter__(self) -> "RefusedFile":
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if self._file is None:
            if error_type is None:
                # Every line stands in the journal now: a list of an earlier run has nothing left to say.
                self.path.unlink(missing_ok=True)
            return
        with self._file as file:
            if error_type is None:
                file.flush()
                os.fsync(file.fileno())
        if error_type is None:
            self._partial.replace(self.path)
        else:
            self._partial.unlink(missing_ok=True)

    def write(self, row: Row, refused: RefusedLine) -> None:
        """Add one line: number, reason, the key that it has in this import, then its own fields."""
        if self._file is None:
            self._open()
        try:
            key = uuid_text(TRANSFER_PREFIX, transfer_file.key_of(row, self._columns, self._import_id))
        except ValueError:
            key = row.fields[self._columns.key or 0]
        fields = row.fields
        whole = len(fields) == len(self._columns.names)
        own = [fields[at] for at in self._kept] if whole else fields
        self._writer.writerow([refused.line_no, refused.refusal, refused.detail, key, *own])

    def _open(self) -> None:
        # Fields that are not text of their own (lone surrogates) cannot occur: rows are decoded with replacement.
        self._file = self._partial.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(
            [*transfer_file.REPORT_COLUMNS, "key", *(self._columns.names[at] for at in self._kept)]
        )
