"""The seeded past of the demonstration: thirty city days lived through the public interface before anybody looks.

``past.json`` in the data folder says where a past stands. It is written before the first day is lived and again after the
last: a start that finds it unfinished knows that a kill came between, and begins anew. So a past is whole, or not there.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from tongbao.core.clock import Clock, SteppedClock
from tongbao.core.errors import InvalidRequest
from tongbao.core.events.running import Events
from tongbao.parties.service.demo import DEMO
from tongbao.simulator.city.answers_mail import Mailbox
from tongbao.simulator.city.driving import Driver, Told
from tongbao.simulator.city.planning import plan
from tongbao.simulator.city.running import RealTime, Ways
from tongbao.simulator.city.schema import CityTerms, Day, Outcome, Shop, ShopKind, Visit, Visited
from tongbao.simulator.city.shops import shops
from tongbao.simulator.sandbox.server import Sandbox
from tongbao.web.city_clearing import CityClearing
from tongbao.web.city_house import KEYS_FILE, channel_names, extras_of, open_driver
from tongbao.web.city_living import Silent, Telling, begin_of
from tongbao.web.city_shops import Open, Opened, keys_of, open_shops, write_secret
from tongbao.web.city_work import CityWork, Extra
from tongbao.web.demo_analyst import DemoAnalyst, analysts_of
from tongbao.web.house import House
from tongbao.web.workers import Workers

FILE = "past.json"
PAST = "past"
"""What the past is called before the keys of its requests."""
SEED = 8
PAST_DAYS, PAST_VISITS, PAST_LANES = 30, 60, 16
LIVE_VISITS = 12_000
"""A living street has somebody come every few seconds."""
AFTERMATH = timedelta(days=60)
"""So long after the past its last refunds, complaints and reports of fraud come."""
NOON = 12
ROUNDS_EVERY, SELDOM_EVERY = timedelta(hours=12), timedelta(days=1)
OF_DEMO = {ShopKind.TEA_HOUSE: 0, ShopKind.BOOKSHOP: 1}
"""Shops of the city that are merchants of the demonstration, where they sell in its currency."""


class State(StrEnum):
    """How far a past is."""

    PREPARING = "preparing"
    READY = "ready"


class Past(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``past.json`` holds; ``zone``: so that it was noon when the demonstration was first started."""

    state: State
    terms: CityTerms


def read_past(home: Path) -> Past | None:
    """Return the past of a data folder; None where there is none. Raises InvalidRequest ``past_unreadable``."""
    path = home / FILE
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Past)
    except msgspec.MsgspecError as error:
        raise InvalidRequest("past_unreadable", f"{path}: {error}; begin anew with --fresh") from None


def keep_past(home: Path, past: Past) -> None:
    """Write down where a past stands."""
    home.mkdir(parents=True, exist_ok=True)
    write_secret(home / FILE, msgspec.json.encode(past))


def new_terms(now: datetime, days: int = PAST_DAYS, visits_per_day: int = PAST_VISITS) -> CityTerms:
    """Return the terms of a past of so many days whose last one is today, in a zone where it is about noon now."""
    offset = NOON - now.hour
    zone = f"Etc/GMT{-offset:+d}" if offset else "UTC"
    today = now.astimezone(ZoneInfo(zone)).date()
    return CityTerms(
        seed=SEED,
        began_on=today - timedelta(days=days - 1),
        days=days,
        visits_per_day=visits_per_day,
        fraud_share=0.012,
        zone=zone,
    )


