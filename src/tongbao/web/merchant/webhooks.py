"""``/merchant/{merchant}/webhooks``: where a merchant's programs are told of what happens, and how each delivery went."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from fastapi import APIRouter, Request, Response

from tongbao.core.db import Connection
from tongbao.core.errors import AppError, NotFound
from tongbao.parties.schema import Permission
from tongbao.payments.schema.webhooks import (
    DESCRIPTION_CHARS_MAX,
    ENDPOINT_PREFIX,
    ENDPOINTS_MAX,
    EVENT_PREFIX,
    URL_CHARS_MAX,
    DeliveryOrder,
    DeliveryState,
    Endpoint,
    EndpointChange,
    EndpointDraft,
    EndpointState,
    IssuedEndpoint,
    ReplayOrder,
)
from tongbao.web.merchant import webhooks_view as view
from tongbao.web.merchant.office import Office, enter
from tongbao.web.merchant.payments_view import cursor
from tongbao.web.merchant.portal import PREFIX, PageRoute, Portal, Shown, path_id, status_of
from tongbao.web.merchant.webhooks_events import EVERYTHING, TYPES
from tongbao.web.ui.forms import Form

PATH = f"{PREFIX}/webhooks"
ROWS = 25
FORM_FIELDS_MAX = 80
OVERLAPS = {"0": 0, "1": 1, "24": 24}
"""Hours for which an old secret goes on."""
FIELDS = {"url_invalid": "url", "enabled_events_invalid": "events", "description_invalid": "description"}
SWITCHES = frozenset({"enable", "disable"})


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)
    page = _Webhooks(portal)
    routes.add_api_route(PATH, page.list, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/{{endpoint}}", page.show, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/{{endpoint}}", page.keep, methods=["POST"], response_model=None)
    routes.add_api_route(f"{PATH}/{{endpoint}}/change", page.form, methods=["GET"], response_model=None)
    routes.add_api_route(
        f"{PATH}/{{endpoint}}/events/{{event}}", page.delivery, methods=["GET"], response_model=None
    )
    routes.add_api_route(f"{PATH}/{{endpoint}}/{{act}}", page.act, methods=["POST"], response_model=None)
    return routes


class _Webhooks:
    """Answers the pages of endpoints."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._endpoints = portal.house.endpoints
        self._deliveries = portal.house.deliveries

    async def list(self, request: Request, merchant: str) -> Response:
        """Answer the list of endpoints."""
        office = await enter(self._portal, request, merchant, Permission.WEBHOOKS_READ)
        scope = office.visitor.scope
        found = await self._endpoints.list(scope)
        rows = [view.row(each, await self._endpoints.health(scope, each.id), office) for each in found]
        may_add = office.visitor.may(Permission.WEBHOOKS_WRITE) and len(found) < ENDPOINTS_MAX
        return office.page(Shown("webhooks.html", "webhooks", {"rows": rows, "may_add": may_add}))

    async def show(self, request: Request, merchant: str, endpoint: str) -> Response:
        """Answer an endpoint with its log, or the form of a new one."""
        if endpoint == "new":
            office = await enter(self._portal, request, merchant, Permission.WEBHOOKS_WRITE)
            return self._form(office, None, Form({}, office.ui), (EVERYTHING,))
        office = await enter(self._portal, request, merchant, Permission.WEBHOOKS_READ)
        return await self._one(office, await self._known(office, endpoint))

    async def form(self, request: Request, merchant: str, endpoint: str) -> Response:
        """Answer the form that changes an endpoint."""
        office = await enter(self._portal, request, merchant, Permission.WEBHOOKS_WRITE)
        known = await self._known(office, endpoint)
        form = Form({"url": known.url, "description": known.description}, office.ui)
        return self._form(office, known, form, known.enabled_events)

    async def keep(self, request: Request, merchant: str, endpoint: str) -> Response:
        """Make an endpoint, or change one."""
        office = await enter(self._portal, request, merchant, Permission.WEBHOOKS_WRITE)
        known = None if endpoint == "new" else await self._known(office, endpoint)
        fields = await self._portal.guards.form(request, office.visitor, fields_max=FORM_FIELDS_MAX)
        form = Form(fields, office.ui)
        url = form.text("url", URL_CHARS_MAX)
        description = form.text("description", DESCRIPTION_CHARS_MAX, required=False)
        chosen = (
            (EVERYTHING,)
            if form["which"] == "all"
            else tuple(
                each
                for each in (*TYPES, *(known.enabled_events if known else ()))
                if form.checked(f"on_{each}")
            )
        )
        if not chosen:
            form.wrong("events", office.t("p_events_missing"))
        if form.errors:
            return self._form(office, known, form, chosen, 422)
        chosen = tuple(dict.fromkeys(chosen))
        issued: list[IssuedEndpoint] = []
        scope = office.visitor.scope

        async def work(connection: Connection) -> None:
            if known is None:
                draft = EndpointDraft(url=url, enabled_events=chosen, description=description)
                issued.append(await self._endpoints.create(connection, scope, draft))
            else:
                change = EndpointChange(url=url, enabled_events=chosen, description=description)
                await self._endpoints.update(connection, scope, known.id, change)

        try:
            is_new = await office.once("webhook", fields, work)
        except NotFound:
            raise
        except AppError as error:
            form.wrong(FIELDS.get(error.code, ""), office.problem(error))
            return self._form(office, known, form, chosen, status_of(error))
        if issued and is_new:
            return self._told(office, issued[0])
        return office.done("/webhooks" if known is None else f"/webhooks/{endpoint}", "webhook_kept")

    async def act(self, request: Request, merchant: str, endpoint: str, act: str) -> Response:
        """Switch an endpoint, give it a new secret, delete it, send something again, or send a test."""
        office = await enter(self._portal, request, merchant, Permission.WEBHOOKS_WRITE)
        known = await self._known(office, endpoint)
        fields = await office.form()
        issued: list[IssuedEndpoint] = []
        work = self._work(office, known, act, fields, issued)
        try:
            is_new = await office.once(act, fields, work)
        except NotFound:
            raise
        except AppError as error:
            form = Form(fields, office.ui)
            form.wrong("", office.problem(error))
            return await self._one(office, known, form, status_of(error))
        if act == "secret" and is_new and issued:
            return self._told(office, issued[0])
        back = "/webhooks" if act == "delete" else f"/webhooks/{endpoint}"
        return office.done(back, f"webhook_{act}")

    async def delivery(self, request: Request, merchant: str, endpoint: str, event: str) -> Response:
        """Answer one delivery: what was sent, every try and what came back."""
        office = await enter(self._portal, request, merchant, Permission.WEBHOOKS_READ)
        scope, known = office.visitor.scope, await self._known(office, endpoint)
        event_id = path_id(EVENT_PREFIX, event)
        found = [
            each for each in await self._deliveries.of_event(scope, event_id) if each.endpoint_id == known.id
        ]
        if not found:
            raise NotFound("delivery_unknown", "this event does not go to this endpoint")
        attempts = await self._deliveries.attempts(scope, known.id, event_id)
        row = await self._portal.house.events.get(scope, event_id)
        shown = {
            "endpoint": known,
            "name": view.host(known),
            "delivery": found[0],
            "state": view.delivery_state(found[0], office),
            "event": event,
            "attempts": view.attempts(attempts, office),
            "facts": view.delivery_facts(found[0], office),
            "body": view.body_of(row, self._portal.house.base_url),
            "may_write": office.visitor.may(Permission.WEBHOOKS_WRITE)
            and known.state is EndpointState.ENABLED,
        }
        return office.page(Shown("webhook_delivery.html", "webhooks", shown))

    def _work(
        self,
        office: Office,
        known: Endpoint,
        act: str,
        fields: dict[str, str],
        issued: Sequence[IssuedEndpoint],
    ) -> Callable[[Connection], Awaitable[object]]:
        scope, told = office.visitor.scope, issued

        async def work(connection: Connection) -> object:
            if act in SWITCHES:
                change = self._endpoints.enable if act == "enable" else self._endpoints.disable
                return await change(connection, scope, known.id)
            if act == "secret":
                hours = OVERLAPS.get(fields.get("overlap", ""), 24)
                made = await self._endpoints.rotate_secret(
                    connection, scope, known.id, overlap_s=hours * 3_600
                )
                assert isinstance(told, list)
                told.append(made)
                return made
            if act == "delete":
                await self._endpoints.delete(connection, scope, known.id)
                return None
            if act == "resend":
                event: UUID = path_id(EVENT_PREFIX, fields.get("event", ""))
                return await self._deliveries.resend(connection, scope, event, known.id)
            if act == "test":
                return await self._deliveries.test(connection, scope, known.id)
            if act == "replay":
                return await self._deliveries.replay(connection, scope, known.id, ReplayOrder())
            raise NotFound("act_unknown", "an endpoint has no such act")

        return work

    async def _known(self, office: Office, reference: str) -> Endpoint:
        return await self._endpoints.get(office.visitor.scope, path_id(ENDPOINT_PREFIX, reference))

    async def _one(
        self, office: Office, endpoint: Endpoint, form: Form | None = None, status: int = 200
    ) -> Response:
        scope = office.visitor.scope
        table = view.log_table(office)
        query = office.query(table)
        wanted = query.filters.get("state")
        order = DeliveryOrder(
            limit=ROWS,
            after=cursor(query.after, EVENT_PREFIX),
            state=DeliveryState(wanted) if wanted else None,
        )
        page = await self._deliveries.of_endpoint(scope, endpoint.id, order)
        health = await self._endpoints.health(scope, endpoint.id)
        last = view.reference_of(page.items[-1]) if page.has_more else ""
        rows = [view.log_row(each, endpoint, office) for each in page.items]
        path = f"/webhooks/{endpoint.reference}"
        shown = {
            "endpoint": endpoint,
            "name": view.host(endpoint),
            "state": view.state(endpoint, health, office),
            "facts": view.facts(endpoint, health, office),
            "view": office.listed(query, table, rows, path, after=last, empty="deliveries_empty"),
            "may_write": office.visitor.may(Permission.WEBHOOKS_WRITE),
            "is_enabled": endpoint.state is EndpointState.ENABLED,
            "overlaps": [(each, office.t(f"secret_overlap_{each}")) for each in OVERLAPS],
            "form": form or Form({}, office.ui),
        }
        return office.page(Shown("webhook.html", "webhooks", shown, status))

    def _form(
        self,
        office: Office,
        endpoint: Endpoint | None,
        form: Form,
        chosen: Sequence[str],
        status: int = 200,
    ) -> Response:
        shown = {
            "endpoint": endpoint,
            "name": view.host(endpoint) if endpoint is not None else "",
            "reference": "new" if endpoint is None else endpoint.reference,
            "form": form,
            "bundles": view.event_groups(office, chosen),
            "is_all": EVERYTHING in chosen,
            "chosen": frozenset(chosen),
        }
        return office.page(Shown("webhook_form.html", "webhooks", shown, status))

    def _told(self, office: Office, issued: IssuedEndpoint) -> Response:
        """Answer the page that shows an endpoint's secret, this one time."""
        shown = {
            "endpoint": issued.endpoint,
            "name": view.host(issued.endpoint),
            "secret": issued.secret.get_secret_value(),
        }
        return office.page(Shown("webhook_made.html", "webhooks", shown))
