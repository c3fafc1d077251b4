"""The risk drill: risk control in the payment path of the real program, attacked, asked for proofs, and killed.

Customers with weeks of history pay over HTTP while a card tester and a thief try their luck; payers prove who they are, or do
not; people hold, release, freeze. A process that takes payments is killed -9 under load, then the one that judges for all of
them, and last its model is made to fail.
Counted is who was let pass, asked, held or stopped and why, what the attacks cost, and what must be zero.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from tongbao.bench import payment_drill_audit, risk_drill_history, risk_drill_payers, risk_drill_reading
from tongbao.bench.payment_drill_audit import Findings
from tongbao.bench.risk_drill_desk import SEEN_S, Desk, broken_spec
from tongbao.bench.risk_drill_measures import (
    FALLBACK,
    SCORING_AWAY,
    SCORING_BACK,
    SCORING_CUT,
    Measured,
    Proofs,
    RiskReport,
    report_of,
)
from tongbao.bench.risk_drill_payers import Crowd, customer_key, on_a_new_device, payment_id
from tongbao.bench.risk_drill_reading import Follower, Rebuilt
from tongbao.bench.risk_drill_shop import HELD, STOPPED, Paid, Payer, Shop
from tongbao.bench.risk_drill_world import HIGH_MINOR, KILLED, LOW_MINOR, SCORING, RiskWorld
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import Unavailable
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger
from tongbao.risk.schema.cases import Disposition
from tongbao.risk.schema.signals import Entity
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service import compiling

RESUMED_COUNT = 20
"""Payments that the restarted process alone is asked for: what it saw is held against the journal."""
FAILING_COUNT = 20
BESIDE_SHARE = 0.4
"""Of the customers, who pay beside the attacks; the others are left for the load around the kill."""
VOLLEY_COUNT = 12
VOLLEY_S = 0.03
"""So many payments are under way in the process that is killed, so long after they began."""
SCORING_CUT_COUNT, SCORING_AWAY_COUNT, SCORING_BACK_COUNT = 6, 8, 4
"""Payments that are under way when the scoring process is killed, that are made while it is away, and once it is back."""
DRIVEN_S_MAX = 30.0
SETTLE_S_MAX = 60.0
POLL_S = 0.25
Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a drill goes: how many customers pay how often in calm, and how many cards are tested.

    ``rate_per_s``: good payments a second beside the attacks and around the kill. ``load_s``: seconds of load before the
    kill and after the restart.
    """

    customers: int = 320
    rounds: int = 1
    cards: int = 40
    rate_per_s: float = 12.0
    load_s: float = 4.0
    seed: int = 1


QUICK = Plan(customers=80, rounds=1, cards=25, rate_per_s=5.0, load_s=1.0)


async def run(home: Path, *, plan: Plan, say: Say) -> RiskReport:
    """Run the drill in ``home``, a folder of its own; tell ``say`` how it goes and return what was found.

    Starts and ends its own server and processes. Raises what starting them raises, and Unavailable where a scene could
    not be played.
    """
    world = RiskWorld(home, plan.seed)
    try:
        say("starting the world …")
        key = await world.open_books()
        async with Database(world.server.dsn()) as database:
            return await _Drill(world, database, key, plan, say).run()
    finally:
        await world.close()


