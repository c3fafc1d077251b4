"""Writing what a replay decided: one row a payment, CSV or Parquet by the ending of the file's name.

Rows go to a file beside the wanted one, which takes its name only when everything was written; whatever goes wrong before,
nothing half-written stands where somebody would read it.
"""

import csv
import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TextIO

from tongbao.core.errors import InvalidRequest, NotFound

COLUMNS = ("id", "time", "score", "tier", "reasons", "rules", "model")
SEPARATOR = ";"
BLOCK_ROWS = 8_192


class Scored(NamedTuple):
    """What was decided: chance of fraud in [0, 1], tier, codes of reasons, rules that matched, digest of the model.

    ``model`` is empty for the scorecard that judges before anything was learned.
    """

    id: str
    time: datetime
    score: float
    tier: str
    reasons: tuple[str, ...]
    rules: tuple[str, ...]
    model: str


class Writer(Protocol):
    """Takes rows in the order of the payments."""

    def write(self, row: Scored) -> None:
        """Write one row."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Open a file of decisions; it stands there once the block has ended well.

    Raises InvalidRequest ``out_invalid`` for a place where no file can be, NotFound ``parquet_missing`` without pyarrow.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise InvalidRequest("out_invalid", f"no file can be written at {path}")
    draft = path.with_name(f".{path.name}.partial")
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            writer: Writer = _ParquetWriter(draft)
        else:
            writer = _CsvWriter(draft)
        try:
            yield writer
        finally:
            writer.close()
        draft.replace(path)
    except OSError as error:
        raise InvalidRequest("out_invalid", f"{path.name} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


class _CsvWriter:
    def __init__(self, draft: Path) -> None:
        self._file: TextIO = draft.open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._csv.writerow(COLUMNS)

    def write(self, row: Scored) -> None:
        """Write one row; codes are separated by semicolons, the score has all its digits."""
        self._csv.writerow(
            (
                row.id,
                row.time.isoformat(),
                repr(row.score),
                row.tier,
                SEPARATOR.join(row.reasons),
                SEPARATOR.join(row.rules),
                row.model,
            )
        )

    def close(self) -> None:
        """Write what is left."""
        self._file.close()


class _ParquetWriter:
    def __init__(self, draft: Path) -> None:
        if importlib.util.find_spec("pyarrow") is None:
            raise NotFound("parquet_missing", "writing Parquet needs pyarrow: pip install tongbao[parquet]")
        self._arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
        text, many = self._arrow.string(), self._arrow.list_(self._arrow.string())
        types = (text, self._arrow.timestamp("us", tz="UTC"), self._arrow.float64(), text, many, many, text)
        self._schema = self._arrow.schema(list(zip(COLUMNS, types, strict=True)))
        self._writer: Any = parquet.ParquetWriter(draft, self._schema)
        self._rows: list[Scored] = []

    def write(self, row: Scored) -> None:
        """Write one row, a block at a time."""
        self._rows.append(row)
        if len(self._rows) >= BLOCK_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = [list(column) for column in zip(*self._rows, strict=True)]
        arrays = [
            self._arrow.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows = []
