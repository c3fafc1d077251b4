"""``/v2/settlements/batches``: batches from gross to net; their approval is the house's."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tongbao.clearing.schema.batches import BATCH_PREFIX, Batch, BatchState
from tongbao.clearing.schema.house_lists import BatchFilter
from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.errors import NotFound
from tongbao.web.api import clearing_batch_models as models
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import OPERATIONS, Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.clearing_sides import BookQuery, Doors, book_of, maybe_book
from tongbao.web.api.risk_sides import person_of
from tongbao.web.api.shapes import PAGE_SIZE, Before, IdPath, Limit, cursor, path_id

PATH = "/settlements"
OF_HOUSE = OPERATIONS + PATH
StateQuery = Annotated[BatchState | None, Query(description="Only those in this state.")]
CursorQuery = Annotated[str | None, Query(max_length=80, description="`next_cursor` of the page before.")]
CurrencyMaybe = Annotated[str | None, Query(pattern="^[A-Z]{3}$", description="Only of this currency.")]


def add_batches(routes: APIRouter, door: Doors, clearing: ClearingHouse) -> None:
    """Add what merchants see of their batches."""
    settling = clearing.settling

    @routes.get(f"{PATH}/batches")
    async def batches(
        who: Annotated[Caller, door.reads],
        state: StateQuery = None,
        currency: CurrencyMaybe = None,
        ending_before: Before = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Batches:
        """List batches, newest cut first; go on with `ending_before` = the last id."""
        before = cursor(BATCH_PREFIX, ending_before, "ending_before")
        found = await settling.page(who.book, currency=currency, state=state, before=before, limit=limit)
        more = len(found) == limit and await settling.page(
            who.book, currency=currency, state=state, before=found[-1].id, limit=1
        )
        return models.Batches(data=[models.Batch.of(each) for each in found], has_more=bool(more))

    @routes.get(f"{PATH}/batches/{{batch}}")
    async def batch(who: Annotated[Caller, door.reads], batch: IdPath) -> models.Batch:
        """Return a batch, `bat_…`, with its waterfall from gross to net and its history."""
        return models.Batch.of(await own_batch(clearing, who, batch))


def add_approvals(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse) -> None:
    """Add what the house sees of all batches, and their approval."""
    settling = clearing.settling

    @routes.get(f"{OF_HOUSE}/batches")
    async def waiting(
        who: Annotated[Caller, door.books],
        state: Annotated[BatchState, Query(description="Those in this state.")] = BatchState.PRICED,
        until_on: Annotated[date, Query(description="Paid by this date.")] = date.max,
        book: BookQuery = None,
        currency: CurrencyMaybe = None,
        cursor: CursorQuery = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Batches:
        """List batches of all merchants in a state, of this mode, the earliest date of payment first."""
        asked = BatchFilter(
            state=state, until_on=until_on, live=who.live, book_id=maybe_book(book), currency=currency
        )
        page = await clearing.lists.batches(asked, cursor=cursor, limit=limit)
        shown = [models.Batch.of(each, is_house=True) for each in page.batches]
        return models.Batches(data=shown, has_more=page.next_cursor is not None, next_cursor=page.next_cursor)

    @routes.get(f"{OF_HOUSE}/batches/{{book}}/{{batch}}")
    async def one(who: Annotated[Caller, door.books], book: IdPath, batch: IdPath) -> models.Batch:
        """Return a batch of a merchant, with what it costs the house."""
        found = await settling.get(book_of(book), path_id(BATCH_PREFIX, batch))
        return models.Batch.of(_of_mode(found, who), is_house=True)

    @routes.post(f"{OF_HOUSE}/batches/{{book}}/{{batch}}/approve", response_model=models.Batch)
    async def approve(
        request: Request,
        who: Annotated[Caller, door.approves],
        book: IdPath,
        batch: IdPath,
        order: models.ApproveOrder,
    ) -> Response:
        """Approve a priced batch, or one that failed and was mended; above the limit two different people do."""

        async def work() -> Batch:
            found = await settling.get(book_of(book), path_id(BATCH_PREFIX, batch))
            _of_mode(found, who)
            return await settling.approve(
                found.book_id, found.id, actor=person_of(who), note=order.note, seen_version=order.version
            )

        return await acts.run(
            request, who.book, work, lambda made: rendered(models.Batch.of(made, is_house=True))
        )


async def own_batch(clearing: ClearingHouse, who: Caller, text: str) -> Batch:
    """Return a batch of the caller's own book; raise NotFound."""
    return await clearing.settling.get(who.book, path_id(BATCH_PREFIX, text))


def _of_mode(batch: Batch, who: Caller) -> Batch:
    if batch.live != who.live:
        raise NotFound("batch_unknown", f"no batch {batch.reference} in this mode")
    return batch
