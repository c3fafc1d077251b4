"""``/v2/operations/adjustments``, ``demands`` and ``debts``: money that no payment moves; merchants read their own of it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tongbao.clearing.schema.adjustments import ADJUSTMENT_PREFIX, Adjustment, AdjustmentState
from tongbao.clearing.schema.breaks import BREAK_PREFIX
from tongbao.clearing.schema.demands import DEMAND_PREFIX, Debtor, Demand, DemandState
from tongbao.clearing.service.adjustments import Adjustments
from tongbao.clearing.service.collections import Collections
from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.errors import InvalidRequest
from tongbao.core.requests.asks import Rendered
from tongbao.web.api import clearing_adjustment_models as models
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import OPERATIONS, Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.clearing_sides import BookQuery, Doors, book_of, maybe_book
from tongbao.web.api.shapes import PAGE_SIZE, After, Before, IdPath, Limit, cursor, given_id, path_id

ADJUSTMENTS = OPERATIONS + "/adjustments"
DEMANDS = OPERATIONS + "/demands"
DEBTS = OPERATIONS + "/debts"
OWN = "/settlements"
StateQuery = Annotated[AdjustmentState | None, Query(description="Only those in this state.")]
DemandStateQuery = Annotated[DemandState | None, Query(description="Only those in this state.")]


def add_own(routes: APIRouter, door: Doors, clearing: ClearingHouse) -> None:
    """Add what merchants see: what was given and taken, and what they are asked to pay."""

    @routes.get(f"{OWN}/adjustments")
    async def adjustments(
        who: Annotated[Caller, door.reads], ending_before: Before = None, limit: Limit = PAGE_SIZE
    ) -> models.Adjustments:
        """List what was posted beside payments, newest first; go on with `ending_before` = the last id."""
        found = await clearing.adjustments.page(
            book_id=who.book,
            state=AdjustmentState.POSTED,
            before=cursor(ADJUSTMENT_PREFIX, ending_before, "ending_before"),
            limit=limit + 1,
        )
        return _adjustments(found, limit, is_house=False)

    @routes.get(f"{OWN}/demands")
    async def demands(
        who: Annotated[Caller, door.reads], ending_before: Before = None, limit: Limit = PAGE_SIZE
    ) -> models.Demands:
        """List what you are asked to pay, newest first; go on with `ending_before` = the last id."""
        found = await clearing.collections.page(
            book_id=who.book,
            before=cursor(DEMAND_PREFIX, ending_before, "ending_before"),
            limit=limit + 1,
        )
        return _demands(found, limit, is_house=False)


def add_adjustments(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse) -> None:
    """Add adjustments as the house sees, proposes and decides them."""
    desk = clearing.adjustments

    @routes.get(ADJUSTMENTS)
    async def page(
        who: Annotated[Caller, door.books],
        book: BookQuery = None,
        state: StateQuery = None,
        ending_before: Before = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Adjustments:
        """List adjustments of all merchants, of this mode, newest first; go on with `ending_before` = the last id."""
        found = await desk.page(
            book_id=maybe_book(book),
            state=state,
            before=cursor(ADJUSTMENT_PREFIX, ending_before, "ending_before"),
            live=who.live,
            limit=limit + 1,
        )
        return _adjustments(found, limit, is_house=True)

    @routes.get(f"{ADJUSTMENTS}/{{adjustment}}")
    async def one(who: Annotated[Caller, door.books], adjustment: IdPath) -> models.Adjustment:
        """Return an adjustment, `adj_…`, with what was done about it."""
        found = await desk.get(path_id(ADJUSTMENT_PREFIX, adjustment), live=who.live)
        return models.Adjustment.of(found, is_house=True)

    @routes.post(ADJUSTMENTS, status_code=201, response_model=models.Adjustment)
    async def propose(
        request: Request, who: Annotated[Caller, door.breaks], order: models.ProposeOrder
    ) -> Response:
        """Propose to give a merchant money, or to take some; somebody else approves it."""

        async def work() -> Adjustment:
            return await desk.propose(order.order(), actor=who.actor, live=who.live)

        return await acts.run(request, who.book, work, lambda made: _adjustment(made, 201))

    for name, act, words in (
        (
            "approve",
            desk.approve,
            "Approve an adjustment as another person: it is posted in the same commit.",
        ),
        ("decline", desk.decline, "Refuse an adjustment, or withdraw your own."),
    ):
        _add_decision(routes, door, acts, (desk, name, act, words))


def add_demands(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse) -> None:
    """Add demands as the house sees and makes them, and who owes."""
    desk = clearing.collections

    @routes.get(DEBTS)
    async def debts(
        who: Annotated[Caller, door.books], starting_after: After = None, limit: Limit = PAGE_SIZE
    ) -> models.Debts:
        """Return what merchants owe: demands by how long they are overdue, and who owes, book by book."""
        after = None if starting_after is None else book_of(starting_after)
        found = await desk.debtors(after, limit + 1, live=who.live)
        return models.Debts.of(
            await desk.ages(live=who.live), _whole_books(found, limit), has_more=len(found) > limit
        )

    @routes.get(DEMANDS)
    async def page(
        who: Annotated[Caller, door.books],
        book: BookQuery = None,
        state: DemandStateQuery = None,
        ending_before: Before = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Demands:
        """List demands of all merchants, of this mode, newest first; go on with `ending_before` = the last id."""
        found = await desk.page(
            book_id=maybe_book(book),
            state=state,
            before=cursor(DEMAND_PREFIX, ending_before, "ending_before"),
            live=who.live,
            limit=limit + 1,
        )
        return _demands(found, limit, is_house=True)

    @routes.get(f"{DEMANDS}/{{demand}}")
    async def one(who: Annotated[Caller, door.books], demand: IdPath) -> models.Demand:
        """Return a demand, `dmd_…`, with what came for it and what was done about it."""
        found = await desk.get(path_id(DEMAND_PREFIX, demand), live=who.live)
        return models.Demand.of(found, is_house=True, receipts=await desk.receipts(found))

    @routes.post(DEMANDS, status_code=201, response_model=models.Demand)
    async def make(
        request: Request, who: Annotated[Caller, door.breaks], order: models.DemandBody
    ) -> Response:
        """Ask a merchant to pay what it owes."""

        async def work() -> Demand:
            return await desk.demand(order.order(), actor=who.actor, live=who.live)

        return await acts.run(request, who.book, work, lambda made: _demand(made, 201))


def add_demand_money(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse) -> None:
    """Add money that came for a demand: by the word of a person, or as a line of a bank."""
    desk = clearing.collections

    @routes.post(f"{DEMANDS}/{{demand}}/receive", response_model=models.Demand)
    async def receive(
        request: Request, who: Annotated[Caller, door.breaks], demand: IdPath, order: models.ReceiveOrder
    ) -> Response:
        """Book money that came into the house's account; the same reference of the bank again changes nothing."""

        async def work() -> Demand:
            of = await desk.get(path_id(DEMAND_PREFIX, demand), live=who.live)
            found, _ = await desk.receive(
                of.id,
                order.amount_minor,
                bank_reference=order.bank_reference,
                received_on=order.received_on,
                actor=who.actor,
                note=order.note,
            )
            return found

        return await acts.run(request, who.book, work, _demand)

    @routes.post(f"{DEMANDS}/{{demand}}/lines", response_model=models.Demand)
    async def lines(
        request: Request, who: Annotated[Caller, door.breaks], demand: IdPath, order: models.LineOrder
    ) -> Response:
        """Take an unexpected line of a bank as a payment of this demand, and end its break."""

        async def work() -> Demand:
            of = await desk.get(path_id(DEMAND_PREFIX, demand), live=who.live)
            found, _, _ = await clearing.debt_lines.receive(
                of.id,
                given_id(BREAK_PREFIX, order.brk, "break"),
                actor=who.actor,
                note=order.note,
            )
            return found

        return await acts.run(request, who.book, work, _demand)


