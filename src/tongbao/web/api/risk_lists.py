"""``/v2/risk/lists``: who is blocked, who is let through, who is marked for rules. Nothing is edited, everything stays."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from tongbao.core.clock import Clock
from tongbao.core.errors import NotFound
from tongbao.core.requests.asks import Rendered
from tongbao.risk.schema.lists import HOUSE_BOOK_ID, LIST_NAME_CHARS_MAX, ListEntry, ListKey, NamedList
from tongbao.risk.service.lists import Lists
from tongbao.web.api import risk_list_models as models
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.risk_sides import Side
from tongbao.web.api.shapes import PAGE_SIZE, Before, IdPath, Limit, cursor, path_id

Name = Annotated[str, Path(max_length=2 * LIST_NAME_CHARS_MAX, description="Name of the list.")]
History = Annotated[bool, Query(description="Also those that expired or were removed.")]


def add_lists(routes: APIRouter, side: Side, acts: Acts, lists: Lists) -> None:
    """Add the lists of one side."""

    @routes.get(f"{side.path}/lists")
    async def listed(who: Annotated[Caller, side.reads]) -> models.Lists:
        """List the lists of this mode, by name."""
        found = await lists.lists(owner_of(who), who.live)
        return models.Lists(data=[models.List.of(each) for each in found])

    @routes.post(f"{side.path}/lists", status_code=201, response_model=models.List)
    async def declare(
        request: Request, who: Annotated[Caller, side.lists], order: models.ListOrder
    ) -> Response:
        """Declare a list; one that exists with this effect is returned as it is."""

        async def work() -> NamedList:
            key = ListKey(owner_of(who), who.live, order.name)
            return await lists.declare(key, order.effect, order.note, who.actor)

        return await acts.run(request, who.book, work, lambda made: rendered(models.List.of(made), 201))


def add_entries(routes: APIRouter, side: Side, clock: Clock, acts: Acts, lists: Lists) -> None:
    """Add the entries of lists of one side."""

    @routes.get(f"{side.path}/lists/{{name}}/entries")
    async def entries(
        who: Annotated[Caller, side.reads],
        name: Name,
        ending_before: Before = None,
        history: History = False,
        limit: Limit = PAGE_SIZE,
    ) -> models.Entries:
        """List the entries of a list, newest first; go on with `ending_before` = the last id."""
        key = ListKey(owner_of(who), who.live, name)
        before = cursor(models.ENTRY_PREFIX, ending_before, "ending_before")
        found = await lists.entries(key, before=before, is_history=history, limit=limit + 1)
        shown = [models.Entry.of(each, clock.now()) for each in found[:limit]]
        return models.Entries(data=shown, has_more=len(found) > limit)

    @routes.post(f"{side.path}/lists/{{name}}/entries", status_code=201, response_model=models.Entries)
    async def add(
        request: Request, who: Annotated[Caller, side.lists], name: Name, order: models.EntriesOrder
    ) -> Response:
        """Put entries on a list, all or none; processes follow within seconds."""

        async def work() -> list[ListEntry]:
            return await lists.add(ListKey(owner_of(who), who.live, name), order.new(), who.actor)

        return await acts.run(request, who.book, work, lambda made: _entries(made, clock.now()))

    @routes.get(f"{side.path}/list_entries/{{entry}}")
    async def entry(who: Annotated[Caller, side.reads], entry: IdPath) -> models.Entry:
        """Return an entry, `le_…`, whether it stands or not."""
        return models.Entry.of(await _own(who, entry, lists), clock.now())

    @routes.post(f"{side.path}/list_entries/{{entry}}/remove", response_model=models.Entry)
    async def remove(
        request: Request, who: Annotated[Caller, side.lists], entry: IdPath, order: models.RemoveOrder
    ) -> Response:
        """Take an entry off its list; who removed it first stays."""

        async def work() -> ListEntry:
            standing = await _own(who, entry, lists)
            return await lists.remove(owner_of(who), standing.id, order.reason, who.actor)

        return await acts.run(
            request, who.book, work, lambda made: rendered(models.Entry.of(made, clock.now()))
        )


def add_effects(routes: APIRouter, side: Side, lists: Lists) -> None:
    """Add what entries did."""

    @routes.get(f"{side.path}/lists/{{name}}/effects")
    async def effects(
        who: Annotated[Caller, side.reads],
        name: Name,
        ending_before: Before = None,
        history: History = False,
        limit: Limit = PAGE_SIZE,
    ) -> models.Effects:
        """Tell what the entries of a list did: payments matched, declined, let through, and their money."""
        key = ListKey(owner_of(who), who.live, name)
        before = cursor(models.ENTRY_PREFIX, ending_before, "ending_before")
        found = await lists.entries(key, before=before, is_history=history, limit=limit + 1)
        did = await lists.effects(found[:limit])
        shown = [models.Effect.of(each, did[each.id]) for each in found[:limit]]
        return models.Effects(data=shown, has_more=len(found) > limit)

    @routes.get(f"{side.path}/list_entries/{{entry}}/effect")
    async def effect(who: Annotated[Caller, side.reads], entry: IdPath) -> models.Effect:
        """Tell what one entry did while it stood."""
        found = await _own(who, entry, lists)
        return models.Effect.of(found, (await lists.effects([found]))[found.id])


def owner_of(who: Caller) -> int:
    """Return whose lists are meant: those of the merchant's book, or of the house."""
    return HOUSE_BOOK_ID if who.book_id is None else who.book_id


async def _own(who: Caller, text: str, lists: Lists) -> ListEntry:
    """Return an entry of the caller's own, in its mode."""
    found = await lists.entry(owner_of(who), path_id(models.ENTRY_PREFIX, text))
    if found.live != who.live:
        raise NotFound("list_entry_not_found", f"there is no entry {text}")
    return found


def _entries(made: list[ListEntry], now: datetime) -> Rendered:
    return rendered(models.Entries(data=[models.Entry.of(each, now) for each in made]), 201)
