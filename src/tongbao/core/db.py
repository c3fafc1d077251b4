"""The door to PostgreSQL: pool, transactions, dedicated connections, and what each failure means.

- Every statement has a time-out; a pool that stays full for ``ACQUIRE_S_MAX`` seconds is back-pressure
  (``Unavailable``), never an endless wait.
- Reconnecting is single-flight: after the server went away one caller knocks, everybody else waits for it.
  A herd of reconnecting clients would use up ``max_connections`` and keep the server down.
- A DSN may name several hosts. A process that writes connects to the one that takes writes, wherever that is now; each
  host has ``HOST_S_MAX`` seconds to answer, so that a machine that is silent does not use up the time of the next one.
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
from tongbao.core.hosts import Hosts, want_of

ACQUIRE_S_MAX = 5.0
CONNECT_S_MAX = 10.0
HOST_S_MAX = 2.0
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
_READ_ONLY_STATE = "25006"


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


class _Lent(asyncpg.Connection):  # type: ignore[misc]  # the driver ships no types
    """A connection that is not swept when it comes back to the pool: that was a round trip after every use.

    Nothing here leaves anything on a connection: settings are those of one transaction, as locks are, cursors end with it,
    and nobody listens. A transaction that was left open is rolled back all the same.
    """

    def get_reset_query(self) -> str:
        """Return what is sent when a connection comes back: nothing."""
        return ""


class _Writing(_Lent):
    """A connection that never asks the server to give up a commit which may be waiting for a standby.

    PostgreSQL answers such a request by committing on the primary alone and showing it to everybody: the repeat under
    the same key would find the work done, be acknowledged, and be lost with the primary. So where a COMMIT, or a
    statement that commits by itself, takes too long, the connection is cut without the request. The server ends running
    statements by ``statement_timeout``, and the commit becomes visible only when the standby has it.
    """

    _is_committing = False

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:  # noqa: ASYNC109  # the driver's own argument
        """Run a statement as the driver does."""
        self._is_committing = query.startswith("COMMIT")
        try:
            told: str = await super().execute(query, *args, timeout=timeout)
        finally:
            self._is_committing = False
        return told

    def _cancel_current_command(self, *waiters: object) -> None:
        """Cancel what runs, unless that may be a commit; the driver calls this on time-outs and canceled tasks."""
        if self._is_committing or not self.is_in_transaction():
            # In the next turn of the loop: the driver is about to tell the one who waits.
            self._loop.call_soon(self.terminate)
        else:
            super()._cancel_current_command(*waiters)


class _Reading(_Lent):
    """A connection of a process that only shows, to a server that refuses to write.

    What a page does on the side and does not depend on passes without effect, outside of transactions and truthfully: an
    UPDATE – a session was seen just now – answers that it changed no row. A lock of a table protects nothing from a
    process that cannot write. Everything else that would write is refused.
    """

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str:  # noqa: ASYNC109  # the driver's own argument
        """Run a statement as the driver does; see the class for what passes without effect."""
        verb = query.lstrip()[:10].upper()
        if verb == "LOCK TABLE":
            return verb
        try:
            told: str = await super().execute(query, *args, timeout=timeout)
        except asyncpg.ReadOnlySQLTransactionError:
            if not verb.startswith("UPDATE") or self.is_in_transaction():
                raise
            return "UPDATE 0"
        return told


class Database:
    """One database as one process sees it. Open with ``async with Database(dsn) as db``.

    ``read_only``: for a process that only shows, from a standby where there is one; a statement that would write is
    Unavailable ``read_only``. Any other process connects to a server that takes writes, unless its DSN says otherwise.
    """

    def __init__(
        self, dsn: str, *, pool_size: int = 8, statement_timeout_ms: int = 10_000, read_only: bool = False
    ) -> None:
        self.dsn = dsn
        self.read_only = read_only
        self._connection_class = _Reading if read_only else _Writing
        self._hosts = Hosts(dsn, want_of(dsn, read_only=read_only), HOST_S_MAX)
        self._pool_size = pool_size
        self._statement_timeout_ms = statement_timeout_ms
        self._pool: Any = None
        self._knock = asyncio.Lock()
        self._down = False

    async def __aenter__(self) -> "Database":
        """Open the pool.

        Raises Unavailable ``database_down`` where no server answers, ``database_read_only`` where those that answer take
        no writes and this process needs one that does.
        """
        try:
            self._pool = await asyncpg.create_pool(
                self.dsn,
                # None is kept open by the pool itself: its way of restoring them is a herd of its own.
                min_size=0,
                max_size=self._pool_size,
                timeout=CONNECT_S_MAX,
                command_timeout=self._statement_timeout_ms / 1000 + COMMAND_MARGIN_S,
                server_settings=self._server_settings("tongbao"),
                connect=self._hosts.connect,
                connection_class=self._connection_class,
            )
            async with self._pool.acquire(timeout=CONNECT_S_MAX):
                pass
        except _DRIVER_ERRORS as error:
            await self.close()
            raise _down(error) from error
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
            raise _down(error) from error
        try:
            yield lent
        except _DRIVER_ERRORS as error:
            if self.read_only and getattr(error, "sqlstate", None) == _READ_ONLY_STATE:
                raise refused_here() from error
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
        Raises Unavailable ``database_down`` or ``database_read_only`` after ``CONNECT_S_MAX`` seconds.
        """
        deadline = asyncio.get_running_loop().time() + CONNECT_S_MAX
        last: Exception | None = None
        async with self._knock:
            # Whoever waited while another one knocked in vain has no time left to knock for itself.
            while not self._down or asyncio.get_running_loop().time() < deadline:
                try:
                    connection = await self._connect(application_name, settings)
                except _DRIVER_ERRORS as error:
                    last = error
                    self._down = True
                    await asyncio.sleep(KNOCK_S)
                else:
                    self._down = False
                    return connection
        raise _down(last)

    async def _connect(self, application_name: str, settings: dict[str, str]) -> Connection:
        return await self._hosts.connect(
            self.dsn,
            timeout=CONNECT_S_MAX,
            command_timeout=self._statement_timeout_ms / 1000 + COMMAND_MARGIN_S,
            server_settings=self._server_settings(application_name) | settings,
            connection_class=self._connection_class,
        )

    def _server_settings(self, application_name: str) -> dict[str, str]:
        # A process that only shows is refused by a primary, too, where there is no standby to show from.
        reading = {"default_transaction_read_only": "on"} if self.read_only else {}
        return reading | {
            "application_name": application_name,
            "statement_timeout": str(self._statement_timeout_ms),
            "idle_in_transaction_session_timeout": "60000",
            "timezone": "UTC",
        }


def refused_here() -> Unavailable:
    """Return what an act hears in a process that only shows."""
    return Unavailable(
        "read_only",
        "this process only shows: nothing can be changed here; go to the address that takes payments",
        retry_after_s=30,
    )


def _down(error: Exception | None = None) -> Unavailable:
    """Return what a caller hears who got no connection: nothing was sent, so nothing was written."""
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return Unavailable(
            "database_read_only",
            "the database answers and takes no writes: only a standby is there; name the primary's host, too, or wait "
            "until the standby is promoted",
            retry_after_s=2,
        )
    return Unavailable("database_down", "the database does not answer", retry_after_s=2)
