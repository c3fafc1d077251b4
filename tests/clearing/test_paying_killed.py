"""A process that pays may die at any instant: whoever comes next goes on, nothing is lost and nobody is paid twice."""

import asyncio
import contextlib
import multiprocessing
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tests.clearing.bank_peer import MockBank, mock_bank
from tests.clearing.payout_world import IBANS, World, forget, http_bank, open_world

from tongbao.clearing.service.sending import LEASE
from tongbao.core.clock import FrozenClock, RealClock
from tongbao.core.db import Connection, Database
from tongbao.core.http import HttpClient
from tongbao.core.ids import IdFactory

KILLS = 20
BOOKS = 6
START = datetime(2027, 3, 1, 0, 10, tzinfo=UTC)
Made = list[tuple[int, UUID, int]]
"""Book, batch and amount of what is to be paid."""


class Died(BaseException):
    """What ends a run in the middle."""


class Mortal(Database):
    """A database whose user dies at its n-th transaction: right before the COMMIT, or right after it."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, pool_size=6)
        self.left = 10**9
        self.after = False

    @contextlib.asynccontextmanager
    async def transaction(
        self, *, read_only: bool = False, snapshot: bool = False
    ) -> AsyncIterator[Connection]:
        async with super().transaction(read_only=read_only, snapshot=snapshot) as connection:
            yield connection
            self.left -= 1
            if not self.left and not self.after:
                raise Died
        if not self.left and self.after:
            raise Died


async def test_die_around_any_commit_and_go_on_pays_everything_once(
    database: Database, dsn: str, ids: IdFactory
) -> None:
    await forget(database)
    clock, http = FrozenClock(START), HttpClient()
    with mock_bank(START.strftime("%Y-%m-%dT%H:%M")) as bank:
        adapter = http_bank(bank.send_url, bank.collect_url, http)
        made: Made = []
        mortal = Mortal(dsn)
        async with open_world(database, clock, ids, adapter) as world, mortal:
            book = await world.merchant()
            await world.batch(book, 1)  # opens what is opened once
            await world.run()
            async with open_world(mortal, clock, ids, adapter) as dying:
                for number in range(1, 13):
                    batch = await world.batch(book, 1_000 + number)
                    made.append((book, batch.id, batch.paid_minor))
                    mortal.left, mortal.after = number, bool(number % 2)
                    with contextlib.suppress(Died):
                        await dying.run()
                    mortal.left = 10**9
                    clock.advance(LEASE + timedelta(seconds=1))
                    await world.run()
            await check(world, bank, made, more_minor=1)
    await http.close()


def test_kill_the_paying_process_twenty_times_pays_everything_once(dsn: str) -> None:
    rng = random.Random(5)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with asyncio.Runner() as runner, mock_bank(START.strftime("%Y-%m-%dT%H:%M")) as bank:
        made: Made = []
        urls = (bank.send_url, bank.collect_url)
        for number in range(KILLS):
            now = START + number * (LEASE + timedelta(minutes=1))
            made += runner.run(_approve(dsn, urls, now, is_first=not number))
            child = context.Process(target=_work, args=(dsn, urls, now))
            child.start()
            child.join(rng.uniform(0.05, 0.45))
            child.kill()
            child.join()
        runner.run(_finish(dsn, bank, START + (KILLS + 1) * (LEASE + timedelta(minutes=10)), made))


@contextlib.asynccontextmanager
async def _opened(dsn: str, urls: tuple[str, str], now: datetime) -> AsyncIterator[World]:
    http = HttpClient()
    try:
        async with (
            Database(dsn, pool_size=4) as database,
            open_world(database, FrozenClock(now), IdFactory(RealClock()), http_bank(*urls, http)) as world,
        ):
            yield world
    finally:
        await http.close()


async def _approve(dsn: str, urls: tuple[str, str], now: datetime, *, is_first: bool) -> Made:
    """Approve a batch of every merchant; the merchants are opened the first time."""
    async with _opened(dsn, urls, now) as world:
        if is_first:
            await forget(world.database)
            books = [await world.merchant(IBANS[place % len(IBANS)]) for place in range(BOOKS)]
        else:
            async with world.database.connection() as connection:
                rows = await connection.fetch("SELECT DISTINCT book_id FROM clearing.batch ORDER BY book_id")
            books = [row[0] for row in rows]
        made = [await world.batch(book, 100 + place) for place, book in enumerate(books)]
        return [(each.book_id, each.id, each.paid_minor) for each in made]


def _work(dsn: str, urls: tuple[str, str], now: datetime) -> None:
    """Pay until killed."""
    asyncio.run(_worked(dsn, urls, now))


async def _worked(dsn: str, urls: tuple[str, str], now: datetime) -> None:
    async with _opened(dsn, urls, now) as world:
        while True:
            await world.paying.step()


async def _finish(dsn: str, bank: MockBank, now: datetime, made: Made) -> None:
    """Do what is left, and compare everything with what was approved."""
    async with _opened(dsn, (bank.send_url, bank.collect_url), now) as world:
        await world.run()
        assert len(made) == KILLS * BOOKS
        await check(world, bank, made)


async def check(world: World, bank: MockBank, made: Made, more_minor: int = 0) -> None:
    """Compare batches, books and the bank's own payments with what was to be paid."""
    total = sum(amount for _, _, amount in made) + more_minor
    for book, batch, _ in made:
        payouts = await world.paying.of_batch(book, batch)
        assert [each.state for each in payouts] == ["paid"]
        assert (await world.clearing.settling.get(book, batch)).state == "paid"
    for book in {book for book, _, _ in made}:
        assert set(await world.balances(book)) == {"house_receivable"}
    taken = [each for each in bank.payments() if each["status"] == "accepted"]
    assert max(Counter(each["end_to_end_id"] for each in taken).values()) == 1
    assert sum(each["amount"] for each in taken) == bank.booked_minor() == total
