"""The door to PostgreSQL: what each failure means, back-pressure, time-outs, reconnecting, snapshots, a full disk."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from tongbao.core import db, migrate
from tongbao.core.clock import RealClock
from tongbao.core.db import Database, Failure, failure_of, translate
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import (
    AppError,
    Conflict,
    InvalidRequest,
    InvariantBroken,
    OutcomeUnknown,
    Unavailable,
)
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.schema import Account, Outcome, Transfer
from tongbao.ledger.service.ledger import Ledger

RAISE = "DO $do$ BEGIN RAISE EXCEPTION SQLSTATE '{}'; END $do$"


@pytest.mark.parametrize(
    ("state", "failure", "error"),
    [
        ("40001", Failure.RETRY, Unavailable),
        ("40P01", Failure.RETRY, Unavailable),
        ("55P03", Failure.RETRY, Unavailable),
        ("40003", Failure.LOST, OutcomeUnknown),
        ("25P03", Failure.LOST, OutcomeUnknown),
        ("25P04", Failure.LOST, OutcomeUnknown),
        ("57P01", Failure.LOST, OutcomeUnknown),
        ("57P02", Failure.LOST, OutcomeUnknown),
        ("57P03", Failure.LOST, OutcomeUnknown),
        ("57P05", Failure.LOST, OutcomeUnknown),
        ("08006", Failure.LOST, OutcomeUnknown),
        ("53100", Failure.BUSY, Unavailable),
        ("53200", Failure.BUSY, Unavailable),
        ("53300", Failure.BUSY, Unavailable),
        ("57014", Failure.BUSY, Unavailable),
        ("23505", Failure.DUPLICATE, InvariantBroken),
        ("22003", Failure.OVERFLOW, InvalidRequest),
        ("23514", Failure.BUG, InvariantBroken),
        ("42P01", Failure.BUG, InvariantBroken),
        ("XX000", Failure.BUG, InvariantBroken),
        ("XX001", Failure.BUG, InvariantBroken),
    ],
)
async def test_translate_what_the_server_says_gives_the_kind_by_what_can_be_done(
    database: Database, state: str, failure: Failure, error: type[AppError]
) -> None:
    with pytest.raises(error) as caught:
        async with database.connection() as connection:
            await connection.execute(RAISE.format(state))
    assert isinstance(caught.value.__cause__, asyncpg.PostgresError)
    assert failure_of(caught.value.__cause__) is failure


@pytest.mark.parametrize(
    ("raised", "failure"),
    [
        (ConnectionResetError(), Failure.LOST),
        (TimeoutError(), Failure.LOST),
        (asyncpg.InterfaceError("closed"), Failure.LOST),
        (asyncpg.InternalClientError("cannot switch to state"), Failure.LOST),
        (ValueError(), Failure.BUG),
        (KeyError(), Failure.BUG),
    ],
)
def test_failure_of_what_the_driver_says_is_lost_or_a_bug(raised: Exception, failure: Failure) -> None:
    assert failure_of(raised) is failure


def test_translate_an_error_of_ours_returns_it() -> None:
    error = Conflict("taken", "taken")
    assert translate(error) is error


async def test_execute_with_an_argument_the_driver_cannot_send_is_not_taken_for_a_lost_connection(
    database: Database,
) -> None:
    with pytest.raises(AppError) as caught:
        async with database.connection() as connection:
            await connection.fetch("SELECT $1::bigint[]", [2**70])
    assert not isinstance(caught.value, OutcomeUnknown)


async def fetch(database: Database, *statements: str) -> None:
    async with database.connection() as connection:
        for statement in statements:
            await connection.fetch(statement)


async def test_connection_with_none_free_in_time_is_unavailable(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "ACQUIRE_S_MAX", 0.1)
    async with Database(dsn, pool_size=1) as small, small.connection():
        with pytest.raises(Unavailable, match="database_busy"):
            async with small.connection():
                pass
    async with Database(dsn, pool_size=1) as small, small.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_connection_of_a_closed_database_is_unavailable(dsn: str) -> None:
    closed = Database(dsn)
    async with closed:
        pass
    with pytest.raises(Unavailable, match="database_closed"):
        async with closed.connection():
            pass


async def test_open_without_a_server_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="database_down"):
        async with Database(f"postgresql://tongbao@/tongbao?host={tmp_path}&port=5432"):
            pass


async def test_statement_that_takes_too_long_is_cut_and_the_connection_lives(dsn: str) -> None:
    async with Database(dsn, pool_size=1, statement_timeout_ms=50) as hasty:
        with pytest.raises(Unavailable, match="database_busy"):
            await fetch(hasty, "SELECT pg_sleep(5)")
        async with hasty.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_connection_that_the_server_ended_is_unknown_and_replaced(dsn: str) -> None:
    async with Database(dsn, pool_size=1) as alone:
        with pytest.raises(OutcomeUnknown, match="database_lost"):
            await fetch(alone, "SELECT pg_terminate_backend(pg_backend_pid())", "SELECT pg_sleep(5)")
        async with alone.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_transaction_that_raises_is_rolled_back(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS public.marks (mark integer)")

    async def fail() -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO public.marks VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM public.marks WHERE mark = 1") == 0


@pytest.mark.parametrize(("snapshot", "seen_later"), [(True, 0), (False, 1)])
async def test_transaction_with_a_snapshot_sees_one_instant(
    database: Database, snapshot: bool, seen_later: int
) -> None:
    async with database.connection() as other:
        await other.execute("CREATE TABLE IF NOT EXISTS public.marks (mark integer)")
        await other.execute("DELETE FROM public.marks")
        async with database.transaction(snapshot=snapshot, read_only=True) as connection:
            assert await connection.fetchval("SELECT count(*) FROM public.marks") == 0
            await other.execute("INSERT INTO public.marks VALUES (2)")
            assert await connection.fetchval("SELECT count(*) FROM public.marks") == seen_later


async def test_transaction_for_reading_refuses_to_write(database: Database) -> None:
    with pytest.raises(InvariantBroken, match="25006"):
        async with database.transaction(read_only=True) as connection:
            await connection.execute("CREATE TABLE public.forbidden (x integer)")


class Door:
    """A socket that counts who knocks; shut it turns everybody away, open it leads to the server."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self.shut = True
        self.knocks = 0
        self.at_once = self.at_once_max = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.knocks += 1
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        await asyncio.sleep(0.005)
        self.at_once -= 1
        if self.shut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_unix_connection(self._socket)
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer), return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
    finally:
        writer.transport.abort()