class PastCity:
    """The city of a demonstration: its past, once, and its life from now on, over a house that somebody else opened.

    A start that finds the past lived derives from its plan what is still to come after its payments.
    """

    def __init__(self, house: House, sandbox: Sandbox, terms: CityTerms, opened: Opened, bank: Path) -> None:
        self._house = house
        self._sandbox = sandbox
        self._terms = terms
        self._opened = opened
        self._bank = bank
        self._driver: Driver | None = None
        self._analyst = DemoAnalyst(
            house.risk.cases,
            house.risk.case_reading,
            house.runtime.clock,
            partial(analysts_of, house.parties.people),
        )

    async def prepare(
        self,
        stack: AsyncExitStack,
        mailbox: Mailbox,
        clock: SteppedClock,
        running: tuple[Events, Workers],
        until: datetime,
        telling: Telling | None = None,
    ) -> None:
        """Live every day up to ``until``. The clock stands at the beginning; nothing of the house runs by itself."""
        telling, city = telling or Silent(), plan(self._terms)
        work = CityWork(self._house, *running, clock, self._sandbox)
        clearing = CityClearing(
            self._house.clearing,
            clock,
            self._sandbox.world,
            channels=channel_names(self._sandbox),
            opened=self._opened,
            bank=self._bank,
        )
        await clearing.open(city.shops)
        analyst = Extra("analyst", ROUNDS_EVERY, self._analyst.round)
        await work.begin(ROUNDS_EVERY, (*extras_of(clearing), analyst), SELDOM_EVERY)
        thefts: set[int] = set()
        told = self._heard(thefts, telling.visited)
        driver = self._driver = await open_driver(
            stack, self._ways(), mailbox, work, self._name(PAST), lanes=PAST_LANES, told=told
        )
        for day, visits in city.days():
            telling.begun(day, len(visits))
            thefts |= thefts_of(visits)
            ends_at = min(begin_of(self._terms, (day.on - self._terms.began_on).days + 1), until)
            await driver.drive([(day, visits)], ends_at)
        await clearing.clerk()
        await clearing.day()
        await work.finish()

    async def live(self, stack: AsyncExitStack, mailbox: Mailbox, clock: Clock) -> None:
        """Let people come in real time, for ever; what comes after payments of the past comes in its time as well."""
        work, thefts = RealTime(clock), set[int]()
        name = self._name(f"{clock.now():%Y%m%d%H%M%S}")
        driver = await open_driver(
            stack, self._ways(), mailbox, work, name, told=self._heard(thefts, Silent().visited)
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._days(driver, clock, thefts))
            group.create_task(self._aftermath(stack, mailbox, work, clock))
            group.create_task(self._analyst.live())

    async def _aftermath(self, stack: AsyncExitStack, mailbox: Mailbox, work: RealTime, clock: Clock) -> None:
        """Let come what comes after payments of the past; what another start of the house lived is recalled first."""
        driver = self._driver
        if driver is None:
            visits = await asyncio.to_thread(_all_planned, self._terms)
            told = self._heard(thefts_of(visits), Silent().visited)
            # The same name makes the same requests: what the house did already it does not do again.
            driver = self._driver = await open_driver(
                stack, self._ways(), mailbox, work, self._name(PAST), told=told
            )
            await driver.recall(visits)
        driver.go_on_with(work)
        await driver.drive([], clock.now() + AFTERMATH)

    def _heard(self, thefts: Collection[int], told: Told) -> Told:
        """Return a listener that lets the analyst know who made a payment that is held; ``thefts`` by number."""

        def heard(visited: Visited) -> None:
            if visited.payment is not None and visited.outcome is Outcome.HELD:
                self._analyst.hear(visited.payment, is_theft=visited.number in thefts)
            told(visited)

        return heard

    async def _days(self, driver: Driver, clock: Clock, thefts: set[int]) -> None:
        """Drive day after day from this moment on; ``thefts`` is told which visits are."""
        while True:
            began_at = clock.now()
            terms = self._of_today(began_at)
            # A day of many visits takes a second or two to plan; nobody waits for it.
            day, visits = await asyncio.to_thread(_planned, terms)
            thefts |= thefts_of(visits)
            await driver.drive([(day, [each for each in visits if each.at >= began_at])], begin_of(terms, 1))

    def _of_today(self, now: datetime) -> CityTerms:
        """Return the same city for this one day, with as many visits as a living street has."""
        today = now.astimezone(ZoneInfo(self._terms.zone)).date()
        return msgspec.structs.replace(self._terms, began_on=today, days=1, visits_per_day=LIVE_VISITS)

    def _ways(self) -> Ways:
        return Ways(self._house.base_url, keys_of(self._opened), self._sandbox.http_url)

    def _name(self, when: str) -> str:
        return f"city-{self._terms.seed}-{when}"


async def open_past_city(
    house: House, sandbox: Sandbox, terms: CityTerms, home: Path, demo_keys: Mapping[str, Mapping[str, str]]
) -> PastCity:
    """Open the shops of the demonstration's city; two of them are its own merchants. ``demo_keys`` by merchant and prefix."""
    found = shops(terms)
    opened = await open_shops(house.parties, found, home / KEYS_FILE, _of_demo(found, demo_keys))
    return PastCity(house, sandbox, terms, opened, home / "sandbox" / "bank")


def thefts_of(visits: Iterable[Visit]) -> set[int]:
    """Return the numbers of the visits that are thefts."""
    return {each.number for each in visits if each.school is not None}


def _all_planned(terms: CityTerms) -> list[Visit]:
    return [visit for _, visits in plan(terms).days() for visit in visits]


def _planned(terms: CityTerms) -> tuple[Day, tuple[Visit, ...]]:
    return next(iter(plan(terms).days()))


def _of_demo(known: tuple[Shop, ...], keys: Mapping[str, Mapping[str, str]]) -> dict[int, Open]:
    """Return the shops that are merchants of the demonstration, the first of each kind."""
    found: dict[int, Open] = {}
    taken: set[ShopKind] = set()
    for shop in known:
        place = OF_DEMO.get(shop.kind)
        if place is None or shop.kind in taken:
            continue
        merchant = DEMO[place]
        key = keys.get(merchant.draft.name, {}).get("sk_test_")
        if key and merchant.draft.default_currency == shop.currency:
            found[shop.number] = Open(merchant.test_book_id, key, merchant.draft.name)
            taken.add(shop.kind)
    return found
