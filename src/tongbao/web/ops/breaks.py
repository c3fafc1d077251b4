"""``/ops/breaks``: differences by age and cause, one with both sides, and what people do about it; a write-off takes two."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from uuid import UUID

from fastapi import APIRouter, Request, Response

from tongbao.clearing.schema.break_sides import View
from tongbao.clearing.schema.breaks import BREAK_PREFIX, BreakKind, BreakState
from tongbao.clearing.service import break_words
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.web.ops import breaks_view as view
from tongbao.web.ops.money_desk import (
    ROWS,
    Desk,
    Failed,
    Money,
    O,
    PageRoute,
    Shown,
    path_id,
    said,
    version_of,
)
from tongbao.web.ui.tables import EXPORT_ROWS_MAX, Query

PATH = "/ops/breaks"
BESIDE = 200
"""Other breaks of a source among which the other half is looked for."""


def router(money: Money) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(include_in_schema=False, route_class=PageRoute)
    page = _Breaks(money)
    routes.add_api_route(PATH, page.show, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/{{brk}}", page.one, methods=["GET"], response_model=None)
    routes.add_api_route(f"{PATH}/{{brk}}/{{act}}", page.act, methods=["POST"], response_model=None)
    return routes


class _Breaks:
    """Answers the pages and their acts."""

    def __init__(self, money: Money) -> None:
        self._money = money
        self._desk = money.clearing.break_desk

    async def show(self, request: Request) -> Response:
        """Answer the list with the ages of what stands."""
        desk = await self._money.desk(request)
        today = self._money.now().date()
        sources = sorted(await self._money.clearing.intake.sources())
        table = view.table(desk, sources)
        query = desk.query(table)
        if desk.wants_csv:
            every = await self._all(query)
            names = await self._money.merchants(each.of.book_id for each in every)
            return desk.csv("breaks", table, view.plain_rows(every, desk, names, today))
        found = await self._page(query, await self._place(query.after), ROWS + 1)
        names = await self._money.merchants(each.of.book_id for each in found)
        ages = await self._desk.ages(today)
        rows = view.rows(found[:ROWS], desk, names, today)
        after = found[ROWS - 1].of.reference if len(found) > ROWS else ""
        context = {
            "view": desk.table(query, table, rows, after, str(desk.t("breaks_empty"))),
            "heat": view.heat(ages, desk),
            "sums": view.sums(ages, desk),
            "figures": view.figures(ages),
            "near": desk.near("recon"),
        }
        return desk.page(Shown("breaks.html", "breaks", context))

    async def one(self, request: Request, brk: str) -> Response:
        """Answer one break."""
        return await self._one(await self._money.desk(request), brk)

    async def act(self, request: Request, brk: str, act: str) -> Response:
        """Do what one of the forms of a break asks for."""
        desk = await self._money.desk(request, O.BREAKS_RESOLVE)
        acts: Mapping[str, Callable[[Desk, UUID, Mapping[str, str]], Awaitable[object]]] = {
            "explain": self._explain,
            "resolve": self._resolve,
            "propose": self._propose,
            "decline": self._decline,
            "approve": self._approve,
            "assign": self._assign,
            "match": self._match,
        }
        if act not in acts:
            raise NotFound("act_unknown", "a break has no such act")
        break_id = path_id(BREAK_PREFIX, brk)

        async def do(fields: Mapping[str, str]) -> str:
            await acts[act](desk, break_id, fields)
            return said(f"{PATH}/{brk}", f"break_{act}")

        async def again(failed: Failed) -> Response:
            return await self._one(desk, brk, failed, act)

        return await desk.act(do, again)

    async def _one(self, desk: Desk, brk: str, failed: Failed | None = None, act: str = "") -> Response:
        found, acts = await self._desk.get(path_id(BREAK_PREFIX, brk))
        of, today = found.of, self._money.now().date()
        names = await self._money.merchants([of.book_id, *(each.book_id for each in found.expected)])
        words = break_words.words_of(of)
        is_standing = of.state in view.STANDING
        context = {
            "found": found,
            "of": of,
            "words": {key: desk.words(each) for key, each in words.items()},
            "state": view.state_tag(found, desk),
            "amount": view.amount(found, desk),
            "age": view.age(of.opened_on, of.closed_at.date() if of.closed_at else today, desk),
            "seller": desk.book(of.book_id, names),
            "compared": view.comparisons(found, desk, names),
            "advice": found.suggested.get(desk.language, "") if is_standing else "",
            "candidates": await self._candidates(found) if is_standing else [],
            "colleagues": await self._money.colleagues(O.BREAKS_RESOLVE) if is_standing else [],
            "history": _history(acts, desk),
            "is_standing": is_standing,
            "is_proposed": of.state is BreakState.PROPOSED,
            "is_mine": desk.is_mine(of.proposed_by),
            "path": f"{PATH}/{of.reference}",
            "open_act": act,
        }
        return desk.page(Shown("break.html", "breaks", context), failed)

    async def _candidates(self, found: View) -> list[view.Candidate]:
        if bool(found.expected) == bool(found.reported):
            return []
        others = await self._desk.page(of=(None, found.of.source, None), limit=BESIDE)
        return view.candidates(found, [each for each in others if each.of.leg is found.of.leg])

    async def _page(self, query: Query, before: tuple[date, UUID] | None, limit: int) -> list[View]:
        asked = query.filters
        states = (BreakState(asked["state"]),) if "state" in asked else view.STANDING
        kind = BreakKind(asked["kind"]) if "kind" in asked else None
        return await self._desk.page(
            states=states, of=(kind, asked.get("source"), None), before=before, limit=limit
        )

    async def _place(self, after: str) -> tuple[date, UUID] | None:
        """Return the place that a page comes after; the first page for what is no such place."""
        try:
            found, _ = await self._desk.get(path_id(BREAK_PREFIX, after))
        except NotFound:
            return None
        return found.of.opened_on, found.of.id

    async def _all(self, query: Query) -> list[View]:
        found: list[View] = []
        before: tuple[date, UUID] | None = None
        while len(found) < EXPORT_ROWS_MAX:
            page = await self._page(query, before, BESIDE)
            found += page
            if len(page) < BESIDE:
                break
            before = page[-1].of.opened_on, page[-1].of.id
        return found

    async def _explain(self, desk: Desk, break_id: UUID, fields: Mapping[str, str]) -> object:
        return await self._desk.explain(
            break_id, actor=desk.actor, note=fields.get("reason", ""), seen_version=version_of(fields)
        )

    async def _resolve(self, desk: Desk, break_id: UUID, fields: Mapping[str, str]) -> object:
        return await self._desk.resolve(
            break_id, actor=desk.actor, note=fields.get("reason", ""), seen_version=version_of(fields)
        )

    async def _propose(self, desk: Desk, break_id: UUID, fields: Mapping[str, str]) -> object:
        return await self._desk.propose(
            break_id, actor=desk.actor, note=fields.get("reason", ""), seen_version=version_of(fields)
        )

    async def _decline(self, desk: Desk, break_id: UUID, fields: Mapping[str, str]) -> object:
        return await self._desk.decline(
            break_id, actor=desk.actor, note=fields.get("reason", ""), seen_version=version_of(fields)
        )

    async def _approve(self, desk: Desk, break_id: UUID, fields: Mapping[str, str]) -> object:
        return await self._desk.approve(
            break_id, actor=desk.actor, note=fields.get("reason", ""), seen_version=version_of(fields)
        )

    async def _assign(self, desk: Desk, break_id: UUID, fields: Mapping[str, str]) -> object:
        assignee = fields.get("assignee", "")
        known = {actor for actor, _ in await self._money.colleagues(O.BREAKS_RESOLVE)}
        if assignee and assignee not in known:
            raise InvalidRequest("assignee_invalid", "nobody of the house is named so")
        note = fields.get("reason", "") or str(desk.t("assigned_note"))
        return await self._desk.assign(
            break_id, assignee, actor=desk.actor, note=note, seen_version=version_of(fields)
        )

    async def _match(self, desk: Desk, break_id: UUID, fields: Mapping[str, str]) -> object:
        other = (fields.get("other_id") or fields.get("other") or "").strip()
        if not other:
            raise InvalidRequest("other_missing", "say which break is the other half")
        try:
            found = path_id(BREAK_PREFIX, other)
        except NotFound:
            raise InvalidRequest("other_missing", "there is no such break") from None
        return await self._desk.match([break_id, found], actor=desk.actor, note=fields.get("reason", ""))


def _history(acts: list[dict[str, object]], desk: Desk) -> list[dict[str, object]]:
    """Return what was done about a break, as a timeline, newest first."""
    entries, before = [], None
    for each in acts:
        state = str(each["state"])
        # An act that leaves the state as it is names somebody who looks after it, or a changed difference.
        key = f"did_{state}" if state != before else "did_changed"
        entries.append(
            {
                "at": each["at"],
                "title": desk.t(key),
                "who": desk.who(str(each["actor"])),
                "line": each["note"],
                "tone": {"written_off": "ok", "resolved": "ok", "proposed": "review"}.get(state, "plain"),
                "glyph": {"written_off": "check", "resolved": "check", "open": "alert"}.get(state, "dot"),
            }
        )
        before = state
    return entries[::-1]
