"""One experiment of the chaos drills: steady state, fault, recovery, and the audit of everybody's books.

Several experiments follow each other in one world. The audit looks at all payments that the world has seen; what one
experiment broke is counted there and not again in the next.
"""

import asyncio
import time
from collections.abc import Callable

import msgspec

from tongbao.bench import payment_drill_audit
from tongbao.bench.chaos_faults import FAULTS, HOUR_S, Fault
from tongbao.bench.chaos_load import ChaosLoad
from tongbao.bench.chaos_measures import (
    Degraded,
    Seen,
    between,
    calm_between,
    degraded,
    met_by,
    slow_after_s,
    steady_from_s,
)
from tongbao.bench.chaos_watch import Alerts, Watch
from tongbao.bench.chaos_world import ChaosWorld
from tongbao.bench.payment_drill_client import Client
from tongbao.bench.payment_drill_settling import Settling
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger

WARM_UP_S = 3.0
CALM_S, CALM_S_MAX = 1.0, 60.0
RECOVER_S_MAX = 90.0
TOLD_S_MAX = 150.0
HOUR_BEGINS_S = 15.0
"""After so long nothing more comes by itself of what a wrong clock has put an hour off; then the hour is let pass."""
PASSED_S = HOUR_S + 120
OPEN_S_MAX = 4.0
"""So long what is still open may end by itself before time is moved for it, as ``payment_drill_settling`` says."""
POLL_S = 0.25
SHOWN_MAX = 20
SURGING = "load-5x"


class Lengths(msgspec.Struct, frozen=True, kw_only=True):
    """How long the phases are, in seconds; orders a second; how long a channel may take."""

    rate_per_s: float = 6.0
    before_s: float = 10.0
    during_s: float = 15.0
    surge_s: float = 60.0
    after_s: float = 8.0
    timeout_s: float = 8.0


class ExperimentReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one experiment found.

    ``recovered_s``: from the end of the fault (of a kill: the moment of starting again, so the start counts) until the first of
    ten orders of which nine are as ever; ``caught_up_s``: until every order was answered and the shop was told of every
    payment by webhook. ``unresolved``: payments whose end nobody knows after settling; ``settled_late``: that needed time
    to be moved for them; ``passed_s``: so long simulated time was let pass until everything had ended. ``events_repeated``: deliveries beyond the first of an event, which at-least-once allows.
    """

    name: str
    fault: str
    skipped: str | None = None
    recovered: bool = False
    recovered_s: float | None = None
    caught_up_s: float | None = None
    money_errors: int = 0
    steady_before: bool = False
    degraded: Degraded | None = None
    alerts: Alerts | None = None
    orders: int = 0
    unanswered: int = 0
    unresolved: int = 0
    settled_late: int = 0
    passed_s: int = 0
    events_missing: int = 0
    events_repeated: int = 0
    processes_ended: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


class _Marks(msgspec.Struct):
    """Instants of one experiment, by the monotonic clock."""

    began_s: float
    broken_s: float = 0.0
    lifted_s: float = 0.0
    steady_s: float | None = None
    caught_up_s: float | None = None
    ended_s: float = 0.0
    passed_s: int = 0


class Experiment:
    """Runs experiments in one world, one at a time."""

    def __init__(
        self, world: ChaosWorld, key: str, lengths: Lengths, seed: int, say: Callable[[str], None]
    ) -> None:
        self._world = world
        self._key = key
        self._lengths = lengths
        self._seed = seed
        self._say = say
        self._loads: list[ChaosLoad] = []
        self._known: set[str] = set()

    async def warm_up(self) -> None:
        """Let the house meet its first orders: what is made once is made before anything is measured."""
        load = self._new_load()
        await self._under(load, WARM_UP_S)
        await load.finish()

    async def run(self, name: str) -> ExperimentReport:
        """Run one experiment; return what was found. Raises what a process says that cannot be started again."""
        self._say(f"{name}: {FAULTS[name].what}")
        repeated = self._world.hooks.repeated
        marks, load = _Marks(time.monotonic()), self._new_load()
        async with Watch(self._world) as watch:
            running = asyncio.create_task(load.run(), name="load")
            try:
                await self._go_through(name, load, marks, watch)
            finally:
                load.stop()
                await running
            alerts = watch.seen()
        await load.finish()
        missing = await self._wait_until_told(marks)
        report = await self._judge(name, load, marks)
        return msgspec.structs.replace(
            report,
            alerts=alerts,
            events_missing=missing,
            events_repeated=self._world.hooks.repeated - repeated,
            recovered=report.recovered and not missing,
        )

    async def _go_through(self, name: str, load: ChaosLoad, marks: _Marks, watch: Watch) -> None:
        """Lead the load through the steady state, the fault, the recovery and what comes after it."""
        fault = FAULTS[name]
        await self._wait_until_calm(load)
        await self._world.mark_traffic()
        marks.began_s = time.monotonic()
        await asyncio.sleep(self._lengths.before_s)
        await watch.begin()
        marks.broken_s = time.monotonic()
        await fault.begin(self._world, load)
        await asyncio.sleep(self._lengths.surge_s if name == SURGING else self._lengths.during_s)
        await watch.ask_endpoint()
        marks.lifted_s = time.monotonic()
        await fault.lift(self._world, load)
        marks.steady_s = await self._wait_until_steady(load, marks, fault)
        await watch.end()
        await asyncio.sleep(self._lengths.after_s)
        marks.ended_s = time.monotonic()

    def _new_load(self) -> ChaosLoad:
        number = len(self._loads)
        load = ChaosLoad(self._world.http, self._world.api_ports, self._key, f"{self._seed}-{number}")
        load.rate_per_s = self._lengths.rate_per_s
        self._loads.append(load)
        return load

    async def _under(self, load: ChaosLoad, seconds: float) -> None:
        running = asyncio.create_task(load.run(), name="load")
        await asyncio.sleep(seconds)
        load.stop()
        await running

    async def _wait_until_calm(self, load: ChaosLoad) -> None:
        """Wait until orders go through quickly, on a busy machine for ``CALM_S_MAX``."""
        since = time.monotonic()
        while time.monotonic() < since + CALM_S_MAX:
            if steady_from_s(load.seen, since, CALM_S) is not None:
                return
            await asyncio.sleep(POLL_S)

    async def _wait_until_steady(self, load: ChaosLoad, marks: _Marks, fault: Fault) -> float | None:
        """Return from when on everything went as ever; None where it did not within ``RECOVER_S_MAX``."""
        slow_s = slow_after_s(_before(load, marks))
        limit = time.monotonic() + RECOVER_S_MAX
        back_s: float | None = None
        while time.monotonic() < limit:
            if back_s is None and await fault.is_back(self._world):
                back_s = time.monotonic()
            found = steady_from_s(load.seen, marks.lifted_s, slow_s)
            if found is not None and back_s is not None:
                return max(found, back_s)
            await asyncio.sleep(POLL_S)
        return None

    async def _wait_until_told(self, marks: _Marks) -> int:
        """Wait until the shop was told of every payment; return of how many it was not within ``TOLD_S_MAX``."""
        wanted = set[str]().union(*(load.succeeded for load in self._loads))
        began = time.monotonic()
        while missing := wanted - self._world.hooks.succeeded:
            waited_s = time.monotonic() - began
            if waited_s > TOLD_S_MAX:
                return len(missing)
            if waited_s > HOUR_BEGINS_S:
                marks.passed_s = self._let_the_hour_pass(marks)
            await asyncio.sleep(POLL_S)
        marks.caught_up_s = time.monotonic()
        return 0

    def _let_the_hour_pass(self, marks: _Marks) -> int:
        """Let time go on to where a wrong clock had been, for what was given a time there; return by how much it was."""
        if self._world.clock is None or marks.passed_s:
            return marks.passed_s
        self._world.let_pass(PASSED_S)
        return PASSED_S

    async def _judge(self, name: str, load: ChaosLoad, marks: _Marks) -> ExperimentReport:
        """Settle what is open, hold all books against each other, and write the report."""
        async with Database(self._world.server.dsn()) as database:
            settled_late = await self._settle(database, marks)
            wrong, unresolved = await self._audit(database)
        ended = tuple(each for each, program in self._world.programs.items() if not program.is_alive)
        before = _before(load, marks)
        after_s = marks.steady_s if marks.steady_s is not None else marks.ended_s
        recovered = marks.steady_s is not None and not unresolved and not load.unanswered and not ended
        return ExperimentReport(
            name=name,
            fault=FAULTS[name].what,
            recovered=recovered,
            recovered_s=_since(marks.lifted_s, marks.steady_s),
            caught_up_s=_since(marks.lifted_s, marks.caught_up_s),
            money_errors=len(wrong),
            steady_before=steady_from_s(before, marks.began_s, CALM_S) is not None,
            degraded=degraded(
                before,
                met_by(load.seen, marks.broken_s, marks.lifted_s),
                between(load.seen, after_s, marks.ended_s),
            ),
            orders=len(load.seen),
            unanswered=len(load.unanswered),
            unresolved=len(unresolved),
            settled_late=settled_late,
            passed_s=marks.passed_s,
            processes_ended=ended,
            faults=tuple([*wrong, *unresolved, *load.unanswered][:SHOWN_MAX]),
        )

    async def _settle(self, database: Database, marks: _Marks) -> int:
        """Wait for what is open to end, and move time for what does not; return for how many payments it was moved."""
        limit = time.monotonic() + OPEN_S_MAX
        while still_open := payment_drill_audit.unresolved(
            await payment_drill_audit.read_documents(database)
        ):
            if time.monotonic() > limit:
                marks.passed_s = self._let_the_hour_pass(marks)
                client = Client(self._world.http, self._world.api_ports, self._key)
                await Settling(self._world, client, database, self._say).run()
                return len(still_open)
            await asyncio.sleep(POLL_S)
        return 0

    async def _audit(self, database: Database) -> tuple[list[str], list[str]]:
        """Return what is wrong about money that was not known to be, and what is open."""
        documents = await payment_drill_audit.read_documents(database)
        outside = await self._world.read_outside(
            [(each.channel, each.reference) for each in documents.attempts]
        )
        answers = [answer for load in self._loads for answer in load.answers]
        clock = RealClock()
        async with Ledger(database, clock, Metrics(), IdFactory(clock)) as ledger:
            findings = await payment_drill_audit.audit(documents, answers, outside, ledger)
        named = {
            "double charge": findings.double_charges,
            "lost": findings.lost,
            "conflict": findings.conflicts,
            "ledger": findings.ledger,
            "repeat differs": [each for load in self._loads for each in load.contradictions],
        }
        wrong = {f"{what}: {each}" for what, found in named.items() for each in found} - self._known
        self._known |= wrong
        return sorted(wrong), findings.unresolved


def _before(load: ChaosLoad, marks: _Marks) -> list[Seen]:
    return calm_between(load.seen, marks.began_s, marks.broken_s)


def _since(from_s: float, until_s: float | None) -> float | None:
    return None if until_s is None else round(max(0.0, until_s - from_s), 1)
