"""Payment links and checkout sessions."""

from collections.abc import Callable, Mapping
from typing import Any

from tongbao.channels.schema import METHOD_KINDS
from tongbao.core.requests.asks import Rendered
from tongbao.parties.schema import Permission
from tongbao.payments.schema.checkout import CheckoutSession, PaymentLink, SessionState
from tongbao.payments.schema.intents import CaptureMethod
from tongbao.payments.service.sessions import SessionOrder, SessionView
from tongbao.web.api.v1.fields import (
    Boolean,
    Choice,
    Email,
    Field,
    Form,
    Id,
    Instant,
    Integer,
    Many,
    Nested,
    Text,
    Url,
)
from tongbao.web.api.v1.renderings.checkout import (
    line_items_object,
    link_items_object,
    link_object,
    session_object,
)
from tongbao.web.api.v1.requests import Call
from tongbao.web.api.v1.routes.parameters import (
    CUSTOMER,
    INTENT,
    LINE_ITEMS,
    LINK,
    LINK_ITEMS,
    METADATA,
    NOTHING,
    SESSION,
    customer_of,
    filled,
    line_items,
    missing,
    open_amount_of,
    page_form,
    page_order,
    page_reply,
    url_of,
)
from tongbao.web.api.v1.routing import Handler, Reply, Route, rendered, replied

_KINDS: Field = Many(item=Choice(values=METHOD_KINDS), items_max=len(METHOD_KINDS))
_COLLECTING: Mapping[str, Field] = {
    "line_items": LINE_ITEMS,
    "metadata": METADATA,
    "payment_intent_data": Nested(
        fields={"capture_method": Choice(values=tuple(each.value for each in CaptureMethod))}
    ),
    "payment_method_types": _KINDS,
}
LINK_CREATE = Form(
    {
        **_COLLECTING,
        "line_items": LINK_ITEMS,
        "after_completion": Nested(
            fields={
                "redirect": Nested(fields={"url": Url(required=True)}),
                "type": Choice(values=("redirect", "hosted_confirmation"), required=True),
            }
        ),
        "inactive_message": Text(chars_max=500),
        "restrictions": Nested(
            fields={
                "completed_sessions": Nested(
                    required=True, fields={"limit": Integer(minimum=1, maximum=1_000_000, required=True)}
                )
            }
        ),
    }
)
LINK_CHANGE = Form({"active": Boolean(), "metadata": METADATA})
SESSION_CREATE = Form(
    {
        **_COLLECTING,
        "cancel_url": Url(),
        "client_reference_id": Text(chars_max=200),
        "customer": CUSTOMER,
        "customer_email": Email(),
        "expires_at": Instant(),
        "locale": Text(chars_max=10),
        "mode": Choice(values=("payment",), required=True),
        "success_url": Url(),
        "ui_mode": Choice(values=("hosted_page", "hosted")),
    }
)


async def create_link(call: Call) -> Reply:
    """Make a link."""
    got = call.got
    currency, items = line_items(got["line_items"])
    render = _link(call)
    done = await call.services.sessions.create_link(
        call.scope,
        items,
        currency,
        method_kinds=got.get("payment_method_types", ()),
        capture_method=_capture_method(got),
        redirect_url=_redirect_url(got),
        completed_count_max=got.get("restrictions", {}).get("completed_sessions", {}).get("limit"),
        inactive_message=got.get("inactive_message"),
        open_amount=next(
            filter(None, (open_amount_of(each["price_data"]) for each in got["line_items"])), None
        ),
        metadata=filled(got.get("metadata")),
        ask=call.ask(render),
    )
    return replied(done, render)


async def change_link(call: Call) -> Reply:
    """Switch a link, or change its metadata."""
    render = _link(call)
    done = await call.services.sessions.change_link(
        call.scope,
        call.subject_id,
        active=call.got.get("active"),
        metadata=call.got.get("metadata"),
        ask=call.ask(render),
    )
    return replied(done, render)


async def get_link(call: Call) -> Reply:
    """Read one."""
    link = await call.services.sessions.link(call.scope, call.subject_id)
    return Reply(link_object(link, call.services.cashier_url))


async def page_links(call: Call) -> Reply:
    """List them, newest first."""
    active = call.got.get("active")
    order = page_order(call.got, state=None if active is None else "active" if active else "inactive")
    page = await call.services.sessions.links(call.scope, order)
    return page_reply(call, page, lambda link: link_object(link, call.services.cashier_url))


async def link_items(call: Call) -> Reply:
    """List what a link sells."""
    link = await call.services.sessions.link(call.scope, call.subject_id)
    return Reply(link_items_object(link, url_of(call)))


