"""Too much at once: a process that cannot keep up says so at once, instead of letting everybody wait.

A request is refused with 503 ``process_busy`` while very many others are open, or while many are and the process is late: its turns
come more than a second after their time, so that whatever began now would be answered after its caller has left. Whoever repeats
it under the same key loses nothing. Probes and metrics are let in always, so that a house under load is not taken for dead; so are live
streams, which are open for hours and do next to nothing.
"""

import asyncio

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from tongbao.core.errors import Unavailable
from tongbao.core.metrics import Metrics
from tongbao.web.refusing import refusal

OPEN_MAX = 2_000
"""Requests open at once. Most of them wait for channels: one that is silent holds each of its payments for seconds."""
CROWD_MIN = 200
"""With fewer open a late process has one long thing to do, and the others may wait for it."""
LATE_S = 1.0
BEAT_S = 0.25
RETRY_S = 1.0
ALWAYS = frozenset({"/healthz", "/readyz", "/metrics"})
STREAMS = ("/live", "/stream")


class Crowding:
    """Stands before an application. One per process; belongs to one event loop."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._open = 0
        self._late_s = 0.0
        self._due_s = 0.0
        self._beat: asyncio.TimerHandle | None = None
        self._refused = metrics.counter(
            "requests_refused_busy", "Requests refused because the process had too much to do", ("why",)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path in ALWAYS or path.endswith(STREAMS):
            await self._app(scope, receive, send)
            return
        why = self._why_not()
        if why:
            self._refused.labels(why).inc()
            busy = Unavailable("process_busy", f"too much to do: {why}", retry_after_s=RETRY_S)
            await refusal(Request(scope, receive), busy, "e_busy")(scope, receive, send)
            return
        self._open += 1
        self._listen()
        try:
            await self._app(scope, receive, send)
        finally:
            self._open -= 1

    def _why_not(self) -> str:
        if self._open >= OPEN_MAX:
            return f"{OPEN_MAX} requests are open"
        is_late = self._late_s > LATE_S and self._open >= CROWD_MIN
        return f"more than {LATE_S:.0f} s late" if is_late else ""

    def _listen(self) -> None:
        """Measure how late turns come, as long as anything is open."""
        if self._beat is None:
            loop = asyncio.get_running_loop()
            self._due_s = loop.time() + BEAT_S
            self._beat = loop.call_at(self._due_s, self._beaten, loop)

    def _beaten(self, loop: asyncio.AbstractEventLoop) -> None:
        # A late turn is believed for some beats, so that a process comes to itself before it lets everybody in.
        self._late_s = max(loop.time() - self._due_s, self._late_s / 2)
        self._beat = None
        if self._open:
            self._listen()
        else:
            self._late_s = 0.0
