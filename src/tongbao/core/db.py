"""The door to PostgreSQL: pool, transactions, dedicated connections, and what each failure means.

- Every statement has a time-out; a pool that stays full for ``ACQUIRE_S_MAX`` seconds is back-pressure
  (``Unavailable``), never an endless wait.
- Reconnecting is single-flight: after the server went away one caller knocks, everybody else waits for it.
  A herd of reconnecting clients would use up ``max_connections`` and keep the server down.
- ``failure_of`` sorts the driver's exceptions by what may be done about them; ``translate`` turns them into
  the error tree of ``core.errors``. Nothing else looks at SQLSTATEs.
"""

import asyncio
import enum
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from tongbao.core.errors import AppError, InvalidRequest, InvariantBroken, OutcomeUnknown, Unavailable

ACQUIRE_S_MAX = 5.0
CONNECT_S_MAX = 10.0
KNOCK_S = 0.1
COMMAND_MARGIN_S = 5.0

Connection = Any
"""An ``asyncpg`` connection, or one lent by the pool (the driver ships no types)."""


class Failure(enum.Enum):
    """What a driver's exception means for the caller."""

    RETRY = "retry"  # rolled back by the server: the same work may be tried again at once
    LOST = "lost"  # the connection is gone: whether COMMIT arrived is unknown
    BUSY = "busy"  # the server is out of something (connections, disk, memory): later
    DUPLICATE = "duplicate"  # a unique key exists already
    OVERFLOW = "overflow"  # a number left the range of its column
    BUG = "bug"  # anything else: wrong SQL, wrong data


_RETRY_STATES = {"40001", "40P01", "55P03"}
# A shut down or a time-out that ends the session, and PostgreSQL's relatives that cannot tell how a commit ended.
_LOST_STATES = {"25P03", "25P04", "40003", "57P01", "57P02", "57P03", "57P05"}
# The last one is what the driver says of a connection that the server closed while nobody looked.
_DRIVER_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


def failure_of(error: BaseException) -> Failure:
    """Return what ``error``, raised by the driver, means."""
    state = getattr(error, "sqlstate", None)
    if state in _RETRY_STATES:
        return Failure.RETRY
    if state == "23505":
        return Failure.DUPLICATE
    if state == "22003":
        return Failure.OVERFLOW
    if state in _LOST_STATES or (state or "").startswith("08"):
        return Failure.LOST
    if (state or "").startswith("53") or state == "57014":
        return Failure.BUSY
    if state is None and isinstance(error, _DRIVER_ERRORS):
        return Failure.LOST
    return Failure.BUG


def translate(error: Exception) -> AppError:
    """Return the ``AppError`` for an exception of the driver."""
    if isinstance(error, AppError):
        return error
    failure = failure_of(error)
    if failure is Failure.LOST:
        return OutcomeUnknown("database_lost", "the database went away; repeat with the same key")
    if failure is Failure.RETRY:
        return Unavailable("database_contended", "the rows are contended; repeat with the same key")
    if failure is Failure.BUSY:
        return Unavailable(
            "database_busy", "the database is out of room or time; repeat later", retry_after_s=2
        )
    if failure is Failure.OVERFLOW:
        return InvalidRequest("number_out_of_range", "a number leaves the range that is stored")
    state = getattr(error, "sqlstate", None) or type(error).__name__
    return InvariantBroken("database_refused", f"the database refused a statement ({state})")


