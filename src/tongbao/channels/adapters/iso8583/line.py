"""Connections to an ISO 8583 host: kept open, many messages in flight on each.

An answer is matched by its type, trace number (field 11) and retrieval reference (field 37). One that nobody
waits for any more came too late and is dropped: its caller was told ``unresolved`` and will inquire. Whatever
breaks a connection breaks every message in flight on it, with ``NoAnswer``; before the first byte of a message
left, the failure is ``NotSent``. After a failed connection there is a pause, doubled up to ``PAUSE_S_MAX``, in
which callers are told ``NotSent`` at once instead of queueing before a dead host.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable

import msgspec

from tongbao.channels.adapters.iso8583 import dialect
from tongbao.core.clock import Clock
from tongbao.core.http import NoAnswer, NotSent

IN_FLIGHT_MAX = 2_000
"""Of one connection; more are told ``NotSent``."""
PAUSE_S = 0.1
PAUSE_S_MAX = 10.0
TRACE_MAX = 999_999
_LENGTH_BYTES = 2

_log = logging.getLogger(__name__)


class LineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the host is and how patient we are.

    ``signs_on``: a connection counts once the host has answered our sign-on. ``echo_s``: after so many silent
    seconds a connection is tried with an echo, and given up where none comes back; 0 never asks.
    """

    host: str
    port: int
    timeout_s: float = 10.0
    connect_s: float = 3.0
    connections: int = 1
    signs_on: bool = True
    echo_s: float = 60.0


class _Waiting(msgspec.Struct):
    """A message in flight: what its answer must look like, and who waits for it."""

    mti: str
    retrieval: str | None
    answer: "asyncio.Future[dict[str, str]]"


