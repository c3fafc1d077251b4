"""``tongbao recon``: files of channels and banks taken in, compared with the books, and what people do about differences."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer

from tongbao.clearing.schema.break_sides import View
from tongbao.clearing.schema.breaks import BREAK_PREFIX, Break, BreakKind, BreakState, Run
from tongbao.clearing.schema.lines import FILE_PREFIX, FileState, SourceFile, SourceTerms
from tongbao.clearing.service.break_words import words_of
from tongbao.clearing.service.intake import Taken
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.core.ids import uuid_text
from tongbao.web.commands import recon_acts
from tongbao.web.commands.at_desk import (
    Actor,
    Json,
    actor_of,
    instant,
    print_json,
    print_line,
    print_table,
    text_of,
)
from tongbao.web.commands.clearing_desk import (
    ClearingDesk,
    MaybeBook,
    at_clearing,
    counted,
    money,
    stepped,
)
from tongbao.web.commands.decisions import Language
from tongbao.web.commands.risk_desk import id_of

RUN_STEPS = {"reading": 0, "matching": 1, "writing": 2}
PROBLEMS_EXIT = 1
"""Exit status of a file that was taken with problems: something is to be looked at."""
Source = Annotated[str | None, typer.Option("--source", help="Only of this source.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=200, help="Most to show.")]
Lang = Annotated[Language, typer.Option("--lang", help="Language of the words.")]

app = typer.Typer(no_args_is_help=True, help="Reconciliation: files, runs, and differences.")
recon_acts.mount(app)


@app.command("sources")
def sources(as_json: Json = False) -> None:
    """List who sends files, and what is agreed about them."""
    found = at_clearing(_sources)
    if as_json:
        print_json([found[name] for name in sorted(found)])
        return
    rows = [
        (each.source, each.side.value, each.format.value, each.zone, str(each.report_days), each.bank)
        for each in (found[name] for name in sorted(found))
    ]
    print_table(("Source", "Side", "Format", "Zone", "Days#", "Pays to"), rows)


@app.command("agree")
def agree(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON: source, side, format, zone, columns …")],
    by: Actor = None,
) -> None:
    """Agree with a source on what its files are like, from a file of JSON."""
    actor = actor_of(by)
    try:
        terms = msgspec.json.decode(text_of(file), type=SourceTerms)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidRequest("source_invalid", f"{file}: {error}") from error

    async def work(desk: ClearingDesk) -> int:
        return await desk.clearing.intake.agree(terms, actor)

    print_line(f"{terms.source}: version {at_clearing(work)} of what is agreed holds for the files to come.")


@app.command("take")
def take(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of a channel or bank, as it came.")],
    source: Annotated[str, typer.Option("--source", help="Who sent it; see `recon sources`.")],
    on: Annotated[
        datetime | None,
        typer.Option("--on", formats=["%Y-%m-%d"], help="The day it is of, where it does not say so itself."),
    ] = None,
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Take a file in, every line once; exit status 1 where something in it is to be looked at."""
    actor = actor_of(by)
    if not file.is_file():
        raise NotFound("file_missing", f"there is no file {file}", file=str(file))

    async def work(desk: ClearingDesk) -> Taken:
        intake = desk.clearing.intake
        terms = await intake.source(source)
        with counted(f"Reading {file.name}", hidden=as_json) as tell:
            return await intake.take(file, terms, actor, on=on.date() if on else None, progress=tell)

    taken = at_clearing(work)
    if as_json:
        print_json({"file": taken.file, "is_repeat": taken.is_repeat})
    else:
        _tell_file(taken)
    if taken.file.problems or taken.file.state is not FileState.READ:
        raise typer.Exit(PROBLEMS_EXIT)


@app.command("files")
def files(source: Source = None, limit: Limit = 20, as_json: Json = False) -> None:
    """List the files that came, newest first."""

    async def work(desk: ClearingDesk) -> list[SourceFile]:
        return await desk.clearing.intake.page(source, limit=limit)

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            uuid_text(FILE_PREFIX, each.id),
            each.name,
            each.header.source,
            each.state.value,
            f"{each.line_count:,}",
            f"{each.repeated_count:,}",
            f"{each.refused_count:,}",
            ", ".join(each.problems),
            instant(each.received_at),
        )
        for each in found
    ]
    names = ("File", "Name", "Source", "State", "Lines#", "Repeated#", "Refused#", "Problems", "Came (UTC)")
    print_table(names, rows)


