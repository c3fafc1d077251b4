"""Collections: what may be demanded of who owes, what comes of it, what is given up, and what is refused."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import date, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from tests.clearing.house_books import check_law
from tests.clearing.settlement import HOURLY, Shop, balance, open_shop

from tongbao.clearing.policy import demands as policy
from tongbao.clearing.schema.demands import Demand, DemandOrder, DemandState
from tongbao.clearing.schema.movements import MovementKind
from tongbao.clearing.service.closing import HOUSE_ZONE
from tongbao.clearing.store import days as day_store
from tongbao.core.db import Database
from tongbao.core.errors import AppError
from tongbao.core.ids import IdFactory, derive
from tongbao.ledger.schema import AMOUNT_MINOR_MAX

NOBODY = derive(UUID(int=0), "none")


@pytest.fixture
async def shop(database: Database, ids: IdFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, ids) as opened:
        await opened.agree(HOURLY)
        yield opened
        await opened.record()
        await opened.check()
        await check_law(opened.house.ledger)


async def owe(shop: Shop, amount_minor: int = 1_000) -> int:
    """Let the merchant owe what a refund took after its sale was settled; return the debt in minor units."""
    view = await shop.house.pay(amount_minor)
    await shop.pass_hour()
    refunded = await shop.house.payments.refunds.create(
        shop.house.scope, intent_id=view.intent.id, amount_minor=amount_minor
    )
    assert refunded.view is not None
    await shop.pass_hour()
    return await shop.balance("merchant_debt")


def today(shop: Shop) -> date:
    return shop.house.clock.now().astimezone(ZoneInfo(HOUSE_ZONE)).date()


def order(shop: Shop, amount_minor: int, **fields: Any) -> DemandOrder:
    plain = DemandOrder(
        book_id=shop.book_id,
        currency="CNY",
        amount_minor=amount_minor,
        due_on=today(shop) + timedelta(days=14),
        reference="D-1",
        note="refund after the payout",
    )
    return msgspec.structs.replace(plain, **fields)


async def demanded(shop: Shop, **fields: Any) -> Demand:
    debt = await owe(shop)
    return await shop.clearing.collections.demand(order(shop, debt, **fields), actor="mei")


async def receive(shop: Shop, of: Demand, amount_minor: int, reference: str = "B-1", **fields: Any) -> Demand:
    asked: dict[str, Any] = {"received_on": today(shop), "actor": "mei"} | fields
    after, _ = await shop.clearing.collections.receive(of.id, amount_minor, bank_reference=reference, **asked)
    return after


async def code_of(what: Awaitable[object]) -> str:
    with pytest.raises(AppError) as caught:
        await what
    return caught.value.code


async def test_money_that_comes_in_parts_ends_demand_and_debt(shop: Shop) -> None:
    made = await demanded(shop)
    debt = made.order.amount_minor
    assert debt > 0
    part = await receive(shop, made, debt - 1)
    assert (part.state, part.left_minor) == (DemandState.PART_PAID, 1)
    done = await receive(shop, made, 1, "B-2")
    assert (done.state, done.left_minor) == (DemandState.PAID, 0)
    assert await shop.balance("in_transit") == debt
    await shop.pass_hour()
    assert await shop.balance("merchant_debt") == 0
    newest = (await shop.batches())[-1]
    assert (newest.totals.adjustments_minor, newest.totals.brought_minor, newest.totals.net_minor) == (
        debt,
        -debt,
        0,
    )
    receipts = await shop.clearing.collections.receipts(done)
    assert sorted(each.amount_minor for each in receipts) == [1, debt - 1]


async def test_money_that_comes_stands_in_the_bank_of_the_house(shop: Shop) -> None:
    made = await demanded(shop)
    platform = (
        await shop.house.ledger.accounts.open_book("platform-test", "platform", "Own", ("CNY",))
    ).book_id
    before = await balance(shop.house.ledger, platform, "bank", "CNY"), await shop.balance("house_receivable")
    await receive(shop, made, 100)
    after = await balance(shop.house.ledger, platform, "bank", "CNY"), await shop.balance("house_receivable")
    assert (after[0] - before[0], after[1] - before[1]) == (100, 100)


async def test_same_bank_reference_again_books_nothing_and_for_another_sum_is_a_conflict(shop: Shop) -> None:
    made = await demanded(shop)
    first = await receive(shop, made, 100)
    assert await receive(shop, made, 100, actor="li") == first
    assert await code_of(receive(shop, made, 101)) == "bank_reference_used"
    assert await shop.balance("in_transit") == 100


async def test_two_receipts_at_once_never_take_more_than_is_left(shop: Shop) -> None:
    made = await demanded(shop)
    debt = made.order.amount_minor
    results = await asyncio.gather(
        *(receive(shop, made, debt, f"B-{each}") for each in range(3)), return_exceptions=True
    )
    refused = [each.code for each in results if isinstance(each, AppError)]
    assert refused == ["demand_state", "demand_state"]
    assert await shop.balance("in_transit") == debt


async def test_written_off_by_two_is_a_loss_of_the_house(shop: Shop) -> None:
    made = await demanded(shop)
    debt, desk = made.order.amount_minor, shop.clearing.collections
    await receive(shop, made, 10)
    platform = (await shop.house.ledger.accounts.book("platform-test")).book_id
    before = await balance(shop.house.ledger, platform, "bad_debts", "CNY")
    await desk.give_up(made.id, actor="mei", note="the company is dissolved")
    assert await code_of(desk.write_off(made.id, actor="mei")) == "four_eyes"
    done = await desk.write_off(made.id, actor="li", note="seen the register")
    assert (done.state, done.written_off_minor) == (DemandState.WRITTEN_OFF, debt - 10)
    assert await desk.write_off(made.id, actor="li") == done
    assert await balance(shop.house.ledger, platform, "bad_debts", "CNY") - before == debt - 10
    await shop.pass_hour()
    assert await shop.balance("merchant_debt") == 0
    assert [each.act for each in done.history] == [
        "demanded",
        "received",
        "write_off_proposed",
        "written_off",
    ]


async def test_write_off_loses_no_more_than_sales_have_left_of_the_debt(shop: Shop) -> None:
    made = await demanded(shop)
    desk = shop.clearing.collections
    await desk.give_up(made.id, actor="mei", note="hopeless")
    await shop.house.pay(made.order.amount_minor * 10)
    await shop.record()
    assert await code_of(desk.write_off(made.id, actor="li")) == "debt_gone"
    canceled = await desk.cancel(made.id, actor="mei", note="sales paid it")
    assert (canceled.state, canceled.left_minor) == (DemandState.CANCELED, 0)


async def test_declined_write_off_leaves_the_demand_as_it_was(shop: Shop) -> None:
    made = await demanded(shop)
    desk = shop.clearing.collections
    assert await code_of(desk.write_off(made.id, actor="li")) == "write_off_not_proposed"
    assert await code_of(desk.keep(made.id, actor="li")) == "write_off_not_proposed"
    await desk.give_up(made.id, actor="mei", note="hopeless")
    assert await code_of(desk.give_up(made.id, actor="li", note="me too")) == "write_off_proposed"
    kept = await desk.keep(made.id, actor="li", note="they answered")
    assert (kept.state, kept.given_up_by) == (DemandState.OPEN, "")


async def test_debt_is_demanded_once(shop: Shop) -> None:
    made = await demanded(shop)
    desk = shop.clearing.collections
    assert await desk.demand(made.order, actor="li") == made
    assert await code_of(desk.demand(order(shop, 1, reference="D-2"), actor="li")) == "debt_smaller"
    assert await code_of(desk.demand(order(shop, 1), actor="li")) == "reference_used"
    (debtor,) = [each for each in await desk.debtors() if each.book_id == shop.book_id]
    assert (debtor.owed_minor, debtor.demanded_minor, debtor.earliest_due_on) == (
        made.order.amount_minor,
        made.order.amount_minor,
        made.order.due_on,
    )
    assert [each.id for each in await desk.page(book_id=shop.book_id, state=DemandState.OPEN)] == [made.id]


BAD_DEMANDS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"amount_minor": 0}, "amount_invalid"),
    ({"amount_minor": -5}, "amount_invalid"),
    ({"amount_minor": AMOUNT_MINOR_MAX + 1}, "amount_invalid"),
    ({"amount_minor": AMOUNT_MINOR_MAX}, "debt_smaller"),
    ({"due_on": date(2020, 1, 1)}, "due_invalid"),
    ({"due_on": date(2199, 1, 1)}, "due_invalid"),
    ({"reference": ""}, "reference_invalid"),
    ({"note": " "}, "note_invalid"),
    ({"book_id": 4_711}, "book_unknown"),
    ({"currency": "EUR"}, "currency_not_of_book"),
)


async def test_demand_what_cannot_be_is_refused(shop: Shop) -> None:
    debt = await owe(shop)
    for fields, code in BAD_DEMANDS:
        asked = msgspec.structs.replace(order(shop, debt), **fields)
        assert await code_of(shop.clearing.collections.demand(asked, actor="mei")) == code
    assert await shop.clearing.collections.page(book_id=shop.book_id) == []


async def test_receive_what_cannot_be_is_refused(shop: Shop) -> None:
    made = await demanded(shop)
    debt, tomorrow = made.order.amount_minor, today(shop) + timedelta(days=1)
    rows: tuple[tuple[int, dict[str, Any], str], ...] = (
        (0, {}, "amount_invalid"),
        (-1, {}, "amount_invalid"),
        (AMOUNT_MINOR_MAX + 1, {}, "amount_invalid"),
        (debt + 1, {}, "amount_over_demand"),
        (1, {"reference": ""}, "bank_reference_invalid"),
        (1, {"received_on": tomorrow}, "received_invalid"),
        (1, {"received_on": date(2001, 1, 1)}, "received_invalid"),
        (1, {"note": "x" * 2_001}, "note_invalid"),
    )
    for amount, fields, code in rows:
        assert await code_of(receive(shop, made, amount, **fields)) == code
    other = msgspec.structs.replace(made, id=NOBODY)
    assert await code_of(receive(shop, other, 1)) == "demand_unknown"
    assert await code_of(shop.clearing.collections.get(made.id, shop.book_id + 1)) == "demand_unknown"
    assert await shop.balance("in_transit") == 0


async def test_receive_on_a_closed_day_is_refused(shop: Shop) -> None:
    made = await demanded(shop)
    yesterday = today(shop) - timedelta(days=1)
    async with shop.house.database.transaction() as connection:
        before = await day_store.lock(connection)
        await day_store.lock_until(connection, yesterday)
    try:
        assert await code_of(receive(shop, made, 1, received_on=yesterday)) == "day_closed"
        assert (await receive(shop, made, 1)).received_minor == 1
    finally:
        async with shop.house.database.transaction() as connection:
            await day_store.lock_until(connection, before)


async def test_acts_on_a_demand_that_is_over_are_refused(shop: Shop) -> None:
    made = await demanded(shop)
    desk = shop.clearing.collections
    await receive(shop, made, made.order.amount_minor)
    assert await code_of(receive(shop, made, 1, "B-9")) == "demand_state"
    assert await code_of(desk.give_up(made.id, actor="mei", note="no")) == "demand_state"
    assert await code_of(desk.write_off(made.id, actor="li")) == "demand_state"
    assert await code_of(desk.cancel(made.id, actor="li", note="no")) == "demand_state"


async def test_movements_of_a_debt_have_their_own_kinds(shop: Shop) -> None:
    made = await demanded(shop)
    await receive(shop, made, 7)
    async with shop.house.database.connection() as connection:
        kinds = await connection.fetch(
            "SELECT kind, amount_minor, reference, channel_reference FROM clearing.movement WHERE book_id = $1 AND kind > 5",
            shop.book_id,
        )
    assert [tuple(each) for each in kinds] == [(MovementKind.DEBT_PAID.value, 7, made.text_id, "B-1")]


def test_ages_put_each_day_into_one_of_five() -> None:
    rows = [("CNY", True, days, 1, 10) for days in (0, 1, 30, 31, 60, 61, 90, 91, 4_000)]
    (found,) = policy.ages(rows)
    assert found.counts == (1, 2, 2, 2, 2)
    assert found.amounts_minor == (10, 20, 20, 20, 20)
    assert [each.currency for each in policy.ages([("EUR", True, 1, 1, 1), ("CNY", True, 1, 1, 1)])] == [
        "CNY",
        "EUR",
    ]


async def test_overdue_demand_grows_older(shop: Shop) -> None:
    desk, debt = shop.clearing.collections, await owe(shop)
    made = await desk.demand(order(shop, debt, due_on=today(shop)), actor="mei")
    (young,) = await desk.ages(shop.book_id)
    assert young.amounts_minor == (made.order.amount_minor, 0, 0, 0, 0)
    shop.house.clock.advance(timedelta(days=31))
    (older,) = await desk.ages(shop.book_id)
    assert older.amounts_minor == (0, 0, made.order.amount_minor, 0, 0)
