"""``tongbao fx``: reference rates taken in from files, told for a day, and amounts converted by them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import typer

from tongbao.core.config import Settings
from tongbao.core.errors import InvalidRequest
from tongbao.core.money import Money, Rounding, format_money
from tongbao.fx.schema import AGE_DAYS_LIMIT, AGE_DAYS_MAX, PIVOT, Conversion, ImportedFile, KnownRate, Rate
from tongbao.fx.service.importing import Importing
from tongbao.fx.service.rates import Rates
from tongbao.web.commands.at_desk import Actor, Json, actor_of, print_json, print_line, print_table, status
from tongbao.web.runtime import Runtime, open_runtime

Result = TypeVar("Result")
On = Annotated[
    datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="The last day published until then.")
]
AgeMax = Annotated[
    int, typer.Option("--age-days-max", min=0, max=AGE_DAYS_LIMIT, help="An older rate is refused.")
]
REFUSED_EXIT = 1

app = typer.Typer(no_args_is_help=True, help="Exchange: reference rates with their source and day.")


class _Told(NamedTuple):
    """A rate as machines read it."""

    source: str
    base: str
    quote: str
    rate: str
    asked_on: str
    published_on: str
    age_days: int
    numerator: str
    denominator: str


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="eurofxref-hist.csv, or the ZIP of it.")],
    by: Actor = None,
    as_json: Json = False,
) -> None:
    """Take in the reference rates of the European Central Bank. The same file again changes nothing.

    Exit 1 where some lines were refused; the others are kept.
    """
    actor = actor_of(by)
    with status("reading", hidden=as_json) as tell:

        async def work(runtime: Runtime) -> ImportedFile:
            importing = Importing(runtime.database, runtime.clock)
            return await importing.take(file, actor=actor, tell=lambda count: tell(f"{count:,} days read"))

        made = _at_rates(work)
    if as_json:
        print_json(made)
    else:
        _print_import(made)
    if made.refused_count:
        raise typer.Exit(REFUSED_EXIT)


@app.command("rates")
def rates(
    on: On = None,
    pair: Annotated[
        str | None, typer.Option("--pair", help="One pair, such as USD/CNY; all of the euro where left out.")
    ] = None,
    age_days_max: AgeMax = AGE_DAYS_MAX,
    as_json: Json = False,
) -> None:
    """Show rates by the last day published until a day: today's, unless said otherwise."""
    day = None if on is None else on.date()
    wanted = None if pair is None else _pair(pair)

    async def work(runtime: Runtime) -> list[Rate]:
        told = Rates(runtime.database, runtime.clock, runtime.metrics)
        if wanted is None:
            return await told.of_day(day, age_days_max=age_days_max)
        return [await told.rate(*wanted, day, age_days_max=age_days_max)]

    found = _at_rates(work)
    if as_json:
        print_json([_told(each)._asdict() for each in found])
        return
    rows = [
        (f"{each.base}/{each.quote}", each.text, str(each.published_on), f"{each.age_days}", each.source)
        for each in found
    ]
    print_table(("Pair", "Rate#", "Published for", "Days old#", "Source"), rows)


@app.command("convert")
def convert(
    amount: Annotated[int, typer.Argument(metavar="MINOR", help="Minor units: 1250 USD are $12.50.")],
    currency: Annotated[str, typer.Argument(metavar="CURRENCY", help="Code of ISO 4217: CNY, EUR, …")],
    to: Annotated[str, typer.Argument(metavar="TO", help="The currency wanted.")],
    on: On = None,
    rounding: Annotated[
        str, typer.Option("--rounding", help="half_even, half_up, half_down, up, down, ceiling or floor.")
    ] = "half_even",
    age_days_max: AgeMax = AGE_DAYS_MAX,
    as_json: Json = False,
) -> None:
    """Tell an amount in another currency: a quotation, nothing is held and nobody is bound by it."""
    way, day = _rounding(rounding), None if on is None else on.date()
    money = Money(amount, currency.upper())

    async def work(runtime: Runtime) -> Conversion:
        told = Rates(runtime.database, runtime.clock, runtime.metrics)
        return await told.convert(money, to.upper(), day, rounding=way, age_days_max=age_days_max)

    found = _at_rates(work)
    if as_json:
        own = {
            "amount_minor": found.amount_minor,
            "converted_minor": found.converted_minor,
            "rounding": found.rounding,
            "is_exact": found.is_exact,
        }
        print_json(own | {"rate": _told(found.rate)._asdict()})
        return
    rate = found.rate
    print_line(
        f"{format_money(money)} is {format_money(Money(found.converted_minor, rate.quote))} "
        f"at {rate.text} of {rate.published_on} ({rate.source}); not binding."
    )


@app.command("history")
def history(
    quote: Annotated[str, typer.Argument(metavar="CURRENCY", help="Against the euro.")],
    on: Annotated[datetime, typer.Argument(metavar="DAY", formats=["%Y-%m-%d"], help="2026-10-30.")],
    as_json: Json = False,
) -> None:
    """Show every revision of one rate of the euro, the newest first, with the file that brought it."""

    async def work(runtime: Runtime) -> list[KnownRate]:
        told = Rates(runtime.database, runtime.clock, runtime.metrics)
        return list(await told.revisions(quote.upper(), on.date()))

    found = _at_rates(work)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            str(each.revision),
            f"{each.rate:f}",
            f"{each.imported_at:%Y-%m-%d %H:%M:%S}",
            each.file_digest[:16],
        )
        for each in found
    ]
    print_table(("Revision#", f"{PIVOT}/{quote.upper()}#", "Imported (UTC)", "File"), rows)


def _at_rates(work: Callable[[Runtime], Awaitable[Result]]) -> Result:
    """Return what ``work`` makes of an open database."""

    async def opened() -> Result:
        async with contextlib.AsyncExitStack() as stack:
            runtime = await stack.enter_async_context(open_runtime(Settings.model_validate({})))
            return await work(runtime)

    return asyncio.run(opened())


def _pair(text: str) -> tuple[str, str]:
    base, slash, quote = text.upper().partition("/")
    if not slash or not base or not quote:
        raise InvalidRequest("rate_pair_incomplete", "a pair is written USD/CNY")
    return base, quote


def _rounding(name: str) -> Rounding:
    found = {each.name.lower(): each for each in Rounding}
    if name not in found:
        raise InvalidRequest("rounding_unknown", f"roundings are {', '.join(found)}")
    return found[name]


def _told(rate: Rate) -> _Told:
    return _Told(
        rate.source,
        rate.base,
        rate.quote,
        rate.text,
        str(rate.asked_on),
        str(rate.published_on),
        rate.age_days,
        str(rate.numerator),
        str(rate.denominator),
    )


def _print_import(made: ImportedFile) -> None:
    for line in made.refused:
        print_line(f"line {line.number}: {line.code}: {line.detail}", "yellow")
    if made.refused_count > len(made.refused):
        print_line(f"… and {made.refused_count - len(made.refused):,} more lines.", "yellow")
    again = "Taken in before; then: " if made.is_repeat else ""
    print_line(
        f"{again}{made.line_count:,} days, {made.first_on} to {made.last_on}: {made.new_count:,} rates new, "
        f"{made.same_count:,} known, {made.corrected_count:,} corrected, {made.missing_count:,} not available, "
        f"{made.refused_count:,} lines refused."
    )
    if made.withdrawn:
        print_line(f"Left out, since withdrawn: {', '.join(made.withdrawn)}.")
