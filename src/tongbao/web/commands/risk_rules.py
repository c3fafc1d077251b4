"""``tongbao risk rules``: read a file of rules, run its tests, try it on judged payments, get rules to start with."""

from pathlib import Path
from typing import Annotated

import typer

from tongbao.core.errors import Conflict
from tongbao.decisions.schema.log import Range
from tongbao.risk.service import explaining
from tongbao.risk.service.backtesting import Tested
from tongbao.risk.service.rule_checking import STARTER_RULES, CheckedRules, check, sentences
from tongbao.web.commands.at_desk import (
    From,
    Json,
    Live,
    To,
    print_json,
    print_line,
    print_table,
    span_of,
    text_of,
)
from tongbao.web.commands.at_desk import status as shown_status
from tongbao.web.commands.decisions import Language
from tongbao.web.commands.risk_desk import Book, RiskDesk, at_risk_desk

FAILED_EXIT = 1
RulesFile = Annotated[Path, typer.Argument(metavar="FILE", help="File of rules, one a block.")]
Lang = Annotated[Language, typer.Option("--lang", help="Language of the sentences.")]

app = typer.Typer(
    no_args_is_help=True,
    help="Rules in words: 'card testing: when card_count_1h > 5 then decline because \"many\" owner mei'.",
)


@app.command("check")
def check_rules(file: RulesFile, book: Book = None, lang: Lang = Language.EN, as_json: Json = False) -> None:
    """Read FILE, print it in its canonical form, and tell what differs from the rules in force."""
    checked = _checked(file, book)
    if as_json:
        print_json(
            {
                "rules": [rule.name for rule in checked.rules.rules],
                "canonical": checked.text,
                "failed_tests": [each._asdict() for each in checked.failed],
                "differences": sentences(checked.diff, lang),
            }
        )
    else:
        typer.echo(checked.text, nl=False)
        for sentence in sentences(checked.diff, lang):
            print_line(sentence)
        _tell_tests(checked, lang)
    _exit(checked)


@app.command("test")
def run_tests(file: RulesFile, book: Book = None, lang: Lang = Language.EN, as_json: Json = False) -> None:
    """Run the tests that stand below the rules of FILE; exit status 1 where one fails."""
    checked = _checked(file, book)
    if as_json:
        failed = [each._asdict() for each in checked.failed]
        print_json({"test_count": checked.test_count, "failed_tests": failed})
    else:
        _tell_tests(checked, lang)
    _exit(checked)


@app.command("backtest")
def backtest(
    file: RulesFile,
    old: Annotated[
        Path | None, typer.Option("--old", help="Rules that judged then; those in force without.")
    ] = None,
    from_text: From = None,
    to_text: To = None,
    book: Book = None,
    live: Live = True,
    lang: Lang = Language.EN,
    as_json: Json = False,
) -> None:
    """Tell what the rules of FILE would have done to the payments of a time, with what was known when each was judged."""
    begin, end = span_of(from_text, to_text)
    new_text = text_of(file)
    old_text = None if old is None else text_of(old)

    async def work(desk: RiskDesk) -> Tested:
        book_id, backtesting = await desk.book(book), desk.hindsight.backtesting
        new = await backtesting.rules(new_text, book_id)
        if old_text is None:
            before = await backtesting.in_force(book_id)
        else:
            before = await backtesting.rules(old_text, book_id)
        return await backtesting.backtest(Range(begin, end, book_id, live=live), before, new)

    with shown_status("Looking at the payments of then again …", hidden=as_json):
        tested = at_risk_desk(work)
    if as_json:
        print_json({"from": begin, "to": end, **tested._asdict()})
        return
    _tell(tested, lang)


@app.command("starter")
def starter(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where to write them; to the screen without.")
    ] = None,
) -> None:
    """Print rules to start with: first guesses, with tests, to be back-tested on the own log before they act."""
    if file is None:
        typer.echo(STARTER_RULES, nl=False)
        return
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(STARTER_RULES)
    except FileExistsError as error:
        raise Conflict("file_exists", f"{file} is there already") from error
    print_line(f"{file} written; next: tongbao risk rules test {file}")


def _checked(file: Path, book: str | None) -> CheckedRules:
    text = text_of(file)

    async def work(desk: RiskDesk) -> CheckedRules:
        return await check(desk.hindsight.backtesting, text, await desk.book(book))

    return at_risk_desk(work)


def _tell_tests(checked: CheckedRules, language: str) -> None:
    for failed in checked.failed:
        print_line(failed.text(language), "red")
    passed = checked.test_count - len(checked.failed)
    print_line(f"{len(checked.rules.rules)} rules, {passed} of {checked.test_count} tests pass", "dim")


def _exit(checked: CheckedRules) -> None:
    if checked.failed:
        raise typer.Exit(FAILED_EXIT)


def _tell(tested: Tested, language: str) -> None:
    found = tested.backtest
    print_table(
        ("Rule", "Act", "Matched#", "Share#", "Went through#", "Bad#", "More than then#", "Less#"),
        [
            (
                f"{each.name} (draft)" if each.is_draft else each.name,
                each.act.value,
                f"{each.matched.all.count:,}",
                f"{each.share:.1%}",
                f"{each.matched.succeeded.count:,}",
                f"{each.matched.disputed.count:,}",
                f"{each.raised.count:,}",
                f"{each.lowered.count:,}",
            )
            for each in found.rules
        ],
    )
    for each in found.rules:
        print_line(" ".join(explaining.rule_sentences(each, language)))
    print_line(" ".join(explaining.whole_sentences(found, language)), "bold")
    if tested.stopped_count or tested.unproved_count:
        print_line(
            f"Left out: {tested.stopped_count:,} that a freeze or a block list stopped, {tested.unproved_count:,} whose "
            "features of then could not be found again.",
            "dim",
        )
