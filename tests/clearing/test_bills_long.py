"""Bills of more unpriced movements than one call of estimates takes: complete all the same, and what the batch then fixes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from tests.clearing.settlement import HOURLY, Lists, Shop, open_shop
from tests.clearing.test_bills import bills_of

from tongbao.clearing.schema.bills import BillFilter, MoneyState
from tongbao.clearing.schema.fees import Charge, Match, OnRefund, ScheduleSpec, Tier
from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.clearing.service import bills as bill_service
from tongbao.clearing.service import estimating, payouts_to_come
from tongbao.clearing.service.bills import Bills
from tongbao.clearing.store import movements as movement_store
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory

HALF_PAST = datetime(2027, 3, 15, 12, 30, tzinfo=UTC)
LIMITS = [500, pytest.param(estimating.ESTIMATED_MAX, marks=pytest.mark.nightly)]
"""What one call of estimates takes: the tests are quick with a tenth of it, and repeated with the real one at night."""


def priced(count: int) -> Lists:
    """Prices in steps of which the last begins within the last of ``count`` sales, which only the second call sees."""
    return Lists(
        {
            "house": ScheduleSpec(
                charges=(
                    Charge(
                        name="processing",
                        match=Match(currencies=("CNY",)),
                        tiers=(
                            Tier(rate_e6=20_000),
                            Tier(from_minor=count * 400, rate_e6=10_000),
                            Tier(from_minor=count * 1_000 - 10_000, rate_e6=5_000),
                        ),
                        tax_name="VAT",
                        tax_e6=60_000,
                        on_refund=OnRefund.KEPT,
                    ),
                )
            )
        }
    )


@dataclass
class Trade:
    """A shop that sold ``count`` times, more than one call of estimates takes, and its bills."""

    shop: Shop
    bills: Bills
    count: int

    @property
    def whole(self) -> int:
        """Its movements: the payment that opens the accounts, sales, and one in a hundred given back."""
        return 1 + self.count + len(range(0, self.count, 100))


@pytest.fixture(params=LIMITS)
async def trade(
    database: Database, ids: IdFactory, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Trade]:
    for module in (bill_service, estimating, payouts_to_come):
        monkeypatch.setattr(module, "ESTIMATED_MAX", request.param)
    count = request.param + request.param // 16
    lists = priced(count)
    async with open_shop(database, ids, lists=lists) as opened:
        opened.house.clock.set(HALF_PAST)
        await opened.agree(HOURLY)
        await sold(opened, count)
        yield Trade(opened, bills_of(opened, lists), count)


async def sold(shop: Shop, count: int) -> None:
    """Record a payment, sales of 10.00, a millisecond after each other, and one in a hundred given back at the end."""
    await shop.house.pay(1_000)  # It opens the accounts.
    await shop.record()
    ids, begun = shop.house.ids, shop.house.clock.now()
    made: list[Movement] = []

    def add(kind: MovementKind, amount_minor: int, intent_id: object) -> None:
        at = begun + timedelta(milliseconds=len(made))
        movement = Movement(
            id=ids.uuid(),
            book_id=shop.book_id,
            live=False,
            kind=kind,
            transfer_key=ids.uuid(),
            source_id=ids.uuid(),
            intent_id=intent_id,  # type: ignore[arg-type]  # an id of the factory
            channel="one",
            method="card",
            currency="CNY",
            amount_minor=amount_minor,
            reference=f"m{len(made)}",
            channel_reference=None,
            occurred_at=at,
            recorded_at=at,
            cut_at=HALF_PAST.replace(hour=13, minute=0),
            payout_on=HALF_PAST.date(),
        )
        made.append(movement)

    intents = [ids.uuid() for _ in range(count)]
    for intent_id in intents:
        add(MovementKind.SALE, 1_000, intent_id)
    for intent_id in intents[::100]:
        add(MovementKind.REFUND, -400, intent_id)
    async with shop.house.database.transaction() as connection:
        await movement_store.write(connection, made)


async def test_totals_and_payouts_of_very_many_movements_are_what_the_batch_then_fixes(trade: Trade) -> None:
    shop, bills, whole = trade.shop, trade.bills, trade.whole
    scope = shop.house.scope
    [before] = await bills.totals(scope, BillFilter())
    assert (before.count, before.estimated_count, before.open_count) == (whole, whole, 0)
    [waiting] = await bills.coming(scope)
    assert (waiting.state, waiting.count, waiting.expected_minor) == (
        MoneyState.WAITING,
        whole,
        before.net_minor,
    )
    shop.house.clock.advance(timedelta(hours=1))
    assert await shop.clearing.settling.cut_due(shop.book_id) == 1
    [cut] = await bills.coming(scope)
    assert (cut.state, cut.count, cut.expected_minor) == (MoneyState.CUT, whole, before.net_minor)
    await shop.settle()
    [after] = await bills.totals(scope, BillFilter())
    assert after.estimated_count == 0
    assert (after.fee_minor, after.tax_minor, after.net_minor) == (
        before.fee_minor,
        before.tax_minor,
        before.net_minor,
    )
    [batch] = await shop.batches()
    assert batch.paid_minor == before.net_minor


async def test_totals_of_a_filter_estimate_all_that_it_keeps(trade: Trade) -> None:
    scope, bills = trade.shop.house.scope, trade.bills
    [sales] = await bills.totals(scope, BillFilter(kinds=(MovementKind.SALE,)))
    [refunds] = await bills.totals(scope, BillFilter(kinds=(MovementKind.REFUND,)))
    [both] = await bills.totals(scope, BillFilter())
    assert (sales.open_count, refunds.open_count) == (0, 0)
    assert sales.fee_minor + refunds.fee_minor == both.fee_minor
    assert sales.count + refunds.count == both.count
