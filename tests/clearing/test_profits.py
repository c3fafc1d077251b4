"""Profit reports over real batches: equal to what the merchants' books show as revenue, however they are told apart."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from tests.clearing.settlement import HOURLY, Lists, Shop, open_shop

from tongbao.clearing.schema.breaks import Break, BreakKind, BreakState, Found, Leg
from tongbao.clearing.schema.fees import Basis, Bearer, Charge, ScheduleSpec, Tier
from tongbao.clearing.schema.statements import ProfitFilter, ProfitLine
from tongbao.clearing.service.profits import FIELDS, Profits
from tongbao.clearing.store import breaks as break_store
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import IdFactory

NOON = datetime(2027, 3, 15, 12, 30, tzinfo=UTC)
FROM, UNTIL = date(2027, 3, 1), date(2027, 5, 1)
MINE = ScheduleSpec(
    charges=(
        Charge(name="processing", tiers=(Tier(rate_e6=20_000),), tax_name="VAT", tax_e6=60_000),
        Charge(name="channel", bearer=Bearer.HOUSE, tiers=(Tier(rate_e6=5_000),)),
    )
)
FRIEND = ScheduleSpec(
    charges=(Charge(name="agent", bearer=Bearer.AGENT, basis=Basis.FEE, tiers=(Tier(rate_e6=250_000),)),)
)


@pytest.fixture
async def shop(database: Database, ids: IdFactory) -> AsyncIterator[Shop]:
    lists = Lists({"mine": MINE, "friend": FRIEND})
    async with open_shop(database, ids, lists=lists) as opened:
        opened.house.clock.set(NOON)
        await opened.agree(msgspec.structs.replace(HOURLY, schedule="mine", agent_schedule="friend"))
        yield opened


async def report(shop: Shop, *by: str, live: bool = False) -> tuple[ProfitLine, ...]:
    profits = Profits(shop.house.database)
    return await profits.report(
        FROM, UNTIL, zone="UTC", live=live, by=by, of=ProfitFilter(book_id=shop.book_id)
    )


async def two_months(shop: Shop) -> None:
    await shop.house.pay(10_000)
    await shop.pass_hour()
    shop.house.clock.advance(timedelta(days=30))
    await shop.house.pay(5_000)
    await shop.pass_hour()


async def test_report_equals_the_revenue_of_the_books(shop: Shop) -> None:
    await two_months(shop)
    [line] = await report(shop)
    assert (line.count, line.volume_minor) == (2, 15_000)
    assert line.tax_minor == await shop.balance("fee_revenue/tax") == 12 + 6
    assert line.fees_minor - line.tax_minor == await shop.balance("fee_revenue") == 300
    assert (line.cost_minor, line.agent_minor) == (75, 75)
    assert line.margin_minor == 300 - 75 - 75
    assert line.margin_e6 == 10_000


async def test_report_told_apart_by_anything_has_the_same_sums(shop: Shop) -> None:
    await two_months(shop)
    [whole] = await report(shop)
    for by in ((), *((name,) for name in FIELDS), FIELDS):
        lines = await report(shop, *by)
        for name in ("count", "volume_minor", "fees_minor", "margin_minor"):
            assert sum(getattr(each, name) for each in lines) == getattr(whole, name), by
    months = await report(shop, "month_on")
    assert [(each.key.month_on, each.fees_minor) for each in months] == [
        (date(2027, 3, 1), 212),
        (date(2027, 4, 1), 106),
    ]
    [line] = await report(shop, "method", "channel", "book_id")
    assert (line.key.method, line.key.channel, line.key.book_id) == ("card", "one", shop.book_id)


async def test_report_of_real_money_holds_no_tests_and_what_was_written_off(shop: Shop) -> None:
    await two_months(shop)
    written_off = Break(
        id=shop.house.ids.uuid(),
        leg=Leg.CHANNEL,
        source="one",
        found=Found(kind=BreakKind.UNDER_AMOUNT, currency="CNY", difference_minor=-40),
        state=BreakState.WRITTEN_OFF,
        book_id=shop.book_id,
        opened_on=NOON.date(),
        opened_at=NOON,
        updated_at=NOON,
    )
    async with shop.house.database.transaction() as connection:
        await break_store.put(connection, [written_off])
    [line] = await report(shop, "channel", live=True)
    assert (line.key.channel, line.fees_minor, line.write_offs_minor) == ("one", 0, -40)
    assert (line.margin_minor, line.margin_e6) == (-40, None)


async def test_report_of_another_merchant_is_its_own(database: Database, ids: IdFactory, shop: Shop) -> None:
    await two_months(shop)
    async with open_shop(database, ids) as other:
        assert await report(other) == ()


async def test_ask_for_a_report_that_cannot_be_is_refused(shop: Shop) -> None:
    profits = Profits(shop.house.database)
    for ask, code in (
        (profits.report(FROM, UNTIL, zone="UTC", by=("payer",)), "profit_field_unknown"),
        (profits.report(FROM, UNTIL, zone="Mars/Olympus"), "zone_unknown"),
        (profits.report(UNTIL, FROM, zone="UTC"), "statement_time_invalid"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            await ask
        assert refused.value.code == code
