"""Files of purchases as rows, one after the other: CSV in UTF-8, or Parquet, which needs pyarrow.

Memory stays bounded whatever a file holds: a line of CSV has at most ``LINE_BYTES_MAX`` bytes, Parquet comes in batches of
``BATCH_ROWS``. Every line after the header comes out exactly once, as a row or as one that cannot be read. A field holds no
line break, so a stray quote spoils its own line and never swallows the ones after it.
"""

import codecs
import csv
import importlib
import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.simulator.histories.columns import is_recognized
from tongbao.simulator.histories.schema import LINE_BYTES_MAX, TEXT_CHARS_MAX, Refusal, Refused, Row

BATCH_ROWS = 20_000
PIECE_BYTES = 1024 * 1024
DELIMITERS = (",", ";", "\t", "|")
PARQUET = b"PAR1"


class Source(NamedTuple):
    """An open file: its columns by name, in order, and how its rows are read, once. ``delimiter`` is empty in Parquet."""

    header: tuple[str, ...]
    delimiter: str
    file: BinaryIO

    def rows(self, wanted: Iterable[str], order: str) -> Iterator[Row | Refused]:
        """Yield every line in order; of columns that nobody wants Parquet gives empty text.

        ``order``: the column that names orders, told of a broken line as well, as far as it can be read.
        Raises InvalidRequest ``history_unreadable`` where a Parquet file breaks off.
        """
        if not self.delimiter:
            return _parquet_rows(self.file, self.header, wanted)
        return _csv_rows(self.file, _Shape(self.delimiter, len(self.header), self.header.index(order)))


class _Shape(NamedTuple):
    """What a line of CSV should look like; ``order`` is the place of the field that names its order."""

    delimiter: str
    width: int
    order: int

    def broken(self, line_no: int, line: bytes, refusal: Refusal, detail: str) -> Refused:
        """Return what is known of a line that cannot be read."""
        fields = line.decode(errors="replace").split(self.delimiter, self.order + 1)
        order = fields[self.order].strip(' "') if len(fields) > self.order else ""
        return Refused(line_no, order[:TEXT_CHARS_MAX], refusal, detail)


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open a file of purchases and read its header.

    Raises InvalidRequest ``history_unreadable``, NotFound ``parquet_missing`` for Parquet without pyarrow.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise _unreadable(f"{path}: {error.strerror}") from None
    with file:
        start = file.read(len(PARQUET))
        file.seek(0)
        if start == PARQUET:
            yield Source(tuple(_parquet(file).schema_arrow.names), "", file)
            return
        text = _header(file)
        delimiter = max(DELIMITERS, key=text.count)
        names = next(csv.reader((text,), delimiter=delimiter))
        yield Source(tuple(name.strip() for name in names), delimiter, file)


def is_history(path: Path) -> bool:
    """Return whether a file looks like purchases: Parquet, or CSV whose columns are all understood.

    A file that cannot be read is none; whoever reads it next says why.
    """
    try:
        with opened(path) as source:
            return not source.delimiter or is_recognized(source.header)
    except NotFound:
        return True
    except InvalidRequest:
        return False


def _header(file: BinaryIO) -> str:
    raw = file.readline(LINE_BYTES_MAX + 1).rstrip(b"\r\n").removeprefix(codecs.BOM_UTF8)
    if len(raw) > LINE_BYTES_MAX or b"\0" in raw:
        raise _unreadable("the first line is no header of CSV in UTF-8")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise _unreadable("the first line is not UTF-8; save the file as UTF-8") from None
    if not text.strip():
        raise _unreadable("the file is empty or begins with an empty line; it needs a header")
    return text


def _csv_rows(file: BinaryIO, shape: _Shape) -> Iterator[Row | Refused]:
    line_no = 1
    while raw := file.readline(LINE_BYTES_MAX + 2):
        line_no += 1
        line = raw.rstrip(b"\r\n")
        if len(line) > LINE_BYTES_MAX:
            _skip_rest(file, raw)
            yield shape.broken(line_no, line, Refusal.LINE_TOO_LONG, f"longer than {LINE_BYTES_MAX} bytes")
        else:
            yield _csv_row(line_no, line, shape)


def _csv_row(line_no: int, line: bytes, shape: _Shape) -> Row | Refused:
    try:
        text = line.decode()
        fields = (
            next(csv.reader((text,), delimiter=shape.delimiter, strict=True))
            if '"' in text
            else text.split(shape.delimiter)
        )
    except UnicodeDecodeError:
        return shape.broken(line_no, line, Refusal.LINE_NOT_UTF8, "the line is not UTF-8")
    except csv.Error:
        detail = "a quote is not closed or stands where none may"
        return shape.broken(line_no, line, Refusal.LINE_BADLY_QUOTED, detail)
    if fields == [""]:
        return Refused(line_no, "", Refusal.LINE_EMPTY, "the line is empty")
    if len(fields) != shape.width:
        detail = f"{len(fields)} fields where the header has {shape.width}"
        return shape.broken(line_no, line, Refusal.LINE_RAGGED, detail)
    return Row(line_no, tuple(fields))


def _skip_rest(file: BinaryIO, raw: bytes) -> None:
    while raw and not raw.endswith(b"\n"):
        raw = file.readline(PIECE_BYTES)


def _parquet(file: BinaryIO) -> Any:
    if importlib.util.find_spec("pyarrow") is None:
        raise NotFound(
            "parquet_missing",
            "reading Parquet needs pyarrow: pip install tongbao[parquet], or give the file as CSV",
        )
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    try:
        return parquet.ParquetFile(file)
    except (arrow.ArrowException, OSError) as error:
        raise _unreadable(f"the file is no readable Parquet: {str(error)[:100]}") from None


def _parquet_rows(file: BinaryIO, header: tuple[str, ...], wanted: Iterable[str]) -> Iterator[Row | Refused]:
    """Yield the rows of a Parquet file; the first has number 1."""
    arrow: Any = importlib.import_module("pyarrow")
    names = set(wanted)
    places = [at for at, name in enumerate(header) if name in names]
    done = 0
    try:
        batches = _parquet(file).iter_batches(batch_size=BATCH_ROWS, columns=[header[at] for at in places])
        for batch in batches:
            texts = [[""] * batch.num_rows for _ in header]
            for place, column in zip(places, batch.columns, strict=True):
                texts[place] = _texts(arrow, column)
            for fields in zip(*texts, strict=True):
                done += 1
                yield Row(done, fields)
    except (arrow.ArrowException, OSError) as error:
        raise _unreadable(f"the Parquet file breaks off after row {done}: {str(error)[:100]}") from None


def _texts(arrow: Any, column: Any) -> list[str]:
    """Return a column as CSV would write it; instants finer than a microsecond lose what is finer."""
    if arrow.types.is_timestamp(column.type):
        column = column.cast(arrow.timestamp("us", column.type.tz), safe=False)
    return [_text(value) for value in column.to_pylist()]


def _text(value: object) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def _unreadable(detail: str) -> InvalidRequest:
    return InvalidRequest("history_unreadable", detail)
