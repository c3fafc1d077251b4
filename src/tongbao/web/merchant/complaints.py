"""``/merchant/{merchant}/complaints``: what payers of wallets ask about payments, beside the disputes, and the answer.

A complaint is answered in words here, or by a refund on the payment's own page, to which this one leads with the reason filled in.
"""

from datetime import timedelta

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from tongbao.core.errors import AppError
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import Permission
from tongbao.payments.schema.complaints import WORDS_CHARS_MAX, Complaint, ComplaintCause, ComplaintState
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import PageOrder
from tongbao.web.merchant import documents
from tongbao.web.merchant.payments_view import cursor, named, what_of
from tongbao.web.merchant.portal import PREFIX, Desk, PageRoute, Portal, Shown, path_id, short, status_of
from tongbao.web.ui.forms import Form
from tongbao.web.ui.money import instant, plain_amount
from tongbao.web.ui.tables import Column, Filter, Query, Row, Table

ROWS = 25
COUNTED_MAX = 100
SOON = timedelta(days=2)
TONES = {
    ComplaintState.OPEN: "warn",
    ComplaintState.ANSWERED: "review",
    ComplaintState.REFUNDED: "ok",
    ComplaintState.WITHDRAWN: "plain",
}
REFUND_CAUSES = {ComplaintCause.UNRECOGNIZED: "fraudulent", ComplaintCause.DUPLICATE: "duplicate"}
"""The reason that a refund gets by itself; any other is what the customer asked for."""


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(f"{PREFIX}/complaints", response_model=None)
    async def complaints(request: Request, merchant: str) -> Response:
        visitor = await portal.guards.at_merchant(request, merchant, Permission.DISPUTES_READ)
        return await _list(Desk(portal, request, visitor))

    @routes.get(f"{PREFIX}/complaints/{{complaint}}", response_model=None)
    async def complaint(request: Request, merchant: str, complaint: str) -> Response:
        visitor = await portal.guards.at_merchant(request, merchant, Permission.DISPUTES_READ)
        desk = Desk(portal, request, visitor)
        return await _page(desk, await _read(desk, complaint), Form({}, desk.ui))

    @routes.post(f"{PREFIX}/complaints/{{complaint}}", response_model=None)
    async def answer(request: Request, merchant: str, complaint: str) -> Response:
        visitor = await portal.guards.at_merchant(request, merchant, Permission.DISPUTES_WRITE)
        return await _answer(Desk(portal, request, visitor), complaint)

    return routes


async def tabs(desk: Desk) -> list[tuple[str, Markup, str, int | None]]:
    """Return the way between disputes and complaints, with how many of these wait for an answer."""
    waiting = await waiting_count(desk)
    return [
        ("disputes", desk.t("disputes"), desk.to("/disputes"), None),
        ("complaints", desk.t("complaints"), desk.to("/complaints"), waiting or None),
    ]


async def waiting_count(desk: Desk) -> int:
    """Return how many complaints wait for an answer, counted up to ``COUNTED_MAX``."""
    order = PageOrder(limit=COUNTED_MAX, state=ComplaintState.OPEN.value)
    page = await desk.portal.house.payments.complaints.page(desk.visitor.scope, order)
    return len(page.items)


async def _answer(desk: Desk, reference: str) -> Response:
    """Send the answer in words, which ends the complaint."""
    found = await _read(desk, reference)
    fields = await desk.form()
    form = Form(fields, desk.ui)
    words = form.text("words", WORDS_CHARS_MAX)
    if form.errors:
        return await _page(desk, found, form, 422)
    ask = desk.ask("complaint.answer", fields)
    try:
        await desk.portal.house.payments.complaints.answer(desk.visitor.scope, found.id, words, ask=ask)
    except AppError as error:
        form.wrong("", desk.problem(error))
        return await _page(desk, await _read(desk, reference), form, status_of(error))
    return desk.done(f"/complaints/{reference}", "complaint_answered")


async def _read(desk: Desk, reference: str) -> Complaint:
    wanted = path_id(Complaint.PREFIX, reference)
    return await desk.portal.house.payments.complaints.get(desk.visitor.scope, wanted)


