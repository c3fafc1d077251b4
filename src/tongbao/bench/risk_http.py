"""Risk control over HTTP: the assessment with its durable row at a steady rate, beside an endpoint that does nothing.

The program is the product's own ``tongbao serve api``, one process; PostgreSQL, program and load generator share the machine.
Each request asks ``POST /v2/risk/assess`` about a payment in which five are known. The reference is an ASGI
application of five lines behind the same web server with the same load, just before: what a request costs anyway.

``python -m tongbao.bench.risk_http PORT`` is that application.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import msgspec
import psutil
import uvicorn
import uvloop

from tongbao.bench import http_load
from tongbao.bench.ledger import scratch_home
from tongbao.core import migrate
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import InvariantBroken, Unavailable
from tongbao.core.http import HttpAnswer, HttpClient, NoAnswer, NotSent
from tongbao.core.ids import IdFactory
from tongbao.parties.schema import KeyDraft, KeyKind, MerchantDraft, OperatorPermission, Package, Permission
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties

DATABASE = "bench"
PATH = "/v2/risk/assess"
RATE = 300.0
CONNECTIONS = 32
SECONDS = 12.0
WARM_UP_S = 3.0
START_S_MAX = 60.0
KEYS = 20
NO_ENDPOINT = "this program serves no POST /v2/risk/assess"
CHANNELS = '[[channel]]\nname = "direct"\nadapter = "direct"\n'
Say = Callable[[str], None]
Message = dict[str, Any]


class HttpFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds at a steady rate, of the assessment and of the endpoint that does nothing; ``rows`` were written.

    ``assess_cpu_ms`` and ``trivial_cpu_ms``: processor time of the serving process for each request, which neighbors on the
    machine move least.
    """

    assess: http_load.Report
    trivial: http_load.Report
    assess_cpu_ms: float
    trivial_cpu_ms: float
    rate: float
    rows: int


def figures(say: Say) -> dict[str, Any]:
    """Return ``http_p99_ms`` and what is behind it; None with a sentence where there is no such endpoint.

    Raises InvariantBroken ``bench_assessment_failed`` where an answer was no tier, or fewer decisions than answers were kept.
    """
    say(f"Over HTTP at {RATE:.0f}/s …")
    with scratch_home("tongbao-bench-") as home:
        server = EmbeddedServer(home)
        server.start()
        try:
            found = uvloop.run(_Run(server, home.parent).all())
        finally:
            server.stop()
    if found is None:
        say(f"  {NO_ENDPOINT}")
        return {"http_p99_ms": None, "http": NO_ENDPOINT}
    say(
        f"  p99 {found.assess.p99_ms:.1f} ms, doing nothing {found.trivial.p99_ms:.1f} ms; "
        f"{found.assess_cpu_ms:.2f} and {found.trivial_cpu_ms:.2f} ms of a processor"
    )
    return {
        "http_p99_ms": round(found.assess.p99_ms, 2),
        "http_ratio_to_trivial": round(found.assess.p99_ms / max(found.trivial.p99_ms, 1e-3), 2),
        "http": msgspec.to_builtins(found),
    }


