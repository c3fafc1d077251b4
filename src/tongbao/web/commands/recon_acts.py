"""What is done about breaks from the command line: explained, resolved, matched, written off by two people."""

from typing import Annotated, Any

import typer

from tongbao.clearing.schema.breaks import BREAK_PREFIX, Break
from tongbao.web.commands.at_desk import Actor, Json, actor_of, print_json, print_line
from tongbao.web.commands.clearing_desk import ClearingDesk, at_clearing
from tongbao.web.commands.risk_desk import id_of

BreakId = Annotated[str, typer.Argument(metavar="BREAK", help="Id of a break: brk_…")]
Why = Annotated[str, typer.Option("--note", help="Why; kept for good.")]
Seen = Annotated[int | None, typer.Option("--version", min=1, help="The version you looked at.")]
ACTS = {
    "explain": "Say why there is a difference; it still has to be mended.",
    "resolve": "End a break that was mended elsewhere; a run that still sees it opens it again.",
    "propose": "Propose to write a difference off; a second person decides.",
    "approve": "Write a proposed break off, as the second person.",
    "decline": "Refuse a write-off, as the second person.",
}


def mount(app: typer.Typer) -> None:
    """Add the commands."""
    for name, words in ACTS.items():
        _mount(app, name, words)
    app.command("match")(match)


def match(
    breaks: Annotated[list[str], typer.Argument(metavar="BREAK...", help="Ids of breaks of one source.")],
    note: Why,
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Put the records of breaks together by hand; where the sums differ a new break tells the rest."""
    actor, ids = actor_of(by), [id_of(BREAK_PREFIX, each) for each in breaks]

    async def work(desk: ClearingDesk) -> list[Break]:
        return await desk.clearing.break_desk.match(ids, actor=actor, note=note)

    made = at_clearing(work)
    if as_json:
        print_json(made)
        return
    for each in made:
        print_line(f"{each.reference} is {each.state.value}.")


def _mount(app: typer.Typer, name: str, words: str) -> None:
    @app.command(name, help=words)
    def act(brk: BreakId, note: Why, version: Seen = None, by: Actor = None, as_json: Json = False) -> None:
        actor, break_id = actor_of(by), id_of(BREAK_PREFIX, brk)

        async def work(desk: ClearingDesk) -> Break:
            done: Any = getattr(desk.clearing.break_desk, name)
            made: Break = await done(break_id, actor=actor, note=note, seen_version=version)
            return made

        made = at_clearing(work)
        if as_json:
            print_json(made)
            return
        print_line(f"{made.reference} is {made.state.value}, version {made.version}.")
