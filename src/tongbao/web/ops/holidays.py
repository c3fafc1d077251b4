"""``/ops/holidays``: years of calendars and how sure their days are; an announcement entered by one person, put in force by another."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from tongbao.clearing.schema.announcements import (
    ANNOUNCEMENT_PREFIX,
    Announcement,
    AnnouncementState,
    YearState,
)
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.web.ops import holidays_form as form
from tongbao.web.ops import holidays_view as view
from tongbao.web.ops.money_desk import Desk, Failed, Money, O, PageRoute, Shown, path_id, said

PATH = view.PATH
YEARS_BEFORE, YEARS_AHEAD = 1, 2
"""So many years are listed beside this one."""
YEAR_DIGITS_MAX = 4


def router(money: Money) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)
    page = _Holidays(money)
    routes.add_api_route(PATH, page.show, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/new", page.new, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/new", page.propose, methods=["POST"], response_model=None)
    routes.add_api_route(f"{PATH}/{{reference}}", page.one, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/{{reference}}/{{act}}", page.act, methods=["POST"], response_model=None)
    routes.add_api_route(f"{PATH}/{{calendar}}/{{year}}", page.year, methods=["GET"], response_model=None)
    return routes


class _Holidays:
    """Answers the pages and their acts."""

    def __init__(self, money: Money) -> None:
        self._money = money
        self._announcements = money.clearing.announcements

    async def show(self, request: Request) -> Response:
        """Answer the years of every calendar, and what was announced of them."""
        desk = await self._money.desk(request)
        this_year = self._money.now().year
        years = await self._announcements.years(this_year - YEARS_BEFORE, this_year + YEARS_AHEAD + 1)
        found = await self._announcements.page()
        waiting = [each for each in found if each.state is AnnouncementState.PROPOSED]
        open_years = [each for each in years if each.state is YearState.PROVISIONAL]
        context = {
            "years": view.years(years, desk),
            "waiting_count": len(waiting),
            "provisional": [str(view.title(each.calendar, each.year, desk)) for each in open_years],
            "announcements": view.announcements(found, years, desk),
            "near": desk.near("days"),
        }
        return desk.page(Shown("holidays.html", "holidays", context))

    async def year(self, request: Request, calendar: str, year: str) -> Response:
        """Answer the days of one year as they count now."""
        desk = await self._money.desk(request)
        found = await self._announcements.year(calendar, _year(year))
        of_it = await self._announcements.page(calendar=calendar, year=found.year)
        context = {
            "year": found,
            "title": view.title(found.calendar, found.year, desk),
            "state": desk.tag("holiday", found.state.value),
            "holidays": view.holidays(found.holidays, desk),
            "workdays": view.workdays(found.workdays, desk),
            "announcements": view.announcements(of_it, [found], desk),
        }
        return desk.page(Shown("holiday_year.html", "holidays", context))

    async def new(self, request: Request) -> Response:
        """Answer the form of an announcement, filled with what counts now of the year that it is for."""
        desk = await self._money.desk(request, O.BREAKS_RESOLVE)
        asked = request.query_params
        year = asked.get("year") or str(self._money.now().year + 1)
        known = await self._announcements.year(asked.get("calendar", form.USUAL), _year(year))
        return self._new(desk, form.fields_of(known), None)

    async def propose(self, request: Request) -> Response:
        """Enter an announcement and lead to it."""
        desk = await self._money.desk(request, O.BREAKS_RESOLVE)

        async def do(fields: Mapping[str, str]) -> str:
            made = await self._announcements.propose(form.order_of(fields), actor=desk.actor)
            waits = made.state is AnnouncementState.PROPOSED
            return said(view.address(made), "holiday_entered" if waits else "holiday_known")

        async def again(failed: Failed) -> Response:
            return self._new(desk, failed.fields, failed)

        return await desk.act(do, again)

    async def one(self, request: Request, reference: str) -> Response:
        """Answer one announcement."""
        desk = await self._money.desk(request)
        return await self._one(desk, await self._found(reference))

    async def act(self, request: Request, reference: str, act: str) -> Response:
        """Put an announcement in force, or decline it; both say why."""
        desk = await self._money.desk(request, O.BREAKS_RESOLVE)
        known = await self._found(reference)
        acts = {"approve": self._announcements.approve, "decline": self._announcements.decline}
        if act not in acts:
            raise NotFound("act_unknown", "an announcement has no such act")

        async def do(fields: Mapping[str, str]) -> str:
            note = fields.get("reason", "").strip()
            if not note:
                raise InvalidRequest("note_missing", "say why")
            made = await acts[act](known.id, actor=desk.actor, note=note)
            return said(view.address(made), f"holiday_{act}")

        async def again(failed: Failed) -> Response:
            return await self._one(desk, await self._found(reference), failed, act)

        return await desk.act(do, again)

    async def _one(
        self, desk: Desk, known: Announcement, failed: Failed | None = None, act: str = ""
    ) -> Response:
        order = known.order
        waits = known.state is AnnouncementState.PROPOSED
        changes = await self._announcements.changes(order) if waits else ()
        year = await self._announcements.year(order.calendar, order.year)
        context = {
            "known": known,
            "title": view.title(order.calendar, order.year, desk),
            "state": view.state(known, [year], desk),
            "waits": waits,
            "changes": view.changes(changes, desk),
            "holidays": view.holidays(order.holidays, desk),
            "workdays": view.workdays(order.workdays, desk),
            "history": view.history(known, desk),
            "is_mine": desk.is_mine(known.proposed_by),
            "path": view.address(known),
            "year_path": view.year_address(order.calendar, order.year),
            "open_act": act,
        }
        return desk.page(Shown("announcement.html", "holidays", context), failed)

    def _new(self, desk: Desk, fields: Mapping[str, str], failed: Failed | None) -> Response:
        context = {"fields": fields, "calendars": view.calendars(desk), "most": form.LIMITS}
        return desk.page(Shown("announcement_new.html", "holidays", context), failed)

    async def _found(self, reference: str) -> Announcement:
        return await self._announcements.get(path_id(ANNOUNCEMENT_PREFIX, reference))


def _year(text: str) -> int:
    """Return the year of an address; raise NotFound ``calendar_year_unknown`` for what is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= YEAR_DIGITS_MAX):
        raise NotFound("calendar_year_unknown", "there is no such calendar, or no such year")
    return int(text)
