"""Delivery of facts to one consumer: in order, at its own pace, past what cannot be handled.

One process is the active one of a consumer (a lease); the others stand by. The place is kept after the handler
returns, in the handler's own transaction where it is a projection. A failing batch is halved until the failing
fact is alone; that one is repeated with growing pauses and at last put aside as a dead letter.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import AppError, Conflict, OutcomeUnknown, Unavailable
from tongbao.core.events import cursors
from tongbao.core.events.cursors import Place
from tongbao.core.events.facts import Delivered
from tongbao.core.events.recent import Recent
from tongbao.core.events.subscriptions import Consumer, Projection
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics

_Keep = Callable[[Connection], Awaitable[None]]

LEASE_S = 15.0
SCAN_POSITIONS_MAX = 16_384
REPLAY_FACTS_MAX = 100


class DeliveryMetrics:
    """What deliveries count, by consumer."""

    def __init__(self, metrics: Metrics) -> None:
        labels = ("consumer",)
        self.lag = metrics.gauge("events_lag", "Facts published but not passed yet", labels)
        self.delivered = metrics.counter("events_delivered", "Facts handled", labels)
        self.failed = metrics.counter("events_failed", "Failed calls of a handler", labels)
        self.dead = metrics.counter("events_dead", "Facts put aside as dead letters", labels)


class Delivery:
    """Delivers to one subscription. One object per process and subscription; see the module."""

    def __init__(
        self,
        database: Database,
        subscription: Consumer | Projection,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        *,
        recent: Recent | None = None,
        lease_s: float = LEASE_S,
    ) -> None:
        self.subscription = subscription
        self._name = subscription.name
        self._database = database
        self._recent = recent or Recent(database, kept_max=0)
        self._clock = clock
        self._owner = ids.uuid()
        self._lease_s = lease_s
        self._counts = DeliveryMetrics(metrics)
        self._single = asyncio.Lock()
        self._registered = False
        self._place: Place | None = None
        self._claimed_at = 0.0
        self._retry_at = 0.0
        self._topics = subscription.topic_names()
        self._limit = self._span = subscription.batch_max
        self._suspect = 0
        self._failures = 0

    async def step(self) -> int | None:
        """Deliver one batch.

        Returns the number of positions passed (after a failure: of facts to be tried again at once), 0 where
        there is nothing to do now (nothing new, or a pause after a failure), or None where another process is the
        active one. Raises the translated errors of the database; a failure of the handler is not raised.
        """
        async with self._single:
            try:
                return await self._step()
            except BaseException:
                # What was written is known to the database alone: read the place again.
                self._place = None
                raise

    async def close(self) -> None:
        """Hand the lease back, so that another process takes over at once."""
        async with self._single:
            place, self._place = self._place, None
            if self._registered:
                passed = 0 if place is None else place.position
                async with self._database.connection() as connection:
                    await cursors.release(connection, self._name, self._owner, passed)

    async def _step(self) -> int | None:
        place = await self._held()
        if place is None:
            return None
        if _now() < self._retry_at:
            return 0
        head, is_replay_asked = await self._recent.outlook(self._name)
        self._counts.lag.labels(self._name).set(head - place.position)
        if is_replay_asked:
            async with self._database.connection() as connection:
                letters = await cursors.replayable(connection, self._name, REPLAY_FACTS_MAX)
            await self._replay(letters)
            return len(letters)
        facts, end = await self._read(place.position, head)
        if not facts:
            self._place = place._replace(position=end)
            return end - place.position
        return await self._deliver(place, facts, end)

    async def _read(self, after: int, head: int) -> tuple[list[Delivered], int]:
        """Return the next facts and the position up to which they are all that is wanted."""
        limit = self._limit
        end = min(head, after + max(self._span, limit))
        if end <= after:
            return [], after
        facts, end = await self._recent.read(after, end, self._topics, limit)
        if len(facts) == limit:
            self._span = 2 * (end - after)
        else:
            self._span = min(2 * self._span, SCAN_POSITIONS_MAX)
        return facts, end

    async def _held(self) -> Place | None:
        """Return this consumer's place where this process is the active one; renews the lease in time."""
        began = _now()
        if self._place is not None and began < self._claimed_at + self._lease_s / 3:
            return self._place
        passed = 0 if self._place is None else self._place.position
        async with self._database.transaction() as connection:
            if not self._registered:
                now = self._clock.now()
                await cursors.register(connection, self._name, now, from_now=self.subscription.from_now)
            place = await cursors.claim(connection, self._name, self._owner, self._lease_s, passed)
        self._registered = True
        if place is not None and self._place is None and place.attempts:
            self._limit, self._suspect = 1, max(self._suspect, place.position + 1)
        self._place, self._claimed_at = place, began
        return place

    async def _deliver(self, place: Place, facts: Sequence[Delivered], end: int) -> int:
        """Hand a batch over and keep the place; returns the number of positions passed."""
        try:
            await self._handled(facts, partial(self._pass, place, Place(end, 0)))
        except _LeaseLost:
            self._place = None
            return 0
        except Exception as error:
            self._counts.failed.labels(self._name).inc()
            return await self._failed(place, facts, error)
        self._place, self._failures = Place(end, 0), 0
        self._counts.delivered.labels(self._name).inc(len(facts))
        self._widen(end)
        return end - place.position

    async def _handled(self, facts: Sequence[Delivered], keep: _Keep) -> None:
        """Call the handler and ``keep`` what it achieved; a projection does both in one transaction."""
        subscription = self.subscription
        if isinstance(subscription, Projection):
            async with asyncio.timeout(subscription.handle_s_max), self._database.transaction() as connection:
                # The place first: it is the lease, too, which stays with this process until the transaction ends.
                await keep(connection)
                await _called(subscription.handle(connection, facts))
            return
        if _now() >= self._claimed_at + self._lease_s / 3:
            await self._renew()
        await self._leased(_called(subscription.handle(facts)))
        async with self._database.transaction() as connection:
            await keep(connection)

    async def _pass(self, before: Place, after: Place, connection: Connection) -> None:
        if not await cursors.save(connection, self._name, self._owner, before, after, self._clock.now()):
            raise _LeaseLost

    async def _revive(self, letter: Delivered, connection: Connection) -> None:
        if not await cursors.lock_own(connection, self._name, self._owner):
            raise _LeaseLost
        await cursors.revive(connection, self._name, letter.position)

    async def _leased(self, work: Coroutine[Any, Any, None]) -> None:
        """Await a handler while renewing the lease; cancel it where the lease is lost or it takes too long."""
        task = asyncio.create_task(work, name=f"events-{self._name}")
        deadline = _now() + self.subscription.handle_s_max
        try:
            while not task.done():
                left = min(self._claimed_at + self._lease_s / 3, deadline) - _now()
                await asyncio.wait({task}, timeout=max(left, 0.0))
                if task.done():
                    break
                if _now() >= deadline:
                    raise TimeoutError(f"the handler took more than {self.subscription.handle_s_max} s")
                await self._renew()
            task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _renew(self) -> None:
        """Renew the lease in the middle of handling; raises _LeaseLost where it passed on or could not be renewed."""
        began = _now()
        last = self._claimed_at + self._lease_s * 2 / 3
        try:
            async with (
                asyncio.timeout(max(last - began, self._lease_s / 3)),
                self._database.transaction() as connection,
            ):
                renewed = await cursors.claim(connection, self._name, self._owner, self._lease_s, 0)
        except (AppError, TimeoutError) as error:
            if _now() >= last:
                raise _LeaseLost from error
            await asyncio.sleep(self._lease_s / 30)
            return
        if renewed is None:
            raise _LeaseLost
        self._claimed_at = began

    async def _failed(self, place: Place, facts: Sequence[Delivered], error: Exception) -> int:
        """Narrow the batch; where it is one fact already, wait, or put the fact aside. Returns as ``step`` does."""
        self._place = None
        blameless = isinstance(error, Unavailable | OutcomeUnknown)
        if len(facts) > 1 and not blameless:
            self._limit = max(1, len(facts) // 2)
            self._suspect = max(self._suspect, facts[-1].position)
            return self._limit
        attempts = place.attempts if blameless else place.attempts + 1
        dead = not blameless and attempts >= self.subscription.attempts_max
        now = self._clock.now()
        self._failures += 1
        self._retry_at = _now() + self.subscription.pause_s(self._failures)
        async with self._database.transaction() as connection:
            after = Place(facts[0].position, 0) if dead else place._replace(attempts=attempts)
            if not await cursors.save(connection, self._name, self._owner, place, after, now):
                return 0
            if dead:
                await cursors.bury(connection, self._name, facts[0], attempts, _told(error), now)
        if dead:
            self._retry_at, self._failures = 0.0, 0
            self._counts.dead.labels(self._name).inc()
            self._widen(after.position)
        return int(dead)

    def _widen(self, passed: int) -> None:
        """Take whole batches again once everything that failed together is behind."""
        if passed >= self._suspect:
            self._limit = self.subscription.batch_max

    async def _replay(self, letters: Sequence[Delivered]) -> None:
        """Hand dead letters over once more, one by one; those that fail again stay dead."""
        for letter in letters:
            try:
                await self._handled([letter], partial(self._revive, letter))
            except _LeaseLost:
                self._place = None
                return
            except Exception as error:
                self._counts.failed.labels(self._name).inc()
                async with self._database.connection() as connection:
                    now = self._clock.now()
                    await cursors.rebury(connection, self._name, letter.position, _told(error), now)
            else:
                self._counts.delivered.labels(self._name).inc()


class _LeaseLost(Conflict):
    """Another process is the active one now."""

    def __init__(self) -> None:
        super().__init__("lease_lost", "another process delivers to this consumer now")


async def _called(work: Awaitable[None]) -> None:
    """Await a handler; failures of its own that look like a lost database or a shutdown are told apart from those."""
    try:
        await work
    except OSError as error:
        raise AppError("handler_failed", _told(error)) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise AppError("handler_canceled", "the handler was canceled from within") from error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _now() -> float:
    return asyncio.get_running_loop().time()
