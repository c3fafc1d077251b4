"""``/v2/payouts``: money on its way to merchants' accounts, as they see it and as the house does."""

from datetime import date
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tongbao.clearing.schema.house_lists import PayoutFilter
from tongbao.clearing.schema.payouts import PAYOUT_PREFIX, Payout, PayoutState
from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.errors import NotFound
from tongbao.core.requests.asks import Rendered
from tongbao.web.api import clearing_payout_models as models
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import OPERATIONS, Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.clearing_batches import CurrencyMaybe, own_batch
from tongbao.web.api.clearing_sides import BookQuery, Doors, book_of, maybe_book
from tongbao.web.api.risk_sides import person_of
from tongbao.web.api.shapes import PAGE_SIZE, Before, IdPath, Limit, cursor, path_id

PATH = "/payouts"
OF_HOUSE = OPERATIONS + PATH
DayQuery = Annotated[date | None, Query(description="Only those that go on this day.")]
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
        asked = PayoutFilter(live=who.live, book_id=who.book, state=state)
        return await _page(clearing, asked, ending_before, limit)

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

    @routes.get(OF_HOUSE)
    async def of_all(
        who: Annotated[Caller, door.books],
        asked: Annotated[PayoutFilter, Depends(_filter)],
        ending_before: Before = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Payouts:
        """List payouts of all merchants, of this mode, newest first; go on with `ending_before` = the last id."""
        return await _page(
            clearing, msgspec.structs.replace(asked, live=who.live), ending_before, limit, is_house=True
        )

    @routes.get(f"{OF_HOUSE}/{{book}}")
    async def of_book(
        who: Annotated[Caller, door.books],
        book: IdPath,
        state: StateQuery = None,
        ending_before: Before = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Payouts:
        """List the payouts of a merchant's book, newest first."""
        asked = PayoutFilter(live=who.live, book_id=book_of(book), state=state)
        return await _page(clearing, asked, ending_before, limit, is_house=True)

    @routes.get(f"{OF_HOUSE}/{{book}}/{{payout}}")
    async def one(who: Annotated[Caller, door.books], book: IdPath, payout: IdPath) -> models.Payout:
        """Return a payout of a merchant."""
        found = await paying.get(book_of(book), path_id(PAYOUT_PREFIX, payout))
        return models.Payout.of(_of_mode(found, who), is_house=True)

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

        return await acts.run(request, who.book, work, _rendered)


def add_resolving(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse) -> None:
    """Add what two people say of a payout that the bank says nothing of."""
    paying = clearing.paying

    @routes.post(f"{OF_HOUSE}/{{book}}/{{payout}}/resolve", response_model=models.Payout)
    async def resolve(
        request: Request,
        who: Annotated[Caller, door.approves],
        book: IdPath,
        payout: IdPath,
        order: models.ResolveOrder,
    ) -> Response:
        """Say what became of an unresolved payout, known from the bank by other ways; it counts once a second person says so."""

        async def work() -> Payout:
            found = _of_mode(await paying.get(book_of(book), path_id(PAYOUT_PREFIX, payout)), who)
            return await paying.resolve(
                found.book_id, found.id, order.state, actor=person_of(who), note=order.note
            )

        return await acts.run(request, who.book, work, _rendered)


def _rendered(made: Payout) -> Rendered:
    return rendered(models.Payout.of(made, is_house=True))


async def _page(
    clearing: ClearingHouse,
    asked: PayoutFilter,
    ending_before: str | None,
    limit: int,
    *,
    is_house: bool = False,
) -> models.Payouts:
    before = cursor(PAYOUT_PREFIX, ending_before, "ending_before")
    found, more = await clearing.lists.payouts(asked, before=before, limit=limit)
    return models.Payouts(data=[models.Payout.of(each, is_house=is_house) for each in found], has_more=more)


def _filter(
    state: StateQuery = None,
    currency: CurrencyMaybe = None,
    on: DayQuery = None,
    book: BookQuery = None,
) -> PayoutFilter:
    """Return the filter of a query; raise NotFound ``resource_missing`` for what can be no book."""
    return PayoutFilter(state=state, currency=currency, due_on=on, book_id=maybe_book(book))


def _of_mode(payout: Payout, who: Caller) -> Payout:
    if payout.live != who.live:
        raise NotFound("payout_unknown", f"no payout {payout.reference} in this mode")
    return payout