class Served(NamedTuple):
    """A process that answers on a port."""

    port: int
    process: psutil.Process

    def cpu_s(self) -> float:
        """Return the processor time that it has used, in seconds."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


class _Run:
    def __init__(self, server: EmbeddedServer, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._keys: list[str] = []

    async def all(self) -> HttpFigures | None:
        """Load the endpoint that does nothing, then the assessment."""
        await self._open()
        async with _trivial() as served:
            await self._load(served.port, WARM_UP_S)
            trivial, trivial_cpu_ms = await self._timed(served)
        async with self._api() as served:
            if not await self._is_served(served.port):
                return None
            await self._load(served.port, WARM_UP_S)
            assess, assess_cpu_ms = await self._timed(served)
        return HttpFigures(
            assess=assess,
            trivial=trivial,
            assess_cpu_ms=round(assess_cpu_ms, 3),
            trivial_cpu_ms=round(trivial_cpu_ms, 3),
            rate=RATE,
            rows=await self._rows(assess.good),
        )

    async def _timed(self, served: "Served") -> tuple[http_load.Report, float]:
        """Load a process; return what came back, and its processor time for each answer in milliseconds."""
        before = served.cpu_s()
        report = await self._load(served.port, SECONDS)
        return report, (served.cpu_s() - before) * 1000 / report.good

    async def _open(self) -> None:
        """Make the database and one merchant with some secret keys; each stands for a payer in the requests."""
        admin = await asyncpg.connect(self._server.dsn())
        await admin.execute(f"CREATE DATABASE {DATABASE}")
        await admin.close()
        dsn = self._server.dsn(DATABASE)
        await migrate.upgrade(dsn)
        clock = RealClock()
        draft = MerchantDraft(
            name="Shop", country="CN", default_currency="CNY", mcc="5411", package=Package.ENTERPRISE
        )
        operator = operator_of_job("bench", frozenset(OperatorPermission))
        async with Database(dsn) as database, Parties(database, clock, IdFactory(clock)) as parties:
            async with database.transaction() as connection:
                merchant = await parties.merchants.create(connection, operator, draft)
            scope = await parties.access.scope_of_job(
                merchant.merchant_id, live=False, job="bench", permissions=frozenset(Permission)
            )
            for _ in range(KEYS):
                async with database.transaction() as connection:
                    issued = await parties.keys.create(connection, scope, KeyDraft(kind=KeyKind.SECRET))
                self._keys.append(issued.text.get_secret_value())

    @contextlib.asynccontextmanager
    async def _api(self) -> AsyncIterator[Served]:
        """Run one API process over the database; end it with a signal, as an operator would."""
        channels = self._folder / "channels.toml"
        channels.write_text(CHANNELS)
        channels.chmod(0o600)
        environment = os.environ | {
            "TONGBAO_DATABASE_URL": self._server.dsn(DATABASE),
            "TONGBAO_DATA_DIR": str(self._folder / "data"),
            "TONGBAO_CHANNELS_FILE": str(channels),
            "TONGBAO_TEST_RATE_PER_S": "1000000",
            "TONGBAO_LOG_LEVEL": "WARNING",
        }
        port = _free_port()
        command = [sys.executable, "-m", "tongbao", "serve", "api", "--port", str(port)]
        async with _running(command, environment, port, "/healthz") as served:
            yield served

    async def _is_served(self, port: int) -> bool:
        http = HttpClient()
        try:
            answer: HttpAnswer = await http.request(
                "POST",
                f"http://127.0.0.1:{port}{PATH}",
                headers={"Authorization": f"Bearer {self._keys[0]}", "Content-Type": "application/json"},
                body=body().replace("{method}", "0").replace("{n}", "0").encode(),
            )
        finally:
            await http.close()
        if answer.status not in {200, 404, 405}:
            said = answer.body[:300].decode(errors="replace")
            raise InvariantBroken("bench_assessment_failed", f"{answer.status}: {said}")
        return answer.status == 200

    async def _load(self, port: int, seconds: float) -> http_load.Report:
        """Load one port from a process of its own."""
        spec = http_load.Spec(
            host="127.0.0.1",
            ports=[port],
            path=PATH,
            headers={"Content-Type": "application/json"},
            body=body(),
            connections=CONNECTIONS,
            seconds=seconds,
            rate=RATE,
            expect='"tier":',
            keys=self._keys,
            methods={key: str(number) for number, key in enumerate(self._keys)},
            # A judgement that is asked for twice is two looks: whoever wants one sends a key, at three more statements.
            is_once=False,
            # In letters as well: a long number could be that of a card, which no key may hold.
            run=f"risk-{time.monotonic_ns():x}",
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tongbao.bench.http_load",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        output, _ = await process.communicate(msgspec.json.encode(spec))
        report = msgspec.json.decode(output, type=http_load.Report)
        if report.bad or not report.good:
            raise InvariantBroken("bench_assessment_failed", str(report.bad)[:500])
        return report

    async def _rows(self, answered: int) -> int:
        """Return how many decisions are kept; raise InvariantBroken where they are fewer than answers."""
        connection = await asyncpg.connect(self._server.dsn(DATABASE))
        rows = int(await connection.fetchval("SELECT count(*) FROM decisions.decision WHERE kind = 'risk'"))
        await connection.close()
        if rows < answered:
            raise InvariantBroken("bench_assessment_failed", f"{answered} answered, {rows} decisions kept")
        return rows


def body() -> str:
    """Return what is asked about, as ``http_load`` fills it in.

    ``{method}`` is the number of the payer, ``{n}`` that of the payment; the merchant is whoever asks.
    """
    keys = {name: f"{name}_{{method}}" for name in ("customer", "card", "device", "address")}
    facts: dict[str, Any] = {
        "reference": "order-{n}",
        "value": 4_900,
        "currency": "EUR",
        "method": "card",
        "card_country": "FR",
        "address_country": "FR",
        "merchant_country": "FR",
        "mcc": "5411",
        "funding": "debit",
    }
    return json.dumps(facts | keys)


@contextlib.asynccontextmanager
async def _trivial() -> AsyncIterator[Served]:
    port = _free_port()
    command = [sys.executable, "-m", "tongbao.bench.risk_http", str(port)]
    async with _running(command, dict(os.environ), port, PATH) as served:
        yield served


@contextlib.asynccontextmanager
async def _running(
    command: list[str], environment: dict[str, str], port: int, path: str
) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=subprocess.DEVNULL)
    try:
        await _until_up(port, path)
        yield Served(port, psutil.Process(process.pid))
    finally:
        process.terminate()
        await process.wait()


async def _until_up(port: int, path: str) -> None:
    http = HttpClient()
    began = time.monotonic()
    try:
        while time.monotonic() - began < START_S_MAX:
            with contextlib.suppress(NotSent, NoAnswer):
                if (await http.request("GET", f"http://127.0.0.1:{port}{path}")).status == 200:
                    return
            await asyncio.sleep(0.1)
    finally:
        await http.close()
    raise Unavailable("bench_api_down", "the process did not come up")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def nothing(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer every request alike, as soon as it was read: an ASGI application."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    answer = b'{"tier":"none"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(nothing, port=int(sys.argv[1]), log_level="critical", lifespan="off", access_log=False)
