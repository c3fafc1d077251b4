"""A statement's lines as CSV (RFC 4180): UTF-8 with a byte order mark, so that Excel reads Chinese, one line a movement."""

import csv
from collections.abc import Iterable

from tongbao.clearing.adapters.statement_cells import Cells, head
from tongbao.clearing.schema.statements import Statement, StatementLine

CONTENT_TYPE = "text/csv; charset=utf-8"


class _Lines:
    """What the writer writes to: the text of one call."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def write(self, part: str) -> int:
        """Keep a piece."""
        self._parts.append(part)
        return len(part)

    def taken(self) -> bytes:
        """Return all that was written since the last time."""
        found = "".join(self._parts).encode()
        self._parts.clear()
        return found


class StatementCsv:
    """Writes one statement piece by piece; holds no more than the piece that it was given."""

    def __init__(self, statement: Statement, language: str) -> None:
        """Raise InvalidRequest ``language_unknown``."""
        self._cells = Cells(statement, language)
        self._head = head(language)
        self._lines = _Lines()
        self._writer = csv.writer(self._lines)

    def begin(self) -> bytes:
        """Return the mark and the names of the columns."""
        self._writer.writerow(self._head)
        return "\ufeff".encode() + self._lines.taken()

    def rows(self, lines: Iterable[StatementLine]) -> bytes:
        """Return some lines."""
        self._writer.writerows(self._cells.of(line) for line in lines)
        return self._lines.taken()
