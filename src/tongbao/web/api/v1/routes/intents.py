"""Payment intents: make, change, confirm, capture, cancel, raise, read, list, search."""

from collections.abc import Callable, Mapping
from typing import Any

from tongbao.channels.schema import METHOD_KINDS
from tongbao.core.requests.asks import Rendered
from tongbao.parties.schema import Permission
from tongbao.payments.schema.intents import (
    DESCRIPTION_CHARS_MAX,
    DESCRIPTOR_CHARS_MAX,
    REFERENCE_CHARS_MAX,
    CancelReason,
    CaptureMethod,
    IntentState,
)
from tongbao.payments.schema.orders import ConfirmOrder, IntentChange, IntentOrder, IntentView
from tongbao.web.api.v1.errors import declined
from tongbao.web.api.v1.fields import (
    AMOUNT_MINOR_MAX,
    Boolean,
    Choice,
    CurrencyCode,
    Email,
    Field,
    Form,
    Instant,
    Integer,
    Many,
    Nested,
    Text,
    Url,
)
from tongbao.web.api.v1.renderings.bases import search_object
from tongbao.web.api.v1.renderings.intents import intent_object
from tongbao.web.api.v1.renderings.methods import method_object
from tongbao.web.api.v1.requests import Call
from tongbao.web.api.v1.routes import searching
from tongbao.web.api.v1.routes.cards import METHOD_DATA, PAYMENT_METHOD, Chosen, chosen, saved
from tongbao.web.api.v1.routes.parameters import (
    ACCEPTANCE,
    AMOUNT,
    CUSTOMER,
    INTENT,
    MANDATE,
    METADATA,
    METHOD,
    NOTHING,
    PAGE_SIZE_MAX,
    RADAR,
    SHIPPING,
    accepted_address,
    customer_of,
    device_of,
    exclusive,
    filled,
    missing,
    page_form,
    page_order,
    page_reply,
    url_of,
)
from tongbao.web.api.v1.routing import Handler, Reply, Route, rendered, replied

KIND = "payment_intent"
CAPTURE_METHODS = tuple(each.value for each in CaptureMethod)
CANCEL_REASONS = tuple(
    each.value
    for each in (
        CancelReason.DUPLICATE,
        CancelReason.FRAUDULENT,
        CancelReason.REQUESTED_BY_CUSTOMER,
        CancelReason.ABANDONED,
    )
)
_DESCRIBING: dict[str, Field] = {
    "description": Text(chars_max=DESCRIPTION_CHARS_MAX, clears=True),
    "metadata": METADATA,
    "payment_method_types": Many(item=Choice(values=METHOD_KINDS), items_max=len(METHOD_KINDS)),
    "receipt_email": Email(clears=True),
    "setup_future_usage": Choice(values=("off_session", "on_session"), clears=True),
    "shipping": SHIPPING,
    "statement_descriptor": Text(chars_max=DESCRIPTOR_CHARS_MAX, clears=True),
    "transfer_group": Text(chars_max=200, clears=True),
}
_COLLECTING: dict[str, Field] = {
    "capture_method": Choice(values=CAPTURE_METHODS),
    "mandate": MANDATE,
    "mandate_data": ACCEPTANCE,
    "off_session": Boolean(about="The payer is not here: under a mandate."),
    "payment_method": PAYMENT_METHOD,
    "payment_method_data": METHOD_DATA,
    "payment_method_options": Nested(
        fields={
            "card": Nested(
                fields={"request_extended_authorization": Choice(values=("if_available", "never"))}
            )
        }
    ),
    "radar_options": RADAR,
    "return_url": Url(about="Where the payer comes back to."),
    "use_stripe_sdk": Boolean(about="Accepted, and without effect."),
}
CREATE = Form(
    {
        "amount": Integer(minimum=1, maximum=AMOUNT_MINOR_MAX, required=True, about="In minor units."),
        "automatic_payment_methods": Nested(
            fields={
                "allow_redirects": Choice(values=("always", "never")),
                "enabled": Boolean(required=True),
            }
        ),
        "confirm": Boolean(about="Collect at once."),
        "confirmation_method": Choice(values=("automatic",)),
        "currency": CurrencyCode(required=True, about="ISO 4217."),
        "customer": CUSTOMER,
        "expires_at": Instant(about="When an unpaid intent is canceled."),
        "merchant_reference": Text(
            chars_max=REFERENCE_CHARS_MAX, about="Your order: one reference, one payment intent."
        ),
        **_DESCRIBING,
        **_COLLECTING,
    }
)
CHANGE = Form(
    {
        "amount": AMOUNT,
        "capture_method": Choice(values=CAPTURE_METHODS),
        "currency": CurrencyCode(),
        "customer": CUSTOMER,
        "payment_method": METHOD,
        **_DESCRIBING,
    }
)
CONFIRM = Form(_COLLECTING)
CAPTURE = Form(
    {
        "amount_to_capture": AMOUNT,
        "final_capture": Boolean(about="Release what is not captured; true without."),
    }
)
CANCEL = Form({"cancellation_reason": Choice(values=CANCEL_REASONS)})
INCREMENT = Form({"amount": Integer(minimum=1, maximum=AMOUNT_MINOR_MAX, required=True, about="New total.")})
SEARCH = Form(
    {
        "limit": Integer(minimum=1, maximum=PAGE_SIZE_MAX),
        "page": INTENT,
        "query": Text(
            chars_max=1_000, required=True, about="Such as: status:'succeeded' AND metadata['k']:'v'."
        ),
    }
)


