"""One process that loads the ledger: the worker of ``tongbao bench ledger``, a fresh one for each figure.

Run as ``python -m tongbao.bench.ledger_load``, reads one JSON object from standard input and prints one. Every worker
uses the product's own service over its own connections, exactly as an API process would.
"""

import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import Awaitable, Callable

import msgspec
import uvloop

from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, InvariantBroken
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.core.process import settle_garbage_collector
from tongbao.ledger.schema import AccountId, BookId, Kind, Outcome, PostResult, Transfer, capture, linked
from tongbao.ledger.service.ledger import Ledger

CNY = 156
BULK = 8_000
GROUP_SIZE = 3
BULK_CALLERS = 2


class Spec(msgspec.Struct, frozen=True):
    """What one worker does. ``rate`` > 0 makes an open loop of that many transfers a second."""

    dsn: str
    case: str
    seconds: float
    seed: int
    book_ids: list[int]
    account_ids: list[list[int]]
    striped_id: int
    in_flight: int = 2_000
    rate: float = 0.0
    lanes: int = 2
    start_at: float = 0.0
    count: int = 0


class Load:
    """Makes transfers of one case and posts them."""

    def __init__(self, spec: Spec, ledger: Ledger) -> None:
        self.spec = spec
        self.ledger = ledger
        self.rng = random.Random(spec.seed)
        # Seeded randomness in the keys would repeat them between workers; the ids take the system's.
        self.ids = IdFactory(RealClock())
        self.done = 0
        self.make = self.maker()

    def maker(self) -> Callable[[], Transfer]:
        """Return what makes transfers of 1 minor unit between two random accounts of a random book, or a hot one.

        A closure over plain locals: the load generator shares a core with what it measures.
        """
        books, all_accounts = self.spec.book_ids, self.spec.account_ids
        hot = {"hot": self.spec.striped_id, "hot_limited": all_accounts[0][0]}.get(self.spec.case)
        draw, new_key = self.rng.random, self.ids.uuid
        book_count, account_count = len(books), len(all_accounts[0])

        def make() -> Transfer:
            at = int(draw() * book_count) if book_count > 1 else 0
            accounts = all_accounts[at]
            debit = accounts[int(draw() * account_count)]
            credit = hot if hot is not None else accounts[int(draw() * account_count)]
            if credit == debit:
                debit = accounts[-1] if credit == accounts[0] else accounts[0]
            return Transfer(
                key=new_key(),
                book_id=BookId(books[at]),
                debit_account_id=AccountId(debit),
                credit_account_id=AccountId(credit),
                amount_minor=1,
                asset_id=CNY,
                code="bench",
            )

        return make

    async def single(self) -> int:
        """Post one transfer."""
        result = await self.ledger.posting.post_one(self.make())
        if result.outcome is not Outcome.POSTED:
            raise _refused(result)
        return 1

    async def group(self) -> int:
        """Post a linked group of three within one book."""
        first = self.make()
        others = [msgspec.structs.replace(first, key=self.ids.uuid()) for _ in range(GROUP_SIZE - 1)]
        return _posted(await self.ledger.posting.post(linked([first, *others])))

    async def hold_and_capture(self) -> int:
        """Place a hold and capture it; counts as two."""
        hold = msgspec.structs.replace(self.make(), kind=Kind.HOLD)
        placed = await self.ledger.posting.post_one(hold)
        taken = capture(self.ids.uuid(), hold.book_id, hold.key, 1, "bench", final=True)
        return _posted([placed, await self.ledger.posting.post_one(taken)])

    async def bulk(self) -> int:
        """Post 8,000 transfers in one call."""
        return _posted(await self.ledger.posting.post([self.make() for _ in range(BULK)]))

    async def closed_loop(self) -> dict[str, float]:
        """Keep ``in_flight`` callers busy for the time of the spec, or until ``count`` is reached."""
        acts: dict[str, tuple[Callable[[], Awaitable[int]], int]] = {
            "uniform": (self.single, self.spec.in_flight),
            "books": (self.single, self.spec.in_flight),
            "hot": (self.single, self.spec.in_flight),
            "hot_limited": (self.single, self.spec.in_flight),
            "holds": (self.hold_and_capture, self.spec.in_flight),
            "groups": (self.group, self.spec.in_flight // GROUP_SIZE),
            "bulk": (self.bulk, BULK_CALLERS),
        }
        if self.spec.case not in acts:
            raise InvalidRequest("case_unknown", f"no case {self.spec.case}")
        act, callers = acts[self.spec.case]
        began, cpu = time.perf_counter(), time.process_time()

        async def caller() -> None:
            while time.perf_counter() < began + self.spec.seconds and not 0 < self.spec.count <= self.done:
                count = await act()
                self.done += count

        await asyncio.gather(*(caller() for _ in range(callers)))
        took = time.perf_counter() - began
        return {
            "per_s": self.done / took,
            "count": self.done,
            "cpu_us": (time.process_time() - cpu) / self.done * 1e6,
            "rss_mb": _rss_mb(),
        }

    async def open_loop(self) -> dict[str, object]:
        """Offer transfers at Poisson times; latency counts from the intended arrival, in ms."""
        latencies: list[float] = []
        pending: set[asyncio.Task[None]] = set()

        async def one(intended: float) -> None:
            self.done += await self.single()
            latencies.append((time.perf_counter() - intended) * 1e3)

        await asyncio.sleep(max(0.0, self.spec.start_at - time.time()))
        began = at = time.perf_counter()
        while at < began + self.spec.seconds:
            at += self.rng.expovariate(self.spec.rate)
            wait = at - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(one(at))
            pending.add(task)
            task.add_done_callback(pending.discard)
        await asyncio.gather(*pending)
        return {
            "per_s": self.done / (time.perf_counter() - began),
            "latencies_ms": [round(x, 2) for x in latencies],
            "rss_mb": _rss_mb(),
        }


def _posted(results: list[PostResult]) -> int:
    for result in results:
        if result.outcome is not Outcome.POSTED:
            raise _refused(result)
    return len(results)


def _refused(result: PostResult) -> InvariantBroken:
    return InvariantBroken("bench_refused", f"a benchmark transfer was {result.refusal}: {result.detail}")


def _rss_mb() -> float:
    """Return the largest resident size of this process so far; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def run(spec: Spec) -> dict[str, object]:
    """Do what the spec says and return the figures."""
    async with (
        Database(spec.dsn, pool_size=2) as database,
        Ledger(database, RealClock(), Metrics(), IdFactory(RealClock()), lane_count=spec.lanes) as ledger,
    ):
        settle_garbage_collector()
        load = Load(spec, ledger)
        return dict(await (load.open_loop() if spec.rate else load.closed_loop()))


def main() -> None:
    """Read the spec from standard input, run it, print the figures."""
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=Spec)
    sys.stdout.write(json.dumps(uvloop.run(run(spec))) + "\n")


if __name__ == "__main__":
    main()
