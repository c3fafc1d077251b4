"""``/ops/fees``: price lists and their versions; what a draft changes and would have cost last month; published by a second person."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import msgspec
from fastapi import APIRouter, Request, Response

from tongbao.clearing.schema.schedules import NAME_CHARS_MAX, ScheduleState, ScheduleVersion
from tongbao.clearing.service.simulating import Span
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.web.ops import fees_view as view
from tongbao.web.ops.money_desk import Desk, Failed, Money, O, PageRoute, Shown

PATH = view.PATH
VERSIONS_SHOWN = 50
LEAD = timedelta(minutes=1)
"""A version that begins at once begins so much later: what is priced meanwhile has the old one."""
VERSION_MAX = 10**6
SPEC_CHARS_MAX = 100_000
HOUSE = "house"


def router(money: Money) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)
    page = _Fees(money)
    routes.add_api_route(PATH, page.show, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/draft", page.draft_page, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/draft", page.draft, methods=["POST"], response_model=None)
    routes.add_api_route(f"{PATH}/{{number}}", page.one, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/{{number}}/{{act}}", page.act, methods=["POST"], response_model=None)
    return routes


class _Fees:
    """Answers the pages and their acts."""

    def __init__(self, money: Money) -> None:
        self._money = money
        self._prices = money.clearing.prices

    async def show(self, request: Request) -> Response:
        """Answer the lists, and the versions of one."""
        desk = await self._money.desk(request)
        names = await self._prices.names()
        name = _name(request) or (HOUSE if HOUSE in names else next(iter(names), ""))
        versions = await self._prices.versions(name, limit=VERSIONS_SHOWN)
        now = self._money.now()
        context = {
            "name": name,
            "tabs": [(each, view.list_text(each, desk), f"{PATH}?list={each}") for each in names],
            "versions": view.versions(versions, now, desk),
            "is_more": len(versions) == VERSIONS_SHOWN,
            "near": desk.near("out"),
        }
        return desk.page(Shown("fees.html", "fees", context))

    async def one(self, request: Request, number: str) -> Response:
        """Answer one version."""
        desk = await self._money.desk(request)
        return await self._one(desk, await self._version(request, number))

    async def draft_page(self, request: Request) -> Response:
        """Answer the form of a new version, filled with what it begins from."""
        desk = await self._money.desk(request, O.FEES_WRITE)
        name = _name(request) or HOUSE
        versions = await self._prices.versions(name, limit=1)
        text = _spec_text(versions[0]) if versions else '{"charges": []}'
        return self._draft(desk, {"name": name, "spec": text, "note": ""}, None)

    async def draft(self, request: Request) -> Response:
        """Write a draft and lead to it."""
        desk = await self._money.desk(request, O.FEES_WRITE)

        async def do(fields: Mapping[str, str]) -> str:
            made = await self._prices.draft(
                fields.get("name", "").strip(),
                _spec(fields.get("spec", "")),
                fields.get("note", "").strip(),
                desk.actor,
            )
            return f"{view.address(made)}&said=list_drafted"

        async def again(failed: Failed) -> Response:
            return self._draft(desk, failed.fields, failed)

        return await desk.act(do, again)

    async def act(self, request: Request, number: str, act: str) -> Response:
        """Simulate, publish or withdraw a version."""
        desk = await self._money.desk(request, O.FEES_WRITE)
        version = await self._version(request, number)
        acts = {"simulate": self._simulate, "publish": self._publish, "withdraw": self._withdraw}
        if act not in acts:
            raise NotFound("act_unknown", "a price list has no such act")

        async def do(fields: Mapping[str, str]) -> str:
            made = await acts[act](desk, version, fields)
            return f"{view.address(made)}&said=list_{act}"

        async def again(failed: Failed) -> Response:
            return await self._one(desk, version, failed, act)

        return await desk.act(do, again)

    async def _one(
        self, desk: Desk, version: ScheduleVersion, failed: Failed | None = None, act: str = ""
    ) -> Response:
        now = self._money.now()
        all_of_it = await self._prices.versions(version.name, limit=VERSIONS_SHOWN)
        in_force = view.holding(all_of_it, now)
        is_holding = in_force is not None and in_force.version == version.version
        against = self._against(desk, all_of_it, version)
        simulation = version.simulation
        first, last = view.last_month(now)
        names = await self._moved(version)
        context = {
            "version": version,
            "state": view.tag(version, now, desk, is_holding=is_holding),
            "changes": await self._prices.diff(version.name, version.version, desk.language, against=against),
            "against": against,
            "others": [each.version for each in all_of_it if each.version != version.version],
            "simulation": simulation,
            "totals": view.totals(simulation, desk) if simulation else [],
            "methods": view.methods(simulation, desk) if simulation else [],
            "merchants": view.merchants(simulation, names, desk) if simulation else [],
            "charges": view.charges(simulation, desk) if simulation else [],
            "chart": view.chart(simulation, desk) if simulation else None,
            "first": first.date(),
            "last": (last - timedelta(days=1)).date(),
            "history": view.history(version, desk),
            "spec": _spec_text(version),
            "is_draft": version.state is ScheduleState.DRAFT,
            "may_withdraw": version.state is not ScheduleState.WITHDRAWN
            and (version.effective_at is None or version.effective_at > now),
            "is_mine": desk.is_mine(version.made_by),
            "made_by": desk.who(version.made_by),
            "holds_from": view.holds_from(version, desk),
            "to": lambda act: view.address(version, act),
            "open_act": act,
        }
        return desk.page(Shown("fee_version.html", "fees", context), failed)

    def _draft(self, desk: Desk, fields: Mapping[str, str], failed: Failed | None) -> Response:
        context = {"fields": fields, "chars_max": SPEC_CHARS_MAX}
        return desk.page(Shown("fee_draft.html", "fees", context), failed)

    def _against(self, desk: Desk, known: list[ScheduleVersion], version: ScheduleVersion) -> int | None:
        """Return the version that a reader wants to compare with; None for the one that holds now."""
        asked = desk.request.query_params.get("against", "")
        numbers = {str(each.version): each.version for each in known}
        return numbers.get(asked) if asked != str(version.version) else None

    async def _moved(self, version: ScheduleVersion) -> dict[str, str]:
        """Return the names of the merchants that a simulation names by their books."""
        moved = version.simulation.moved if version.simulation else ()
        books = {each.key: int(each.key) for each in moved if each.key.isdecimal()}
        found = await self._money.merchants(books.values())
        return {key: found[book] for key, book in books.items() if book in found}

    async def _version(self, request: Request, number: str) -> ScheduleVersion:
        """Return the version that an address names; raise NotFound ``schedule_unknown``."""
        if not (number.isascii() and number.isdigit() and len(number) < 7 and 0 < int(number) < VERSION_MAX):
            raise NotFound("schedule_unknown", "there is no such version")
        return await self._prices.version(_name(request), int(number))

    async def _simulate(
        self, desk: Desk, version: ScheduleVersion, fields: Mapping[str, str]
    ) -> ScheduleVersion:
        first, last = _day(fields.get("from", "")), _day(fields.get("to", ""))
        until = min(_start(last + timedelta(days=1)), self._money.now())
        span = Span(_start(first), until)
        return await self._money.clearing.simulating.simulate(version.name, version.version, span, desk.actor)

    async def _publish(
        self, desk: Desk, version: ScheduleVersion, fields: Mapping[str, str]
    ) -> ScheduleVersion:
        on, note = fields.get("on", ""), fields.get("reason", "").strip()
        at = _start(_day(on)) if on else self._money.now() + LEAD
        return await self._prices.publish(version.name, version.version, at, desk.actor, note=note)

    async def _withdraw(
        self, desk: Desk, version: ScheduleVersion, fields: Mapping[str, str]
    ) -> ScheduleVersion:
        reason = fields.get("reason", "").strip()
        return await self._prices.withdraw(version.name, version.version, reason, desk.actor)


def _name(request: Request) -> str:
    return request.query_params.get("list", "")[:NAME_CHARS_MAX].replace("\0", "")


def _start(on: date) -> datetime:
    return datetime.combine(on, time(), UTC)


def _day(text: str) -> date:
    """Return a day of a form; raise InvalidRequest ``day_invalid``."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise InvalidRequest("day_invalid", "a day is written as 2026-01-31") from None
    if not 2000 <= found.year < 9000:
        raise InvalidRequest("day_invalid", "a day is written as 2026-01-31")
    return found


def _spec(text: str) -> object:
    """Return a price list that somebody typed, as JSON values; raise InvalidRequest ``schedule_invalid``."""
    if len(text) > SPEC_CHARS_MAX:
        raise InvalidRequest("schedule_invalid", "the list is too long")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("schedule_invalid", f"this is no JSON: {str(error)[:200]}") from error


def _spec_text(version: ScheduleVersion) -> str:
    return json.dumps(msgspec.to_builtins(version.spec), indent=2, ensure_ascii=False)
