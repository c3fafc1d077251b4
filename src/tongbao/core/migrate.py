"""Bring a database to the newest schema, or say how far it is.

Runs Alembic's migrations in a worker thread of their own, so that it can be awaited from a running loop.
Two processes that migrate at once are serialised by a lock row; the second finds nothing left to do.
Most starts find nothing to do: Alembic and what it stands on are loaded only where there is something.
"""

import asyncio
import importlib
from contextlib import suppress
from pathlib import Path

import asyncpg

from tongbao.core.errors import Conflict

VERSIONS = Path(__file__).parent / "migrations" / "versions"
ALEMBIC = "tongbao.core.migrations.running"


def head() -> str:
    """Return the newest revision that this program knows."""
    return max(_revisions())


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
    if revision is not None and revision not in _revisions():
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
                await asyncio.to_thread(importlib.import_module(ALEMBIC).upgrade, dsn)
    finally:
        await connection.close()


def _revisions() -> set[str]:
    """Return the revisions that this program knows: a migration's file begins with its own."""
    found = {path.stem.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py")}
    if not found:
        raise Conflict("schema_no_head", "the program ships no migrations")
    return found
