"""``/merchant/{merchant}/bill``: every movement with its fee, its net and its day; and where the money is that an id names."""

from fastapi import APIRouter, Request, Response

from tongbao.clearing.schema.bills import BillFilter, BillLine
from tongbao.core.errors import AppError, InvalidRequest, NotFound
from tongbao.parties.schema import Permission
from tongbao.web.merchant import bill_view as view
from tongbao.web.merchant.office import Office, enter
from tongbao.web.merchant.portal import PREFIX, PageRoute, Portal, Shown
from tongbao.web.ui.tables import EXPORT_ROWS_MAX, Query

PATH = f"{PREFIX}/bill"
ROWS = 25
READ_MAX = 100
ASKED_CHARS_MAX = 200


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(PATH, response_model=None)
    async def bill(request: Request, merchant: str) -> Response:
        return await _page(await enter(portal, request, merchant, Permission.REPORTS_READ))

    @routes.get(f"{PATH}/where", response_model=None)
    async def where(request: Request, merchant: str) -> Response:
        return await _where(await enter(portal, request, merchant, Permission.REPORTS_READ))

    return routes


async def _page(office: Office) -> Response:
    table = view.table(office, await office.currencies())
    query = office.query(table)
    asked = view.asked(query, office)
    scope, bills = office.visitor.scope, office.clearing.bills
    if query.q and asked.intent_id is None:
        return await _where(office, query.q)
    if office.wants_csv:
        every = Query(tuple(column.key for column in table.columns))
        rows = [view.plain(each, office) for each in await _all(office, asked)]
        return office.csv("bill", table, every, rows)
    try:
        page = await bills.page(scope, asked, cursor=query.after or None, limit=ROWS)
    except InvalidRequest:
        # A cursor that nobody gave out begins anew.
        page = await bills.page(scope, asked, limit=ROWS)
    listed = office.listed(
        query,
        table,
        [view.row(each, office) for each in page.lines],
        "/bill",
        after=page.next_cursor or "",
        empty="bill_empty",
        export=True,
    )
    totals = view.totals(await bills.totals(scope, asked), office) if page.lines else []
    is_about = any(cell.startswith("~") for row in totals for cell in row)
    return office.page(Shown("bill.html", "bill", {"view": listed, "totals": totals, "is_about": is_about}))


async def _all(office: Office, asked: BillFilter) -> list[BillLine]:
    """Return as many movements as a file holds, newest first."""
    found: list[BillLine] = []
    after: str | None = None
    while len(found) < EXPORT_ROWS_MAX:
        page = await office.clearing.bills.page(office.visitor.scope, asked, cursor=after, limit=READ_MAX)
        found += page.lines
        after = page.next_cursor
        if after is None:
            break
    return found


async def _where(office: Office, wanted: str = "") -> Response:
    """Answer where the money is that an id or an order number names."""
    asked = (wanted or office.request.query_params.get("q", "")).strip()[:ASKED_CHARS_MAX]
    tracing = office.clearing.tracing
    shown: dict[str, object] = {"asked": asked, "entries": [], "sentence": "", "problem": ""}
    status = 200
    if asked and tracing is not None:
        try:
            trace = await tracing.trace(office.visitor.scope, asked)
            shown["entries"] = view.way(trace, office)
            shown["sentence"] = trace.sentences.get(office.language, "")
        except (NotFound, InvalidRequest) as error:
            shown["problem"], status = _unknown(office, error), 404
    return office.page(Shown("bill_where.html", "bill", shown, status))


def _unknown(office: Office, error: AppError) -> object:
    return office.problem(error)
