"""What one process needs to work with the books: a server that is up, a schema that is current, an open ledger.

Invariant: nothing is read or written before the server has proved that it keeps what it acknowledged. The embedded
server is used where no DSN is set; it is stopped again by the process that started it, unless somebody else has
come to use it meanwhile.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg

from tongbao.core import migrate
from tongbao.core.clock import Clock, RealClock
from tongbao.core.config import Settings
from tongbao.core.db import Database, translate
from tongbao.core.embedded.durability import verify_durability
from tongbao.core.embedded.early import EarlyStart
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger

_OTHERS_SQL = """
    SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"""


@dataclass(frozen=True)
class Runtime:
    """An open database and the ledger over it, good until ``open_runtime`` ends."""

    dsn: str
    database: Database
    ledger: Ledger
    clock: Clock
    metrics: Metrics


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    *,
    clock: Clock | None = None,
    rng: random.Random | None = None,
    early: EarlyStart | None = None,
) -> AsyncIterator[Runtime]:
    """Open the books that ``settings`` name, migrating the schema where it is behind; ``rng`` makes ids that come again.

    ``early``: a start of the embedded server that has begun already.

    Raises InvariantBroken ``durability_off``, Unavailable where the server cannot be reached or started, Conflict
    ``schema_newer`` for a database of a newer program.
    """
    clock = clock or RealClock()
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(_server(settings, early))
        await verify_durability(dsn)
        await _migrated(dsn)
        database = await stack.enter_async_context(
            Database(dsn, pool_size=settings.pool_size, statement_timeout_ms=settings.statement_timeout_ms)
        )
        ledger = Ledger(
            database,
            clock,
            metrics,
            IdFactory(clock, rng),
            lane_count=settings.lane_count,
            batch_max=settings.lane_batch_max,
            queue_max=settings.lane_queue_max,
        )
        yield Runtime(dsn, database, await stack.enter_async_context(ledger), clock, metrics)


@asynccontextmanager
async def _server(settings: Settings, early: EarlyStart | None) -> AsyncIterator[str]:
    """Yield the DSN of a server that runs; start the embedded one where no other is named."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    server = EmbeddedServer(settings.data_dir / "postgres", postgres_bin=settings.postgres_bin)
    started = await asyncio.to_thread(early.take if early else server.start)
    try:
        yield server.dsn()
    finally:
        if started and not await _in_use(server.dsn()):
            await asyncio.to_thread(server.stop)


async def _migrated(dsn: str) -> None:
    try:
        await migrate.upgrade(dsn)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise translate(error) from error


async def _in_use(dsn: str) -> bool:
    """Return whether other sessions are open on the server; one that no longer answers is not in use."""
    try:
        connection = await asyncpg.connect(dsn)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False
    try:
        return bool(await connection.fetchval(_OTHERS_SQL))
    finally:
        await connection.close()
