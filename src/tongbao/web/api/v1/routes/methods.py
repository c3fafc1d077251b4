"""Payment methods, tokens, set-up intents and mandates."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from tongbao.core.requests.asks import Rendered
from tongbao.parties.schema import Permission
from tongbao.payments.schema.methods import PaymentMethod, Period, SetupState
from tongbao.payments.schema.orders import MandateTerms, SetupView
from tongbao.web.api.v1.errors import declined
from tongbao.web.api.v1.fields import Boolean, Choice, CurrencyCode, Form, Id, Instant, Integer, Nested, Text
from tongbao.web.api.v1.renderings.methods import (
    bare_setup_object,
    mandate_object,
    method_object,
    setup_object,
    token_object,
)
from tongbao.web.api.v1.requests import Call
from tongbao.web.api.v1.routes.cards import (
    KINDS,
    METHOD_DATA,
    METHOD_FORM,
    PAYMENT_METHOD,
    TOKEN_FORM,
    Chosen,
    described,
    saved,
    sealed,
)
from tongbao.web.api.v1.routes.parameters import (
    ACCEPTANCE,
    AMOUNT,
    BILLING,
    CUSTOMER,
    MANDATE,
    METADATA,
    METHOD,
    NOTHING,
    SETUP,
    accepted_address,
    customer_of,
    filled,
    page_form,
    page_order,
    page_reply,
)
from tongbao.web.api.v1.routing import Handler, Reply, Route, rendered, replied

CHANGE = Form(
    {
        "billing_details": BILLING,
        "card": Nested(
            fields={
                "exp_month": Integer(minimum=1, maximum=12),
                "exp_year": Integer(minimum=2000, maximum=9_999),
            }
        ),
        "metadata": METADATA,
    }
)
ATTACH = Form({"customer": Id(prefixes=CUSTOMER.prefixes, what=CUSTOMER.what, required=True)})
_CAPS = Nested(
    about="What the payer permits; minor units of the currency.",
    fields={
        "amount": AMOUNT,
        "currency": CurrencyCode(),
        "ends_at": Instant(),
        "period": Choice(values=tuple(each.value for each in Period)),
        "period_amount": AMOUNT,
        "period_count": Integer(minimum=1, maximum=1_000_000),
    },
)
_SETTING_UP = {
    "caps": _CAPS,
    "mandate_data": ACCEPTANCE,
    "payment_method": PAYMENT_METHOD,
    "payment_method_data": METHOD_DATA,
}
SETUP_CREATE = Form(
    {
        **_SETTING_UP,
        "automatic_payment_methods": Nested(fields={"enabled": Boolean(required=True)}),
        "confirm": Boolean(about="Keep the method at once."),
        "customer": CUSTOMER,
        "description": Text(chars_max=1_000),
        "metadata": METADATA,
        "usage": Choice(values=("off_session", "on_session")),
    }
)
SETUP_CONFIRM = Form(_SETTING_UP)
SETUP_CANCEL = Form(
    {"cancellation_reason": Choice(values=("abandoned", "duplicate", "requested_by_customer"))}
)


async def create_token(call: Call) -> Reply:
    """Seal a card; its token is that of a method which nobody owns yet."""
    return await _kept(call, await sealed(call, call.got["card"], "card"), _token)


async def create(call: Call) -> Reply:
    """Keep a method for later."""
    return await _kept(call, await described(call, call.got), _method)


async def get(call: Call) -> Reply:
    """Read one."""
    return Reply(method_object(await call.services.methods.get(call.scope, call.subject_id)))


async def page(call: Call) -> Reply:
    """List the methods of a customer, newest first."""
    owner_id: UUID | None = call.got.get("customer")
    if call.subject_id.int:
        await call.services.customers.get(call.scope, call.subject_id)
        owner_id = call.subject_id
    kind = call.got.get("type")
    containing: dict[str, object] | None = {"method": {"type": kind}} if kind else None
    order = page_order(call.got, owner_id=owner_id, containing=containing)
    return page_reply(call, await call.services.methods.page(call.scope, order), method_object)


async def change(call: Call) -> Reply:
    """Change what surrounds a method, or its expiry."""
    card = call.got.get("card", {})
    done = await call.services.methods.change(
        call.scope,
        call.subject_id,
        billing=call.got.get("billing_details"),
        exp_month=card.get("exp_month"),
        exp_year=card.get("exp_year"),
        metadata=call.got.get("metadata"),
        ask=call.ask(_method),
    )
    return replied(done, _method)


async def attach(call: Call) -> Reply:
    """Give a method to a customer."""
    customer_id = await customer_of(call)
    assert customer_id is not None
    done = await call.services.methods.attach(call.scope, call.subject_id, customer_id, ask=call.ask(_method))
    return replied(done, _method)


async def detach(call: Call) -> Reply:
    """Take a method from its customer."""
    done = await call.services.methods.detach(call.scope, call.subject_id, ask=call.ask(_method))
    return replied(done, _method)


async def create_setup(call: Call) -> Reply:
    """Make a set-up intent, and keep its method at once with ``confirm``."""
    got = call.got
    confirms: bool = got.get("confirm", False)
    render = _render_setup(call, collects=confirms)
    done = await call.services.setups.create(
        call.scope,
        customer_id=await customer_of(call),
        method_id=await saved(call),
        usage=got.get("usage", "off_session"),
        description=got.get("description"),
        terms=_terms(got),
        metadata=filled(got.get("metadata")),
        confirm=confirms,
        payer_address=accepted_address(got),
        ask=call.ask(render),
    )
    return replied(done, render)


async def confirm_setup(call: Call) -> Reply:
    """Check the method at a channel and keep it."""
    render = _render_setup(call, collects=True)
    done = await call.services.setups.confirm(
        call.scope,
        call.subject_id,
        method_id=await saved(call),
        terms=_terms(call.got),
        payer_address=accepted_address(call.got),
        ask=call.ask(render),
    )
    return replied(done, render)


async def cancel_setup(call: Call) -> Reply:
    """End a set-up intent."""
    render = _render_setup(call, collects=False)
    reason: str | None = call.got.get("cancellation_reason")
    done = await call.services.setups.cancel(call.scope, call.subject_id, reason, ask=call.ask(render))
    return replied(done, render)


async def get_setup(call: Call) -> Reply:
    """Read one."""
    return Reply(setup_object(await call.services.setups.get(call.scope, call.subject_id)))


async def page_setups(call: Call) -> Reply:
    """List them, newest first."""
    order = page_order(call.got, owner_id=call.got.get("customer"))
    return page_reply(call, await call.services.setups.page(call.scope, order), bare_setup_object)


async def get_mandate(call: Call) -> Reply:
    """Read one."""
    return Reply(mandate_object(await call.services.setups.mandate(call.scope, call.subject_id)))


def _token(method: PaymentMethod) -> Rendered:
    return rendered(token_object(method))


def _method(method: PaymentMethod) -> Rendered:
    return rendered(method_object(method))


def _render_setup(call: Call, *, collects: bool) -> Callable[[SetupView], Rendered]:
    """Return how a view becomes an answer: 402 where this very request asked a channel and got a no."""

    def render(view: SetupView) -> Rendered:
        tree = setup_object(view)
        error = view.setup.last_error
        if not collects or error is None or view.setup.state is not SetupState.REQUIRES_PAYMENT_METHOD:
            return rendered(tree)
        method = method_object(view.method) if view.method else None
        return declined(error, about="setup_intent", subject=tree, method=method, chinese=call.chinese)

    return render


def _terms(got: dict[str, Any]) -> MandateTerms | None:
    caps = got.get("caps")
    if caps is None:
        return None
    return MandateTerms(
        currency=caps.get("currency"),
        amount_minor_max=caps.get("amount"),
        period=caps.get("period"),
        period_minor_max=caps.get("period_amount"),
        period_count_max=caps.get("period_count"),
        ends_at=caps.get("ends_at"),
    )


async def _kept(call: Call, with_what: Chosen, render: Callable[[PaymentMethod], Rendered]) -> Reply:
    assert with_what.method is not None
    done = await call.services.methods.create(
        call.scope,
        with_what.method,
        billing=call.got.get("billing_details"),
        fingerprint=with_what.fingerprint,
        metadata=filled(call.got.get("metadata")),
        ask=call.ask(render),
    )
    return replied(done, render)


def _route(
    method: str,
    path: str,
    handler: Handler,
    form: Form,
    summary: str,
    *,
    permission: Permission | None = None,
    subject: Id = METHOD,
    answers: str = "payment_method",
    lists: bool = False,
) -> Route:
    usual = Permission.PAYMENTS_READ if method == "GET" else Permission.PAYMENTS_WRITE
    return Route(
        method=method,
        path=path,
        handler=handler,
        permission=permission or usual,
        form=form,
        answers=answers,
        summary=summary,
        subject=subject if "{id}" in path else None,
        lists=lists,
    )


_LIST = page_form(METHOD, type=Choice(values=(*KINDS, "wallet")))
_LIST_ALL = page_form(METHOD, customer=CUSTOMER, type=Choice(values=(*KINDS, "wallet")))
_SETUPS = page_form(SETUP, customer=CUSTOMER)
ROUTES = (
    _route(
        "POST",
        "/tokens",
        create_token,
        TOKEN_FORM,
        "Create a token",
        permission=Permission.METHODS_CREATE,
        answers="token",
    ),
    _route(
        "POST",
        "/payment_methods",
        create,
        METHOD_FORM,
        "Create a payment method",
        permission=Permission.METHODS_CREATE,
    ),
    _route("GET", "/payment_methods", page, _LIST_ALL, "List payment methods", lists=True),
    _route("GET", "/payment_methods/{id}", get, NOTHING, "Retrieve a payment method"),
    _route("POST", "/payment_methods/{id}", change, CHANGE, "Update a payment method"),
    _route("POST", "/payment_methods/{id}/attach", attach, ATTACH, "Attach a payment method"),
    _route("POST", "/payment_methods/{id}/detach", detach, NOTHING, "Detach a payment method"),
    _route(
        "GET",
        "/customers/{id}/payment_methods",
        page,
        _LIST,
        "List a customer's payment methods",
        subject=CUSTOMER,
        lists=True,
    ),
    _route(
        "POST",
        "/setup_intents",
        create_setup,
        SETUP_CREATE,
        "Create a setup intent",
        subject=SETUP,
        answers="setup_intent",
    ),
    _route(
        "GET",
        "/setup_intents",
        page_setups,
        _SETUPS,
        "List setup intents",
        lists=True,
        subject=SETUP,
        answers="setup_intent",
    ),
    _route(
        "GET",
        "/setup_intents/{id}",
        get_setup,
        NOTHING,
        "Retrieve a setup intent",
        subject=SETUP,
        answers="setup_intent",
    ),
    _route(
        "POST",
        "/setup_intents/{id}/confirm",
        confirm_setup,
        SETUP_CONFIRM,
        "Confirm a setup intent",
        subject=SETUP,
        answers="setup_intent",
    ),
    _route(
        "POST",
        "/setup_intents/{id}/cancel",
        cancel_setup,
        SETUP_CANCEL,
        "Cancel a setup intent",
        subject=SETUP,
        answers="setup_intent",
    ),
    _route(
        "GET",
        "/mandates/{id}",
        get_mandate,
        NOTHING,
        "Retrieve a mandate",
        subject=MANDATE,
        answers="mandate",
    ),
)
