"""Importing files of transfers: every line ends as posted, exists or refused, and none is lost.

Lines are posted in the order of the file, in chunks; while one chunk is being posted, the next is read and
understood in a worker thread. A line without a key of its own gets one from the import id and its number, so the
same file can be imported again, also after a crash half-way: what stands already is found as ``exists``.

Refused lines are written to ``<file>.refused.csv`` with reason and key. That list, mended, is a file of transfers
itself, and its keys tie it to the first import; a changed copy of the first file would be another import.
"""

import asyncio
import contextlib
import functools
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.errors import InvariantBroken, Unavailable
from tongbao.ledger import transfer_file, transfer_rows
from tongbao.ledger.errors import BadTransferFile
from tongbao.ledger.schema import (
    GROUP_SIZE_MAX,
    Outcome,
    PostResult,
    Transfer,
)
from tongbao.ledger.service.account_names import AccountNames
from tongbao.ledger.service.accounts import Accounts
from tongbao.ledger.service.posting import Posting
from tongbao.ledger.service.refused_lines import RefusedFile, RefusedLine
from tongbao.ledger.transfer_file import Columns, Problem, Row

FIRST_REFUSED_MAX = 20
REPEATS_MAX = 10


class Progress(NamedTuple):
    """How far an import is; ``bytes_done`` counts what is settled, not what is merely read."""

    lines: int
    bytes_done: int
    bytes_total: int
    posted: int
    exists: int
    refused: int


class AssetTotal(msgspec.Struct, frozen=True):
    """What an import debited in one asset, in minor units: posted now, and found posted before."""

    asset: str
    scale: int
    posted_minor: int
    exists_minor: int


class ImportReport(msgspec.Struct, frozen=True):
    """What became of a file; ``lines == posted + exists + refused`` always."""

    import_id: UUID
    lines: int
    posted: int
    exists: int
    refused: int
    refusals: dict[str, int]
    first_refused: tuple[RefusedLine, ...]
    refused_file: Path | None
    totals: tuple[AssetTotal, ...]
    seconds: float


class _Chunk(NamedTuple):
    """Rows that are posted together, and how the lines around them bear on their groups."""

    rows: list[Row]
    bytes_done: int
    oversize: str
    after_unreadable: bool