def add_demand_acts(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse) -> None:
    """Add what people of the house decide about a demand; giving up takes two."""
    desk = clearing.collections

    @routes.post(f"{DEMANDS}/{{demand}}/give_up", response_model=models.Demand)
    async def give_up(
        request: Request, who: Annotated[Caller, door.breaks], demand: IdPath, order: models.WhyOrder
    ) -> Response:
        """Propose to write off what is left of a demand; a second person decides."""
        work = _work(desk, desk.give_up, (demand, who, order.note))
        return await acts.run(request, who.book, work, _demand)

    @routes.post(f"{DEMANDS}/{{demand}}/cancel", response_model=models.Demand)
    async def cancel(
        request: Request, who: Annotated[Caller, door.breaks], demand: IdPath, order: models.WhyOrder
    ) -> Response:
        """Take back a demand of which nothing came."""
        work = _work(desk, desk.cancel, (demand, who, order.note))
        return await acts.run(request, who.book, work, _demand)

    @routes.post(f"{DEMANDS}/{{demand}}/write_off", response_model=models.Demand)
    async def write_off(
        request: Request, who: Annotated[Caller, door.approves], demand: IdPath, order: models.NoteOrder
    ) -> Response:
        """Give up what is left of a demand, as the second person: the loss is posted in the same commit."""
        work = _work(desk, desk.write_off, (demand, who, order.note))
        return await acts.run(request, who.book, work, _demand)

    @routes.post(f"{DEMANDS}/{{demand}}/keep", response_model=models.Demand)
    async def keep(
        request: Request, who: Annotated[Caller, door.approves], demand: IdPath, order: models.NoteOrder
    ) -> Response:
        """Refuse a write-off, or withdraw your own: the demand stands."""
        work = _work(desk, desk.keep, (demand, who, order.note))
        return await acts.run(request, who.book, work, _demand)


