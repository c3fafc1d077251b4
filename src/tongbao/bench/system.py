"""``tongbao bench system``: payments a second through HTTP with everything on, beside pgbench's TPC-B in one run.

A payment is one ``POST /v1/payment_intents`` that creates, confirms and captures, by a customer with a saved card, a device
and an address: judged by trained trees and thirty rules in the judging process, routed over three acquirers that answer at
once over TCP, posted, published, told to its merchant by webhook and sealed, while somebody watches the console. It counts as
sustained only over the time until all of that is done: the load, and the wait for what is behind it. Everything is durable;
all processes, the load and the world outside share the machine.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import asyncpg
import msgspec

from tongbao.bench import http_load, reference
from tongbao.bench.ledger import scratch_home
from tongbao.bench.payment_drill_programs import HOST, Program
from tongbao.bench.system_measures import Row, rows_of
from tongbao.bench.system_receiver import Watcher
from tongbao.bench.system_world import HOUSE, SystemWorld
from tongbao.core.errors import InvariantBroken

LIVE = "/ops/live?channels=today"
PATH = "/v1/payment_intents"
BODY = "currency=cny&confirm=true&payment_method={method}&metadata[order]=A-{n}"
TRIVIAL_PATH = "/nothing"
WARM_UP_S = 2.0
WARM_UPS_MAX = 30
HALF = 0.5
HEARD_S_MAX = 60.0
Say = Callable[[str], None]

_STATE = """
SELECT pg_database_size(current_database()) AS bytes, pg_current_wal_lsn() - '0/0'::pg_lsn AS wal,
    (SELECT count(*) FROM payments.intent) AS intents,
    (SELECT count(*) FROM payments.intent WHERE state = 'succeeded') AS paid,
    (SELECT count(*) FROM ledger.transfer WHERE code = 'payment.charged') AS posted,
    (SELECT count(*) FROM decisions.decision WHERE kind = 'risk') AS judged,
    (SELECT count(*) FROM decisions.decision WHERE kind = 'routing') AS routed,
    (SELECT count(DISTINCT chosen) FROM decisions.decision WHERE kind = 'routing') AS channels
"""


class Sizes(msgspec.Struct, frozen=True):
    """How long each row runs, in seconds, over how many connections; how many payers there are; TPC-B's tables."""

    seconds: float
    tpcb_seconds: int
    connections: int = 64
    payers: int = 2_000
    pgbench_scale: int = 50


FULL = Sizes(20.0, 10)
QUICK = Sizes(5.0, 3, payers=400, pgbench_scale=10)


class State(NamedTuple):
    """What the database holds: its bytes, bytes of journal written so far, and rows of each kind."""

    bytes: int
    wal: int
    intents: int
    paid: int
    posted: int
    judged: int
    routed: int
    channels: int


class Peak(NamedTuple):
    """The closed loop: what came back, how long the rest took after it, what everything used meanwhile."""

    report: http_load.Report
    rest_s: float
    payments: int
    rows: dict[str, Row]
    before: State
    after: State

    @property
    def per_s(self) -> float:
        """Payments a second, over the time in which all that they mean was done."""
        return self.payments / (self.payments / self.report.per_s + self.rest_s)


async def run(sizes: Sizes, say: Say) -> dict[str, Any]:
    """Measure and return the figures; raise InvariantBroken where an answer or a row is missing."""
    with scratch_home("tongbao-bench-") as home:
        world = SystemWorld(home.parent, sizes.payers, sizes.pgbench_scale)
        say("Starting PostgreSQL, acquirers and the house; letting payers in …")
        try:
            await world.open()
            return await System(world, sizes, say).all()
        finally:
            await world.close()


