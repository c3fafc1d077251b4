"""The event by which a merchant tries an endpoint: signed and delivered like any other, to that endpoint alone."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from tests.payments.webhook_house import House, Receiver, moment

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, NotFound
from tongbao.core.ids import IdFactory
from tongbao.payments.schema.webhooks import Delivery, DeliveryOrder, DeliveryState, Endpoint


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids, FrozenClock(moment()))
    await made.relay.prepare()
    yield made
    await made.close()


async def tried(house: House, endpoint_id: UUID) -> Delivery:
    async with house.database.transaction() as connection:
        return await house.deliveries.test(connection, house.scope, endpoint_id)


async def test_test_event_reaches_its_endpoint_and_no_other(house: House) -> None:
    async with Receiver() as receiver:
        endpoint, _ = await house.endpoint(receiver.url(), "refund.*")
        other, _ = await house.endpoint(receiver.url("/other"), "*")
        made = await tried(house, endpoint.id)
        assert (made.type, made.state) == ("webhook_endpoint.test", DeliveryState.PENDING)
        await house.deliver_all(house.worker())
        page = await house.deliveries.of_endpoint(house.scope, endpoint.id, DeliveryOrder())
        assert [each.state for each in page.items] == [DeliveryState.DELIVERED]
        assert not (await house.deliveries.of_endpoint(house.scope, other.id, DeliveryOrder())).items
        (event,) = await house.all_events()
        assert isinstance(event.document(), Endpoint)


async def test_unknown_or_disabled_endpoint_is_not_tried(house: House, ids: IdFactory) -> None:
    with pytest.raises(NotFound):
        await tried(house, ids.uuid())
    async with Receiver() as receiver:
        endpoint, _ = await house.endpoint(receiver.url(), "*")
    async with house.database.transaction() as connection:
        await house.endpoints.disable(connection, house.scope, endpoint.id)
    with pytest.raises(Conflict, match="disabled"):
        await tried(house, endpoint.id)