async def _page(desk: Desk, complaint: Complaint, form: Form, status: int = 200) -> Response:
    view = await desk.portal.house.payments.intents.get(desk.visitor.scope, complaint.intent_id)
    intent, is_open = view.intent, complaint.state is ComplaintState.OPEN
    cause = REFUND_CAUSES.get(complaint.cause, "requested_by_customer")
    link = Markup('<a href="{}">{}</a>').format(
        desk.to(f"/payments/{intent.reference}"), desk.ui.money(intent.amount_minor, intent.currency)
    )
    about = [
        (desk.t("c_payment"), link),
        (desk.t("c_what"), named(what_of(intent))),
        (desk.t("c_payer"), named(intent.receipt_email)),
        (desk.t("c_created"), desk.when(complaint.created_at)),
        (desk.t("c_due"), desk.when(complaint.answer_by, "day") if is_open else ""),
        (desk.t("c_ended"), desk.when(complaint.ended_at) if complaint.ended_at is not None else ""),
    ]
    context = {
        "complaint": complaint,
        "state": _state(complaint, desk),
        "about": [pair for pair in about if pair[1]],
        "form": form,
        "is_late": is_open and desk.portal.now() > complaint.answer_by,
        "can_answer": is_open and desk.visitor.may(Permission.DISPUTES_WRITE),
        "can_refund": is_open and desk.visitor.may(Permission.REFUNDS_WRITE),
        "refund_at": desk.to(f"/payments/{intent.reference}/refund", cause=cause),
        "words_max": WORDS_CHARS_MAX,
    }
    return desk.page(Shown("complaint.html", "disputes", context, status))


def table(desk: Desk) -> Table:
    """Return what the table is."""
    t = desk.t
    return Table(
        "complaints",
        str(t("complaints")),
        (
            Column("amount", str(t("c_amount")), fixed=True),
            Column("state", str(t("c_state"))),
            Column("due", str(t("c_due"))),
            Column("cause", str(t("c_cause"))),
            Column("payment", str(t("c_payment"))),
            Column("at", str(t("c_created"))),
            Column("currency", str(t("c_currency")), shown=False),
            Column("id", str(t("c_id")), shown=False),
        ),
        (
            Filter(
                "state",
                str(t("c_state")),
                tuple((each.value, str(t(f"complaint_{each}"))) for each in ComplaintState),
            ),
        ),
    )


async def _list(desk: Desk) -> Response:
    what = table(desk)
    query = desk.query(what)
    complaints, scope = desk.portal.house.payments.complaints, desk.visitor.scope
    state = query.filters.get("state")
    if desk.wants_csv:
        found = await documents.every(complaints.page, scope, PageOrder(state=state))
        every = Query(tuple(column.key for column in what.columns))
        return desk.csv("complaints", what, every, [_plain(each, desk) for each in found])
    page = await complaints.page(
        scope, PageOrder(limit=ROWS, state=state, after=cursor(query.after, Complaint.PREFIX))
    )
    rows = [Row(_cells(each, desk)) for each in page.items]
    after = page.items[-1].reference if page.has_more else ""
    shown = desk.table(query, what, rows, "/complaints", after, str(desk.t("complaints_empty")))
    context = {"view": shown, "title": "complaints", "actions": (), "tabs": await tabs(desk)}
    return desk.page(Shown("list.html", "disputes", context))


def _state(complaint: Complaint, desk: Desk) -> Markup:
    words = desk.t(f"complaint_{complaint.state}")
    return Markup('<span class="tag {}">{}</span>').format(TONES[complaint.state], words)


def _cells(complaint: Complaint, desk: Desk) -> dict[str, str | Markup]:
    payment = uuid_text(Intent.PREFIX, complaint.intent_id)
    return {
        "amount": Markup('<a href="{}">{}</a>').format(
            desk.to(f"/complaints/{complaint.reference}"),
            desk.ui.money(complaint.amount_minor, complaint.currency),
        ),
        "state": _state(complaint, desk),
        "due": _due(complaint, desk),
        "cause": desk.t(f"complains_{complaint.cause}"),
        "payment": Markup('<a href="{}"><code class="mono">{}</code></a>').format(
            desk.to(f"/payments/{payment}"), short(payment)
        ),
        "at": desk.when(complaint.created_at),
        "currency": complaint.currency,
        "id": Markup('<code class="mono">{}</code>').format(complaint.reference),
    }


def _due(complaint: Complaint, desk: Desk) -> str | Markup:
    """Return until when to answer; in words where it is soon or over."""
    if complaint.state is not ComplaintState.OPEN:
        return ""
    return documents.due(desk, complaint.answer_by, SOON, "warn")


def _plain(complaint: Complaint, desk: Desk) -> dict[str, str]:
    return {
        "amount": plain_amount(complaint.amount_minor, complaint.currency),
        "state": str(desk.t(f"complaint_{complaint.state}")),
        "due": instant(complaint.answer_by),
        "cause": str(desk.t(f"complains_{complaint.cause}")),
        "payment": uuid_text(Intent.PREFIX, complaint.intent_id),
        "at": instant(complaint.created_at),
        "currency": complaint.currency,
        "id": complaint.reference,
    }