class Database:
    """One database as one process sees it. Open with ``async with Database(dsn) as db``."""

    def __init__(self, dsn: str, *, pool_size: int = 8, statement_timeout_ms: int = 10_000) -> None:
        self.dsn = dsn
        self._pool_size = pool_size
        self._statement_timeout_ms = statement_timeout_ms
        self._pool: Any = None
        self._knock = asyncio.Lock()
        self._down = False

    async def __aenter__(self) -> "Database":
        """Open the pool; raise Unavailable ``database_down`` where the server does not answer."""
        try:
            self._pool = await asyncpg.create_pool(
                self.dsn,
                # None is kept open by the pool itself: its way of restoring them is a herd of its own.
                min_size=0,
                max_size=self._pool_size,
                timeout=CONNECT_S_MAX,
                command_timeout=self._statement_timeout_ms / 1000 + COMMAND_MARGIN_S,
                server_settings=self._server_settings("tongbao"),
            )
            async with self._pool.acquire(timeout=CONNECT_S_MAX):
                pass
        except _DRIVER_ERRORS as error:
            await self.close()
            raise _down() from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the pool; connections still lent are cut after a moment."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), ACQUIRE_S_MAX)
        except (TimeoutError, asyncpg.InterfaceError, OSError):
            pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection in autocommit mode.

        Raises Unavailable ``database_busy`` when none is free in time, and the translated error of whatever
        the driver raises inside the block.
        """
        if self._pool is None:
            raise Unavailable("database_closed", "this process has closed its database")
        try:
            lent = await self._pool.acquire(timeout=ACQUIRE_S_MAX)
        except TimeoutError as error:
            raise Unavailable("database_busy", "no database connection became free in time") from error
        except _DRIVER_ERRORS as error:
            raise _down() from error
        try:
            yield lent
        except _DRIVER_ERRORS as error:
            raise translate(error) from error
        finally:
            await self._give_back(lent)

    async def _give_back(self, lent: Connection) -> None:
        """Return a connection to the pool; one that died is replaced by the pool itself."""
        try:
            await self._pool.release(lent, timeout=ACQUIRE_S_MAX)
        except (AttributeError, *_DRIVER_ERRORS):
            with suppress(asyncpg.InterfaceError):  # the pool may have let go of it already
                lent.terminate()

    @asynccontextmanager
    async def transaction(
        self, *, read_only: bool = False, snapshot: bool = False
    ) -> AsyncIterator[Connection]:
        """Lend a connection inside one transaction: committed at the end, rolled back on any exception.

        ``snapshot`` makes every statement see the same instant (REPEATABLE READ), for reads that must agree.
        """
        isolation = "repeatable_read" if snapshot else "read_committed"
        async with self.connection() as lent, lent.transaction(isolation=isolation, readonly=read_only):
            yield lent

    async def dedicated(self, application_name: str, **settings: str) -> Connection:
        """Open a connection outside the pool, for a lane or a sealer that keeps it; the caller closes it.

        Single-flight: one caller connects at a time; while the server is down that one knocks every ``KNOCK_S``
        seconds, and the others wait.
        Raises Unavailable ``database_down`` after ``CONNECT_S_MAX`` seconds.
        """
        deadline = asyncio.get_running_loop().time() + CONNECT_S_MAX
        async with self._knock:
            # Whoever waited while another one knocked in vain has no time left to knock for itself.
            while not self._down or asyncio.get_running_loop().time() < deadline:
                try:
                    connection = await self._connect(application_name, settings)
                except _DRIVER_ERRORS:
                    self._down = True
                    await asyncio.sleep(KNOCK_S)
                else:
                    self._down = False
                    return connection
        raise _down()

    async def _connect(self, application_name: str, settings: dict[str, str]) -> Connection:
        return await asyncpg.connect(
            self.dsn,
            timeout=CONNECT_S_MAX,
            command_timeout=self._statement_timeout_ms / 1000 + COMMAND_MARGIN_S,
            server_settings=self._server_settings(application_name) | settings,
        )

    def _server_settings(self, application_name: str) -> dict[str, str]:
        return {
            "application_name": application_name,
            "statement_timeout": str(self._statement_timeout_ms),
            "idle_in_transaction_session_timeout": "60000",
            "timezone": "UTC",
        }


def _down() -> Unavailable:
    """Return what a caller hears who got no connection: nothing was sent, so nothing was written."""
    return Unavailable("database_down", "the database does not answer", retry_after_s=2)
