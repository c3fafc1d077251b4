"""Recording: facts that come twice, late, or not at all, and what a refund knows of its sale."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest
from tests.clearing.settlement import HOURLY, Shop, open_shop

from tongbao.channels.schema import Answer, Outcome
from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.core.db import Database
from tongbao.core.errors import NotFound
from tongbao.core.events.facts import Delivered
from tongbao.core.ids import IdFactory
from tongbao.payments.schema.facts import Happened
from tongbao.payments.schema.intents import CaptureMethod
from tongbao.payments.schema.refunds import Refund


@pytest.fixture
async def shop(database: Database, ids: IdFactory) -> AsyncIterator[Shop]:
    async with open_shop(database, ids) as opened:
        await opened.agree(HOURLY)
        yield opened
        await opened.record()
        await opened.check()


async def delivered(shop: Shop) -> list[Delivered]:
    """Everything that was told of the merchant, as a consumer gets it."""
    facts = await shop.house.facts()
    return [
        Delivered(
            place,
            shop.house.ids.uuid(),
            "payments.happened",
            fact.subject,
            fact.occurred_at,
            fact.occurred_at,
            fact,
        )
        for place, fact in enumerate(facts, 1)
    ]


async def record(shop: Shop, facts: Sequence[Delivered]) -> None:
    async with shop.house.database.transaction() as connection:
        await shop.clearing.recording.record(connection, facts)


async def movements(shop: Shop, intent_id: UUID) -> list[Movement]:
    return await shop.clearing.recording.of_intent(shop.book_id, intent_id)


async def refund(shop: Shop, intent_id: UUID, amount_minor: int) -> Refund:
    done = await shop.house.payments.refunds.create(
        shop.house.scope,
        intent_id=intent_id,
        amount_minor=amount_minor,
    )
    assert done.view is not None
    return done.view.refund


async def test_record_facts_twice_and_in_halves_keeps_each_movement_once(shop: Shop) -> None:
    view = await shop.house.reserve(1_000)
    for amount in (300, 200):
        await shop.house.payments.intents.capture(shop.house.scope, view.intent.id, amount)
    facts = await delivered(shop)
    await record(shop, facts)
    first = await movements(shop, view.intent.id)
    await record(shop, facts)
    await record(shop, facts[1:])
    for each in facts:
        await record(shop, [each])
    assert await movements(shop, view.intent.id) == first
    assert [each.amount_minor for each in first] == [300, 200]


async def test_record_only_the_last_fact_finds_every_capture(shop: Shop) -> None:
    view = await shop.house.reserve(1_000)
    for amount in (300, 200, 500):
        await shop.house.payments.intents.capture(shop.house.scope, view.intent.id, amount)
    await record(shop, (await delivered(shop))[-1:])
    assert sorted(each.amount_minor for each in await movements(shop, view.intent.id)) == [200, 300, 500]


async def test_record_names_store_and_channel_of_the_sale_for_what_follows(shop: Shop) -> None:
    view = await shop.house.pay(1_000, metadata={"store": "east"})
    await shop.record()
    await refund(shop, view.intent.id, 400)
    await shop.record()
    sale, back = await movements(shop, view.intent.id)
    assert (sale.kind, back.kind, back.amount_minor) == (MovementKind.SALE, MovementKind.REFUND, -400)
    assert [(each.store, each.channel, each.method, each.brand) for each in (sale, back)] == [
        ("east", "one", "card", "visa")
    ] * 2
    assert back.cut_at >= sale.cut_at


async def test_record_refund_whose_sale_was_never_recorded_reads_the_attempt(shop: Shop) -> None:
    view = await shop.house.pay(1_000, metadata={"store": "east"})
    made = await refund(shop, view.intent.id, 400)
    facts = [
        each
        for each in await delivered(shop)
        if isinstance(each.fact, Happened) and any(doc.id == made.id for doc in each.fact.documents)
    ]
    await record(shop, facts[:1])
    [back] = await movements(shop, view.intent.id)
    assert (back.kind, back.channel, back.brand, back.store) == (MovementKind.REFUND, "one", "visa", "")


async def test_record_refund_of_an_attempt_that_is_nowhere_is_refused(shop: Shop) -> None:
    view = await shop.house.pay(1_000)
    made = await refund(shop, view.intent.id, 400)
    lost = made.changed(made.updated_at, attempt_id=made.id)
    fact = Happened(
        occurred_at=made.created_at, book_id=shop.book_id, live=False, events=(), documents=(lost,)
    )
    letter = Delivered(1, made.id, "payments.happened", "", made.created_at, made.created_at, fact)
    with pytest.raises(NotFound, match="attempt_unknown"):
        await record(shop, [letter])


async def test_record_keeps_the_time_told_first_and_the_name_told_later(shop: Shop) -> None:
    view = await shop.house.pay(1_000, capture_method=CaptureMethod.AUTOMATIC)
    answer = Answer(outcome=Outcome.APPROVED, amount_minor=400, currency="CNY", channel_reference="re_theirs")
    shop.house.channel().reply("refund", answer)
    made = await refund(shop, view.intent.id, 400)
    facts = await delivered(shop)
    early = [each for each in facts if "re_theirs" not in repr(each.fact)]
    await record(shop, early)
    assert (await movements(shop, view.intent.id))[1].channel_reference is None
    await record(shop, facts)
    back = (await movements(shop, view.intent.id))[1]
    assert (back.channel_reference, back.occurred_at) == ("re_theirs", made.created_at)


async def test_record_facts_without_money_writes_nothing(shop: Shop) -> None:
    view = await shop.house.payments.intents.create(shop.house.scope, shop.house.order(1_000, confirm=None))
    assert view.view is not None
    await record(shop, await delivered(shop))
    assert await movements(shop, view.view.intent.id) == []
    await record(shop, [])
