"""``tongbao bench payments``: whole payments a second over HTTP, beside pgbench's TPC-B in one run.

A payment is one ``POST /v1/payment_intents`` that creates, confirms and captures with a saved card: key, limits,
parameters, both commits, hooks, ledger, outbox, stored answer. The channel answers at once, in process, so what is
measured is this house alone. Everything is durable; server, program and load generator share the machine. The
program is the product's own ``tongbao serve api``, two processes over one database; the load comes from a process of
its own.
"""

import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
import msgspec
import psutil

from tongbao.bench import http_load, reference
from tongbao.bench.ledger import scratch_home
from tongbao.core import migrate
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import InvariantBroken, Unavailable
from tongbao.core.http import HttpClient, NoAnswer, NotSent
from tongbao.core.ids import IdFactory
from tongbao.parties.schema import KeyDraft, KeyKind, MerchantDraft, OperatorPermission, Package, Permission
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties

DATABASE = "bench"
MERCHANTS = 50
PROCESSES = 2
CROWDS = (8, 64, 256)
LATENCY_RATE = 100.0
START_S_MAX = 30.0
TEST_CARD = "4242424242424242"
CHANNELS = '[[channel]]\nname = "direct"\nadapter = "direct"\n'
Say = Callable[[str], None]

_COUNTS = """
SELECT (SELECT count(*) FROM payments.intent WHERE state = 'succeeded') AS paid,
    (SELECT count(*) FROM ledger.transfer WHERE code = 'payment.charged') AS posted,
    (SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('payments', 'requests', 'events', 'ledger') AND c.relkind = 'r') AS bytes
"""


class Sizes(msgspec.Struct, frozen=True):
    """How long each row runs, in seconds, and how large TPC-B's tables are."""

    seconds: float
    tpcb_seconds: int
    pgbench_scale: int = 50


FULL = Sizes(12.0, 8)
QUICK = Sizes(3.0, 3, 10)


async def run(sizes: Sizes, say: Say) -> dict[str, float]:
    """Measure and return the figures; raise InvariantBroken where payments and ledger disagree afterwards."""
    with scratch_home("tongbao-bench-") as home:
        server = EmbeddedServer(home)
        say("Starting an embedded server, durable settings verified …")
        server.start()
        try:
            return await _Run(server, home.parent, sizes, say).all()
        finally:
            server.stop()


