"""``/ops/sources``: who sends files, what came, which days are missing; a file is taken in here, and compared at once."""

import asyncio
import tempfile
from datetime import date
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tongbao.clearing.schema.breaks import BreakKind
from tongbao.clearing.schema.lines import FILE_PREFIX, SourceFile, SourceTerms
from tongbao.core.errors import AppError, InvalidRequest, NotFound
from tongbao.parties.service.sign_in import check_csrf
from tongbao.web.ops import sources_view as view
from tongbao.web.ops.money_desk import ROWS, Desk, Failed, Money, O, PageRoute, Shown, path_id, said
from tongbao.web.ops.sources_upload import UPLOAD_BYTES_MAX, receive
from tongbao.web.page_guard import refuse_foreign
from tongbao.web.ui.tables import EXPORT_ROWS_MAX

PATH = view.PATH
UPLOADS_MAX = 2
"""Files that one process takes in at a time; the next waits."""
COVER_FILES = 500
LINES_SHOWN = 100
GAPS_MAX = 100


def router(money: Money, bytes_max: int = UPLOAD_BYTES_MAX) -> APIRouter:
    """Return the routes; ``bytes_max`` bounds a file that a page sends."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)
    page = _Sources(money, bytes_max)
    routes.add_api_route(PATH, page.show, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/files", page.upload, methods=["POST"], response_model=None)
    routes.add_api_route(f"{PATH}/files/{{file}}", page.file, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/{{source}}/run", page.run, methods=["POST"], response_model=None)
    return routes


class _Sources:
    """Answers the pages and takes files in."""

    def __init__(self, money: Money, bytes_max: int) -> None:
        self._money = money
        self._intake = money.clearing.intake
        self._bytes_max = bytes_max
        self._turns = asyncio.Semaphore(UPLOADS_MAX)

    async def show(self, request: Request) -> Response:
        """Answer who sends files and what came."""
        return await self._show(await self._money.desk(request))

    async def file(self, request: Request, file: str) -> Response:
        """Answer a file: what it says of itself, what was refused, and its lines."""
        desk = await self._money.desk(request)
        found = await self._intake.get(path_id(FILE_PREFIX, file))
        after = request.query_params.get("after", "")
        place = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0
        lines = await self._intake.lines(found.id, place, LINES_SHOWN + 1)
        here = f"{PATH}/files/{file}"
        context = {
            "file": found,
            "reference": view.reference(found),
            "state": desk.tag("file", found.state.value),
            "facts": view.facts(found, desk),
            "problems": view.problems(found, desk),
            "refusals": found.refusals[: view.REFUSALS_SHOWN],
            "lines": lines[:LINES_SHOWN],
            "next": f"{here}?after={lines[LINES_SHOWN - 1].id}" if len(lines) > LINES_SHOWN else "",
            "first": here if place else "",
            "is_repeat": request.query_params.get("said") == "file_repeat",
        }
        return desk.page(Shown("file.html", "sources", context))

    async def upload(self, request: Request) -> Response:
        """Take a file in and lead to what it says; the same bytes again lead to what was found the first time."""
        desk = await self._money.desk(request, O.BREAKS_RESOLVE)
        refuse_foreign(request)
        fields: dict[str, str] = {}
        try:
            async with self._turns:
                with tempfile.TemporaryDirectory(prefix="recon-") as folder:
                    target = Path(folder) / "file"
                    sent = await receive(request, Path(folder), target, self._bytes_max)
                    fields = sent.fields
                    check_csrf(desk.visitor.token, fields.pop("csrf", ""))
                    if not sent.has_file:
                        raise InvalidRequest("file_empty", "choose a file with something in it")
                    terms = await self._source(fields.get("source", ""))
                    on = _day(fields.get("on", ""))
                    name = sent.file_name or "upload"
                    taken = await self._intake.take(target, terms, desk.actor, name=name, on=on)
        except AppError as error:
            if error.code in {"csrf_invalid", "session_missing", "session_invalid"}:
                raise
            return await self._show(desk, desk.failed(error, fields))
        address = f"{PATH}/files/{view.reference(taken.file)}"
        key = "file_repeat" if taken.is_repeat else "file_taken"
        return RedirectResponse(said(address, key), 303, {"Cache-Control": "no-store"})

    async def run(self, request: Request, source: str) -> Response:
        """Compare everything of a source that is still open, up to its today."""
        desk = await self._money.desk(request, O.BREAKS_RESOLVE)

        async def do(_fields: object) -> str:
            terms = await self._intake.source(source)
            until_on = self._money.now().astimezone(ZoneInfo(terms.zone)).date()
            await self._money.clearing.reconciling.run(source, until_on, desk.actor)
            return said(PATH, "source_ran")

        async def again(failed: Failed) -> Response:
            return await self._show(desk, failed)

        return await desk.act(do, again)

    async def _show(self, desk: Desk, failed: Failed | None = None) -> Response:
        sources = await self._intake.sources()
        table = view.table(desk, sorted(sources))
        query = desk.query(table)
        source = query.filters.get("source")
        if desk.wants_csv:
            every = await self._intake.page(source, None, EXPORT_ROWS_MAX)
            return desk.csv("files", table, [view.plain_row(each, desk) for each in every])
        files = await self._intake.page(source, _before(query.after), ROWS + 1)
        after = view.reference(files[ROWS - 1]) if len(files) > ROWS else ""
        newest = await self._intake.page(None, None, COVER_FILES)
        gaps = await self._money.clearing.break_desk.page(
            of=(BreakKind.STATEMENT_GAP, None, None), limit=GAPS_MAX
        )
        context = {
            "view": desk.table(
                query, table, view.rows(files[:ROWS], desk), after, str(desk.t("files_empty"))
            ),
            "sources": [
                (sources[name], _newest(newest, name), sum(gap.of.source == name for gap in gaps))
                for name in sorted(sources)
            ],
            "last_runs": {name: await self._last_run(name) for name in sources},
            "cover": view.cover(sources, newest, self._money.now().date(), desk),
            "near": desk.near("recon"),
            "bytes_max": view.size(self._bytes_max),
        }
        return desk.page(Shown("sources.html", "sources", context), failed)

    async def _last_run(self, source: str) -> object:
        found = await self._money.clearing.reconciling.page(source=source, limit=1)
        return found[0] if found else None

    async def _source(self, name: str) -> SourceTerms:
        """Return what is agreed with a source that a form names; raise InvalidRequest ``source_missing``."""
        try:
            return await self._intake.source(name)
        except NotFound:
            raise InvalidRequest("source_missing", "say who sent the file") from None


def _newest(files: list[SourceFile], source: str) -> SourceFile | None:
    return next((file for file in files if file.header.source == source), None)


def _before(after: str) -> UUID | None:
    try:
        return path_id(FILE_PREFIX, after) if after else None
    except NotFound:
        return None


def _day(text: str) -> date | None:
    """Return the day that a form says a file is of; raise InvalidRequest ``day_invalid``."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InvalidRequest("day_invalid", "a day is written as 2026-01-31") from None
