"""The payment drill: the payment path broken on purpose under load, and what became of the money counted.

A shop's orders go through two API processes to real peers on loopback that fall silent, break lines, tell things late
and twice. Meanwhile channels, API processes, the worker and PostgreSQL are killed -9 and started again. The shop repeats
every request under its key until it is answered. Afterwards acknowledged answers, our documents, our ledger and the
books of the peers must tell one story: ``PaymentReport.sound``.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

import msgspec

from tongbao.bench import payment_drill_audit, payment_drill_books
from tongbao.bench.payment_drill_audit import Documents, Findings
from tongbao.bench.payment_drill_books import Outside
from tongbao.bench.payment_drill_client import Client
from tongbao.bench.payment_drill_load import Load
from tongbao.bench.payment_drill_search import found_in
from tongbao.bench.payment_drill_settling import Settling
from tongbao.bench.payment_drill_world import HOST_SIM, SANDBOX, World
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.http import HttpClient
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger

PAN_PREFIX = "4213370926"
"""The first digits of every card of the drill; nothing else in the world has them."""
CLIENT_COUNT_MAX = 48
PAYMENTS_PER_CLIENT = 10
SHOWN_MAX = 50
POSTGRES = "postgres"
FAULTS: tuple[tuple[float, str], ...] = (
    (0.10, SANDBOX),
    (0.20, "api0"),
    (0.30, HOST_SIM),
    (0.40, "worker"),
    (0.50, "api1"),
    (0.60, SANDBOX),
    (0.70, POSTGRES),
    (0.80, HOST_SIM),
)
"""At which share of the load what is killed -9 and started again."""
QUICK_FAULTS: tuple[tuple[float, str], ...] = (
    (0.12, SANDBOX),
    (0.24, "api0"),
    (0.36, HOST_SIM),
    (0.48, "worker"),
    (0.60, "api1"),
    (0.75, POSTGRES),
)
"""The same, each once."""
Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a drill goes: how many payments, the seed of orders and habits, what is killed at which share of the load."""

    payments: int = 5_000
    seed: int = 1
    faults: tuple[tuple[float, str], ...] = FAULTS

    def sparing(self, name: str) -> "Plan":
        """Return the same plan without killing one of the processes."""
        return msgspec.structs.replace(self, faults=tuple(each for each in self.faults if each[1] != name))


QUICK = Plan(payments=120, seed=7, faults=QUICK_FAULTS)


class PaymentReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the drill found. Counts that must be zero come first; lists show at most ``SHOWN_MAX`` of each.

    ``asked_outside``: what the sandbox was asked, by the fault that it met; ``notifications``: how they ended, without
    those that a kill forgot; ``taken_outside``: payments of which the books outside hold money, by channel.
    """

    double_charges: int
    lost: int
    unresolved: int
    conflicts: int
    unanswered: int
    repeats_differing: int
    pans_found: int
    processes_ended: int
    ledger_balanced: bool
    payments: int
    intents: int
    attempts: int
    refunds: int
    acknowledged: int
    by_peer: dict[str, int]
    intent_states: dict[str, int]
    attempt_states: dict[str, int]
    refund_states: dict[str, int]
    repeats: dict[str, int]
    asked_outside: dict[str, int]
    notifications: dict[str, int]
    taken_outside: dict[str, int]
    peers: tuple[str, ...]
    kills: tuple[str, ...]
    load_s: float
    payments_per_s: float
    p50_ms: float
    p99_ms: float
    settle_s: float
    seed: int
    faults: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """True where nothing was lost, doubled, left open, contradicted or told."""
        wrong = (
            self.double_charges,
            self.lost,
            self.unresolved,
            self.conflicts,
            self.unanswered,
            self.repeats_differing,
            self.pans_found,
            self.processes_ended,
        )
        return not any(wrong) and self.ledger_balanced


async def run(home: Path, *, plan: Plan, peers: Path, say: Say) -> PaymentReport:
    """Run the drill in ``home``, a folder of its own; tell ``say`` how it goes and return what was found.

    Starts and ends its own server and processes. Raises what starting them raises.
    """
    world = World(home, peers, plan.seed, PAN_PREFIX)
    say(f"peers: {', '.join(world.peers)}; starting the world …")
    shop = HttpClient()
    try:
        key = await world.open()
        client = Client(shop, world.api_ports, key)
        load = Load(client, world.peers, plan.payments, plan.seed, PAN_PREFIX)
        return await _Drill(world, client, load, plan, say).run()
    finally:
        await shop.close()
        await world.close()


class _Drill:
    """One run: load, faults, settling, audit."""

    def __init__(self, world: World, client: Client, load: Load, plan: Plan, say: Say) -> None:
        self._world = world
        self._client = client
        self._load = load
        self._plan = plan
        self._say = say
        self._kills: list[str] = []
        self._asked: Counter[str] = Counter()
        self._notified: Counter[str] = Counter()
        self._load_s = 0.0
        self._settle_s = 0.0

    async def run(self) -> PaymentReport:
        there = {POSTGRES, *self._world.programs}
        began = time.monotonic()
        await self._under_fire(
            [(round(share * self._plan.payments), name) for share, name in self._plan.faults if name in there]
        )
        self._load_s = time.monotonic() - began
        self._say(f"load ended after {self._load_s:.0f} s; settling …")
        began = time.monotonic()
        async with Database(self._world.server.dsn()) as database:
            await Settling(self._world, self._client, database, self._say).run()
            self._settle_s = time.monotonic() - began
            self._say("auditing …")
            documents = await payment_drill_audit.read_documents(database)
            references = [(each.channel, each.reference) for each in documents.attempts]
            outside = await payment_drill_books.read(self._world, references)
            findings = await self._audit(database, documents, outside)
        pans = await found_in(self._world.server, self._world.home, PAN_PREFIX)
        return await self._report(documents, outside, findings, pans)

    async def _under_fire(self, due: list[tuple[int, str]]) -> None:
        """Make all orders; whenever enough have ended, kill what is next, while others are under way.

        No order begins before what its turn has come for is being killed, so that a fast load is hit as a slow one.
        """
        reached = asyncio.Condition()
        begun = 0

        async def progressed(done: int) -> None:
            if done % max(1, self._plan.payments // 20) == 0:
                self._say(f"{done:,} of {self._plan.payments:,} payments")
            async with reached:
                reached.notify_all()
                await reached.wait_for(lambda: sum(count <= done for count, _ in due) <= begun)

        async def kill() -> None:
            nonlocal begun
            for count, name in due:
                async with reached:
                    while self._load.done < count:
                        await reached.wait()
                    begun += 1
                    reached.notify_all()
                await self._kill(name)

        clients = min(CLIENT_COUNT_MAX, max(1, self._plan.payments // PAYMENTS_PER_CLIENT))
        async with asyncio.TaskGroup() as group:
            group.create_task(kill())
            group.create_task(self._load.run(clients, progressed))

    async def _kill(self, name: str) -> None:
        self._say(f"killing {name} -9 and starting it again")
        if name == SANDBOX:
            # A restarted sandbox counts from zero.
            await self._count()
        if name == POSTGRES:
            await asyncio.to_thread(self._world.server.kill)
            await asyncio.to_thread(self._world.server.start)
        else:
            await self._world.restart(name)
        self._kills.append(name)

    async def _count(self) -> None:
        """Add what the sandbox has counted since its start."""
        counters = await self._world.control("GET", "counters")
        self._asked.update(counters["asked"])
        self._notified.update(counters["notifications"])

    async def _audit(self, database: Database, documents: Documents, outside: Outside) -> Findings:
        clock = RealClock()
        async with Ledger(database, clock, Metrics(), IdFactory(clock)) as ledger:
            return await payment_drill_audit.audit(documents, self._client.answers, outside, ledger)

    async def _report(
        self, documents: Documents, outside: Outside, findings: Findings, pans: list[str]
    ) -> PaymentReport:
        await self._count()
        ended = [name for name, program in self._world.programs.items() if not program.is_alive]
        named = {
            "double charge": findings.double_charges,
            "lost": findings.lost,
            "unresolved": findings.unresolved,
            "conflict": findings.conflicts,
            "ledger": findings.ledger,
            "unanswered": self._load.unanswered,
            "repeat differs": self._client.contradictions,
            "card number": pans,
            "ended by itself": ended,
        }
        latencies = quantiles(self._client.latencies_s, n=100)
        return PaymentReport(
            double_charges=len(findings.double_charges),
            lost=len(findings.lost),
            unresolved=len(findings.unresolved),
            conflicts=len(findings.conflicts),
            unanswered=len(self._load.unanswered),
            repeats_differing=len(self._client.contradictions),
            pans_found=len(pans),
            processes_ended=len(ended),
            ledger_balanced=not findings.ledger,
            payments=self._plan.payments,
            intents=len(documents.intents),
            attempts=len(documents.attempts),
            refunds=len(documents.refunds),
            acknowledged=len(self._client.answers),
            by_peer=dict(self._load.kinds),
            intent_states=dict(Counter(each.status for each in documents.intents)),
            attempt_states=dict(Counter(each.status for each in documents.attempts)),
            refund_states=dict(Counter(each.status for each in documents.refunds)),
            repeats=dict(self._client.repeats),
            asked_outside=_by_fault(self._asked),
            notifications=dict(self._notified),
            taken_outside=dict(
                Counter(channel for (channel, _), minor in outside.taken_minor.items() if minor)
            ),
            peers=tuple(self._world.peers),
            kills=tuple(self._kills),
            load_s=round(self._load_s, 1),
            payments_per_s=round(self._plan.payments / self._load_s, 1),
            p50_ms=round(latencies[49] * 1000, 1),
            p99_ms=round(latencies[98] * 1000, 1),
            settle_s=round(self._settle_s, 1),
            seed=self._plan.seed,
            faults=tuple(f"{what}: {each}" for what, found in named.items() for each in found[:SHOWN_MAX]),
        )


def _by_fault(asked: Counter[str]) -> dict[str, int]:
    """Return how many asks the sandbox met with each fault, from counts by channel, operation and fault."""
    found: Counter[str] = Counter()
    for name, count in asked.items():
        found[name.rpartition("/")[2]] += count
    return dict(found)
