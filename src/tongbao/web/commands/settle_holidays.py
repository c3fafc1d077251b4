"""``tongbao settle holidays``: what authorities announce, entered by one person and put in force by another."""

from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tongbao.clearing.schema.announcements import (
    ANNOUNCEMENT_PREFIX,
    Announcement,
    AnnouncementOrder,
    AnnouncementState,
    Replanned,
)
from tongbao.core.errors import InvalidRequest
from tongbao.web.commands.at_desk import (
    Actor,
    Json,
    Note,
    actor_of,
    instant,
    print_json,
    print_line,
    print_table,
    text_of,
)
from tongbao.web.commands.clearing_desk import ClearingDesk, at_clearing
from tongbao.web.commands.risk_desk import id_of

AnnouncementId = Annotated[str, typer.Argument(metavar="ANNOUNCEMENT", help="Id of an announcement: ann_…")]
Calendar = Annotated[str, typer.Argument(metavar="CALENDAR", help="CN, US or TARGET.")]

holidays = typer.Typer(no_args_is_help=True, help="Holidays as they are announced, by two people.")


def mount(app: typer.Typer) -> None:
    """Add the group to the commands around settlements."""
    app.add_typer(holidays, name="holidays")


@holidays.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSON: calendar, year, source, holidays, workdays.")
    ],
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Enter what was announced for one year; somebody else puts it in force."""
    actor = actor_of(by)
    try:
        order = msgspec.json.decode(text_of(file), type=AnnouncementOrder)
    except msgspec.DecodeError as error:
        raise InvalidRequest("announcement_unreadable", f"{file}: {error}") from error

    async def work(desk: ClearingDesk) -> Announcement:
        return await desk.clearing.announcements.propose(order, actor=actor)

    made = at_clearing(work)
    if as_json:
        print_json(made)
        return
    waits = "; somebody else has to put it in force" if made.state is AnnouncementState.PROPOSED else ""
    print_line(f"{made.text_id} is {made.state.value}: {_summary(made)}{waits}.")


@holidays.command("approve")
def approve(announcement: AnnouncementId, note: Note = "", by: Actor = None, as_json: Json = False) -> None:
    """Put an announcement in force as another person, and count dates of payment anew."""
    actor, wanted = actor_of(by), id_of(ANNOUNCEMENT_PREFIX, announcement)

    async def work(desk: ClearingDesk) -> tuple[Announcement, Replanned]:
        made = await desk.clearing.announcements.approve(wanted, actor=actor, note=note)
        return made, await desk.clearing.announcements.plan(wanted)

    made, moved = at_clearing(work)
    if as_json:
        print_json(
            {"announcement": made, "movement_count": moved.movement_count, "batch_count": moved.batch_count}
        )
        return
    print_line(
        f"{made.text_id} is {made.state.value}: {_summary(made)}; {moved.movement_count:,} movements and "
        f"{moved.batch_count:,} batches have other dates now."
    )


@holidays.command("decline")
def decline(announcement: AnnouncementId, note: Note = "", by: Actor = None, as_json: Json = False) -> None:
    """Refuse an announcement, or withdraw your own."""
    actor, wanted = actor_of(by), id_of(ANNOUNCEMENT_PREFIX, announcement)

    async def work(desk: ClearingDesk) -> Announcement:
        return await desk.clearing.announcements.decline(wanted, actor=actor, note=note)

    made = at_clearing(work)
    if as_json:
        print_json(made)
        return
    print_line(f"{made.text_id} is {made.state.value}.")


@holidays.command("list")
def list_announcements(
    calendar: Annotated[str | None, typer.Option("--calendar", help="Only of this one.")] = None,
    year: Annotated[int | None, typer.Option("--year", help="Only of this year.")] = None,
    as_json: Json = False,
) -> None:
    """List announcements, the newest first."""

    async def work(desk: ClearingDesk) -> list[Announcement]:
        return await desk.clearing.announcements.page(calendar=calendar, year=year)

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each.text_id,
            f"{each.order.calendar} {each.order.year}",
            each.state.value,
            each.proposed_by,
            instant(each.decided_at) if each.decided_at else "",
            each.order.source,
        )
        for each in found
    ]
    print_table(("Announcement", "Of", "State", "Entered by", "Decided (UTC)", "Source"), rows)


@holidays.command("show")
def show(
    calendar: Calendar,
    year: Annotated[int, typer.Argument(metavar="YEAR", min=2020, max=2100)],
    as_json: Json = False,
) -> None:
    """Show the days off of a year as they count now, weekends left out, and whether they are announced."""
    first, until = date(year, 1, 1), date(year + 1, 1, 1)

    async def work(desk: ClearingDesk) -> tuple[dict[date, str], bool]:
        days = desk.clearing.agreements.days
        async with desk.runtime.database.connection() as connection:
            await days.learn(connection)
        return days.days_off((calendar,), first, until), not days.unannounced((calendar,), first, until)

    found, is_announced = at_clearing(work)
    named = {on: name for on, name in found.items() if name}
    if as_json:
        print_json({"calendar": calendar, "year": year, "is_announced": is_announced, "days_off": named})
        return
    print_table(("Day", "Weekday", "Holiday"), [(str(on), f"{on:%a}", name) for on, name in named.items()])
    if not is_announced:
        print_line(f"Provisional: {calendar} {year} is not announced yet; days may still move.", "yellow")


def _summary(made: Announcement) -> str:
    order = made.order
    free = sum((each.last - each.first).days + 1 for each in order.holidays)
    return f"{order.calendar} {order.year}, {free} days free, {len(order.workdays)} of weekends worked"
