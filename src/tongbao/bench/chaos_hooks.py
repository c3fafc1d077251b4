"""The shop's webhook receiver: takes every event, counts it by its id, and can be away.

What it keeps is the shop's side of the story: which payments it was told of, and how often it was told the same.
"""

from collections import Counter
from typing import Any

import msgspec
from aiohttp import web

from tongbao.bench.payment_drill_programs import HOST

EVENTS_MAX = 200_000
GRACE_S = 0.1
SUCCEEDED = "payment_intent.succeeded"


class Hooks:
    """The receiver at ``port``; ``open`` before use, ``close`` always, again and again."""

    def __init__(self, port: int) -> None:
        self.times: Counter[str] = Counter()
        """How often each event came, by its id."""
        self.succeeded: set[str] = set()
        """Payments that the shop was told have succeeded."""
        self._port = port
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where events go."""
        return f"http://{HOST}:{self._port}/hook"

    @property
    def repeated(self) -> int:
        """Return how many deliveries told something a second time."""
        return sum(self.times.values()) - len(self.times)

    async def open(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=GRACE_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port, reuse_address=True).start()

    async def close(self) -> None:
        """Refuse connections and break those that stand."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        event: dict[str, Any] = msgspec.json.decode(await request.read())
        if len(self.times) < EVENTS_MAX:
            self.times[request.headers["webhook-id"]] += 1
            if event["type"] == SUCCEEDED:
                self.succeeded.add(event["data"]["object"]["id"])
        return web.Response(status=204)
