"""The other ends of the whole system: a merchant's server that takes webhooks, and somebody who watches the console.

``python -m tongbao.bench.system_receiver PORT`` is the server: it answers every ``POST`` with 200 and every ``GET`` with
how many posts it has had. Nothing is verified here; that both published verifiers take the signatures is tested elsewhere.
"""

import asyncio
import sys
from contextlib import suppress
from typing import cast

import uvloop

HOST = "127.0.0.1"
HEAD_BYTES_MAX = 65_536
PART_BYTES_MAX = 4_194_304


class Receiver:
    """Counts posts over any number of kept connections."""

    def __init__(self) -> None:
        self.received = 0

    def protocol(self) -> "_Connection":
        """Return what serves one connection."""
        return _Connection(self)


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0)
            if not found or len(rest) < length:
                break
            self._buffer = rest[length:]
            self._answer(is_post=head.startswith(b"POST "))
        if len(self._buffer) > HEAD_BYTES_MAX and b"\r\n\r\n" not in self._buffer and self._transport:
            self._transport.close()

    def _answer(self, *, is_post: bool) -> None:
        assert self._transport is not None
        self._receiver.received += is_post
        body = str(self._receiver.received).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


class Watcher:
    """Reads one stream of server-sent events for as long as it is open, and counts what comes."""

    def __init__(self, port: int, path: str, cookie: str) -> None:
        self.events = 0
        self.status = 0
        self.heard = asyncio.Event()
        self.ended = asyncio.Event()
        self._port = port
        head = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nAccept-Language: en\r\nCookie: {cookie}\r\n\r\n"
        self._request = head.encode()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Watcher":
        self._task = asyncio.create_task(self._read(), name="watcher")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _read(self) -> None:
        reader, writer = await asyncio.open_connection(HOST, self._port, limit=PART_BYTES_MAX)
        try:
            writer.write(self._request)
            self.status = int((await reader.readline()).split()[1])
            async for line in reader:
                if line.startswith(b"id: "):
                    self.events += 1
                    self.heard.set()
        finally:
            writer.close()
            self.ended.set()


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Receiver().protocol, HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
