"""``tongbao fees profits``: what the house earned, by month, merchant, method and channel; as a table, as JSON or as CSV."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tongbao.clearing.schema.statements import ProfitFilter, ProfitLine
from tongbao.clearing.service.profits import totals
from tongbao.core.errors import InvalidRequest
from tongbao.web.commands.at_desk import Json, print_json, print_line, print_table
from tongbao.web.commands.clearing_desk import ClearingDesk, MaybeBook, at_clearing, book_text, money
from tongbao.web.commands.decisions import Language

SHOWN_MAX = 200
"""Lines on a screen; JSON and the file hold all of them."""
DAY = ["%Y-%m-%d"]
AMOUNTS = ("volume", "fees", "tax", "cost", "agent", "write_offs", "margin")


class Apart(StrEnum):
    """By what a report is told apart, beside the currency."""

    MONTH = "month"
    BOOK = "book"
    METHOD = "method"
    CHANNEL = "channel"


FIELDS = {Apart.MONTH: "month_on", Apart.BOOK: "book_id", Apart.METHOD: "method", Apart.CHANNEL: "channel"}


def mount(app: typer.Typer) -> None:
    """Add the command."""
    app.command("profits")(profits)


def profits(
    begin: Annotated[datetime, typer.Option("--from", formats=DAY, help="The first day.")],
    end: Annotated[datetime, typer.Option("--to", formats=DAY, help="The day after the last.")],
    zone: Annotated[str, typer.Option("--zone", help="The zone of the days.")] = "UTC",
    by: Annotated[
        list[Apart], typer.Option("--by", help="Tell it apart by this; may be given several times.")
    ] = [Apart.MONTH],  # noqa: B006  # the framework reads it, nobody changes it
    book: MaybeBook = None,
    currency: Annotated[str | None, typer.Option("--currency", help="Only of this currency.")] = None,
    channel: Annotated[str | None, typer.Option("--channel", help="Only over this channel.")] = None,
    live: Annotated[bool, typer.Option("--live/--test", help="Real money, or test payments.")] = True,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write all lines to this file.")] = None,
    lang: Annotated[Language, typer.Option("--lang", help="Language of the file.")] = Language.EN,
    as_json: Json = False,
) -> None:
    """Tell what the house earned with what was priced in a time: fees less tax, costs, commissions and write-offs."""
    names = [name for apart, name in FIELDS.items() if apart in by]

    async def work(desk: ClearingDesk) -> tuple[tuple[ProfitLine, ...], bytes]:
        of = ProfitFilter(
            book_id=await desk.maybe_book(book),
            currency=None if currency is None else currency.upper(),
            channel=channel,
        )
        lines = await desk.clearing.profits.report(
            begin.date(), end.date(), zone=zone, live=live, by=names, of=of
        )
        return lines, desk.clearing.profits.csv(lines, lang) if csv_file is not None else b""

    lines, table = at_clearing(work)
    if csv_file is not None:
        try:
            csv_file.write_bytes(table)
        except OSError as error:
            raise InvalidRequest(
                "file_unwritable", f"{csv_file} cannot be written: {error.strerror}"
            ) from error
    if as_json:
        print_json([_told(each) for each in lines])
        return
    shown = [_row(each, names) for each in lines[:SHOWN_MAX]]
    shown += [_row(each, names, "all") for each in totals(lines)]
    heads = [name.removesuffix("_on").removesuffix("_id").title() for name in names]
    amounts = [f"{name.replace('_', ' ').capitalize()}#" for name in AMOUNTS]
    print_table((*heads, "Currency", "Movements#", *amounts), shown)
    if len(lines) > SHOWN_MAX:
        print_line(f"{len(lines) - SHOWN_MAX:,} further lines: --csv or --json has all of them.")
    if csv_file is not None:
        print_line(f"{len(lines):,} lines are in {csv_file}.")


def _told(line: ProfitLine) -> dict[str, object]:
    key = msgspec.structs.asdict(line.key)
    book = {"book": book_text(line.key.book_id)} if line.key.book_id is not None else {"book": None}
    own = {name: value for name, value in msgspec.structs.asdict(line).items() if name != "key"}
    return key | book | own | {"margin_minor": line.margin_minor, "margin_e6": line.margin_e6}


def _row(line: ProfitLine, names: list[str], whole: str = "") -> tuple[str, ...]:
    key = line.key
    told = {
        "month_on": f"{key.month_on:%Y-%m}",
        "book_id": "–" if key.book_id is None else book_text(key.book_id),
        "method": key.method or "–",
        "channel": key.channel or "–",
    }
    heads = [told[name] for name in names]
    if whole:
        heads = [whole if place == 0 else "" for place in range(len(names))]
    sums = [money(getattr(line, f"{name}_minor"), key.currency) for name in AMOUNTS]
    return (*heads, key.currency, f"{line.count:,}", *sums)
