"""Reading tables of anything, row by row: CSV as UTF-8 and Parquet. A row is a list of values and where it stands.

Memory stays bounded whatever a file holds. A row of CSV is one line; a line that cannot be read is an error with its number,
never dropped. Parquet is read by pyarrow, which is an extra; its rows are counted from 1.
"""

import codecs
import csv
import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tongbao.core.errors import InvalidRequest, NotFound

LINE_BYTES_MAX = 64 * 1024
COLUMNS_MAX = 1_000
BLOCK_ROWS = 8_192
DELIMITERS = (",", ";", "\t", "|")
SHOWN_CHARS_MAX = 60
_PARQUET_MAGIC = b"PAR1"
_FOREIGN = {
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet",
    b"\x1f\x8b": "compressed with gzip",
    b"PK\x05\x06": "a ZIP archive or a spreadsheet",
}
CODE = "table_file_invalid"


class Line(NamedTuple):
    """One row of a file: ``number`` of its line (CSV, the header is 1) or row (Parquet, from 1), and its values."""

    number: int
    values: list[Any]


class Table(NamedTuple):
    """A file opened for reading. Values of CSV are text, those of Parquet what it holds, None where nothing stands."""

    name: str
    columns: tuple[str, ...]
    lines: Iterator[Line]
    is_text: bool


def bad(name: str, detail: str, line: int | None = None) -> InvalidRequest:
    """Return the error for a file that cannot be used, with the number of the line where one is to blame."""
    where = name if line is None else f"{name}, line {line}"
    facts = {} if line is None else {"line": line}
    return InvalidRequest(CODE, f"{where}: {detail}", file=name, **facts)


def shown(value: object) -> str:
    """Return a value for a message: quoted, shortened, without what does not print."""
    text = str(value)
    printed = "".join(char if char.isprintable() else "�" for char in text[:SHOWN_CHARS_MAX])
    return f'"{printed}{"…" if len(text) > SHOWN_CHARS_MAX else ""}"'


def open_table(file: BinaryIO, path: Path) -> Table:
    """Read the head of ``file``, open at its beginning, and return its columns and rows.

    Raises InvalidRequest ``table_file_invalid`` for what is no table, NotFound ``parquet_missing`` for Parquet without pyarrow;
    so do the rows where a line cannot be read.
    """
    start = file.read(len(_PARQUET_MAGIC))
    file.seek(0)
    if start == _PARQUET_MAGIC:
        return _open_parquet(file, path.name)
    if path.suffix.lower() in {".parquet", ".pq"}:
        raise bad(path.name, "the file does not begin like Parquet")
    if foreign := next((what for magic, what in _FOREIGN.items() if start.startswith(magic)), None):
        raise bad(path.name, f"the file is {foreign}; give CSV as UTF-8, or Parquet")
    return _open_csv(file, path.name)


def _open_csv(file: BinaryIO, name: str) -> Table:
    texts = _texts(file, name)
    head = next(texts, "").removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    if not head.strip():
        raise bad(name, "the file is empty or begins with an empty line; it needs a header", 1)
    delimiter = max(DELIMITERS, key=head.count)
    try:
        columns = next(csv.reader((head,), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise bad(name, f"the header cannot be read: {error}", 1) from error
    columns = [column.strip() for column in columns]
    _check_columns(columns, name)
    return Table(name, tuple(columns), _csv_lines(texts, name, delimiter, len(columns)), is_text=True)


def _check_columns(columns: list[str], name: str) -> None:
    if len(columns) > COLUMNS_MAX:
        raise bad(name, f"there are more than {COLUMNS_MAX} columns", 1)
    twice = [column for column in columns if columns.count(column) > 1 and column]
    if twice:
        raise bad(name, f"two columns are called {shown(twice[0])}", 1)


def _texts(file: BinaryIO, name: str) -> Iterator[str]:
    """Yield the lines of a file with their ends."""
    number = 0
    while raw := file.readline(LINE_BYTES_MAX + 2):
        number += 1
        if len(raw) > LINE_BYTES_MAX:
            raise bad(name, f"the line is longer than {LINE_BYTES_MAX} bytes", number)
        if b"\0" in raw:
            raise bad(name, "the line holds a NUL character; the file is not text in UTF-8", number)
        try:
            yield raw.decode()
        except UnicodeDecodeError as error:
            raise bad(name, "the line is not UTF-8; save the file as UTF-8", number) from error


def _csv_lines(texts: Iterator[str], name: str, delimiter: str, width: int) -> Iterator[Line]:
    """Yield rows; each has to be one line, so an open quote is found where it stands."""
    reader = csv.reader(texts, delimiter=delimiter, strict=True)
    number = 1
    while True:
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise bad(name, f"the line is badly quoted: {error}", number + 1) from error
        if values is None:
            return
        number += 1
        if reader.line_num != number - 1:
            raise bad(name, "a quote is not closed, or a line break stands inside of a value", number)
        if len(values) != width:
            said = "the line is empty" if not values else f"{len(values)} values, but {width} columns"
            raise bad(name, said, number)
        yield Line(number, values)


def _open_parquet(file: BinaryIO, name: str) -> Table:
    if importlib.util.find_spec("pyarrow") is None:
        raise NotFound("parquet_missing", "reading Parquet needs pyarrow: pip install tongbao[parquet]")
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    try:
        opened = parquet.ParquetFile(file)
        columns = list(opened.schema_arrow.names)
    except (arrow.ArrowException, OSError) as error:
        raise bad(name, f"the file is no readable Parquet: {shown(error)}") from error
    _check_columns(columns, name)
    return Table(name, tuple(columns), _parquet_lines(arrow, opened, name), is_text=False)


def _parquet_lines(arrow: Any, opened: Any, name: str) -> Iterator[Line]:
    number = 0
    try:
        for batch in opened.iter_batches(BLOCK_ROWS):
            columns = [column.to_pylist() for column in batch.columns]
            for values in zip(*columns, strict=True):
                number += 1
                yield Line(number, list(values))
    except (arrow.ArrowException, OSError) as error:
        raise bad(name, f"the file breaks off: {shown(error)}", number + 1) from error
