"""Where money is, over real payments, batches and payouts: every id of a merchant, at every step, and nobody else's."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from tests.clearing.settlement import HOURLY, Shop, open_shop
from tests.clearing.test_bills import bills_of

from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.clearing.schema.lines import FileState, Format, Header, Line, LineKind, Side, SourceFile
from tongbao.clearing.schema.payouts import Payout, PayoutState
from tongbao.clearing.schema.tracing import Next, Stage, Trace
from tongbao.clearing.service.tracing_money import TracingMoney
from tongbao.clearing.store import lines as line_store
from tongbao.clearing.store import payouts as payout_store
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.core.ids import IdFactory, derive, uuid_text
from tongbao.payments.service.reading import Reading

NOON = datetime(2027, 3, 15, 12, 30, tzinfo=UTC)
SHANGHAI = msgspec.structs.replace(HOURLY, zone="Asia/Shanghai")


@pytest.fixture
async def shop(database: Database, ids: IdFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, ids) as opened:
        opened.house.clock.set(NOON)
        await opened.agree(SHANGHAI)
        yield opened


async def trace(shop: Shop, asked: str) -> Trace:
    house = shop.house
    reading = Reading(house.database, house.metrics)
    try:
        tracing = TracingMoney(
            house.database, shop.clearing.agreements, bills_of(shop), reading, house.payments.intents
        )
        return await tracing.trace(house.scope, asked)
    finally:
        await reading.close()


async def send(shop: Shop, batch: Batch) -> Payout:
    """Write a payout that was sent, as whoever pays does."""
    now = shop.house.clock.now()
    payout = Payout(
        id=derive(batch.id, f"payout{batch.version}"),
        book_id=shop.book_id,
        live=False,
        batch_id=batch.id,
        destination_id=shop.house.ids.uuid(),
        bank="house_bank",
        amount_minor=batch.paid_minor,
        currency=batch.currency,
        state=PayoutState.SENT,
        end_to_end=derive(batch.id, f"payout{batch.version}").hex,
        due_on=batch.payout_on,
        sent_at=now,
        created_at=now,
        updated_at=now,
    )
    async with shop.house.database.transaction() as connection:
        await payout_store.insert(connection, payout)
    return payout


async def end(shop: Shop, payout: Payout, state: PayoutState) -> None:
    """Let the bank say how a payout ended."""
    now = shop.house.clock.now()
    after = msgspec.structs.replace(
        payout, state=state, version=payout.version + 1, ended_at=now, updated_at=now
    )
    moved = BatchState.PAID if state is PayoutState.PAID else BatchState.FAILED
    async with shop.house.database.transaction() as connection:
        await payout_store.update(connection, [after])
        await shop.clearing.settling.move(
            connection, shop.book_id, payout.batch_id, moved, actor="job:paying", payout_id=payout.id
        )


async def match(shop: Shop, expected: UUID, source: str, amount_minor: int, *, is_bank: bool) -> None:
    """Let a file report a movement or payout, and a run match it."""
    ids, now = shop.house.ids, shop.house.clock.now()
    file = SourceFile(
        id=ids.uuid(),
        name="file",
        digest=ids.uuid().bytes,
        size_bytes=1,
        header=Header(source=source, format=Format.CSV, side=Side.BANK if is_bank else Side.CHANNEL),
        state=FileState.READ,
        received_at=now,
        received_by="mei",
    )
    line = Line(
        number=1,
        key=expected.hex,
        kind=LineKind.PAYOUT if is_bank else LineKind.SALE,
        currency="CNY",
        gross_minor=amount_minor,
        net_minor=amount_minor,
    )
    async with shop.house.database.transaction() as connection:
        number = await line_store.add_file(connection, file)
        assert number is not None
        await line_store.add_lines(connection, source, number, [(line, date(2027, 3, 16))])
        await connection.execute(
            "INSERT INTO clearing.matched (book_id, line_id, expected_id, run_id, confidence, how, leg)"
            " SELECT 0, id, $1, $1, 1, 1, $3 FROM clearing.line WHERE book_id = 0 AND source = $2 AND key = $4",
            expected,
            source,
            int(is_bank),
            expected.hex,
        )


async def test_trace_payment_from_its_making_to_the_statement_of_the_bank(shop: Shop) -> None:
    view = await shop.house.pay(10_000)
    asked = view.intent.reference
    answer = await trace(shop, asked)
    assert [each.stage for each in answer.steps] == [Stage.CREATED]
    assert (answer.places[0].state, answer.places[0].next) == ("pending", Next.RECORD)
    await shop.record()
    answer = await trace(shop, asked)
    [place] = answer.places
    assert (place.state, place.net_minor, place.next) == ("waiting", 10_000 - 117, Next.CUT)
    assert place.next_at == NOON.replace(hour=13, minute=0)
    assert answer.sentences["en"] == (
        "98.83 CNY waits for its settlement on 2027-03-15 21:00 and is expected in the account on 2027-03-15."
    )
    assert answer.sentences["zh-CN"] == "98.83 CNY 将于 2027-03-15 21:00 进入结算批次，预计 2027-03-15 到账。"
    await shop.pass_hour()
    [batch] = await shop.batches()
    assert (await trace(shop, asked)).places[0].state == "approved"
    payout = await send(shop, batch)
    assert (await trace(shop, asked)).places[0].next is Next.PAY
    shop.house.clock.advance(timedelta(hours=2))
    await end(shop, payout, PayoutState.PAID)
    [place] = (await trace(shop, asked)).places
    assert (place.state, place.next, place.paid_at) == ("paid", Next.STATE, shop.house.clock.now())
    await match(shop, payout.id, "house_bank", -payout.amount_minor, is_bank=True)
    [line] = await bills_of(shop).lines(shop.house.scope, [view.intent.id])
    await match(shop, line.movement.id, "one", 10_000, is_bank=False)
    answer = await trace(shop, asked)
    assert answer.places[0].next is Next.DONE
    assert [each.stage for each in answer.steps] == [
        Stage.CREATED,
        Stage.MOVED,
        Stage.CUT,
        Stage.PRICED,
        Stage.APPROVED,
        Stage.PAYOUT_CREATED,
        Stage.PAYOUT_SENT,
        Stage.PAYOUT_PAID,
        Stage.STATED,
        Stage.REPORTED,
    ]
    assert answer.sentences["en"] == "98.83 CNY was paid to the account on 2027-03-15 23:30."


async def test_trace_any_id_of_the_same_money_finds_it(shop: Shop) -> None:
    view = await shop.house.pay(10_000, merchant_reference="order 17")
    refund = await shop.house.payments.refunds.create(
        shop.house.scope, intent_id=view.intent.id, amount_minor=1_000
    )
    await shop.pass_hour()
    [batch] = await shop.batches()
    payout = await send(shop, batch)
    [sale, back] = await bills_of(shop).lines(shop.house.scope, [view.intent.id])
    assert view.attempt is not None
    assert refund.view is not None
    cases = [
        (view.intent.reference, "payment", 2, 9_000),
        ("order 17", "payment", 2, 9_000),
        (view.attempt.reference, "attempt", 1, 10_000),
        (refund.view.refund.reference, "refund", 1, -1_000),
        (sale.movement.text_id, "movement", 1, 10_000),
        (back.movement.text_id, "movement", 1, -1_000),
        (batch.reference, "batch", 2, 9_000),
        (payout.reference, "payout", 2, 9_000),
    ]
    for asked, kind, count, amount in cases:
        answer = await trace(shop, f" {asked} ")
        [place] = answer.places
        assert (answer.kind, place.movement_count, place.amount_minor) == (kind, count, amount), asked
        assert (place.state, place.batch_id) == ("sent", batch.id)
        assert Stage.PRICED in {each.stage for each in answer.steps}


async def test_trace_payment_in_several_places_names_each(shop: Shop) -> None:
    view = await shop.house.pay(10_000)
    await shop.pass_hour()
    await shop.house.payments.refunds.create(shop.house.scope, intent_id=view.intent.id, amount_minor=100)
    await shop.record()
    answer = await trace(shop, view.intent.reference)
    assert sorted(each.state for each in answer.places) == ["approved", "waiting"]
    assert answer.sentences["en"].startswith("This money is in several places: ")
    assert answer.sentences["en"].count(".") == 3  # two amounts and the end


async def test_trace_payout_that_came_back_says_what_is_to_be_done(shop: Shop) -> None:
    view = await shop.house.pay(10_000)
    await shop.pass_hour()
    [batch] = await shop.batches()
    payout = await send(shop, batch)
    await end(shop, payout, PayoutState.RETURNED)
    for asked in (view.intent.reference, payout.reference, batch.reference):
        answer = await trace(shop, asked)
        assert (answer.places[0].state, answer.places[0].next) == ("failed", Next.MEND)
        assert Stage.PAYOUT_RETURNED in {each.stage for each in answer.steps}


async def test_trace_money_that_was_carried_on_names_the_batch_that_paid_it(shop: Shop) -> None:
    shop.house.clock.advance(timedelta(seconds=1))
    await shop.agree(msgspec.structs.replace(SHANGHAI, payout_min_minor=1_500))
    view = await shop.house.pay(1_000)
    await shop.pass_hour()
    [place] = (await trace(shop, view.intent.reference)).places
    assert (place.state, place.next, place.carried_to) == ("carried", Next.CARRY, None)
    await shop.house.pay(5_000)
    await shop.pass_hour()
    _, later = await shop.batches()
    answer = await trace(shop, view.intent.reference)
    assert (answer.places[0].carried_to, answer.places[0].next_on) == (later.id, later.payout_on)
    assert later.reference in answer.sentences["zh-CN"]


async def test_trace_batch_that_is_not_priced_tells_what_it_took(shop: Shop) -> None:
    await shop.house.pay(1_000)
    await shop.record()
    shop.house.clock.advance(timedelta(hours=1))
    await shop.clearing.settling.cut_due(shop.book_id)
    [batch] = await shop.batches()
    [place] = (await trace(shop, batch.reference)).places
    assert (place.state, place.amount_minor, place.net_minor, place.next) == ("cut", 1_000, None, Next.PRICE)


async def test_trace_payment_that_is_not_captured_says_so(shop: Shop) -> None:
    view = await shop.house.reserve(1_000)
    await shop.record()
    answer = await trace(shop, view.intent.reference)
    assert (answer.places[0].state, answer.places[0].next) == ("not_captured", Next.CAPTURE)
    assert "10.00 CNY" in answer.sentences["en"]


async def test_trace_what_belongs_to_another_merchant_is_not_found(
    database: Database, ids: IdFactory, shop: Shop
) -> None:
    view = await shop.house.pay(10_000, merchant_reference="order 18")
    refund = await shop.house.payments.refunds.create(
        shop.house.scope, intent_id=view.intent.id, amount_minor=1_000
    )
    await shop.pass_hour()
    [batch] = await shop.batches()
    payout = await send(shop, batch)
    [sale, _] = await bills_of(shop).lines(shop.house.scope, [view.intent.id])
    assert view.attempt is not None
    assert refund.view is not None
    named = [
        view.intent.reference,
        view.attempt.reference,
        refund.view.refund.reference,
        sale.movement.text_id,
        batch.reference,
        payout.reference,
        "order 18",
        uuid_text("pi", ids.uuid()),
        uuid_text("tr", view.intent.id),
        "pi_",
    ]
    async with open_shop(database, ids) as other:
        for asked in named:
            with pytest.raises(NotFound) as refused:
                await trace(other, asked)
            assert refused.value.code == "money_unknown", asked


@pytest.mark.parametrize("asked", ["", "   ", "x" * 201])
async def test_trace_text_that_is_no_id_is_refused(shop: Shop, asked: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await trace(shop, asked)
    assert refused.value.code == "trace_malformed"
