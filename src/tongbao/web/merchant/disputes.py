"""``/merchant/{merchant}/disputes``: what payers object to, until when to answer, and the answer itself.

Evidence can be kept and handed in later; handing it in, and accepting the dispute, ask once more before they happen.
"""

from datetime import timedelta

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from tongbao.core.errors import AppError, NotFound
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import Permission
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import PageOrder
from tongbao.payments.schema.refunds import OPEN_DISPUTES, Dispute, DisputeState
from tongbao.web.merchant import complaints, documents
from tongbao.web.merchant.payments_view import cursor, named, tag, what_of
from tongbao.web.merchant.portal import PREFIX, Desk, PageRoute, Portal, Shown, path_id, short, status_of
from tongbao.web.stories import standing, telling
from tongbao.web.ui.forms import Form
from tongbao.web.ui.money import instant, plain_amount
from tongbao.web.ui.tables import Column, Filter, Query, Row, Table

ROWS = 25
SOON = timedelta(days=3)
TEXT_MAX = 4_000
FORM_BYTES_MAX = 64_000
EVIDENCE = (
    "product_description",
    "customer_communication",
    "shipping_carrier",
    "shipping_tracking_number",
    "shipping_date",
    "service_date",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "duplicate_charge_explanation",
    "uncategorized_text",
)
"""What the page asks for, of everything that may be handed in over the API; the words of each are ``ev_`` and its name."""
ONE_LINE = frozenset({"shipping_carrier", "shipping_tracking_number", "shipping_date", "service_date"})


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(f"{PREFIX}/disputes", response_model=None)
    async def disputes(request: Request, merchant: str) -> Response:
        visitor = await portal.guards.at_merchant(request, merchant, Permission.DISPUTES_READ)
        return await _list(Desk(portal, request, visitor))

    @routes.get(f"{PREFIX}/disputes/{{dispute}}", response_model=None)
    async def dispute(request: Request, merchant: str, dispute: str) -> Response:
        visitor = await portal.guards.at_merchant(request, merchant, Permission.DISPUTES_READ)
        desk = Desk(portal, request, visitor)
        found = await _read(desk, dispute)
        return await _page(desk, found, Form(found.evidence, desk.ui))

    @routes.post(f"{PREFIX}/disputes/{{dispute}}", response_model=None)
    async def act(request: Request, merchant: str, dispute: str) -> Response:
        visitor = await portal.guards.at_merchant(request, merchant, Permission.DISPUTES_WRITE)
        return await _act(Desk(portal, request, visitor), dispute)

    return routes


async def _act(desk: Desk, reference: str) -> Response:
    """Keep evidence, hand it in, or accept the dispute, as the button says that was pressed."""
    found = await _read(desk, reference)
    fields = await desk.portal.guards.form(desk.request, desk.visitor, FORM_BYTES_MAX)
    form, step = Form(fields, desk.ui), fields.get("step", "")
    if step not in ("keep", "submit", "accept"):
        raise NotFound("act_unknown", "a dispute has no such act")
    evidence = {} if step == "accept" else _evidence(form)
    if step == "submit" and not any(evidence.values()) and not form.errors:
        form.wrong("", desk.t("evidence_missing"))
    if form.errors:
        return await _page(desk, found, form, 422)
    disputes, scope = desk.portal.house.payments.disputes, desk.visitor.scope
    ask = desk.ask(f"dispute.{step}", fields, moves_money=step == "accept")
    try:
        if step == "accept":
            await disputes.close(scope, found.id, ask=ask)
        else:
            await disputes.change(scope, found.id, evidence=evidence, submit=step == "submit", ask=ask)
    except AppError as error:
        form.wrong("", desk.problem(error))
        return await _page(desk, await _read(desk, reference), form, status_of(error))
    return desk.done(f"/disputes/{reference}", f"dispute_{step}")


async def _read(desk: Desk, reference: str) -> Dispute:
    wanted = path_id(Dispute.PREFIX, reference)
    return await desk.portal.house.payments.disputes.get(desk.visitor.scope, wanted)


def _evidence(form: Form) -> dict[str, str]:
    return {name: form.text(name, TEXT_MAX, required=False) for name in EVIDENCE}


