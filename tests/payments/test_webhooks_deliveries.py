"""Deliveries as people see them, over real sockets: listed, sent again one by one, replayed."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from tests.payments.webhook_house import PATIENT, House, Receiver, moment

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound
from tongbao.core.ids import IdFactory
from tongbao.payments.schema.webhooks import (
    Delivery,
    DeliveryOrder,
    DeliveryState,
    Endpoint,
    Replayed,
    ReplayOrder,
)


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids, FrozenClock(moment()))
    await made.relay.prepare()
    yield made
    await made.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as opened:
        yield opened


async def resend(house: House, event_id: UUID, endpoint_id: UUID) -> Delivery:
    async with house.database.transaction() as connection:
        return await house.deliveries.resend(connection, house.scope, event_id, endpoint_id)


async def replay(house: House, endpoint_id: UUID, order: ReplayOrder) -> Replayed:
    async with house.database.transaction() as connection:
        return await house.deliveries.replay(connection, house.scope, endpoint_id, order)


async def test_resent_event_is_delivered_again_with_all_its_tries(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver.url(), "b.*")
    await house.tell_of("a.x")
    (event,) = await house.all_events()
    worker = house.worker()
    unwanted = await resend(house, event.id, endpoint.id)
    assert (unwanted.state, unwanted.attempt_count) == (DeliveryState.PENDING, 0)
    await house.deliver_all(worker)
    receiver.answers["/hooks"] = [500]
    again = await resend(house, event.id, endpoint.id)
    assert (again.state, again.attempt_count, again.due_at) == (DeliveryState.PENDING, 1, house.clock.now())
    await house.deliver_all(worker)
    delivery = await house.delivery()
    assert delivery.due_at is not None
    assert delivery.due_at - house.clock.now() <= timedelta(seconds=11)
    await resend(house, event.id, endpoint.id)
    await house.deliver_all(worker)
    assert (await house.delivery()).attempt_count == 3
    assert len({got.body for got in receiver.got}) == 1


async def test_resend_to_a_disabled_or_unknown_endpoint_is_refused(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver.url())
    await house.tell_of("a.x")
    (event,) = await house.all_events()
    async with house.database.transaction() as connection:
        await house.endpoints.disable(connection, house.scope, endpoint.id)
    with pytest.raises(Conflict, match="webhook_endpoint_disabled"):
        await resend(house, event.id, endpoint.id)
    with pytest.raises(NotFound):
        await resend(house, event.id, house.ids.uuid())
    async with house.database.transaction() as connection:
        await house.endpoints.enable(connection, house.scope, endpoint.id)
    with pytest.raises(NotFound):
        await resend(house, house.ids.uuid(), endpoint.id)


async def test_dead_deliveries_are_replayed_in_bounded_calls(house: House, receiver: Receiver) -> None:
    endpoint, _ = await house.endpoint(receiver.url())
    await house.tell_of(*["a.x"] * 7)
    async with house.database.transaction() as connection:
        await connection.execute(
            "UPDATE webhooks.delivery SET state = 'dead', due_at = NULL, attempt_count = 10"
        )
    worker = house.worker()
    assert await worker.deliver_due() == 0
    counts, after = [], None
    while True:
        done = await replay(house, endpoint.id, ReplayOrder(limit=3, after=after))
        counts.append(done.count)
        after = done.after
        if after is None:
            break
    assert counts == [3, 3, 1]
    await house.deliver_all(worker)
    assert len(receiver.got) == 7
    assert (await replay(house, endpoint.id, ReplayOrder())).count == 0


async def test_replay_since_an_instant_sends_all_that_was_wanted_also_what_was_missed(
    house: House, receiver: Receiver
) -> None:
    endpoint: Endpoint = (await house.endpoint(receiver.url(), "a.*")).endpoint
    worker = house.worker()
    await house.tell_of("a.before")
    house.clock.advance(timedelta(hours=1))
    since = house.clock.now()
    await house.tell_of("a.delivered", "b.unwanted")
    await house.deliver_all(worker)
    async with house.database.transaction() as connection:
        await house.endpoints.disable(connection, house.scope, endpoint.id)
    await house.tell_of("a.missed")
    async with house.database.transaction() as connection:
        await house.endpoints.enable(connection, house.scope, endpoint.id)
    receiver.got.clear()
    assert (await replay(house, endpoint.id, ReplayOrder(since=since))).count == 2
    await house.deliver_all(worker)
    assert sorted(got.event["type"] for got in receiver.got) == ["a.delivered", "a.missed"]


@pytest.mark.parametrize("limit", [0, 1_001])
async def test_replay_beyond_its_bounds_is_refused(house: House, receiver: Receiver, limit: int) -> None:
    endpoint, _ = await house.endpoint(receiver.url())
    with pytest.raises(InvalidRequest, match="limit_invalid"):
        await replay(house, endpoint.id, ReplayOrder(limit=limit))


async def test_waiting_deliveries_go_on_when_the_endpoint_is_enabled_again(
    house: House, receiver: Receiver
) -> None:
    endpoint, _ = await house.endpoint(receiver.url())
    await house.tell_of("a.x")
    async with house.database.transaction() as connection:
        await house.endpoints.disable(connection, house.scope, endpoint.id)
    worker = house.worker()
    assert await worker.deliver_due() == 0
    async with house.database.transaction() as connection:
        await house.endpoints.enable(connection, house.scope, endpoint.id)
    await house.deliver_all(worker)
    assert len(receiver.got) == 1


async def test_deliveries_of_an_endpoint_are_listed_by_state_and_page(
    house: House, receiver: Receiver
) -> None:
    endpoint, _ = await house.endpoint(receiver.url())
    receiver.answers["/hooks"] = [200, 200, 500]
    worker = house.worker(limits=PATIENT)
    for _ in range(5):
        await house.tell_of("a.x")
        await house.deliver_all(worker)
        house.clock.advance(timedelta(seconds=1))
    list_of = house.deliveries.of_endpoint
    page = await list_of(house.scope, endpoint.id, DeliveryOrder(limit=3))
    rest = await list_of(house.scope, endpoint.id, DeliveryOrder(limit=3, after=page.items[-1].event_id))
    assert (len(page.items), page.has_more, len(rest.items), rest.has_more) == (3, True, 2, False)
    assert [each.event_id for each in page.items + rest.items] == [
        event.id for event in (await house.all_events())[::-1]
    ]
    delivered = await list_of(house.scope, endpoint.id, DeliveryOrder(state=DeliveryState.DELIVERED))
    assert delivered.items == rest.items
    with pytest.raises(NotFound):
        await house.deliveries.of_event(house.new_scope(), page.items[0].event_id)
