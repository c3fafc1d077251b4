"""Refunds and disputes."""

from collections.abc import Callable
from functools import partial

from tongbao.core.requests.asks import Rendered
from tongbao.parties.schema import Permission
from tongbao.payments.schema.orders import RefundView
from tongbao.payments.schema.refunds import EVIDENCE_CHARS_MAX, EVIDENCE_FIELDS, Dispute, Refund
from tongbao.web.api.v1.fields import Boolean, Choice, Form, Nested, Text
from tongbao.web.api.v1.renderings.refunds import dispute_object, refund_object
from tongbao.web.api.v1.requests import Call
from tongbao.web.api.v1.routes.parameters import (
    AMOUNT,
    CHARGE,
    DISPUTE,
    INTENT,
    METADATA,
    NOTHING,
    REFUND,
    exclusive,
    filled,
    missing,
    page_form,
    page_order,
    page_reply,
)
from tongbao.web.api.v1.routing import Handler, Reply, Route, rendered, replied

REASONS = ("duplicate", "fraudulent", "requested_by_customer")
CREATE = Form(
    {
        "amount": AMOUNT,
        "charge": CHARGE,
        "metadata": METADATA,
        "payment_intent": INTENT,
        "reason": Choice(values=REASONS),
    }
)
CHANGE = Form({"metadata": METADATA})
EVIDENCE = Form(
    {
        "evidence": Nested(
            fields={name: Text(chars_max=EVIDENCE_CHARS_MAX, clears=True) for name in EVIDENCE_FIELDS}
        ),
        "metadata": METADATA,
        "submit": Boolean(about="Hand the evidence in; true without."),
    }
)


async def create(call: Call) -> Reply:
    """Give captured money of an intent or a charge back."""
    got = call.got
    if "charge" in got and "payment_intent" in got:
        raise exclusive("charge", "payment_intent")
    if "charge" not in got and "payment_intent" not in got:
        raise missing("payment_intent")
    done = await call.services.refunds.create(
        call.scope,
        intent_id=got.get("payment_intent"),
        attempt_id=got.get("charge"),
        amount_minor=got.get("amount"),
        cause=got.get("reason"),
        metadata=filled(got.get("metadata")),
        ask=call.ask(_made),
    )
    return replied(done, _made)


async def change(call: Call) -> Reply:
    """Change its metadata."""
    metadata: dict[str, str] = call.got.get("metadata", {})
    done = await call.services.refunds.change(call.scope, call.subject_id, metadata, ask=call.ask(_refund))
    return replied(done, _refund)


async def get(call: Call) -> Reply:
    """Read one."""
    return Reply(refund_object(await call.services.refunds.get(call.scope, call.subject_id)))


async def page(call: Call) -> Reply:
    """List them, newest first."""
    got = call.got
    containing: dict[str, object] | None = {"attempt_id": str(got["charge"])} if "charge" in got else None
    order = page_order(got, parent_id=got.get("payment_intent"), containing=containing)
    return page_reply(call, await call.services.refunds.page(call.scope, order), refund_object)


async def answer_dispute(call: Call) -> Reply:
    """Merge evidence and metadata, and hand the evidence in unless ``submit`` is false."""
    evidence = {name: text or "" for name, text in call.got.get("evidence", {}).items()}
    render = _dispute(call)
    done = await call.services.disputes.change(
        call.scope,
        call.subject_id,
        evidence=evidence or None,
        metadata=call.got.get("metadata"),
        submit=call.got.get("submit", bool(evidence)),
        ask=call.ask(render),
    )
    return replied(done, render)


async def close_dispute(call: Call) -> Reply:
    """Accept a dispute as lost."""
    render = _dispute(call)
    return replied(
        await call.services.disputes.close(call.scope, call.subject_id, ask=call.ask(render)), render
    )


async def get_dispute(call: Call) -> Reply:
    """Read one."""
    dispute = await call.services.disputes.get(call.scope, call.subject_id)
    return Reply(dispute_object(dispute, call.services.clock.now()))


async def page_disputes(call: Call) -> Reply:
    """List them, newest first."""
    got = call.got
    containing: dict[str, object] | None = {"attempt_id": str(got["charge"])} if "charge" in got else None
    order = page_order(got, parent_id=got.get("payment_intent"), containing=containing)
    render = partial(dispute_object, now=call.services.clock.now())
    return page_reply(call, await call.services.disputes.page(call.scope, order), render)


def _made(view: RefundView) -> Rendered:
    return rendered(refund_object(view.refund))


def _refund(refund: Refund) -> Rendered:
    return rendered(refund_object(refund))


def _dispute(call: Call) -> Callable[[Dispute], Rendered]:
    now = call.services.clock.now()
    return lambda dispute: rendered(dispute_object(dispute, now))


def _route(
    method: str, path: str, handler: Handler, form: Form, summary: str, *, lists: bool = False
) -> Route:
    disputes = path.startswith("/disputes")
    reads, writes = (
        (Permission.DISPUTES_READ, Permission.DISPUTES_WRITE)
        if disputes
        else (Permission.REFUNDS_READ, Permission.REFUNDS_WRITE)
    )
    return Route(
        method=method,
        path=path,
        handler=handler,
        permission=reads if method == "GET" else writes,
        form=form,
        answers="dispute" if disputes else "refund",
        summary=summary,
        subject=(DISPUTE if disputes else REFUND) if "{id}" in path else None,
        lists=lists,
        moves_money=method == "POST",
    )


ROUTES = (
    _route("POST", "/refunds", create, CREATE, "Create a refund"),
    _route(
        "GET",
        "/refunds",
        page,
        page_form(REFUND, charge=CHARGE, payment_intent=INTENT),
        "List refunds",
        lists=True,
    ),
    _route("GET", "/refunds/{id}", get, NOTHING, "Retrieve a refund"),
    _route("POST", "/refunds/{id}", change, CHANGE, "Update a refund"),
    _route(
        "GET",
        "/disputes",
        page_disputes,
        page_form(DISPUTE, charge=CHARGE, payment_intent=INTENT),
        "List disputes",
        lists=True,
    ),
    _route("GET", "/disputes/{id}", get_dispute, NOTHING, "Retrieve a dispute"),
    _route("POST", "/disputes/{id}", answer_dispute, EVIDENCE, "Update a dispute"),
    _route("POST", "/disputes/{id}/close", close_dispute, NOTHING, "Close a dispute"),
)
