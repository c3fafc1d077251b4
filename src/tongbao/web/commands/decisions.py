"""``tongbao decisions``: why a payment went where it went, and the log for people who analyze it."""

import enum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import int_text, parse_uuid
from tongbao.decisions.schema.log import Candidate, Decision, Range
from tongbao.decisions.service.exporting import Exported, Exporting, ExportOrder
from tongbao.decisions.service.exporting import Progress as Done
from tongbao.decisions.service.log import Traced
from tongbao.decisions.service.tracing import Lineage, lineage_of
from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.risk.service import explaining as risk_explaining
from tongbao.risk.service.compiling import POLICY as RISK
from tongbao.routing.service import explaining
from tongbao.routing.service.compiling import POLICY
from tongbao.web.commands.at_desk import (
    From,
    Json,
    To,
    at_desk,
    console,
    instant,
    print_json,
    print_line,
    print_table,
    span_of,
)
from tongbao.web.desk import Desk

PAYMENT_PREFIX = "pi"

app = typer.Typer(no_args_is_help=True, help="Why payments went where they went, and the log behind it.")


class Language(enum.StrEnum):
    """In which language sentences are."""

    ZH = "zh"
    EN = "en"


@app.command("explain")
def explain(
    payment: Annotated[str, typer.Argument(metavar="PAYMENT", help="Id of a payment: pi_…")],
    lang: Annotated[Language, typer.Option("--lang", help="Language of the sentences.")] = Language.EN,
    as_json: Json = False,
) -> None:
    """Tell every decision about PAYMENT, oldest first: what was chosen, why, what else there was, what came of it."""
    subject_id = _payment(payment)

    async def work(desk: Desk) -> Lineage:
        return await lineage_of(desk.runtime.database, desk.decisions.log, subject_id, payment)

    found = at_desk(work)
    if as_json:
        print_json(
            {
                "payment_intent": payment,
                "book": int_text(BOOK_PREFIX, found.book_id),
                "decisions": [_machine(each, lang) for each in found.traced],
            }
        )
        return
    for number, each in enumerate(found.traced, 1):
        _tell(number, each, lang)


@app.command("export")
def export(
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="Folder for the two files.")],
    from_text: From = None,
    to_text: To = None,
    policy: Annotated[str | None, typer.Option("--policy", help="Only decisions of this policy.")] = None,
    book: Annotated[str | None, typer.Option("--book", help="Only this book, by its code.")] = None,
    live: Annotated[
        bool | None, typer.Option("--live/--test", help="Only real or only test payments; both without.")
    ] = None,
    outcome: Annotated[
        str, typer.Option("--outcome", help="Which outcome joins each decision.")
    ] = "approved",
    force: Annotated[bool, typer.Option("--force", help="Replace files of an earlier export.")] = False,
    as_json: Json = False,
) -> None:
    """Write the log of a time as Parquet: decisions.parquet and candidates.parquet, for DuckDB, pandas and others."""
    begin, end = span_of(from_text, to_text)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(
        *columns, console=console, transient=True, disable=as_json or not console.is_terminal
    ) as bar:
        task = bar.add_task("0 decisions", total=1.0)

        def told(done: Done) -> None:
            bar.update(task, completed=done.share, description=f"{done.decisions_count:,} decisions")

        async def work(desk: Desk) -> Exported:
            owner = None if book is None else await desk.runtime.ledger.accounts.book(book)
            of = Range(begin, end, None if owner is None else owner.book_id, policy, live)
            order = ExportOrder(of, out, outcome, force)
            return await Exporting(desk.runtime.database, desk.runtime.clock).export(order, told)

        done = at_desk(work)
    if as_json:
        print_json({"from": begin, "to": end, **done._asdict()})
        return
    print_line(
        f"{done.decisions_count:,} decisions and {done.candidates_count:,} candidates from {instant(begin)} "
        f"to {instant(end)} UTC, {done.bytes_count:,} bytes"
    )
    for file in (done.decisions_file, done.candidates_file):
        print_line(str(file))


def _payment(text: str) -> UUID:
    try:
        return parse_uuid(PAYMENT_PREFIX, text)
    except ValueError as error:
        raise InvalidRequest("id_malformed", f"a payment has an id of the form {PAYMENT_PREFIX}_…") from error


_HEAD = ("", "Channel", "Chance#", "Value#", "90 % of values#", "Approval#", "Not possible")
_RISK_HEAD = ("", "Tier", "Chance#", "Cost#", "90 % of costs#", "Approval#", "Not possible")


def _sentence(decision: Decision, language: str) -> str:
    """Return why, in one sentence; rooms without words of their own have the codes of their reasons."""
    if decision.kind == POLICY:
        return explaining.sentence(decision, language)
    is_risk = decision.kind == RISK
    said = [risk_explaining.said(each, language) if is_risk else each.code for each in decision.reasons]
    return f"{decision.chosen}: {' '.join(said) if is_risk else ', '.join(said)}"


def _machine(traced: Traced, language: str) -> dict[str, object]:
    decision = traced.decision
    return {
        "id": decision.reference,
        "sentence": _sentence(decision, language),
        "decision": decision,
        "propensity": decision.propensity,
        "outcomes": traced.outcomes,
    }


def _tell(number: int, traced: Traced, language: str) -> None:
    decision = traced.decision
    arm = "" if decision.arm == "champion" else f", {decision.arm}"
    print_line(
        f"{number}. {instant(decision.decided_at)} UTC · {decision.policy} version {decision.version}{arm} · "
        f"{decision.reference}",
        "bold",
    )
    print_line(f"   {_sentence(decision, language)}")
    rows = [_candidate(each, decision, language) for each in decision.candidates]
    print_table(_RISK_HEAD if decision.kind == RISK else _HEAD, rows)
    for news in traced.outcomes:
        value = "taken back" if news.value is None else f"{news.value:g}"
        print_line(f"   {instant(news.occurred_at)} {news.name}: {value} {news.label} {news.source}".rstrip())
    if not traced.outcomes:
        print_line("   nothing was heard of it yet", "dim")


def _candidate(candidate: Candidate, decision: Decision, language: str) -> tuple[str, ...]:
    approval = candidate.facts.get("approval")
    excluded = ""
    if candidate.excluded is not None and decision.kind == RISK:
        excluded = candidate.excluded.replace("_", " ")
    elif candidate.excluded is not None:
        words = explaining.text_of(candidate.excluded)
        excluded = words.zh if language == Language.ZH else words.en
    interval = ""
    if candidate.low is not None and candidate.high is not None:
        interval = f"{candidate.low:,.2f} to {candidate.high:,.2f}"
    return (
        "→" if candidate.name == decision.chosen else "",
        candidate.name,
        f"{candidate.propensity:.2%}",
        "" if candidate.score is None else f"{candidate.score:,.2f}",
        interval,
        f"{approval:.1%}" if isinstance(approval, float) else "",
        excluded,
    )
