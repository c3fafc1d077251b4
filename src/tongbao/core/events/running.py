"""The relay and the deliveries of one process as background tasks, and what an operator may ask of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType

import structlog

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import AppError
from tongbao.core.events import cursors
from tongbao.core.events.cursors import DeadLetter
from tongbao.core.events.delivery import Delivery
from tongbao.core.events.recent import Recent
from tongbao.core.events.relay import Relay
from tongbao.core.events.subscriptions import Consumer, Projection
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics

POLL_S = 0.05
POLL_S_MAX = 1.0
DEAD_LETTERS_MAX = 1_000

_log = structlog.get_logger(__name__)


class Polling:
    """Calls ``step`` for ever, one call at a time: at once while it finds work, ever less often while not."""

    def __init__(self, name: str, step: Callable[[], Awaitable[int | None]], *, rest_s: float = 0.0) -> None:
        self._name = name
        self._step = step
        self._rest_s = rest_s
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look again now."""
        self._wake.set()

    async def run(self) -> None:
        """Poll until canceled; errors are logged, and never end it."""
        pause = POLL_S
        while True:
            self._wake.clear()
            if await self._stepped():
                pause = POLL_S
                await asyncio.sleep(self._rest_s)
                continue
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
                pause = POLL_S
            except TimeoutError:
                pause = min(pause * 2, POLL_S_MAX)

    async def _stepped(self) -> int | None:
        try:
            return await self._step()
        except AppError as error:
            _log.warning("events_step_failed", worker=self._name, code=error.code)
        except Exception:
            _log.exception("events_step_broken", worker=self._name)
        return None


class Events:
    """Everything a process does about facts, wired once: ``async with Events(…)`` runs it in the background.

    Any number of processes may run the same subscriptions; of each, one is active.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        subscriptions: Sequence[Consumer | Projection] = (),
    ) -> None:
        names = [subscription.name for subscription in subscriptions]
        if len(set(names)) < len(names):
            raise ValueError("two subscriptions have the same name")
        self._database = database
        self._clock = clock
        self.relay = Relay(database, clock, metrics)
        recent = Recent(database)
        self.deliveries = [
            Delivery(database, each, clock, ids, metrics, recent=recent) for each in subscriptions
        ]
        self._polling: list[Polling] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Events":
        await self.relay.prepare()
        self._polling = [Polling(each.subscription.name, each.step) for each in self.deliveries]
        # The relay rests between rounds, so that facts gather into longer segments.
        every = [*self._polling, Polling("relay", self._relayed, rest_s=POLL_S)]
        self._tasks = [asyncio.create_task(each.run(), name="events-polling") for each in every]
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for delivery in self.deliveries:
            try:
                await delivery.close()
            except AppError as error:
                _log.warning("events_close_failed", worker=delivery.subscription.name, code=error.code)

    async def replay_dead_letters(self, consumer: str) -> int:
        """Ask for the dead letters of ``consumer`` to be handled again; return how many.

        Whichever process is the consumer's active one does it at its next step; what fails again stays dead.
        """
        async with self._database.connection() as connection:
            return await cursors.ask_replay(connection, consumer, self._clock.now())

    async def dead_letters(self, consumer: str, after: int = 0) -> list[DeadLetter]:
        """Return the first ``DEAD_LETTERS_MAX`` dead letters of ``consumer`` after a position."""
        async with self._database.connection() as connection:
            return await cursors.dead_letters(connection, consumer, after, DEAD_LETTERS_MAX)

    async def drop(self, consumer: str) -> None:
        """Forget a consumer that no process runs any more, its place and its dead letters included."""
        async with self._database.transaction() as connection:
            await cursors.drop(connection, consumer)

    async def _relayed(self) -> int | None:
        count = await self.relay.round()
        if count:
            for polling in self._polling:
                polling.wake()
        return count