@pytest.fixture
async def door(dsn: str) -> AsyncIterator[tuple[Door, Database]]:
    with tempfile.TemporaryDirectory(prefix="tongbao-test-") as folder:
        parts = parse_qs(urlsplit(dsn).query)
        name = f".s.PGSQL.{parts['port'][0]}"
        made = Door(f"{parts['host'][0]}/{name}")
        server = await asyncio.start_unix_server(made.serve, Path(folder) / name)
        yield made, Database(dsn.replace(parts["host"][0], folder))
        server.close()
        await asyncio.sleep(0.02)


async def test_dedicated_while_the_server_is_down_knocks_once_at_a_time(
    door: tuple[Door, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "CONNECT_S_MAX", 0.6)
    monkeypatch.setattr(db, "KNOCK_S", 0.05)
    counter, reached = door
    began = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*(reached.dedicated("herd") for _ in range(50)), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert asyncio.get_running_loop().time() - began < 3
    assert counter.at_once_max == 1
    assert 1 < counter.knocks <= 20


async def test_dedicated_when_the_server_comes_back_connects_everybody(
    door: tuple[Door, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "KNOCK_S", 0.02)
    counter, reached = door
    waiting = [asyncio.create_task(reached.dedicated("herd")) for _ in range(20)]
    await asyncio.sleep(0.2)
    assert not any(task.done() for task in waiting)
    counter.shut = False
    connections = await asyncio.gather(*waiting)
    assert counter.at_once_max == 1
    for connection in connections:
        await connection.close()


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A file system of a given size in memory; needs root."""
    folder = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", folder],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"a small disk needs the right to mount: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


def fill(disk: Path, left_bytes: int = 0) -> Path:
    """Fill a disk with one file; deleting it gives the room back."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - left_bytes)
    return filler


async def open_accounts(ledger: Ledger) -> tuple[Account, Account]:
    book = await ledger.accounts.open_book("disk", "empty", "Disk")
    first = await ledger.accounts.open_account(book.book_id, "from", "CNY")
    return first, await ledger.accounts.open_account(book.book_id, "to", "CNY")


def bulk(ids: IdFactory, sides: tuple[Account, Account], count: int) -> list[Transfer]:
    debit, credit = sides
    return [
        Transfer(
            key=ids.uuid(),
            book_id=debit.book_id,
            debit_account_id=debit.account_id,
            credit_account_id=credit.account_id,
            amount_minor=1,
            asset_id=debit.asset_id,
            code="disk",
            reference="r" * 150,
        )
        for _ in range(count)
    ]


async def check_books(ledger: Ledger, sides: tuple[Account, Account], posted: int) -> None:
    await ledger.sealing.seal_all()
    report = await ledger.verifying.verify("disk")
    assert report.findings == ()
    assert report.transfer_count == posted
    assert (await ledger.accounts.account(sides[1].book_id, sides[1].account_id)).posted_minor == posted


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk needs the right to mount")
async def test_post_with_the_tables_disk_full_is_unavailable_and_works_again_after(
    server: EmbeddedServer,
) -> None:
    admin = await asyncpg.connect(server.dsn())
    with small_disk("64m") as disk:
        room = disk / "tables"
        room.mkdir(mode=0o700)
        owner = server.status().data_dir.stat()
        os.chown(room, owner.st_uid, owner.st_gid)
        await admin.execute(f"CREATE TABLESPACE tight LOCATION '{room}'")
        await admin.execute("CREATE DATABASE tight")
        await admin.execute("ALTER DATABASE tight SET default_tablespace = tight")
        dsn = server.dsn("tight")
        await migrate.upgrade(dsn)
        ids = IdFactory(RealClock())
        async with (
            Database(dsn) as database,
            Ledger(database, RealClock(), Metrics(), ids, retry_s=0.5) as ledger,
        ):
            sides = await open_accounts(ledger)
            await ledger.posting.post(bulk(ids, sides, 500))
            filler = fill(disk)
            wanted = bulk(ids, sides, 8_000)
            with pytest.raises(Unavailable, match="database_busy") as caught:
                await ledger.posting.post(wanted)
            assert caught.value.retry_after_s > 0
            assert (await ledger.accounts.account(sides[1].book_id, sides[1].account_id)).posted_minor == 500
            filler.unlink()
            answers = await ledger.posting.post(wanted)
            assert {answer.outcome for answer in answers} == {Outcome.POSTED}
            await check_books(ledger, sides, 8_500)
        await admin.execute("DROP DATABASE tight WITH (FORCE)")
        await admin.execute("DROP TABLESPACE tight")
        await admin.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk needs the right to mount")
async def test_post_with_the_whole_disk_full_loses_nothing_and_works_after_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(db, "CONNECT_S_MAX", 1.0)
    conf = {"shared_buffers": "16MB", "min_wal_size": "32MB", "max_wal_size": "64MB", "wal_recycle": "off"}
    ids = IdFactory(RealClock())
    with small_disk("400m") as disk:
        server = EmbeddedServer(disk / "postgres", conf=conf)
        server.start()
        try:
            await migrate.upgrade(server.dsn())
            async with (
                Database(server.dsn()) as database,
                Ledger(database, RealClock(), Metrics(), ids, retry_s=0.5) as ledger,
            ):
                sides = await open_accounts(ledger)
                filler = fill(disk, left_bytes=4_000_000)
                batches = [bulk(ids, sides, 4_000) for _ in range(6)]
                answers = await asyncio.gather(
                    *(ledger.posting.post(batch) for batch in batches), return_exceptions=True
                )
                assert all(isinstance(answer, list | Unavailable | OutcomeUnknown) for answer in answers)
                assert any(isinstance(answer, AppError) for answer in answers)
                filler.unlink()
                await asyncio.to_thread(server.start)
                for batch, before in zip(batches, answers, strict=True):
                    after = await ledger.posting.post(batch)
                    assert all(answer.accepted for answer in after)
                    if isinstance(before, list):
                        assert {answer.outcome for answer in after} == {Outcome.EXISTS}
                await check_books(ledger, sides, 24_000)
        finally:
            server.stop()