class _Connection:
    """One open connection and the task that reads it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting: dict[str, _Waiting] = {}
        self._is_open = True
        self.heard_at = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._read(), name="iso8583-read")

    @property
    def is_open(self) -> bool:
        """False from the moment at which anything went wrong."""
        return self._is_open

    @property
    def in_flight(self) -> int:
        """How many messages wait for their answer."""
        return len(self._waiting)

    async def ask(self, mti: str, fields: dialect.Fields, timeout_s: float) -> dict[str, str]:
        """Send a message and return the fields of its answer; raise NotSent or NoAnswer."""
        frame = dialect.encode(mti, fields)
        trace = fields["11"]
        if not self._is_open or trace in self._waiting or self.in_flight >= IN_FLIGHT_MAX:
            raise NotSent("the connection cannot take the message")
        answer: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._waiting[trace] = _Waiting(dialect.answer_type(mti), fields.get("37"), answer)
        try:
            async with asyncio.timeout(timeout_s):
                self._writer.write(frame)
                await self._writer.drain()
                return await answer
        except (TimeoutError, OSError, RuntimeError) as error:
            # RuntimeError: one kind of loop says so of a transport that was closed meanwhile.
            raise NoAnswer(type(error).__name__) from None
        finally:
            del self._waiting[trace]
            # A failure that arrived while nobody looked any more is nobody's exception.
            if answer.done() and not answer.cancelled():
                answer.exception()

    async def close(self) -> None:
        """Close; whoever still waits is told NoAnswer."""
        self._break("closed")
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        try:
            while True:
                length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
                mti, fields = dialect.decode(await self._reader.readexactly(length))
                self.heard_at = asyncio.get_running_loop().time()
                self._take(mti, fields)
        except (asyncio.IncompleteReadError, OSError):
            self._break("the other side closed")
        except dialect.Unreadable:
            self._break("unreadable")

    def _take(self, mti: str, fields: dict[str, str]) -> None:
        """Hand an answer to whoever waits for it, answer an echo, drop the rest."""
        waiting = self._waiting.get(fields.get("11", ""))
        if mti == dialect.NETWORK:
            with contextlib.suppress(dialect.Unreadable):
                self._writer.write(dialect.encode(dialect.answer_type(mti), {**fields, "39": "00"}))
        elif (
            waiting is None or waiting.mti != mti or waiting.retrieval != fields.get("37", waiting.retrieval)
        ):
            _log.info("late or foreign answer dropped", extra={"mti": mti, "trace": fields.get("11")})
        elif not waiting.answer.done():
            waiting.answer.set_result(fields)

    def _break(self, why: str) -> None:
        if self._is_open:
            self._is_open = False
            self._writer.close()
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(NoAnswer(why))


class Line:
    """Up to ``connections`` connections to one host, opened when they are needed. ``first_trace`` ≥ 0."""

    def __init__(self, settings: LineSettings, clock: Clock, first_trace: int = 0) -> None:
        self._settings = settings
        self._clock = clock
        self._traces = itertools.count(first_trace)
        self._slots = [_Slot(settings, self._network_message) for _ in range(settings.connections)]

    async def ask(self, mti: str, fields: dialect.Fields) -> dict[str, str]:
        """Send a message under a new trace number and return the answer's fields.

        The least busy connection is taken. Raises NotSent, NoAnswer, and dialect.Unreadable for fields that fit
        no message (nothing was sent then).
        """
        slot = min(self._slots, key=lambda one: one.busy)
        return await slot.ask(mti, {**fields, "11": self._next_trace()})

    async def close(self) -> None:
        """Close all connections."""
        for slot in self._slots:
            await slot.close()

    def _next_trace(self) -> str:
        return f"{next(self._traces) % TRACE_MAX + 1:06d}"

    def _network_message(self, what: str) -> dict[str, str]:
        return {"7": dialect.transmission_time(self._clock.now()), "11": self._next_trace(), "70": what}


class _Slot:
    """The place of one connection: opens it, greets the host, watches it, opens it again.

    ``busy`` counts callers from before the connection is there, so that a first rush is spread as well.
    """

    def __init__(self, settings: LineSettings, network_message: Callable[[str], dict[str, str]]) -> None:
        self._settings = settings
        self._network_message = network_message
        self._connection: _Connection | None = None
        self._opening = asyncio.Lock()
        self.busy = 0
        self._pause_s = 0.0
        self._closed_until = 0.0
        self._watch: asyncio.Task[None] | None = None

    async def ask(self, mti: str, fields: dialect.Fields) -> dict[str, str]:
        """Send a message over this connection and return its answer; raise NotSent, NoAnswer, Unreadable."""
        self.busy += 1
        try:
            connection = await self._connected()
            return await connection.ask(mti, fields, self._settings.timeout_s)
        finally:
            self.busy -= 1

    async def _connected(self) -> _Connection:
        """Return an open connection; raise NotSent where there is none to be had."""
        async with self._opening:
            if self._connection is None or not self._connection.is_open:
                await self.close()
                self._connection = await self._open()
                if self._settings.echo_s:
                    self._watch = asyncio.create_task(self._echo(self._connection), name="iso8583-echo")
            return self._connection

    async def close(self) -> None:
        """Close the connection and stop watching it."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _open(self) -> _Connection:
        loop = asyncio.get_running_loop()
        if loop.time() < self._closed_until:
            raise NotSent("the host was unreachable a moment ago")
        try:
            async with asyncio.timeout(self._settings.connect_s):
                streams = await asyncio.open_connection(self._settings.host, self._settings.port)
            connection = _Connection(*streams)
            await self._sign_on(connection)
        except (OSError, NotSent, NoAnswer) as error:
            self._pause_s = min(self._pause_s * 2 or PAUSE_S, PAUSE_S_MAX)
            self._closed_until = loop.time() + self._pause_s
            raise NotSent(type(error).__name__) from None
        self._pause_s = 0.0
        return connection

    async def _sign_on(self, connection: _Connection) -> None:
        """Greet the host; raise NotSent where it does not welcome us: nothing of money was said yet."""
        if not self._settings.signs_on:
            return
        try:
            answer = await connection.ask(
                dialect.NETWORK, self._network_message(dialect.SIGN_ON), self._settings.timeout_s
            )
            if answer.get("39") != "00":
                raise NotSent("the host refused our sign-on")
        except BaseException:
            await connection.close()
            raise

    async def _echo(self, connection: _Connection) -> None:
        """Try a connection after each silence; close one that does not answer."""
        loop = asyncio.get_running_loop()
        while connection.is_open:
            await asyncio.sleep(self._settings.echo_s)
            if loop.time() - connection.heard_at < self._settings.echo_s:
                continue
            try:
                fields = self._network_message(dialect.ECHO)
                await connection.ask(dialect.NETWORK, fields, self._settings.timeout_s)
            except (NotSent, NoAnswer):
                await connection.close()
