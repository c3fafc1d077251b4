"""Lists: who is blocked, let through or marked, by whom and why; entries are added and taken off, and both stay on record."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from fastapi import Request, Response

from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.core.ids import parse_uuid, uuid_text
from tongbao.parties.schema import OperatorPermission
from tongbao.risk.schema.lists import HOUSE_BOOK_ID, ListEffect, ListKey, ListKind, NewEntry
from tongbao.web.ops.rendering import query
from tongbao.web.ops.risk_desk import MODES, Desk, Failed, Shown, Typed

ENTRIES_SHOWN = 50
ENTRY_PREFIX = "le"


class ListsPage:
    """Answers the page and its forms. Lists are those of the house; those of a book are the API's."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lists = desk.house.risk.lists
        self._acts: dict[str, Callable[[Typed, bool], Awaitable[str]]] = {
            "declare": self._declare,
            "add": self._add,
            "remove": self._remove,
        }

    async def show(self, request: Request) -> Response:
        """Answer the lists of a mode, and one of them with its entries."""
        return await self._page(request, await self._desk.mode(request), None)

    async def act(self, request: Request) -> Response:
        """Do what one of the forms asks for."""
        mode = await self._desk.mode(request)

        async def do(typed: Typed) -> str:
            typed.require(OperatorPermission.RULES_WRITE)
            act = self._acts.get(typed.form.partition(" ")[0])
            if act is None:
                raise InvalidRequest("form_invalid", "this page has no such form")
            said = await act(typed, MODES[mode])
            return f"/ops/risk/lists?mode={mode}&list={typed.text('list').replace(' ', '+')}&said={said}"

        async def again(failed: Failed) -> Response:
            return await self._page(request, mode, failed)

        return await self._desk.act(await self._desk.read(request), do, again)

    async def _declare(self, typed: Typed, live: bool) -> str:
        try:
            effect = ListEffect(typed.text("effect"))
        except ValueError:
            raise InvalidRequest("list_effect_missing", "say what the list does") from None
        key = ListKey(HOUSE_BOOK_ID, live, typed.text("list"))
        await self._lists.declare(key, effect, typed.text("note"), typed.actor)
        return "declared"

    async def _add(self, typed: Typed, live: bool) -> str:
        try:
            kind = ListKind(typed.text("kind"))
        except ValueError:
            raise InvalidRequest("list_kind_missing", "say what the value names") from None
        entry = NewEntry(
            kind=kind,
            value=typed.text("value"),
            reason=typed.text("reason"),
            expires_at=_end_of(typed.text("until")),
        )
        await self._lists.add(ListKey(HOUSE_BOOK_ID, live, typed.text("list")), [entry], typed.actor)
        return "added"

    async def _remove(self, typed: Typed, _: bool) -> str:
        entry_id = _entry_id(typed.form.partition(" ")[2])
        if entry_id is None:
            raise NotFound("list_entry_not_found", "there is no such entry")
        await self._lists.remove(HOUSE_BOOK_ID, entry_id, typed.text("reason"), typed.actor)
        return "removed"

    async def _page(self, request: Request, mode: str, failed: Failed | None) -> Response:
        lists = await self._lists.lists(HOUSE_BOOK_ID, MODES[mode])
        wanted = failed.typed.text("list") if failed else query(request, "list")
        chosen = next((each for each in lists if each.name == wanted), lists[0] if lists else None)
        if wanted and failed is None and (chosen is None or chosen.name != wanted):
            raise NotFound("list_not_found", "there is no such list")
        entries = []
        if chosen is not None:
            before = _entry_id(query(request, "before"))
            entries = await self._lists.entries(chosen.key, before=before, limit=ENTRIES_SHOWN + 1)
        context = {
            "mode": mode,
            "lists": lists,
            "chosen": chosen,
            "entries": entries[:ENTRIES_SHOWN],
            "did": await self._lists.effects(entries[:ENTRIES_SHOWN]),
            "has_more": len(entries) > ENTRIES_SHOWN,
            "entry_text": lambda key: uuid_text(ENTRY_PREFIX, key),
            "effects": list(ListEffect),
            "kinds": list(ListKind),
            "given_kind": query(request, "kind").lower(),
            "given_value": query(request, "value"),
        }
        return self._desk.page(request, Shown("risk_lists.html", "lists", context, failed))


def _end_of(text: str) -> datetime | None:
    """Return the end of a day in UTC; None for no day; raise InvalidRequest ``list_until_invalid``."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise InvalidRequest("list_until_invalid", "a day is written 2027-01-31") from None


def _entry_id(text: str) -> UUID | None:
    try:
        return parse_uuid(ENTRY_PREFIX, text)
    except ValueError:
        return None
