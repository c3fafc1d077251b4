"""``/v2/days``: how a business day of the house stands, its close, its report, and its opening again by two people."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from tongbao.clearing.schema.days import Day
from tongbao.clearing.service.house import ClearingHouse
from tongbao.web.api import clearing_day_models as models
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.clearing_sides import Doors
from tongbao.web.api.shapes import PAGE_SIZE, Limit

PATH = "/days"
On = Annotated[date, Path(description="A business day, such as 2026-01-31.")]
BeforeDay = Annotated[date | None, Query(description="Days before this one.")]


def add_days(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse) -> None:
    """Add days."""
    closing = clearing.closing

    @routes.get(PATH)
    async def days(
        who: Annotated[Caller, door.books], before: BeforeDay = None, limit: Limit = PAGE_SIZE
    ) -> models.Days:
        """List days that somebody closed or wanted to, newest first."""
        found = await closing.page(before, limit)
        more = len(found) == limit and await closing.page(found[-1].on, 1)
        return models.Days(data=[models.Day.of(each) for each in found], has_more=bool(more))

    @routes.get(f"{PATH}/{{on}}")
    async def one(who: Annotated[Caller, door.books], on: On) -> models.DayFile:
        """Return a day with the report of its close and what was done about it; one that nobody touched is open."""
        day, history = await closing.get(on)
        return models.DayFile(of=models.Day.of(day), history=[models.Act.of(each) for each in history])

    @routes.get(f"{PATH}/{{on}}/checklist")
    async def checklist(who: Annotated[Caller, door.books], on: On) -> models.Report:
        """Return how a day stands now: the list, the score, breaks by age. Writes nothing."""
        return models.Report.of(await closing.look(on))

    @routes.post(f"{PATH}/{{on}}/close", response_model=models.Day)
    async def close(
        request: Request, who: Annotated[Caller, door.days], on: On, order: models.CloseOrder
    ) -> Response:
        """Close a day; over warnings the first person asks, with a reason, and a second one closes."""

        async def work() -> Day:
            return await closing.close(on, actor=who.actor, note=order.note)

        return await acts.run(request, who.book, work, lambda made: rendered(models.Day.of(made)))

    @routes.post(f"{PATH}/{{on}}/reopen", response_model=models.Day)
    async def reopen(
        request: Request, who: Annotated[Caller, door.days], on: On, order: models.ReopenOrder
    ) -> Response:
        """Open the day that was closed last; the first person asks, a second one opens it."""

        async def work() -> Day:
            return await closing.reopen(on, actor=who.actor, note=order.note)

        return await acts.run(request, who.book, work, lambda made: rendered(models.Day.of(made)))
