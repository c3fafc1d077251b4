"""The house's work in a city's time: the rounds of its background loops, each when its time has come by a clock that is stepped.

Nothing runs beside what the driver does. ``reach`` goes from round to round up to an instant; ``caught_up`` lets the house
read what happened, as its followers would have done within a moment. A round that is refused is counted and comes again.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from tongbao.core.clock import SteppedClock
from tongbao.core.errors import AppError, InvariantBroken
from tongbao.core.events.running import Events
from tongbao.core.logs import get_logger
from tongbao.simulator.sandbox.server import Sandbox
from tongbao.web.house import House
from tongbao.web.workers import Workers

ROUND_EVERY, SELDOM_EVERY = timedelta(hours=6), timedelta(hours=12)
DAY, WEEK = timedelta(days=1), timedelta(days=7)
DAILY = (
    "partitions",
    "guardrails",
    "experiments",
    "models",
    "retraining",
    "retention",
    "vault",
)
"""Loops whose rounds are due once a day."""
WEEKLY = ("discoveries",)
"""Loops that read weeks of payments for what people look at later."""
SELDOM = ("sealer", "checks", "webhooks")
"""Loops that change nothing a payer meets, done with those of clearing; the rest are done at every round."""
CLEARING = "clearing_"
STEPS_MAX = 100_000
QUIET_S_MAX = 15.0

_log = get_logger("city.work")
Round = Callable[[], Awaitable[object]]


class Extra(NamedTuple):
    """A round that is no loop of the house: what the world does meanwhile, so often."""

    name: str
    every: timedelta
    work: Round


class CityWork:
    """The work of one house over one stepped clock; see ``simulator.city.running.Work``.

    ``every``: so often the house's own rounds are done. ``extras`` come after them where both are due.
    """

    def __init__(
        self, house: House, events: Events, workers: Workers, clock: SteppedClock, sandbox: Sandbox
    ) -> None:
        self.failures: Counter[str] = Counter()
        self._has_new = True
        self._house = house
        self._events = events
        self._clock = clock
        self._sandbox = sandbox
        self._weekly: list[tuple[str, Round]] = []
        self._daily: list[tuple[str, Round]] = []
        self._seldom: list[tuple[str, Round]] = []
        self._often: list[tuple[str, Round]] = []
        for name, _, work in workers.loops:
            self._rhythm(name).append((name, work))
        # Payments of the city are made in test mode; the loops of the house learn from live ones alone.
        self._daily.append(("retraining_of_tests", lambda: house.risk.retraining.train_if_due(live=False)))
        self._weekly.append(("discoveries_of_tests", lambda: house.risk.discovering.run_if_due(live=False)))
        self._due: list[tuple[timedelta, Round]] = []
        self._next: list[datetime] = []

    async def begin(
        self,
        every: timedelta = ROUND_EVERY,
        extras: tuple[Extra, ...] = (),
        seldom: timedelta = SELDOM_EVERY,
    ) -> None:
        """Prepare the house for the clock's instant, and count rounds from there."""
        await self._events.relay.prepare()
        now = self._clock.now()
        self._due = [(every, self._round), (seldom, self._seldom_round)]
        self._due += [(DAY, self._day), (WEEK, self._week)]
        self._due += [(each.every, partial(self._try, each.name, each.work)) for each in extras]
        self._next = [now + pause for pause, _ in self._due]
        await self._try_all(self._daily)

    async def reach(self, at: datetime) -> bool:
        """Step from round to round to an instant; one that is over is now."""
        while self._next and min(self._next) <= at:
            number = self._next.index(min(self._next))
            self._step(self._next[number])
            pause, work = self._due[number]
            await work()
            self._next[number] += pause
        self._step(at)
        return True

    def is_due(self, at: datetime) -> bool:
        """Return whether a round lies on the way to an instant."""
        return bool(self._next) and min(self._next) <= at

    async def caught_up(self) -> None:
        """Place what was committed, and let risk control and routing read it."""
        await self.quiet()
        await self.read_on()

    async def read_on(self) -> None:
        """Place what was committed so far, and let risk control and routing read it."""
        self._has_new |= bool(await self._events.relay.place_all())
        await asyncio.gather(self._house.routing.following.step(), self._house.risk.following.step())

    async def quiet(self) -> None:
        """Wait until the sandbox has told what it has to tell now; raise InvariantBroken ``city_not_quiet`` where it never ends."""
        try:
            async with asyncio.timeout(QUIET_S_MAX):
                await self._sandbox.notifier.told()
        except TimeoutError as error:
            raise InvariantBroken("city_not_quiet", "the channels tell of something for ever") from error

    async def finish(self) -> None:
        """Do every round once more, so that nothing that could be done is left."""
        await self._round()
        await self._seldom_round()
        await self._day()
        await self._week()

    def _rhythm(self, name: str) -> list[tuple[str, Round]]:
        """Return the rounds among which a loop of the house is done."""
        if name in WEEKLY:
            return self._weekly
        if name in DAILY:
            return self._daily
        return self._seldom if name in SELDOM or name.startswith(CLEARING) else self._often

    def _step(self, at: datetime) -> None:
        if at > self._clock.now():
            self._clock.go_to(at)

    async def _round(self) -> None:
        """Let everything that reads facts read them, and do what the loops do many times a minute."""
        await self._read()
        await self._try_all(self._often)
        await self._read()

    async def _seldom_round(self) -> None:
        """Let clearing read what moved, then do its steps and what else nobody waits for."""
        await self._read()
        await self._try_all(self._seldom)
        await self._read()

    async def _day(self) -> None:
        await self._try_all(self._daily)
        await self._read()

    async def _week(self) -> None:
        await self._try_all(self._weekly)

    async def _read(self) -> None:
        """Let everything that reads facts read what is new, and what comes of it, until nothing is."""
        await self.quiet()
        for _ in range(STEPS_MAX):
            self._has_new |= bool(await self._events.relay.place_all())
            if not self._has_new:
                break
            self._has_new = any([await each.step() for each in self._events.deliveries])
        await self._house.routing.catch_up()
        await self._house.risk.catch_up()

    async def _try_all(self, works: list[tuple[str, Round]]) -> None:
        for name, work in works:
            await self._try(name, work)

    async def _try(self, name: str, work: Round) -> None:
        try:
            await work()
        except AppError as error:
            self.failures[f"{name}: {error.code}"] += 1
            _log.warning("city_round_failed", round=name, code=error.code, detail=error.detail)
