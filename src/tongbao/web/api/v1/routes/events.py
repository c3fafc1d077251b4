"""Events, webhook endpoints, the balance and what moved it."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from tongbao.core.requests.asks import Rendered
from tongbao.parties.schema import Permission
from tongbao.payments.schema.orders import Done, Page
from tongbao.payments.schema.webhooks import (
    DESCRIPTION_CHARS_MAX,
    ENABLED_EVENTS_MAX,
    Endpoint,
    EndpointChange,
    EndpointDraft,
    EventOrder,
    IssuedEndpoint,
)
from tongbao.web.api.v1.fields import Boolean, Choice, CurrencyCode, Form, Id, Many, Text, Url
from tongbao.web.api.v1.renderings.bases import deleted_object
from tongbao.web.api.v1.renderings.events import (
    balance_object,
    endpoint_object,
    event_object,
    transaction_object,
)
from tongbao.web.api.v1.requests import Call
from tongbao.web.api.v1.routes.parameters import (
    ENDPOINT,
    EVENT,
    METADATA,
    NOTHING,
    TRANSACTION,
    filled,
    page_form,
    page_order,
    page_reply,
)
from tongbao.web.api.v1.routing import Handler, Reply, Route, rendered, replied

TYPES_MAX = 20
TRANSACTION_TYPES = ("charge", "refund", "adjustment", "payout")
_TYPE = Text(chars_max=100)
EVENTS = page_form(EVENT, type=_TYPE, types=Many(item=_TYPE, items_max=TYPES_MAX))
ENDPOINT_CREATE = Form(
    {
        "api_version": Text(chars_max=40),
        "description": Text(chars_max=DESCRIPTION_CHARS_MAX),
        "enabled_events": Many(
            item=_TYPE, items_max=ENABLED_EVENTS_MAX, items_min=1, required=True, about="Types, or * for all."
        ),
        "metadata": METADATA,
        "url": Url(required=True),
    }
)
ENDPOINT_CHANGE = Form(
    {
        "description": Text(chars_max=DESCRIPTION_CHARS_MAX, clears=True),
        "disabled": Boolean(),
        "enabled_events": Many(item=_TYPE, items_max=ENABLED_EVENTS_MAX, items_min=1),
        "metadata": METADATA,
        "url": Url(),
    }
)
TRANSACTIONS = page_form(TRANSACTION, currency=CurrencyCode(), type=Choice(values=TRANSACTION_TYPES))


async def get_event(call: Call) -> Reply:
    """Read one."""
    event = await call.services.events.get(call.scope, call.subject_id)
    return Reply(event_object(event, call.services.cashier_url))


async def page_events(call: Call) -> Reply:
    """List them, newest first."""
    got = call.got
    order = page_order(got)
    wanted = EventOrder(
        limit=order.limit,
        after=order.after,
        before=order.before,
        types=(got["type"],) if "type" in got else got.get("types", ()),
        created_from=order.created_from,
        created_to=order.created_to,
    )
    page = await call.services.events.list(call.scope, wanted)
    return page_reply(call, page, lambda event: event_object(event, call.services.cashier_url))


async def create_endpoint(call: Call) -> Reply:
    """Make an endpoint; its secret is told this one time."""
    got = call.got
    draft = EndpointDraft(
        url=got["url"],
        enabled_events=got["enabled_events"],
        description=got.get("description", ""),
        metadata=filled(got.get("metadata")),
        api_version=got.get("api_version"),
    )
    done = await call.services.endpoints.create(call.scope, draft, ask=call.ask(_kept))
    # The secret is told once: a repeat of this request gets the answer without it, and nothing keeps it in clear.
    return replied(done if done.is_replay else Done(done.view), _issued)


async def change_endpoint(call: Call) -> Reply:
    """Change or switch an endpoint."""
    got = call.got
    change = EndpointChange(
        url=got.get("url", UNSET),
        enabled_events=got.get("enabled_events", UNSET),
        description=(got["description"] or "") if "description" in got else UNSET,
        metadata=await _merged(call, got["metadata"]) if "metadata" in got else UNSET,
    )
    enabled = not got["disabled"] if "disabled" in got else None
    done = await call.services.endpoints.change(
        call.scope, call.subject_id, change, enabled=enabled, ask=call.ask(_endpoint)
    )
    return replied(done, _endpoint)


async def delete_endpoint(call: Call) -> Reply:
    """Delete an endpoint."""
    done = await call.services.endpoints.delete(call.scope, call.subject_id, ask=call.ask(_deleted))
    return replied(done, _deleted)


async def get_endpoint(call: Call) -> Reply:
    """Read one."""
    return Reply(endpoint_object(await call.services.endpoints.get(call.scope, call.subject_id)))


async def page_endpoints(call: Call) -> Reply:
    """List them, newest first."""
    order = page_order(call.got)
    found = sorted(await call.services.endpoints.list(call.scope), key=lambda each: each.id, reverse=True)
    if order.after is not None:
        found = [each for each in found if each.id < order.after]
    if order.before is not None:
        found = [each for each in found if each.id > order.before]
    shown = found[-order.limit :] if order.before is not None else found[: order.limit]
    return page_reply(call, Page(shown, len(found) > order.limit), endpoint_object)


async def get_balance(call: Call) -> Reply:
    """Read what the merchant has."""
    return Reply(balance_object(await call.services.balances.balance(call.scope), live=call.scope.live))


async def get_transaction(call: Call) -> Reply:
    """Read one."""
    return Reply(transaction_object(await call.services.balances.get(call.scope, call.subject_id)))


async def page_transactions(call: Call) -> Reply:
    """List them, newest first."""
    got = call.got
    page = await call.services.balances.page(
        call.scope, page_order(got), kind=got.get("type"), currency=got.get("currency")
    )
    return page_reply(call, page, transaction_object)


async def _merged(call: Call, metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return an endpoint's metadata with changes merged in; the service replaces it as a whole."""
    endpoint = await call.services.endpoints.get(call.scope, call.subject_id)
    return filled({**endpoint.metadata, **metadata})


