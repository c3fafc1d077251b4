"""Load over HTTP/1.1, cheap enough to share two cores with what it loads: a process of its own, raw sockets.

``python -m tongbao.bench.http_load`` reads a ``Spec`` as JSON from standard input and prints a ``Report``. Closed loop:
each connection sends its next request when the last one was answered. Open loop: requests leave at a steady rate
whatever became of those before, and latency counts from when a request should have left.
"""

import asyncio
import random
import sys
import time
from collections import Counter, deque
from typing import cast

import msgspec
import uvloop

FIRST_BYTES = 300


class Spec(msgspec.Struct, kw_only=True):
    """What to send, over connections spread over ``ports``; ``rate`` per second opens the loop.

    With ``is_once`` each request carries an ``Idempotency-Key`` of its own, begun by ``run``.
    ``body`` may hold ``{n}``, a number that grows, and ``{method}``, the one of ``methods`` that belongs to the key, or
    one drawn from its ``payers``.
    """

    host: str
    ports: list[int]
    path: str
    headers: dict[str, str]
    body: str
    connections: int
    seconds: float
    rate: float | None = None
    expect: str
    keys: list[str]
    methods: dict[str, str] = {}
    payers: dict[str, list[str]] = {}
    run: str
    is_once: bool = True


class Report(msgspec.Struct, kw_only=True):
    """What came back: good answers a second, milliseconds at percentiles, and what else was answered."""

    good: int
    per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    bad: dict[str, int]


class _Connection(asyncio.Protocol):
    """One connection; at most one request is out on it."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._buffer = b""
        self._began = 0.0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)
        self._load.ready(self)

    def send(self, request: bytes, began: float) -> None:
        """Send one request; ``began`` is when its latency starts."""
        assert self._transport is not None
        self._began = began
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self._buffer = body[length:]
        self._load.answered(head, body[:length], time.perf_counter() - self._began)
        self._load.ready(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(exc)


class Load:
    """One run of a ``Spec``."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._expect = spec.expect.encode()
        self._number = 0
        self._random = random.Random(spec.run)
        self._idle: deque[_Connection] = deque()
        self._due: deque[float] = deque()
        self._latencies: list[float] = []
        self._bad: Counter[str] = Counter()
        self._stop = 0.0
        fixed = "".join(f"{name}: {value}\r\n" for name, value in spec.headers.items())
        self._head = f"POST {spec.path} HTTP/1.1\r\nHost: {spec.host}\r\n{fixed}"

    async def run(self) -> Report:
        """Load for the time asked for, and wait a moment for what is still out."""
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        self._stop = began + self._spec.seconds
        for number in range(self._spec.connections):
            port = self._spec.ports[number % len(self._spec.ports)]
            await loop.create_connection(lambda: _Connection(self), self._spec.host, port)
        if self._spec.rate is not None:
            await self._pace(began, self._spec.rate)
        await asyncio.sleep(max(0.0, self._stop - time.perf_counter()))
        elapsed = time.perf_counter() - began
        good = len(self._latencies)
        await asyncio.sleep(0.3)
        ordered = sorted(self._latencies) or [0.0]
        return Report(
            good=good,
            per_s=good / elapsed,
            p50_ms=_at(ordered, 0.50),
            p95_ms=_at(ordered, 0.95),
            p99_ms=_at(ordered, 0.99),
            max_ms=ordered[-1] * 1000,
            bad=dict(self._bad),
        )

    async def _pace(self, began: float, rate: float) -> None:
        count = 0
        while (now := time.perf_counter()) < self._stop:
            while count < (now - began) * rate:
                self._due.append(began + count / rate)
                count += 1
            while self._due and self._idle:
                self._send(self._idle.popleft(), self._due.popleft())
            await asyncio.sleep(0.001)

    def ready(self, connection: _Connection) -> None:
        """Take back a connection that is free; in a closed loop it sends its next request at once."""
        if self._spec.rate is not None:
            self._idle.append(connection)
        elif time.perf_counter() < self._stop:
            self._send(connection, time.perf_counter())

    def answered(self, head: bytes, body: bytes, seconds: float) -> None:
        """Count an answer."""
        if head.startswith(b"HTTP/1.1 200") and self._expect in body:
            self._latencies.append(seconds)
        else:
            self._bad[(head[9:12] + b" " + body[:FIRST_BYTES]).decode(errors="replace")] += 1

    def lost(self, error: Exception | None) -> None:
        """Count a connection that the other side closed while the load went on."""
        if time.perf_counter() < self._stop:
            self._bad[f"connection lost: {error}"] += 1

    def _send(self, connection: _Connection, began: float) -> None:
        self._number += 1
        key = self._random.choice(self._spec.keys)
        payers = self._spec.payers.get(key)
        method = self._random.choice(payers) if payers else self._spec.methods.get(key, "")
        once = f"Idempotency-Key: {self._spec.run}-{self._number}\r\n" if self._spec.is_once else ""
        body = self._spec.body.replace("{n}", str(self._number)).replace("{method}", method)
        connection.send(
            (
                f"{self._head}Authorization: Bearer {key}\r\n{once}Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode(),
            began,
        )


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


def main() -> None:
    """Run the spec on standard input; print the report."""
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=Spec)
    report = uvloop.run(Load(spec).run())
    sys.stdout.buffer.write(msgspec.json.encode(report))


if __name__ == "__main__":
    main()
