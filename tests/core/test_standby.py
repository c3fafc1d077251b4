"""A primary and its synchronous standby: commits wait, a fail-over loses nothing, and processes find who takes writes."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tongbao.core import db
from tongbao.core.db import Database
from tongbao.core.embedded.standby import ReplicatedServer
from tongbao.core.errors import Conflict, InvalidRequest, OutcomeUnknown, Unavailable
from tongbao.core.standing import revision, standing

ADD = "INSERT INTO kept VALUES ($1)"
COUNT = "SELECT count(*) FROM kept WHERE number = $1"
WAIT_S = 20.0


@pytest.fixture(scope="module")
def pair() -> Iterator[ReplicatedServer]:
    # Not tmp_path: its parents are closed to the user that root's server runs as.
    home = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    home.chmod(0o755)
    conf = {"shared_buffers": "64MB", "min_wal_size": "64MB", "max_wal_size": "256MB"}
    servers = ReplicatedServer(home / "a", home / "b", conf=conf)
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()
        shutil.rmtree(home)


@pytest.fixture(scope="module")
async def writing(pair: ReplicatedServer) -> AsyncIterator[Database]:
    async with Database(pair.dsn()) as opened:
        async with opened.connection() as connection:
            await connection.execute("CREATE TABLE kept (number bigint PRIMARY KEY)")
        yield opened


@pytest.fixture
async def reading(pair: ReplicatedServer, writing: Database) -> AsyncIterator[Database]:
    async with Database(pair.dsn(), read_only=True) as opened:
        yield opened


async def arrived(database: Database, number: int) -> None:
    """Wait until a server shows a row: the standby shows a commit a moment after it has it."""
    async with asyncio.timeout(WAIT_S), database.connection() as connection:
        while not await connection.fetchval(COUNT, number):  # noqa: ASYNC110 - another process sends it
            await asyncio.sleep(0.02)


def test_start_returns_with_commits_waiting_for_the_standby(pair: ReplicatedServer) -> None:
    assert pair.waits_for() == ("on", "FIRST 1 (tongbao_standby)", "sync")


def test_commit_mode_that_waits_for_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ReplicatedServer(tmp_path / "a", tmp_path / "b", commit_mode="local")
    assert refused.value.code == "commit_mode_unknown"


async def test_process_that_writes_finds_the_primary_whichever_host_is_named_first(
    pair: ReplicatedServer, writing: Database
) -> None:
    first, _, second = pair.dsn().partition("?host=")[2].partition("&")[0].partition(",")
    turned = pair.dsn().replace(f"{first},{second}", f"{second},{first}").replace("read-write", "any")
    async with Database(turned) as database, database.connection() as connection:
        assert not (await standing(connection)).is_standby
        dedicated = await database.dedicated("test")
        try:
            assert not await dedicated.fetchval("SELECT pg_is_in_recovery()")
        finally:
            await dedicated.close()


async def test_process_that_writes_with_a_standby_only_is_told_so(pair: ReplicatedServer) -> None:
    with pytest.raises(Unavailable) as refused:
        async with Database(pair.standby.dsn()):
            pass
    assert refused.value.code == "database_read_only"


async def test_process_that_only_reads_is_given_the_standby_and_its_lag(
    reading: Database, writing: Database
) -> None:
    async with writing.connection() as connection:
        await connection.execute(ADD, 1)
    await arrived(reading, 1)
    async with reading.connection() as connection:
        found = await standing(connection)
        assert await revision(connection) is None
    assert (found.is_standby, found.is_following, found.lag_bytes, found.lag_s) == (True, True, 0, 0.0)


@pytest.mark.parametrize("statement", ["INSERT INTO kept VALUES (2)", "CREATE TABLE never (one integer)"])
async def test_write_of_a_process_that_only_reads_is_refused(reading: Database, statement: str) -> None:
    with pytest.raises(Unavailable) as refused:
        async with reading.connection() as connection:
            await connection.execute(statement)
    assert refused.value.code == "read_only"


async def test_note_on_the_side_of_a_read_changes_no_row_and_says_so(reading: Database) -> None:
    async with reading.connection() as connection:
        assert await connection.execute("UPDATE kept SET number = 7") == "UPDATE 0"
        assert await connection.execute("LOCK TABLE kept IN SHARE UPDATE EXCLUSIVE MODE") == "LOCK TABLE"
    with pytest.raises(Unavailable) as refused:
        async with reading.transaction() as connection:
            await connection.execute("UPDATE kept SET number = 7")
    assert refused.value.code == "read_only"


@pytest.mark.parametrize("in_transaction", [True, False])
async def test_commit_without_the_standby_is_neither_acknowledged_nor_shown(
    pair: ReplicatedServer, writing: Database, monkeypatch: pytest.MonkeyPatch, in_transaction: bool
) -> None:
    number = 10 + in_transaction
    await asyncio.to_thread(pair.standby.stop)
    try:
        monkeypatch.setattr(db, "COMMAND_MARGIN_S", 0.0)
        async with Database(pair.dsn(), statement_timeout_ms=500) as hasty:
            with pytest.raises(OutcomeUnknown):
                async with hasty.transaction() if in_transaction else hasty.connection() as connection:
                    await connection.execute(ADD, number)
        # The client has given up. Were the row seen now, its repeat would be acknowledged on one machine's word.
        await asyncio.sleep(0.2)
        async with writing.connection() as connection:
            assert await connection.fetchval(COUNT, number) == 0
    finally:
        await asyncio.to_thread(pair.standby.start)
    await arrived(writing, number)


async def test_fail_over_while_the_primary_lives_is_refused(pair: ReplicatedServer) -> None:
    with pytest.raises(Conflict) as refused:
        await asyncio.to_thread(pair.fail_over)
    assert refused.value.code == "primary_alive"


async def test_fail_over_keeps_what_was_acknowledged_and_open_databases_go_on(
    pair: ReplicatedServer, writing: Database
) -> None:
    for number in range(100, 120):
        async with writing.connection() as connection:
            await connection.execute(ADD, number)
    assert await asyncio.to_thread(pair.kill_machine)
    await asyncio.to_thread(pair.fail_over)
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                async with writing.connection() as connection:
                    await connection.execute(ADD, 120)
                    break
            except (Unavailable, OutcomeUnknown):
                await asyncio.sleep(0.05)
    async with writing.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM kept WHERE number BETWEEN 100 AND 120") == 21
        assert not (await standing(connection)).is_standby
    # The old primary may hold commits that nobody was told of.
    with pytest.raises(Conflict) as refused:
        await asyncio.to_thread(pair.start)
    assert refused.value.code == "standby_promoted"