def _issued(issued: IssuedEndpoint) -> Rendered:
    return rendered(endpoint_object(issued.endpoint, issued.secret.get_secret_value()))


def _kept(issued: IssuedEndpoint) -> Rendered:
    return rendered(endpoint_object(issued.endpoint))


def _endpoint(endpoint: Endpoint) -> Rendered:
    return rendered(endpoint_object(endpoint))


def _deleted(endpoint: Endpoint) -> Rendered:
    return rendered(deleted_object("webhook_endpoint", endpoint.reference))


def _route(
    method: str,
    path: str,
    handler: Handler,
    form: Form,
    answers: str,
    summary: str,
    permission: Permission,
    subject: Id | None = None,
    lists: bool = False,
) -> Route:
    return Route(
        method=method,
        path=path,
        handler=handler,
        permission=permission,
        form=form,
        answers=answers,
        summary=summary,
        subject=subject,
        lists=lists,
    )


_P = Permission
_WE = "webhook_endpoint"
_WES = "/webhook_endpoints"
_TXN = "balance_transaction"
_TXNS = "/balance_transactions"
ROUTES = (
    _route("GET", "/events", page_events, EVENTS, "event", "List events", _P.PAYMENTS_READ, lists=True),
    _route("GET", "/events/{id}", get_event, NOTHING, "event", "Retrieve an event", _P.PAYMENTS_READ, EVENT),
    _route(
        "POST", _WES, create_endpoint, ENDPOINT_CREATE, _WE, "Create a webhook endpoint", _P.WEBHOOKS_WRITE
    ),
    _route(
        "GET",
        _WES,
        page_endpoints,
        page_form(ENDPOINT, created=False),
        _WE,
        "List webhook endpoints",
        _P.WEBHOOKS_READ,
        lists=True,
    ),
    _route(
        "GET",
        _WES + "/{id}",
        get_endpoint,
        NOTHING,
        _WE,
        "Retrieve a webhook endpoint",
        _P.WEBHOOKS_READ,
        ENDPOINT,
    ),
    _route(
        "POST",
        _WES + "/{id}",
        change_endpoint,
        ENDPOINT_CHANGE,
        _WE,
        "Update a webhook endpoint",
        _P.WEBHOOKS_WRITE,
        ENDPOINT,
    ),
    _route(
        "DELETE",
        _WES + "/{id}",
        delete_endpoint,
        NOTHING,
        _WE,
        "Delete a webhook endpoint",
        _P.WEBHOOKS_WRITE,
        ENDPOINT,
    ),
    _route("GET", "/balance", get_balance, NOTHING, "balance", "Retrieve the balance", _P.LEDGER_READ),
    _route(
        "GET",
        _TXNS,
        page_transactions,
        TRANSACTIONS,
        _TXN,
        "List balance transactions",
        _P.LEDGER_READ,
        lists=True,
    ),
    _route(
        "GET",
        _TXNS + "/{id}",
        get_transaction,
        NOTHING,
        _TXN,
        "Retrieve a balance transaction",
        _P.LEDGER_READ,
        TRANSACTION,
    ),
)
