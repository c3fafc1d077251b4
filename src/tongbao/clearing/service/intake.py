"""Intake: files of channels and banks are read into lines, each line once.

A file is known by the digest of its source and its bytes: sent again, it answers what was found the first time; one that was
refused is tried again. Its lines are written in commits of ``CHUNK`` and keep their own keys, so that a reading that died goes on from the start and counts nothing twice, and a
line that another file brought already is counted as repeated. A file that ends in the middle, or whose own totals differ from
its lines, is kept with its problems, which the close of the day shows.

What an account's bank says is handed on to payouts (``hear``) before its file is told to be read, whichever way it came here.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from tongbao.clearing.adapters import opening
from tongbao.clearing.adapters.bank_notices import NOTICE_BYTES_MAX
from tongbao.clearing.ports import FileOpener
from tongbao.clearing.schema.lines import (
    FILE_BYTES_MAX,
    FileState,
    Format,
    Header,
    Line,
    Refusal,
    Side,
    SourceFile,
    SourceTerms,
    Tells,
)
from tongbao.clearing.service.intake_tally import OF_OTHERS, TRUNCATED, Tally
from tongbao.clearing.store import lines as store
from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, LimitExceeded, NotFound, Unavailable
from tongbao.core.ids import IdFactory

CHUNK = 10_000
WRITERS = 2
"""Commits of one file under way at once: the database builds its indexes beside us."""
_TURNS_MAX = 5
_READ_BYTES = 1 << 20
_HEARD = frozenset({Format.CAMT_052, Format.CAMT_053, Format.CAMT_054})
JOB = "job:bank"

Progress = Callable[[int], None]
"""Hears how many lines of a file were read so far."""
Hear = Callable[[str, bytes], Awaitable[int]]
"""Takes what a bank said, by the name of its account here; repeatable. Once it returned, nothing of it is lost."""


class Taken(msgspec.Struct, frozen=True):
    """A file as it stands, and whether its bytes had come before."""

    file: SourceFile
    is_repeat: bool


class Intake:
    """Takes files in. One object a process; several processes may take the same file at once."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        open_file: FileOpener = opening.open_file,
        hear: Hear | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._open_file = open_file
        self._hear = hear

    async def take(
        self,
        path: Path,
        terms: SourceTerms,
        actor: str,
        *,
        name: str = "",
        on: date | None = None,
        progress: Progress | None = None,
    ) -> Taken:
        """Read a file; return what became of it. Repeatable at any time, also after a crash.

        ``on``: the day that the file is of, where it does not say so itself; without it its name may.
        Raises LimitExceeded ``file_too_large``, InvalidRequest ``file_unreadable``, ``format_unknown``, ``file_too_long`` (a file
        of more than ten million lines is to be split).
        """
        digest, size = await asyncio.to_thread(_digest, path, terms.source)
        kept, is_known = await self._kept(name or path.name, terms, digest, size, actor)
        if kept.file.state is FileState.READ:
            return Taken(kept.file, is_repeat=is_known)
        # What was refused is tried again: the agreement with its source may have been corrected since.
        with path.open("rb") as stream:
            tally = Tally(terms, on)
            header = await self._read(stream, tally, terms, kept, progress or _silent)
        async with self._database.connection() as connection:
            new = await store.count_of(connection, kept.number)
        file = tally.finished(kept, header, new)
        if actor != JOB:  # What the bank handed over itself, payouts have heard before.
            await self._tell(path, file, terms)
        return Taken(await self._put(file), is_repeat=False)

    async def take_statement(self, source: str, kind: str, content: bytes) -> None:
        """Take a statement in that a bank handed over itself, where such statements were agreed for its account; repeatable.

        ``kind``: of the message, as ISO 20022 calls it. Payouts have heard it already.
        """
        terms = (await self.sources()).get(source)
        if terms is None or terms.side is not Side.BANK or terms.format.value != kind:
            return
        with tempfile.TemporaryDirectory(prefix="statement-") as folder:
            path = Path(folder) / kind
            await asyncio.to_thread(path.write_bytes, content)
            await self.take(path, terms, JOB, name=f"{source} {kind}")

    async def get(self, file_id: UUID) -> SourceFile:
        """Return a file; raise NotFound ``file_unknown``."""
        async with self._database.connection() as connection:
            kept = await store.by_id(connection, file_id)
        if kept is None:
            raise NotFound("file_unknown", "there is no such file")
        return kept.file

    async def page(
        self, source: str | None = None, before: UUID | None = None, limit: int = 50
    ) -> list[SourceFile]:
        """Return files, newest first, at most 500."""
        async with self._database.connection() as connection:
            return await store.page(connection, source, before, max(1, min(limit, 500)))

    async def lines(self, file_id: UUID, after: int = 0, limit: int = 100) -> list[store.KeptLine]:
        """Return the lines that a file brought first, in order; raise NotFound ``file_unknown``."""
        async with self._database.connection() as connection:
            kept = await store.by_id(connection, file_id)
            if kept is None:
                raise NotFound("file_unknown", "there is no such file")
            return await store.of_file(connection, kept.number, after, max(1, min(limit, 1_000)))

    async def sources(self) -> dict[str, SourceTerms]:
        """Return who sends files, by name."""
        async with self._database.connection() as connection:
            return {each.source: each for each in await store.sources(connection)}

    async def source(self, name: str) -> SourceTerms:
        """Return what was agreed with a source; raise NotFound ``source_unknown``."""
        found = (await self.sources()).get(name)
        if found is None:
            raise NotFound("source_unknown", f"nobody called {name} sends files here")
        return found

    async def agree(self, terms: SourceTerms, actor: str) -> int:
        """Keep what was agreed with a source as its next version; return its number.

        Raises InvalidRequest ``source_invalid`` for a zone or name that is none.
        """
        try:
            ZoneInfo(terms.zone)
        except (KeyError, ValueError, OSError) as error:
            raise InvalidRequest("source_invalid", f"{terms.zone} is no time zone") from error
        if not terms.source or max(len(terms.source), len(terms.channel)) > 64 or terms.report_days < 0:
            raise InvalidRequest(
                "source_invalid", "a source has a name of 1 to 64 characters and no days below 0"
            )
        if terms.side is Side.BANK and (terms.channel or terms.tells is not Tells.PAYMENTS):
            raise InvalidRequest("source_invalid", "an account at a bank is of no channel")
        if terms.tells is Tells.FUNDS and terms.of_channel == terms.source:
            raise InvalidRequest(
                "source_invalid", "funds are told beside a channel's payments: name the channel"
            )
        async with self._database.transaction() as connection:
            return await store.add_source(connection, terms, self._clock.now(), actor)

    async def _kept(
        self, name: str, terms: SourceTerms, digest: bytes, size: int, actor: str
    ) -> tuple[store.KeptFile, bool]:
        """Return the file of these bytes, a new one where there is none, and whether it was there."""
        for _ in range(_TURNS_MAX):
            async with self._database.transaction() as connection:
                known = await store.by_digest(connection, digest)
                if known is not None:
                    return known, True
                file = SourceFile(
                    id=self._ids.uuid(),
                    name=name[:200],
                    digest=digest,
                    size_bytes=size,
                    header=_header(terms),
                    state=FileState.READING,
                    received_at=self._clock.now(),
                    received_by=actor,
                )
                number = await store.add_file(connection, file)
            if number is not None:
                return store.KeptFile(number, file), False
        raise Unavailable("intake_busy", "many files come in at once; repeat")

    async def _read(
        self, stream: BinaryIO, tally: Tally, terms: SourceTerms, kept: store.KeptFile, progress: Progress
    ) -> Header:
        """Write the lines of a file chunk by chunk; return what it says of itself."""
        loop = asyncio.get_running_loop()
        try:
            # One thread for all of a file: a parser of XML keeps its names by thread, and dies where it wanders between them.
            with ThreadPoolExecutor(max_workers=1, thread_name_prefix="intake") as thread:
                reader = await loop.run_in_executor(thread, self._open_file, stream, terms)
                chunks = _Chunks(thread, iter(reader))
                await self._write(chunks, tally, kept.number, progress)
        except InvalidRequest as error:
            refused = msgspec.structs.replace(kept.file, state=FileState.REFUSED, problems=(error.code,))
            async with self._database.transaction() as connection:
                await store.drop_lines(connection, kept.number)
                await store.put_file(connection, refused)
            raise
        return reader.header

    async def _tell(self, path: Path, file: SourceFile, terms: SourceTerms) -> None:
        """Hand on what a bank said, before its file counts as read: whoever is killed in between tells it again."""
        is_heard = terms.side is Side.BANK and terms.format in _HEARD and file.size_bytes <= NOTICE_BYTES_MAX
        # Of a statement of somebody else's account nothing is ours.
        is_nothing = OF_OTHERS in file.problems and not file.line_count
        if self._hear is not None and is_heard and not is_nothing and TRUNCATED not in file.problems:
            await self._hear(terms.source, await asyncio.to_thread(path.read_bytes))

    async def _write(self, chunks: "_Chunks", tally: Tally, number: int, progress: Progress) -> None:
        """Write lines in commits, ``WRITERS`` at a time; the next ones are read while the database takes those before.

        Their order does not matter: a line is known by its key, and the file is told to be read after the last of them.
        """
        ahead = chunks.next()
        writing: set[asyncio.Task[None]] = set()
        try:
            while chunk := await ahead:
                lines = tally.sort(chunk)
                ahead = chunks.next()
                if len(writing) >= WRITERS:
                    done, writing = await asyncio.wait(writing, return_when=asyncio.FIRST_COMPLETED)
                    _raise_first(done)
                if lines:
                    writing.add(asyncio.create_task(self._add(tally.source, number, lines)))
                progress(tally.line_count + tally.refused_count)
            if writing:
                done, writing = await asyncio.wait(writing)
                _raise_first(done)
        finally:
            ahead.cancel()
            for task in writing:
                task.cancel()
            await asyncio.gather(ahead, *writing, return_exceptions=True)

    async def _add(self, source: str, number: int, lines: list[tuple[Line, date]]) -> None:
        async with self._database.transaction() as connection:
            await store.add_lines(connection, source, number, lines)

    async def _put(self, file: SourceFile) -> SourceFile:
        async with self._database.transaction() as connection:
            await store.put_file(connection, file)
        return file