async def create_session(call: Call) -> Reply:
    """Open a session."""
    got = call.got
    currency, items = line_items(got["line_items"])
    order = SessionOrder(
        items=items,
        currency=currency,
        success_url=got.get("success_url"),
        cancel_url=got.get("cancel_url"),
        customer_id=await customer_of(call),
        customer_email=got.get("customer_email"),
        client_reference=got.get("client_reference_id"),
        method_kinds=got.get("payment_method_types", ()),
        capture_method=_capture_method(got),
        locale=got.get("locale", "auto"),
        expires_at=got.get("expires_at"),
        metadata=filled(got.get("metadata")),
    )
    render = _session(call)
    return replied(await call.services.sessions.create(call.scope, order, ask=call.ask(render)), render)


async def expire_session(call: Call) -> Reply:
    """Close a session that nobody completed."""
    render = _session(call)
    done = await call.services.sessions.expire(call.scope, call.subject_id, ask=call.ask(render))
    return replied(done, render)


async def get_session(call: Call) -> Reply:
    """Read one."""
    view = await call.services.sessions.get(call.scope, call.subject_id)
    return Reply(session_object(view.session, call.services.cashier_url))


async def page_sessions(call: Call) -> Reply:
    """List them, newest first."""
    got = call.got
    containing: dict[str, object] | None = None
    if "payment_intent" in got:
        containing = {"intent_id": str(got["payment_intent"])}
    order = page_order(
        got,
        owner_id=got.get("customer"),
        parent_id=got.get("payment_link"),
        state=got.get("status"),
        containing=containing,
    )
    page = await call.services.sessions.page(call.scope, order)
    return page_reply(call, page, lambda session: session_object(session, call.services.cashier_url))


async def session_items(call: Call) -> Reply:
    """List what a session sells."""
    session = (await call.services.sessions.get(call.scope, call.subject_id)).session
    return Reply(line_items_object(session.reference, url_of(call), session.items, session.currency))


def _link(call: Call) -> Callable[[PaymentLink], Rendered]:
    return lambda link: rendered(link_object(link, call.services.cashier_url))


def _session(call: Call) -> Callable[[SessionView], Rendered]:
    return lambda view: rendered(session_object(view.session, call.services.cashier_url))


def _capture_method(got: Mapping[str, Any]) -> CaptureMethod:
    return CaptureMethod(got.get("payment_intent_data", {}).get("capture_method", CaptureMethod.AUTOMATIC))


def _redirect_url(got: Mapping[str, Any]) -> str | None:
    after = got.get("after_completion", {})
    if after.get("type") != "redirect":
        return None
    if "redirect" not in after:
        raise missing("after_completion[redirect]")
    url: str = after["redirect"]["url"]
    return url


def _route(
    method: str, path: str, handler: Handler, form: Form, summary: str, *, lists: bool = False
) -> Route:
    is_link = path.startswith("/payment_links")
    subject: Id = LINK if is_link else SESSION
    kind = PaymentLink if is_link else CheckoutSession
    return Route(
        method=method,
        path=path,
        handler=handler,
        permission=Permission.PAYMENTS_READ if method == "GET" else Permission.PAYMENTS_WRITE,
        form=form,
        answers="item" if path.endswith("/line_items") else str(kind.__struct_config__.tag),
        summary=summary,
        subject=subject if "{id}" in path else None,
        lists=lists,
    )


_SESSIONS = page_form(
    SESSION,
    customer=CUSTOMER,
    payment_intent=INTENT,
    payment_link=LINK,
    status=Choice(values=tuple(each.value for each in SessionState)),
)
ROUTES = (
    _route("POST", "/payment_links", create_link, LINK_CREATE, "Create a payment link"),
    _route(
        "GET",
        "/payment_links",
        page_links,
        page_form(LINK, active=Boolean()),
        "List payment links",
        lists=True,
    ),
    _route("GET", "/payment_links/{id}", get_link, NOTHING, "Retrieve a payment link"),
    _route("POST", "/payment_links/{id}", change_link, LINK_CHANGE, "Update a payment link"),
    _route(
        "GET", "/payment_links/{id}/line_items", link_items, NOTHING, "List a link's line items", lists=True
    ),
    _route("POST", "/checkout/sessions", create_session, SESSION_CREATE, "Create a checkout session"),
    _route("GET", "/checkout/sessions", page_sessions, _SESSIONS, "List checkout sessions", lists=True),
    _route("GET", "/checkout/sessions/{id}", get_session, NOTHING, "Retrieve a checkout session"),
    _route("POST", "/checkout/sessions/{id}/expire", expire_session, NOTHING, "Expire a checkout session"),
    _route(
        "GET",
        "/checkout/sessions/{id}/line_items",
        session_items,
        NOTHING,
        "List a session's line items",
        lists=True,
    ),
)
