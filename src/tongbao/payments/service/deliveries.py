"""Deliveries as people see them: how each went, and sending again what did not arrive."""

from collections.abc import Sequence
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict
from tongbao.parties.schema import Scope
from tongbao.payments.errors import BadParameter, Missing
from tongbao.payments.policy import webhooks as policy
from tongbao.payments.schema.orders import Page
from tongbao.payments.schema.webhooks import (
    ENDPOINT_PREFIX,
    EVENT_PREFIX,
    PAGE_MAX,
    REPLAY_MAX,
    Delivery,
    DeliveryAttempt,
    DeliveryOrder,
    Endpoint,
    EndpointState,
    Replayed,
    ReplayOrder,
)
from tongbao.payments.store import deliveries as delivery_store
from tongbao.payments.store import resending as store
from tongbao.payments.store import webhooks

OBJECTS_DELIVERIES_MAX = 500
"""Deliveries told of one payment at most."""


class Deliveries:
    """The deliveries of one book. What is asked for here is done by ``Delivering``, in any process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def of_endpoint(self, scope: Scope, endpoint_id: UUID, order: DeliveryOrder) -> Page[Delivery]:
        """Return a page of the deliveries to an endpoint, newest event first; raise Missing."""
        limit = max(1, min(order.limit, PAGE_MAX))
        async with self._database.connection() as connection:
            await _endpoint(connection, scope, endpoint_id)
            cursor = await _place(connection, scope, order.after)
            found = await store.of_endpoint(
                connection, scope.book_id, endpoint_id, order.state, cursor, limit + 1
            )
        return Page(found[:limit], len(found) > limit)

    async def of_event(self, scope: Scope, event_id: UUID) -> list[Delivery]:
        """Return the deliveries of an event, one for each endpoint that got or gets it; raise Missing."""
        async with self._database.connection() as connection:
            await _place(connection, scope, event_id)
            return await store.of_event(connection, scope.book_id, event_id)

    async def of_objects(
        self, scope: Scope, object_ids: Sequence[UUID], *, limit: int = OBJECTS_DELIVERIES_MAX
    ) -> list[Delivery]:
        """Return the deliveries of all events about some objects (a payment and its parts), oldest event first."""
        count = max(1, min(limit, OBJECTS_DELIVERIES_MAX))
        async with self._database.connection() as connection:
            return await store.of_objects(connection, scope.book_id, object_ids, count)

    async def attempts(
        self, scope: Scope, endpoint_id: UUID, event_id: UUID | None = None, *, limit: int = PAGE_MAX
    ) -> list[DeliveryAttempt]:
        """Return the last attempts at an endpoint, newest first, of one event where it is named; raise Missing."""
        async with self._database.connection() as connection:
            await _endpoint(connection, scope, endpoint_id)
            count = max(1, min(limit, PAGE_MAX))
            return await store.attempts(connection, scope.book_id, endpoint_id, event_id, count)

    async def resend(
        self, connection: Connection, scope: Scope, event_id: UUID, endpoint_id: UUID
    ) -> Delivery:
        """Make one event due for one endpoint now, whether it wants such events or not; joins the transaction.

        It has all tries again. One that is under way at this moment is let be. Raises Missing, and Conflict
        ``webhook_endpoint_disabled``.
        """
        await _enabled(connection, scope, endpoint_id)
        await _place(connection, scope, event_id)
        now = self._clock.now()
        await store.renew(connection, scope.book_id, endpoint_id, [event_id], now)
        await store.hurry(connection, scope.book_id, endpoint_id, event_id, now)
        delivery = await store.one(connection, scope.book_id, event_id, endpoint_id)
        if delivery is None:
            raise Missing(EVENT_PREFIX, event_id)
        return delivery

    async def test(self, connection: Connection, scope: Scope, endpoint_id: UUID) -> Delivery:
        """Send an endpoint, and no other, an event that says nothing but that it is a test; joins the transaction.

        Tried again like any other. Raises Missing, Conflict ``webhook_endpoint_disabled``.
        """
        endpoint = await _enabled(connection, scope, endpoint_id)
        now = self._clock.now()
        event = policy.test_event(endpoint, now)
        await webhooks.insert_events(connection, [event])
        await delivery_store.insert(connection, [(event, endpoint_id)], now)
        delivery = await store.one(connection, scope.book_id, event.id, endpoint_id)
        if delivery is None:
            raise Missing(EVENT_PREFIX, event.id)
        return delivery

    async def replay(
        self, connection: Connection, scope: Scope, endpoint_id: UUID, order: ReplayOrder
    ) -> Replayed:
        """Make dead deliveries due again, or all since an instant, at most 1,000 a call; joins the transaction.

        What waits already is not counted. Raises Missing, Conflict ``webhook_endpoint_disabled``, BadParameter
        ``limit_invalid``.
        """
        if not 1 <= order.limit <= REPLAY_MAX:
            raise BadParameter("limit_invalid", "limit", f"1 to {REPLAY_MAX}")
        endpoint = await _enabled(connection, scope, endpoint_id)
        cursor = await _place(connection, scope, order.after)
        if order.since is None:
            found = await store.dead_page(connection, scope.book_id, endpoint_id, cursor, order.limit)
        else:
            types = policy.split_patterns(endpoint.enabled_events)
            found = await store.since_page(connection, scope.book_id, order.since, types, cursor, order.limit)
        count = await store.renew(connection, scope.book_id, endpoint_id, found, self._clock.now())
        return Replayed(count, found[-1] if len(found) == order.limit else None)


async def _endpoint(connection: Connection, scope: Scope, endpoint_id: UUID) -> Endpoint:
    endpoint = await webhooks.endpoint(connection, scope.book_id, endpoint_id)
    if endpoint is None:
        raise Missing(ENDPOINT_PREFIX, endpoint_id)
    return endpoint


async def _enabled(connection: Connection, scope: Scope, endpoint_id: UUID) -> Endpoint:
    endpoint = await _endpoint(connection, scope, endpoint_id)
    if endpoint.state is not EndpointState.ENABLED:
        raise Conflict(
            "webhook_endpoint_disabled",
            f"{endpoint.reference} is disabled; enable it first",
            id=endpoint.reference,
        )
    return endpoint


async def _place(connection: Connection, scope: Scope, event_id: UUID | None) -> store.EventPlace | None:
    """Return where an event stands, None where none is named; raise Missing where it is not there."""
    if event_id is None:
        return None
    place = await webhooks.event_place(connection, scope.book_id, event_id)
    if place is None:
        raise Missing(EVENT_PREFIX, event_id)
    return place
