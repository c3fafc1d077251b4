"""``/merchant/{merchant}/refunds``: money on its way back, and each refund with what it gives back."""

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from tongbao.core.ids import uuid_text
from tongbao.parties.schema import Permission
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import PageOrder
from tongbao.payments.schema.refunds import Refund, RefundState
from tongbao.web.merchant import documents
from tongbao.web.merchant.payments_view import cursor, instant_of, named, tag, what_of
from tongbao.web.merchant.portal import PREFIX, Desk, PageRoute, Portal, Shown, path_id, short
from tongbao.web.stories import standing, telling
from tongbao.web.ui.money import instant, plain_amount
from tongbao.web.ui.tables import Column, Filter, Query, Row, Table

ROWS = 25
CAUSES = ("requested_by_customer", "duplicate", "fraudulent")


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(f"{PREFIX}/refunds", response_model=None)
    async def refunds(request: Request, merchant: str) -> Response:
        visitor = await portal.guards.at_merchant(request, merchant, Permission.REFUNDS_READ)
        return await _list(Desk(portal, request, visitor))

    @routes.get(f"{PREFIX}/refunds/{{refund}}", response_model=None)
    async def refund(request: Request, merchant: str, refund: str) -> Response:
        visitor = await portal.guards.at_merchant(request, merchant, Permission.REFUNDS_READ)
        return await _one(Desk(portal, request, visitor), refund)

    return routes


def table(desk: Desk) -> Table:
    """Return what the table is."""
    t = desk.t
    states = (
        (RefundState.SUCCEEDED.value, str(t("refund_succeeded"))),
        (RefundState.PENDING.value, str(t("refund_pending"))),
        (RefundState.FAILED.value, str(t("refund_failed"))),
        (RefundState.CANCELED.value, str(t("refund_canceled"))),
    )
    return Table(
        "refunds",
        str(t("refunds")),
        (
            Column("amount", str(t("c_amount")), fixed=True),
            Column("state", str(t("c_state"))),
            Column("cause", str(t("c_cause"))),
            Column("payment", str(t("c_payment"))),
            Column("at", str(t("c_created"))),
            Column("ended", str(t("c_ended"))),
            Column("currency", str(t("c_currency")), shown=False),
            Column("id", str(t("c_id")), shown=False),
        ),
        (
            Filter("state", str(t("c_state")), states),
            Filter("from", str(t("from_day")), kind="date"),
            Filter("to", str(t("to_day")), kind="date"),
        ),
    )


def order(query: Query, desk: Desk, limit: int) -> PageOrder:
    """Return which refunds an address asks for."""
    return PageOrder(
        limit=limit,
        after=cursor(query.after, Refund.PREFIX),
        state=query.filters.get("state"),
        created_from=instant_of(query.filters.get("from", "")),
        created_to=instant_of(query.filters.get("to", ""), days=1),
    )


async def _list(desk: Desk) -> Response:
    what = table(desk)
    query = desk.query(what)
    refunds, scope = desk.portal.house.payments.refunds, desk.visitor.scope
    if desk.wants_csv:
        found = await documents.every(refunds.page, scope, order(query, desk, documents.PAGE_MAX))
        every = Query(tuple(column.key for column in what.columns))
        return desk.csv("refunds", what, every, [_plain(each, desk) for each in found])
    page = await refunds.page(scope, order(query, desk, ROWS))
    rows = [Row(_cells(each, desk)) for each in page.items]
    after = page.items[-1].reference if page.has_more else ""
    shown = desk.table(query, what, rows, "/refunds", after, str(desk.t("refunds_empty")))
    return desk.page(Shown("list.html", "refunds", {"view": shown, "title": "refunds", "actions": ()}))


async def _one(desk: Desk, reference: str) -> Response:
    house, scope = desk.portal.house, desk.visitor.scope
    refund = await house.payments.refunds.get(scope, path_id(Refund.PREFIX, reference))
    intent = (await house.payments.intents.get(scope, refund.intent_id)).intent
    lines = await house.clearing.bills.lines(scope, [refund.id])
    hidden = {"note", "refunded_by"}
    about = [
        (
            desk.t("c_payment"),
            _payment(intent.reference, desk, desk.ui.money(intent.amount_minor, intent.currency)),
        ),
        (desk.t("c_what"), named(what_of(intent))),
        (desk.t("c_cause"), desk.reader.known(f"cause_{refund.cause or 'none'}", refund.cause or "")),
        (desk.t("note"), named(refund.metadata.get("note"))),
        (desk.t("c_created"), desk.when(refund.sent_at)),
        *((named(key), named(value)) for key, value in refund.metadata.items() if key not in hidden),
    ]
    context = {
        "refund": refund,
        "state": tag(*standing.of_refund(refund), desk.reader),
        "about": [pair for pair in about if pair[1]],
        "entries": list(telling.refund_entries(refund, desk.reader)),
        "why": desk.reader.why(refund.reason) if refund.reason is not None else "",
        "costs": [line.cost for line in lines if line.cost is not None],
    }
    return desk.page(Shown("refund.html", "refunds", context))


def _payment(reference: str, desk: Desk, text: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(desk.to(f"/payments/{reference}"), text)


def _cells(refund: Refund, desk: Desk) -> dict[str, str | Markup]:
    reader = desk.reader
    payment = uuid_text(Intent.PREFIX, refund.intent_id)
    return {
        "amount": Markup('<a href="{}">{}</a>').format(
            desk.to(f"/refunds/{refund.reference}"), desk.ui.money(refund.amount_minor, refund.currency)
        ),
        "state": tag(*standing.of_refund(refund), reader),
        "cause": reader.known(f"cause_{refund.cause or 'none'}", refund.cause or ""),
        "payment": _payment(payment, desk, Markup('<code class="mono">{}</code>').format(short(payment))),
        "at": desk.when(refund.created_at),
        "ended": desk.when(refund.ended_at) if refund.ended_at is not None else "",
        "currency": refund.currency,
        "id": Markup('<code class="mono">{}</code>').format(refund.reference),
    }


def _plain(refund: Refund, desk: Desk) -> dict[str, str]:
    return {
        "amount": plain_amount(refund.amount_minor, refund.currency),
        "state": str(desk.t(standing.of_refund(refund).key)),
        "cause": refund.cause or "",
        "payment": uuid_text(Intent.PREFIX, refund.intent_id),
        "at": instant(refund.created_at),
        "ended": instant(refund.ended_at) if refund.ended_at is not None else "",
        "currency": refund.currency,
        "id": refund.reference,
    }
