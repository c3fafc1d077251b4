"""``/v2/payouts``: money on its way to merchants' accounts, as they see it and as the house does."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tongbao.clearing.schema.payouts import PAYOUT_PREFIX, Payout, PayoutState
from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.errors import NotFound
from tongbao.web.api import clearing_payout_models as models
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import OPERATIONS, Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.clearing_batches import own_batch
from tongbao.web.api.clearing_sides import Doors, book_of
from tongbao.web.api.shapes import PAGE_SIZE, Before, IdPath, Limit, cursor, path_id

PATH = "/payouts"
OF_HOUSE = OPERATIONS + PATH
StateQuery = Annotated[PayoutState | None, Query(description="Only those in this state.")]


def add_payouts(routes: APIRouter, door: Doors, clearing: ClearingHouse) -> None:
    """Add what merchants see of their payouts."""
    paying = clearing.paying

    @routes.get(PATH)
    async def payouts(
        who: Annotated[Caller, door.reads],
        state: StateQuery = None,
        ending_before: Before = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Payouts:
        """List payouts, newest first; go on with `ending_before` = the last id."""
        return await _page(clearing, who.book, state, (ending_before, limit))

    @routes.get(f"{PATH}/{{payout}}")
    async def payout(who: Annotated[Caller, door.reads], payout: IdPath) -> models.Payout:
        """Return a payout, `po_…`."""
        return models.Payout.of(await paying.get(who.book, path_id(PAYOUT_PREFIX, payout)))

    @routes.get(f"/settlements/batches/{{batch}}{PATH}")
    async def of_batch(who: Annotated[Caller, door.reads], batch: IdPath) -> models.Payouts:
        """List the payouts of a batch: those that failed, and the one on its way."""
        found = await own_batch(clearing, who, batch)
        return models.Payouts(
            data=[models.Payout.of(each) for each in await paying.of_batch(who.book, found.id)]
        )


def add_house(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse) -> None:
    """Add what the house sees of a merchant's payouts, and taking one back that was not sent."""
    paying = clearing.paying

    @routes.get(f"{OF_HOUSE}/{{book}}")
    async def of_book(
        who: Annotated[Caller, door.books],
        book: IdPath,
        state: StateQuery = None,
        ending_before: Before = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Payouts:
        """List the payouts of a merchant's book, newest first."""
        return await _page(clearing, book_of(book), state, (ending_before, limit))

    @routes.get(f"{OF_HOUSE}/{{book}}/{{payout}}")
    async def one(who: Annotated[Caller, door.books], book: IdPath, payout: IdPath) -> models.Payout:
        """Return a payout of a merchant."""
        found = await paying.get(book_of(book), path_id(PAYOUT_PREFIX, payout))
        return models.Payout.of(_of_mode(found, who))

    @routes.post(f"{OF_HOUSE}/{{book}}/{{payout}}/cancel", response_model=models.Payout)
    async def cancel(
        request: Request,
        who: Annotated[Caller, door.approves],
        book: IdPath,
        payout: IdPath,
        order: models.CancelOrder,
    ) -> Response:
        """Take back a payout that was not sent; its batch has to be approved anew."""

        async def work() -> Payout:
            found = await paying.get(book_of(book), path_id(PAYOUT_PREFIX, payout))
            _of_mode(found, who)
            return await paying.cancel(found.book_id, found.id, actor=who.actor, note=order.note)

        return await acts.run(request, who.book, work, lambda made: rendered(models.Payout.of(made)))


async def _page(
    clearing: ClearingHouse, book_id: int, state: PayoutState | None, place: tuple[str | None, int]
) -> models.Payouts:
    before, limit = place
    last = cursor(PAYOUT_PREFIX, before, "ending_before")
    found = await clearing.paying.page(book_id, state=state, before=last, limit=limit + 1)
    shown = [models.Payout.of(each) for each in found[:limit]]
    return models.Payouts(data=shown, has_more=len(found) > limit)


def _of_mode(payout: Payout, who: Caller) -> Payout:
    if payout.live != who.live:
        raise NotFound("payout_unknown", f"no payout {payout.reference} in this mode")
    return payout
