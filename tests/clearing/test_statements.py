"""Statements over real payments, batches and payouts: equal to the ledger, and to themselves from day to day."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest
from tests.clearing.settlement import HOURLY, Shop, open_shop

from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.clearing.schema.statements import Holdings, Statement, StatementLine
from tongbao.clearing.service.statements import Statements
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import IdFactory, derive

NOON = datetime(2027, 3, 15, 12, 30, tzinfo=UTC)
DAY = date(2027, 3, 15)
RESERVED = msgspec.structs.replace(HOURLY, reserve_e6=100_000, reserve_days=1)


@pytest.fixture
async def shop(database: Database, ids: IdFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, ids) as opened:
        opened.house.clock.set(NOON)
        await opened.agree(RESERVED)
        yield opened
        await opened.check()


def statements_of(shop: Shop) -> Statements:
    return Statements(shop.house.database, shop.house.clock, shop.clearing.agreements)


async def day_of(shop: Shop, on: date = DAY) -> Statement:
    statements = statements_of(shop)
    return await statements.get(shop.house.scope, "CNY", await statements.day(shop.house.scope, "CNY", on))


async def lines_of(shop: Shop, on: date = DAY) -> list[StatementLine]:
    statements = statements_of(shop)
    period = await statements.day(shop.house.scope, "CNY", on)
    async with statements.open(shop.house.scope, "CNY", period) as opened:
        return [line async for lines in opened.lines() for line in lines]


async def refund(shop: Shop, paid: object, amount_minor: int) -> None:
    await shop.house.payments.refunds.create(
        shop.house.scope,
        intent_id=paid.intent.id,  # type: ignore[attr-defined]
        amount_minor=amount_minor,
    )


async def move(shop: Shop, batch: Batch, state: BatchState) -> Batch:
    """Move a batch as whoever pays does."""
    async with shop.house.database.transaction() as connection:
        return await shop.clearing.settling.move(
            connection,
            shop.book_id,
            batch.id,
            state,
            actor="job:paying",
            payout_id=derive(batch.id, "payout"),
        )


async def check_ledger(shop: Shop, holdings: Holdings, paid_minor: int = 0) -> None:
    """Compare what a merchant has with its accounts; these tests move batches and no account of payouts."""
    found = {
        "in_transit": holdings.in_transit_minor,
        "available": holdings.payable_minor + paid_minor,
        "merchant_reserve": holdings.reserve_minor,
        "merchant_debt": holdings.owed_minor,
    }
    assert found == {code: await shop.balance(code) for code in found}
    assert sum(found.values()) - 2 * holdings.owed_minor - paid_minor == holdings.total_minor


async def test_state_day_with_sales_refunds_fees_and_reserve_equals_the_ledger(shop: Shop) -> None:
    first = await shop.house.pay(10_000)
    await shop.house.pay(2_000)
    await shop.pass_hour()
    await refund(shop, first, 4_000)
    await shop.house.pay(500)
    await shop.record()
    statement = await day_of(shop)
    assert [(each.kind.name, each.count, each.amount_minor) for each in statement.movements] == [
        ("SALE", 3, 12_500),
        ("REFUND", 1, -4_000),
    ]
    assert (statement.fees_minor, statement.tax_minor) == (117 + 32, 7 + 2)
    assert (statement.held_minor, statement.released_minor) == (1_200, 0)
    assert statement.opening == Holdings()
    assert statement.closing.total_minor == 8_500 - 149
    assert not statement.is_final
    await check_ledger(shop, statement.closing)
    assert statement.fees_minor == await shop.balance("fee_revenue") + await shop.balance("fee_revenue/tax")


async def test_state_day_of_a_merchant_that_owes_equals_the_ledger(shop: Shop) -> None:
    view = await shop.house.pay(1_000)
    await shop.pass_hour()
    [batch] = await shop.batches()
    await refund(shop, view, 1_000)
    await shop.pass_hour()
    statement = await day_of(shop)
    assert statement.closing.owed_minor > 0
    await check_ledger(shop, statement.closing)
    assert batch.paid_minor == statement.closing.payable_minor


async def test_state_payout_paid_returned_and_paid_again_counts_each_once(shop: Shop) -> None:
    await shop.house.pay(10_000)
    await shop.pass_hour()
    [batch] = await shop.batches()
    await move(shop, batch, BatchState.PAID)
    await move(shop, batch, BatchState.RECONCILED)
    statement = await day_of(shop)
    assert (statement.payout_count, statement.payouts_minor) == (1, batch.paid_minor)
    assert statement.closing.payable_minor == 0
    await check_ledger(shop, statement.closing, batch.paid_minor)
    await move(shop, batch, BatchState.FAILED)
    statement = await day_of(shop)
    assert (statement.payouts_minor, statement.returned_minor) == (batch.paid_minor, batch.paid_minor)
    await check_ledger(shop, statement.closing)
    await shop.clearing.settling.approve(shop.book_id, batch.id, actor="person:mei")
    await move(shop, batch, BatchState.PAID)
    statement = await day_of(shop)
    assert (statement.payout_count, statement.payouts_minor) == (2, 2 * batch.paid_minor)
    assert [each.entry for each in await lines_of(shop)] == [
        "sale",
        "fees",
        "reserve_held",
        "payout",
        "payout_came_back",
        "payout",
    ]
    await check_ledger(shop, statement.closing, batch.paid_minor)


async def test_state_payout_refused_before_it_was_paid_changes_no_balance(shop: Shop) -> None:
    await shop.house.pay(10_000)
    await shop.pass_hour()
    [batch] = await shop.batches()
    before = await day_of(shop)
    await move(shop, batch, BatchState.FAILED)
    after = await day_of(shop)
    assert (after.payouts_minor, after.returned_minor) == (0, 0)
    assert after.closing == before.closing


async def test_state_days_each_opens_with_what_the_day_before_closed_and_the_month_holds_all(
    shop: Shop,
) -> None:
    for hour in range(3):
        view = await shop.house.pay(1_000 * (hour + 1))
        await refund(shop, view, 100)
        await shop.pass_hour()
        shop.house.clock.advance(timedelta(days=1))
        await shop.settle()
    days = [await day_of(shop, DAY + timedelta(days=after)) for after in range(-1, 5)]
    for earlier, later in pairwise(days):
        assert later.opening == earlier.closing
    statements, scope = statements_of(shop), shop.house.scope
    month = await statements.get(scope, "CNY", await statements.month(scope, "CNY", 2027, 3))
    assert month.opening == Holdings()
    assert month.closing == days[-1].closing
    for name in ("movements_minor", "fees_minor", "tax_minor", "held_minor", "released_minor"):
        assert getattr(month, name) == sum(getattr(day, name) for day in days), name
    assert month.released_minor > 0
    assert days[0].is_final
    await check_ledger(shop, month.closing)


async def test_state_lines_run_to_the_closing_balance(shop: Shop) -> None:
    view = await shop.house.pay(3_000)
    await shop.pass_hour()
    await refund(shop, view, 1_000)
    await shop.pass_hour()
    statement, lines = await day_of(shop), await lines_of(shop)
    balance = statement.opening.total_minor
    for line in lines:
        balance += line.change_minor
        assert line.balance_minor == balance
    assert balance == statement.closing.total_minor
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    assert [line.entry for line in lines] == ["sale", "fees", "reserve_held", "refund", "fees"]
    assert [line.fee_minor for line in lines if line.entry == "sale"] == [42]


async def test_state_day_in_another_zone_takes_what_happened_there(shop: Shop) -> None:
    shop.house.clock.set(NOON + timedelta(hours=5))
    await shop.agree(msgspec.structs.replace(HOURLY, zone="Asia/Shanghai"))
    await shop.house.pay(1_000)
    await shop.record()
    assert (await day_of(shop, DAY)).movements_minor == 0
    assert (await day_of(shop, DAY + timedelta(days=1))).movements_minor == 1_000


async def test_state_another_merchant_shows_nothing(database: Database, ids: IdFactory, shop: Shop) -> None:
    await shop.house.pay(1_000)
    await shop.pass_hour()
    async with open_shop(database, ids) as other:
        other.house.clock.set(NOON + timedelta(hours=3))
        await other.agree(HOURLY)
        statement = await day_of(other)
        assert (statement.closing, statement.movements, statement.fees) == (Holdings(), (), ())
        assert await lines_of(other) == []


async def test_ask_for_a_statement_that_cannot_be_is_refused(shop: Shop) -> None:
    statements, scope = statements_of(shop), shop.house.scope
    for ask, code in (
        (statements.month(scope, "CNY", 2027, 13), "statement_time_invalid"),
        (statements.month(scope, "CNY", 1, 1), "statement_time_invalid"),
        (statements.day(scope, "CNY", date(9999, 12, 31)), "statement_time_invalid"),
        (statements.day(scope, "XXQ", DAY), "currency_unknown"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            await ask
        assert refused.value.code == code