async def create(call: Call) -> Reply:
    """Make an intent, and collect it at once with ``confirm``."""
    got = call.got
    collects = got.get("confirm", False)
    _check_together(got, collects)
    # What is collected now needs no saved method; what is confirmed later does.
    with_what = await chosen(call) if collects else Chosen(method_id=await saved(call))
    order = IntentOrder(
        amount_minor=got["amount"],
        currency=got["currency"],
        capture_method=CaptureMethod(got.get("capture_method", CaptureMethod.AUTOMATIC)),
        method_kinds=_kinds(got),
        customer_id=await customer_of(call),
        method_id=with_what.method_id,
        method=with_what.method,
        description=got.get("description"),
        descriptor=got.get("statement_descriptor"),
        receipt_email=got.get("receipt_email"),
        merchant_reference=got.get("merchant_reference"),
        transfer_group=got.get("transfer_group"),
        setup_future_usage=got.get("setup_future_usage"),
        shipping=got.get("shipping"),
        metadata=filled(got.get("metadata")),
        expires_at=got.get("expires_at"),
        confirm=_how(call, with_what) if collects else None,
    )
    render = _render(call, collects=collects)
    return replied(await call.services.intents.create(call.scope, order, ask=call.ask(render)), render)


async def confirm(call: Call) -> Reply:
    """Try to collect."""
    with_what = await chosen(call)
    order = _how(call, with_what)
    render = _render(call, collects=True)
    done = await call.services.intents.confirm(call.scope, call.subject_id, order, ask=call.ask(render))
    return replied(done, render)


async def change(call: Call) -> Reply:
    """Change what is not confirmed yet."""
    got = call.got
    names = {
        "amount_minor": "amount",
        "currency": "currency",
        "method_kinds": "payment_method_types",
        "customer_id": "customer",
        "method_id": "payment_method",
        "description": "description",
        "descriptor": "statement_descriptor",
        "receipt_email": "receipt_email",
        "transfer_group": "transfer_group",
        "setup_future_usage": "setup_future_usage",
        "shipping": "shipping",
        "metadata": "metadata",
    }
    await customer_of(call)
    changes: dict[str, Any] = {ours: got[theirs] for ours, theirs in names.items() if theirs in got}
    if "capture_method" in got:
        changes["capture_method"] = CaptureMethod(got["capture_method"])
    render = _render(call)
    done = await call.services.intents.change(
        call.scope, call.subject_id, IntentChange(**changes), ask=call.ask(render)
    )
    return replied(done, render)


async def capture(call: Call) -> Reply:
    """Claim authorized money, all of it without an amount."""
    amount_minor: int | None = call.got.get("amount_to_capture")
    final: bool | None = call.got.get("final_capture")
    render = _render(call)
    done = await call.services.intents.capture(
        call.scope, call.subject_id, amount_minor, final=final, ask=call.ask(render)
    )
    return replied(done, render)


async def cancel(call: Call) -> Reply:
    """End an intent that was not paid."""
    reason = CancelReason(call.got["cancellation_reason"]) if call.got else None
    render = _render(call)
    return replied(
        await call.services.intents.cancel(call.scope, call.subject_id, reason, ask=call.ask(render)), render
    )


