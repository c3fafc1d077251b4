"""Migrating: a fresh database, again, at the same time, from the future, and down and up."""

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic import command

from tongbao.core import migrate
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import Conflict
from tongbao.core.migrations import running

UPGRADE = (
    "import asyncio, sys; from tongbao.core import migrate; print(asyncio.run(migrate.upgrade(sys.argv[1])))"
)
SCHEMA = """
SELECT table_name, column_name, data_type, column_default, is_nullable FROM information_schema.columns
WHERE table_schema = 'ledger' ORDER BY 1, 2
"""


@pytest.fixture
async def empty(server: EmbeddedServer) -> AsyncIterator[str]:
    """The DSN of a database without any schema."""
    name = f"m{random.SystemRandom().getrandbits(48):012x}"
    admin = await asyncpg.connect(server.dsn())
    await admin.execute(f"CREATE DATABASE {name}")
    yield server.dsn(name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def schema(dsn: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(SCHEMA)]
    finally:
        await connection.close()


def test_files_of_migrations_begin_with_their_revisions() -> None:
    newest, *_ = running.revisions()
    assert migrate.head() == newest
    assert {path.stem[:4] for path in migrate.VERSIONS.glob("[0-9]*.py")} == set(running.revisions())


def test_starting_a_migrated_house_does_not_load_alembic() -> None:
    asked = "import sys; from tongbao.core import migrate; print('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True).stdout == "False\n"


async def test_upgrade_fresh_database_reaches_the_newest_revision(empty: str) -> None:
    assert await migrate.current(empty) is None
    assert await migrate.upgrade(empty) == migrate.head()
    assert await migrate.current(empty) == migrate.head()
    assert {"transfer", "balance", "seal"} <= {row[0] for row in await schema(empty)}


async def test_upgrade_again_changes_nothing(empty: str) -> None:
    await migrate.upgrade(empty)
    before = await schema(empty)
    assert await migrate.upgrade(empty) == migrate.head()
    assert await schema(empty) == before


async def test_upgrade_from_several_tasks_at_once_succeeds_for_all(empty: str) -> None:
    assert await asyncio.gather(*(migrate.upgrade(empty) for _ in range(4))) == [migrate.head()] * 4


async def test_upgrade_from_two_processes_at_once_succeeds_for_both(empty: str) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", UPGRADE, empty, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    ended = await asyncio.gather(*(process.communicate() for process in processes))
    assert [out.decode().strip() for out, _ in ended] == [migrate.head()] * 2, ended
    assert await migrate.current(empty) == migrate.head()


async def test_upgrade_database_of_a_newer_program_is_refused_untouched(empty: str) -> None:
    await migrate.upgrade(empty)
    connection = await asyncpg.connect(empty)
    await connection.execute("UPDATE public.alembic_version SET version_num = '9999'")
    await connection.close()
    before = await schema(empty)
    with pytest.raises(Conflict, match="schema_newer"):
        await migrate.upgrade(empty)
    assert await schema(empty) == before
    assert await migrate.current(empty) == "9999"


async def test_downgrade_and_upgrade_gives_the_same_schema(empty: str) -> None:
    await migrate.upgrade(empty)
    before = await schema(empty)
    await asyncio.to_thread(command.downgrade, running.config(empty), "base")
    assert await migrate.current(empty) is None
    assert await schema(empty) == []
    await migrate.upgrade(empty)
    assert await schema(empty) == before
