"""``/v2/recon``: who sends files, what came, what they say, and runs of reconciliation."""

from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Query, Request, Response

from tongbao.clearing.schema.breaks import RUN_PREFIX, Leg, Run
from tongbao.clearing.schema.lines import FILE_PREFIX, SourceTerms
from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.clock import Clock
from tongbao.web.api import clearing_recon_models as models
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.clearing_sides import Doors
from tongbao.web.api.shapes import PAGE_SIZE, Before, IdPath, Limit, cursor, path_id

PATH = "/recon"
LINE_ID_MAX = 2**63 - 1
SourceQuery = Annotated[str | None, Query(min_length=1, max_length=64, description="Only of this source.")]
SourcePath = Annotated[str, Path(min_length=1, max_length=64, description="Name of a source.")]
AfterLine = Annotated[int, Query(ge=0, le=LINE_ID_MAX, description="Continue after this line's id.")]
LegQuery = Annotated[Leg | None, Query(description="Only of these two truths.")]


def add_sources(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse) -> None:
    """Add who sends files."""
    intake = clearing.intake

    @routes.get(f"{PATH}/sources")
    async def sources(who: Annotated[Caller, door.books]) -> models.Sources:
        """List who sends files, by name."""
        found = await intake.sources()
        return models.Sources(data=[models.Source.of(found[name]) for name in sorted(found)])

    @routes.get(f"{PATH}/sources/{{source}}")
    async def source(who: Annotated[Caller, door.books], source: SourcePath) -> models.Source:
        """Return what is agreed with a source."""
        return models.Source.of(await intake.source(source))

    @routes.post(f"{PATH}/sources", status_code=201, response_model=models.Source)
    async def agree(
        request: Request, who: Annotated[Caller, door.breaks], order: models.SourceOrder
    ) -> Response:
        """Agree with a source on what its files are like; the files that came before stay as they were read."""

        async def work() -> SourceTerms:
            terms = order.told()
            await intake.agree(terms, who.actor)
            return terms

        return await acts.run(request, who.book, work, lambda made: rendered(models.Source.of(made), 201))


def add_files(routes: APIRouter, door: Doors, clearing: ClearingHouse) -> None:
    """Add what came in."""
    intake = clearing.intake

    @routes.get(f"{PATH}/files")
    async def files(
        who: Annotated[Caller, door.books],
        source: SourceQuery = None,
        ending_before: Before = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Files:
        """List files, newest first; go on with `ending_before` = the last id."""
        before = cursor(FILE_PREFIX, ending_before, "ending_before")
        found = await intake.page(source, before, limit + 1)
        shown = [models.File.of(each, refusals_max=0) for each in found[:limit]]
        return models.Files(data=shown, has_more=len(found) > limit)

    @routes.get(f"{PATH}/files/{{file}}")
    async def file(who: Annotated[Caller, door.books], file: IdPath) -> models.File:
        """Return a file, `rcf_…`, with its problems and the first hundred lines that were refused."""
        return models.File.of(await intake.get(path_id(FILE_PREFIX, file)))

    @routes.get(f"{PATH}/files/{{file}}/lines")
    async def lines(
        who: Annotated[Caller, door.books], file: IdPath, after: AfterLine = 0, limit: Limit = PAGE_SIZE
    ) -> models.Lines:
        """List the lines that a file brought first, in its order."""
        found = await intake.lines(path_id(FILE_PREFIX, file), after, limit + 1)
        shown = [models.Line.of(each.id, each.line) for each in found[:limit]]
        return models.Lines(data=shown, has_more=len(found) > limit)


def add_runs(routes: APIRouter, door: Doors, acts: Acts, clearing: ClearingHouse, clock: Clock) -> None:
    """Add runs of reconciliation."""
    reconciling = clearing.reconciling

    @routes.get(f"{PATH}/runs")
    async def runs(
        who: Annotated[Caller, door.books],
        source: SourceQuery = None,
        leg: LegQuery = None,
        ending_before: Before = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Runs:
        """List runs, newest first; go on with `ending_before` = the last id."""
        before = cursor(RUN_PREFIX, ending_before, "ending_before")
        found = await reconciling.page(leg, source, before, limit + 1)
        shown = [models.Run.of(each) for each in found[:limit]]
        return models.Runs(data=shown, has_more=len(found) > limit)

    @routes.get(f"{PATH}/runs/{{run}}")
    async def one(who: Annotated[Caller, door.books], run: IdPath) -> models.Run:
        """Return a run, `rcn_…`: what went in and what came out."""
        return models.Run.of(await reconciling.get(path_id(RUN_PREFIX, run)))

    @routes.post(f"{PATH}/runs", status_code=201, response_model=models.Run)
    async def start(
        request: Request, who: Annotated[Caller, door.breaks], order: models.RunOrder
    ) -> Response:
        """Reconcile a source up to a day, everything of it that is still open; again finds nothing new."""

        async def work() -> Run:
            until_on = order.until_on
            if until_on is None:
                zone = (await clearing.intake.source(order.source)).zone
                until_on = clock.now().astimezone(ZoneInfo(zone)).date()
            return await reconciling.run(order.source, until_on, who.actor)

        return await acts.run(request, who.book, work, lambda made: rendered(models.Run.of(made), 201))
