"""Settling over real payments: what a batch comes to, what is carried, withheld and owed, and who may approve it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import msgspec
import pytest
from tests.clearing.settlement import HOURLY, Lists, Shop, open_clearing, open_shop, priced_of
from tests.payments.scripted import declined

from tongbao.channels.schema import Reason
from tongbao.clearing.policy.batching import JOB
from tongbao.clearing.policy.fees import Schedule
from tongbao.clearing.schema.agreements import Agreement, Cycle
from tongbao.clearing.schema.batches import BatchState
from tongbao.clearing.schema.fees import Basis, Bearer, Charge, Match, OnRefund, ScheduleSpec, Tier
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound, NotPermitted
from tongbao.core.ids import IdFactory


@pytest.fixture
async def shop(database: Database, ids: IdFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, ids) as opened:
        await opened.agree(HOURLY)
        yield opened
        await opened.record()
        await opened.check()


async def refund(shop: Shop, intent_id: UUID, amount_minor: int | None = None) -> None:
    await shop.house.payments.refunds.create(
        shop.house.scope,
        intent_id=intent_id,
        amount_minor=amount_minor,
    )


async def test_settle_sales_and_refunds_of_an_hour_pays_their_net(shop: Shop) -> None:
    first = await shop.house.pay(10_000)
    await shop.house.pay(2_000)
    await refund(shop, first.intent.id, 4_000)
    await shop.pass_hour()
    [batch] = await shop.batches()
    # 1 % and 10 each, 6 % tax on it: 110 + 6.6 and 30 + 1.8; 40 % of the first go back (46.8 of 117, rounded down); 5.
    assert batch.totals.gross_minor == 12_000
    assert batch.totals.refunds_minor == -4_000
    assert batch.totals.count == 3
    assert batch.totals.fees_minor == -(117 + 32 - 46 + 5)
    assert batch.totals.tax_minor == 7 + 2 - 2
    assert batch.paid_minor == batch.totals.net_minor == 12_000 - 4_000 - 108
    assert (batch.state, batch.approvals, batch.payout_id) == (BatchState.APPROVED, (JOB,), None)
    assert [step.state for step in batch.history] == ["cut", "priced", "approved"]
    movements = await shop.clearing.recording.of_intent(shop.book_id, first.intent.id)
    assert await priced_of(shop, batch, [each.id for each in movements]) == 10_000 - 117 - 4_000 + 46 - 5
    assert {each.batch_id for each in movements} == {batch.id}


async def test_settle_refund_in_a_later_batch_gives_the_rest_of_the_fee_back_in_all(shop: Shop) -> None:
    view = await shop.house.pay(999)
    await shop.pass_hour()
    for amount in (333, 333, 333):
        await refund(shop, view.intent.id, amount)
        await shop.pass_hour()
    batches = await shop.batches()
    paid = -batches[0].totals.fees_minor
    assert paid == 21
    assert sum(-each.totals.fees_minor for each in batches) == 3 * 5
    assert [-each.totals.fees_minor for each in batches] == [21, -7 + 5, -7 + 5, -7 + 5]


async def test_settle_failed_refund_takes_back_what_it_gave_and_what_it_cost(shop: Shop) -> None:
    view = await shop.house.pay(1_000)
    await shop.pass_hour()
    shop.house.channel().reply("refund", declined(Reason.OTHER))
    await refund(shop, view.intent.id)
    await shop.pass_hour()
    _, second = await shop.batches()
    assert second.totals.count == 2
    assert second.totals.refunds_minor == second.totals.fees_minor == 0
    assert second.totals.tax_minor == second.totals.net_minor == 0
    assert second.state is BatchState.PAID


async def test_settle_batch_that_owes_makes_a_debt_that_the_next_ones_pay_first(shop: Shop) -> None:
    view = await shop.house.pay(1_000)
    await shop.pass_hour()
    await refund(shop, view.intent.id)
    await shop.pass_hour()
    first, second = await shop.batches()
    assert first.paid_minor == 1_000 - 21
    owed = -second.carried_minor
    assert owed == 1_000 - 21 + 5
    # What the first batch is still to be paid from is not touched.
    assert await shop.balance("available") == first.paid_minor
    assert await shop.balance("merchant_debt") == owed
    await shop.house.pay(500)
    await shop.pass_hour()
    assert await shop.balance("merchant_debt") == owed - (500 - 16)
    await shop.house.pay(5_000)
    await shop.pass_hour()
    last = (await shop.batches())[-1]
    assert last.paid_minor == 5_000 - 64 - (owed - 484)
    assert await shop.balance("merchant_debt") == 0


async def test_settle_below_the_minimum_carries_the_net_into_the_next_batch(shop: Shop) -> None:
    shop.house.clock.advance(timedelta(seconds=1))
    await shop.agree(msgspec.structs.replace(HOURLY, payout_min_minor=1_500))
    await shop.house.pay(1_000)
    await shop.pass_hour()
    await shop.house.pay(1_000)
    await shop.pass_hour()
    first, second = await shop.batches()
    assert (first.state, first.paid_minor, first.carried_minor) == (BatchState.PAID, 0, 979)
    assert (second.totals.brought_minor, second.paid_minor, second.carried_minor) == (979, 2 * 979, 0)


async def test_settle_reserve_is_withheld_and_given_back_when_its_days_are_over(shop: Shop) -> None:
    shop.house.clock.advance(timedelta(seconds=1))
    await shop.agree(msgspec.structs.replace(HOURLY, reserve_e6=100_000, reserve_days=3))
    await shop.house.pay(1_000)
    await shop.pass_hour()
    [first] = await shop.batches()
    assert first.totals.reserve_held_minor == -100
    assert first.paid_minor == 1_000 - 21 - 100
    assert await shop.balance("merchant_reserve") == 100
    shop.house.clock.advance(timedelta(days=2))
    await shop.settle()
    assert len(await shop.batches()) == 1
    # Nothing is sold any more: what is withheld comes back all the same.
    shop.house.clock.advance(timedelta(days=2))
    await shop.settle()
    _, second = await shop.batches()
    assert (second.totals.count, second.totals.reserve_released_minor, second.paid_minor) == (0, 100, 100)
    assert await shop.balance("merchant_reserve") == 0


async def test_settle_above_the_limit_needs_two_people_who_did_not_move_it(shop: Shop) -> None:
    shop.house.clock.advance(timedelta(seconds=1))
    await shop.agree(msgspec.structs.replace(HOURLY, approval_above_minor=900))
    await shop.house.pay(1_000)
    await shop.pass_hour()
    [batch] = await shop.batches()
    settling = shop.clearing.settling
    assert (batch.state, batch.needs_two) == (BatchState.PRICED, True)
    with pytest.raises(NotPermitted, match="approval_needs_people"):
        await settling.approve(shop.book_id, batch.id, actor="job:clearing", note="no")
    with pytest.raises(Conflict, match="batch_changed"):
        await settling.approve(shop.book_id, batch.id, actor="person:ann", seen_version=batch.version + 1)
    once = await settling.approve(shop.book_id, batch.id, actor="person:ann", note="looks right")
    assert (once.state, once.approvals) == (BatchState.PRICED, ("person:ann",))
    with pytest.raises(NotPermitted, match="approval_twice"):
        await settling.approve(shop.book_id, batch.id, actor="person:ann")
    twice = await settling.approve(shop.book_id, batch.id, actor="person:bob", seen_version=once.version)
    assert (twice.state, twice.approvals) == (BatchState.APPROVED, ("person:ann", "person:bob"))
    with pytest.raises(Conflict, match="batch_state"):
        await settling.approve(shop.book_id, batch.id, actor="person:cid")
    assert [(step.actor, step.note) for step in twice.history][2:] == [
        ("person:ann", "looks right"),
        ("person:bob", ""),
    ]


async def test_move_failed_batch_needs_fresh_approvals_by_others_than_who_failed_it(shop: Shop) -> None:
    await shop.house.pay(1_000)
    await shop.pass_hour()
    [batch] = await shop.batches()
    settling, database = shop.clearing.settling, shop.house.database
    payout_id = shop.house.ids.uuid()
    for _ in range(2):
        async with database.transaction() as connection:
            failed = await settling.move(
                connection,
                shop.book_id,
                batch.id,
                BatchState.FAILED,
                actor="person:ann",
                note="account closed",
                payout_id=payout_id,
            )
    assert (failed.state, failed.approvals, failed.payout_id) == (BatchState.FAILED, (), payout_id)
    assert await settling.approve_small(shop.book_id) == 0
    with pytest.raises(NotPermitted, match="approval_by_maker"):
        await settling.approve(shop.book_id, batch.id, actor="person:ann")
    again = await settling.approve(shop.book_id, batch.id, actor="person:bob", note="new account")
    assert again.state is BatchState.APPROVED
    async with database.transaction() as connection:
        paid = await settling.move(connection, shop.book_id, batch.id, BatchState.PAID, actor="job:payouts")
        with pytest.raises(InvalidRequest, match="batch_move_not_yours"):
            await settling.move(connection, shop.book_id, batch.id, BatchState.PRICED, actor="job:payouts")
        with pytest.raises(NotFound, match="batch_unknown"):
            await settling.move(connection, shop.book_id, payout_id, BatchState.PAID, actor="job:payouts")
    assert paid.state is BatchState.PAID
    assert [
        each.id for each in await settling.in_state(BatchState.PAID, batch.payout_on, book_id=shop.book_id)
    ] == [batch.id]


async def test_cut_latecomer_of_a_cut_that_is_over_goes_with_the_next_one(shop: Shop) -> None:
    await shop.house.pay(1_000)
    await shop.record()
    await shop.house.pay(2_000)  # committed before the cut, recorded only after it
    shop.house.clock.advance(timedelta(hours=1, seconds=10))
    await shop.settle()
    await shop.record()
    await shop.settle()
    assert [each.totals.gross_minor for each in await shop.batches()] == [1_000]
    shop.house.clock.advance(timedelta(hours=1))
    await shop.settle()
    assert [each.totals.gross_minor for each in await shop.batches()] == [1_000, 2_000]


async def test_cut_after_a_long_absence_makes_a_batch_for_each_cut_in_order(shop: Shop) -> None:
    for _ in range(3):
        await shop.house.pay(1_000)
        shop.house.clock.advance(timedelta(hours=1))
    await shop.record()
    shop.house.clock.advance(timedelta(minutes=1))
    await shop.settle()
    batches = await shop.batches()
    assert [each.totals.gross_minor for each in batches] == [1_000] * 3
    assert [later.cut_at - first.cut_at for first, later in pairwise(batches)] == [timedelta(hours=1)] * 2


async def test_settle_again_with_nothing_new_changes_nothing(shop: Shop) -> None:
    await shop.house.pay(1_000)
    await shop.pass_hour()
    [batch] = await shop.batches()
    assert await shop.clearing.settling.step(shop.book_id) == 0
    await shop.record()
    assert await shop.batches() == [batch]


async def test_settle_real_time_cuts_what_came_and_pays_today(database: Database, ids: IdFactory) -> None:
    async with open_shop(database, ids) as shop:
        await shop.agree(
            Agreement(cycle=Cycle.REAL_TIME, days=0, zone="UTC", calendars=(), approval_above_minor=100_000)
        )
        for amount in (1_000, 3_000):
            await shop.house.pay(amount)
            await shop.record()
            shop.house.clock.advance(timedelta(seconds=1))
            await shop.settle()
        batches = await shop.batches()
        assert [each.totals.gross_minor for each in batches] == [1_000, 3_000]
        assert {each.state for each in batches} == {BatchState.APPROVED}
        assert batches[0].payout_on == batches[0].cut_at.date()
        await shop.check()


async def test_settle_tiers_count_what_the_month_sold_before(database: Database, ids: IdFactory) -> None:
    spec = ScheduleSpec(
        charges=(
            Charge(
                name="processing",
                match=Match(currencies=("CNY",)),
                tiers=(Tier(rate_e6=20_000), Tier(from_minor=2_000, rate_e6=10_000)),
            ),
            Charge(name="channel", bearer=Bearer.HOUSE, tiers=(Tier(rate_e6=5_000),)),
        )
    )
    agents = ScheduleSpec(
        charges=(Charge(name="agent", bearer=Bearer.AGENT, basis=Basis.FEE, tiers=(Tier(rate_e6=500_000),)),)
    )
    lists = Lists({"mine": spec, "friend": agents})
    async with open_shop(database, ids, lists=lists) as shop:
        # The middle of a month, so that an hour more is the same month.
        shop.house.clock.set(datetime(2027, 3, 15, 12, 30, tzinfo=UTC))
        await shop.agree(msgspec.structs.replace(HOURLY, schedule="mine", agent_schedule="friend"))
        for _ in range(2):
            await shop.house.pay(1_000)
            await shop.house.pay(1_000)
            await shop.pass_hour()
        first, second = await shop.batches()
        assert (first.totals.fees_minor, second.totals.fees_minor) == (-40, -20)
        assert (first.totals.cost_minor, first.totals.agent_minor) == (10, 20)
        assert (first.schedule, first.schedule_version, first.agreement_version) == ("mine", 1, 1)
        await shop.check()


async def test_price_by_a_list_that_nobody_published_leaves_the_batch_and_others_go_on(
    database: Database, ids: IdFactory
) -> None:
    async with open_shop(database, ids) as stuck, open_shop(database, ids) as other:
        await stuck.agree(msgspec.structs.replace(HOURLY, schedule="unheard_of"))
        await other.agree(HOURLY)
        await stuck.house.pay(1_000)
        await other.house.pay(1_000)
        await other.record()
        for shop in (stuck, other):
            shop.house.clock.advance(timedelta(hours=1, seconds=10))
            for _ in range(4):
                await shop.clearing.settling.step()
        [held] = await stuck.batches()
        assert held.state is BatchState.CUT
        assert [each.state for each in await other.batches()] == [BatchState.APPROVED]
        # It is tried again after a while, and others before it.
        assert await stuck.clearing.settling.price_due(stuck.book_id) == 0
        stuck_lists = Lists({"unheard_of": ScheduleSpec()})
        async with open_clearing(
            database, stuck.house.ledger, stuck.house.clock, stuck.house.metrics, stuck_lists
        ) as mended:
            assert await mended.settling.price_due(stuck.book_id) == 1
        await stuck.check()


async def test_price_refund_agreed_into_an_earlier_cut_still_follows_its_sale(
    database: Database, ids: IdFactory
) -> None:
    async with open_shop(database, ids) as shop:
        await shop.agree(msgspec.structs.replace(HOURLY, cuts=HOURLY.cuts[:1], days=1))
        shop.house.clock.set(datetime(2027, 3, 15, 12, 30, tzinfo=UTC))
        view = await shop.house.pay(1_000)
        shop.house.clock.advance(timedelta(seconds=1))
        await shop.agree(HOURLY)
        shop.house.clock.advance(timedelta(seconds=1))
        await refund(shop, view.intent.id)
        await shop.pass_hour()
        assert await shop.batches() == []
        shop.house.clock.advance(timedelta(hours=12))
        await shop.settle()
        [batch] = await shop.batches()
        assert (batch.totals.count, batch.totals.fees_minor) == (2, -5)
        await shop.check()


async def test_settle_keeps_charges_that_stay_when_the_payment_goes_back(
    database: Database, ids: IdFactory
) -> None:
    kept = Charge(name="kept", tiers=(Tier(rate_e6=10_000),), on_refund=OnRefund.KEPT)
    async with open_shop(database, ids, lists=Lists({"house": ScheduleSpec(charges=(kept,))})) as shop:
        await shop.agree(HOURLY)
        view = await shop.house.pay(1_000)
        await refund(shop, view.intent.id)
        await shop.pass_hour()
        [batch] = await shop.batches()
        assert (batch.totals.fees_minor, batch.carried_minor) == (-10, -10)
        await shop.check()


class Changing(Lists):
    """A list that changes at an instant, from 1 % to 2 % and a name of its own for it."""

    def __init__(self, changes_at: datetime) -> None:
        super().__init__({})
        self._changes_at = changes_at
        self._versions = [
            Schedule("house", version, ScheduleSpec(charges=(_returned(name, rate),)))
            for version, name, rate in ((1, "old", 10_000), (2, "new", 20_000))
        ]

    async def at(self, name: str, instant: datetime) -> Schedule:
        if name != "house":
            raise NotFound("schedule_unknown", f"no schedule {name}")
        return self._versions[instant >= self._changes_at]


def _returned(name: str, rate_e6: int) -> Charge:
    return Charge(name=name, tiers=(Tier(rate_e6=rate_e6),), on_refund=OnRefund.RETURNED)


async def test_price_each_movement_by_the_list_of_its_time_and_refunds_by_that_of_the_payment(
    database: Database, ids: IdFactory
) -> None:
    start = datetime(2027, 3, 15, 12, 10, tzinfo=UTC)
    async with open_shop(database, ids, lists=Changing(start + timedelta(minutes=2))) as shop:
        shop.house.clock.set(start)
        await shop.agree(HOURLY)
        views = []
        for _ in range(4):
            views.append(await shop.house.pay(1_000))
            shop.house.clock.advance(timedelta(minutes=1))
        await refund(shop, views[0].intent.id, 500)
        await refund(shop, views[3].intent.id, 500)
        await shop.pass_hour()
        await refund(shop, views[1].intent.id)
        await shop.pass_hour()
        first, second = await shop.batches()
        assert first.totals.fees_minor == -(10 + 10 + 20 + 20) + 5 + 10
        assert second.totals.fees_minor == 10
        rows = await shop.clearing.settling.priced(
            shop.book_id,
            [
                each.id
                for view in views
                for each in await shop.clearing.recording.of_intent(shop.book_id, view.intent.id)
                if each.amount_minor > 0
            ],
        )
        assert sorted((row.schedule_version, row.fee_minor) for row in rows.values()) == [
            (1, 10),
            (1, 10),
            (2, 20),
            (2, 20),
        ]
        await shop.check()


async def test_record_after_the_close_of_its_day_is_cut_in_the_next_open_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.agree(HOURLY)
    await shop.house.pay(1_000)
    opened = shop.house.clock.now() + timedelta(days=2)

    async def opens_at(_connection: object) -> datetime:
        return opened

    monkeypatch.setattr(shop.clearing.recording, "_opens_at", opens_at)
    await shop.record()
    async with shop.house.database.connection() as connection:
        cut_at = await connection.fetchval(
            "SELECT min(cut_at) FROM clearing.movement WHERE book_id = $1", shop.book_id
        )
    assert opened < cut_at <= opened + timedelta(hours=1)
