"""``/merchant/{merchant}/statements``: a day or a month, as a page, as a table, as a workbook, to print."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from markupsafe import Markup
from starlette.background import BackgroundTask

from tongbao.clearing.schema.movements import KIND_NAMES
from tongbao.clearing.schema.statements import FeeSum, KindSum, Period, Statement
from tongbao.core.errors import NotFound
from tongbao.parties.schema import Permission
from tongbao.web.api.clearing_pages import printed
from tongbao.web.merchant.office import Office, enter
from tongbao.web.merchant.payouts_view import Month, month_of
from tongbao.web.merchant.portal import PREFIX, PageRoute, Portal, Shown

PATH = f"{PREFIX}/statements"
MONTHS = 12
TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_PERIOD = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])(?:-(\d\d))?")
Cells = tuple[str | Markup, ...]


def router(portal: Portal) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)

    @routes.get(PATH, response_model=None)
    async def statements(request: Request, merchant: str) -> Response:
        return await _list(await enter(portal, request, merchant, Permission.REPORTS_READ))

    @routes.get(f"{PATH}/{{period}}", response_model=None)
    async def statement(request: Request, merchant: str, period: str) -> Response:
        return await _one(await enter(portal, request, merchant, Permission.REPORTS_READ), period)

    return routes


async def _list(office: Office) -> Response:
    currencies = await office.currencies()
    currency = office.chosen(currencies)
    chosen = month_of(office.request.query_params.get("month", ""), office.today)
    shown = {
        "tabs": office.currency_tabs(currencies, "/statements"),
        "currency": currency,
        "chosen": _month_words(office, chosen),
        "months": [
            (
                *_row(office, each.text, _month_words(office, each), currency),
                Markup('<a href="{}">{}<span class="vh"> {}</span></a>').format(
                    office.to("/statements", currency=currency, month=each.text),
                    office.t("its_days"),
                    _month_words(office, each),
                ),
            )
            for each in _months(office)
        ],
        "days": [
            _row(office, each.isoformat(), each.isoformat(), currency) for each in _days(office, chosen)
        ],
    }
    return office.page(Shown("statements.html", "statements", shown))


def _months(office: Office) -> list[Month]:
    """Return the months that may have statements, the newest first."""
    born = office.visitor.merchant.created_at.date()
    found = [Month(office.today.replace(day=1))]
    while len(found) < MONTHS and found[-1].before.until > born:
        found.append(found[-1].before)
    return found


def _days(office: Office, month: Month) -> list[date]:
    """Return the days of a month that have begun, the newest first."""
    last = min(month.until - timedelta(days=1), office.today)
    return [last - timedelta(days=number) for number in range((last - month.first).days + 1)]


def _month_words(office: Office, month: Month) -> Markup:
    return office.t("month_text", year=month.first.year, month=office.t(f"month_{month.first.month}"))


def _row(office: Office, period: str, words: object, currency: str) -> Cells:
    """Return a line of the list: what it is of, and the ways to have it."""
    files = Markup(" · ").join(
        Markup('<a href="{}"{}>{}<span class="vh"> {}</span></a>').format(
            office.to(f"/statements/{period}", currency=currency, format=form),
            Markup("") if form == "html" else Markup(" download"),
            office.t(f"as_{form}"),
            words,
        )
        for form in ("csv", "xlsx", "html")
    )
    page = office.to(f"/statements/{period}", currency=currency)
    return Markup('<a href="{}">{}</a>').format(page, words), files


async def _one(office: Office, asked: str) -> Response:
    currency = office.request.query_params.get("currency", office.currency)
    if not re.fullmatch("[A-Z]{3}", currency):
        raise NotFound("resource_missing", "there is no such currency")
    period = await _period(office, currency, asked)
    form = office.request.query_params.get("format", "")
    scope, files = office.visitor.scope, office.clearing.statement_files
    if form == "html":
        name = office.visitor.merchant.name
        return printed(await files.html(scope, currency, period, office.language, name))
    if form in TYPES:
        return await _file(office, currency, period, form)
    found = await office.clearing.statements.get(scope, currency, period)
    shown = {
        "asked": asked,
        "period": period,
        "currency": currency,
        "words": asked if len(asked) > 7 else _month_words(office, Month(period.from_on)),
        "statement": found,
        "balance": _balance(found, office),
        "heads": _heads(office),
        "kinds": [_kind(each, currency, office) for each in found.movements],
        "fees": [_fee(each, currency, office) for each in found.fees],
        "last_on": period.until_on - timedelta(days=1),
        "made_at": office.written(found.made_at),
    }
    return office.page(Shown("statement.html", "statements", shown))


async def _period(office: Office, currency: str, asked: str) -> Period:
    """Return the days that an address names; raise NotFound ``resource_missing`` for what is no month and no day."""
    found = _PERIOD.fullmatch(asked)
    scope, statements = office.visitor.scope, office.clearing.statements
    if found is None:
        raise NotFound("resource_missing", "a statement is of a month or of a day")
    year, month, day = found.groups()
    if day is None:
        return await statements.month(scope, currency, int(year), int(month))
    try:
        on = date(int(year), int(month), int(day))
    except ValueError:
        raise NotFound("resource_missing", "there is no such day") from None
    return await statements.day(scope, currency, on)


async def _file(office: Office, currency: str, period: Period, form: str) -> FileResponse:
    """Write a file aside and send it; it is removed once it was sent."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="statement-"))
    name = f"statement-{currency}-{period.from_on}.{form}"
    files = office.clearing.statement_files
    try:
        write = files.csv if form == "csv" else files.xlsx
        await write(office.visitor.scope, currency, period, office.language, folder / name)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    gone = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(folder / name, media_type=TYPES[form], filename=name, background=gone)


def _balance(found: Statement, office: Office) -> list[Cells]:
    """Return the way from the opening balance to the closing one; the lines add up exactly."""
    lines = (
        ("st_opening", found.opening.total_minor, False),
        ("st_movements", found.movements_minor, True),
        ("st_fees", -found.fees_minor, True),
        ("st_payouts", -found.payouts_minor, True),
        ("st_returned", found.returned_minor, True),
        ("st_closing", found.closing.total_minor, False),
    )
    return [
        (office.t(key), office.ui.money(minor, found.currency, sign=signed))
        for key, minor, signed in lines
        if minor or key != "st_returned"
    ]


def _heads(office: Office) -> tuple[str | tuple[str, str], ...]:
    words = [str(office.t(key)) for key in ("c_kind", "c_method", "c_channel")]
    return (*words, (str(office.t("c_count")), "num"), (str(office.t("c_amount")), "num"))


def _kind(each: KindSum, currency: str, office: Office) -> Cells:
    return (*_what(each, office), office.ui.count(each.count), office.ui.money(each.amount_minor, currency))


def _fee(each: FeeSum, currency: str, office: Office) -> Cells:
    return (*_what(each, office), office.ui.count(each.count), office.ui.money(each.fee_minor, currency))


def _what(each: KindSum | FeeSum, office: Office) -> Sequence[str | Markup]:
    method = office.reader.method_kind(each.method) if each.method else ""
    return office.t(f"kind_{KIND_NAMES[each.kind]}"), method, each.channel
