"""``tongbao risk cases``: what waits for people, in the order in which it is taken, and one case with its evidence."""

from typing import Annotated, NamedTuple

import typer

from tongbao.risk.schema.cases import CaseFile, CasePayment, CaseScope, CaseState
from tongbao.risk.service.case_reading import Queued, Summary, Wanted
from tongbao.risk.service.case_showing import case_words, evidence_words
from tongbao.risk.service.explaining import Evidence
from tongbao.web.commands.at_desk import Json, Live, instant, print_json, print_line, print_table
from tongbao.web.commands.decisions import Language
from tongbao.web.commands.risk_desk import Book, RiskDesk, at_risk_desk, id_of, plain

CASE_PREFIX = "case"
Lang = Annotated[Language, typer.Option("--lang", help="Language of the words.")]

app = typer.Typer(no_args_is_help=True, help="Cases: payments that deserve a human.")


class _Shown(NamedTuple):
    """Everything that is shown of a case."""

    case: CaseFile
    payments: list[CasePayment]
    timeline: list[Evidence]
    summary: Summary


@app.command("list")
def list_cases(
    state: Annotated[CaseState | None, typer.Option("--state", help="Only those in this state.")] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Those that nobody has, in the order in which they are taken.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Most to show.")] = 20,
    book: Book = None,
    live: Live = True,
    lang: Lang = Language.EN,
    as_json: Json = False,
) -> None:
    """List cases, newest first; with --queue by money saved per minute, overdue ones first."""

    async def work(desk: RiskDesk) -> list[Queued | CaseFile]:
        scope, reading = CaseScope(live, await desk.book(book)), desk.risk.case_reading
        if queue:
            return [*await reading.queue(scope, limit)]
        return [*await reading.page(Wanted(scope, state), limit=limit)]

    found = [each.case if isinstance(each, Queued) else each for each in at_risk_desk(work)]
    if as_json:
        print_json(found)
        return
    print_table(
        ("Case", "State", "Severity", "Why", "Who", "Payments#", "At stake#", "Saves#", "Due (UTC)", "With"),
        [_row(each, lang) for each in found],
    )


@app.command("show")
def show(
    case: Annotated[str, typer.Argument(metavar="CASE", help="Id of a case: case_…")],
    lang: Lang = Language.EN,
    as_json: Json = False,
) -> None:
    """Show a case: its payments, the evidence in order of time, and the summary as it would be drafted now."""
    case_id = id_of(CASE_PREFIX, case)

    async def work(desk: RiskDesk) -> _Shown:
        reading = desk.risk.case_reading
        return _Shown(
            await reading.one(case_id),
            await reading.payments(case_id),
            await reading.timeline(case_id),
            await reading.summary(case_id, lang),
        )

    found = at_risk_desk(work)
    if as_json:
        print_json(plain(found))
        return
    _tell(found, lang)


def _tell(found: _Shown, language: str) -> None:
    case, words = found.case, case_words(found.case, language)
    print_line(f"{case.name} · {words.state} · {words.severity} · {words.kind} · {words.who}", "bold")
    holder = f", with {case.assignee}" if case.assignee else ""
    print_line(f"{case.payment_count} payments, {words.at_stake}; due {instant(case.due_at)} UTC{holder}")
    for entry, text in zip(found.timeline, evidence_words(found.timeline, language), strict=True):
        print_line(f"  {instant(entry.at)}  {text}", "" if entry.is_of_case else "dim")
    signed = found.summary.signed
    if signed is not None:
        stale = ", before the case went on" if found.summary.is_stale else ""
        print_line(f"Signed by {signed.actor}{stale}:", "bold")
        print_line(signed.note)
        return
    print_line("Draft of the summary; it is nothing until somebody signs it:", "bold")
    print_line(found.summary.draft.text)


def _row(case: CaseFile, language: str) -> tuple[str, ...]:
    words = case_words(case, language)
    return (
        case.name,
        words.state,
        words.severity,
        words.kind,
        words.who,
        str(case.payment_count),
        words.at_stake,
        f"{case.saving / 100:,.2f}",
        instant(case.due_at),
        case.assignee,
    )
