"""Back-fill: what payments moved while nobody recorded it is found from the journal, once, and the sums are proved equal."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.clearing.settlement import HOURLY, Shop, open_shop

from tongbao.clearing.schema.backfill import Backfilled, Progress
from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.clearing.service import backfill as service
from tongbao.clearing.store import backfill as store
from tongbao.clearing.store import days as day_store
from tongbao.clearing.store.movements import movement_of
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.ledger.schema import BookId, Transfer

EVERYTHING = 10_000


@pytest.fixture
async def shop(database: Database, ids: IdFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, ids) as opened:
        await opened.agree(HOURLY)
        yield opened


async def sold(shop: Shop) -> None:
    """Payments, captures in parts and a refund, of which nobody is told."""
    view = await shop.house.pay(10_000, metadata={"store": "east"})
    await shop.house.pay(700)
    held = await shop.house.reserve(1_000)
    for amount in (300, 200):
        await shop.house.payments.intents.capture(shop.house.scope, held.intent.id, amount)
    shop.house.clock.advance(timedelta(hours=2))
    await shop.house.payments.refunds.create(shop.house.scope, intent_id=view.intent.id, amount_minor=4_000)


async def run(shop: Shop, pages: int = EVERYTHING, *, again: bool = False) -> Backfilled:
    return await shop.clearing.backfill.run(pages=pages, again=again)


async def movements(shop: Shop) -> list[Movement]:
    async with shop.house.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT * FROM clearing.movement WHERE book_id = $1 ORDER BY occurred_at, id", shop.book_id
        )
    return [movement_of(row) for row in rows]


async def account(shop: Shop) -> Progress:
    """How far the money of the shop was gone through."""
    found = await shop.house.ledger.accounts.account_by_code(BookId(shop.book_id), "in_transit", "CNY")
    async with shop.house.database.connection() as connection:
        progress = await store.progress(connection, shop.book_id, found.account_id)
    assert progress is not None
    return progress


async def test_book_of_before_the_room_gets_its_movements_and_the_sums_are_equal(shop: Shop) -> None:
    began = shop.house.clock.now()
    await sold(shop)
    (before,) = (await shop.clearing.backfill.look(shop.book_id)).differences
    assert (before.balance_minor, before.movements_minor) == (7_200, 0)
    await run(shop, again=True)
    assert (await shop.clearing.backfill.look(shop.book_id)).differences == ()
    assert await shop.clearing.recording.unpriced(shop.book_id) == {"CNY": 7_200}
    found = await movements(shop)
    assert [each.amount_minor for each in found if each.kind is MovementKind.SALE] == [10_000, 700, 300, 200]
    (refund,) = [each for each in found if each.kind is MovementKind.REFUND]
    sale = found[0]
    assert (sale.store, refund.store) == ("east", "east")
    assert sale.occurred_at - began < timedelta(hours=1) < refund.occurred_at - began
    assert refund.cut_at >= sale.cut_at
    assert (await account(shop)).made_count == len(found) == 5
    await shop.record()
    assert await movements(shop) == found
    await shop.pass_hour()
    await shop.check()


async def test_back_fill_agrees_with_what_recording_would_have_written(shop: Shop) -> None:
    await sold(shop)
    await run(shop, again=True)
    filled = await movements(shop)
    async with shop.house.database.transaction() as connection:
        await connection.execute("DELETE FROM clearing.movement WHERE book_id = $1", shop.book_id)
    await shop.record()
    told = await movements(shop)
    assert [(each.id, each.kind, each.amount_minor, each.occurred_at, each.cut_at) for each in told] == [
        (each.id, each.kind, each.amount_minor, each.occurred_at, each.cut_at) for each in filled
    ]


async def test_interrupted_back_fill_goes_on_where_it_ended(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PAGE", 2)
    await sold(shop)
    await run(shop, 0, again=True)
    for _ in range(EVERYTHING):
        done = await run(shop, 1)
        if done.done_count == done.account_count:
            break
    mine = await account(shop)
    assert (mine.is_done, mine.seen_count, mine.made_count) == (True, 5, 5)
    assert await run(shop) == done
    assert (await account(shop)) == mine


async def test_back_fill_twice_at_once_makes_each_movement_once(shop: Shop) -> None:
    await sold(shop)
    await run(shop, 0, again=True)
    await asyncio.gather(run(shop), run(shop), shop.record())
    assert len(await movements(shop)) == 5
    assert (await shop.clearing.backfill.look(shop.book_id)).differences == ()


async def test_what_no_payment_explains_is_named_and_nothing_is_made_up(shop: Shop) -> None:
    await sold(shop)
    accounts = shop.house.ledger.accounts
    waiting = await accounts.account_by_code(BookId(shop.book_id), "in_transit", "CNY")
    odd = await accounts.account_by_code(BookId(shop.book_id), "suspense", "CNY")
    key = shop.house.ids.uuid()
    result = await shop.house.ledger.posting.post_one(
        Transfer(
            key=key,
            book_id=BookId(shop.book_id),
            debit_account_id=odd.account_id,
            credit_account_id=waiting.account_id,
            amount_minor=9,
            asset_id=waiting.asset_id,
            code="hand.made",
        )
    )
    assert result.accepted
    await run(shop, again=True)
    mine = await account(shop)
    assert (mine.unexplained_count, mine.unexplained, mine.made_count) == (1, (key,), 5)
    (left,) = (await shop.clearing.backfill.look(shop.book_id)).differences
    assert left.balance_minor - left.movements_minor == 9
    assert not (await shop.clearing.backfill.look(shop.book_id)).is_equal


async def test_back_fill_into_a_closed_day_keeps_the_day_of_the_sale_and_is_cut_later(shop: Shop) -> None:
    await sold(shop)
    shop.house.clock.advance(timedelta(days=3))
    closed = (shop.house.clock.now() - timedelta(days=1)).date()
    async with shop.house.database.transaction() as connection:
        before = await day_store.lock(connection)
        await day_store.lock_until(connection, closed)
    try:
        await run(shop, again=True)
        found = await movements(shop)
        opens = shop.clearing.closing.begin_of(closed + timedelta(days=1))
        assert all(each.occurred_at < opens < each.cut_at for each in found)
    finally:
        async with shop.house.database.transaction() as connection:
            await day_store.lock_until(connection, before)
