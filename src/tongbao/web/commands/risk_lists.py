"""``tongbao risk lists``: who is blocked, who is let through, who is marked for rules."""

from typing import Annotated
from uuid import UUID

import msgspec
import typer

from tongbao.core.ids import uuid_text
from tongbao.risk.schema.lists import (
    EntryEffect,
    ListEffect,
    ListEntry,
    ListKey,
    ListKind,
    NamedList,
    NewEntry,
)
from tongbao.risk.service.wording import money
from tongbao.web import ledger_inputs
from tongbao.web.commands.at_desk import (
    Actor,
    Json,
    Live,
    actor_of,
    instant,
    print_json,
    print_line,
    print_table,
)
from tongbao.web.commands.risk_desk import Book, RiskDesk, at_risk_desk, id_of

ENTRY_PREFIX = "le"
Name = Annotated[str, typer.Argument(metavar="LIST", help="Name of a list, such as 'bad devices'.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept for good.")]

app = typer.Typer(
    no_args_is_help=True,
    help="Lists of cards, people, devices and places that block, allow or mark payments.",
)


@app.command("list")
def list_lists(book: Book = None, live: Live = True, as_json: Json = False) -> None:
    """List the lists of the house, or of a merchant's book."""

    async def work(desk: RiskDesk) -> list[NamedList]:
        return await desk.risk.lists.lists(await desk.owner(book), live)

    found = at_risk_desk(work)
    if as_json:
        print_json(found)
        return
    rows = [
        (each.name, each.effect.value, each.note, instant(each.declared_at), each.declared_by)
        for each in found
    ]
    print_table(("List", "Effect", "What for", "Since (UTC)", "By"), rows)


@app.command("declare")
def declare(
    name: Name,
    effect: Annotated[ListEffect, typer.Option("--effect", help="What being on it does; never changes.")],
    note: Annotated[str, typer.Option("--note", help="What it is for.")],
    book: Book = None,
    live: Live = True,
    by: Actor = None,
) -> None:
    """Declare a list; one that exists with this effect stays as it is."""
    actor = actor_of(by)

    async def work(desk: RiskDesk) -> NamedList:
        key = ListKey(await desk.owner(book), live, name)
        return await desk.risk.lists.declare(key, effect, note, actor)

    made = at_risk_desk(work)
    print_line(f"{made.name}: whoever is on it is {_DOES[made.effect]}.")


@app.command("show")
def show(
    name: Name,
    history: Annotated[bool, typer.Option("--history", help="Also those that are gone.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="Most entries to show.")] = 50,
    book: Book = None,
    live: Live = True,
    as_json: Json = False,
) -> None:
    """Show the entries of a list, newest first."""

    async def work(desk: RiskDesk) -> tuple[list[ListEntry], dict[UUID, EntryEffect]]:
        key = ListKey(await desk.owner(book), live, name)
        entries = await desk.risk.lists.entries(key, is_history=history, limit=limit)
        return entries, await desk.risk.lists.effects(entries)

    found, did = at_risk_desk(work)
    if as_json:
        print_json([msgspec.to_builtins(each) | {"effect": did[each.id]} for each in found])
        return
    print_table(
        (
            "Entry",
            "Kind",
            "Value",
            "Why",
            "Added (UTC)",
            "By",
            "Until (UTC)",
            "Removed",
            "Matched#",
            "Declined#",
            "Money",
        ),
        [(*_row(each), *_did(did[each.id])) for each in found],
    )


@app.command("add")
def add(
    name: Name,
    kind: Annotated[ListKind, typer.Argument(metavar="KIND", help="What the values name: card, device, …")],
    values: Annotated[list[str], typer.Argument(metavar="VALUE...", help="Pseudonyms, as looks tell them.")],
    reason: Reason,
    until: Annotated[str | None, typer.Option("--until", help="An instant; for good without.")] = None,
    book: Book = None,
    live: Live = True,
    by: Actor = None,
) -> None:
    """Put values on a list, all or none; processes that serve follow within seconds."""
    actor = actor_of(by)
    expires_at = None if until is None else ledger_inputs.instant(until)
    entries = [NewEntry(kind=kind, value=each, reason=reason, expires_at=expires_at) for each in values]

    async def work(desk: RiskDesk) -> list[ListEntry]:
        return await desk.risk.lists.add(ListKey(await desk.owner(book), live, name), entries, actor)

    for each in at_risk_desk(work):
        print_line(f"{uuid_text(ENTRY_PREFIX, each.id)} {each.kind} {each.value} is on {each.list_name}.")


@app.command("remove")
def remove(
    entry: Annotated[str, typer.Argument(metavar="ENTRY", help="Id of an entry: le_…")],
    reason: Reason,
    book: Book = None,
    by: Actor = None,
) -> None:
    """Take an entry off its list; it stays in the history."""
    actor, entry_id = actor_of(by), id_of(ENTRY_PREFIX, entry)

    async def work(desk: RiskDesk) -> ListEntry:
        return await desk.risk.lists.remove(await desk.owner(book), entry_id, reason, actor)

    gone = at_risk_desk(work)
    print_line(f"{gone.kind} {gone.value} is off {gone.list_name}, removed by {gone.removed_by}.")


_DOES = {
    ListEffect.BLOCK: "declined",
    ListEffect.ALLOW: "let through, whatever the score says",
    ListEffect.MARK: "marked; rules ask for it",
}


def _did(effect: EntryEffect) -> tuple[str, str, str]:
    """Return what an entry did: payments, those that it declined, and the money of these, or else of all."""
    values = effect.blocked_values or effect.values
    more = "+" if effect.is_partial else ""
    return (
        f"{effect.payment_count:,}{more}",
        f"{effect.blocked_count:,}{more}",
        ", ".join(money(value, currency) for currency, value in values),
    )


def _row(entry: ListEntry) -> tuple[str, ...]:
    return (
        uuid_text(ENTRY_PREFIX, entry.id),
        entry.kind.value,
        entry.value,
        entry.reason,
        instant(entry.added_at),
        entry.added_by,
        "" if entry.expires_at is None else instant(entry.expires_at),
        "" if entry.removed_at is None else f"{instant(entry.removed_at)} by {entry.removed_by}",
    )
