"""Importing files of transfers: every line ends as posted, exists or refused, and none is lost.

Lines are posted in the order of the file, in chunks; while one chunk is being posted, the next is read and
understood in a worker thread. A line without a key of its own gets one from the import id and its number, so the
same file can be imported again, also after a crash half-way: what stands already is found as ``exists``.

Refused lines are written to ``<file>.refused.csv`` with reason and key. That list, mended, is a file of transfers
itself, and its keys tie it to the first import; a changed copy of the first file would be another import.
"""

import asyncio
import contextlib
import csv
import functools
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from tongbao.core.errors import AppError, InvariantBroken, Unavailable
from tongbao.core.ids import uuid_text
from tongbao.ledger import transfer_file, transfer_rows
from tongbao.ledger.errors import BadTransferFile
from tongbao.ledger.schema import (
    GROUP_SIZE_MAX,
    TRANSFER_PREFIX,
    Account,
    AccountId,
    Book,
    BookId,
    Outcome,
    PostResult,
    Transfer,
)
from tongbao.ledger.service.accounts import Accounts
from tongbao.ledger.service.posting import Posting
from tongbao.ledger.transfer_file import Columns, Name, Place, Problem, Row

FIRST_REFUSED_MAX = 20
NAMES_MAX = 200_000
"""Accounts remembered by name before the memory starts afresh."""
LOOKUPS_AT_ONCE = 4
REPEATS_MAX = 10
EMPTY_TEMPLATE = "empty"


class Progress(NamedTuple):
    """How far an import is; ``bytes_done`` counts what is settled, not what is merely read."""

    lines: int
    bytes_done: int
    bytes_total: int
    posted: int
    exists: int
    refused: int


class RefusedLine(msgspec.Struct, frozen=True):
    """One refused line: its number in the file (row number in Parquet), a stable code and one sentence."""

    line_no: int
    refusal: str
    detail: str


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
            with _RefusedFile(path, source.columns, import_id) as refused:
                run = _Run(self._accounts, self._posting, source.columns, import_id, refused)
                await run.all(
                    _chunks(source), create_accounts, _told(on_progress, os.fstat(file.fileno()).st_size)
                )
        return run.report(import_id, time.perf_counter() - begun)


class _Run:
    """One import on its way: the accounts known by name, and the counts."""

    def __init__(
        self, accounts: Accounts, posting: Posting, columns: Columns, import_id: UUID, refused: "_RefusedFile"
    ) -> None:
        self._finder = _Finder(accounts)
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
                await self._finder.find(names, create=create)
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
        assets = self._finder.assets
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
        answers = transfer_file.draft(chunk.rows, self._columns, self._finder.places, self._import_id)
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


class _Finder:
    """Finds accounts by name, opening those that are missing where that is wished; remembers the answers."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._books: dict[str, Book | Problem] = {}
        self.places: dict[Name, Place | Problem] = {}
        self.assets: dict[int, tuple[str, int]] = {}

    async def find(self, names: set[Name], *, create: bool) -> None:
        """Make sure that ``places`` answers for every name: with an account, or with why there is none."""
        missing = names - self.places.keys()
        if not missing:
            return
        if len(self.places) + len(missing) > NAMES_MAX:
            # The chunk being posted holds transfers, no names: forgetting them is safe.
            self.places, self._books = {}, {}
            missing = names
        for book in sorted({name[0] for name in missing} - self._books.keys()):
            self._books[book] = await self._answer(self._book(book, create=create))
        turns = asyncio.Semaphore(LOOKUPS_AT_ONCE)

        async def one(name: Name) -> None:
            async with turns:
                self.places[name] = await self._place(name, create=create)

        # In order, so that the same file opens the same accounts in the same order.
        await asyncio.gather(*(one(name) for name in sorted(missing)))

    async def _place(self, name: Name, *, create: bool) -> Place | Problem:
        book = self._books[name[0]]
        if isinstance(book, Problem):
            return book
        account = await self._answer(self._account(book.book_id, name, create=create))
        if isinstance(account, Problem):
            return account
        self.assets[account.asset_id] = (account.asset, account.scale)
        return Place(book.book_id, AccountId(account.account_id), account.asset_id, account.scale)

    async def _book(self, code: str, *, create: bool) -> Book:
        try:
            return await self._accounts.book(code)
        except AppError:
            if not create:
                raise
        return await self._accounts.open_book(code, EMPTY_TEMPLATE, code)

    async def _account(self, book_id: BookId, name: Name, *, create: bool) -> Account:
        _, code, asset = name
        try:
            return await self._accounts.account_by_code(book_id, code, asset)
        except AppError:
            if not create:
                raise
        return await self._accounts.open_account(book_id, code, asset)

    @staticmethod
    async def _answer(asked: Any) -> Any:
        """Return what was found, or the problem where the name can never be right; let failures of parties pass."""
        try:
            return await asked
        except (Unavailable, InvariantBroken):
            raise
        except AppError as error:
            return Problem(error.code, transfer_file.shown(error.detail))


class _RefusedFile:
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

    def __enter__(self) -> "_RefusedFile":
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
