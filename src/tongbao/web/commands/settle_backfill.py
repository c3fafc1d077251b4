"""``tongbao settle backfill``: movements of payments that were made while nobody recorded them, and the proof of equality."""

from typing import Annotated

import typer

from tongbao.clearing.schema.backfill import Backfilled, Progress
from tongbao.web.commands.at_desk import Json, print_json, print_line, print_table, status
from tongbao.web.commands.clearing_desk import ClearingDesk, at_clearing, book_text, money

PAGES_MAX = 1_000_000
DIFFER_EXIT = 1


def mount(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backfill")(backfill)


def backfill(
    pages: Annotated[
        int, typer.Option("--pages", min=0, max=PAGES_MAX, help="Stop after so many pages of the journal.")
    ] = PAGES_MAX,
    again: Annotated[bool, typer.Option("--again", help="Begin anew instead of going on.")] = False,
    as_json: Json = False,
) -> None:
    """Record what payments moved while nobody recorded it, going on where the last call ended; exit 1 while sums differ."""

    async def work(desk: ClearingDesk) -> Backfilled:
        with status("Going through the journal…", hidden=as_json) as tell:

            def told(progress: Progress) -> None:
                seen, made = progress.seen_count, progress.made_count
                tell(f"{book_text(progress.book_id)}: {seen:,} moves seen, {made:,} movements made")

            return await desk.clearing.backfill.run(pages=pages, again=again, tell=told)

    found = at_clearing(work)
    if as_json:
        print_json({"is_equal": found.is_equal, "backfill": found})
    else:
        _print(found)
    if not found.is_equal:
        raise typer.Exit(DIFFER_EXIT)


def _print(found: Backfilled) -> None:
    print_line(
        f"{found.done_count:,} of {found.account_count:,} accounts gone through: {found.seen_count:,} moves seen, "
        f"{found.made_count:,} movements made, {found.unexplained_count:,} that no payment explains."
    )
    for key in found.unexplained:
        print_line(f"unexplained: {key}")
    if found.is_equal:
        print_line("Movements and journal are equal in every book.")
        return
    rows = [
        (
            book_text(each.book_id),
            money(each.balance_minor, each.currency),
            money(each.movements_minor, each.currency),
            money(each.balance_minor - each.movements_minor, each.currency),
        )
        for each in found.differences
    ]
    print_table(("Book", "Journal#", "Movements#", "Difference#"), rows)
