"""Events: made of facts exactly once, kept for 30 days, and read by whoever missed a webhook."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.events.facts import Delivered
from tongbao.core.events.subscriptions import Projection
from tongbao.parties.schema import Scope
from tongbao.payments.errors import BadParameter, Missing
from tongbao.payments.policy import webhooks as policy
from tongbao.payments.schema.facts import Happened
from tongbao.payments.schema.notices import Told
from tongbao.payments.schema.orders import Page
from tongbao.payments.schema.webhooks import (
    EVENT_PREFIX,
    EVENTS_KEPT_DAYS,
    PAGE_MAX,
    EndpointDisabled,
    EventOrder,
    EventRow,
)
from tongbao.payments.store import deliveries, webhooks

SUBSCRIPTION = "payments.events"
FORGET_MAX = 1_000
TYPES_MAX = 20


def event_projection(clock: Clock) -> Projection:
    """Return the subscription that writes events and their deliveries, exactly once for each fact."""
    return Projection(SUBSCRIPTION, (Happened, EndpointDisabled), partial(_write, clock))


async def _write(clock: Clock, connection: Connection, facts: Sequence[Delivered]) -> None:
    """Write the events of ``facts`` and one delivery for each endpoint that wants one; joins the transaction."""
    await _write_events(clock, connection, [event for fact in facts for event in policy.events_of(fact)])


async def tell(clock: Clock, connection: Connection, told: Sequence[Told]) -> None:
    """Write what an upper room tells merchants, and one delivery for each endpoint that wants it; joins the transaction.

    For the subscriptions of rooms above: a fact that is told twice is one event. Places are counted from the fact, so the
    events of one fact come in the order of its types.
    """
    await _write_events(clock, connection, [event for each in told for event in policy.events_told(each)])


async def _write_events(clock: Clock, connection: Connection, made: Sequence[EventRow]) -> None:
    if not made:
        return
    events = await _with_previous(connection, made)
    new = await webhooks.insert_events(connection, events)
    fresh = [event for event in events if event.id in new]
    endpoints = await webhooks.subscribed(connection, sorted({event.book_id for event in fresh}))
    wanted = [
        (event, endpoint.endpoint_id)
        for event in fresh
        for endpoint in endpoints
        if endpoint.book_id == event.book_id and policy.wants(endpoint.enabled_events, event.type)
    ]
    if wanted:
        await deliveries.insert(connection, wanted, clock.now())


async def _with_previous(connection: Connection, events: Sequence[EventRow]) -> list[EventRow]:
    """Return the events, those that tell of changes with what the changed attributes were before."""
    telling = {(each.book_id, each.object_id) for each in events if policy.tells_changes(each.type)}
    if not telling:
        return list(events)
    last = await webhooks.last_snapshots(connection, sorted(telling))
    result = []
    for event in events:
        before = last.get(event.object_id)
        last[event.object_id] = event.snapshot
        if before is not None and policy.tells_changes(event.type):
            previous = policy.previous_attributes(event.snapshot, before)
            event = msgspec.structs.replace(event, previous=previous)
        result.append(event)
    return result


class Events:
    """Reads the events of one book, and forgets old ones."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, scope: Scope, event_id: UUID) -> EventRow:
        """Return an event; raise Missing."""
        async with self._database.connection() as connection:
            found = await webhooks.event(connection, scope.book_id, event_id)
        if found is None:
            raise Missing(EVENT_PREFIX, event_id)
        return found

    async def list(self, scope: Scope, order: EventOrder) -> Page[EventRow]:
        """Return a page of events, newest first; of equal instants in the order of commits.

        Raises Missing where the event that the page is counted from is not there (any more), BadParameter
        ``events_invalid``.
        """
        _check(order)
        limit = max(1, min(order.limit, PAGE_MAX))
        types = policy.split_patterns(order.types) if order.types else None
        mark = order.after or order.before
        async with self._database.connection() as connection:
            cursor = None if mark is None else await webhooks.event_place(connection, scope.book_id, mark)
            if mark is not None and cursor is None:
                raise Missing(EVENT_PREFIX, mark)
            found = await webhooks.events(connection, scope.book_id, order, types, cursor, limit + 1)
        has_more = len(found) > limit
        kept = found[-limit:] if order.before is not None else found[:limit]
        return Page(kept, has_more)

    async def forget_old(self) -> int:
        """Delete events of more than 30 days ago with everything about their delivery, at most 1,000 a call.

        Returns how many: a full number means that there may be more.
        """
        before = self._clock.now() - timedelta(days=EVENTS_KEPT_DAYS)
        async with self._database.transaction() as connection:
            return await webhooks.forget(connection, before, FORGET_MAX)


def _check(order: EventOrder) -> None:
    if order.after is not None and order.before is not None:
        raise BadParameter("events_invalid", "ending_before", "a page is after an event or before one")
    if len(order.types) > TYPES_MAX or not all(policy.is_pattern(each) for each in order.types):
        raise BadParameter(
            "events_invalid", "types", f"at most {TYPES_MAX} types such as refund.created or refund.*"
        )
