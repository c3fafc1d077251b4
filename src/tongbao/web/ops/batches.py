"""``/ops/batches``: what merchants are paid, by state; one from gross to net, approved by one person or by two."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from tongbao.clearing.schema.batches import BATCH_PREFIX, Batch, BatchState
from tongbao.clearing.schema.house_lists import LIST_PAGE_MAX, BatchFilter
from tongbao.core.errors import InvalidRequest
from tongbao.web.ops import batches_view as view
from tongbao.web.ops import payouts_view
from tongbao.web.ops.money_desk import (
    MODES,
    ROWS,
    Desk,
    Failed,
    Money,
    O,
    PageRoute,
    Shown,
    path_book,
    path_id,
    said,
    version_of,
)
from tongbao.web.ui.tables import EXPORT_ROWS_MAX, Query

PATH = view.PATH
CODE_CHARS = 3
WAITING = frozenset({BatchState.PRICED, BatchState.FAILED})


def router(money: Money) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)
    page = _Batches(money)
    one = f"{PATH}/{{book}}/{{batch}}"
    routes.add_api_route(PATH, page.show, methods=["GET"], response_model=None)
    routes.add_api_route(one, page.one, methods=["GET"], response_model=None)
    routes.add_api_route(f"{one}/approve", page.approve, methods=["POST"], response_model=None)
    return routes


class _Batches:
    """Answers the pages and the approval."""

    def __init__(self, money: Money) -> None:
        self._money = money
        self._settling = money.clearing.settling
        self._lists = money.clearing.lists

    async def show(self, request: Request) -> Response:
        """Answer the batches in one state."""
        desk = await self._money.desk(request)
        state = desk.choice("state", view.STATES, BatchState.PRICED.value)
        table = view.table(desk)
        query = desk.query(table)
        asked = _wanted(query, BatchState(state))
        if desk.wants_csv:
            every = await self._all(asked)
            names = await self._money.merchants(each.book_id for each in every)
            return desk.csv(f"batches-{state}", table, [view.plain_row(each, desk, names) for each in every])
        try:
            page = await self._lists.batches(asked, cursor=query.after or None, limit=ROWS)
        except InvalidRequest:
            # A cursor that is none begins at the first page, as an old link does.
            page = await self._lists.batches(asked, limit=ROWS)
        names = await self._money.merchants(each.book_id for each in page.batches)
        empty = str(desk.t(f"batches_empty_{state}"))
        rows = view.rows(page.batches, desk, names)
        context = {
            "view": desk.table(query, table, rows, page.next_cursor or "", empty, (("state", state),)),
            "state": state,
            "tabs": desk.tabs("batch", PATH, view.STATES, "state"),
            "near": desk.near("out"),
        }
        return desk.page(Shown("batches.html", "payouts", context))

    async def one(self, request: Request, book: str, batch: str) -> Response:
        """Answer one batch."""
        return await self._one(await self._money.desk(request), book, batch)

    async def approve(self, request: Request, book: str, batch: str) -> Response:
        """Approve a batch, as one of the people it needs."""
        desk = await self._money.desk(request, O.SETTLEMENTS_APPROVE)
        book_id, batch_id = path_book(book), path_id(BATCH_PREFIX, batch)

        async def do(fields: Mapping[str, str]) -> str:
            made = await self._settling.approve(
                book_id,
                batch_id,
                actor=desk.actor,
                note=fields.get("reason", "").strip(),
                seen_version=version_of(fields),
            )
            return said(view.address(made), "batch_first" if made.state in WAITING else "batch_approved")

        async def again(failed: Failed) -> Response:
            return await self._one(desk, book, batch, failed)

        return await desk.act(do, again)

    async def _one(self, desk: Desk, book: str, batch: str, failed: Failed | None = None) -> Response:
        found = await self._settling.get(path_book(book), path_id(BATCH_PREFIX, batch))
        names = await self._money.merchants([found.book_id])
        payouts = await self._money.clearing.paying.of_batch(found.book_id, found.id)
        makers = {step.actor for step in found.history if step.state is not BatchState.APPROVED}
        context = {
            "batch": found,
            "state": desk.tag("batch", found.state.value) + desk.mode(found.live),
            "fall": view.fall(found, desk),
            "facts": view.facts(found, desk, names),
            "costs": view.costs(found, desk),
            "history": view.history(found, desk),
            "payouts": [row.cells for row in payouts_view.rows(payouts, desk, names)],
            "is_waiting": found.state in WAITING,
            "is_mine": desk.actor in found.approvals or desk.actor in makers,
            "so_far": [desk.who(each) for each in found.approvals],
            "path": view.address(found),
        }
        return desk.page(Shown("batch.html", "payouts", context), failed)

    async def _all(self, asked: BatchFilter) -> list[Batch]:
        found: list[Batch] = []
        cursor: str | None = None
        while len(found) < EXPORT_ROWS_MAX:
            page = await self._lists.batches(asked, cursor=cursor, limit=LIST_PAGE_MAX)
            found += page.batches
            cursor = page.next_cursor
            if cursor is None:
                break
        return found


def _wanted(query: Query, state: BatchState) -> BatchFilter:
    """Return what an address asks for; a currency that is none is passed over."""
    code = query.filters.get("currency", "").upper()
    mode = query.filters.get("mode")
    is_code = len(code) == CODE_CHARS and code.isascii() and code.isalpha()
    return BatchFilter(state=state, live=MODES.get(mode or ""), currency=code if is_code else None)
