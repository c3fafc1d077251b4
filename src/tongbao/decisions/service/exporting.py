"""Exporting the decision log to Parquet, for DuckDB, pandas and whoever learns outside of this house.

Two files: ``decisions.parquet`` has one row a decision with what was chosen, its probability, common facts of the
context as columns and what came of it; ``candidates.parquet`` one row a candidate, joined by ``decision_id``. Both are
written in row groups while pages are read, so memory is bounded; they get their names when both are whole, so
nobody ever reads half a file. Columns are listed in ``service.export_columns``. The log holds no personal data; texts that
could be such all the same (addresses, numbers of accounts and telephones) are left out.
"""

import asyncio
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound, Unavailable
from tongbao.decisions.schema.log import Decision, Range
from tongbao.decisions.service import export_columns as columns
from tongbao.decisions.store import log as store

DECISIONS_FILE = "decisions.parquet"
CANDIDATES_FILE = "candidates.parquet"
PAGE_MAX = 2_000
GROUP_DECISIONS_MAX = 20_000
GROUP_CANDIDATES_MAX = 100_000
"""A row group is written when either is reached."""
COMPRESSION = "zstd"


class Progress(NamedTuple):
    """How far an export is: decisions written or waiting to be, and the share of the time that was walked along."""

    decisions_count: int
    share: float


class Exported(NamedTuple):
    """What was written."""

    decisions_file: Path
    candidates_file: Path
    decisions_count: int
    candidates_count: int
    bytes_count: int


class ExportOrder(NamedTuple):
    """What is exported: decisions of a range, with what the outcome of this name stands at now.

    ``replace``: whether files of an earlier export may give way.
    """

    of: Range
    folder: Path
    outcome: str = "approved"
    replace: bool = False


class Exporting:
    """Reads the log in pages, each in a transaction of its own; writes nothing but the two files."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def export(
        self, order: ExportOrder, told: Callable[[Progress], None] = lambda _progress: None
    ) -> Exported:
        """Return what was written to the folder, which is made where it is missing.

        Raises NotFound ``parquet_missing`` without pyarrow, InvalidRequest ``export_range_invalid``, Conflict
        ``export_exists``, Unavailable ``export_failed`` where the folder cannot be written. On any failure, a canceled
        task among them, the files are what they were before.
        """
        arrow = _arrow()
        if not order.of.from_at < order.of.to_at:
            raise InvalidRequest("export_range_invalid", "an export begins before it ends")
        paths = order.folder / DECISIONS_FILE, order.folder / CANDIDATES_FILE
        taken = [str(path) for path in paths if path.exists()]
        if taken and not order.replace:
            raise Conflict("export_exists", f"{', '.join(taken)} exists: name another folder or replace it")
        try:
            order.folder.mkdir(parents=True, exist_ok=True)
            with _drafts(paths) as drafts:
                counts = await self._written(arrow, drafts, order, told)
        except OSError as error:
            raise Unavailable(
                "export_failed", f"{order.folder} cannot be written: {error.strerror or error}"
            ) from error
        size = sum(path.stat().st_size for path in paths)
        return Exported(*paths, *counts, size)

    async def _written(
        self, arrow: Any, drafts: Sequence[Path], order: ExportOrder, told: Callable[[Progress], None]
    ) -> tuple[int, int]:
        """Write both files and return how many rows each has."""
        of = order.of
        known_at = self._clock.now()
        after = None
        with ExitStack() as stack:
            decisions, candidates = (
                stack.enter_context(_Table(arrow, draft, kind, limit))
                for draft, kind, limit in zip(
                    drafts,
                    (columns.DECISIONS, columns.CANDIDATES),
                    (GROUP_DECISIONS_MAX, GROUP_CANDIDATES_MAX),
                    strict=True,
                )
            )
            while True:
                async with self._database.connection() as connection:
                    page = await store.page(connection, of, after, PAGE_MAX)
                    standing = await store.standing(connection, page, order.outcome, known_at) if page else {}
                if page:
                    await asyncio.to_thread(_add, decisions, candidates, page, standing, order.outcome)
                    told(Progress(decisions.count, _share(of, page[-1].decided_at)))
                if len(page) < PAGE_MAX:
                    break
                after = (page[-1].id, page[-1].book_id)
        return decisions.count, candidates.count


class _Table:
    """One Parquet file that grows by row groups; rows wait as Arrow arrays, which are small."""

    def __init__(self, arrow: Any, path: Path, kind: Sequence[columns.Column], limit: int) -> None:
        self._arrow = arrow
        self._kind = kind
        self._limit = limit
        self._schema = arrow.schema([(each.name, _type(arrow, each.type)) for each in kind])
        self._path = path
        self._writer: Any = None
        self._waiting: list[Any] = []
        self.count = 0

    def __enter__(self) -> "_Table":
        parquet: Any = importlib.import_module("pyarrow.parquet")
        self._writer = parquet.ParquetWriter(self._path, self._schema, compression=COMPRESSION)
        return self

    def __exit__(self, failed: object, _error: object, _trace: object) -> None:
        try:
            if failed is None:
                self._flush()
        finally:
            self._writer.close()

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Take rows in; write a row group where enough wait."""
        arrays = [
            self._arrow.array([row[place] for row in rows], type=field.type)
            for place, field in enumerate(self._schema)
        ]
        self._waiting.append(self._arrow.RecordBatch.from_arrays(arrays, schema=self._schema))
        self.count += len(rows)
        if sum(each.num_rows for each in self._waiting) >= self._limit:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            table = self._arrow.Table.from_batches(self._waiting, schema=self._schema)
            self._writer.write_table(table, row_group_size=table.num_rows)
            self._waiting = []


def _add(
    decisions: _Table,
    candidates: _Table,
    page: Sequence[Decision],
    standing: dict[Any, store.Standing],
    outcome: str,
) -> None:
    """Add a page to both files; runs in a thread."""
    decisions.add(
        [
            columns.decision_row(each, columns.Known(outcome, *standing.get(each.id, _UNKNOWN)))
            for each in page
        ]
    )
    candidates.add([row for each in page for row in columns.candidate_rows(each)])


_UNKNOWN = (None, "", None)


@contextmanager
def _drafts(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield files beside ``paths`` that take their names at the end, and are removed where anything fails."""
    drafts = [path.with_name(f"{path.name}.partial") for path in paths]
    try:
        yield drafts
        for draft, path in zip(drafts, paths, strict=True):
            draft.replace(path)
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)


def _arrow() -> Any:
    if importlib.util.find_spec("pyarrow") is None:
        raise NotFound("parquet_missing", "writing Parquet needs pyarrow: pip install tongbao[parquet]")
    return importlib.import_module("pyarrow")


def _type(arrow: Any, name: str) -> Any:
    """Return the Arrow type of a column; instants are microseconds of UTC."""
    return arrow.timestamp("us", tz="UTC") if name == columns.INSTANT else getattr(arrow, name)()


def _share(of: Range, at: datetime) -> float:
    walked = (at - of.from_at) / max(of.to_at - of.from_at, timedelta(microseconds=1))
    return min(max(walked, 0.0), 1.0)
