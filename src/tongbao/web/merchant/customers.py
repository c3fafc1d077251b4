"""``/merchant/{merchant}/customers``: who pays this merchant, what they paid and how; never a card number."""

from datetime import datetime

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from tongbao.channels.schema import Card
from tongbao.core.errors import AppError, NotFound
from tongbao.core.ids import uuid_text
from tongbao.parties.schema import (
    CUSTOMER_PREFIX,
    Customer,
    CustomerId,
    Page,
    PageRequest,
    Permission,
    Scope,
)
from tongbao.payments.schema.methods import PaymentMethod
from tongbao.payments.schema.orders import PageOrder
from tongbao.web.merchant.payments_view import cursor, named, tag, what_of
from tongbao.web.merchant.portal import PREFIX, Desk, PageRoute, Portal, Shown, path_id
from tongbao.web.stories import standing
from tongbao.web.ui.tables import Column, Row, Table

ROWS = 25
PAYMENTS_SHOWN = 10
METHODS_SHOWN = 20


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(f"{PREFIX}/customers", response_model=None)
    async def customers(request: Request, merchant: str) -> Response:
        visitor = await portal.guards.at_merchant(request, merchant, Permission.CUSTOMERS_READ)
        return await _list(Desk(portal, request, visitor))

    @routes.get(f"{PREFIX}/customers/{{customer}}", response_model=None)
    async def customer(request: Request, merchant: str, customer: str) -> Response:
        visitor = await portal.guards.at_merchant(request, merchant, Permission.CUSTOMERS_READ)
        return await _one(Desk(portal, request, visitor), customer)

    return routes


def table(desk: Desk) -> Table:
    """Return what the table is."""
    t = desk.t
    return Table(
        "customers",
        str(t("customers")),
        (
            Column("name", str(t("c_name")), fixed=True),
            Column("email", str(t("c_email"))),
            Column("phone", str(t("c_phone")), shown=False),
            Column("at", str(t("c_since"))),
            Column("id", str(t("c_id")), shown=False),
        ),
        search=str(t("customers_search")),
    )


async def _list(desk: Desk) -> Response:
    what = table(desk)
    query = desk.query(what)
    after = cursor(query.after, CUSTOMER_PREFIX)
    wanted = PageRequest(limit=ROWS, starting_after=None if after is None else CustomerId(after))
    page = await _found(desk.portal, desk.visitor.scope, query.q, wanted)
    rows = [Row(_cells(each, desk)) for each in page.items]
    last = uuid_text(CUSTOMER_PREFIX, page.items[-1].customer_id) if page.has_more else ""
    view = desk.table(query, what, rows, "/customers", last, str(desk.t("customers_empty")), export=False)
    return desk.page(Shown("list.html", "customers", {"view": view, "title": "customers", "actions": ()}))


async def _found(portal: Portal, scope: Scope, word: str, wanted: PageRequest[CustomerId]) -> Page[Customer]:
    """Return the customers that a word names, by e-mail address or id; all without one."""
    customers = portal.house.parties.customers
    if not word:
        return await customers.list(scope, wanted)
    if word.startswith(f"{CUSTOMER_PREFIX}_"):
        try:
            customer_id = CustomerId(path_id(CUSTOMER_PREFIX, word))
            return Page((await customers.get(scope, customer_id),), False)
        except NotFound:
            return Page((), False)
    try:
        return await customers.find_by_email(scope, word, wanted)
    except AppError:
        # What is no address of e-mail names nobody.
        return Page((), False)


async def _one(desk: Desk, reference: str) -> Response:
    house, scope = desk.portal.house, desk.visitor.scope
    customer_id = CustomerId(path_id(CUSTOMER_PREFIX, reference))
    customer = await house.parties.customers.get(scope, customer_id)
    payments = await house.payments.intents.page(scope, PageOrder(limit=PAYMENTS_SHOWN, owner_id=customer_id))
    methods = await house.payments.methods.page(scope, PageOrder(limit=METHODS_SHOWN, owner_id=customer_id))
    rows = [
        (
            Markup('<a href="{}">{}</a>').format(
                desk.to(f"/payments/{view.intent.reference}"),
                desk.ui.money(view.intent.amount_minor, view.intent.currency),
            ),
            tag(*standing.of_payment(view.intent, view.attempt), desk.reader),
            named(what_of(view.intent)),
            desk.when(view.intent.created_at),
        )
        for view in payments.items
    ]
    about = [
        (desk.t("c_email"), named(customer.email)),
        (desk.t("c_phone"), named(customer.phone)),
        (desk.t("c_description"), named(customer.description)),
        (desk.t("c_since"), desk.when(customer.created_at, "day")),
        *((named(key), named(value)) for key, value in sorted(customer.metadata.items())),
    ]
    context = {
        "customer": customer,
        "reference": reference,
        "name": _name(customer, desk),
        "about": [pair for pair in about if pair[1]],
        "payments": rows,
        "all_payments": desk.to("/payments", q=reference) if payments.has_more else "",
        "methods": [_method(each, desk) for each in methods.items],
    }
    return desk.page(Shown("customer.html", "customers", context))


def _name(customer: Customer, desk: Desk) -> Markup:
    if customer.deleted_at is not None:
        return desk.t("customer_deleted")
    return named(customer.name or customer.email) or desk.t("customer_nameless")


def _method(method: PaymentMethod, desk: Desk) -> tuple[str | Markup, str | Markup]:
    kept = method.method
    line: str | Markup = ""
    if isinstance(kept, Card):
        line = desk.reader.t("card_expires", month=f"{kept.exp_month:02}", year=kept.exp_year)
        if _is_over(kept, desk.portal.now()):
            line = Markup('{} <span class="tag warn">{}</span>').format(line, desk.t("card_is_over"))
    return desk.reader.method(kept), line


def _is_over(card: Card, now: datetime) -> bool:
    return (card.exp_year, card.exp_month) < (now.year, now.month)


def _cells(customer: Customer, desk: Desk) -> dict[str, str | Markup]:
    reference = uuid_text(CUSTOMER_PREFIX, customer.customer_id)
    return {
        "name": Markup('<a href="{}">{}</a>').format(
            desk.to(f"/customers/{reference}"), _name(customer, desk)
        ),
        "email": named(customer.email),
        "phone": named(customer.phone),
        "at": desk.when(customer.created_at, "day"),
        "id": Markup('<code class="mono">{}</code>').format(reference),
    }
