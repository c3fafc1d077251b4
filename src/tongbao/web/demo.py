"""The demonstration: a sandbox for the outside world, two merchants with keys, and a city whose people pay over HTTP.

The three acquirers differ in what they approve, and one of them is away for a minute of every ten: so there is
something to choose, and something to see on the routing board. At the first start the city has lived for thirty days.
"""

import asyncio
import os
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import msgspec

from tongbao.channels.service.banks import BankSpec
from tongbao.channels.service.building import ChannelSpec
from tongbao.core.clock import Clock, SteppedClock
from tongbao.core.config import Settings
from tongbao.core.events.running import Events
from tongbao.core.logs import get_logger
from tongbao.parties.service.demo import open_demo
from tongbao.simulator.city.answers_mail import Mailbox
from tongbao.simulator.city.schema import CityTerms
from tongbao.simulator.sandbox.behavior import Trouble, TroubleKind
from tongbao.simulator.sandbox.server import Sandbox, SandboxConfig
from tongbao.web.city_house import (
    DECLINE_PROBS,
    channel_names,
    city_habits,
    go_real,
    mailed_to,
    real_habits,
    routes_of,
    tell_where,
)
from tongbao.web.city_living import Telling, begin_of
from tongbao.web.city_past import PastCity, open_past_city
from tongbao.web.demo_clearing import DemoClearing, demo_bank
from tongbao.web.house import House
from tongbao.web.workers import Workers

KEYS_FILE = "demo-keys.json"
AWAY_EVERY_S, AWAY_S, AWAY_TIMES = 600.0, 60.0, 144
"""``card_north`` refuses connections for a minute of every ten, for a day."""
AWAY = {
    "card_north": tuple(
        Trouble(
            kind=TroubleKind.REFUSED, from_s=AWAY_EVERY_S * number, until_s=AWAY_EVERY_S * number + AWAY_S
        )
        for number in range(1, AWAY_TIMES + 1)
    )
}
LATENCY_MS = 25.0


class Demo:
    """What ``tongbao run`` shows. Opened in steps: the world before the house, the past once, its life after it."""

    def __init__(self, home: Path, terms: CityTerms) -> None:
        self.home = home
        self._bank = home / "sandbox" / "bank"
        self._terms = terms
        self._mailbox = Mailbox()
        self._city: PastCity | None = None
        self.sandbox: Sandbox | None = None
        self.keys: dict[str, dict[str, str]] = {}

    async def open_mail(self, stack: AsyncExitStack, settings: Settings) -> Settings:
        """Open the mailboxes of the city's people; return settings that send codes there."""
        return mailed_to(settings, await stack.enter_async_context(self._mailbox))

    async def open_world(self, stack: AsyncExitStack, clock: Clock) -> list[ChannelSpec]:
        """Start the sandbox in this process; return the routes to it."""
        world = self.home / "sandbox"
        is_past = isinstance(clock, SteppedClock)
        config = SandboxConfig(
            home=world,
            journal=world / "journal.jsonl",
            acquirers=dict.fromkeys(DECLINE_PROBS, 0),
            habits=city_habits((), clock.now()) if is_past else real_habits(0.0, AWAY, LATENCY_MS),
        )
        self.sandbox = await stack.enter_async_context(Sandbox(config, clock))
        return routes_of(self.sandbox)

    def banks(self) -> list[BankSpec]:
        """Return the bank of the world, which books whatever it is told to pay."""
        return [demo_bank(self._bank)]

    async def open_merchants(self, house: House) -> None:
        """Open the merchants of the demonstration and of its city, and tell the acquirers where to send notices."""
        assert self.sandbox is not None
        tell_where(self.sandbox, house.base_url)
        self.keys = await self._demo_keys(house)
        self._city = await open_past_city(house, self.sandbox, self._terms, self.home, self.keys)

    async def prepare_past(
        self,
        stack: AsyncExitStack,
        house: House,
        running: tuple[Events, Workers],
        until: datetime,
        telling: Telling,
    ) -> None:
        """Live the past up to ``until`` by the house's stepped clock; see ``PastCity.prepare``."""
        clock = house.runtime.clock
        assert self._city is not None
        assert self.sandbox is not None
        assert isinstance(clock, SteppedClock)
        await self._city.prepare(stack, self._mailbox, clock, running, until, telling)

    def go_real(self, house: House, clock: Clock) -> None:
        """Let time be real after a past: the house's clock, its followers, and how acquirers behave."""
        stepped = house.runtime.clock
        assert self.sandbox is not None
        assert isinstance(stepped, SteppedClock)
        go_real(house, stepped, clock)
        elapsed_s = (clock.now() - begin_of(self._terms)).total_seconds()
        for name, habits in real_habits(elapsed_s, AWAY, LATENCY_MS).items():
            self.sandbox.behavior.set(name, habits)

    async def open_life(self, stack: AsyncExitStack, house: House) -> None:
        """Let the people of the city in, and its clearing live."""
        assert self.sandbox is not None
        assert self._city is not None
        clock = house.runtime.clock
        life = asyncio.create_task(self._live(stack, clock), name="life")
        stack.push_async_callback(_ended, life)
        clearing = DemoClearing(
            house.clearing, clock, self.sandbox.world, channel_names(self.sandbox), self._bank
        )
        await clearing.open()
        stack.push_async_callback(_ended, asyncio.create_task(clearing.live(), name="demo clearing"))

    async def _live(self, stack: AsyncExitStack, clock: Clock) -> None:
        """Let people come; whatever ends that is told in the log, for a street that is empty tells nobody why."""
        assert self._city is not None
        try:
            await self._city.live(stack, self._mailbox, clock)
        except Exception:
            get_logger("demo").exception("demo_life_ended")

    async def _demo_keys(self, house: House) -> dict[str, dict[str, str]]:
        """Return the keys in clear by merchant: those made now, or those that an earlier start has written down."""
        path = self.home / KEYS_FILE
        known: dict[str, dict[str, str]] = {}
        if path.exists():
            known = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, str]])
        for made in await open_demo(house.parties):
            known[made.merchant.name] = {
                prefix: text.get_secret_value() for prefix, text in made.texts.items()
            }
        _write(path, known)
        return known


def _write(path: Path, keys: dict[str, dict[str, str]]) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(keys), indent=2) + b"\n")


async def _ended(life: "asyncio.Task[None]") -> None:
    life.cancel()
    await asyncio.gather(life, return_exceptions=True)