class _Chunks:
    """Reads a file some lines at a time, in a thread of its own."""

    def __init__(self, thread: ThreadPoolExecutor, entries: Iterator[Line | Refusal]) -> None:
        self._thread = thread
        self._entries = entries

    def next(self) -> asyncio.Future[list[Line | Refusal]]:
        """Begin to read the next lines."""
        return asyncio.get_running_loop().run_in_executor(self._thread, _chunk, self._entries)


def _raise_first(done: set[asyncio.Task[None]]) -> None:
    for task in done:
        task.result()


def _header(terms: SourceTerms) -> Header:
    return Header(source=terms.source, format=terms.format, side=terms.side)


def _chunk(entries: Iterator[Line | Refusal]) -> list[Line | Refusal]:
    return list(islice(entries, CHUNK))


def _digest(path: Path, source: str) -> tuple[bytes, int]:
    """Return what a file of a source is known by, and its size: two sources may send the same bytes, as of a day without sales."""
    if path.stat().st_size > FILE_BYTES_MAX:
        raise LimitExceeded("file_too_large", f"a file has at most {FILE_BYTES_MAX:,} bytes")
    digest, size = hashlib.sha256(source.encode() + b"\x00"), 0
    with path.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
            size += len(block)
    return digest.digest(), size


def _silent(_count: int) -> None:
    return
