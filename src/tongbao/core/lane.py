"""The lane: group commit for any kind of work.

Work gathers while a batch is in flight; a free slot takes everything that has gathered (up to a maximum),
writes it with set-based SQL in one transaction and answers after COMMIT. An idle lane writes a single piece of
work at once, a busy one makes its own large batches. Measured: 10 to 15 times one transaction per piece
(docs/reference/benchmarks.md). Where a batch costs this process more than the database, ``pace_s`` keeps batches
from becoming too small: none begins sooner than that after the one before.

What the lane promises:

- **A parcel stays together.** Items handed in together are written in the same transaction, in order.
- **One bad parcel never fails its neighbours.** A batch that the database refuses is halved until the
  guilty parcel is alone.
- **Repeats are safe, so the lane repeats.** Every item carries its own idempotency key; after a deadlock or a
  lost connection the same batch is written again, until ``retry_s`` has passed. Only then the caller hears
  ``OutcomeUnknown`` (it may have been written: repeat with the same key).
- **Back-pressure.** Past ``queue_max`` waiting items a caller is told ``Unavailable`` (HTTP 503) at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from tongbao.core.db import Connection, Failure, failure_of, translate
from tongbao.core.errors import AppError, InvariantBroken, LimitExceeded, OutcomeUnknown, Unavailable
from tongbao.core.metrics import Metrics

Item = TypeVar("Item")
Result = TypeVar("Result")

Write = Callable[[Connection, int, Sequence[Item]], Awaitable[Sequence[Result]]]
"""Writes one batch in one transaction: (connection, slot number, items) → one result per item, in order."""

RETRY_PAUSE_S = 0.02
CROWD = 256
"""From so many waiting items on, free slots share them."""
RETRY_PAUSE_S_MAX = 0.5
CLOSE_S_MAX = 5.0


class _Parcel(Generic[Item, Result]):
    """Items that one caller handed in together, and the future on which that caller waits.

    One waits for the list of results, or, where it handed in a single item, for ``one`` result.
    """

    __slots__ = ("answer", "items", "one")

    def __init__(
        self,
        items: Sequence[Item],
        *,
        answer: "asyncio.Future[Sequence[Result]] | None" = None,
        one: "asyncio.Future[Result] | None" = None,
    ) -> None:
        self.items = items
        self.answer = answer
        self.one = one

    @property
    def is_answered(self) -> bool:
        """True where the caller has left, or got its answer."""
        waiting = self.answer if self.one is None else self.one
        return waiting is None or waiting.done()

    def succeed(self, results: Sequence[Result]) -> None:
        """Hand the results to the caller, if it is still there."""
        if self.one is not None:
            if not self.one.done():
                self.one.set_result(results[0])
        elif self.answer is not None and not self.answer.done():
            self.answer.set_result(results)

    def fail(self, error: AppError) -> None:
        """Raise the error where the caller waits, if it is still there."""
        waiting = self.answer if self.one is None else self.one
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)


class LaneMetrics:
    """What a lane counts; share one object between lanes and tell them apart by the label."""

    def __init__(self, metrics: Metrics) -> None:
        self.items = metrics.counter("lane_items", "Items written", labels=("lane",))
        self.batches = metrics.counter("lane_batches", "Batches committed", labels=("lane",))
        self.retries = metrics.counter("lane_retries", "Batches written again", labels=("lane", "why"))
        self.refused = metrics.counter("lane_refused", "Items turned away: queue full", labels=("lane",))
        self.waiting = metrics.gauge("lane_waiting", "Items waiting", labels=("lane",))
        self.seconds = metrics.histogram("lane_batch_seconds", "Time of a batch", labels=("lane",))


class Lane(Generic[Item, Result]):
    """Group commit over ``slots`` dedicated connections. See the module for its promises."""

    def __init__(
        self,
        name: str,
        write: Write[Item, Result],
        connect: Callable[[], Awaitable[Connection]],
        *,
        metrics: LaneMetrics,
        slots: int = 2,
        batch_max: int = 4_000,
        parcel_max: int = 8_000,
        queue_max: int = 20_000,
        retry_s: float = 10.0,
        pace_s: float = 0.0,
    ) -> None:
        self.name = name
        self._write = write
        self._connect = connect
        self._batch_max = batch_max
        self._parcel_max = parcel_max
        self._queue_max = queue_max
        self._retry_s = retry_s
        self._pace_s = pace_s
        self._began = 0.0
        self._queue: deque[_Parcel[Item, Result]] = deque()
        self._waiting = 0
        self._free = list(range(slots))[::-1]
        self._connections: dict[int, Connection] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._closed = False
        self._counts = metrics

    async def submit(self, items: Sequence[Item]) -> Sequence[Result]:
        """Write ``items`` as one parcel and return their results, in order, after COMMIT.

        At most ``parcel_max`` items. Raises LimitExceeded ``parcel_too_large``, Unavailable ``lane_full`` or
        ``lane_closed``; once ``retry_s`` seconds of repeating (and a last attempt to connect) did not help,
        OutcomeUnknown where a commit may have arrived, else Unavailable.
        """
        count = len(items)
        if not count:
            return []
        if count > self._parcel_max:
            raise LimitExceeded(
                "parcel_too_large", f"at most {self._parcel_max} items go together", count=count
            )
        answer: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
        self._enqueue(_Parcel(items, answer=answer), count)
        return await answer

    def submit_one(self, item: Item) -> "asyncio.Future[Result]":
        """Take one item; await the future for its result. Raises at once, and later, what ``submit`` raises."""
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._enqueue(_Parcel((item,), one=answer), 1)
        return answer

    def _enqueue(self, parcel: _Parcel[Item, Result], count: int) -> None:
        """Put a parcel into the queue, or refuse it at once."""
        if self._closed:
            raise Unavailable("lane_closed", f"lane {self.name} is closing")
        if self._waiting and self._waiting + count > self._queue_max:
            self._counts.refused.labels(self.name).inc(count)
            raise Unavailable(
                "lane_full", f"lane {self.name} has {self._waiting} items waiting", retry_after_s=1
            )
        self._queue.append(parcel)
        self._waiting += count
        if self._free and not self._scheduled:
            # One turn of the loop later, so that callers of the same turn share the batch.
            self._schedule()

    def _schedule(self) -> None:
        """Look for work in the next turn of the loop, or when the pace allows it."""
        self._scheduled = True
        loop = asyncio.get_running_loop()
        wait_s = self._began + self._pace_s - loop.time()
        if self._pace_s and wait_s > 0 and not self._closed:
            loop.call_later(wait_s, self._dispatch)
        else:
            loop.call_soon(self._dispatch)

    async def close(self) -> None:
        """Take no more work, finish what waits, close the connections."""
        self._closed = True
        while self._running or self._queue:
            if not self._running:
                self._dispatch()
            await asyncio.gather(*self._running, return_exceptions=True)
        while self._connections:
            _, connection = self._connections.popitem()
            try:
                await connection.close(timeout=CLOSE_S_MAX)
            except Exception as error:
                # A server that is gone needs no farewell.
                connection.terminate()
                if failure_of(error) is not Failure.LOST:
                    raise translate(error) from error

    def _dispatch(self) -> None:
        """Give every free slot a batch while there is work."""
        self._scheduled = False
        while self._queue and self._free:
            batch = self._gather()
            if not batch:
                continue
            slot = self._free.pop()
            if self._pace_s:
                self._began = asyncio.get_running_loop().time()
            task = asyncio.create_task(self._run(slot, batch), name=f"lane-{self.name}-{slot}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        self._counts.waiting.labels(self.name).set(self._waiting)

    def _gather(self) -> list[_Parcel[Item, Result]]:
        """Take whole parcels from the queue up to the batch limit, at least one; skip callers who left."""
        batch: list[_Parcel[Item, Result]] = []
        count = 0
        # A crowd is divided among the free slots: while one batch is being written, this process prepares the next.
        share = self._waiting if self._waiting < CROWD else -(-self._waiting // len(self._free))
        count_max = min(self._batch_max, share)
        while self._queue:
            size = len(self._queue[0].items)
            if batch and count + size > count_max:
                break
            parcel = self._queue.popleft()
            self._waiting -= size
            if not parcel.is_answered:
                batch.append(parcel)
                count += size
        return batch

    async def _run(self, slot: int, batch: list[_Parcel[Item, Result]]) -> None:
        try:
            await self._settle(slot, batch)
        finally:
            self._free.append(slot)
            if not self._pace_s or self._closed:
                self._dispatch()
            elif self._queue and not self._scheduled:
                self._schedule()

    async def _settle(self, slot: int, batch: list[_Parcel[Item, Result]]) -> None:
        """Write a batch and answer its callers; halve it where the database refuses it."""
        try:
            results = await self._insist(slot, [item for parcel in batch for item in parcel.items])
        except AppError as error:
            if len(batch) == 1 or isinstance(error, Unavailable | OutcomeUnknown):
                _answer_all(batch, error)
                return
            middle = len(batch) // 2
            await self._settle(slot, batch[:middle])
            await self._settle(slot, batch[middle:])
            return
        start = 0
        for parcel in batch:
            end = start + len(parcel.items)
            parcel.succeed(results[start:end])
            start = end

    async def _insist(self, slot: int, items: Sequence[Item]) -> Sequence[Result]:
        """Write until it is committed, refused for good, or ``retry_s`` seconds have passed."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        pause = RETRY_PAUSE_S
        maybe_written = False
        while True:
            try:
                connection = await self._connection(slot)
                results = await self._write(connection, slot, items)
            except Exception as error:
                failure = failure_of(error)
                if isinstance(error, AppError) and not isinstance(error, Unavailable):
                    raise
                if failure in (Failure.LOST, Failure.BUSY):
                    # A slot whose server went away, or whose statement was cut short, starts afresh.
                    maybe_written = maybe_written or failure is Failure.LOST
                    self._drop(slot)
                elif failure is not Failure.RETRY and not isinstance(error, Unavailable):
                    self._drop(slot)
                    raise translate(error) from error
                self._counts.retries.labels(self.name, failure.value).inc()
                if loop.time() - began > self._retry_s:
                    raise _given_up(error, maybe_written) from error
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_PAUSE_S_MAX)
                continue
            if len(results) != len(items):
                raise InvariantBroken(
                    "lane_results", f"{len(items)} items came back as {len(results)} results"
                )
            self._counts.seconds.labels(self.name).observe(loop.time() - began)
            self._counts.batches.labels(self.name).inc()
            self._counts.items.labels(self.name).inc(len(items))
            return results

    async def _connection(self, slot: int) -> Connection:
        connection = self._connections.get(slot)
        if connection is None or connection.is_closed():
            connection = self._connections[slot] = await self._connect()
        return connection

    def _drop(self, slot: int) -> None:
        connection = self._connections.pop(slot, None)
        if connection is not None:
            connection.terminate()


def _given_up(error: Exception, maybe_written: bool) -> AppError:
    if maybe_written:
        return OutcomeUnknown(
            "outcome_unknown", "the database went away during the write; repeat with the same key"
        )
    return translate(error)


def _answer_all(batch: Sequence[_Parcel[Item, Result]], error: AppError) -> None:
    for parcel in batch:
        parcel.fail(error)
