"""Customers and the merchant's own account."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from tongbao.core.ids import uuid_text
from tongbao.core.requests.asks import Rendered
from tongbao.parties.schema import (
    CUSTOMER_PREFIX,
    Address,
    Customer,
    CustomerChange,
    CustomerDraft,
    Permission,
)
from tongbao.web.api.v1.fields import Email, Field, Form, Nested, Text
from tongbao.web.api.v1.renderings.bases import deleted_object
from tongbao.web.api.v1.renderings.parties import account_object, customer_object
from tongbao.web.api.v1.requests import Call
from tongbao.web.api.v1.routes.parameters import (
    ADDRESS,
    CUSTOMER,
    METADATA,
    METHOD,
    NOTHING,
    filled,
    page_form,
    page_order,
    page_reply,
)
from tongbao.web.api.v1.routing import Handler, Reply, Route, rendered, replied

_FIELDS: Mapping[str, Field] = {
    "address": ADDRESS,
    "description": Text(chars_max=1_000, clears=True),
    "email": Email(clears=True),
    "invoice_settings": Nested(fields={"default_payment_method": METHOD}),
    "metadata": METADATA,
    "name": Text(chars_max=200, clears=True),
    "phone": Text(chars_max=40, clears=True),
}
CREATE = Form({**_FIELDS, "payment_method": METHOD})
CHANGE = Form(_FIELDS)
LIST = page_form(CUSTOMER, created=False, email=Email())


async def create(call: Call) -> Reply:
    """Make a customer; a payment method that is named is attached to it, in a commit of its own."""
    got = call.got
    method_id: UUID | None = got.get("payment_method")
    if method_id is not None:
        await call.services.methods.get(call.scope, method_id)
    values = _values(got)
    draft = CustomerDraft(**{**values, "metadata": filled(values.get("metadata"))})
    render = _render(call)
    done = await call.services.customers.create(call.scope, draft, ask=call.ask(render))
    if method_id is not None and done.view is not None:
        await call.services.methods.attach(call.scope, method_id, done.view.customer_id, ask=None)
    return replied(done, render)


async def change(call: Call) -> Reply:
    """Change a customer."""
    render = _render(call)
    done = await call.services.customers.change(
        call.scope, call.subject_id, CustomerChange(**_values(call.got)), ask=call.ask(render)
    )
    return replied(done, render)


async def delete(call: Call) -> Reply:
    """Delete a customer."""

    def render(customer: Customer) -> Rendered:
        return rendered(deleted_object("customer", uuid_text(CUSTOMER_PREFIX, customer.customer_id)))

    return replied(
        await call.services.customers.delete(call.scope, call.subject_id, ask=call.ask(render)), render
    )


async def get(call: Call) -> Reply:
    """Read one, or what is left of it."""
    customer = await call.services.customers.get(call.scope, call.subject_id)
    return Reply(customer_object(customer, live=call.scope.live))


async def page(call: Call) -> Reply:
    """List them, newest first; by e-mail address where one is given."""
    order = page_order(call.got)
    found = await call.services.customers.page(
        call.scope,
        email=call.got.get("email"),
        limit=order.limit,
        after=order.after,
        before=order.before,
    )
    return page_reply(call, found, lambda customer: customer_object(customer, live=call.scope.live))


async def get_account(call: Call) -> Reply:
    """Read the merchant's own account."""
    return Reply(account_object(await call.services.accounts.own(call.scope)))


def _render(call: Call) -> Callable[[Customer], Rendered]:
    return lambda customer: rendered(customer_object(customer, live=call.scope.live))


def _values(got: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a customer that are there, under our names."""
    values = {
        name: got[name] for name in ("description", "email", "metadata", "name", "phone") if name in got
    }
    if "address" in got:
        parts = got["address"]
        values["address"] = None if parts is None else _address(parts)
    settings = got.get("invoice_settings", {})
    if "default_payment_method" in settings:
        values["default_payment_method"] = uuid_text("pm", settings["default_payment_method"])
    return values


def _address(parts: Mapping[str, str | None]) -> Address:
    return Address(**{("region" if name == "state" else name): text or "" for name, text in parts.items()})


def _route(
    method: str, path: str, handler: Handler, form: Form, summary: str, *, lists: bool = False
) -> Route:
    return Route(
        method=method,
        path="/customers" + path,
        handler=handler,
        permission=Permission.CUSTOMERS_READ if method == "GET" else Permission.CUSTOMERS_WRITE,
        form=form,
        answers="customer",
        summary=summary,
        subject=CUSTOMER if path else None,
        lists=lists,
    )


ROUTES = (
    _route("POST", "", create, CREATE, "Create a customer"),
    _route("GET", "", page, LIST, "List customers", lists=True),
    _route("GET", "/{id}", get, NOTHING, "Retrieve a customer"),
    _route("POST", "/{id}", change, CHANGE, "Update a customer"),
    _route("DELETE", "/{id}", delete, NOTHING, "Delete a customer"),
    Route(
        method="GET",
        path="/account",
        handler=get_account,
        permission=Permission.MERCHANT_READ,
        form=NOTHING,
        answers="account",
        summary="Retrieve your account",
    ),
)
