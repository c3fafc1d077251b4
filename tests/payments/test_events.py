"""Events on a real database: made once for each fact, true to the commit, in order, listed and forgotten."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from tests.payments.webhook_house import House, moment

from tongbao.channels.schema import Card
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import InvalidRequest, InvariantBroken, NotFound
from tongbao.core.events.facts import Delivered, Raw
from tongbao.core.ids import IdFactory
from tongbao.payments.policy import webhooks as policy
from tongbao.payments.schema.attempts import Attempt, AttemptState
from tongbao.payments.schema.intents import IntentState
from tongbao.payments.schema.methods import PaymentMethod
from tongbao.payments.schema.webhooks import EVENTS_KEPT_DAYS, EventOrder
from tongbao.payments.service.events import event_projection


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids, FrozenClock(moment()))
    await made.relay.prepare()
    yield made
    await made.close()


CARD = Card("tok_1", 12, 2030, "visa", "411111", "1111")


async def test_fact_becomes_events_with_everything_that_a_merchant_is_told(house: House) -> None:
    intent = house.intent(state=IntentState.SUCCEEDED, version=3, description="红豆汤 ×2")
    await house.tell(
        house.happened(
            ("payment_intent.succeeded", intent),
            ("payment_intent.amount_capturable_updated", intent),
            request_id="req_1",
            idempotency_key="order-7",
        )
    )
    first, second = await house.all_events()
    assert (first.type, second.type) == (
        "payment_intent.succeeded",
        "payment_intent.amount_capturable_updated",
    )
    assert (first.object_kind, first.object_id, first.sequence) == ("payment_intent", intent.id, 3)
    assert (first.created_at, first.live, first.book_id) == (house.clock.now(), False, intent.book_id)
    assert (first.request_id, first.idempotency_key) == ("req_1", "order-7")
    assert first.document() == intent
    assert first.reference.startswith("evt_")
    assert first.id != second.id


async def test_attempt_is_told_under_the_name_that_its_fact_gives(house: House) -> None:
    intent, now = house.intent(), house.clock.now()
    attempt = Attempt(
        id=house.ids.uuid(),
        book_id=intent.book_id,
        live=intent.live,
        created_at=now,
        updated_at=now,
        state=AttemptState.CHARGED,
        intent_id=intent.id,
        channel="sandbox",
        method=CARD,
        amount_minor=1_280,
        currency="CNY",
        capture=True,
        sent_at=now,
    )
    await house.tell(house.happened(("charge.succeeded", attempt)))
    (event,) = await house.all_events()
    assert (event.type, event.object_kind) == ("charge.succeeded", "attempt")
    assert event.document() == attempt


async def test_event_tells_the_document_as_it_was_at_the_commit(house: House) -> None:
    intent = house.intent()
    later = intent.changed(house.clock.now(), state=IntentState.CANCELED, amount_minor=1)
    await house.tell(house.happened(("payment_intent.created", intent)))
    await house.tell(house.happened(("payment_intent.canceled", later)))
    created, canceled = await house.all_events()
    assert (created.document(), canceled.document()) == (intent, later)
    assert (created.sequence, canceled.sequence) == (1, 2)


async def test_updated_event_carries_what_its_attributes_were_before(house: House) -> None:
    intent = house.intent(metadata={"order": "7"})
    changed = intent.changed(house.clock.now(), metadata={"order": "8"}, description="soup")
    again = changed.changed(house.clock.now(), description=None)
    await house.tell(house.happened(("payment_intent.created", intent)))
    await house.tell(
        house.happened(("payment_intent.updated", changed)), house.happened(("payment_intent.updated", again))
    )
    created, first, second = await house.all_events()
    assert created.previous is None
    assert msgspec.json.decode(first.previous or "") == {"metadata": {"order": "7"}, "description": None}
    assert msgspec.json.decode(second.previous or "") == {"description": "soup"}


async def test_first_updated_event_of_a_document_has_nothing_to_compare_with(house: House) -> None:
    await house.tell_of("payment_intent.updated")
    (event,) = await house.all_events()
    assert event.previous is None


async def test_repeated_facts_make_no_second_event_or_delivery(house: House, database: Database) -> None:
    await house.endpoint("http://127.0.0.1:1/hooks")
    await house.tell_of("payment_intent.created", "payment_intent.succeeded")
    before = await house.all_events()
    async with database.transaction() as connection:
        await connection.execute("UPDATE events.cursor SET position = 0 WHERE consumer = 'payments.events'")
    other = house.new_projection()
    await house.projection.close()
    await house.project(other)
    await other.close()
    assert await house.all_events() == before
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM webhooks.delivery") == 2


async def test_projection_that_fails_at_its_end_leaves_nothing_and_is_repeated(house: House) -> None:
    whole = event_projection(house.clock)
    calls = 0

    async def fail_once(connection: Connection, facts: Sequence[Delivered]) -> None:
        nonlocal calls
        calls += 1
        await whole.handle(connection, facts)
        if calls == 1:
            raise ZeroDivisionError

    await house.projection.close()
    failing = house.new_projection(replace(whole, handle=fail_once, retry_s=0.0))
    intent = house.intent()
    async with house.database.transaction() as connection:
        await house.outbox.publish(connection, [house.happened(("payment_intent.created", intent))])
    await house.relay.place_all()
    await failing.step()
    assert await house.all_events() == []
    await failing.step()
    await failing.close()
    assert calls == 2
    assert [event.document() for event in await house.all_events()] == [intent]


async def test_two_projections_at_once_make_each_event_once(house: House) -> None:
    other = house.new_projection()
    for _ in range(5):
        async with house.database.transaction() as connection:
            facts = [house.happened(("payment_intent.created", house.intent())) for _ in range(20)]
            await house.outbox.publish(connection, facts)
        await house.relay.place_all()
        await asyncio.gather(house.projection.step(), other.step(), house.projection.step())
    await house.project()
    await other.close()
    assert len(await house.all_events()) == 100


async def test_event_ids_follow_from_the_fact_alone(house: House) -> None:
    fact = house.happened(("a.x", house.intent()), ("a.y", house.intent()))
    delivered = Delivered(7, house.ids.uuid(), "t", "s", house.clock.now(), house.clock.now(), fact)
    first, again = policy.events_of(delivered), policy.events_of(delivered._replace(position=9))
    assert [event.id for event in first] == [event.id for event in again]
    assert len({event.id for event in first}) == 2


async def test_unreadable_fact_is_refused(house: House) -> None:
    raw = Raw("payments.happened", b"{}")
    delivered = Delivered(7, house.ids.uuid(), raw.topic, "", house.clock.now(), house.clock.now(), raw)
    with pytest.raises(InvariantBroken, match="fact_unreadable"):
        policy.events_of(delivered)


async def test_fact_without_events_makes_none(house: House) -> None:
    intent = house.intent()
    await house.tell(msgspec.structs.replace(house.happened(("a.b", intent)), events=()))
    assert await house.all_events() == []


async def test_hundreds_of_facts_are_written_in_one_batch(house: House) -> None:
    await house.endpoint("http://127.0.0.1:1/hooks", "payment_intent.*")
    await house.endpoint("http://127.0.0.1:1/other", "refund.created")
    await house.tell_of(*["payment_intent.created"] * 300, *["refund.created"] * 100)
    async with house.database.connection() as connection:
        count = await connection.fetchval("SELECT count(*) FROM webhooks.delivery")
    assert count == 400


# Reading


async def test_event_of_another_book_is_missing(house: House) -> None:
    await house.tell_of("payment_intent.created")
    (event,) = await house.all_events()
    assert await house.events.get(house.scope, event.id) == event
    stranger = house.new_scope()
    with pytest.raises(NotFound):
        await house.events.get(stranger, event.id)
    with pytest.raises(NotFound):
        await house.events.list(stranger, EventOrder(after=event.id))
    assert (await house.events.list(stranger, EventOrder())).items == []


async def test_events_of_one_instant_are_listed_in_the_order_of_commits(house: House) -> None:
    intents = await house.tell_of(*["payment_intent.created"] * 30)
    assert [event.object_id for event in await house.all_events()] == [intent.id for intent in intents]


async def test_pages_forwards_and_backwards_show_every_event_once(house: House) -> None:
    for _ in range(4):
        await house.tell_of(*["payment_intent.created"] * 6)
        house.clock.advance(timedelta(seconds=1))
    whole = (await house.all_events())[::-1]
    page = await house.events.list(house.scope, EventOrder(limit=7))
    seen = list(page.items)
    while page.has_more:
        page = await house.events.list(house.scope, EventOrder(limit=7, after=seen[-1].id))
        seen += page.items
    assert seen == whole
    back = await house.events.list(house.scope, EventOrder(limit=5, before=seen[-1].id))
    assert (back.items, back.has_more) == (whole[-6:-1], True)
    newest = await house.events.list(house.scope, EventOrder(limit=50, before=seen[3].id))
    assert (newest.items, newest.has_more) == (whole[:3], False)


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((), ["a.x", "a_b.y", "a.b.z", "charge.succeeded"]),
        (("a.x",), ["a.x"]),
        (("a.*",), ["a.x", "a.b.z"]),
        (("a.x", "charge.*"), ["a.x", "charge.succeeded"]),
        (("*",), ["a.x", "a_b.y", "a.b.z", "charge.succeeded"]),
        (("a.b",), []),
    ],
)
async def test_types_choose_events(house: House, types: tuple[str, ...], expected: list[str]) -> None:
    await house.tell_of("a.x", "a_b.y", "a.b.z", "charge.succeeded")
    page = await house.events.list(house.scope, EventOrder(types=types))
    assert [event.type for event in page.items[::-1]] == expected


async def test_interval_of_creation_is_half_open(house: House) -> None:
    at = house.clock.now()
    for _ in range(3):
        await house.tell_of("a.x")
        house.clock.advance(timedelta(minutes=1))
    order = EventOrder(created_from=at + timedelta(minutes=1), created_to=at + timedelta(minutes=2))
    (event,) = (await house.events.list(house.scope, order)).items
    assert event.created_at == at + timedelta(minutes=1)


async def test_events_of_one_object_are_found_by_it(house: House) -> None:
    intent, _ = await house.tell_of("a.x", "a.x")
    (event,) = (await house.events.list(house.scope, EventOrder(object_id=intent.id))).items
    assert event.object_id == intent.id


@pytest.mark.parametrize(
    "order",
    [
        EventOrder(types=("A",)),
        EventOrder(types=("a%",)),
        EventOrder(types=tuple(f"a.{n}x" for n in range(21))),
    ],
)
async def test_bad_types_are_refused(house: House, order: EventOrder) -> None:
    with pytest.raises(InvalidRequest, match="events_invalid"):
        await house.events.list(house.scope, order)


async def test_page_after_and_before_at_once_is_refused(house: House) -> None:
    mark = house.ids.uuid()
    with pytest.raises(InvalidRequest, match="events_invalid"):
        await house.events.list(house.scope, EventOrder(after=mark, before=mark))


async def test_events_are_forgotten_after_thirty_days_with_their_deliveries(house: House) -> None:
    await house.endpoint("http://127.0.0.1:1/hooks")
    await house.tell_of("a.old", "a.old")
    house.clock.advance(timedelta(days=EVENTS_KEPT_DAYS - 1))
    await house.tell_of("a.new")
    assert await house.events.forget_old() == 0
    house.clock.advance(timedelta(days=1, seconds=1))
    assert await house.events.forget_old() == 2
    assert [event.type for event in await house.all_events()] == ["a.new"]
    async with house.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM webhooks.delivery") == 1


async def test_payment_method_is_read_back_from_its_snapshot(house: House) -> None:
    now = house.clock.now()
    kept = PaymentMethod(
        id=house.ids.uuid(),
        book_id=house.scope.book_id,
        live=False,
        created_at=now,
        updated_at=now,
        method=CARD,
    )
    await house.tell(house.happened(("payment_method.attached", kept)))
    (event,) = await house.all_events()
    assert event.document() == kept
