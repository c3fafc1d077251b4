"""``/merchant/{merchant}/settlements``: from gross to net, now and batch by batch, and what was moved beside payments."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from tongbao.clearing.schema.adjustments import AdjustmentState
from tongbao.clearing.schema.batches import BATCH_PREFIX, Batch, BatchState
from tongbao.clearing.schema.bills import BillFilter, BillLine, MoneyState
from tongbao.clearing.schema.movements import PricedMovement
from tongbao.core.errors import NotFound
from tongbao.parties.schema import Permission
from tongbao.web.merchant import payouts_view, settlements_beside
from tongbao.web.merchant import settlements_view as view
from tongbao.web.merchant.office import Office, enter
from tongbao.web.merchant.payments_view import cursor
from tongbao.web.merchant.portal import PREFIX, PageRoute, Portal, Shown, path_id
from tongbao.web.ui.tables import EXPORT_ROWS_MAX, Query

PATH = f"{PREFIX}/settlements"
ROWS = 20
READ_MAX = 100
FEES_LINES_MAX = 1_000
"""Movements of a batch whose charges are summed by their part."""


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(PATH, response_model=None)
    async def settlements(request: Request, merchant: str) -> Response:
        return await _list(await enter(portal, request, merchant, Permission.PAYOUTS_READ))

    @routes.get(f"{PATH}/adjustments", response_model=None)
    async def beside(request: Request, merchant: str) -> Response:
        return await _beside(await enter(portal, request, merchant, Permission.PAYOUTS_READ))

    @routes.get(f"{PATH}/{{batch}}", response_model=None)
    async def batch(request: Request, merchant: str, batch: str) -> Response:
        return await _one(await enter(portal, request, merchant, Permission.PAYOUTS_READ), batch)

    return routes


async def _list(office: Office) -> Response:
    currencies = await office.currencies()
    currency = office.chosen(currencies)
    table = view.batches_table(office)
    query = office.query(table)
    if office.wants_csv:
        plain = [view.batch_plain(each, office) for each in await _all(office, currency, query)]
        every = Query(tuple(column.key for column in table.columns))
        return office.csv(f"settlements-{currency}", table, every, plain)
    found = await _batches(office, currency, query, query.after, ROWS + 1)
    after = found[ROWS - 1].reference if len(found) > ROWS else ""
    rows = [view.batch_row(each, office) for each in found[:ROWS]]
    kept = {"currency": currency} if currency != office.currency else {}
    listed = office.listed(
        query, table, rows, "/settlements", after=after, empty="batches_empty", page=kept, export=True
    )
    coming = await office.clearing.bills.coming(office.visitor.scope, currency)
    steps, count = await _running(office, currency)
    shown = {
        "view": listed,
        "currency": currency,
        "tabs": office.currency_tabs(currencies, "/settlements"),
        "count": count,
        "net_minor": sum(steps.values()),
        "carried_minor": steps.get("brought", 0),
        "next": payouts_view.next_of(coming),
        "chart": view.waterfall(steps, currency, office, str(office.t("running_caption"))),
    }
    return office.page(Shown("settlements.html", "settlements", shown))


async def _running(office: Office, currency: str) -> tuple[view.Amounts, int]:
    """Return the steps of what waits for its cut, and how many movements that are."""
    scope = office.visitor.scope
    asked = BillFilter(currencies=(currency,), states=(MoneyState.WAITING,))
    total = next(iter(await office.clearing.bills.totals(scope, asked)), None)
    carried = await office.clearing.settling.carried_minor(scope.book_id, currency, live=scope.live)
    return view.running(total, carried), total.count if total is not None else 0


async def _batches(office: Office, currency: str, query: Query, after: str, limit: int) -> list[Batch]:
    wanted = query.filters.get("state")
    return await office.clearing.settling.page(
        office.visitor.scope.book_id,
        currency=currency,
        state=BatchState(wanted) if wanted else None,
        before=cursor(after, BATCH_PREFIX),
        limit=limit,
    )


async def _all(office: Office, currency: str, query: Query) -> list[Batch]:
    """Return as many batches as a file holds, newest first."""
    found: list[Batch] = []
    after = ""
    while len(found) < EXPORT_ROWS_MAX:
        page = await _batches(office, currency, query, after, READ_MAX)
        found += page
        if len(page) < READ_MAX:
            break
        after = page[-1].reference
    return found


async def _one(office: Office, reference: str) -> Response:
    scope, clearing = office.visitor.scope, office.clearing
    batch = await clearing.settling.get(scope.book_id, path_id(BATCH_PREFIX, reference))
    if batch.live != scope.live:
        raise NotFound("batch_unknown", f"no batch {batch.reference} in this mode")
    lines, more = await _lines(office, batch)
    paid = await clearing.paying.of_batch(scope.book_id, batch.id)
    shown = {
        "batch": batch,
        "state": view.state(batch, office),
        "is_priced": batch.state is not BatchState.CUT,
        "chart": view.waterfall(
            view.amounts(batch.totals), batch.currency, office, str(office.t("batch_caption"))
        ),
        "history": view.history(batch, office),
        "fees": view.fees(await _priced(office, lines), batch.currency, office),
        "has_more": more,
        "heads": view.movement_heads(office),
        "movements": view.movements(lines[:ROWS], office),
        "line_count": len(lines),
        "payouts": [payouts_view.row_of_batch(each, office) for each in paid],
    }
    return office.page(Shown("settlement.html", "settlements", shown))


async def _lines(office: Office, batch: Batch) -> tuple[list[BillLine], bool]:
    """Return the movements of a batch, newest first, as many as are summed by their parts, and whether there are more."""
    found: list[BillLine] = []
    after: str | None = None
    while len(found) < FEES_LINES_MAX:
        page = await office.clearing.bills.page(
            office.visitor.scope, BillFilter(batch_id=batch.id), cursor=after, limit=READ_MAX
        )
        found += page.lines
        after = page.next_cursor
        if after is None:
            break
    return found, after is not None


async def _priced(office: Office, lines: Sequence[BillLine]) -> list[PricedMovement]:
    ids = [line.movement.id for line in lines]
    found = await office.clearing.settling.priced(office.visitor.scope.book_id, ids) if ids else {}
    return list(found.values())


async def _beside(office: Office) -> Response:
    scope, clearing = office.visitor.scope, office.clearing
    given = await clearing.adjustments.page(
        book_id=scope.book_id, state=AdjustmentState.POSTED, live=scope.live, limit=READ_MAX
    )
    asked = await clearing.collections.page(book_id=scope.book_id, live=scope.live, limit=READ_MAX)
    shown = {
        "adjustments": [settlements_beside.adjustment(each, office) for each in given],
        "demands": [settlements_beside.demand(each, office) for each in asked],
        "owed": settlements_beside.owed(asked, office),
    }
    return office.page(Shown("settlements_beside.html", "settlements", shown))