def _add_decision(
    routes: APIRouter,
    door: Doors,
    acts: Acts,
    how: tuple[Adjustments, str, Callable[..., Awaitable[Adjustment]], str],
) -> None:
    desk, name, act, words = how

    @routes.post(
        f"{ADJUSTMENTS}/{{adjustment}}/{name}", response_model=models.Adjustment, name=name, description=words
    )
    async def decide(
        request: Request, who: Annotated[Caller, door.approves], adjustment: IdPath, order: models.DecideOrder
    ) -> Response:
        async def work() -> Adjustment:
            found = await desk.get(path_id(ADJUSTMENT_PREFIX, adjustment), live=who.live)
            return await act(found.id, actor=who.actor, note=order.note, seen_version=order.version)

        return await acts.run(request, who.book, work, _adjustment)


def _work(
    desk: Collections, act: Callable[..., Awaitable[Demand]], asked: tuple[str, Caller, str]
) -> Callable[[], Awaitable[Demand]]:
    demand, who, note = asked

    async def work() -> Demand:
        found = await desk.get(path_id(DEMAND_PREFIX, demand), live=who.live)
        return await act(found.id, actor=who.actor, note=note)

    return work


def _whole_books(found: Sequence[Debtor], limit: int) -> list[Debtor]:
    """Return a page that ends with a whole book, so that the next one begins after it; a book alone is never cut."""
    shown = list(found[:limit])
    if len(found) <= limit or found[limit].book_id != shown[-1].book_id:
        return shown
    whole = [each for each in shown if each.book_id != shown[-1].book_id]
    if not whole:
        raise InvalidRequest(
            "limit_too_small", "one merchant owes in more currencies than fit: ask for more rows"
        )
    return whole


def _adjustments(found: Sequence[Adjustment], limit: int, *, is_house: bool) -> models.Adjustments:
    shown = [models.Adjustment.of(each, is_house=is_house) for each in found[:limit]]
    return models.Adjustments(data=shown, has_more=len(found) > limit)


def _demands(found: Sequence[Demand], limit: int, *, is_house: bool) -> models.Demands:
    shown = [models.Demand.of(each, is_house=is_house) for each in found[:limit]]
    return models.Demands(data=shown, has_more=len(found) > limit)


def _adjustment(made: Adjustment, status: int = 200) -> Rendered:
    return rendered(models.Adjustment.of(made, is_house=True), status)


def _demand(made: Demand, status: int = 200) -> Rendered:
    return rendered(models.Demand.of(made, is_house=True), status)
