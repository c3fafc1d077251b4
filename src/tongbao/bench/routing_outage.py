"""The routing drill: the channel that carries most of the traffic dies under load, twice, over real sockets.

Once it is killed (connections refused), once it is stopped (connections open, nothing answers); each time it comes back.
Counted is what payers and the shop had of it: approvals, cost, how many payments still went into the dead channel and for
how long, when it was in traffic again; and what must be zero: double charges, losses, choices without a reason.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from tongbao.bench import payment_drill_audit, routing_outage_measures, routing_outage_reading
from tongbao.bench.payment_drill_audit import Documents, Findings
from tongbao.bench.payment_drill_client import Client
from tongbao.bench.payment_drill_settling import Settling
from tongbao.bench.routing_outage_load import SteadyLoad
from tongbao.bench.routing_outage_measures import Outage, Second, Send, Switch
from tongbao.bench.routing_outage_reading import Log
from tongbao.bench.routing_outage_world import CURRENCY, OutageWorld, Patience
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import InvariantBroken
from tongbao.core.http import HttpClient
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger
from tongbao.routing.schema.spec import Strategy

KILLED, STOPPED = "killed", "stopped"
SHOWN_MAX = 50
BUSY_OVER = timedelta(seconds=4)
NOT_FOUND_S_MIN = 20
NOT_FOUND_BEYOND_S = 12
"""An acquirer's "not found" is believed so long after the longest silence: what lay unread by then has been read."""
Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a drill goes: payments a second, seconds before, of each outage and after each; how long a call may take."""

    rate_per_s: float = 25.0
    calm_s: float = 30.0
    outage_s: float = 30.0
    recovery_s: float = 45.0
    timeout_s: float = 10.0
    strategy: Strategy = Strategy.LEARNED
    seed: int = 1


QUICK = Plan(rate_per_s=15.0, calm_s=5.0, outage_s=5.5, recovery_s=4.0, timeout_s=2.0)


class OutageReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the drill found. Shares are in [0, 1], costs basis points of what was approved.

    ``before``: until the first outage, ``during``: both, ``after``: from the end of the last one. ``shed_s`` and
    ``return_s`` are those of the worse outage (None: it did not happen), ``shed_payments`` of both. ``approved_late``:
    payments that were approved, but told so later than their request was answered.
    """

    approval_before: float
    approval_during: float
    approval_after: float
    cost_bps_before: float
    cost_bps_during: float
    cost_bps_after: float
    shed_payments: int
    shed_s: float | None
    return_s: float | None
    double_charges: int
    unexplained: int
    notices: dict[str, int]
    payments: int
    lost: int
    unresolved: int
    unanswered: int
    lineage_broken: int
    ledger_balanced: bool
    processes_ended: int
    attempts: int
    decisions: int
    approved_late: int
    p95_ms_before: float
    p95_ms_during: float
    p95_ms_after: float
    outages: tuple[Switch, ...]
    channels: tuple[str, ...]
    plan: Plan
    late_s_max: float
    settle_s: float
    faults: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """True where nothing was doubled, lost, left open or unexplained, and every dead channel was left."""
        wrong = (
            self.double_charges,
            self.lost,
            self.unresolved,
            self.unanswered,
            self.unexplained,
            self.lineage_broken,
            self.processes_ended,
        )
        return not any(wrong) and self.ledger_balanced and self.shed_s is not None


class Seen(NamedTuple):
    """A report and every second that it came from."""

    report: OutageReport
    seconds: list[Second]


async def run(home: Path, *, plan: Plan, peers: Path, say: Say) -> Seen:
    """Run the drill in ``home``, a folder of its own; tell ``say`` how it goes and return what was found.

    Starts and ends its own server and processes. Raises what starting them raises.
    """
    not_found_s = max(NOT_FOUND_S_MIN, round(plan.outage_s) + NOT_FOUND_BEYOND_S)
    world = OutageWorld(home, peers, plan.seed, Patience(plan.timeout_s, not_found_s))
    shop = HttpClient()
    try:
        say(f"channels: {', '.join(world.peers)}; starting the world …")
        client = Client(shop, world.api_ports, await world.open(plan.strategy))
        return await _Drill(world, client, plan, say).run()
    finally:
        await shop.close()
        await world.close()


class _Read(NamedTuple):
    """Everything that was read back when all had ended."""

    documents: Documents
    log: Log
    sends: list[Send]
    findings: Findings


