"""``tongbao demo real``: the whole system among parties that nobody here wrote, as real processes on loopback.

The official ``stripe`` client plays a merchant's back end. Its payments go through risk control and routing to iso8583sim over TCP,
to localstripe over HTTP, and to Alipay and WeChat Pay whose every signature the published clients judge; mock-bank pays out what
is settled; three-way reconciliation closes the day. A party that is not installed takes no part, and the report says so.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tongbao.bench import (
    demo_real_audit,
    demo_real_books,
    demo_real_judges,
    demo_real_policies,
    demo_real_shop,
)
from tongbao.bench.demo_real_asking import Asked
from tongbao.bench.demo_real_channels import CARD_CURRENCY, IBANS, WALLET_CURRENCY
from tongbao.bench.demo_real_clearing import Desk, open_desk
from tongbao.bench.demo_real_judges import Judged
from tongbao.bench.demo_real_orders import PAN_PREFIX, Sizes
from tongbao.bench.demo_real_peers import BANK, Peers
from tongbao.bench.demo_real_report import Report
from tongbao.bench.demo_real_scenes import Scenes
from tongbao.bench.demo_real_world import SANDBOX, World
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger

WEBHOOKS_S_MAX = 60.0
POLL_S = 0.3
QUIET_LOOKS = 4
Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How big a demonstration is, its seed, how many processes serve, and how many seconds lie between cuts of batches.

    A ``whole`` house has worker, judge and interfaces in processes of their own; otherwise one process is all of it.
    """

    sizes: Sizes = Sizes(customers=60, visits=2, doubtful=8, cards=30, silent=8, codes=25, lost=3, refunds=24)
    seed: int = 1
    api_count: int = 2
    is_whole: bool = True
    cut_every_s: int = 30


QUICK = Plan(
    sizes=Sizes(customers=12, visits=1, doubtful=2, cards=9, silent=2, codes=3, lost=1, refunds=4),
    seed=7,
    api_count=1,
    is_whole=False,
    cut_every_s=12,
)


async def run(home: Path, *, plan: Plan, peers: Path, say: Say) -> Report:
    """Run the demonstration in ``home``, a folder of its own; tell ``say`` how it goes and return what came of it.

    ``peers``: the folder that ``make peers`` fills. Starts and ends its own server and processes. Raises what starting them
    raises, and Unavailable where a party refuses what it is asked.
    """
    known = Peers(peers)
    for name, why in known.absent.items():
        say(f"without {name}: {why}")
    say("starting the database and the parties …")
    world = World(home, known, pan_prefix=PAN_PREFIX, seed=plan.seed, api_count=plan.api_count)
    try:
        key = await world.open_books()
        clock = RealClock()
        async with (
            Database(world.server.dsn()) as database,
            Ledger(database, clock, Metrics(), IdFactory(clock)) as ledger,
        ):
            return await _Demonstration(world, database, ledger, plan, say).run(key)
    finally:
        await world.close()


class _Demonstration:
    """One run: the day, its close, the audit."""

    def __init__(self, world: World, database: Database, ledger: Ledger, plan: Plan, say: Say) -> None:
        self._world = world
        self._database = database
        self._ledger = ledger
        self._plan = plan
        self._say = say
        self._began = time.monotonic()

    async def run(self, key: str) -> Report:
        await demo_real_policies.roll_out(self._world, self._database)
        self._say("starting the house …")
        await self._world.open_house(whole=self._plan.is_whole)
        command = [sys.executable, "-I", demo_real_shop.__file__, self._world.entrance.url, key]
        async with contextlib.AsyncExitStack() as stack:
            shop = Asked("merchant", command, self._world.home)
            stack.push_async_callback(shop.close)
            await shop.open()
            opened = await shop.ask("open")
            desk = await stack.enter_async_context(
                open_desk(self._world, self._database, self._ledger, self._say)
            )
            await desk.agree((CARD_CURRENCY, WALLET_CURRENCY), self._plan.cut_every_s)
            scenes = Scenes(
                self._world, self._database, shop, key, self._plan.sizes, self._plan.seed, self._say
            )
            await scenes.play()
            self._say("closing the day …")
            judged, _ = await asyncio.gather(self._judge(), desk.close_day())
            webhooks = await self._webhooks(shop)
            notes = [*scenes.notes, *desk.notes]
            if opened.get("error"):
                notes.append(f"no webhooks: {opened['error']}")
            return await self._report(desk, judged, webhooks, str(opened["client"]), notes)

    async def _judge(self) -> Judged:
        """Let the published clients judge what went over the wire until now."""
        credentials = self._world.home / SANDBOX / "credentials.json"
        return await demo_real_judges.judge(
            self._world.home,
            self._world.peers,
            credentials,
            list(self._world.wallets.exchanges),
            list(self._world.entrance.exchanges),
        )

    async def _webhooks(self, shop: Asked) -> dict[str, int]:
        """Return who believed how many webhooks, once no more are coming."""
        counts: dict[str, int] = {}
        quiet = 0
        for _ in range(round(WEBHOOKS_S_MAX / POLL_S)):
            before, counts = counts, (await shop.ask("webhooks"))["counts"]
            quiet = quiet + 1 if counts == before else 0
            if quiet >= QUIET_LOOKS:
                break
            await asyncio.sleep(POLL_S)
        return counts

    async def _report(
        self, desk: Desk, judged: Judged, webhooks: dict[str, int], merchant: str, notes: list[str]
    ) -> Report:
        self._say("auditing …")
        counted = await demo_real_audit.count(
            self._database,
            self._ledger,
            await demo_real_books.read(self._world),
            await desk.batches(),
            await self._booked_minor(),
            await desk.carried_minor(),
        )
        ended = [name for name, program in self._world.programs.items() if not program.is_alive]
        counts = msgspec.structs.asdict(counted)
        counts["faults"] = (
            *notes,
            *counted.faults,
            *(f"ended by itself: {each}" for each in ended),
            *(f"refused by {name}: {count}" for name, count in judged.refused.items()),
        )
        return Report(
            **counts,
            webhooks=webhooks.get("received", 0),
            webhooks_verified=webhooks.get("verified", 0),
            verifiers={name: webhooks.get(name, 0) for name in ("stripe", "standardwebhooks")},
            signatures=judged.believed,
            signatures_refused=sum(judged.refused.values()),
            forgeries_believed=judged.forgeries + webhooks.get("forgeries_believed", 0),
            peers=self._world.peers.told(),
            merchant=merchant,
            took_s=round(time.monotonic() - self._began, 1),
            seed=self._plan.seed,
        )

    async def _booked_minor(self) -> dict[str, int]:
        """Return by currency what the bank says that left the house's accounts for the merchant."""
        if not self._world.peers.has(BANK):
            return {}
        found: dict[str, int] = {}
        currencies = {f"HOUSE-{currency}": currency for currency in IBANS}
        for each in await self._world.bank("GET", "payments"):
            if each["account_id"] in currencies and each.get("booked_at"):
                currency = currencies[each["account_id"]]
                found[currency] = found.get(currency, 0) + int(each["amount"])
        return dict(sorted(found.items()))
