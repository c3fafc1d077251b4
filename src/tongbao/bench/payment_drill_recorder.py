"""A card host that remembers nothing gets a memory: a recorder on the wire between a channel and iso8583sim.

It passes every frame on unchanged and writes down what the host approved, by the reference of each act (field 48),
which is how an acquirer that recognizes repeats keeps its book. What the host did not answer it has not done.
Frames: two bytes of length and a message of ISO 8583:1987 with binary bitmaps.
"""

import asyncio
from contextlib import suppress
from typing import Any

import iso8583
import msgspec
from iso8583.specs import default as _spec

from tongbao.bench.payment_drill_programs import HOST

APPROVED = "00"
REFUND = "20"
_LENGTH_BYTES = 2


class HostPayment(msgspec.Struct):
    """What the host did under one reference of an authorization. Minor units."""

    reference: str
    currency: str
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    declined: bool = False
    approval_code: str | None = None

    @property
    def taken_minor(self) -> int:
        """What the payer is poorer by."""
        return self.captured_minor - self.refunded_minor


class Recorder:
    """Listens at ``port``, passes on to ``host_port``, and keeps the book."""

    def __init__(self, port: int, host_port: int) -> None:
        self.book: dict[str, HostPayment] = {}
        self._port = port
        self._host_port = host_port
        self._done: set[str] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, HOST, self._port)

    async def close(self) -> None:
        """Stop listening and break what is connected."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._host_port)
        except OSError:
            writer.close()
            return
        asked: dict[str, dict[str, str]] = {}
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer, asked, answers=False)),
            asyncio.create_task(self._pump(far_reader, writer, asked, answers=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            writer.close()
            far_writer.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asked: dict[str, dict[str, str]],
        *,
        answers: bool,
    ) -> None:
        """Pass frames on in one direction until either side is gone."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(_LENGTH_BYTES)
                body = await reader.readexactly(int.from_bytes(head))
                fields = _decoded(body)
                if not answers:
                    asked[fields["11"]] = fields
                elif (question := asked.pop(fields["11"], None)) is not None:
                    self.note(question, fields)
                writer.write(head + body)
                await writer.drain()

    def note(self, question: dict[str, str], answer: dict[str, str]) -> None:
        """Write down what an answer of the host did; a repeat under a known reference does nothing."""
        act = question.get("48")
        if not act or act in self._done:
            return
        kind, refund = question["t"], question.get("3", "").startswith(REFUND)
        payment = self._payment(question.get("62") or act, question.get("49", ""))
        if answer.get("39") != APPROVED:
            if act == payment.reference:
                payment.declined = True
            return
        self._done.add(act)
        amount = int(question.get("4", "0"))
        if kind == "0200" and refund:
            payment.refunded_minor += amount
        elif kind in ("0100", "0200"):
            payment.authorized_minor += amount
            payment.approval_code = answer.get("38")
            payment.captured_minor += amount if kind == "0200" else 0
        elif kind == "0220":
            payment.captured_minor += amount
        elif kind in ("0400", "0420"):
            payment.authorized_minor = payment.captured_minor = 0

    def _payment(self, reference: str, currency: str) -> HostPayment:
        return self.book.setdefault(reference, HostPayment(reference, currency))


def _decoded(body: bytes) -> dict[str, str]:
    fields: dict[str, Any] = iso8583.decode(body, _spec)[0]
    return fields
