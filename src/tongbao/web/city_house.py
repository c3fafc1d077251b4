"""A whole house in a city's time: the world outside, every room, the interfaces on a port, a clock that is stepped.

Opened for ``tongbao city`` over a data folder of its own; ``tongbao run`` builds its own house from the same parts. The house
is driven through its port alone. What it would do by itself is done by ``CityWork`` when its time has come.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from tongbao.channels.service.building import ChannelSpec
from tongbao.core.clock import Clock, SteppedClock
from tongbao.core.config import Settings
from tongbao.core.events.running import Events
from tongbao.core.http import HttpClient
from tongbao.simulator import sandbox_routes
from tongbao.simulator.city.acting import Acting
from tongbao.simulator.city.acting_visits import Visitors
from tongbao.simulator.city.answers import Answers
from tongbao.simulator.city.answers_mail import HOST, Mailbox
from tongbao.simulator.city.driving import Driver, Told
from tongbao.simulator.city.running import RealTime, Ways, Work
from tongbao.simulator.city.schema import Shop
from tongbao.simulator.city.schema import Trouble as Spell
from tongbao.simulator.instants import INSTANT_HEADER
from tongbao.simulator.sandbox import alipay_acts, wechat_acts
from tongbao.simulator.sandbox.behavior import Duration, Habits, Payers, Trouble, TroubleKind
from tongbao.simulator.sandbox.server import Sandbox, SandboxConfig
from tongbao.web.app import create_app
from tongbao.web.city_clearing import CityClearing
from tongbao.web.city_shops import keys_of, open_shops
from tongbao.web.city_work import CityWork, Extra
from tongbao.web.commands.listening import Server, configured, listen
from tongbao.web.demo_clearing import WECHAT, demo_bank
from tongbao.web.house import House, open_house
from tongbao.web.pace import Pace
from tongbao.web.runtime import open_runtime
from tongbao.web.workers import Workers

DECLINE_PROBS = {"card_east": 0.04, "card_west": 0.09, "card_north": 0.02}
"""The acquirers of a city, and how often issuers refuse over each."""
KEYS_FILE = "city-keys.json"
RATE_PER_S = 1e9
"""In a city's time a day passes in seconds: limits of real seconds would mean nothing."""
POOL_SIZE = 16
HIT_PROB, ISSUER_HIT_PROB = 0.97, 0.3
"""Of what is asked of an acquirer in a bad spell; where it is one issuer's, of the share that its cards have."""
DECLINING = frozenset({"declining", "declines", "issuer", "brown_out"})
CLERK_EVERY, FILES_EVERY = timedelta(hours=12), timedelta(days=1)


@dataclass
class City:
    """An open city. ``driver`` drives it; ``clearing`` tells what was settled."""

    house: House
    events: Events
    workers: Workers
    sandbox: Sandbox
    clock: SteppedClock
    work: CityWork
    clearing: CityClearing
    driver: Driver

    @asynccontextmanager
    async def in_real_time(self, clock: Clock) -> AsyncIterator[None]:
        """Let the clock go with another one, and the house work by itself until the block ends."""
        go_real(self.house, self.clock, clock)
        async with self.events, self.workers:
            self.driver.go_on_with(RealTime(clock))
            yield


class Instants:
    """Lets each request that names an instant happen at it, as long as the clock is stepped; see ``SteppedClock.of_own``."""

    def __init__(self, app: ASGIApp, clock: SteppedClock) -> None:
        self._app = app
        self._clock = clock
        self._name = INSTANT_HEADER.lower().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and self._clock.is_stepped:
            for name, value in scope["headers"]:
                if name == self._name:
                    with suppress(ValueError, UnicodeDecodeError):
                        self._clock.of_own(datetime.fromisoformat(value.decode("ascii")))
        await self._app(scope, receive, send)


def city_settings(home: Path, port: int = 0, dsn: str | None = None) -> Settings:
    """Return the settings of a city over its own server, or an empty database of ``dsn``; the environment says nothing here."""
    return Settings.model_construct(
        **(
            {name: field.default for name, field in Settings.model_fields.items()}
            | {
                "data_dir": home,
                "http_port": port,
                "database_url": None if dsn is None else SecretStr(dsn),
                "pool_size": POOL_SIZE,
                "statement_timeout_ms": 60_000,
                "payout_cooling_hours": 0,
                "test_rate_per_s": RATE_PER_S,
                "live_rate_per_s": RATE_PER_S,
            }
        )
    )


def mailed_to(settings: Settings, mailbox: Mailbox) -> Settings:
    """Return settings whose codes go to the city's mail; those that name a mail server keep theirs."""
    if settings.mail_host is not None:
        return settings
    return settings.model_copy(update={"mail_host": HOST, "mail_port": mailbox.port, "mail_security": "none"})


