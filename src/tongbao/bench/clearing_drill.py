"""The clearing drill: a month of payments, settled, paid and reconciled with files of which some are wrong on purpose.

Channels and banks are on paper, everything of the house is real: payments, ledger, outbox, clearing, payouts, over one
PostgreSQL. Time is simulated. On many mornings the process that does the day's work is killed -9 in the middle of it, and
another does it again.
"""

import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import date, datetime, timedelta
from datetime import time as day_time
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from tongbao.bench import clearing_drill_audit as audit
from tongbao.bench.clearing_drill_audit import Judged, Sighting
from tongbao.bench.clearing_drill_bank import Teller
from tongbao.bench.clearing_drill_courier import Courier
from tongbao.bench.clearing_drill_faults import Fault
from tongbao.bench.clearing_drill_nursery import Nursery
from tongbao.bench.clearing_drill_shop import SLOTS, Market
from tongbao.bench.clearing_drill_terms import BANK_OF, COSTS, MERCHANTS, SOURCES, ZONE, channel_costs
from tongbao.bench.clearing_drill_work import Order, Place, Work, opened
from tongbao.clearing.schema.batches import BatchState
from tongbao.clearing.service.account_numbers import account_number
from tongbao.clearing.service.intake import Taken
from tongbao.clearing.service.simulating import Span
from tongbao.core import migrate
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger

DATABASE = "clearing"
AUTO_MATCH_MIN = 0.995
ROUNDS = 20
SLOT_TIMES = (day_time(9, 5), day_time(12, 35), day_time(16, 20), day_time(20, 45))
MORNING = day_time(8, 30)
_LOST_AFTER = timedelta(minutes=3)
_COOLED = timedelta(hours=25)
_ONE, _OTHER = "person:li", "person:mei"
Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a drill goes: ``payments`` a day by chance, beside a few that every day has; ``times`` each change of a line is made.

    ``kill_s_max``: so long, drawn evenly, a process works before it is killed: a day's work takes about as long.
    """

    first: date = date(2026, 9, 16)
    days: int = 30
    payments: int = 60
    times: int = 3
    seed: int = 1
    kill_s_max: float = 1.0


QUICK = Plan(first=date(2026, 9, 21), days=12, payments=2, times=1, kill_s_max=0.3)


class ClearingReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a drill; see docs/howto/run-the-drills.md. ``by_kind``: injected and found."""

    auto_match: float
    false_matches: int
    faults_injected: int
    faults_found: int
    by_kind: dict[str, tuple[int, int]]
    paid_twice: int
    ledger_balanced: bool
    killed_rounds: int
    took_s: float
    records: int
    false_breaks: int
    payments: int
    refunds: int
    disputes: int
    captures: int
    payouts: int
    faults: list[str]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return (
            self.auto_match >= AUTO_MATCH_MIN
            and not self.false_matches
            and self.faults_found == self.faults_injected
            and not self.paid_twice
            and self.ledger_balanced
            and self.killed_rounds >= ROUNDS
        )


async def run(home: Path, *, plan: Plan, say: Say) -> ClearingReport:
    """Run the drill in ``home``, a folder of its own; tell ``say`` how it goes and return what was found."""
    server = EmbeddedServer(home / "postgres")
    say("starting the house …")
    server.start()
    try:
        async with Database(server.dsn(), pool_size=1) as database, database.connection() as connection:
            await connection.execute(f"CREATE DATABASE {DATABASE}")
        await migrate.upgrade(server.dsn(DATABASE))
        folder = home / "papers"
        folder.mkdir()
        place = Place(server.dsn(DATABASE), str(folder))
        async with _opened(place, plan, say) as drill:
            return await drill.run()
    finally:
        server.stop()


