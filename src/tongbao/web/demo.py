"""The demonstration: a sandbox for the outside world, two merchants with keys, shoppers and thieves who pay over HTTP.

The three acquirers differ in what they approve, and one of them is away for a minute of every ten: so there is
something to choose, and something to see on the routing board.
"""

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from tongbao.channels.service.banks import BankSpec
from tongbao.channels.service.building import ChannelSpec
from tongbao.core.clock import Clock
from tongbao.core.http import HttpClient
from tongbao.parties.service.demo import open_demo
from tongbao.simulator import sandbox_routes
from tongbao.simulator.sandbox.behavior import Duration, Habits, Payers, Trouble, TroubleKind
from tongbao.simulator.sandbox.server import Sandbox, SandboxConfig
from tongbao.simulator.shoppers import Shopper
from tongbao.simulator.thieves import CardTester
from tongbao.web.demo_clearing import DemoClearing, demo_bank
from tongbao.web.house import House

KEYS_FILE = "demo-keys.json"
DECLINE_PROBS = {"card_east": 0.04, "card_west": 0.09, "card_north": 0.02}
"""The acquirers, and how often issuers refuse over each."""
AWAY_EVERY_S, AWAY_S, AWAY_TIMES = 600.0, 60.0, 144
"""``card_north`` refuses connections for a minute of every ten, for a day."""
VISITS_PER_S = 0.7
BURSTS_PER_S = 1 / 240
"""Somebody tests stolen cards every four minutes or so: risk control has something to stop."""
SEED = "city 8"


class Demo:
    """What ``tongbao run`` shows. Opened in two steps: the world before the house, its life after it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._bank = home / "sandbox" / "bank"
        self.sandbox: Sandbox | None = None
        self.keys: dict[str, dict[str, str]] = {}

    async def open_world(self, stack: AsyncExitStack, clock: Clock) -> list[ChannelSpec]:
        """Start the sandbox in this process; return the routes to it."""
        world = self._home / "sandbox"
        config = SandboxConfig(
            home=world,
            journal=world / "journal.jsonl",
            acquirers=dict.fromkeys(DECLINE_PROBS, 0),
            habits={
                **{name: _habits(name) for name in DECLINE_PROBS},
                "alipay": Habits(payers=Payers(pays_prob=0.9)),
            },
        )
        self.sandbox = await stack.enter_async_context(Sandbox(config, clock))
        return sandbox_routes.routes(self.sandbox.credentials.merchant)

    def banks(self) -> list[BankSpec]:
        """Return the bank of the world, which books whatever it is told to pay."""
        return [demo_bank(self._bank)]

    async def open_life(self, stack: AsyncExitStack, house: House) -> None:
        """Open the merchants, tell the acquirers where to send notices, and let the shoppers in."""
        assert self.sandbox is not None
        for name, acquirer in self.sandbox.acquirers.items():
            acquirer.notify_url = f"{house.base_url}/v2/channels/{name}/notifications"
        self.keys = await self._demo_keys(house)
        http = HttpClient()
        stack.push_async_callback(http.close)
        # The first merchant is the tea house, which sells in yuan.
        key = next(iter(self.keys.values()))["sk_test_"]
        life = asyncio.create_task(
            self._live(Shopper(house.base_url, key, http, SEED), CardTester(house.base_url, key, http, SEED)),
            name="life",
        )
        stack.push_async_callback(_ended, life)
        names = [*self.sandbox.acquirers, "alipay", "wechatpay"]
        clearing = DemoClearing(house.clearing, house.runtime.clock, self.sandbox.world, names, self._bank)
        await clearing.open()
        stack.push_async_callback(_ended, asyncio.create_task(clearing.live(), name="demo clearing"))

    async def _live(self, shopper: Shopper, tester: CardTester) -> None:
        await asyncio.sleep(1.0)
        await asyncio.gather(shopper.live(VISITS_PER_S), tester.live(BURSTS_PER_S))

    async def _demo_keys(self, house: House) -> dict[str, dict[str, str]]:
        """Return the keys in clear by merchant: those made now, or those that an earlier start has written down."""
        path = self._home / KEYS_FILE
        known: dict[str, dict[str, str]] = {}
        if path.exists():
            known = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, str]])
        for made in await open_demo(house.parties):
            known[made.merchant.name] = {
                prefix: text.get_secret_value() for prefix, text in made.texts.items()
            }
        _write(path, known)
        return known


def _habits(name: str) -> Habits:
    """Return how an acquirer behaves."""
    away = [AWAY_EVERY_S * number for number in range(1, AWAY_TIMES + 1)] if name == "card_north" else []
    return Habits(
        decline_prob=DECLINE_PROBS[name],
        latency=Duration(median_ms=25.0, sigma=0.4),
        troubles=tuple(
            [Trouble(kind=TroubleKind.REFUSED, from_s=begin, until_s=begin + AWAY_S) for begin in away]
        ),
    )


def _write(path: Path, keys: dict[str, dict[str, str]]) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(keys), indent=2) + b"\n")


async def _ended(life: "asyncio.Task[None]") -> None:
    life.cancel()
    await asyncio.gather(life, return_exceptions=True)