@asynccontextmanager
async def open_city(
    settings: Settings,
    seed: int,
    begins_at: datetime,
    shops: Sequence[Shop],
    troubles: Iterable[Spell] = (),
    *,
    lanes: int = 1,
    told: Told = lambda _: None,
) -> AsyncIterator[City]:
    """Open a city whose clock stands at ``begins_at``; close all of it again. The data folder should be new.

    Raises what ``open_runtime``, ``listen`` and ``open_house`` raise: Unavailable ``port_taken``, NotPermitted.
    """
    clock, pace = SteppedClock(begins_at), Pace(f"city {seed}")
    with listen(settings) as listening:
        base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with AsyncExitStack() as stack:
            mailbox = await stack.enter_async_context(Mailbox())
            settings = mailed_to(settings, mailbox)
            runtime = await stack.enter_async_context(
                open_runtime(settings, clock=clock, rng=pace.chance("ids"))
            )
            habits = city_habits(troubles, begins_at)
            config = SandboxConfig(acquirers=dict.fromkeys(DECLINE_PROBS, 0), seed=seed, habits=habits)
            sandbox = await stack.enter_async_context(Sandbox(config, clock))
            specs = routes_of(sandbox)
            bank = settings.data_dir / "bank"
            house = await stack.enter_async_context(
                open_house(runtime, settings, base_url, specs, [demo_bank(bank)], pace)
            )
            tell_where(sandbox, base_url)
            metrics, ids = runtime.metrics, runtime.ledger.ids
            events = Events(runtime.database, clock, ids, metrics, house.subscriptions())
            workers = Workers(house, events, metrics)
            server = Server(configured(Instants(create_app(house, workers, metrics), clock)))
            serving = asyncio.create_task(server.serve(sockets=[listening]), name="city-house")
            stack.push_async_callback(_stopped, server, serving)
            work = CityWork(house, events, workers, clock, sandbox)
            opened = await open_shops(house.parties, shops, settings.data_dir / KEYS_FILE)
            clearing = CityClearing(
                house.clearing,
                clock,
                sandbox.world,
                channels=channel_names(sandbox),
                opened=opened,
                bank=bank,
            )
            await clearing.open(shops)
            await work.begin(extras=extras_of(clearing))
            ways = Ways(base_url, keys_of(opened), sandbox.http_url)
            driver = await open_driver(stack, ways, mailbox, work, f"city-{seed}", lanes=lanes, told=told)
            yield City(house, events, workers, sandbox, clock, work, clearing, driver)


def go_real(house: House, stepped: SteppedClock, clock: Clock) -> None:
    """Let a stepped clock go with another one, and the deciders of its house follow by themselves from now on."""
    stepped.let_go(clock)
    house.routing.follow()
    house.risk.follow()


def routes_of(sandbox: Sandbox) -> list[ChannelSpec]:
    """Return the routes for money of a house whose world is this sandbox."""
    return sandbox_routes.routes(sandbox.credentials.merchant)


def channel_names(sandbox: Sandbox) -> list[str]:
    """Return the channels that report what they collected."""
    return [*sandbox.acquirers, alipay_acts.CHANNEL, WECHAT]


def tell_where(sandbox: Sandbox, base_url: str) -> None:
    """Tell the acquirers where to send notices."""
    for name, acquirer in sandbox.acquirers.items():
        acquirer.notify_url = f"{base_url}/v2/channels/{name}/notifications"


def extras_of(clearing: CityClearing) -> tuple[Extra, ...]:
    """Return what the world does around clearing: the bank books several times a day, channels report once."""
    return (
        Extra("bank", CLERK_EVERY, clearing.clerk),
        Extra("channel_files", FILES_EVERY, clearing.day),
    )


async def open_driver(
    stack: AsyncExitStack,
    ways: Ways,
    mailbox: Mailbox,
    work: Work,
    city: str,
    *,
    lanes: int = 1,
    told: Told = lambda _: None,
) -> Driver:
    """Return a driver with its own connections, closed with ``stack``. ``city`` stands before its idempotency keys."""
    http = HttpClient()
    stack.push_async_callback(http.close)
    acting = Acting(ways, http, city)
    visitors = Visitors(acting, Answers(http, mailbox), work)
    return Driver(acting, visitors, work, lanes=lanes, told=told)


def city_habits(troubles: Iterable[Spell], begins_at: datetime) -> dict[str, Habits]:
    """Return how the channels of a city behave from ``begins_at`` on, without waiting: in a city's time nothing takes any."""
    spells: dict[str, list[Trouble]] = {}
    for each in troubles:
        spells.setdefault(each.channel, []).append(_trouble(each, begins_at))
    habits = {
        name: Habits(decline_prob=share, troubles=tuple(spells.get(name, ())))
        for name, share in DECLINE_PROBS.items()
    }
    # Payers of the city pay by themselves; the sandbox has none of its own.
    wallets = {
        world: Habits(payers=Payers(), troubles=tuple(spells.get(name, ())))
        for name, world in ((alipay_acts.CHANNEL, alipay_acts.CHANNEL), (WECHAT, wechat_acts.CHANNEL))
    }
    return habits | wallets


def real_habits(
    elapsed_s: float, away: Mapping[str, tuple[Trouble, ...]], median_ms: float
) -> dict[str, Habits]:
    """Return how acquirers behave in real time: with latency, and away in windows that begin ``elapsed_s`` after the sandbox did."""
    return {
        name: Habits(
            decline_prob=share,
            latency=Duration(median_ms=median_ms, sigma=0.4),
            troubles=tuple(
                Trouble(kind=each.kind, from_s=each.from_s + elapsed_s, until_s=each.until_s + elapsed_s)
                for each in away.get(name, ())
            ),
        )
        for name, share in DECLINE_PROBS.items()
    }


def _trouble(spell: Spell, begins_at: datetime) -> Trouble:
    """Return a bad spell as the sandbox has it. An acquirer that is away answers errors: silence would last real seconds."""
    is_declining = spell.issuer is not None or spell.kind in DECLINING
    return Trouble(
        kind=TroubleKind.DECLINING if is_declining else TroubleKind.ERROR,
        from_s=max(0.0, (spell.begins_at - begins_at).total_seconds()),
        until_s=max(0.0, (spell.ends_at - begins_at).total_seconds()),
        hit_prob=ISSUER_HIT_PROB if spell.issuer is not None else HIT_PROB,
    )


async def _stopped(server: Server, serving: "asyncio.Task[None]") -> None:
    server.stop()
    await asyncio.gather(serving, return_exceptions=True)
