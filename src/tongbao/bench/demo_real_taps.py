"""Taps on the wire: what two programs say to each other over HTTP is passed on unchanged and written down.

Whoever did not write either program can judge afterwards what was really sent. Nothing here changes a byte of a body.
"""

from collections.abc import Mapping

import msgspec
from aiohttp import web

from tongbao.bench.payment_drill_programs import HOST
from tongbao.core.http import HttpClient, NoAnswer, NotSent

FORWARD_S = 30.0
BODY_BYTES_MAX = 4_000_000
EXCHANGES_MAX = 50_000
"""Exchanges that one tap remembers; what comes later is passed on all the same."""
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "date",
        "keep-alive",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer; ``status`` 0 means that no answer came. Header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer_headers: Mapping[str, str] = {}
    answer: bytes = b""


class Tap:
    """Listens at ``port``, passes on to ``target`` (an address without a path), and keeps every exchange."""

    def __init__(self, port: int, target: str) -> None:
        self.url = f"http://{HOST}:{port}"
        self.exchanges: list[Exchange] = []
        self._port = port
        self._target = target
        self._http = HttpClient()
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port).start()

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self._http.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        sent = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        try:
            answer = await self._http.request(
                request.method,
                f"{self._target}{request.raw_path}",
                headers=sent,
                body=body or None,
                timeout_s=FORWARD_S,
                answer_bytes_max=BODY_BYTES_MAX,
            )
        except (NotSent, NoAnswer):
            self._keep(request, body, 0, {}, b"")
            if request.transport is not None:
                # The other side hung up: so does the tap, since an answer of its own would be a lie.
                request.transport.abort()
            return web.Response(status=502)
        self._keep(request, body, answer.status, answer.headers, answer.body)
        passed = {name: each for name, each in answer.headers.items() if name not in _HOP_BY_HOP}
        return web.Response(status=answer.status, headers=passed, body=answer.body)

    def _keep(
        self, request: web.Request, body: bytes, status: int, headers: Mapping[str, str], answer: bytes
    ) -> None:
        if len(self.exchanges) >= EXCHANGES_MAX:
            return
        self.exchanges.append(
            Exchange(
                method=request.method,
                path=request.raw_path,
                headers={name.lower(): value for name, value in request.headers.items()},
                body=body,
                status=status,
                answer_headers=headers,
                answer=answer,
            )
        )
