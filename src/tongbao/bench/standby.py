"""The standby drill: the machine of the database dies under load, a synchronous standby takes over, and nothing is lost.

A shop's card payments go to several API processes behind one address, whose DSN names two servers. Every process of the
primary is killed -9 at once; ``detect_s`` later – so long a watcher would need to be sure – the standby is promoted. In
earnest Patroni does both; here the drill plays it, and nothing of consensus is ours. No process of the product is told or
restarted: each finds the server that takes writes by itself. The shop repeats every request under its key until it is
answered. Afterwards every acknowledged answer, our documents, our ledger and the acquirer's book must tell one story.

What dies are processes on one machine; power, disks and networks are not touched.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

import msgspec

from tongbao.bench import payment_drill_audit, payment_drill_books
from tongbao.bench.payment_drill_audit import Documents, Findings
from tongbao.bench.payment_drill_books import Outside
from tongbao.bench.payment_drill_client import Client, Unanswered
from tongbao.bench.payment_drill_search import luhn_digit
from tongbao.bench.standby_world import World
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import Unavailable
from tongbao.core.http import HttpClient, NoAnswer, NotSent
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger

INTENTS = "/v1/payment_intents"
PAN_PREFIX = "4213370926"
CARD_COUNT = 40
AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX = 200, 50_000
SETTLE_S_MAX = 120.0
POLL_S = 0.1
SHOWN_MAX = 20
CONSOLE_S = 15.0
OK = 200
WAITED_S = 0.5
"""A payment that took longer than this while nobody could write has waited for the fail-over."""
Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a drill goes: seconds of load before the kill and after the promotion, and how long nobody acts between."""

    before_s: float = 10.0
    after_s: float = 10.0
    detect_s: float = 3.0
    clients: int = 16
    processes: int = 2
    commit_mode: str = "on"
    seed: int = 1


QUICK = Plan(before_s=2.0, after_s=2.0, detect_s=0.5, clients=6)


class StandbyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the drill found. Counts that must be zero come first.

    ``failover_s``: from the kill to the first payment acknowledged by the new primary; ``promote_s`` of it the promotion
    took, ``detect_s`` nobody acted. ``without_write_s``: the longest time without an acknowledged payment around the kill.
    ``waited``: payments under way or begun while nobody could write, and slower for it; ``repeats``: what the shop met
    instead of an answer before it repeated, each answered in the end.
    """

    lost: int
    doubled: int
    unresolved: int
    conflicts: int
    unanswered: int
    processes_ended: int
    books_equal: bool
    seals_verified: bool
    acknowledged: int
    acknowledged_before_kill: int
    acknowledged_after_kill: int
    failover_s: float
    promote_s: float
    detect_s: float
    without_write_s: float
    waited: int
    repeats: dict[str, int]
    failed: int
    payments_per_s_before: float
    payments_per_s_after: float
    p50_ms: float
    p99_ms: float
    synchronous_commit: str
    synchronous_standby_names: str
    standby_state: str
    console_reads: int
    console_reads_failed: int
    seed: int
    faults: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """True where nothing was lost, doubled, left open or contradicted, and commits did wait for the standby."""
        wrong = (
            self.lost,
            self.doubled,
            self.unresolved,
            self.conflicts,
            self.unanswered,
            self.processes_ended,
        )
        waits = self.standby_state == "sync" and bool(self.acknowledged_after_kill)
        return not any(wrong) and self.books_equal and self.seals_verified and waits


class Paid(NamedTuple):
    """One payment that was answered: when it began and ended, in seconds of the monotonic clock."""

    began: float
    ended: float


class Marks(NamedTuple):
    """The instants of one fail-over, in seconds of the monotonic clock."""

    begun: float
    killed: float
    promoting: float
    promoted: float
    ended: float


class Figures(NamedTuple):
    """What the shop felt of it; see ``StandbyReport``."""

    failover_s: float
    without_write_s: float
    waited: int
    before: int
    after: int


def figures(paid: Sequence[Paid], marks: Marks) -> Figures:
    """Return what payments, in any order, say about a fail-over; times without a payment after it last to its end."""
    ends = sorted(each.ended for each in paid)
    again = next((each for each in ends if each >= marks.promoted), marks.ended)
    edges = [marks.begun, *ends, marks.ended]
    gaps = [
        later - earlier
        for earlier, later in pairwise(edges)
        if later >= marks.killed and earlier <= marks.promoted
    ]
    waited = sum(
        each.began < again and each.ended > marks.killed and each.ended - each.began > WAITED_S
        for each in paid
    )
    before = sum(each < marks.killed for each in ends)
    return Figures(
        round(again - marks.killed, 3), round(max(gaps, default=0.0), 3), waited, before, len(ends) - before
    )


async def run(home: Path, *, plan: Plan, say: Say) -> StandbyReport:
    """Run the drill in ``home``, a folder of its own; tell ``say`` how it goes and return what was found.

    Starts and ends its own servers and processes. Raises what starting them raises, Unavailable
    ``standby_not_synchronous`` where commits would not wait for the standby.
    """
    world = World(home, processes=plan.processes, commit_mode=plan.commit_mode)
    shop = HttpClient()
    try:
        say("starting a primary, its standby, and the house over them …")
        key = await world.open()
        return await _Drill(world, shop, key, plan, say).run()
    finally:
        await shop.close()
        await world.close()


class _Drill:
    """One run: load, the death of the primary, settling, audit."""

    def __init__(self, world: World, shop: HttpClient, key: str, plan: Plan, say: Say) -> None:
        self._world = world
        self._client = Client(shop, [world.api_port], key)
        self._shop = shop
        self._reader = {"Authorization": f"Bearer {key}"}
        self._plan = plan
        self._say = say
        self._random = random.Random(plan.seed)
        self._cards = [self._card() for _ in range(CARD_COUNT)]
        self._paid: list[Paid] = []
        self._unanswered: list[str] = []
        self._orders = 0
        self._ending = False
        self._console: Counter[str] = Counter()

    async def run(self) -> StandbyReport:
        waits = await asyncio.to_thread(self._world.server.waits_for)
        if waits[2] != "sync":
            raise Unavailable("standby_not_synchronous", f"the primary says of its standby: {waits}")
        self._say(f"synchronous_commit {waits[0]}, synchronous_standby_names {waits[1]}: {waits[2]}")
        marks = await self._under_load()
        self._say("load ended; settling and auditing …")
        async with Database(self._world.server.dsn()) as database:
            documents = await self._settled(database)
            findings, seals = await self._audit(database, documents)
        return self._report(waits, marks, findings, seals)

    async def _under_load(self) -> Marks:
        plan, server = self._plan, self._world.server
        tasks = [asyncio.create_task(self._pay()) for _ in range(plan.clients)]
        tasks.append(asyncio.create_task(self._look()))
        begun = time.monotonic()
        await asyncio.sleep(plan.before_s)
        killed = time.monotonic()
        await asyncio.to_thread(server.kill_machine)
        self._say(f"the primary is dead, killed -9 after {len(self._paid):,} payments")
        await asyncio.sleep(plan.detect_s)
        promoting = time.monotonic()
        await asyncio.to_thread(server.fail_over)
        promoted = time.monotonic()
        self._say(f"the standby takes writes after {promoted - killed:.1f} s")
        await asyncio.sleep(plan.after_s)
        ended, self._ending = time.monotonic(), True
        await asyncio.gather(*tasks)
        return Marks(begun, killed, promoting, promoted, ended)

    async def _pay(self) -> None:
        """Be one buyer after the other until the load ends; each waits for the answer."""
        while not self._ending:
            self._orders += 1
            number = self._orders
            form: dict[str, object] = {
                "amount": self._random.randint(AMOUNT_MINOR_MIN, AMOUNT_MINOR_MAX),
                "currency": "usd",
                "confirm": "true",
                "metadata[order]": number,
                "payment_method_types[0]": "card",
                "payment_method_data[type]": "card",
                "payment_method_data[card][number]": self._random.choice(self._cards),
                "payment_method_data[card][exp_month]": 11,
                "payment_method_data[card][exp_year]": 2031,
                "payment_method_data[card][cvc]": 123,
            }
            began = time.monotonic()
            try:
                answer = await self._client.post(INTENTS, f"order-{number}", form)
            except Unanswered:
                self._unanswered.append(f"order {number}")
                continue
            self._client.acknowledge(number, "create", answer)
            self._paid.append(Paid(began, time.monotonic()))

    async def _look(self) -> None:
        """Read from the console without a pause: it must answer while nobody can write."""
        url = f"{self._world.console_url}{INTENTS}?limit=1"
        while not self._ending:
            try:
                answer = await self._shop.request("GET", url, headers=self._reader, timeout_s=CONSOLE_S)
                self._console["read" if answer.status == OK else "failed"] += 1
            except (NotSent, NoAnswer):
                self._console["failed"] += 1
            await asyncio.sleep(POLL_S)

    async def _settled(self, database: Database) -> Documents:
        """Wait until the worker has found out the end of every payment; return what is kept of them."""
        deadline = time.monotonic() + SETTLE_S_MAX
        while True:
            documents = await payment_drill_audit.read_documents(database)
            if not payment_drill_audit.unresolved(documents) or time.monotonic() > deadline:
                return documents
            await asyncio.sleep(1.0)

    async def _audit(self, database: Database, documents: Documents) -> tuple[Findings, list[str]]:
        """Return what does not fit, and what is wrong with the seals."""
        outside, clock = Outside({}, []), RealClock()
        asked = {(each.channel, each.reference) for each in documents.attempts}
        await payment_drill_books.read_sandbox(self._world.control, asked, outside)
        async with Ledger(database, clock, Metrics(), IdFactory(clock)) as ledger:
            findings = await payment_drill_audit.audit(documents, self._client.answers, outside, ledger)
            seals = []
            for book in await ledger.accounts.books():
                proof = await ledger.verifying.verify(book.code)
                seals += [f"{each.what} {each.where}: {each.detail}" for each in proof.findings]
        return findings, seals

    def _report(
        self, waits: tuple[str, str, str], marks: Marks, findings: Findings, seals: list[str]
    ) -> StandbyReport:
        found = figures(self._paid, marks)
        ended = [name for name, program in self._world.programs.items() if not program.is_alive]
        named = {
            "lost": findings.lost,
            "doubled": findings.double_charges,
            "unresolved": findings.unresolved,
            "conflict": findings.conflicts,
            "ledger": findings.ledger,
            "seal": seals,
            "unanswered": self._unanswered,
            "ended by itself": ended,
        }
        latencies = quantiles(self._client.latencies_s or [0.0, 0.0], n=100)
        return StandbyReport(
            lost=len(findings.lost),
            doubled=len(findings.double_charges),
            unresolved=len(findings.unresolved),
            conflicts=len(findings.conflicts),
            unanswered=len(self._unanswered),
            processes_ended=len(ended),
            books_equal=not findings.ledger,
            seals_verified=not seals,
            acknowledged=len(self._client.answers),
            acknowledged_before_kill=found.before,
            acknowledged_after_kill=found.after,
            failover_s=found.failover_s,
            promote_s=round(marks.promoted - marks.promoting, 3),
            detect_s=round(marks.promoting - marks.killed, 3),
            without_write_s=found.without_write_s,
            waited=found.waited,
            repeats=dict(self._client.repeats),
            failed=sum(self._client.repeats.values()),
            payments_per_s_before=round(found.before / (marks.killed - marks.begun), 1),
            payments_per_s_after=round(found.after / (marks.ended - marks.promoted), 1),
            p50_ms=round(latencies[49] * 1000, 1),
            p99_ms=round(latencies[98] * 1000, 1),
            synchronous_commit=waits[0],
            synchronous_standby_names=waits[1],
            standby_state=waits[2],
            console_reads=self._console.total(),
            console_reads_failed=self._console["failed"],
            seed=self._plan.seed,
            faults=tuple(f"{what}: {each}" for what, lines in named.items() for each in lines[:SHOWN_MAX]),
        )

    def _card(self) -> str:
        body = PAN_PREFIX + "".join(str(self._random.randrange(10)) for _ in range(5))
        return body + luhn_digit(body)
