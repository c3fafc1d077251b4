"""``/v2/settlements/statements``: a day or a month as data, as a table, as a workbook, or as a page to print."""

import shutil
import tempfile
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.background import BackgroundTask

from tongbao.clearing.schema.statements import Period
from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.errors import InvalidRequest
from tongbao.parties.schema import Scope
from tongbao.parties.service.merchants import Merchants
from tongbao.web.api import clearing_statement_models as models
from tongbao.web.api.callers import Caller
from tongbao.web.api.clearing_bills import scope_of
from tongbao.web.api.clearing_pages import printed
from tongbao.web.api.clearing_sides import CurrencyQuery, Doors, Language

PATH = "/settlements/statements"
LINES_MAX = 1_000
"""Lines of a statement as data; the files hold all of them."""
TYPES = {"csv": "text/csv; charset=utf-8"} | {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
}


class Form(StrEnum):
    """What a statement is wanted as."""

    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    HTML = "html"


OnQuery = Annotated[date | None, Query(description="A day, in the zone of the agreement.")]
MonthQuery = Annotated[
    str | None, Query(pattern=r"^20\d\d-(0[1-9]|1[0-2])$", description="Or a month: 2026-01.")
]
FormQuery = Annotated[Form, Query(alias="format", description="What it is wanted as.")]


def add_statements(routes: APIRouter, door: Doors, clearing: ClearingHouse, merchants: Merchants) -> None:
    """Add statements."""
    files = clearing.statement_files

    @routes.get(PATH, response_model=models.StatementModel)
    async def statement(
        who: Annotated[Caller, door.reports],
        currency: CurrencyQuery,
        on: OnQuery = None,
        month: MonthQuery = None,
        form: FormQuery = Form.JSON,
        language: Language = "en",
    ) -> Response:
        """Return the statement of a day (`on`) or a month; equal to the ledger to the last minor unit."""
        scope = scope_of(who)
        period = await _period(clearing, scope, currency, (on, month))
        if form is Form.JSON:
            found = await files.lines(scope, currency, period, LINES_MAX)
            return JSONResponse(models.StatementModel.of(*found).model_dump(mode="json"))
        if form is Form.HTML:
            name = (await merchants.own(scope)).name
            return printed(await files.html(scope, currency, period, language, name))
        return await _file(clearing, scope, (currency, period, form, language))


async def _period(
    clearing: ClearingHouse, scope: Scope, currency: str, asked: tuple[date | None, str | None]
) -> Period:
    """Return the days that are asked for; raise InvalidRequest ``statement_time_invalid`` for none, or for both ways."""
    on, month = asked
    if (on is None) == (month is None):
        raise InvalidRequest("statement_time_invalid", "ask for a day (on) or for a month")
    if on is not None:
        return await clearing.statements.day(scope, currency, on)
    year, number = map(int, (month or "").split("-"))
    return await clearing.statements.month(scope, currency, year, number)


async def _file(clearing: ClearingHouse, scope: Scope, asked: tuple[str, Period, Form, str]) -> FileResponse:
    """Write a file aside and send it; it is removed once it was sent."""
    currency, period, form, language = asked
    folder = Path(tempfile.mkdtemp(prefix="statement-"))
    name = f"statement-{currency}-{period.from_on}.{form}"
    try:
        write = clearing.statement_files.csv if form is Form.CSV else clearing.statement_files.xlsx
        await write(scope, currency, period, language, folder / name)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    gone = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(folder / name, media_type=TYPES[form], filename=name, background=gone)
