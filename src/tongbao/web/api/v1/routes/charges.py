"""Charges: attempts, to be read."""

from tongbao.parties.schema import Permission
from tongbao.web.api.v1.fields import Form
from tongbao.web.api.v1.renderings.attempts import charge_object
from tongbao.web.api.v1.requests import Call
from tongbao.web.api.v1.routes.parameters import (
    CHARGE,
    CUSTOMER,
    INTENT,
    NOTHING,
    page_form,
    page_order,
    page_reply,
)
from tongbao.web.api.v1.routing import Handler, Reply, Route


async def get(call: Call) -> Reply:
    """Read one, by ``ch_`` or ``pa_``."""
    return Reply(charge_object(await call.services.intents.attempt(call.scope, call.subject_id)))


async def page(call: Call) -> Reply:
    """List them, newest first."""
    got = call.got
    containing: dict[str, object] | None = (
        {"customer_id": str(got["customer"])} if "customer" in got else None
    )
    order = page_order(got, parent_id=got.get("payment_intent"), containing=containing)
    return page_reply(call, await call.services.intents.attempts(call.scope, order), charge_object)


def _route(path: str, handler: Handler, form: Form, summary: str, *, lists: bool = False) -> Route:
    return Route(
        method="GET",
        path="/charges" + path,
        handler=handler,
        permission=Permission.PAYMENTS_READ,
        form=form,
        answers="charge",
        summary=summary,
        subject=CHARGE if "{id}" in path else None,
        lists=lists,
    )


ROUTES = (
    _route("", page, page_form(CHARGE, customer=CUSTOMER, payment_intent=INTENT), "List charges", lists=True),
    _route("/{id}", get, NOTHING, "Retrieve a charge"),
)
