"""Reading files of transfers as rows, in blocks: CSV (UTF-8) and Parquet. No database.

Memory stays bounded whatever the file holds: a block has at most ``BLOCK_ROWS`` rows, a line of CSV at most
``LINE_BYTES_MAX`` bytes. Every line after the header comes out exactly once, readable or with its problem.
Parquet is read by pyarrow, which is an extra; a column of floating-point numbers is refused, since its amounts
are no longer those that somebody wrote.
"""

import codecs
import csv
import importlib
import importlib.util
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tongbao.core.errors import NotFound
from tongbao.ledger.errors import BadTransferFile
from tongbao.ledger.schema import BULK_SIZE_MAX, GROUP_SIZE_MAX
from tongbao.ledger.transfer_file import Columns, LineRefusal, Problem, Row, shown, sniffed_delimiter

BLOCK_ROWS = BULK_SIZE_MAX - GROUP_SIZE_MAX
"""Rows of one block: with a group carried over from the block before, it still fits into one call."""
LINE_BYTES_MAX = 64 * 1024
READ_BYTES = 1024 * 1024
_PARQUET_MAGIC = b"PAR1"
_FOREIGN = {
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    b"PK\x03\x04": "a ZIP archive or a spreadsheet",
    b"\x1f\x8b": "compressed with gzip",
}
_UNREADABLE = {
    LineRefusal.LINE_EMPTY: "the line is empty",
    LineRefusal.LINE_TOO_LONG: f"the line is longer than {LINE_BYTES_MAX} bytes",
    LineRefusal.LINE_NOT_UTF8: "the line is not UTF-8",
    LineRefusal.LINE_HAS_NUL: "the line holds a NUL character",
    LineRefusal.LINE_BADLY_QUOTED: "a quote is not closed or stands where none may, or a line break stands inside",
}


class Block(NamedTuple):
    """Rows in the order of the file, and how many of its bytes are read with them."""

    rows: list[Row]
    bytes_done: int


class Source(NamedTuple):
    """A file opened for reading: its columns and its rows."""

    columns: Columns
    blocks: Iterator[Block]


