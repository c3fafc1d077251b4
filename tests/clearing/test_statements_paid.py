"""Statements against the accounts while payouts are made, paid, refused and returned by the code that pays."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest
from tests.clearing.settlement import HOURLY, Shop, open_shop
from tests.clearing.test_bills import bills_of
from tests.clearing.test_statements import statements_of
from tests.clearing.test_tracing_money import send, trace

from tongbao.clearing.policy.payouts import created_transfers
from tongbao.clearing.schema.batches import BatchState
from tongbao.clearing.schema.bills import BillFilter
from tongbao.clearing.schema.payouts import PayoutState
from tongbao.clearing.schema.statements import Statement
from tongbao.clearing.service.destinations import Destinations
from tongbao.clearing.service.payout_moves import PayoutMoves, Said
from tongbao.clearing.store.payouts import Address
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.payments.adapters.secret_box import AesGcmBox

NOON = datetime(2027, 3, 15, 12, 30, tzinfo=UTC)
DAY = date(2027, 3, 15)
KEY = bytes(range(32))


@pytest.fixture
async def shop(database: Database, ids: IdFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, ids) as opened:
        opened.house.clock.set(NOON)
        await opened.agree(HOURLY)
        yield opened


def moves_of(shop: Shop) -> PayoutMoves:
    house = shop.house
    destinations = Destinations(house.database, house.clock, house.ids, AesGcmBox((KEY,)), KEY)
    return PayoutMoves(
        house.database,
        house.ledger,
        house.clock,
        house.ids,
        shop.clearing.settling,
        destinations,
        house.metrics,
    )


async def checked(shop: Shop) -> Statement:
    """The statement of the month, compared with every account of the merchant that holds its money."""
    statements, scope = statements_of(shop), shop.house.scope
    month = await statements.get(scope, "CNY", await statements.month(scope, "CNY", 2027, 3))
    payable = await shop.balance("available") + await shop.balance("payout_clearing")
    assert month.closing.payable_minor == payable
    assert month.closing.in_transit_minor == await shop.balance("in_transit")
    assert month.payouts_minor - month.returned_minor == -await shop.balance("house_receivable")
    return month


async def test_state_month_with_payouts_paid_and_returned_equals_every_account(shop: Shop) -> None:
    moves = moves_of(shop)
    for amount, ends in (
        (10_000, [PayoutState.PAID]),
        (7_000, [PayoutState.ACCEPTED, PayoutState.PAID, PayoutState.RETURNED]),
        (5_000, [PayoutState.REJECTED]),
    ):
        view = await shop.house.pay(amount)
        await shop.pass_hour()
        batch = (await shop.batches())[-1]
        payout = await send(shop, batch)
        created = created_transfers(payout, await moves.books.of(payout))
        async with AsyncExitStack() as turn, shop.house.database.transaction() as connection:
            await moves.post(connection, turn, created)
        await checked(shop)
        for state in ends:
            shop.house.clock.advance(timedelta(minutes=1))
            assert await moves.move(Address(shop.book_id, payout.id), Said(state))
            await checked(shop)
        found = (await trace(shop, view.intent.reference)).places[0].state
        assert found == ("paid" if ends == [PayoutState.PAID] else "failed")
    month = await checked(shop)
    assert (month.payout_count, month.payouts_minor, month.returned_minor) == (2, 9_883 + 6_915, 6_915)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_state_after_any_acts_equals_every_account_and_the_bill(shop: Shop, seed: int) -> None:
    chance = random.Random(seed)
    moves, house = moves_of(shop), shop.house
    shop.house.clock.advance(timedelta(seconds=1))
    await shop.agree(
        msgspec.structs.replace(HOURLY, payout_min_minor=3_000, reserve_e6=50_000, reserve_days=1)
    )
    paid = []
    for _ in range(25):
        house.clock.advance(timedelta(minutes=1))
        act = chance.choice(("pay", "pay", "refund", "settle", "settle", "day"))
        if act == "pay":
            paid.append(await house.pay(chance.randint(100, 9_000)))
        elif act == "refund" and paid:
            view = paid.pop(chance.randrange(len(paid)))
            await house.payments.refunds.create(house.scope, intent_id=view.intent.id)
        elif act == "day":
            house.clock.advance(timedelta(days=1))
        await shop.pass_hour()
        for batch in await shop.batches():
            if batch.state is BatchState.APPROVED and batch.paid_minor and chance.random() < 0.5:
                payout = await send(shop, batch)
                created = created_transfers(payout, await moves.books.of(payout))
                async with AsyncExitStack() as turn, house.database.transaction() as connection:
                    await moves.post(connection, turn, created)
                state = chance.choice((PayoutState.PAID, PayoutState.RETURNED, PayoutState.REJECTED))
                await moves.move(Address(shop.book_id, payout.id), Said(state))
    await shop.record()
    month = await checked(shop)
    assert month.closing.reserve_minor == await shop.balance("merchant_reserve")
    assert month.closing.owed_minor == await shop.balance("merchant_debt")
    asked = BillFilter(from_at=month.period.from_at, until_at=month.period.until_at)
    [total] = await bills_of(shop).totals(house.scope, asked)
    assert total.amount_minor == month.movements_minor
    assert total.count == sum(each.count for each in month.movements)
    days = [await _day(shop, DAY + timedelta(days=after)) for after in range(16)]
    for earlier, later in pairwise(days):
        assert later.opening == earlier.closing
    assert days[-1].closing == month.closing


async def _day(shop: Shop, on: date) -> Statement:
    statements, scope = statements_of(shop), shop.house.scope
    return await statements.get(scope, "CNY", await statements.day(scope, "CNY", on))
