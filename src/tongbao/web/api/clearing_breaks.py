"""``/v2/recon/breaks``: differences with both sides, and what people do about them; a write-off takes two."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from tongbao.clearing.schema.breaks import BREAK_PREFIX, Break, BreakKind, BreakState
from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.clock import Clock
from tongbao.core.requests.asks import Rendered
from tongbao.web.api import clearing_break_models as models
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.clearing_recon import SourceQuery
from tongbao.web.api.clearing_sides import BookQuery, Doors, maybe_book
from tongbao.web.api.shapes import PAGE_SIZE, Before, IdPath, Limit, cursor, path_id

PATH = "/recon/breaks"
STATES = (BreakState.OPEN, BreakState.EXPLAINED, BreakState.PROPOSED)
StateQuery = Annotated[
    list[BreakState], Query(max_length=10, description="Those in these states: what still stands.")
]
KindQuery = Annotated[BreakKind | None, Query(description="Only of this kind.")]


def add_reads(routes: APIRouter, door: Doors, clearing: ClearingHouse, clock: Clock) -> None:
    """Add the list of breaks, and one with its history."""
    desk = clearing.break_desk

    @routes.get(PATH)
    async def breaks(
        who: Annotated[Caller, door.books],
        state: StateQuery = list(STATES),  # noqa: B006  # the framework reads it, nobody changes it
        kind: KindQuery = None,
        source: SourceQuery = None,
        book: BookQuery = None,
        ending_before: Before = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Breaks:
        """List breaks, newest day first, with both sides and a suggestion; go on with `ending_before` = the last id."""
        last = cursor(BREAK_PREFIX, ending_before, "ending_before")
        before = None if last is None else ((await desk.get(last))[0].of.opened_on, last)
        found = await desk.page(
            states=state, of=(kind, source, maybe_book(book)), before=before, limit=limit + 1
        )
        today = clock.now().date()
        shown = [models.Break.seen(each, today) for each in found[:limit]]
        return models.Breaks(data=shown, has_more=len(found) > limit)

    @routes.get(f"{PATH}/{{brk}}")
    async def one(who: Annotated[Caller, door.books], brk: IdPath) -> models.BreakFile:
        """Return a break, `brk_…`, with everything that was done about it."""
        view, acts = await desk.get(path_id(BREAK_PREFIX, brk))
        history = [models.Act.model_validate(each) for each in acts]
        return models.BreakFile(of=models.Break.seen(view, clock.now().date()), history=history)


def add_acts(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse, clock: Clock) -> None:
    """Add what one person does about a break, and the two that take a second one."""
    desk = clearing.break_desk
    for name, act, words in (
        ("explain", desk.explain, "Say why there is a difference; it still has to be mended."),
        (
            "resolve",
            desk.resolve,
            "End a break that was mended elsewhere; a run that still sees it opens it again.",
        ),
        ("propose", desk.propose, "Propose to write a difference off; a second person decides."),
        ("decline", desk.decline, "Refuse a write-off, as the second person."),
    ):
        _add_act(routes, door, acts, clock, (name, act, words))

    @routes.post(f"{PATH}/{{brk}}/approve", response_model=models.Break)
    async def approve(
        request: Request, who: Annotated[Caller, door.breaks], brk: IdPath, order: models.ApproveOrder
    ) -> Response:
        """Write a proposed break off, as the second person: its transfers are posted in the same commit."""

        async def work() -> Break:
            found = path_id(BREAK_PREFIX, brk)
            return await desk.approve(found, actor=who.actor, note=order.note, seen_version=order.version)

        return await acts.run(request, who.book, work, lambda made: _break(made, clock))

    @routes.post(f"{PATH}/match", response_model=models.Breaks)
    async def match(
        request: Request, who: Annotated[Caller, door.breaks], order: models.MatchOrder
    ) -> Response:
        """Put the records of breaks together by hand; where the sums differ a new break tells the rest."""

        async def work() -> list[Break]:
            return await desk.match(
                order.ids(),
                actor=who.actor,
                note=order.note,
                expected=order.expected,
                reported=order.reported,
            )

        def render(made: list[Break]) -> Rendered:
            today = clock.now().date()
            return rendered(models.Breaks(data=[models.Break.of(each, today) for each in made]))

        return await acts.run(request, who.book, work, render)


def _add_act(
    routes: APIRouter,
    door: Doors,
    acts: Acts,
    clock: Clock,
    how: tuple[str, Callable[..., Awaitable[Any]], str],
) -> None:
    name, act, words = how

    @routes.post(f"{PATH}/{{brk}}/{name}", response_model=models.Break, name=name, description=words)
    async def done(
        request: Request, who: Annotated[Caller, door.breaks], brk: IdPath, order: models.ActOrder
    ) -> Response:
        async def work() -> Break:
            found: UUID = path_id(BREAK_PREFIX, brk)
            made: Break = await act(found, actor=who.actor, note=order.note, seen_version=order.version)
            return made

        return await acts.run(request, who.book, work, lambda made: _break(made, clock))


def _break(made: Break, clock: Clock) -> Rendered:
    return rendered(models.Break.of(made, clock.now().date()))