async def _page(desk: Desk, dispute: Dispute, form: Form, status: int = 200) -> Response:
    now = desk.portal.now()
    view = await desk.portal.house.payments.intents.get(desk.visitor.scope, dispute.intent_id)
    intent = view.intent
    in_time = dispute.respond_by is None or now < dispute.respond_by
    link = Markup('<a href="{}">{}</a>').format(
        desk.to(f"/payments/{intent.reference}"), desk.ui.money(intent.amount_minor, intent.currency)
    )
    about = [
        (desk.t("c_cause"), telling.objection(dispute, desk.reader)),
        (desk.t("c_payment"), link),
        (desk.t("c_what"), named(what_of(intent))),
        (desk.t("c_payer"), named(intent.receipt_email)),
        (desk.t("c_created"), desk.when(dispute.created_at)),
        (desk.t("c_due"), desk.when(dispute.respond_by) if dispute.respond_by is not None else ""),
    ]
    context = {
        "dispute": dispute,
        "state": tag(*standing.of_dispute(dispute), desk.reader),
        "about": [pair for pair in about if pair[1]],
        "entries": list(telling.dispute_entries(dispute, desk.reader)),
        "form": form,
        "evidence": EVIDENCE,
        "one_line": ONE_LINE,
        "can_answer": dispute.state is DisputeState.NEEDS_RESPONSE
        and in_time
        and desk.visitor.may(Permission.DISPUTES_WRITE),
        "can_accept": dispute.state in OPEN_DISPUTES and desk.visitor.may(Permission.DISPUTES_WRITE),
        "days_left": (dispute.respond_by - now).days if dispute.respond_by is not None and in_time else None,
        "is_late": not in_time and dispute.state is DisputeState.NEEDS_RESPONSE,
        "handed_in": [(desk.t(f"ev_{key}"), named(text)) for key, text in _known(dispute)],
    }
    return desk.page(Shown("dispute.html", "disputes", context, status))


def _known(dispute: Dispute) -> list[tuple[str, str]]:
    return [(key, dispute.evidence[key]) for key in EVIDENCE if dispute.evidence.get(key)]


def table(desk: Desk) -> Table:
    """Return what the table is."""
    t = desk.t
    states = tuple((each.value, str(t(f"dispute_{each}"))) for each in DisputeState)
    return Table(
        "disputes",
        str(t("disputes")),
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
        (Filter("state", str(t("c_state")), states),),
    )


async def _list(desk: Desk) -> Response:
    what = table(desk)
    query = desk.query(what)
    disputes, scope, state = (
        desk.portal.house.payments.disputes,
        desk.visitor.scope,
        query.filters.get("state"),
    )
    if desk.wants_csv:
        found = await documents.every(disputes.page, scope, PageOrder(state=state))
        every = Query(tuple(column.key for column in what.columns))
        return desk.csv("disputes", what, every, [_plain(each, desk) for each in found])
    page = await disputes.page(
        scope, PageOrder(limit=ROWS, state=state, after=cursor(query.after, Dispute.PREFIX))
    )
    rows = [Row(_cells(each, desk)) for each in page.items]
    after = page.items[-1].reference if page.has_more else ""
    shown = desk.table(query, what, rows, "/disputes", after, str(desk.t("disputes_empty")))
    context = {"view": shown, "title": "disputes", "actions": (), "tabs": await complaints.tabs(desk)}
    return desk.page(Shown("list.html", "disputes", context))


def _cells(dispute: Dispute, desk: Desk) -> dict[str, str | Markup]:
    payment = uuid_text(Intent.PREFIX, dispute.intent_id)
    return {
        "amount": Markup('<a href="{}">{}</a>').format(
            desk.to(f"/disputes/{dispute.reference}"), desk.ui.money(dispute.amount_minor, dispute.currency)
        ),
        "state": tag(*standing.of_dispute(dispute), desk.reader),
        "due": _due(dispute, desk),
        "cause": telling.objection(dispute, desk.reader),
        "payment": Markup('<a href="{}"><code class="mono">{}</code></a>').format(
            desk.to(f"/payments/{payment}"), short(payment)
        ),
        "at": desk.when(dispute.created_at),
        "currency": dispute.currency,
        "id": Markup('<code class="mono">{}</code>').format(dispute.reference),
    }


def _due(dispute: Dispute, desk: Desk) -> str | Markup:
    """Return until when to answer; in words where it is soon or over."""
    if dispute.respond_by is None or dispute.state is not DisputeState.NEEDS_RESPONSE:
        return ""
    return documents.due(desk, dispute.respond_by, SOON, "error")


def _plain(dispute: Dispute, desk: Desk) -> dict[str, str]:
    return {
        "amount": plain_amount(dispute.amount_minor, dispute.currency),
        "state": str(desk.t(standing.of_dispute(dispute).key)),
        "due": instant(dispute.respond_by) if dispute.respond_by is not None else "",
        "cause": telling.objection(dispute, desk.reader),
        "payment": uuid_text(Intent.PREFIX, dispute.intent_id),
        "at": instant(dispute.created_at),
        "currency": dispute.currency,
        "id": dispute.reference,
    }
