"""The mail of the city: a small SMTP server (RFC 5321) on this machine that takes what the house sends and finds its codes.

Payers of the city wait for theirs. A code for anybody else is written to the log, as a house without a mail server does: who
tries the demonstration by hand needs it.
"""

import asyncio
import contextlib
import re
from collections import deque
from email import message_from_bytes, policy
from types import TracebackType

from tongbao.core.errors import LimitExceeded
from tongbao.core.logs import get_logger

HOST = "127.0.0.1"
LINE_BYTES_MAX = 4_096
MESSAGE_BYTES_MAX = 64 * 1024
PAUSE_S_MAX = 30.0
WAITING_MAX = 10_000
"""Payers who wait for a code at a time."""
_CODE = re.compile(r"\b(\d{6})\b")

_log = get_logger("city.mail")


class Mailbox:
    """All mailboxes of the city. ``async with Mailbox() as mailbox``; then ``port`` is where mail goes."""

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None
        self._waiting: dict[str, deque[asyncio.Future[str]]] = {}

    async def __aenter__(self) -> "Mailbox":
        self._server = await asyncio.start_server(self._serve, HOST, 0, limit=LINE_BYTES_MAX)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()

    def expect(self, email: str) -> "asyncio.Future[str]":
        """Return what will be the next code for an address; two who wait for one address get theirs in turn.

        Raises LimitExceeded ``city_mail_full`` where too many wait already.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise LimitExceeded(
                "city_mail_full", f"at most {WAITING_MAX} addresses wait for a code at a time"
            )
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(email.lower(), deque()).append(waiting)
        return waiting

    def forget(self, email: str, waiting: "asyncio.Future[str]") -> None:
        """Wait no longer."""
        queue = self._waiting.get(email.lower())
        if queue is not None:
            with contextlib.suppress(ValueError):
                queue.remove(waiting)
            if not queue:
                del self._waiting[email.lower()]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk to one client until it quits, says too much, or falls silent."""
        try:
            async with asyncio.timeout(PAUSE_S_MAX):
                await self._talk(reader, writer)
        except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients: list[str] = []
        writer.write(b"220 city\r\n")
        while line := await reader.readline():
            word = line[:4].upper().strip()
            if word == b"RCPT":
                recipients.append(line.decode("ascii", "replace").partition("<")[2].partition(">")[0])
            if word == b"DATA":
                writer.write(b"354 go on\r\n")
                self._taken(recipients, await _message(reader))
                recipients = []
            writer.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            await writer.drain()
            if word == b"QUIT":
                return

    def _taken(self, recipients: list[str], raw: bytes) -> None:
        """Hand the code of a message to whoever waits for it."""
        body = message_from_bytes(raw, policy=policy.default).get_body()
        found = _CODE.search(str(body.get_content())) if body is not None else None
        if found is None:
            return
        for recipient in recipients:
            queue = self._waiting.get(recipient.lower())
            if queue and not queue[0].done():
                queue.popleft().set_result(found[1])
            else:
                _log.info("step_up_code_for_development", code=found[1])


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Return a message up to the dot that ends it; raise ValueError for one that is too long."""
    lines, size = [], 0
    while (line := await reader.readline()) and line != b".\r\n":
        size += len(line)
        if size > MESSAGE_BYTES_MAX:
            raise ValueError("the message is too long")
        lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
    return b"".join(lines)