async def increment(call: Call) -> Reply:
    """Raise an authorization to a new total."""
    render = _render(call)
    done = await call.services.intents.increment(
        call.scope, call.subject_id, call.got["amount"], ask=call.ask(render)
    )
    return replied(done, render)


async def get(call: Call) -> Reply:
    """Read one."""
    return Reply(intent_object(await call.services.intents.get(call.scope, call.subject_id)))


async def page(call: Call) -> Reply:
    """List them, newest first."""
    order = page_order(call.got, owner_id=call.got.get("customer"))
    return page_reply(call, await call.services.intents.page(call.scope, order), intent_object)


async def search(call: Call) -> Reply:
    """Find them by what they hold."""
    order = searching.page_order(call.got)
    found = await call.services.intents.page(call.scope, order)
    trees = [intent_object(view) for view in found.items]
    return Reply(search_object(url_of(call), trees, has_more=found.has_more))


def _render(call: Call, *, collects: bool = False) -> Callable[[IntentView], Rendered]:
    """Return how a view becomes an answer: 402 where this very request tried to collect and got a no."""

    def render(view: IntentView) -> Rendered:
        tree = intent_object(view)
        error = view.intent.last_error
        if not collects or error is None or view.intent.state is not IntentState.REQUIRES_PAYMENT_METHOD:
            return rendered(tree)
        method = method_object(view.method) if view.method else None
        return declined(error, about=KIND, subject=tree, method=method, chinese=call.chinese)

    return render


def _how(call: Call, with_what: Chosen) -> ConfirmOrder:
    got = call.got
    is_change = "capture_method" in got and call.subject_id.int
    return ConfirmOrder(
        method_id=with_what.method_id,
        method=with_what.method,
        mandate_id=got.get("mandate"),
        off_session=got.get("off_session"),
        return_url=got.get("return_url"),
        payer_address=accepted_address(got),
        device=device_of(got),
        capture_method=CaptureMethod(got["capture_method"]) if is_change else None,
        extended=_extended(got),
    )


def _extended(got: Mapping[str, Any]) -> bool:
    """Return whether an authorization shall be kept for longer than usual, where the channel can."""
    wanted = got.get("payment_method_options", {}).get("card", {}).get("request_extended_authorization")
    return bool(wanted == "if_available")


def _kinds(got: dict[str, Any]) -> tuple[str, ...]:
    """Return with what kinds of methods it may be paid; automatic ones are all that there are."""
    if got.get("automatic_payment_methods", {}).get("enabled"):
        return METHOD_KINDS
    kinds: tuple[str, ...] = got.get("payment_method_types", ())
    return kinds


def _check_together(got: dict[str, Any], collects: bool) -> None:
    """Raise InvalidRequest for parameters that need each other, or exclude each other."""
    if "automatic_payment_methods" in got and "payment_method_types" in got:
        raise exclusive("automatic_payment_methods", "payment_method_types")
    only_confirming = ("mandate", "mandate_data", "off_session", "return_url")
    if not collects and any(name in got for name in only_confirming):
        raise missing("confirm")


def _route(method: str, path: str, handler: Handler, form: Form, summary: str, **more: bool) -> Route:
    needed = Permission.PAYMENTS_READ if method == "GET" else Permission.PAYMENTS_WRITE
    return Route(
        method=method,
        path="/payment_intents" + path,
        handler=handler,
        permission=needed,
        form=form,
        answers=KIND,
        summary=summary,
        subject=INTENT if "{id}" in path else None,
        moves_money=method == "POST",
        **more,
    )


ROUTES = (
    _route("POST", "", create, CREATE, "Create a payment intent"),
    _route("GET", "", page, page_form(INTENT, customer=CUSTOMER), "List payment intents", lists=True),
    _route("GET", "/search", search, SEARCH, "Search payment intents", lists=True),
    _route("GET", "/{id}", get, NOTHING, "Retrieve a payment intent"),
    _route("POST", "/{id}", change, CHANGE, "Update a payment intent"),
    _route("POST", "/{id}/confirm", confirm, CONFIRM, "Confirm a payment intent"),
    _route("POST", "/{id}/capture", capture, CAPTURE, "Capture a payment intent"),
    _route("POST", "/{id}/cancel", cancel, CANCEL, "Cancel a payment intent"),
    _route("POST", "/{id}/increment_authorization", increment, INCREMENT, "Increment an authorization"),
)
