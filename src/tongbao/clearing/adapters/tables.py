"""Tables with a head line, as channels write them: rows of cells by their columns, and how a table ends.

Rows may be quoted as RFC 4180 says, and a quoted value may go over a few lines. A value that begins with a quotation mark which
never closes costs its own line and no other.
"""

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from tongbao.clearing.adapters.instants import Instants
from tongbao.clearing.adapters.keys import KEYED_AT_ONCE, Occurrences, digest, digest_key
from tongbao.clearing.adapters.text_lines import LINE_BYTES_MAX, TextLines
from tongbao.clearing.adapters.unfit import Unfit, refused, truncated
from tongbao.clearing.schema.lines import Header, Line, Refusal, SourceTerms
from tongbao.core.errors import InvalidRequest

JOINED_LINES_MAX = 20
"""Lines that one quoted value goes over at most."""
COLUMNS_MAX = 500
HEAD_LINES_MAX = 1_000

Row = tuple[int, list[str] | Refusal, str]
"""Number of the line, its cells, and the line itself (or, with digests, its key)."""


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How a table is written.

    ``ends``: beginnings of lines that end the table, which must come; empty where files just stop. ``has_keys``: the source names
    its movements.
    """

    delimiter: str = ","
    ends: tuple[str, ...] = ()
    has_keys: bool = True


class Head:
    """The names of columns and where they stand."""

    def __init__(self, names: Sequence[str]) -> None:
        self._places: dict[str, int] = {}
        for place, name in enumerate(names):
            if self._places.setdefault(name, place) != place and name:
                # Which of the two is meant nobody can say; neither is used.
                self._places[name] = -1
        self.width = len(names)

    def __getitem__(self, name: str) -> int:
        """Return the place of a column; raise InvalidRequest ``file_unreadable`` where it is missing or there twice."""
        place = self.find(name)
        if place < 0:
            raise InvalidRequest("file_unreadable", f"the head line has no column {name}")
        return place

    def find(self, *names: str, otherwise: int = -1) -> int:
        """Return the place of the first of these columns that is there; ``otherwise`` without any."""
        return next((self._places[name] for name in names if self._places.get(name, -1) >= 0), otherwise)


class Table(ABC):
    """A file of rows (``ports.FileReader``). Subclasses read the head when they are made, and one row at a time."""

    def __init__(self, lines: TextLines, terms: SourceTerms, dialect: Dialect) -> None:
        self._lines = lines
        self._source = iter(lines)
        self._terms = terms
        self._dialect = dialect
        self._ahead: list[tuple[int, str | Refusal]] = []
        self._instants: Instants
        self._width = 0
        self._is_over = False
        self._is_cut = False
        self._header = Header(source=terms.source, format=terms.format, side=terms.side)

    @property
    def header(self) -> Header:
        """What the file says of itself; of which days it is only where it says so before or behind its lines."""
        return msgspec.structs.replace(self._header, encoding=self._lines.encoding)

    def __iter__(self) -> Iterator[Line | Refusal]:
        """Yield what each row says or why it was refused; the last word where the file stops in the middle."""
        line_of = self._line
        for number, cells, key in self._keyed():
            if isinstance(cells, Refusal):
                yield cells
                continue
            try:
                line = line_of(number, cells, key)
            except Unfit as error:
                yield error.refusal(number)
                continue
            yield line
        yield from self._end()

    @abstractmethod
    def _line(self, number: int, cells: list[str], key: str) -> Line:
        """Return what a row says; raise Unfit."""

    def _closing(self, text: str) -> bool:
        """Hear a line after the end of the table; return whether it is whole."""
        del text
        return True

    def _is_complete(self, cells: list[str]) -> bool:
        """Return whether a last row without a line break may be taken: nothing that counts can have been cut off."""
        del cells
        return False

    def _take_head(self, wanted: str, *, exact_at: int | None = None) -> Head:
        """Read up to the head line, the first with a column of this name, and return it.

        ``exact_at``: it is the line after so many others, whatever it holds. Raises InvalidRequest ``file_unreadable``.
        """
        seen = 0
        for _number, line in self._source:
            if isinstance(line, str) and exact_at is None and not line.strip():
                continue
            seen += 1
            if isinstance(line, str) and (exact_at is None or seen == exact_at + 1):
                names = self._names(line)
                if self._lines.is_open:
                    break
                if exact_at is not None or wanted in names:
                    self._width = len(names)
                    return Head(names)
            if seen > (HEAD_LINES_MAX if exact_at is None else exact_at):
                break
        raise InvalidRequest("file_unreadable", f"no whole head line with {wanted or 'names of columns'}")

    def _names(self, line: str) -> list[str]:
        cells = self._split(line)
        if cells is None or len(cells) > COLUMNS_MAX:
            return []
        return [self._clean(each) for each in cells]

    def _clean(self, cell: str) -> str:
        """Return a cell without what is put around it."""
        return cell.strip()

    def _keyed(self) -> Iterator[Row]:
        """Yield rows with their keys where the source gives none, else as they are."""
        rows = self._rows()
        if self._dialect.has_keys:
            yield from rows
            return
        occurrences = Occurrences()
        while some := list(islice(rows, KEYED_AT_ONCE)):
            digests = [digest(line.encode()) for _number, _cells, line in some]
            for (number, cells, _line), content, times in zip(
                some, digests, occurrences.next(digests), strict=True
            ):
                yield number, cells, digest_key(content, times)

    def _rows(self) -> Iterator[Row]:
        """Yield rows up to the end of the table; empty lines are none."""
        ends, width = self._dialect.ends, self._width
        lines, ahead = self._lines, self._ahead
        while True:
            # A value over several lines looks ahead, and gives back what it did not need.
            item = ahead.pop(0) if ahead else next(self._source, None)
            if item is None:
                return
            number, line = item
            if not isinstance(line, str):
                yield number, line, ""
                continue
            if ends and line.startswith(ends):
                self._is_over = True
                self._heard(line)
                return
            cells = self._cells(number, line)
            if not isinstance(cells, Refusal) and len(cells) != width:
                cells = self._fitted(number, cells)
                if not cells:
                    continue
            if lines.is_open and not ahead and (isinstance(cells, Refusal) or not self._is_complete(cells)):
                self._is_cut = True
                yield number, truncated(number, "the last line ends in its middle"), line
                return
            yield number, cells, line

    def _cells(self, number: int, line: str) -> list[str] | Refusal:
        """Return the cells of a line, and of the next ones where a quoted value goes on in them."""
        return line.split(self._dialect.delimiter) if '"' not in line else self._quoted(number, line)

    def _fitted(self, number: int, cells: list[str]) -> list[str] | Refusal:
        """Return no cells for an empty line; any other line has as many as the head, or its values stand under wrong names."""
        if not any(cell.strip() for cell in cells):
            return []
        code = "columns_missing" if len(cells) < self._width else "columns_extra"
        return refused(number, code, f"{len(cells)} cells in {self._width} columns")

    def _split(self, line: str) -> list[str] | None:
        """Return the cells of a line; None where a quotation is not closed, or goes on after its end."""
        if '"' not in line or not _begins_quoted(line, self._dialect.delimiter):
            return line.split(self._dialect.delimiter)
        try:
            return next(csv.reader([line], delimiter=self._dialect.delimiter, strict=True), [])
        except csv.Error:
            return None

    def _quoted(self, number: int, line: str) -> list[str] | Refusal:
        """Return the cells of a line with quotations, and of the next ones where a quoted value goes on in them."""
        cells = self._split(line)
        if cells is not None:
            return cells
        taken: list[tuple[int, str | Refusal]] = []
        joined = line
        while len(taken) < JOINED_LINES_MAX and len(joined) < LINE_BYTES_MAX:
            item = self._ahead.pop(0) if self._ahead else next(self._source, None)
            if item is None:
                break
            taken.append(item)
            if not isinstance(item[1], str):
                break
            joined = f"{joined}\n{item[1]}"
            if '"' in item[1] and (cells := self._split(joined)) is not None:
                return cells
        self._ahead[:0] = taken
        return refused(number, "quotes_broken", "a quotation mark has no second one", value=line)

    def _heard(self, line: str) -> bool:
        try:
            return self._closing(line)
        except Unfit:
            return False

    def _end(self) -> Iterator[Refusal]:
        """Yield a refusal where the end of the table never came, or what follows it is cut."""
        if self._is_cut or not self._dialect.ends:
            return
        if not self._is_over:
            yield truncated(self._lines.number, "the mark that ends the table is missing")
            return
        whole = True
        for _number, line in self._source:
            if not isinstance(line, str):
                yield line
                whole = False
            elif line.strip():
                whole = self._heard(line)
        if not (whole and self._is_closed()):
            yield truncated(self._lines.number, "the file stops before its totals end")

    def _is_closed(self) -> bool:
        """Return whether everything that follows a table was there."""
        return True


def _begins_quoted(line: str, delimiter: str) -> bool:
    """Return whether a value begins with a quotation mark: elsewhere it is a character like any other."""
    return line.startswith('"') or f'{delimiter}"' in line
