"""``tongbao routing rules``: check a file of rules, and try it on the payments of the log."""

from pathlib import Path
from typing import Annotated

import typer

from tongbao.core.config import Settings
from tongbao.core.money import Money
from tongbao.decisions.schema.log import Range
from tongbao.routing.service import compiling, explaining
from tongbao.routing.service.backtesting import Approval, RuleResult, Tested
from tongbao.web.commands.at_desk import (
    From,
    Json,
    Live,
    To,
    at_desk,
    print_json,
    print_line,
    print_table,
    span_of,
    status,
    text_of,
)
from tongbao.web.commands.decisions import Language
from tongbao.web.desk import Desk, configured_names

app = typer.Typer(
    no_args_is_help=True,
    help="Rules in words, one a line: 'big tickets: when amount > 500 EUR then prefer card_a'.",
)


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File of rules.")],
    channel: Annotated[
        list[str] | None,
        typer.Option(
            "--channel", help="A channel that rules may name, for files of another house; repeat it."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read FILE as the router would, and print it in its canonical form; an error names its line and column."""
    text = text_of(file)
    rules = compiling.compile_rules(text, frozenset(channel) if channel else _names())
    canonical = compiling.canonical_rules(rules)
    if as_json:
        names = [each.name for each in rules.rules]
        print_json({"valid": True, "rules": names, "canonical": canonical})
        return
    typer.echo(canonical, nl=False)
    print_line(f"{len(rules.rules)} rules, all sound", "dim")


@app.command("backtest")
def backtest(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="File of the rules that were in force.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="File of the rules to try.")],
    from_text: From = None,
    to_text: To = None,
    book: Annotated[
        str | None, typer.Option("--book", help="Only payments of this book, by its code.")
    ] = None,
    live: Live = True,
    lang: Annotated[Language, typer.Option("--lang", help="Language of the sentences.")] = Language.EN,
    as_json: Json = False,
) -> None:
    """Tell which payments of a time NEW would have sent elsewhere than OLD, and what is known of how they would fare."""
    begin, end = span_of(from_text, to_text)
    texts = text_of(old), text_of(new)

    async def work(desk: Desk) -> Tested:
        before, after = (desk.backtesting.rules(text) for text in texts)
        owner = None if book is None else await desk.runtime.ledger.accounts.book(book)
        of = Range(begin, end, None if owner is None else owner.book_id, live=live)
        return await desk.backtesting.backtest(of, before, after)

    with status("Trying the rules on the log …", hidden=as_json):
        tested = at_desk(work)
    if as_json:
        print_json({"from": begin, "to": end, **tested._asdict()})
        return
    _tell(tested, lang)


def _names() -> frozenset[str]:
    """Return the channels of this house: by its file where it has one, else by what it took payments over."""
    settings = Settings.model_validate({})
    if settings.channels_file is not None:
        return configured_names(settings.channels_file)

    async def names(desk: Desk) -> frozenset[str]:
        return desk.channels

    return at_desk(names)


def _tell(tested: Tested, lang: Language) -> None:
    found = tested.backtest
    print_line(
        f"{found.payments_count:,} payments, of which {found.changed_count:,.1f} would have gone elsewhere; "
        f"{tested.without_outcome_count:,} more have no outcome yet"
    )
    if found.rules:
        print_table(
            ("Rule", "Matched#", "Changed#", "Approved#", "Amounts that move#"),
            [_row(each) for each in found.rules],
        )
    for rule in found.rules:
        for move in rule.moves:
            print_line(f"{rule.name}: {explaining.move_text(move, lang)}")
    for released in found.released:
        print_line(
            f"{released.rule}: decides {released.count:,} payments no more; the ranking would have chosen for them"
        )


def _row(result: RuleResult) -> tuple[str, ...]:
    return (
        result.name,
        f"{result.matched_count:,}",
        f"{result.changed_count:,.1f}",
        _approval(result.approval),
        ", ".join(f"{Money(round(minor), currency)}" for currency, minor in result.amounts.items()),
    )


def _approval(approval: Approval) -> str:
    if not approval.count:
        return ""
    share = approval.approved_count / approval.count
    return f"{share:.1%} ({approval.low:.1%} to {approval.high:.1%})"
