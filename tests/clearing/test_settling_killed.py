"""A process that settles may die at any instant: whoever comes next goes on, nothing is lost and nothing done twice."""

import asyncio
import contextlib
import multiprocessing
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta

import msgspec
import pytest
from tests.clearing.settlement import HOURLY, Shop, check_money, open_clearing, open_shop

from tongbao.clearing.schema.batches import BatchState
from tongbao.clearing.service.clearing import Clearing
from tongbao.core.clock import FrozenClock, RealClock
from tongbao.core.db import Connection, Database
from tongbao.core.events.delivery import Delivery
from tongbao.core.events.relay import Relay
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger

KILLS = 20
HOURS = 3
BOOKS = 4
LEASE_S = 0.2
NEVER = 10_000
TERMS = msgspec.structs.replace(HOURLY, reserve_e6=50_000, reserve_days=1, payout_min_minor=700)


Round = Callable[[], Awaitable[int | None]]


class Died(BaseException):
    """What ends a run in the middle."""


class Mortal(Database):
    """A database whose user dies at its n-th transaction: right before the COMMIT, or right after it."""

    def __init__(self, dsn: str, number: int, *, after: bool) -> None:
        super().__init__(dsn, pool_size=6)
        self.left = number
        self._after = after

    @contextlib.asynccontextmanager
    async def transaction(
        self, *, read_only: bool = False, snapshot: bool = False
    ) -> AsyncIterator[Connection]:
        async with super().transaction(read_only=read_only, snapshot=snapshot) as connection:
            yield connection
            self.left -= 1
            if not self.left and not self._after:
                raise Died
        if not self.left and self._after:
            raise Died


@pytest.fixture
async def shop(database: Database, ids: IdFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, ids) as opened:
        await opened.agree(TERMS)
        yield opened


@pytest.mark.parametrize("after", [False, True])
async def test_die_around_any_commit_and_go_on_settles_everything_once(
    shop: Shop, dsn: str, *, after: bool
) -> None:
    house = shop.house
    for number in range(1, 10):
        view = await house.pay(1_000)
        await house.payments.refunds.create(house.scope, intent_id=view.intent.id, amount_minor=number)
        await shop.record()
        house.clock.advance(timedelta(hours=1, seconds=10))
        mortal = Mortal(dsn, NEVER, after=after)
        async with mortal:
            ledger = Ledger(mortal, house.clock, Metrics(), house.ids)
            async with ledger, open_clearing(mortal, ledger, house.clock, Metrics()) as clearing:
                mortal.left = number
                with contextlib.suppress(Died):
                    await settle(clearing)
        await shop.settle()
        await shop.check()
    batches = await shop.batches()
    assert [each.totals.count for each in batches] == [2] * 9
    assert all(each.state in (BatchState.APPROVED, BatchState.PAID) for each in batches)


async def settle(clearing: Clearing) -> None:
    while await clearing.settling.step():
        pass


async def test_settle_in_three_processes_at_once_does_everything_once(shop: Shop, dsn: str) -> None:
    house = shop.house
    for _ in range(4):
        view = await house.pay(1_000)
        await house.payments.refunds.create(house.scope, intent_id=view.intent.id, amount_minor=100)
        house.clock.advance(timedelta(hours=1))
    await shop.record()
    house.clock.advance(timedelta(seconds=30))
    async with contextlib.AsyncExitStack() as stack:
        others = []
        for _ in range(3):
            database = await stack.enter_async_context(Database(dsn, pool_size=4))
            ledger = await stack.enter_async_context(Ledger(database, house.clock, Metrics(), house.ids))
            others.append(
                await stack.enter_async_context(open_clearing(database, ledger, house.clock, Metrics()))
            )
        await asyncio.gather(*map(settle, others))
    await shop.settle()
    await shop.check()
    assert [each.totals.count for each in await shop.batches()] == [2] * 4


@pytest.mark.slow
def test_kill_the_settling_process_twenty_times_loses_and_doubles_nothing(dsn: str) -> None:
    rng = random.Random(20)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with asyncio.Runner() as runner:
        books, now = runner.run(_sell(dsn))
        for _ in range(KILLS):
            child = context.Process(target=_work, args=(dsn, now))
            child.start()
            child.join(rng.uniform(0.1, 0.5))
            child.kill()
            child.join()
        runner.run(_finish(dsn, now, books))


async def _sell(dsn: str) -> tuple[list[int], datetime]:
    """Sell and refund over three hours in several books, nothing of it recorded; return the books and the time."""
    async with Database(dsn, pool_size=6) as database, open_shop(database, IdFactory(RealClock())) as shop:
        house = shop.house
        scopes = [house.scope, *(house.new_scope() for _ in range(BOOKS - 1))]
        for scope in scopes:
            await shop.clearing.agreements.make(scope.book_id, "CNY", TERMS, actor="person:test", note="test")
        for hour in range(HOURS):
            for place, scope in enumerate(scopes):
                house.scope = scope
                view = await house.pay(500 + 100 * place)
                await house.payments.refunds.create(scope, intent_id=view.intent.id, amount_minor=100 + hour)
                await house.pay(400)
            house.clock.advance(timedelta(hours=1))
        return [scope.book_id for scope in scopes], house.clock.now() + timedelta(seconds=30)


def _work(dsn: str, now: datetime) -> None:
    """Record and settle until killed."""
    asyncio.run(_worked(dsn, now))


async def _worked(dsn: str, now: datetime) -> None:
    async with _opened(dsn, now) as (_, _, round_of_work):
        while True:
            await round_of_work()
            await asyncio.sleep(0.01)


async def _finish(dsn: str, now: datetime, books: list[int]) -> None:
    """Do what is left, and compare everything with what was sold."""
    async with _opened(dsn, now) as (ledger, clearing, round_of_work):
        idle = 0
        while idle < 3:
            done = await round_of_work()
            await asyncio.sleep(LEASE_S if done is None else 0)
            idle = idle + 1 if done == 0 else 0
        for place, book_id in enumerate(books):
            batches = (await clearing.settling.page(book_id))[::-1]
            assert [each.totals.count for each in batches] == [3] * HOURS
            assert [each.totals.gross_minor for each in batches] == [900 + 100 * place] * HOURS
            assert [each.totals.refunds_minor for each in batches] == [-100 - hour for hour in range(HOURS)]
            assert all(each.state in (BatchState.APPROVED, BatchState.PAID) for each in batches)
            assert await clearing.recording.unpriced(book_id) == {}
            await check_money(ledger, clearing, book_id)


@contextlib.asynccontextmanager
async def _opened(dsn: str, now: datetime) -> AsyncIterator[tuple[Ledger, Clearing, Round]]:
    """Open what a process of workers opens; a round of its work is None while another process still has the lease."""
    clock, metrics, ids = FrozenClock(now), Metrics(), IdFactory(RealClock())
    async with (
        Database(dsn, pool_size=4) as database,
        Ledger(database, clock, metrics, ids) as ledger,
        open_clearing(database, ledger, clock, metrics) as clearing,
    ):
        relay = Relay(database, clock, metrics)
        await relay.prepare()
        subscription = clearing.recording.subscription()
        delivery = Delivery(database, subscription, clock, ids, metrics, lease_s=LEASE_S)

        async def work() -> int | None:
            await relay.place_all()
            recorded = await delivery.step()
            settled = await clearing.settling.step()
            return None if recorded is None else recorded + settled

        yield ledger, clearing, work
