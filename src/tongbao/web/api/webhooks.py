"""``/v2/webhook_endpoints`` and ``/v2/events``: how deliveries went, sending again, switching, new secrets."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from tongbao.core.db import Connection
from tongbao.core.requests.asks import Rendered
from tongbao.parties.schema import Permission, Scope
from tongbao.payments.schema import webhooks as schema
from tongbao.payments.schema.webhooks import ENDPOINT_PREFIX, EVENT_PREFIX, DeliveryState
from tongbao.payments.service.deliveries import Deliveries
from tongbao.payments.service.webhooks import WebhookEndpoints
from tongbao.web.api import webhook_models as models
from tongbao.web.api.access import Gate
from tongbao.web.api.calls import Calls, rendered
from tongbao.web.api.shapes import PAGE_SIZE, After, IdPath, Limit, cursor, given_id, path_id

PREFIX = "/v2"
Change = Callable[[Connection, Scope, UUID], Awaitable[schema.Endpoint]]


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The services behind the routes."""

    endpoints: WebhookEndpoints
    deliveries: Deliveries


def router(calls: Calls, gate: Gate, webhooks: Webhooks) -> APIRouter:
    """Return the routes over open services."""
    routes = calls.router(PREFIX, "webhooks")
    _add_reads(routes, gate, webhooks)
    _add_repeats(routes, calls, gate, webhooks)
    _add_changes(routes, calls, gate, webhooks)
    return routes


def _add_reads(routes: APIRouter, gate: Gate, webhooks: Webhooks) -> None:
    reader = Depends(gate.scope(Permission.WEBHOOKS_READ))

    @routes.get("/webhook_endpoints/{endpoint}/health")
    async def health(scope: Annotated[Scope, reader], endpoint: IdPath) -> models.Health:
        """Return how an endpoint does."""
        found = await webhooks.endpoints.health(scope, path_id(ENDPOINT_PREFIX, endpoint))
        return models.Health.of(found)

    @routes.get("/webhook_endpoints/{endpoint}/deliveries")
    async def of_endpoint(
        scope: Annotated[Scope, reader],
        endpoint: IdPath,
        state: Annotated[DeliveryState | None, Query(description="Only those in this state.")] = None,
        starting_after: After = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Deliveries:
        """List the deliveries to an endpoint, newest event first; pages are counted from events, `evt_…`."""
        order = schema.DeliveryOrder(
            limit=limit, after=cursor(EVENT_PREFIX, starting_after, "starting_after"), state=state
        )
        endpoint_id = path_id(ENDPOINT_PREFIX, endpoint)
        page = await webhooks.deliveries.of_endpoint(scope, endpoint_id, order)
        shown = [models.Delivery.of(delivery) for delivery in page.items]
        return models.Deliveries(data=shown, has_more=page.has_more)

    @routes.get("/events/{event}/deliveries")
    async def of_event(scope: Annotated[Scope, reader], event: IdPath) -> models.Deliveries:
        """List the deliveries of an event, one for each endpoint that got or gets it."""
        found = await webhooks.deliveries.of_event(scope, path_id(EVENT_PREFIX, event))
        return models.Deliveries(data=[models.Delivery.of(delivery) for delivery in found])


def _add_repeats(routes: APIRouter, calls: Calls, gate: Gate, webhooks: Webhooks) -> None:
    writer = Depends(gate.scope(Permission.WEBHOOKS_WRITE))

    @routes.post("/events/{event}/resend", response_model=models.Delivery)
    async def resend(
        request: Request, scope: Annotated[Scope, writer], event: IdPath, order: models.ResendOrder
    ) -> Response:
        """Send one event to one endpoint again, whether it wants such events or not."""
        event_id = path_id(EVENT_PREFIX, event)
        endpoint_id = given_id(ENDPOINT_PREFIX, order.endpoint, "endpoint")

        async def work(connection: Connection) -> schema.Delivery:
            return await webhooks.deliveries.resend(connection, scope, event_id, endpoint_id)

        return await calls.write(request, scope, work, _delivery)

    @routes.post("/webhook_endpoints/{endpoint}/replay", response_model=models.Replayed)
    async def replay(
        request: Request, scope: Annotated[Scope, writer], endpoint: IdPath, order: models.ReplayOrder
    ) -> Response:
        """Send what died again, or everything since an instant."""
        endpoint_id = path_id(ENDPOINT_PREFIX, endpoint)
        wanted = schema.ReplayOrder(
            since=order.since, after=cursor(EVENT_PREFIX, order.after, "after"), limit=order.limit
        )

        async def work(connection: Connection) -> schema.Replayed:
            return await webhooks.deliveries.replay(connection, scope, endpoint_id, wanted)

        return await calls.write(request, scope, work, _replayed)


def _add_changes(routes: APIRouter, calls: Calls, gate: Gate, webhooks: Webhooks) -> None:
    writer = Depends(gate.scope(Permission.WEBHOOKS_WRITE))

    @routes.post("/webhook_endpoints/{endpoint}/rotate_secret", response_model=models.IssuedSecret)
    async def rotate_secret(
        request: Request,
        scope: Annotated[Scope, writer],
        endpoint: IdPath,
        order: models.RotateOrder | None = None,
    ) -> Response:
        """Give an endpoint a new secret, told this one time; for a while both count."""
        endpoint_id = path_id(ENDPOINT_PREFIX, endpoint)
        overlap_s = (order or models.RotateOrder()).overlap_s

        async def work(connection: Connection) -> schema.IssuedEndpoint:
            return await webhooks.endpoints.rotate_secret(connection, scope, endpoint_id, overlap_s=overlap_s)

        return await calls.write(request, scope, work, _issued, kept=_issued_before)

    @routes.post("/webhook_endpoints/{endpoint}/enable", response_model=models.Endpoint)
    async def enable(request: Request, scope: Annotated[Scope, writer], endpoint: IdPath) -> Response:
        """Send to an endpoint again, what waited included."""
        return await _changed(calls, request, scope, endpoint, webhooks.endpoints.enable)

    @routes.post("/webhook_endpoints/{endpoint}/disable", response_model=models.Endpoint)
    async def disable(request: Request, scope: Annotated[Scope, writer], endpoint: IdPath) -> Response:
        """Send nothing to an endpoint until it is enabled again."""
        return await _changed(calls, request, scope, endpoint, webhooks.endpoints.disable)


async def _changed(calls: Calls, request: Request, scope: Scope, endpoint: str, change: Change) -> Response:
    endpoint_id = path_id(ENDPOINT_PREFIX, endpoint)

    async def work(connection: Connection) -> schema.Endpoint:
        return await change(connection, scope, endpoint_id)

    return await calls.write(request, scope, work, _endpoint)


def _delivery(delivery: schema.Delivery) -> Rendered:
    return rendered(models.Delivery.of(delivery))


def _replayed(replayed: schema.Replayed) -> Rendered:
    return rendered(models.Replayed.of(replayed))


def _endpoint(endpoint: schema.Endpoint) -> Rendered:
    return rendered(models.Endpoint.of(endpoint))


def _issued(issued: schema.IssuedEndpoint) -> Rendered:
    return rendered(models.IssuedSecret.issued(issued.endpoint, issued.secret.get_secret_value()))


def _issued_before(issued: schema.IssuedEndpoint) -> Rendered:
    return rendered(models.IssuedSecret.issued(issued.endpoint, None))
