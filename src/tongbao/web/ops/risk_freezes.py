"""Freezes: who may not pay, who asked for a release, and the second person who lets go."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec
from fastapi import Request, Response

from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.core.ids import parse_uuid
from tongbao.parties.schema import OperatorPermission
from tongbao.risk.schema.freezes import FREEZE_PREFIX, FreezeOrder, FreezeQuery, FreezeState
from tongbao.risk.schema.signals import Entity
from tongbao.web.ops.rendering import query
from tongbao.web.ops.risk_desk import MODES, Desk, Failed, Shown, Typed

SHOWN = 40
RELEASED_SHOWN = 10


class FreezesPage:
    """Answers the page and its forms."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._freezing = desk.house.risk.freezing
        self._acts: dict[str, Callable[[Typed, bool], Awaitable[str]]] = {
            "freeze": self._freeze,
            "request": self._request,
            "approve": self._approve,
            "refuse": self._refuse,
        }

    async def show(self, request: Request) -> Response:
        """Answer the freezes of a mode."""
        return await self._page(request, await self._desk.mode(request), None)

    async def act(self, request: Request) -> Response:
        """Do what one of the forms asks for. A form of a row is named after its act and its freeze."""
        mode = await self._desk.mode(request)

        async def do(typed: Typed) -> str:
            typed.require(OperatorPermission.CASES_DECIDE)
            act = self._acts.get(typed.form.partition(" ")[0])
            if act is None:
                raise InvalidRequest("form_invalid", "this page has no such form")
            return f"/ops/risk/freezes?mode={mode}&said={await act(typed, MODES[mode])}"

        async def again(failed: Failed) -> Response:
            return await self._page(request, mode, failed)

        return await self._desk.act(await self._desk.read(request), do, again)

    async def _freeze(self, typed: Typed, live: bool) -> str:
        entity = Entity.__members__.get(typed.text("entity").upper())
        if entity is None:
            raise InvalidRequest("entity_missing", "say what kind of entity this is")
        values = {"live": live, "entity": entity, "key": typed.text("key"), "reason": typed.text("reason")}
        try:
            order = msgspec.convert(values, FreezeOrder)
        except msgspec.ValidationError as error:
            code = "key_invalid" if "key" in str(error) else "reason_invalid"
            raise InvalidRequest(code, str(error)) from None
        await self._freezing.freeze(order, typed.actor)
        return "frozen"

    async def _request(self, typed: Typed, _: bool) -> str:
        await self._freezing.request_release(_named(typed), typed.actor, typed.text("why"))
        return "release_asked"

    async def _approve(self, typed: Typed, _: bool) -> str:
        await self._freezing.approve_release(_named(typed), typed.actor)
        return "released"

    async def _refuse(self, typed: Typed, _: bool) -> str:
        await self._freezing.refuse_release(_named(typed), typed.actor, typed.text("why"))
        return "release_refused"

    async def _page(self, request: Request, mode: str, failed: Failed | None) -> Response:
        live, freezing = MODES[mode], self._freezing
        after = _freeze_id(query(request, "after"))
        asked = await freezing.page(FreezeQuery(live=live, state=FreezeState.REQUIRES_APPROVAL, limit=SHOWN))
        why = {each.id: (await freezing.history(each.id))[-1].why for each in asked.items}
        context = {
            "mode": mode,
            "asked": asked,
            "why": why,
            "frozen": await freezing.page(
                FreezeQuery(live=live, state=FreezeState.FROZEN, starting_after=after, limit=SHOWN)
            ),
            "released": await freezing.page(
                FreezeQuery(live=live, state=FreezeState.RELEASED, limit=RELEASED_SHOWN)
            ),
            "entities": list(Entity),
            "given_entity": query(request, "entity").lower(),
            "given_key": query(request, "key"),
        }
        return self._desk.page(request, Shown("risk_freezes.html", "freezes", context, failed))


def _named(typed: Typed) -> UUID:
    """Return the freeze that the form of a row is about; raise NotFound ``freeze_unknown``."""
    found = _freeze_id(typed.form.partition(" ")[2])
    if found is None:
        raise NotFound("freeze_unknown", "there is no such freeze")
    return found


def _freeze_id(text: str) -> UUID | None:
    try:
        return parse_uuid(FREEZE_PREFIX, text)
    except ValueError:
        return None