class _Run:
    def __init__(self, server: EmbeddedServer, folder: Path, sizes: Sizes, say: Say) -> None:
        self._server = server
        self._folder = folder
        self._sizes = sizes
        self._say = say
        self._keys: list[str] = []
        self._methods: dict[str, str] = {}
        self._paid = 0

    async def all(self) -> dict[str, float]:
        """Run every row in order; each ratio is to the mean of TPC-B just before and just after."""
        await reference.prepare(self._server, 100, self._sizes.pgbench_scale)
        await self._open()
        figures: dict[str, float] = {}
        references = [await reference.tpcb(self._server, self._sizes.tpcb_seconds)]
        async with contextlib.AsyncExitStack() as stack:
            running = [await stack.enter_async_context(self._api(number)) for number in range(PROCESSES)]
            ports = [port for port, _ in running]
            await self._save_cards(ports[0])
            await self._load(ports, connections=32, seconds=2.0)
            await self._settle_disk()
            calm = await self._load(ports, connections=64, rate=LATENCY_RATE)
            figures |= {
                "p50_ms_added": calm.p50_ms,
                "p95_ms_added": calm.p95_ms,
                "p99_ms_added": calm.p99_ms,
            }
            self._say(
                f"at {LATENCY_RATE:.0f}/s: p50 {calm.p50_ms:.1f} ms, p95 {calm.p95_ms:.1f} ms, p99 {calm.p99_ms:.1f} ms"
            )
            for crowd in CROWDS:
                report = await self._load(ports, connections=crowd)
                references.append(await reference.tpcb(self._server, self._sizes.tpcb_seconds))
                beside = statistics.mean(references[-2:])
                figures |= {
                    f"c{crowd}_per_s": report.per_s,
                    f"c{crowd}_ratio": report.per_s / beside,
                    f"c{crowd}_p50_ms": report.p50_ms,
                    f"c{crowd}_p99_ms": report.p99_ms,
                }
                self._say(
                    f"{crowd:>4} connections: {report.per_s:,.0f} payments/s, {report.per_s / beside:.2f} × TPC-B "
                    f"({beside:,.0f}/s), p50 {report.p50_ms:.0f} ms, p99 {report.p99_ms:.0f} ms"
                )
            figures["rss_mb"] = max(process.memory_info().rss for _, process in running) / 1e6
            self._say(f"a process holds {figures['rss_mb']:.0f} MB")
        best = max(CROWDS, key=lambda crowd: figures[f"c{crowd}_ratio"])
        figures |= {
            "payments_per_s": figures[f"c{best}_per_s"],
            "ratio": figures[f"c{best}_ratio"],
            "tpcb_c16_per_s": statistics.median(references),
            "bytes_per_payment": await self._check(),
        }
        return {name: round(value, 3) for name, value in sorted(figures.items())}

    async def _open(self) -> None:
        """Make the database and the merchants, each with a secret key."""
        admin = await asyncpg.connect(self._server.dsn())
        await admin.execute(f"CREATE DATABASE {DATABASE}")
        await admin.close()
        dsn = self._server.dsn(DATABASE)
        await migrate.upgrade(dsn)
        clock = RealClock()
        async with Database(dsn) as database, Parties(database, clock, IdFactory(clock)) as parties:
            operator = operator_of_job("bench", frozenset(OperatorPermission))
            for number in range(MERCHANTS):
                draft = MerchantDraft(
                    name=f"Shop {number}",
                    country="CN",
                    default_currency="CNY",
                    mcc="5411",
                    package=Package.ENTERPRISE,
                )
                async with database.transaction() as connection:
                    merchant = await parties.merchants.create(connection, operator, draft)
                scope = await parties.access.scope_of_job(
                    merchant.merchant_id, live=False, job="bench", permissions=frozenset(Permission)
                )
                async with database.transaction() as connection:
                    issued = await parties.keys.create(connection, scope, KeyDraft(kind=KeyKind.SECRET))
                self._keys.append(issued.text.get_secret_value())

    async def _settle_disk(self) -> None:
        """Write out what making pgbench's tables has left, so that no payment pays for it."""
        admin = await asyncpg.connect(self._server.dsn())
        await admin.execute("CHECKPOINT")
        await admin.close()

    @contextlib.asynccontextmanager
    async def _api(self, number: int) -> AsyncIterator[tuple[int, psutil.Process]]:
        """Run one API process over the database; end it with a signal, as an operator would."""
        channels = self._folder / f"channels-{number}.toml"
        channels.write_text(CHANNELS)
        channels.chmod(0o600)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        environment = os.environ | {
            "TONGBAO_DATABASE_URL": self._server.dsn(DATABASE),
            "TONGBAO_DATA_DIR": str(self._folder / "data"),
            "TONGBAO_CHANNELS_FILE": str(channels),
            "TONGBAO_TEST_RATE_PER_S": "1000000",
            "TONGBAO_LOG_LEVEL": "WARNING",
        }
        command = [sys.executable, "-m", "tongbao", "serve", "api", "--port", str(port)]
        process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=subprocess.DEVNULL)
        try:
            await _until_up(port)
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()
            await process.wait()

    async def _save_cards(self, port: int) -> None:
        """Save one card with each merchant; its number enters by the one door that there is."""
        http = HttpClient()
        form = {
            "type": "card",
            "card[number]": TEST_CARD,
            "card[exp_month]": "12",
            "card[exp_year]": "2040",
            "card[cvc]": "123",
        }
        for key in self._keys:
            answer = await http.request(
                "POST",
                f"http://127.0.0.1:{port}/v1/payment_methods",
                headers={
                    "Authorization": f"Bearer {key}",
                    "Content-Type": "application/x-www-form-urlencoded",
                },
                body=urlencode(form).encode(),
            )
            if answer.status != 200:
                raise Unavailable("bench_card_refused", answer.body[:200].decode(errors="replace"))
            self._methods[key] = json.loads(answer.body)["id"]
        await http.close()

    async def _load(
        self, ports: list[int], *, connections: int, seconds: float | None = None, rate: float | None = None
    ) -> http_load.Report:
        """Load the API from a process of its own; raise InvariantBroken where an answer was not a payment."""
        spec = http_load.Spec(
            host="127.0.0.1",
            ports=ports,
            path="/v1/payment_intents",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body="amount=1999&currency=cny&confirm=true&payment_method={method}&metadata[order]=A-{n}",
            connections=connections,
            seconds=seconds or self._sizes.seconds,
            rate=rate,
            expect='"status":"succeeded"',
            keys=self._keys,
            methods=self._methods,
            run=f"{connections}-{rate}-{time.monotonic_ns()}",
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
            raise InvariantBroken("bench_payment_failed", str(report.bad)[:500])
        self._paid += report.good
        return report

    async def _check(self) -> float:
        """Return bytes a payment; raise InvariantBroken where answers, payments and ledger are not equally many."""
        connection = await asyncpg.connect(self._server.dsn(DATABASE))
        row: Any = await connection.fetchrow(_COUNTS)
        await connection.close()
        if row["paid"] != row["posted"] or row["paid"] < self._paid:
            raise InvariantBroken(
                "bench_counts", f"{self._paid} answered, {row['paid']} paid, {row['posted']} posted"
            )
        return float(row["bytes"]) / float(row["paid"])


async def _until_up(port: int) -> None:
    http = HttpClient()
    began = time.monotonic()
    try:
        while time.monotonic() - began < START_S_MAX:
            with contextlib.suppress(NotSent, NoAnswer):
                if (await http.request("GET", f"http://127.0.0.1:{port}/healthz")).status == 200:
                    return
            await asyncio.sleep(0.1)
    finally:
        await http.close()
    raise Unavailable("bench_api_down", "the API process did not come up")
