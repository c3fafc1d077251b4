"""``tongbao days``: how a business day stands, its close, and its opening again by two people."""

from datetime import date, datetime
from typing import Annotated

import typer

from tongbao.clearing.schema.days import CheckState, Day, DayReport, DayState
from tongbao.core.errors import Conflict
from tongbao.web.commands.at_desk import (
    Actor,
    Json,
    Note,
    actor_of,
    instant,
    print_json,
    print_line,
    print_table,
    status,
)
from tongbao.web.commands.clearing_desk import ClearingDesk, at_clearing, money

FAILED_EXIT = 1
MARKS = {CheckState.PASSED: "✓", CheckState.WARNED: "!", CheckState.FAILED: "✗"}
On = Annotated[
    datetime, typer.Argument(metavar="DAY", formats=["%Y-%m-%d"], help="A business day: 2026-01-31.")
]

app = typer.Typer(no_args_is_help=True, help="The close of days: checklist, score, report.")


@app.command("list")
def list_days(as_json: Json = False) -> None:
    """List days that somebody closed or wanted to, newest first."""

    async def work(desk: ClearingDesk) -> list[Day]:
        return await desk.clearing.closing.page()

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            str(each.on),
            each.state.value,
            "" if each.report is None else str(each.report.score),
            each.closed_by,
            "" if each.closed_at is None else instant(each.closed_at),
            f"{each.asked} asked by {each.asked_by}" if each.asked else each.note,
        )
        for each in found
    ]
    print_table(("Day", "State", "Score#", "Closed by", "At (UTC)", "Note"), rows)


@app.command("check")
def check(on: On, as_json: Json = False) -> None:
    """Show how a day stands; exit status 1 where something keeps it from being closed."""

    async def work(desk: ClearingDesk) -> DayReport:
        return await desk.clearing.closing.look(on.date())

    with status("Looking at everything …", hidden=as_json):
        found = at_clearing(work)
    if as_json:
        print_json(found)
    else:
        _tell(found)
    if any(each.state is CheckState.FAILED for each in found.checks):
        raise typer.Exit(FAILED_EXIT)


@app.command("close")
def close(on: On, note: Note = "", by: Actor = None, as_json: Json = False) -> None:
    """Close a day; over warnings the first person asks, with a reason, and a second one closes."""
    actor = actor_of(by)

    async def work(desk: ClearingDesk) -> Day:
        return await desk.clearing.closing.close(on.date(), actor=actor, note=note)

    with status("Looking at everything …", hidden=as_json):
        made = at_clearing(work)
    if as_json:
        print_json(made)
        return
    if made.state is DayState.OPEN:
        print_line(f"{made.on} has warnings: it is closed once a second person closes it.", "yellow")
        return
    score = made.report.score if made.report else 0
    print_line(f"{made.on} is closed by {made.closed_by}; score {score} of 100.")


@app.command("report")
def report(on: On, as_json: Json = False) -> None:
    """Show the report with which a day was closed."""

    async def work(desk: ClearingDesk) -> Day:
        return (await desk.clearing.closing.get(on.date()))[0]

    found = at_clearing(work)
    if found.report is None:
        raise Conflict("day_not_closed", f"{date.isoformat(found.on)} was never closed; see `days check`")
    if as_json:
        print_json(found)
        return
    _tell(found.report)


@app.command("reopen")
def reopen(on: On, note: Note, by: Actor = None, as_json: Json = False) -> None:
    """Open the day that was closed last; the first person asks, a second one opens it."""
    actor = actor_of(by)

    async def work(desk: ClearingDesk) -> Day:
        return await desk.clearing.closing.reopen(on.date(), actor=actor, note=note)

    made = at_clearing(work)
    if as_json:
        print_json(made)
        return
    is_open = made.state is DayState.OPEN
    print_line(f"{made.on} is open again." if is_open else f"{made.on} opens once a second person agrees.")


def _tell(found: DayReport) -> None:
    print_line(
        f"{found.on}: score {found.score} of 100; {found.movement_count:,} movements, "
        f"{found.matched_share:.1%} matched, {found.late_count:,} late.",
        "bold",
    )
    rows = [
        (
            MARKS[each.state],
            each.code.replace("_", " "),
            ", ".join(f"{name} {fact}" for name, fact in each.facts.items()),
        )
        for each in found.checks
    ]
    print_table(("", "Check", "Facts"), rows)
    if found.breaks:
        ages = ("Today#", "1–3 days#", "4–7#", "8–30#", "Older#")
        lines = [
            (each.kind, each.currency, *map(str, each.counts), money(sum(each.amounts_minor), each.currency))
            for each in found.breaks
        ]
        print_table(("Break", "Currency", *ages, "Amount#"), lines)
