"""Bring a database to the newest schema, or say how far it is.

Runs Alembic's migrations in a worker thread of their own, so that it can be awaited from a running loop.
Two processes that migrate at once are serialised by a lock row; the second finds nothing left to do.
"""

import asyncio
from contextlib import suppress
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from tongbao.core.errors import Conflict

MIGRATIONS = Path(__file__).parent / "migrations"


def head() -> str:
    """Return the newest revision that this program knows."""
    revision = ScriptDirectory.from_config(_config("")).get_current_head()
    if revision is None:
        raise Conflict("schema_no_head", "the program ships no migrations")
    return revision


async def current(dsn: str) -> str | None:
    """Return the revision of the database behind ``dsn``; None where it has no schema yet."""
    connection = await asyncpg.connect(dsn)
    try:
        if await connection.fetchval("SELECT to_regclass('public.alembic_version')") is None:
            return None
        revision: str | None = await connection.fetchval("SELECT version_num FROM public.alembic_version")
        return revision
    finally:
        await connection.close()


async def upgrade(dsn: str) -> str:
    """Migrate to the newest revision and return it; nothing happens where the database is there already.

    Raises Conflict ``schema_newer`` where the database was migrated by a newer program.
    """
    newest = head()
    revision = await current(dsn)
    if revision == newest:
        return newest
    known = {script.revision for script in ScriptDirectory.from_config(_config("")).walk_revisions()}
    if revision is not None and revision not in known:
        raise Conflict("schema_newer", f"the database is at revision {revision}, unknown to this program")
    await _serialized(dsn, newest)
    return newest


async def _serialized(dsn: str, newest: str) -> None:
    """Hold the migration lock row while Alembic runs on a second connection."""
    connection = await asyncpg.connect(dsn)
    try:
        # Of two that make the table at the same instant one still meets the other's row in the catalogue.
        with suppress(
            asyncpg.UniqueViolationError, asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError
        ):
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS public.migration_lock (one integer PRIMARY KEY)"
            )
        await connection.execute("INSERT INTO public.migration_lock VALUES (1) ON CONFLICT DO NOTHING")
        async with connection.transaction():
            await connection.execute("SELECT one FROM public.migration_lock WHERE one = 1 FOR UPDATE")
            if await current(dsn) != newest:
                await asyncio.to_thread(command.upgrade, _config(dsn), "head")
    finally:
        await connection.close()


def _config(dsn: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["dsn"] = dsn
    return config
