"""``/merchant/{merchant}/payments``: every payment, found by any id, an order number, an address or an amount."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from msgspec import structs

from tongbao.core.errors import AppError
from tongbao.core.ids import parse_uuid
from tongbao.parties.schema import CUSTOMER_PREFIX, PageRequest, Permission, Scope
from tongbao.payments.schema.orders import IntentView, Page
from tongbao.payments.schema.overviews import PAGE_MAX, Wanted
from tongbao.web.merchant import payments_view as view
from tongbao.web.merchant.portal import PREFIX, Desk, PageRoute, Portal, Shown
from tongbao.web.ui.tables import EXPORT_ROWS_MAX, Query

ROWS = 25
CUSTOMERS_MAX = 20


def router(portal: Portal) -> APIRouter:
    """Return the route."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(f"{PREFIX}/payments", response_model=None)
    async def payments(request: Request, merchant: str) -> Response:
        visitor = await portal.guards.at_merchant(request, merchant, Permission.PAYMENTS_READ)
        return await _page(Desk(portal, request, visitor))

    return routes


async def _page(desk: Desk) -> Response:
    table = view.table(desk.reader, desk.t)
    query = desk.query(table)
    scope = desk.visitor.scope
    wanted = view.wanted(query, desk.currency, desk.language, ROWS)
    if desk.wants_csv:
        found = await _all(desk.portal, scope, wanted)
        every = Query(tuple(column.key for column in table.columns))
        return desk.csv("payments", table, every, view.plain_rows(found, desk.reader))
    page = await search(desk.portal, scope, wanted)
    rows = view.rows(page.items, desk.reader, desk.base, desk.when)
    after = page.items[-1].intent.reference if page.has_more else ""
    shown = desk.table(query, table, rows, "/payments", after, str(desk.t("payments_empty")))
    return desk.page(Shown("payments.html", "payments", {"view": shown, "drawer": view.DRAWER}))


async def search(portal: Portal, scope: Scope, wanted: Wanted) -> Page[IntentView]:
    """Return the payments that are wanted; a word that is an id finds what it names, and nothing else."""
    if wanted.word is None:
        return await portal.overviews.search(scope, wanted)
    if named := await portal.house.payments.intents.find(scope, wanted.word):
        return Page(named, False)
    customers = await _customers(portal, scope, wanted.word)
    return await portal.overviews.search(scope, structs.replace(wanted, customers=customers))


async def _all(portal: Portal, scope: Scope, wanted: Wanted) -> list[IntentView]:
    """Return as many payments as a file holds, newest first."""
    found: list[IntentView] = []
    after: UUID | None = None
    while len(found) < EXPORT_ROWS_MAX:
        page = await search(portal, scope, structs.replace(wanted, after=after, limit=PAGE_MAX))
        found += page.items
        if not page.has_more:
            break
        after = page.items[-1].intent.id
    return found


async def _customers(portal: Portal, scope: Scope, word: str) -> tuple[UUID, ...]:
    """Return the customers that a word may name: by their id or their e-mail address."""
    try:
        return (parse_uuid(CUSTOMER_PREFIX, word),)
    except ValueError:
        pass
    if "@" not in word:
        return ()
    try:
        page = await portal.house.parties.customers.find_by_email(
            scope, word, PageRequest(limit=CUSTOMERS_MAX)
        )
    except AppError:
        # What is no address of e-mail may stand in metadata all the same.
        return ()
    return tuple(UUID(int=each.customer_id.int) for each in page.items)
