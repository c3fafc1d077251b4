"""Pages over HTTP/1.1, read as fast as they come, and streams that are held open: a process of its own, raw sockets.

``python -m tongbao.bench.web_load`` reads a ``Spec`` as JSON from standard input and prints a ``Report``. Reading: each
connection asks for the page again when it has it. Holding: each connection opens the stream once and notes when which
event came.
"""

import asyncio
import statistics
import sys
import time
from collections import defaultdict
from typing import cast

import msgspec
import uvloop

LATE_S = 0.5


class Spec(msgspec.Struct, kw_only=True):
    """What to ask of a port of this machine for how long; ``holds``: the answer is a stream that is kept open."""

    port: int
    path: str
    connections: int
    seconds: float
    cookie: str = ""
    expect: str = ""
    holds: bool = False


class Report(msgspec.Struct, kw_only=True):
    """What came back: pages a second and milliseconds, or streams, their events and how late the last reader had them.

    ``spread_ms``: for each event the time between its first and its last reader; median and worst of all events.
    """

    good: int
    per_s: float
    p50_ms: float
    p99_ms: float
    bad: dict[str, int]
    events: int = 0
    spread_ms: float = 0.0
    spread_ms_max: float = 0.0


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
        self.ask()

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def ask(self) -> None:
        """Ask for the page."""
        assert self._transport is not None
        self._began = time.perf_counter()
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        if self._load.holds:
            self._load.heard(data)
            return
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if not found or len(body) < length:
            return
        self._buffer = body[length:]
        self._load.answered(head, body[:length], time.perf_counter() - self._began)
        if time.perf_counter() < self._load.stop:
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(exc)


class Load:
    """One run of a ``Spec``."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._latencies: list[float] = []
        self._bad: dict[str, int] = defaultdict(int)
        self._seen: dict[bytes, list[float]] = defaultdict(list)
        self.holds = spec.holds
        self.stop = 0.0
        self._open: list[_Connection] = []
        cookie = f"Cookie: {spec.cookie}\r\n" if spec.cookie else ""
        head = (
            f"GET {spec.path} HTTP/1.1\r\nHost: localhost:{spec.port}\r\nAccept-Language: en\r\n{cookie}\r\n"
        )
        self.request = head.encode()

    async def run(self) -> Report:
        """Load for the time asked for."""
        loop, spec = asyncio.get_running_loop(), self._spec
        began = time.perf_counter()
        self.stop = began + spec.seconds
        for _ in range(spec.connections):
            _, made = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", spec.port)
            self._open.append(made)
        await asyncio.sleep(max(0.0, self.stop - time.perf_counter()))
        elapsed = time.perf_counter() - began
        good = len(self._latencies)
        await asyncio.sleep(LATE_S)
        for each in self._open:
            each.close()
        return self._report(good, elapsed)

    def _report(self, good: int, elapsed: float) -> Report:
        ordered = sorted(self._latencies) or [0.0]
        # What not everybody has had yet, or not everybody was there for, tells nothing of who had it last.
        whole = [times for times in self._seen.values() if len(times) == self._spec.connections]
        spreads = [(max(times) - min(times)) * 1000 for times in whole] or [0.0]
        return Report(
            good=good if not self.holds else self._spec.connections - sum(self._bad.values()),
            per_s=good / elapsed,
            p50_ms=ordered[len(ordered) // 2] * 1000,
            p99_ms=ordered[int(len(ordered) * 0.99)] * 1000,
            bad=dict(self._bad),
            events=len(whole),
            spread_ms=statistics.median(spreads),
            spread_ms_max=max(spreads),
        )

    def answered(self, head: bytes, body: bytes, seconds: float) -> None:
        """Count a page."""
        if head.startswith(b"HTTP/1.1 200") and self._spec.expect.encode() in body:
            self._latencies.append(seconds)
        else:
            self._bad[(head[9:12] + b" " + body[:200]).decode(errors="replace")] += 1

    def heard(self, data: bytes) -> None:
        """Note the events of a piece of a stream by their ids."""
        if data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 200"):
            self._bad[data[9:12].decode()] += 1
        now = time.perf_counter()
        for line in data.split(b"\n"):
            if line.startswith(b"id: "):
                self._seen[line].append(now)

    def lost(self, error: Exception | None) -> None:
        """Count a connection that the other side closed while the load went on."""
        if time.perf_counter() < self.stop:
            self._bad[f"connection lost: {error}"] += 1


def main() -> None:
    """Run the spec on standard input; print the report."""
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=Spec)
    report = uvloop.run(Load(spec).run())
    sys.stdout.buffer.write(msgspec.json.encode(report))


if __name__ == "__main__":
    main()
