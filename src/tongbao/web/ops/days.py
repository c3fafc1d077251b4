"""``/ops/days``: days and their health, one as a checklist that is closed by one person or two, and what the house earned."""

from collections.abc import Mapping
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response

from tongbao.clearing.schema.days import Day, DayReport, DayState
from tongbao.clearing.schema.statements import ProfitLine
from tongbao.clearing.service.closing import HOUSE_ZONE
from tongbao.clearing.service.profits import totals
from tongbao.core.errors import AppError, Conflict, InvalidRequest, NotFound
from tongbao.web.ops import days_view as view
from tongbao.web.ops.money_desk import MODES, ROWS, Desk, Failed, Money, O, PageRoute, Shown, said
from tongbao.web.ui.tables import EXPORT_ROWS_MAX

PATH, PROFITS = view.PATH, view.PROFITS
DAYS_SHOWN = 14
PROFIT_DAYS = 30
PROFIT_DAYS_MAX = 400
PAGE_MAX = 100


def router(money: Money) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)
    page = _Days(money)
    routes.add_api_route(PATH, page.show, methods=["GET"], response_model=None)
    routes.add_api_route(PROFITS, page.profits, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/{{on}}", page.one, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/{{on}}/{{act}}", page.act, methods=["POST"], response_model=None)
    return routes


class _Days:
    """Answers the pages and their acts."""

    def __init__(self, money: Money) -> None:
        self._money = money
        self._closing = money.clearing.closing

    async def show(self, request: Request) -> Response:
        """Answer the list of days."""
        desk = await self._money.desk(request)
        table = view.table(desk)
        query = desk.query(table)
        if desk.wants_csv:
            return desk.csv("days", table, [view.plain_row(each, desk) for each in await self._all()])
        before = _maybe_day(query.after)
        found = await self._closing.page(before, ROWS + 1)
        days = view.with_untouched(found[:ROWS], self._today(), DAYS_SHOWN, before)
        after = str(found[ROWS - 1].on) if len(found) > ROWS else ""
        newest = next((day for day in days if day.report is not None), None)
        context = {
            "view": desk.table(query, table, view.rows(days, desk), after, str(desk.t("days_empty"))),
            "newest": newest,
            "open_count": sum(day.state is DayState.OPEN for day in days),
            "asked_count": sum(bool(day.asked) for day in days),
            "tone": view.score_tone(newest.report.score) if newest and newest.report else "",
            "near": desk.near("days"),
        }
        return desk.page(Shown("days.html", "days", context))

    async def one(self, request: Request, on: str) -> Response:
        """Answer one day: a closed one by the report of its close, an open one as it stands now."""
        return await self._one(await self._money.desk(request), _day(on))

    async def act(self, request: Request, on: str, act: str) -> Response:
        """Close a day, or open the last one again."""
        desk = await self._money.desk(request, O.DAYS_CLOSE)
        day = _day(on)
        if act not in {"close", "reopen"}:
            raise NotFound("act_unknown", "a day has no such act")

        async def do(fields: Mapping[str, str]) -> str:
            note = fields.get("reason", "").strip()
            if act == "close":
                made = await self._closing.close(day, actor=desk.actor, note=note)
                return said(f"{PATH}/{on}", "day_closed" if made.state is DayState.CLOSED else "day_asked")
            made = await self._closing.reopen(day, actor=desk.actor, note=note)
            return said(f"{PATH}/{on}", "day_opened" if made.state is DayState.OPEN else "day_asked")

        async def again(failed: Failed) -> Response:
            return await self._one(desk, day, failed, act)

        return await desk.act(do, again)

    async def profits(self, request: Request) -> Response:
        """Answer what the house earned."""
        desk = await self._money.desk(request)
        table = view.profit_table(desk)
        query = desk.query(table)
        by = query.filters.get("by", "month_on")
        today = self._today()
        first = _maybe_day(query.filters.get("from", "")) or today - timedelta(days=PROFIT_DAYS)
        last = _maybe_day(query.filters.get("to", "")) or today
        live = MODES[query.filters.get("mode", "live")]
        problem: Failed | None = None
        lines: tuple[ProfitLine, ...] = ()
        try:
            if not 0 <= (last - first).days <= PROFIT_DAYS_MAX:
                raise InvalidRequest("statement_time_invalid", "the days are to be in order and not too many")
            until_on = last + timedelta(days=1)
            lines = await self._money.clearing.profits.report(
                first, until_on, zone=HOUSE_ZONE, live=live, by=(by,)
            )
        except AppError as error:
            problem = desk.failed(error, {})
        names = await self._money.merchants(line.key.book_id for line in lines)
        rows = view.profit_rows(lines[:PAGE_MAX], by, names, desk)
        if desk.wants_csv:
            every = view.profit_rows(lines[:EXPORT_ROWS_MAX], by, names, desk)
            plain = [{key: _plain(value) for key, value in row.cells.items()} for row in every]
            return desk.csv(f"profits-{first}-{last}", table, plain)
        context = {
            "view": desk.table(query, table, rows, "", str(desk.t("profits_empty"))),
            "totals": totals(lines),
            "chart": view.profit_chart(lines, by, names, desk),
            "first": first,
            "last": last,
            "near": desk.near("days"),
        }
        return desk.page(Shown("profits.html", "profits", context), problem)

    async def _one(self, desk: Desk, on: date, failed: Failed | None = None, act: str = "") -> Response:
        day, acts = await self._closing.get(on)
        report = await self._report(day)
        context = {
            "day": day,
            "state": view.state_tag(day, desk),
            "report": report,
            "is_closed": day.state is DayState.CLOSED,
            "tone": view.score_tone(report.score) if report else "",
            "checks": view.checks(report, desk) if report else [],
            "parts": view.parts(report, desk) if report else [],
            "balance": view.balance(report, desk) if report else [],
            "breaks": view.breaks(report, desk) if report else [],
            "can_close": report is not None and all(each.state != "failed" for each in report.checks),
            "has_warnings": report is not None and any(each.state == "warned" for each in report.checks),
            "history": view.history(acts, desk),
            "asked_by": desk.who(day.asked_by),
            "closed_by": desk.who(day.closed_by),
            "is_mine": desk.is_mine(day.asked_by),
            "path": f"{PATH}/{on}",
            "open_act": act,
        }
        return desk.page(Shown("day.html", "days", context), failed)

    async def _report(self, day: Day) -> DayReport | None:
        """Return the report of a day's close, or how it stands now; None while it still runs."""
        if day.state is DayState.CLOSED:
            return day.report
        try:
            return await self._closing.look(day.on)
        except Conflict as error:
            if error.code != "day_not_over":
                raise
            return None

    async def _all(self) -> list[Day]:
        found: list[Day] = []
        before: date | None = None
        while len(found) < EXPORT_ROWS_MAX:
            page = await self._closing.page(before, PAGE_MAX)
            found += page
            if len(page) < PAGE_MAX:
                break
            before = page[-1].on
        return found

    def _today(self) -> date:
        return self._money.now().astimezone(ZoneInfo(HOUSE_ZONE)).date()


def _day(text: str) -> date:
    """Return the day of an address; raise NotFound ``day_unknown`` for what is none."""
    found = _maybe_day(text)
    if found is None:
        raise NotFound("day_unknown", "there is no such day")
    return found


def _maybe_day(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if 2000 <= found.year < 9000 else None


def _plain(value: object) -> str:
    return str(value.striptags()) if hasattr(value, "striptags") else str(value)
