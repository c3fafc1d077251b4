"""Adjustments: who may propose and approve, what they move, how they are taken back, and what is refused."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec
import pytest
from tests.clearing.settlement import HOURLY, PLAIN, Lists, Shop, open_shop

from tongbao.clearing.policy.hand_moves import POSTED
from tongbao.clearing.schema.adjustments import Adjustment, AdjustmentOrder, AdjustmentState
from tongbao.clearing.schema.bills import BillFilter
from tongbao.clearing.schema.fees import Charge, Match, ScheduleSpec, Tier
from tongbao.clearing.schema.movements import MovementKind
from tongbao.clearing.schema.payout_facts import PayoutChanged
from tongbao.clearing.service.statements import Statements
from tongbao.clearing.store import bills as bill_store
from tongbao.core.db import Database
from tongbao.core.errors import AppError, Conflict, NotPermitted
from tongbao.core.events.facts import Delivered
from tongbao.core.ids import IdFactory, derive
from tongbao.ledger.schema import AMOUNT_MINOR_MAX, BookId
from tongbao.ledger.service.reading import unbalanced


@pytest.fixture
async def shop(database: Database, ids: IdFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, ids) as opened:
        await opened.agree(HOURLY)
        await opened.house.pay(10_000)
        await opened.record()
        yield opened
        await opened.record()
        await opened.check()


def order(shop: Shop, amount_minor: int = 500, **fields: Any) -> AdjustmentOrder:
    plain = AdjustmentOrder(
        book_id=shop.book_id,
        currency="CNY",
        amount_minor=amount_minor,
        reason="charged twice in May",
        reference="T-1",
        evidence="mail of the merchant of 3 June, invoice 88",
    )
    return msgspec.structs.replace(plain, **fields)


async def posted(shop: Shop, of: AdjustmentOrder) -> Adjustment:
    made = await shop.clearing.adjustments.propose(of, actor="mei")
    return await shop.clearing.adjustments.approve(made.id, actor="li", note="seen")


async def lines(shop: Shop) -> list[bill_store.BillRow]:
    async with shop.house.database.connection() as connection:
        return await bill_store.page(connection, shop.book_id, BillFilter(), None, 100)


async def test_approved_credit_is_posted_shown_and_paid_with_the_next_batch(shop: Shop) -> None:
    made = await shop.clearing.adjustments.propose(order(shop), actor="mei")
    assert made.state is AdjustmentState.PROPOSED
    assert await shop.balance("adjustments") == 0
    done = await shop.clearing.adjustments.approve(made.id, actor="li", note="seen")
    assert (done.state, done.approvals) == (AdjustmentState.POSTED, ("li",))
    assert await shop.balance("adjustments") == 500
    assert await shop.balance("in_transit") == 10_500
    (line,) = [each for each in await lines(shop) if each.movement.kind is MovementKind.ADJUSTMENT]
    assert line.movement.id == done.movement_id == derive(made.id, POSTED)
    assert (line.movement.reference, line.movement.channel_reference) == (made.text_id, "T-1")
    row = await shop.house.ledger.reading.transfer(BookId(shop.book_id), line.movement.transfer_key)
    assert (row.amount_minor, row.reference) == (500, made.text_id)
    await shop.pass_hour()
    (batch,) = await shop.batches()
    assert batch.totals.adjustments_minor == 500
    assert await shop.balance("in_transit") == 0
    assert [each.act for each in done.history] == ["proposed", "approved"]


async def test_approved_debit_takes_and_its_reversal_gives_back_once(shop: Shop) -> None:
    first = await posted(shop, order(shop, -300))
    assert (await shop.balance("adjustments"), await shop.balance("in_transit")) == (-300, 9_700)
    back = order(shop, 300, reference="T-2", reverses=first.id)
    await posted(shop, back)
    assert (await shop.balance("adjustments"), await shop.balance("in_transit")) == (0, 10_000)
    with pytest.raises(Conflict) as caught:
        await shop.clearing.adjustments.propose(msgspec.structs.replace(back, reference="T-3"), actor="mei")
    assert caught.value.code == "adjustment_reversed"


async def test_declined_reversal_may_be_proposed_again(shop: Shop) -> None:
    first = await posted(shop, order(shop))
    wanted = order(shop, -500, reference="T-2", reverses=first.id)
    made = await shop.clearing.adjustments.propose(wanted, actor="mei")
    await shop.clearing.adjustments.decline(made.id, actor="li", note="not yet")
    await posted(shop, msgspec.structs.replace(wanted, reference="T-3"))
    assert await shop.balance("adjustments") == 0


async def test_same_proposal_again_is_the_first_one(shop: Shop) -> None:
    first = await shop.clearing.adjustments.propose(order(shop), actor="mei")
    assert await shop.clearing.adjustments.propose(order(shop), actor="li") == first
    assert len(await shop.clearing.adjustments.page(book_id=shop.book_id)) == 1


async def test_two_approvals_at_once_post_once(shop: Shop) -> None:
    made = await shop.clearing.adjustments.propose(order(shop), actor="mei")
    results = await asyncio.gather(
        shop.clearing.adjustments.approve(made.id, actor="li"),
        shop.clearing.adjustments.approve(made.id, actor="wu"),
        shop.clearing.adjustments.approve(made.id, actor="li"),
        return_exceptions=True,
    )
    assert {each.code for each in results if isinstance(each, AppError)} == {"adjustment_state"}
    assert await shop.balance("adjustments") == 500


async def test_above_the_limit_of_the_agreement_two_others_approve(shop: Shop) -> None:
    await shop.agree(msgspec.structs.replace(HOURLY, approval_above_minor=499))
    for_two = shop.clearing.adjustments
    made = await for_two.propose(order(shop, -500), actor="mei")
    assert made.needs_two
    made = await for_two.approve(made.id, actor="li")
    assert made.state is AdjustmentState.PROPOSED
    with pytest.raises(NotPermitted) as caught:
        await for_two.approve(made.id, actor="li")
    assert caught.value.code == "approval_twice"
    assert await shop.balance("in_transit") == 10_000
    assert (await for_two.approve(made.id, actor="wu")).state is AdjustmentState.POSTED
    assert await shop.balance("in_transit") == 9_500


BAD: tuple[tuple[dict[str, Any], str], ...] = (
    ({"amount_minor": 0}, "amount_invalid"),
    ({"amount_minor": AMOUNT_MINOR_MAX + 1}, "amount_invalid"),
    ({"amount_minor": -AMOUNT_MINOR_MAX - 1}, "amount_invalid"),
    ({"reason": "  "}, "reason_invalid"),
    ({"reason": "x" * 501}, "reason_invalid"),
    ({"reference": ""}, "reference_invalid"),
    ({"evidence": "nul\0"}, "evidence_invalid"),
    ({"book_id": 4_711}, "book_unknown"),
    ({"currency": "EUR"}, "currency_not_of_book"),
    ({"currency": "???"}, "currency_not_of_book"),
    ({"intent_id": derive(UUID(int=0), "none")}, "payment_unknown"),
    ({"reverses": derive(UUID(int=0), "none")}, "adjustment_unknown"),
)


@pytest.mark.parametrize(("fields", "code"), BAD)
async def test_propose_what_cannot_be_is_refused(shop: Shop, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(AppError) as caught:
        await shop.clearing.adjustments.propose(order(shop, **fields), actor="mei")
    assert caught.value.code == code
    assert await shop.clearing.adjustments.page(book_id=shop.book_id) == []


async def test_reversal_of_another_sum_or_of_what_was_never_posted_is_refused(shop: Shop) -> None:
    desk = shop.clearing.adjustments
    first = await desk.propose(order(shop), actor="mei")
    with pytest.raises(Conflict) as never:
        await desk.propose(order(shop, -500, reference="T-2", reverses=first.id), actor="mei")
    assert never.value.code == "adjustment_state"
    await desk.approve(first.id, actor="li")
    with pytest.raises(AppError) as other:
        await desk.propose(order(shop, -499, reference="T-2", reverses=first.id), actor="mei")
    assert other.value.code == "reversal_differs"


async def test_acts_out_of_turn_are_refused(shop: Shop) -> None:
    desk = shop.clearing.adjustments
    made = await desk.propose(order(shop), actor="mei")

    async def code(what: Any) -> str:
        with pytest.raises(AppError) as caught:
            await what
        return caught.value.code

    assert await code(desk.propose(order(shop, 501), actor="mei")) == "reference_used"
    assert await code(desk.approve(made.id, actor="mei")) == "four_eyes"
    assert await code(desk.approve(made.id, actor="li", seen_version=9)) == "adjustment_changed"
    assert await code(desk.approve(made.id, actor="li", note="x" * 2_001)) == "note_invalid"
    assert await code(desk.approve(derive(made.id, "other"), actor="li")) == "adjustment_unknown"
    assert await code(desk.get(made.id, shop.book_id + 1)) == "adjustment_unknown"
    done = await desk.approve(made.id, actor="li")
    assert await desk.approve(made.id, actor="li") == done
    assert await code(desk.approve(made.id, actor="wu")) == "adjustment_state"
    assert await code(desk.decline(made.id, actor="wu")) == "adjustment_state"


async def test_adjustment_about_a_payment_stands_among_its_movements_and_all_books_balance(
    shop: Shop,
) -> None:
    view = await shop.house.pay(1_000)
    await shop.record()
    await posted(shop, order(shop, 50, intent_id=view.intent.id))
    moved = await shop.clearing.recording.of_intent(shop.book_id, view.intent.id)
    assert [each.kind for each in moved] == [MovementKind.SALE, MovementKind.ADJUSTMENT]
    assert unbalanced(await shop.house.ledger.reading.trial_balance()) == {}


async def test_statement_of_the_day_holds_the_adjustment_and_comes_to_its_balance(shop: Shop) -> None:
    await posted(shop, order(shop, -300))
    on = shop.house.clock.now().date()
    await shop.pass_hour()
    statements = Statements(shop.house.database, shop.house.clock, shop.clearing.agreements)
    period = await statements.day(shop.house.scope, "CNY", on)
    found = await statements.get(shop.house.scope, "CNY", period)
    assert found.movements_minor == 9_700
    async with statements.open(shop.house.scope, "CNY", period) as opened:
        lines = [line async for some in opened.lines() for line in some]
    assert [(each.entry, each.amount_minor) for each in lines][:2] == [("sale", 10_000), ("adjustment", -300)]
    assert lines[-1].balance_minor == found.closing.total_minor


async def test_payout_that_came_back_costs_what_the_price_list_says(
    database: Database, ids: IdFactory
) -> None:
    charge = Charge(
        name="return", match=Match(kinds=("payout_returned",)), tiers=(Tier(fixed_minor={"CNY": 25}),)
    )
    lists = Lists({"house": ScheduleSpec(charges=(*PLAIN.charges, charge))})
    async with open_shop(database, ids, lists=lists) as shop:
        await shop.agree(HOURLY)
        await shop.house.pay(10_000)
        await came_back(shop)


async def came_back(shop: Shop) -> None:
    """Let a payout come back, told twice, and see what the next batch takes for it."""
    now = shop.house.clock.now()
    payout_id = shop.house.ids.uuid()
    fact = PayoutChanged(
        occurred_at=now,
        book_id=shop.book_id,
        live=False,
        payout_id=payout_id,
        batch_id=shop.house.ids.uuid(),
        state="returned",
        amount_minor=900,
        currency="CNY",
        end_to_end="POX",
        code="AC04",
    )
    told = Delivered(1, shop.house.ids.uuid(), "clearing.payout_changed", fact.subject, now, now, fact)
    for _ in range(2):
        async with shop.house.database.transaction() as connection:
            await shop.clearing.recording.record(connection, [told])
    await shop.pass_hour()
    (batch,) = await shop.batches()
    priced = await shop.clearing.settling.priced(shop.book_id, [derive(payout_id, "returned")])
    (row,) = priced.values()
    assert (row.fee_minor, row.net_minor, batch.totals.count) == (25, -25, 2)