def open_rows(file: BinaryIO, path: Path) -> Source:
    """Read the header of ``file``, open at its beginning, and return its columns and blocks.

    Raises BadTransferFile for what is not a file of transfers, NotFound ``parquet_missing`` for Parquet without
    pyarrow. The blocks may raise BadTransferFile where a Parquet file breaks off.
    """
    start = file.read(len(_PARQUET_MAGIC))
    file.seek(0)
    if start == _PARQUET_MAGIC:
        return _open_parquet(file, path)
    if path.suffix.lower() in (".parquet", ".pq"):
        raise BadTransferFile("the file does not begin like Parquet")
    foreign = next((what for magic, what in _FOREIGN.items() if start.startswith(magic)), None)
    if foreign is not None:
        raise BadTransferFile(f"the file is {foreign}; give CSV as UTF-8, or Parquet")
    lines = _Lines(file)
    header = lines.header()
    delimiter = sniffed_delimiter(header)
    try:
        names = next(csv.reader((header,), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise BadTransferFile(f"the first line cannot be read: {error}") from error
    columns = Columns(names)
    return Source(columns, _csv_blocks(lines, delimiter, len(columns.names)))


class _Lines:
    """Physical lines of a binary file, counted, each with whether it was too long to keep."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.bytes_done = 0
        self.line_no = 0

    def header(self) -> str:
        """Return the first line; raise BadTransferFile where there is none or it is no text."""
        raw = next(iter(self.some(1)), b"")
        raw = raw.removeprefix(codecs.BOM_UTF8)
        if len(raw) > LINE_BYTES_MAX or b"\0" in raw:
            raise BadTransferFile("the first line is not a header in UTF-8")
        try:
            header = raw.decode()
        except UnicodeDecodeError as error:
            raise BadTransferFile("the first line is not UTF-8; save the file as UTF-8") from error
        if not header.strip():
            raise BadTransferFile("the file is empty or begins with an empty line; it needs a header")
        return header

    def some(self, count: int) -> list[bytes]:
        """Return up to ``count`` further lines without their ends; one too long is cut, but longer than allowed."""
        found = []
        for _ in range(count):
            line = self._file.readline(LINE_BYTES_MAX + 2)
            if not line:
                break
            self.bytes_done += len(line)
            if line.endswith(b"\n"):
                line = line[:-2] if line.endswith(b"\r\n") else line[:-1]
            elif len(line) > LINE_BYTES_MAX:
                self._skip_rest()
            found.append(line)
        self.line_no += len(found)
        return found

    def _skip_rest(self) -> None:
        while piece := self._file.readline(READ_BYTES):
            self.bytes_done += len(piece)
            if piece.endswith(b"\n"):
                break


def _csv_blocks(lines: _Lines, delimiter: str, width: int) -> Iterator[Block]:
    while raw := lines.some(BLOCK_ROWS):
        first_no = lines.line_no - len(raw) + 1
        yield Block(_csv_rows(raw, first_no, delimiter, width), lines.bytes_done)


def _csv_rows(raw: list[bytes], first_no: int, delimiter: str, width: int) -> list[Row]:
    """Return one row per line: all at once where nothing is odd, one by one otherwise."""
    whole = b"\n".join(raw)
    if not (b'"' in whole or b"\0" in whole or b"\r" in whole) and max(map(len, raw)) <= LINE_BYTES_MAX:
        try:
            split = list(csv.reader(whole.decode().split("\n"), delimiter=delimiter))
        except (UnicodeDecodeError, csv.Error):
            split = []
        if len(split) == len(raw):
            return [
                Row(no, fields) if len(fields) == width else _odd_row(no, fields, width)
                for no, fields in enumerate(split, first_no)
            ]
    return [_csv_row(line, no, delimiter, width) for no, line in enumerate(raw, first_no)]


def _csv_row(line: bytes, line_no: int, delimiter: str, width: int) -> Row:
    text = line.decode(errors="replace")
    for refusal, is_so in (
        (LineRefusal.LINE_TOO_LONG, len(line) > LINE_BYTES_MAX),
        (LineRefusal.LINE_HAS_NUL, b"\0" in line),
        (LineRefusal.LINE_NOT_UTF8, "\N{REPLACEMENT CHARACTER}" in text and not _is_utf8(line)),
    ):
        if is_so:
            return Row(line_no, text.replace("\0", "").split(delimiter), _unreadable(refusal))
    try:
        fields = next(csv.reader((text,), delimiter=delimiter, strict=True))
    except csv.Error:
        return Row(line_no, text.split(delimiter), _unreadable(LineRefusal.LINE_BADLY_QUOTED))
    return Row(line_no, fields) if len(fields) == width else _odd_row(line_no, fields, width)


def _odd_row(line_no: int, fields: list[str], width: int) -> Row:
    if not fields or fields == [""]:
        return Row(line_no, [], _unreadable(LineRefusal.LINE_EMPTY))
    detail = f"{len(fields)} fields where the header has {width}"
    return Row(line_no, fields, Problem(LineRefusal.LINE_RAGGED, detail))


def _unreadable(refusal: LineRefusal) -> Problem:
    return Problem(refusal, _UNREADABLE[refusal])


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _open_parquet(file: BinaryIO, path: Path) -> Source:
    if importlib.util.find_spec("pyarrow") is None:
        detail = "reading Parquet needs pyarrow: pip install tongbao[parquet]"
        raise NotFound("parquet_missing", detail)
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    try:
        opened = parquet.ParquetFile(file)
        schema = opened.schema_arrow
    except (arrow.ArrowException, OSError) as error:
        raise BadTransferFile(f"the file is no readable Parquet: {shown(str(error))}") from error
    columns = Columns(schema.names)
    for field in schema:
        _check_type(arrow.types, field)
    return Source(columns, _parquet_blocks(arrow, opened, path.stat().st_size))


def _check_type(types: Any, field: Any) -> None:
    kind = field.type
    if types.is_floating(kind):
        raise BadTransferFile(
            f"column {shown(field.name)} holds floating-point numbers; amounts must be exact"
        )
    if types.is_timestamp(kind) and kind.tz is None:
        raise BadTransferFile(f"column {shown(field.name)} holds instants without a time zone")
    plain = (types.is_integer, types.is_decimal, types.is_string, types.is_large_string, types.is_timestamp)
    if types.is_dictionary(kind):
        kind = kind.value_type
    if not (types.is_null(kind) or any(is_kind(kind) for is_kind in plain)):
        raise BadTransferFile(f"column {shown(field.name)} has type {shown(str(kind))}; give text or numbers")


def _parquet_blocks(arrow: Any, opened: Any, byte_count: int) -> Iterator[Block]:
    """Yield the rows of a Parquet file; the first has number 1. Bytes are told by the share of rows."""
    row_count = max(opened.metadata.num_rows, 1)
    done = 0
    try:
        for batch in opened.iter_batches(batch_size=BLOCK_ROWS):
            texts = [_texts(arrow, batch.column(at)) for at in range(batch.num_columns)]
            rows = [Row(no, fields) for no, fields in enumerate(zip(*texts, strict=True), done + 1)]
            done += len(rows)
            yield Block(rows, byte_count * done // row_count)
    except (arrow.ArrowException, OSError, ValueError) as error:
        detail = f"the Parquet file breaks off after row {done}: {shown(str(error))}"
        raise BadTransferFile(detail, row=done) from error


def _texts(arrow: Any, column: Any) -> list[str]:
    """Return a column as CSV would write it."""
    if arrow.types.is_timestamp(column.type):
        column = column.cast(arrow.timestamp("us", column.type.tz))
    return [_text(value) for value in column.to_pylist()]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        # A column of decimals pads every number to one scale: zeros at the end say nothing there.
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return value.isoformat() if isinstance(value, datetime) else str(value)