class Importing:
    """Imports files through a ledger's accounts and posting."""

    def __init__(self, accounts: Accounts, posting: Posting) -> None:
        self._accounts = accounts
        self._posting = posting

    async def import_file(
        self,
        path: Path,
        *,
        create_accounts: bool = False,
        import_id: UUID | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> ImportReport:
        """Post every line of a CSV or Parquet file (``ledger.transfer_file``) and report on each refused one.

        ``create_accounts`` opens unknown books (template ``empty``) and accounts (unlimited, credit side) on the
        way; without it such a line is refused. ``import_id`` replaces the one derived from the file's content.
        Repeatable at any time, also after a failure. ``on_progress`` is called after each chunk.

        Raises BadTransferFile for a file that cannot be imported at all, NotFound ``parquet_missing``, and what
        ``Posting.post`` raises after some repeats: then run it again.
        """
        begun = time.perf_counter()
        with _opened(path) as file:
            if import_id is None:
                digest = await asyncio.to_thread(hashlib.file_digest, file, "sha256")
                import_id = transfer_file.import_id_of(digest.digest())
                file.seek(0)
            source = transfer_rows.open_rows(file, path)
            with RefusedFile(path, source.columns, import_id) as refused:
                run = _Run(self._accounts, self._posting, source.columns, import_id, refused)
                await run.all(
                    _chunks(source), create_accounts, _told(on_progress, os.fstat(file.fileno()).st_size)
                )
        return run.report(import_id, time.perf_counter() - begun)


class _Run:
    """One import on its way: the accounts known by name, and the counts."""

    def __init__(
        self, accounts: Accounts, posting: Posting, columns: Columns, import_id: UUID, refused: RefusedFile
    ) -> None:
        self._names = AccountNames(accounts)
        self._posting = posting
        self._columns = columns
        self._import_id = import_id
        self._refused = refused
        self._outcomes: Counter[Outcome] = Counter()
        self._refusals: Counter[str] = Counter()
        self._first: list[RefusedLine] = []
        self._sums: dict[int, list[int]] = {}
        self._lines = 0

    async def all(
        self, chunks: Iterator[_Chunk], create: bool, tell: Callable[[int, int, Counter[Outcome]], None]
    ) -> None:
        """Post chunk after chunk, in order, understanding the next while one is being posted."""
        posting: asyncio.Task[None] | None = None
        try:
            while True:
                chunk = await asyncio.to_thread(next, chunks, None)
                if chunk is None:
                    break
                names = transfer_file.names_in(chunk.rows, self._columns)
                await self._names.find(names, create=create)
                answers = await asyncio.to_thread(self._understood, chunk)
                if posting is not None:
                    await posting
                posting = asyncio.create_task(self._post(chunk, answers, tell))
            if posting is not None:
                await posting
        finally:
            if posting is not None and not posting.done():
                posting.cancel()
                await asyncio.gather(posting, return_exceptions=True)

    def report(self, import_id: UUID, seconds: float) -> ImportReport:
        """Return the outcome; raise InvariantBroken ``import_lost_lines`` where the counts do not add up."""
        if (
            sum(self._outcomes.values()) != self._lines
            or sum(self._refusals.values()) != self._outcomes[Outcome.REFUSED]
        ):
            raise InvariantBroken(
                "import_lost_lines", f"{self._lines} lines, outcomes {dict(self._outcomes)}"
            )
        assets = self._names.assets
        totals = [
            AssetTotal(*assets[asset_id], posted_minor, exists_minor)
            for asset_id, (posted_minor, exists_minor) in self._sums.items()
        ]
        return ImportReport(
            import_id=import_id,
            lines=self._lines,
            posted=self._outcomes[Outcome.POSTED],
            exists=self._outcomes[Outcome.EXISTS],
            refused=self._outcomes[Outcome.REFUSED],
            refusals=dict(self._refusals.most_common()),
            first_refused=tuple(self._first),
            refused_file=self._refused.path if self._outcomes[Outcome.REFUSED] else None,
            totals=tuple(sorted(totals, key=lambda total: total.asset)),
            seconds=seconds,
        )

    def _understood(self, chunk: _Chunk) -> list[Transfer | Problem]:
        answers = transfer_file.draft(chunk.rows, self._columns, self._names.places, self._import_id)
        if self._columns.group is None:
            return answers
        return transfer_file.link(
            chunk.rows,
            answers,
            self._columns,
            oversize=chunk.oversize,
            after_unreadable=chunk.after_unreadable,
        )

    async def _post(
        self,
        chunk: _Chunk,
        answers: list[Transfer | Problem],
        tell: Callable[[int, int, Counter[Outcome]], None],
    ) -> None:
        """Post what can be posted of a chunk and settle every one of its lines."""
        transfers = [answer for answer in answers if type(answer) is Transfer]
        results = iter(await self._insist(transfers))
        for row, answer in zip(chunk.rows, answers, strict=True):
            if type(answer) is Transfer:
                result = next(results)
                self._outcomes[result.outcome] += 1
                if result.refusal is None:
                    sums = self._sums.setdefault(answer.asset_id, [0, 0])
                    sums[result.outcome is Outcome.EXISTS] += result.amount_minor
                else:
                    self._refuse(row, Problem(result.refusal, result.detail))
            else:
                assert isinstance(answer, Problem)
                self._outcomes[Outcome.REFUSED] += 1
                self._refuse(row, answer)
        self._lines += len(chunk.rows)
        tell(self._lines, chunk.bytes_done, self._outcomes)

    async def _insist(self, transfers: list[Transfer]) -> list[PostResult]:
        """Post, repeating with the same keys while the ledger is too busy to take them."""
        for _ in range(REPEATS_MAX):
            try:
                return await self._posting.post(transfers)
            except Unavailable as busy:
                await asyncio.sleep(busy.retry_after_s)
        return await self._posting.post(transfers)

    def _refuse(self, row: Row, problem: Problem) -> None:
        refusal = str(problem.refusal)
        self._refusals[refusal] += 1
        line = RefusedLine(row.line_no, refusal, problem.detail)
        if len(self._first) < FIRST_REFUSED_MAX:
            self._first.append(line)
        self._refused.write(row, line)


def _chunks(source: transfer_rows.Source) -> Iterator[_Chunk]:
    """Yield the rows of a file so that no group is cut, except one too large, which is remembered as such.

    The group at the end of a block waits for the next block, since it may go on there.
    """
    columns = source.columns
    waiting: list[Row] = []
    oversize, after_unreadable = "", False
    bytes_done = 0
    for block in source.blocks:
        rows = [*waiting, *block.rows] if waiting else block.rows
        group = columns.group_of(rows[-1])
        size = _run_length(rows, columns, group) if group else 0
        goes_on = size == len(rows) and group == oversize
        cut = len(rows) if size > GROUP_SIZE_MAX or goes_on else len(rows) - size
        waiting = rows[cut:]
        bytes_done = block.bytes_done
        if cut:
            yield _Chunk(rows[:cut], bytes_done, oversize, after_unreadable)
            oversize = group if cut == len(rows) and group else ""
            after_unreadable = rows[cut - 1].problem is not None
    if waiting:
        yield _Chunk(waiting, bytes_done, oversize, after_unreadable)


def _run_length(rows: list[Row], columns: Columns, group: str) -> int:
    """Return how many rows at the end name this group."""
    for count, row in enumerate(reversed(rows)):
        if columns.group_of(row) != group:
            return count
    return len(rows)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadTransferFile(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield file


def _told(
    on_progress: Callable[[Progress], None] | None, bytes_total: int
) -> Callable[[int, int, Counter[Outcome]], None]:
    """Return how the run reports its progress."""
    return functools.partial(_tell, on_progress, bytes_total)


def _tell(
    on_progress: Callable[[Progress], None] | None,
    bytes_total: int,
    lines: int,
    bytes_done: int,
    outcomes: Counter[Outcome],
) -> None:
    if on_progress is not None:
        counts = (outcomes[Outcome.POSTED], outcomes[Outcome.EXISTS], outcomes[Outcome.REFUSED])
        on_progress(Progress(lines, bytes_done, bytes_total, *counts))