class _Drill:
    """One run: load, two outages, settling, audit, measures."""

    def __init__(self, world: OutageWorld, client: Client, plan: Plan, say: Say) -> None:
        self._world = world
        self._client = client
        self._plan = plan
        self._say = say
        self._load = SteadyLoad(client, plan.rate_per_s, plan.seed, CURRENCY)
        self._outages: list[Outage] = []
        self._settle_s = 0.0

    async def run(self) -> Seen:
        async with Database(self._world.server.dsn()) as database:
            began_s = time.time()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._load.run())
                await asyncio.sleep(self._plan.calm_s)
                for kind in (KILLED, STOPPED):
                    await self._outage(database, kind)
                    await asyncio.sleep(self._plan.recovery_s)
                ended_s = time.time()
                self._load.stop()
            self._say("load ended; settling …")
            begun = time.monotonic()
            await Settling(self._world, self._client, database, self._say).run()
            self._settle_s = time.monotonic() - begun
            read = await self._read(database)
        report = self._report(read, began_s, ended_s)
        return Seen(report, routing_outage_measures.by_second(self._load.paid, read.sends, began_s))

    async def _outage(self, database: Database, kind: str) -> None:
        """Let the channel that carries most of the traffic die and come back."""
        channel = await routing_outage_reading.busiest(database, RealClock().now() - BUSY_OVER)
        if channel is None:
            raise InvariantBroken("drill_without_traffic", "nothing was decided before an outage")
        program = self._world.peers[channel]
        self._say(f"{channel} is {kind} after {len(self._load.paid):,} payments")
        from_s = time.time()
        if kind == KILLED:
            await program.kill()
        else:
            program.pause()
        await asyncio.sleep(self._plan.outage_s)
        if kind == KILLED:
            await self._world.restart(channel)
        else:
            program.resume()
        self._outages.append(Outage(kind, channel, from_s, time.time()))
        self._say(f"{channel} is back")

    async def _read(self, database: Database) -> _Read:
        self._say("auditing …")
        documents = await payment_drill_audit.read_documents(database)
        outside = await self._world.read_outside(
            [(each.channel, each.reference) for each in documents.attempts]
        )
        clock = RealClock()
        async with Ledger(database, clock, Metrics(), IdFactory(clock)) as ledger:
            findings = await payment_drill_audit.audit(documents, self._client.answers, outside, ledger)
        log = await routing_outage_reading.read_log(database)
        return _Read(documents, log, routing_outage_reading.sends(log, documents), findings)

    def _report(self, read: _Read, began_s: float, ended_s: float) -> OutageReport:
        paid = self._load.paid
        spans = {
            "before": [(began_s, self._outages[0].from_s)],
            "during": [(each.from_s, each.until_s) for each in self._outages],
            "after": [(self._outages[-1].until_s, ended_s)],
        }
        looks = [*(each.from_s for each in self._outages[1:]), ended_s]
        switches = tuple(
            routing_outage_measures.switch(each, read.sends, paid, until_s, began_s)
            for each, until_s in zip(self._outages, looks, strict=True)
        )
        wrong = self._wrong(read)
        figures: dict[str, float] = {}
        for name, parts in spans.items():
            figures[f"approval_{name}"] = routing_outage_measures.approval(paid, parts)
            figures[f"cost_bps_{name}"] = routing_outage_measures.cost_bps(read.sends, parts)
            figures[f"p95_ms_{name}"] = routing_outage_measures.p95_ms(paid, parts)
        return OutageReport(
            **figures,
            shed_payments=sum(each.shed_payments for each in switches),
            shed_s=_worst([each.shed_s for each in switches]),
            return_s=_worst([each.return_s for each in switches]),
            double_charges=len(wrong["double charge"]),
            unexplained=len(wrong["unexplained"]),
            notices=dict(Counter(each.kind for each in read.log.notices)),
            payments=len(paid),
            lost=len(wrong["lost"]),
            unresolved=len(wrong["unresolved"]),
            unanswered=len(wrong["unanswered"]),
            lineage_broken=len(wrong["lineage"]),
            ledger_balanced=not wrong["ledger"],
            processes_ended=len(wrong["ended by itself"]),
            attempts=len(read.documents.attempts),
            decisions=len(read.log.decisions),
            approved_late=routing_outage_measures.approved_late(paid, read.sends),
            outages=switches,
            channels=tuple(self._world.peers),
            plan=self._plan,
            late_s_max=round(self._load.late_s_max, 2),
            settle_s=round(self._settle_s, 1),
            faults=tuple(f"{what}: {each}" for what, found in wrong.items() for each in found[:SHOWN_MAX]),
        )

    def _wrong(self, read: _Read) -> dict[str, list[str]]:
        """Return everything that is not as it must be, by what it is."""
        ended = [name for name, program in self._world.programs.items() if not program.is_alive]
        return {
            "double charge": read.findings.double_charges,
            "lost": read.findings.lost,
            "unresolved": read.findings.unresolved + read.findings.conflicts,
            "ledger": read.findings.ledger,
            "unanswered": self._load.unanswered,
            "unexplained": routing_outage_reading.unexplained(read.log),
            "lineage": routing_outage_reading.broken_lineage(read.log, read.documents),
            "ended by itself": ended,
        }


def _worst(found: list[float | None]) -> float | None:
    """Return the longest; None where one of them never happened."""
    known = [each for each in found if each is not None]
    return max(known) if len(known) == len(found) else None
