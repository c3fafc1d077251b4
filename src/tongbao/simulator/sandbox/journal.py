"""An append-only file of JSON lines in which the book of the sandbox survives its process.

Each line is the whole of one payment after a change; the last line of a payment counts. ``settled`` returns once
everything appended before is on disk (fsync); callers that wait at the same time share one write. A line without
its newline was being written when the process died: nobody was told of it, so it is cut off at the next start.
"""

import asyncio
import os
from pathlib import Path

import msgspec

from tongbao.core.errors import Conflict, Unavailable
from tongbao.simulator.sandbox.schema import Payment

CLOSED = -1
_ENCODER = msgspec.json.Encoder()


class Journal:
    """The open file. One process at a time; raises Conflict ``journal_damaged`` for a line that is no payment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[bytes] = []
        self._lock = asyncio.Lock()
        self._failure: OSError | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    def replay(self) -> list[Payment]:
        """Return every line from the beginning, in order, and cut off a torn last one."""
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._file, whole)
        decoder = msgspec.json.Decoder(Payment)
        payments = []
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                payments.append(decoder.decode(line))
            except msgspec.MsgspecError as error:
                raise Conflict(
                    "journal_damaged",
                    f"line {number} of {self._path.name} is no payment: {error}",
                    line=number,
                ) from None
        return payments

    def append(self, payment: Payment) -> None:
        """Queue the payment as it is now; ``settled`` writes it."""
        self._waiting.append(_ENCODER.encode(payment))

    async def settled(self) -> None:
        """Return when everything appended so far is on disk; raise Unavailable ``journal_unwritable``.

        After a failed write nothing is ever written again: what the file holds then is not known.
        """
        async with self._lock:
            lines, self._waiting = self._waiting, []
            if self._failure is None and lines:
                try:
                    await asyncio.to_thread(self._write, b"\n".join(lines) + b"\n")
                except OSError as error:
                    self._failure = error
            if self._failure is not None:
                raise Unavailable("journal_unwritable", f"{self._path.name}: {self._failure.strerror}")

    async def close(self) -> None:
        """Write what waits and close the file; once closed, do nothing."""
        if self._file == CLOSED:
            return
        try:
            await self.settled()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file without writing, where opening the rest has failed."""
        os.close(self._file)
        self._file = CLOSED

    def _write(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[os.write(self._file, view) :]
        os.fsync(self._file)