@contextlib.asynccontextmanager
async def _opened(place: Place, plan: Plan, say: Say) -> AsyncIterator["_Drill"]:
    clock = FrozenClock(_at(plan.first, day_time(1)) - 2 * _COOLED)
    ids = IdFactory(clock)
    async with (
        opened(place, clock) as work,
        Database(place.dsn, pool_size=6) as database,
        Ledger(database, clock, Metrics(), ids) as ledger,
    ):
        market = Market(database, ledger, clock, ids, plan.seed)
        nursery = Nursery(place)
        try:
            yield _Drill(plan, say, clock, work, (database, ledger), market, nursery, Path(place.folder))
        finally:
            nursery.close()
            await work.close()
            await market.close()


class _Drill:
    """One run: the month day by day, then the audit."""

    def __init__(
        self,
        plan: Plan,
        say: Say,
        clock: FrozenClock,
        work: Work,
        books: tuple[Database, Ledger],
        market: Market,
        nursery: Nursery,
        folder: Path,
    ) -> None:
        self._plan = plan
        self._say = say
        self._clock = clock
        self._work = work
        self._database, self._ledger = books
        self._market = market
        self._nursery = nursery
        self._rng = random.Random(f"{plan.seed}:kills")
        self._tellers = {name: Teller(way) for name, way in work.banks.items()}
        self._courier = Courier(
            market.channels,
            self._tellers,
            folder,
            random.Random(f"{plan.seed}:files"),
            first=plan.first,
            days=plan.days,
            times=plan.times,
        )
        self._seen: set[Sighting] = set()
        self._taken: dict[str, Taken | None] = {}
        self._killed = 0

    async def run(self) -> ClearingReport:
        """Live through the month and judge it."""
        began = time.monotonic()
        await self._agree()
        for number in range(self._plan.days):
            await self._day(number)
        self._say("auditing …")
        return await self._report(time.monotonic() - began)

    async def _agree(self) -> None:
        """Agree with channels, banks and merchants, and let their accounts cool down."""
        house = self._work.house
        now = self._clock.now()
        draft = await house.prices.draft(COSTS, msgspec.to_builtins(channel_costs()), "tariffs", _ONE)
        span = Span(now - timedelta(days=1), now)
        await house.simulating.simulate(COSTS, draft.version, span, _ONE)
        await house.prices.publish(COSTS, draft.version, now, _OTHER)
        for terms in SOURCES:
            await house.intake.agree(terms, _ONE)
        for scope, (name, agreement) in zip(self._market.scopes, MERCHANTS, strict=True):
            for currency in ("CNY", "EUR", "USD", "JPY", "KWD"):
                await house.agreements.make(scope.book_id, currency, agreement, actor=_ONE, note=name)
            for currency in BANK_OF:
                number = account_number("local", f"6222{scope.book_id % 10**12:012d}", "102100099996", "CN")
                made = await house.destinations.propose(
                    scope.book_id, currency, number, name.partition(",")[0].title(), actor=_ONE
                )
                await house.destinations.confirm(
                    scope.book_id, made.id, actor=_OTHER, seen_version=made.version
                )
        self._clock.advance(_COOLED)
        await house.destinations.step()

    async def _day(self, number: int) -> None:
        """Let merchants sell through a day; on the next morning do its work, often twice begun."""
        on = self._plan.first + timedelta(days=number)
        wishes = self._market.wishes(self._plan.payments)
        for slot, at in enumerate(SLOT_TIMES):
            self._clock.set(_at(on, at))
            await self._market.sell(number * SLOTS + slot, wishes[slot::SLOTS])
            self._clock.advance(_LOST_AFTER)
            await self._market.resolve()
            if slot % 2:
                await self._work.settle()
        await self._approve()
        self._clock.set(_at(on + timedelta(days=1), MORNING))
        order = Order(self._clock.now(), on, tuple(self._courier.day(on)))
        await self._kill(number, order)
        for arrived, taken in zip(order.files, await self._work.day(order), strict=True):
            self._taken[arrived.path] = taken
        await self._approve()
        world = await audit.read_world(self._database, on)
        breaks = await audit.read_breaks(self._database, world)
        self._seen |= {sighting for sighting, _ in breaks.values()}

    async def _kill(self, number: int, order: Order) -> None:
        """Begin the day's work in other processes and kill them in the middle of it, so often that it makes all rounds."""
        due = ROUNDS * (number + 1) // self._plan.days
        seconds = self._rng.uniform(0, self._plan.kill_s_max)
        while self._killed < due:
            if self._nursery.kill_after(order, seconds):
                self._killed += 1
                seconds = self._rng.uniform(0, self._plan.kill_s_max)
            else:
                # Ready before its end: what is left of the day takes less and less.
                seconds /= 4

    async def _approve(self) -> None:
        """Let two people approve what is above the limit of one."""
        for scope in self._market.scopes:
            for batch in await self._work.house.settling.page(scope.book_id, state=BatchState.PRICED):
                for person in (_ONE, _OTHER):
                    await self._work.house.settling.approve(scope.book_id, batch.id, actor=person)

    async def _report(self, took_s: float) -> ClearingReport:
        last = self._plan.first + timedelta(days=self._plan.days - 1)
        world = await audit.read_world(self._database, last)
        breaks = await audit.read_breaks(self._database, world)
        truth = self._courier.truth
        judged = audit.judge(truth, world, self._seen, breaks.values(), self._taken)
        books = [scope.book_id for scope in self._market.scopes]
        wrong = await audit.wrong_books(self._ledger, self._work.house, books, self._database)
        batches: dict[str, UUID] = await audit.batches_of_payouts(self._database)
        counts = self._market.counts
        return ClearingReport(
            auto_match=round(judged.matched_count / max(judged.expected_count, 1), 5),
            false_matches=judged.false_matches,
            faults_injected=len(truth.faults),
            faults_found=len(judged.found),
            by_kind=_by_kind(truth.faults, judged.found),
            paid_twice=audit.paid_twice(self._tellers.values(), batches),
            ledger_balanced=not wrong,
            killed_rounds=self._killed,
            took_s=round(took_s, 1),
            records=judged.expected_count,
            false_breaks=len(judged.false_breaks),
            payments=counts["payments"],
            refunds=counts["refunds"],
            disputes=counts["disputes"],
            captures=counts["captures"],
            payouts=sum(len(teller.paid) for teller in self._tellers.values()),
            faults=[*wrong, *_told_faults(judged), *truth.not_done],
        )