class System:
    """Loads an open world."""

    def __init__(self, world: SystemWorld, sizes: Sizes, say: Say) -> None:
        self.world = world
        self.sizes = sizes
        self.say = say

    async def all(self) -> dict[str, Any]:
        """Run every row; the ratio is to the mean of TPC-B just before and just after the peak."""
        async with Watcher(self.world.api_ports[0], LIVE, self.world.operator) as watcher:
            await self.warm_up()
            await _heard(watcher)
            before = await self._tpcb()
            peak = await self.peak()
            after = await self._tpcb()
            rate = peak.report.per_s * HALF
            trivial = await self._trivial(rate)
            calm = await self.payments(self.sizes.seconds, rate)
            await self.world.wait_for_the_rest()
            state = await self.checked(await self.world.received())
        self._told(peak, calm, trivial)
        return figures(peak, calm, trivial, (before, after)) | {
            "console_parts": watcher.events,
            "payments": state.intents,
            "channels": state.channels,
        }

    async def peak(self) -> Peak:
        """Load as fast as answers come, and wait for what is behind them."""
        before, used = await self.state(), await self.world.use()
        began = time.perf_counter()
        report = await self.payments(self.sizes.seconds)
        ended = time.perf_counter()
        await self.world.wait_for_the_rest()
        rest_s = time.perf_counter() - ended
        after, now_used = await self.state(), await self.world.use()
        payments = after.intents - before.intents
        rows = rows_of(used, now_used, ended - began + rest_s, payments)
        return Peak(report, rest_s, payments, rows, before, after)

    async def warm_up(self) -> None:
        """Let payers pay until answers come within seconds: a cold process plans its statements first."""
        for _ in range(WARM_UPS_MAX):
            report = await _asked(self._spec(WARM_UP_S, None))
            if report.bad:
                raise _failed(report)
            if report.good:
                return
        raise InvariantBroken("bench_payment_failed", f"no answer within {WARM_UPS_MAX * WARM_UP_S:.0f} s")

    async def payments(self, seconds: float, rate: float | None = None) -> http_load.Report:
        """Let payers pay, over both processes; raise InvariantBroken where an answer was not a payment."""
        return await _loaded(self._spec(seconds, rate))

    def _spec(self, seconds: float, rate: float | None) -> http_load.Spec:
        payers = self.world.payers.fields
        return http_load.Spec(
            host=HOST,
            ports=self.world.api_ports,
            path=PATH,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=BODY,
            connections=self.sizes.connections,
            seconds=seconds,
            rate=rate,
            expect='"status":"succeeded"',
            keys=list(payers),
            payers=payers,
            # In letters as well: a long number could be that of a card, which no key may hold.
            run=f"system-{time.monotonic_ns():x}",
        )

    async def checked(self, received: int) -> State:
        """Return what the database holds; raise InvariantBroken where payments, postings, decisions or webhooks lack."""
        state = await self.state()
        least = min(state.posted, state.judged, state.routed, received)
        if state.paid != state.posted or least < state.paid:
            raise InvariantBroken("bench_counts", f"{state}, {received} webhooks received")
        return state

    async def state(self) -> State:
        """Return what the database holds now."""
        connection = await asyncpg.connect(self.world.dsn)
        row: Any = await connection.fetchrow(_STATE)
        await connection.close()
        return State(*map(int, row.values()))

    async def _tpcb(self) -> float:
        """Return TPC-B's rate, with nothing of what came before left to be written."""
        admin = await asyncpg.connect(self.world.server.dsn())
        await admin.execute("CHECKPOINT")
        await admin.close()
        return await reference.tpcb(self.world.server, self.sizes.tpcb_seconds)

    async def _trivial(self, rate: float) -> http_load.Report:
        """Load an endpoint that does nothing, in a process of its own, at the same rate by the same load."""
        port = self.world.trivial_port
        command = [sys.executable, "-m", "tongbao.bench.risk_http", str(port)]
        program = Program("trivial", command, self.world.home, port=port)
        await program.start()
        try:
            spec = http_load.Spec(
                host=HOST,
                ports=[port],
                path=TRIVIAL_PATH,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=BODY,
                connections=self.sizes.connections,
                seconds=self.sizes.seconds / 2,
                rate=rate,
                expect="tier",
                keys=["none"],
                run="trivial",
            )
            return await _loaded(spec)
        finally:
            await program.stop()

    def _told(self, peak: Peak, calm: http_load.Report, trivial: http_load.Report) -> None:
        self.say(
            f"{peak.report.per_s:,.0f} payments/s answered, {peak.per_s:,.0f}/s with all that follows done "
            f"({peak.rest_s:.1f} s after the load); p50 {peak.report.p50_ms:.0f} ms, p99 {peak.report.p99_ms:.0f} ms"
        )
        self.say(
            f"at half of that: p50 {calm.p50_ms:.1f} ms, p95 {calm.p95_ms:.1f} ms, p99 {calm.p99_ms:.1f} ms; "
            f"doing nothing: p95 {trivial.p95_ms:.1f} ms"
        )
        for name, row in peak.rows.items():
            self.say(
                f"{name:>9}: {row.cpu_ms_per_payment:.3f} ms of a processor a payment, {row.rss_mb:.0f} MB"
            )