class _Drill:
    """One run: the scenes in their order, then the audit."""

    def __init__(self, world: RiskWorld, database: Database, key: str, plan: Plan, say: Say) -> None:
        self._world = world
        self._database = database
        self._plan = plan
        self._say = say
        self._desk = Desk(database)
        self._shop = Shop(world.http, world.api_ports, key)
        self._crowd = Crowd(self._shop, plan.customers, plan.seed)
        self._measured = Measured()

    async def run(self) -> RiskReport:
        began = time.monotonic()
        await self._desk.declare_suspects()
        version = await self._desk.roll_out("starter rules", fallback=FALLBACK.value)
        self._say(f"the starter rules are version {version} and rolled out; starting the house …")
        await self._world.open_house()
        async with Follower(self._database) as follower:
            await self._calm()
            await self._attacks()
            await self._proofs()
            await self._killed(follower)
            await self._scoring_killed()
            await self._reviews()
            await self._freezes()
            await self._failing()
            findings = await self._settled()
            await risk_drill_reading.wait_for_journal(self._database)
            rebuilt = await risk_drill_reading.rebuilt(self._database, follower)
        return await self._report(rebuilt, findings, time.monotonic() - began)

    async def _calm(self) -> None:
        """Let everybody have a history, then let everybody pay; besides, people whom nobody has ever seen."""
        await self._crowd.open()
        await self._shop.want()
        saved = {str((await self._shop.save_card(each))["id"]): each for each in self._crowd.payers}
        seeded = await risk_drill_history.seed(
            self._database, self._world.home / "data", saved, self._plan.seed
        )
        await self._desk.suspect([customer_key(each) for each in self._crowd.payers[3:5]])
        self._say(
            f"{len(saved)} customers with {seeded:,} payments of {risk_drill_history.WEEKS} weeks behind them"
        )
        await asyncio.sleep(SEEN_S)
        await self._crowd.rounds("calm", self._plan.rounds)
        await self._crowd.newcomers("newcomers")
        self._tell("calm")
        self._tell("newcomers")

    async def _attacks(self) -> None:
        """Test cards, then empty one, while customers go on paying."""
        async with self._paying("beside attacks", BESIDE_SHARE):
            burst = await risk_drill_payers.try_cards(self._shop, self._plan.cards, self._plan.seed)
            spree = await risk_drill_payers.go_on_a_spree(self._shop, self._crowd.payers[0])
        self._measured.burst = risk_drill_payers.stopped(burst)
        self._measured.spree = risk_drill_payers.stopped(spree)
        for scene in ("burst", "spree", "beside attacks"):
            self._tell(scene)

    async def _proofs(self) -> None:
        """Let one payer prove who it is, and another fail to."""
        passes = await self._on_a_new_device(1)
        fails = await self._on_a_new_device(2)
        passed = await risk_drill_payers.prove(self._world, self._shop, passes)
        failed = await risk_drill_payers.fail(self._world, self._shop, fails)
        again = await risk_drill_payers.ask_again(self._shop, fails)
        self._measured.proofs = Proofs(passed, failed, again)
        self._say(f"a right code: {passed}; five wrong ones: {failed}; asked for again: {again}")

    async def _killed(self, follower: Follower) -> None:
        """Kill the process that takes payments and does the background work, under load; start it again."""
        await follower.following.snapshot()
        program = self._world.programs[KILLED]
        async with self._paying("around the kill"):
            await asyncio.sleep(self._plan.load_s)
            async with asyncio.TaskGroup() as volley:
                for _ in range(VOLLEY_COUNT):
                    payer = self._crowd.next_payer()
                    volley.create_task(self._crowd.visit("cut short", payer, self._world.api_ports[0]))
                await asyncio.sleep(VOLLEY_S)
                self._say(f"{KILLED} is killed after {len(self._shop.paid):,} payments")
                killed_s = time.time()
                await program.kill()
                await program.start()
                self._measured.away_s = (killed_s, time.time())
            await asyncio.sleep(self._plan.load_s)
        for _ in range(RESUMED_COUNT):
            payer = self._crowd.next_payer()
            await self._crowd.visit("resumed", payer, self._world.api_ports[0])
        self._tell("cut short")
        self._tell("around the kill")
        self._tell("resumed")

    async def _scoring_killed(self) -> None:
        """Kill the process that judges, under load; payments go on at the policy's fallback until it is back."""
        program = self._world.programs[SCORING]
        count = SCORING_CUT_COUNT + SCORING_AWAY_COUNT + SCORING_BACK_COUNT
        strangers = [await self._crowd.stranger() for _ in range(count)]
        async with asyncio.TaskGroup() as volley:
            for _ in range(SCORING_CUT_COUNT):
                volley.create_task(self._crowd.visit(SCORING_CUT, strangers.pop()))
            await asyncio.sleep(VOLLEY_S)
            await program.kill()
            killed = time.monotonic()
        for _ in range(SCORING_AWAY_COUNT):
            await self._crowd.visit(SCORING_AWAY, strangers.pop())
        await program.start()
        await self._world.wait_for_scoring()
        self._measured.scoring_away_s = time.monotonic() - killed
        for _ in range(SCORING_BACK_COUNT):
            await self._crowd.visit(SCORING_BACK, strangers.pop())
        self._say(f"{SCORING} was killed, and missed for {self._measured.scoring_away_s:.1f} s")
        for scene in (SCORING_CUT, SCORING_AWAY, SCORING_BACK):
            self._tell(scene)

    async def _reviews(self) -> None:
        """Let people hold two payments, release one and reject the other."""
        marked = self._crowd.payers[3:5]
        ends = []
        for payer, disposition in zip(marked, (Disposition.GENUINE, Disposition.FRAUD), strict=True):
            held = await self._shop.pay("held", payer, LOW_MINOR)
            if held.met != HELD:
                raise Unavailable("drill_not_held", f"{held.id} met {held.met}, a review was expected")
            await self._desk.close_case(payment_id(held), disposition)
            ends.append(await self._driven(held))
        self._measured.released, self._measured.rejected = ends
        self._say(f"a held payment that was released: {ends[0]}; one that was rejected: {ends[1]}")

    async def _freezes(self) -> None:
        """Freeze a customer and a card; let two people release them."""
        customer, owner = self._crowd.payers[5:7]
        before = await self._shop.pay("before the freeze", owner, LOW_MINOR)
        card = (await risk_drill_reading.signals_of(self._database, payment_id(before))).card
        freezes = [
            await self._desk.freeze(Entity.CUSTOMER, customer_key(customer)),
            await self._desk.freeze(Entity.CARD, card),
        ]
        await asyncio.sleep(SEEN_S)
        frozen = [await self._shop.pay("frozen", each, LOW_MINOR) for each in (customer, owner)]
        refused = [await self._desk.release(each) for each in freezes]
        await asyncio.sleep(SEEN_S)
        after = [await self._shop.pay("released", each, LOW_MINOR) for each in (customer, owner)]
        self._measured.frozen_stopped = all(each.met == STOPPED for each in frozen)
        self._measured.one_refused = all(refused)
        self._measured.released_pay = not any(each.met == STOPPED for each in after)
        self._say(f"frozen: {_met(frozen)}; released by two: {_met(after)}")

    async def _failing(self) -> None:
        """Let a model decide that has no score for anybody; payments go on at the tier that the policy has for that."""
        looks = await risk_drill_reading.read_looks(self._database)
        model = await self._desk.keep_defective_model()
        freeze = await self._desk.freeze(Entity.CUSTOMER, customer_key(self._crowd.payers[7]))
        own = f"{compiling.POLICY}/{looks[0].book_id}"
        await self._desk.roll_out("a defective model", own, **broken_spec(model, Tier.FRICTIONLESS))
        await asyncio.sleep(SEEN_S)
        for _ in range(FAILING_COUNT):
            await self._crowd.visit("failing", self._crowd.next_payer())
        frozen = await self._shop.pay("failing and frozen", self._crowd.payers[7], LOW_MINOR)
        self._measured.frozen_while_failing = frozen.met
        self._say(f"scoring fails: {self._counts('failing')}; a frozen customer then: {frozen.met}")
        await self._desk.release(freeze)

    async def _settled(self) -> Findings:
        """Wait until nothing is open, then hold documents, books and the acquirer's book against each other."""
        give_up = time.monotonic() + SETTLE_S_MAX
        documents = await payment_drill_audit.read_documents(self._database)
        while payment_drill_audit.unresolved(documents) and time.monotonic() < give_up:
            await asyncio.sleep(POLL_S * 4)
            documents = await payment_drill_audit.read_documents(self._database)
        self._say("auditing …")
        references = [(each.channel, each.reference) for each in documents.attempts]
        outside = await self._world.read_outside(references)
        clock = RealClock()
        async with Ledger(self._database, clock, Metrics(), IdFactory(clock)) as ledger:
            return await payment_drill_audit.audit(documents, self._shop.answers, outside, ledger)

    async def _report(self, rebuilt: Rebuilt, findings: Findings, took_s: float) -> RiskReport:
        looks = await risk_drill_reading.read_looks(self._database)
        ended = [name for name, program in self._world.programs.items() if not program.is_alive]
        self._measured.cases = await self._desk.case_count()
        self._measured.took_s = took_s
        self._measured.faults += [f"ended by itself: {each}" for each in ended]
        return report_of(self._measured, self._shop, looks, rebuilt, findings)

    @contextlib.asynccontextmanager
    async def _paying(self, scene: str, share: float = 1.0) -> AsyncIterator[None]:
        """Let customers pay at a steady rate meanwhile, at most ``share`` of them."""
        stop = asyncio.Event()
        count_max = round(share * len(self._crowd.regulars))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._crowd.keep_paying(scene, self._plan.rate_per_s, count_max, stop))
            try:
                yield
            finally:
                stop.set()

    async def _on_a_new_device(self, number: int) -> Paid:
        payer: Payer = on_a_new_device(self._crowd.payers[number], number)
        paid = await self._shop.pay("new device", payer, HIGH_MINOR[number - 1])
        risk_drill_payers.check_stepped_up(paid)
        return paid

    async def _driven(self, held: Paid) -> str:
        """Return how a held payment stands once what people decided was carried out."""
        give_up = time.monotonic() + DRIVEN_S_MAX
        intent = await self._shop.read(held.id)
        while intent["risk_state"] == "review" and time.monotonic() < give_up:
            await asyncio.sleep(POLL_S)
            intent = await self._shop.read(held.id)
        return str(intent["status"])

    def _counts(self, scene: str) -> str:
        found = Counter(each.met for each in self._shop.paid if each.scene == scene)
        return ", ".join(f"{count} {met}" for met, count in found.most_common())

    def _tell(self, scene: str) -> None:
        self._say(f"{scene}: {self._counts(scene)}")


def _met(paid: list[Paid]) -> str:
    return ", ".join(each.met for each in paid)
