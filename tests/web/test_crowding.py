"""A process that has too much to do says so: to whom, in which form, and for how long."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from tongbao.core.metrics import Metrics
from tongbao.web import crowding
from tongbao.web.crowding import Crowding

BASE = "http://localhost"


class Slow:
    """An application that answers when it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/slow"):
            self.begun += 1
            await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


class Crowd:
    """Somebody slow behind the gate, and people before it."""

    def __init__(self) -> None:
        self.slow = Slow()
        self.metrics = Metrics()
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(Crowding(self.slow, self.metrics)), base_url=BASE
        )
        self._waiting: list[asyncio.Task[httpx.Response]] = []

    async def come(self, count: int) -> None:
        """Let requests begin that stay open."""
        wanted = self.slow.begun + count
        self._waiting += [asyncio.create_task(self.http.get("/slow")) for _ in range(count)]
        while self.slow.begun < wanted:  # noqa: ASYNC110 - what is waited for is another object's state
            await asyncio.sleep(0)

    async def leave(self) -> list[int]:
        """Let all of them end; return their statuses."""
        self.slow.go.set()
        answers = await asyncio.gather(*self._waiting)
        return [each.status_code for each in answers]


async def crowded(limit: int, then: Callable[[Crowd], Awaitable[None]]) -> None:
    """Fill a process with as many open requests as it may have, look, and let everybody go on."""
    crowd = Crowd()
    async with crowd.http:
        await crowd.come(limit)
        await then(crowd)
        assert await crowd.leave() == [200] * limit
        assert (await crowd.http.get("/v2/books")).status_code == 200


async def test_request_beyond_the_most_is_refused_in_the_form_of_who_asks_and_probes_are_let_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crowding, "OPEN_MAX", 5)

    async def look(crowd: Crowd) -> None:
        program = await crowd.http.get("/v2/books")
        assert (program.status_code, program.headers["retry-after"]) == (503, "1")
        assert program.json()["error"]["code"] == "process_busy"
        client = await crowd.http.post("/v1/payment_intents")
        assert (client.status_code, client.json()["error"]["type"]) == (503, "api_error")
        page = await crowd.http.get("/ops/today", headers={"accept": "text/html", "accept-language": "zh-CN"})
        assert page.status_code == 503
        assert "系统繁忙" in page.text
        for path in (*crowding.ALWAYS, "/ops/live", "/merchant/acct_1/stream"):
            assert (await crowd.http.get(path)).status_code == 200, path
        assert 'requests_refused_busy_total{why="5 requests are open"} 3.0' in crowd.metrics.render().decode()

    await crowded(5, look)


async def test_late_process_refuses_only_while_many_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowding, "CROWD_MIN", 4)
    monkeypatch.setattr(crowding, "BEAT_S", 0.05)
    monkeypatch.setattr(crowding, "LATE_S", 0.1)

    async def stall(crowd: Crowd) -> int:
        time.sleep(0.3)  # noqa: ASYNC251 - one long thing that holds everybody up
        for _ in range(3):
            await asyncio.sleep(0)
        return (await crowd.http.get("/v2/books")).status_code

    async def many(crowd: Crowd) -> None:
        assert await stall(crowd) == 503
        async with asyncio.timeout(10.0):
            while (await crowd.http.get("/v2/books")).status_code != 200:  # noqa: ASYNC110 - its state, not an event
                await asyncio.sleep(0.02)

    async def few(crowd: Crowd) -> None:
        assert await stall(crowd) == 200

    await crowded(4, many)
    await crowded(3, few)