def figures(
    peak: Peak, calm: http_load.Report, trivial: http_load.Report, tpcb: tuple[float, float]
) -> dict[str, Any]:
    """Return the figures of a run; ``ratio`` is that of sustained payments to the mean of TPC-B."""
    beside = statistics.fmean(tpcb)
    grown = (peak.after.bytes - peak.before.bytes, peak.after.wal - peak.before.wal)
    return {
        "ratio": round(peak.per_s / beside, 3),
        "payments_per_s": round(peak.per_s, 1),
        "answered_per_s": round(peak.report.per_s, 1),
        "answered_ratio": round(peak.report.per_s / beside, 3),
        "rest_s": round(peak.rest_s, 2),
        "tpcb_c16_per_s": round(beside, 1),
        "p95_ms_added": round(calm.p95_ms - trivial.p95_ms, 2),
        "half_of_peak": _latency(calm) | {"per_s": round(calm.per_s, 1)},
        "trivial": _latency(trivial),
        "peak": _latency(peak.report),
        "rss_mb_total": round(sum(peak.rows[name].rss_mb for name in HOUSE), 1),
        "cpu_ms_per_payment": round(sum(peak.rows[name].cpu_ms_per_payment for name in HOUSE), 3),
        "processes": msgspec.to_builtins(peak.rows),
        "database_kb_per_1000": round(grown[0] / peak.payments * 1_000 / 1e3, 1),
        "journal_kb_per_1000": round(grown[1] / peak.payments * 1_000 / 1e3, 1),
    }


def _latency(report: http_load.Report) -> dict[str, float]:
    return {
        "p50_ms": round(report.p50_ms, 2),
        "p95_ms": round(report.p95_ms, 2),
        "p99_ms": round(report.p99_ms, 2),
    }


async def _heard(watcher: Watcher) -> None:
    """Wait for the first part of the console; raise InvariantBroken ``bench_console_silent``."""
    try:
        await asyncio.wait_for(watcher.heard.wait(), HEARD_S_MAX)
    except TimeoutError:
        detail = f"the console answered {watcher.status}, and no part came"
        raise InvariantBroken("bench_console_silent", detail) from None


async def _loaded(spec: http_load.Spec) -> http_load.Report:
    """Load from a process of its own; raise InvariantBroken where an answer was not as it should be."""
    report = await _asked(spec)
    if report.bad or not report.good:
        raise _failed(report)
    return report


async def _asked(spec: http_load.Spec) -> http_load.Report:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tongbao.bench.http_load", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate(msgspec.json.encode(spec))
    return msgspec.json.decode(output, type=http_load.Report)


def _failed(report: http_load.Report) -> InvariantBroken:
    return InvariantBroken("bench_payment_failed", str(report.bad)[:500])