def told(report: ClearingReport) -> list[str]:
    """Return a report as people read it: the kinds with what was injected and found, then the sums."""
    width = max(map(len, report.by_kind), default=0)
    lines = [f"{kind:<{width}}  {found:>3} of {made:>3}" for kind, (made, found) in report.by_kind.items()]
    return [
        *lines,
        f"{report.faults_found} of {report.faults_injected} faults found by their names",
        f"{report.auto_match:.2%} of {report.records:,} records without a fault matched by themselves, "
        f"{report.false_matches} matches false, {report.false_breaks} breaks about nothing",
        f"{report.payments:,} payments, {report.captures:,} captures, {report.refunds:,} refunds, "
        f"{report.disputes:,} disputes, {report.payouts:,} payouts, {report.paid_twice} of them twice",
        f"killed {report.killed_rounds} times; books {'balanced' if report.ledger_balanced else 'NOT BALANCED'}; "
        f"{report.took_s:.0f} s",
    ]


def _by_kind(injected: list[Fault], found: list[Fault]) -> dict[str, tuple[int, int]]:
    made, seen = Counter(str(fault.kind) for fault in injected), Counter(str(fault.kind) for fault in found)
    return {kind: (made[kind], seen[kind]) for kind in sorted(made)}


def _told_faults(judged: Judged) -> list[str]:
    missed = [
        f"not found: {fault.kind} ({fault.label}) of {fault.source}: {fault}" for fault in judged.missed
    ]
    return [*judged.notes, *missed, *(f"about nothing: {each}" for each in judged.false_breaks)]


def _at(on: date, at: day_time) -> datetime:
    return datetime.combine(on, at, ZoneInfo(ZONE))