@app.command("run")
def run(
    source: Annotated[list[str] | None, typer.Argument(metavar="[SOURCE...]", help="All without.")] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="Up to this day; today.")
    ] = None,
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Reconcile sources up to a day: everything of them that is still open. Again finds nothing new."""
    actor = actor_of(by)

    async def work(desk: ClearingDesk) -> list[Run]:
        known = await _sources(desk)
        wanted = source or sorted(known)
        with stepped("Reconciling", len(wanted) * len(RUN_STEPS), hidden=as_json) as tell:
            made = []
            for number, name in enumerate(wanted):
                terms = known.get(name) or await desk.clearing.intake.source(name)
                last = desk.runtime.clock.now().astimezone(ZoneInfo(terms.zone)).date()

                def show(step: str, name: str = name, before: int = number) -> None:
                    tell(f"{name} ({step})", before * len(RUN_STEPS) + RUN_STEPS[step])

                until_on: date = last if until is None else until.date()
                made.append(await desk.clearing.reconciling.run(name, until_on, actor, progress=show))
        return made

    runs = at_clearing(work)
    if as_json:
        print_json(runs)
        return
    _print_runs(runs)


@app.command("runs")
def runs(source: Source = None, limit: Limit = 20, as_json: Json = False) -> None:
    """List runs, newest first."""

    async def work(desk: ClearingDesk) -> list[Run]:
        return await desk.clearing.reconciling.page(source=source, limit=limit)

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    _print_runs(found)


@app.command("breaks")
def breaks(
    source: Source = None,
    kind: Annotated[BreakKind | None, typer.Option("--kind", help="Only of this kind.")] = None,
    state: Annotated[
        list[BreakState] | None, typer.Option("--state", help="Those in this state; what still stands.")
    ] = None,
    book: MaybeBook = None,
    limit: Limit = 50,
    lang: Lang = Language.EN,
    as_json: Json = False,
) -> None:
    """List differences, newest day first, with what may be done about them."""
    states = state or [BreakState.OPEN, BreakState.EXPLAINED, BreakState.PROPOSED]

    async def work(desk: ClearingDesk) -> list[View]:
        of = (kind, source, await desk.maybe_book(book))
        return await desk.clearing.break_desk.page(states=states, of=of, limit=limit)

    found = at_clearing(work)
    if as_json:
        print_json(found)
        return
    rows = [_row(each, lang) for each in found]
    print_table(("Break", "Source", "Day", "What", "State", "Difference#", "Version#", "Suggestion"), rows)


@app.command("show")
def show(
    brk: Annotated[str, typer.Argument(metavar="BREAK", help="Id of a break: brk_…")],
    lang: Lang = Language.EN,
    as_json: Json = False,
) -> None:
    """Show a difference with both sides and everything that was done about it."""
    break_id = id_of(BREAK_PREFIX, brk)

    async def work(desk: ClearingDesk) -> tuple[View, list[dict[str, object]]]:
        return await desk.clearing.break_desk.get(break_id)

    view, acts = at_clearing(work)
    if as_json:
        print_json({"break": view, "history": acts})
        return
    _tell_break(view, acts, lang)


async def _sources(desk: ClearingDesk) -> dict[str, SourceTerms]:
    return await desk.clearing.intake.sources()


def _tell_file(taken: Taken) -> None:
    file = taken.file
    again = " had come before:" if taken.is_repeat else ":"
    print_line(
        f"{uuid_text(FILE_PREFIX, file.id)}{again} {file.line_count:,} lines, {file.repeated_count:,} repeated, "
        f"{file.refused_count:,} refused.",
        "bold",
    )
    if file.problems:
        print_line(f"Look at it: {', '.join(file.problems)}.", "yellow")
    for each in file.refusals[:20]:
        print_line(f"  line {each.number}: {each.code}, {each.detail} {each.column} {each.value}".rstrip())


def _tell_break(view: View, acts: list[dict[str, object]], language: str) -> None:
    of = view.of
    words = {name: text[language[:2]] for name, text in words_of(of).items()}
    print_line(f"{of.reference} · {words['kind']} · {words['state']} · version {of.version}", "bold")
    print_line(f"{of.source}, {of.opened_on}, {money(of.found.difference_minor, of.found.currency)}")
    rows = [
        (side, each.kind, money(each.amount_minor, each.currency), each.reference, each.channel_reference)
        for side, records in (("books", view.expected), (of.source, view.reported))
        for each in records
    ]
    print_table(("Side", "Kind", "Amount#", "Reference", "Theirs"), rows)
    print_line(_suggested(view, language))
    for act in acts:
        at = act["at"]
        shown = instant(at) if isinstance(at, datetime) else str(at)
        print_line(f"{shown}  {act['state']!s:<12} {act['actor']}  {act['note']}")


def _suggested(view: View, language: str) -> str:
    return view.suggested.get(language) or view.suggested.get("zh-CN" if language == "zh" else "en", "")


def _row(view: View, language: str) -> tuple[str, ...]:
    of: Break = view.of
    words = {name: text[language[:2]] for name, text in words_of(of).items()}
    return (
        of.reference,
        of.source,
        str(of.opened_on),
        words["kind"],
        words["state"],
        money(of.found.difference_minor, of.found.currency),
        str(of.version),
        _suggested(view, language),
    )


def _print_runs(found: list[Run]) -> None:
    rows = [
        (
            each.reference,
            each.source,
            str(each.until_on),
            f"{each.expected_count:,}",
            f"{each.reported_count:,}",
            f"{each.matched_count:,}",
            f"{each.break_count:,}",
            ", ".join(f"{count:,} {kind}" for kind, count in sorted(each.by_kind.items())),
            f"{each.took_ms:,}",
        )
        for each in found
    ]
    names = ("Run", "Source", "Until", "Expected#", "Reported#", "Matched#", "Breaks#", "Kinds", "ms#")
    print_table(names, rows)
