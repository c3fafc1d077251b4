"""Bills over real payments and batches: what stands in them, what is estimated, and whose they are."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from tests.clearing.settlement import HOURLY, Lists, Sellers, Shop, open_shop

from tongbao.clearing.schema.bills import BillFilter, BillLine, MoneyState
from tongbao.clearing.schema.fees import Charge, Match, ScheduleSpec, Tier
from tongbao.clearing.schema.movements import MovementKind
from tongbao.clearing.service.bills import Bills
from tongbao.clearing.service.estimating import Estimating
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import IdFactory

ALL = BillFilter()
CNY = Match(currencies=("CNY",))
HALF_PAST = datetime(2027, 3, 15, 12, 30, tzinfo=UTC)
"""Seconds later it is the same hour, day and month."""


def bills_of(shop: Shop, lists: Lists | None = None) -> Bills:
    house, agreements = shop.house, shop.clearing.agreements
    estimating = Estimating(house.database, agreements, lists or Lists(), Sellers())
    return Bills(house.database, house.clock, agreements, estimating)


@pytest.fixture
async def shop(database: Database, ids: IdFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, ids) as opened:
        opened.house.clock.set(HALF_PAST)
        await opened.agree(HOURLY)
        yield opened


async def lines_of(shop: Shop, asked: BillFilter = ALL, limit: int = 100) -> list[BillLine]:
    """All lines, page by page, newest first."""
    bills, cursor = bills_of(shop), None
    found: list[BillLine] = []
    for _ in range(50):
        page = await bills.page(shop.house.scope, asked, cursor=cursor, limit=limit)
        found += page.lines
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise AssertionError("a bill never came to its end")


async def refund(shop: Shop, paid: object, amount_minor: int) -> None:
    intent = paid.intent  # type: ignore[attr-defined]
    await shop.house.payments.refunds.create(shop.house.scope, intent_id=intent.id, amount_minor=amount_minor)


async def test_read_bill_before_pricing_estimates_exactly_what_the_batch_then_fixes(shop: Shop) -> None:
    first = await shop.house.pay(10_000)
    shop.house.clock.advance(timedelta(seconds=1))
    await shop.house.pay(2_000)
    shop.house.clock.advance(timedelta(seconds=1))
    await refund(shop, first, 4_000)
    await shop.record()
    before = await lines_of(shop)
    assert [each.cost.is_estimated for each in before if each.cost] == [True] * 3
    assert {each.where.state for each in before} == {MoneyState.WAITING}
    await shop.pass_hour()
    after = await lines_of(shop)
    fixed = [msgspec.structs.replace(each.cost, is_estimated=True) for each in after if each.cost]
    assert fixed == [each.cost for each in before]
    assert [each.cost.fee_minor for each in after if each.cost] == [5 - 46, 32, 117]
    assert {each.where.state for each in after} == {MoneyState.APPROVED}
    [batch] = await shop.batches()
    assert sum(each.cost.net_minor for each in after if each.cost) == batch.paid_minor
    assert {each.where.payout_on for each in after} == {batch.payout_on}


async def test_read_bill_refund_of_a_priced_payment_is_estimated_as_it_is_priced_later(shop: Shop) -> None:
    view = await shop.house.pay(999)
    await shop.pass_hour()
    for _ in range(3):
        await refund(shop, view, 333)
        shop.house.clock.advance(timedelta(seconds=1))
    await shop.record()
    before = {each.movement.id: each.cost for each in await lines_of(shop)}
    await shop.pass_hour()
    for line in await lines_of(shop):
        estimate = before[line.movement.id]
        assert line.cost is not None
        assert estimate is not None
        assert line.cost.net_minor == estimate.net_minor


async def test_read_bill_by_a_list_with_steps_estimates_by_what_the_month_sold(
    database: Database, ids: IdFactory
) -> None:
    steps = (
        Tier(rate_e6=20_000),
        Tier(from_minor=2_000, rate_e6=10_000),
        Tier(from_minor=4_000, rate_e6=5_000),
    )
    lists = Lists({"house": ScheduleSpec(charges=(Charge(name="processing", match=CNY, tiers=steps),))})
    async with open_shop(database, ids, lists=lists) as shop:
        shop.house.clock.set(HALF_PAST)
        await shop.agree(HOURLY)
        await shop.house.pay(1_500)
        await shop.pass_hour()
        for _ in range(4):
            await shop.house.pay(1_000)
            shop.house.clock.advance(timedelta(seconds=1))
        await shop.record()
        page = await bills_of(shop, lists).page(shop.house.scope, ALL)
        assert [each.cost.fee_minor for each in page.lines if each.cost] == [5, 10, 10, 20, 30]
        before = await bills_of(shop, lists).totals(shop.house.scope, ALL)
        await shop.pass_hour()
        after = await bills_of(shop, lists).totals(shop.house.scope, ALL)
        assert [each.net_minor for each in before] == [each.net_minor for each in after]


async def test_page_bill_small_pages_show_every_movement_once_newest_first(shop: Shop) -> None:
    for amount in range(1_000, 1_007):
        await shop.house.pay(amount)  # all at one instant: the id decides
    await shop.record()
    lines = await lines_of(shop, limit=2)
    assert sorted(each.movement.amount_minor for each in lines) == list(range(1_000, 1_007))
    places = [(each.movement.occurred_at, each.movement.id) for each in lines]
    assert places == sorted(places, reverse=True)


async def test_filter_bill_each_field_keeps_what_holds(shop: Shop) -> None:
    view = await shop.house.pay(1_000, metadata={"store": "north"})
    await refund(shop, view, 100)
    await shop.pass_hour()
    noon = shop.house.clock.now()
    await shop.house.pay(3_000)
    await shop.record()
    cases = [
        (BillFilter(kinds=(MovementKind.REFUND,)), [-100]),
        (BillFilter(stores=("north",)), [-100, 1_000]),
        (BillFilter(channels=("two",)), []),
        (BillFilter(channels=("one",), methods=("card",)), [-100, 1_000, 3_000]),
        (BillFilter(currencies=("USD",)), []),
        (BillFilter(states=(MoneyState.WAITING,)), [3_000]),
        (BillFilter(states=(MoneyState.APPROVED, MoneyState.PAID)), [-100, 1_000]),
        (BillFilter(from_at=noon), [3_000]),
        (BillFilter(until_at=noon), [-100, 1_000]),
        (BillFilter(intent_id=view.intent.id), [-100, 1_000]),
    ]
    for asked, amounts in cases:
        found = await lines_of(shop, asked)
        assert sorted(each.movement.amount_minor for each in found) == amounts, asked
        totals = await bills_of(shop).totals(shop.house.scope, asked)
        assert sum(each.amount_minor for each in totals) == sum(amounts)
        assert sum(each.count for each in totals) == len(amounts)
        nets = [each.cost.net_minor for each in found if each.cost]
        assert sum(each.net_minor for each in totals) == sum(nets)


async def test_total_bill_tells_kinds_and_what_is_estimated(shop: Shop) -> None:
    view = await shop.house.pay(1_000)
    await shop.pass_hour()
    await refund(shop, view, 100)
    await shop.record()
    [total] = await bills_of(shop).totals(shop.house.scope, ALL)
    assert (total.sales_minor, total.refunds_minor, total.disputes_minor) == (1_000, -100, 0)
    assert (total.count, total.estimated_count, total.open_count) == (2, 1, 0)
    assert (total.fee_minor, total.tax_minor) == (21 + 5 - 2, 1)


async def test_read_bill_of_a_list_that_nobody_published_tells_amounts_alone(shop: Shop) -> None:
    shop.house.clock.advance(timedelta(seconds=1))
    await shop.agree(msgspec.structs.replace(HOURLY, schedule="unheard_of"))
    await shop.house.pay(1_000)
    await shop.record()
    [line] = await lines_of(shop)
    assert line.cost is None
    [total] = await bills_of(shop).totals(shop.house.scope, ALL)
    assert (total.open_count, total.estimated_count, total.fee_minor) == (1, 0, 0)
    [coming] = await bills_of(shop).coming(shop.house.scope)
    assert (coming.amount_minor, coming.expected_minor) == (1_000, None)


async def test_read_bill_of_another_merchant_shows_nothing_of_it(
    database: Database, ids: IdFactory, shop: Shop
) -> None:
    view = await shop.house.pay(1_000)
    await shop.pass_hour()
    [batch] = await shop.batches()
    [line] = await lines_of(shop)
    async with open_shop(database, ids) as other:
        bills, scope = bills_of(other), other.house.scope
        assert await lines_of(other) == []
        assert await bills.totals(scope, ALL) == ()
        assert await bills.lines(scope, [view.intent.id, batch.id, line.movement.id]) == ()
        assert await lines_of(other, BillFilter(intent_id=view.intent.id)) == []
        assert await lines_of(other, BillFilter(batch_id=batch.id)) == []
        assert await bills.coming(scope) == ()


async def test_coming_payouts_hold_what_waits_and_what_was_carried_on(shop: Shop) -> None:
    shop.house.clock.advance(timedelta(seconds=1))
    await shop.agree(msgspec.structs.replace(HOURLY, payout_min_minor=1_500))
    await shop.house.pay(1_000)
    await shop.pass_hour()
    await shop.house.pay(2_000)
    await shop.record()
    [coming] = await bills_of(shop).coming(shop.house.scope, "CNY")
    assert (coming.count, coming.amount_minor) == (1, 2_000)
    assert coming.expected_minor == 979 + 2_000 - 32
    assert not coming.is_fixed
    shop.house.clock.advance(timedelta(hours=1, seconds=10))
    await shop.clearing.settling.cut_due(shop.book_id)
    [cut, empty] = await bills_of(shop).coming(shop.house.scope, "CNY")
    assert (cut.state, cut.expected_minor, empty.count) == (MoneyState.CUT, coming.expected_minor, 0)
    await shop.settle()
    [fixed, _] = await bills_of(shop).coming(shop.house.scope, "CNY")
    assert (fixed.state, fixed.is_fixed, fixed.expected_minor) == (
        MoneyState.APPROVED,
        True,
        coming.expected_minor,
    )


async def test_calendar_names_the_next_cuts_and_what_waits_for_each(shop: Shop) -> None:
    await shop.house.pay(1_000)
    await shop.record()
    found = await bills_of(shop).calendar(shop.house.scope, "CNY", 5)
    assert len(found) == 5
    assert [each.amount_minor for each in found] == [1_000, 0, 0, 0, 0]
    with pytest.raises(InvalidRequest) as refused:
        await bills_of(shop).calendar(shop.house.scope, "CNY", 0)
    assert refused.value.code == "settlement_days_invalid"


async def test_ask_for_a_bill_that_cannot_be_is_refused(shop: Shop) -> None:
    bills, scope, now = bills_of(shop), shop.house.scope, shop.house.clock.now()
    cases = [
        (BillFilter(from_at=now, until_at=now), "", "bill_time_invalid"),
        (BillFilter(from_at=datetime(2026, 1, 1)), "", "bill_time_invalid"),  # noqa: DTZ001 - what is refused
        (BillFilter(stores=("x",) * 101), "", "bill_filter_too_long"),
        (ALL, "not a cursor", "cursor_invalid"),
        (ALL, "9" * 40 + "." + "0" * 32, "cursor_invalid"),
        (ALL, "1." + "g" * 32, "cursor_invalid"),
    ]
    for asked, cursor, code in cases:
        with pytest.raises(InvalidRequest) as refused:
            await bills.page(scope, asked, cursor=cursor or None)
        assert refused.value.code == code
