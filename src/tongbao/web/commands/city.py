"""``tongbao city``: a seeded city lived through the public interfaces, its plan written down, acted out again, reported."""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer
import uvloop
from rich import box
from rich.console import Console
from rich.table import Table

from tongbao.core.config import Settings
from tongbao.core.errors import InvalidRequest
from tongbao.core.logs import configure_logs
from tongbao.simulator.city import running_file, script
from tongbao.simulator.city.driving import LANES_MAX
from tongbao.simulator.city.planning import Acts, plan
from tongbao.simulator.city.report import LANGUAGES, report_lines
from tongbao.simulator.city.running_file import Outcomes
from tongbao.simulator.city.schema import CityTerms
from tongbao.web.city_folder import city_folder
from tongbao.web.city_house import city_settings
from tongbao.web.city_living import live_city
from tongbao.web.city_real import live_now
from tongbao.web.commands import city_purchases
from tongbao.web.commands.city_bar import shown_days
from tongbao.web.history_replay import How, check, replay_history

WRONG_EXIT, STOPPED_EXIT = 1, 130
HOME = Path(".tongbao/city")
BEGAN_ON = "2026-09-01"
PORT_MAX = 65_535
PURCHASE_LANES = 64
T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Live a seeded city through the public interfaces.")

Days = Annotated[int, typer.Option(help="Days to live, 1 to 400.")]
Seed = Annotated[int, typer.Option(help="Equal seeds make equal cities.")]
PayerCount = Annotated[int, typer.Option("--payers", help="People who live there.")]
ShopCount = Annotated[int, typer.Option("--shops", help="Shops.")]
VisitCount = Annotated[int, typer.Option("--visits", help="Visits of an ordinary day.")]
Fraud = Annotated[float, typer.Option(help="Share of visits that are fraud, 0 to 1.")]
Began = Annotated[str, typer.Option(help="The first day, YYYY-MM-DD.")]
Out = Annotated[Path | None, typer.Option(dir_okay=False, help="Write what became of every visit to a file.")]
Lanes = Annotated[
    int,
    typer.Option(min=1, max=LANES_MAX, help="Payments under way at once; only 1 is equal for equal seeds."),
]
Home = Annotated[Path, typer.Option(file_okay=False, help="Folder of the city's own data; emptied first.")]
Port = Annotated[int, typer.Option(min=0, max=PORT_MAX, help="Port of the interfaces; 0 takes a free one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print only a JSON object.")]
Lang = Annotated[str, typer.Option("--lang", help="Language of the report: en or zh.")]


@app.command("run")
def run(
    days: Days = 30,
    seed: Seed = 20,
    payers: PayerCount = 600,
    shops: ShopCount = 16,
    visits: VisitCount = 400,
    fraud: Fraud = 0.008,
    began: Began = BEGAN_ON,
    out: Out = None,
    lanes: Lanes = 1,
    real_time: Annotated[
        bool, typer.Option("--real-time", help="Live from now on at the machine's pace, until Ctrl-C.")
    ] = False,
    home: Home = HOME,
    port: Port = 0,
    lang: Lang = "en",
    as_json: AsJson = False,
) -> None:
    """Live a city from its first day to its last, as fast as this machine can, and say what it came to."""
    terms = _terms(seed, _date(began), days, (payers, shops, visits), fraud)
    console = Console(stderr=True, quiet=as_json, highlight=False)
    if real_time:
        with city_folder(home):
            _run(live_now(city_settings(home, port), terms, lambda text: console.print(text, soft_wrap=True)))
        return
    _live(terms, plan(terms), _Run(out, lanes, city_settings(home, port), lang, as_json), console)


@app.command("plan")
def write_plan(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The file to write.")],
    days: Days = 30,
    seed: Seed = 20,
    payers: PayerCount = 600,
    shops: ShopCount = 16,
    visits: VisitCount = 400,
    fraud: Fraud = 0.008,
    began: Began = BEGAN_ON,
) -> None:
    """Write the plan of a city, a line for every visit, for ``tongbao city replay``."""
    terms = _terms(seed, _date(began), days, (payers, shops, visits), fraud)
    _write(file, script.written(terms, plan(terms)))
    Console(stderr=True, highlight=False).print(f"{file}: {file.stat().st_size:,} bytes", soft_wrap=True)


@app.command("replay")
def replay(
    file: Annotated[
        Path, typer.Argument(help="A plan as `tongbao city plan` writes it, or purchases as CSV or Parquet.")
    ],
    kind: Annotated[
        str | None, typer.Option(help="plan or purchases; without it the file tells by itself.")
    ] = None,
    out: Out = None,
    lanes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Payments under way at once: of a plan 1 to {LANES_MAX}, 1 without it; of purchases 1 to 256, 64 without it.",
        ),
    ] = None,
    columns: Annotated[
        str, typer.Option(help="Purchases: what columns mean, customer=household_id,order=basket_id,…")
    ] = "",
    currency: Annotated[str, typer.Option(help="Purchases: the currency of the file.")] = "USD",
    zone: Annotated[str, typer.Option(help="Purchases: the zone of instants that name none.")] = "UTC",
    began: Annotated[
        str | None, typer.Option(help="Purchases: move the first day to this one, YYYY-MM-DD.")
    ] = None,
    orders: Annotated[int | None, typer.Option(min=1, help="Purchases: pay at most so many orders.")] = None,
    refused: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Purchases: where refused lines go; else NAME.refused.csv here."),
    ] = None,
    settle: Annotated[
        bool, typer.Option("--settle", help="Purchases: clear, settle and pay out every day; slower.")
    ] = False,
    seed: Seed = 20,
    home: Home = HOME,
    port: Port = 0,
    lang: Lang = "en",
    as_json: AsJson = False,
) -> None:
    """Act out a written plan, or pay the orders of a file of purchases, and say what it came to."""
    console = Console(stderr=True, quiet=as_json, highlight=False)
    settings = city_settings(home, port)
    if city_purchases.is_purchases(file, kind):
        if out is not None:
            raise InvalidRequest("city_out_of_a_plan", "--out is of a plan, not of purchases")
        how = How(
            settings=settings,
            lanes=PURCHASE_LANES if lanes is None else lanes,
            seed=seed,
            orders=orders,
            began_on=None if began is None else _date(began),
            settles=settle,
        )
        _pay(file, city_purchases.Options(columns, currency, zone, refused), how, console, as_json=as_json)
        return
    if lanes is not None and lanes > LANES_MAX:
        raise InvalidRequest("city_lanes_invalid", f"a plan is acted out over 1 to {LANES_MAX} lanes")
    with _opened(file) as lines:
        acts = script.read(lines)
    _live(acts.terms, acts, _Run(out, lanes or 1, settings, lang, as_json), console)


@app.command("report")
def report(
    file: Annotated[Path, typer.Argument(help="A file that `--out` has written.")],
    lang: Lang = "en",
    as_json: AsJson = False,
) -> None:
    """Say again what a city came to."""
    with _opened(file) as lines:
        found = running_file.read(lines)
    _tell(found, lang, as_json=as_json)


class _Run(msgspec.Struct, frozen=True):
    """How a city is lived."""

    out: Path | None
    lanes: int
    settings: Settings
    lang: str
    as_json: bool


def _live(terms: CityTerms, acts: Acts, how: _Run, console: Console) -> None:
    # What is refused is refused before a city is lived for minutes.
    _language(how.lang)
    if how.out is not None and not how.out.absolute().parent.is_dir():
        raise InvalidRequest("city_file_unwritable", f"there is no folder {how.out.absolute().parent}")
    with (
        city_folder(how.settings.data_dir),
        shown_days(console, terms, hidden=how.as_json) as bar,
    ):
        found = _run(live_city(how.settings, terms, acts, lanes=how.lanes, telling=bar))
    if how.out is not None:
        _write(how.out, running_file.written(found))
    _tell(found, how.lang, as_json=how.as_json)
    if not found.came_to.measured.is_balanced:
        raise typer.Exit(WRONG_EXIT)


def _pay(file: Path, options: city_purchases.Options, how: How, console: Console, *, as_json: bool) -> None:
    # What is refused is refused before a folder is made and a house is opened.
    check(how, city_purchases.understood(options).currency)
    with city_purchases.shown_history(console, hidden=as_json) as bar:
        history = city_purchases.taken(file, options, bar)
        bar.begin(min(len(history.orders), how.orders or len(history.orders)))
        with city_folder(how.settings.data_dir):
            found = _run(replay_history(file, history, how, bar.day))
    city_purchases.tell(found, city_purchases.refused_file(file, options), as_json=as_json)
    if not city_purchases.is_sound(found):
        raise typer.Exit(WRONG_EXIT)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; Ctrl-C closes everything in order."""
    # What a round could not do is counted and told at the end.
    configure_logs("ERROR", False)
    for chatty in ("sqlalchemy", "alembic", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    try:
        return uvloop.run(work)
    except (KeyboardInterrupt, asyncio.CancelledError):
        Console(stderr=True).print("Stopped; a city that was not lived to its end has no figures.")
        raise typer.Exit(STOPPED_EXIT) from None


def _tell(found: Outcomes, lang: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(found.came_to).decode())
        return
    table = Table(
        title=f"{found.terms.days} days from {found.terms.began_on}, seed {found.terms.seed}",
        box=box.SIMPLE,
        show_header=False,
        title_justify="left",
    )
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in report_lines(found.came_to.statistics, _language(lang)):
        table.add_row(name, text)
    measured = found.came_to.measured
    balanced = "balanced" if measured.is_balanced else "NOT BALANCED: see tongbao ledger verify"
    table.add_row("ledger", f"{balanced}, {measured.books} books proved")
    table.add_row(
        "speed",
        f"{measured.payments_per_s:,.1f} payments/s, {measured.seconds:,.1f} s, lanes {measured.lanes}",
    )
    for name, counts in (("acts refused", measured.acts_refused), ("rounds failed", measured.rounds_failed)):
        if counts:
            table.add_row(name, ", ".join(f"{what} × {count}" for what, count in counts.items()))
    Console(highlight=False).print(table)


def _language(lang: str) -> str:
    """Return the language of a report without its region; raise InvalidRequest ``locale_unknown``."""
    language = lang.partition("-")[0]
    if language not in LANGUAGES:
        raise InvalidRequest("locale_unknown", f"a report is in {' or '.join(LANGUAGES)}")
    return language


def _terms(seed: int, began_on: date, days: int, sizes: tuple[int, int, int], fraud: float) -> CityTerms:
    payers, shops, visits = sizes
    return CityTerms(
        seed=seed,
        began_on=began_on,
        days=days,
        payers=payers,
        shops=shops,
        visits_per_day=visits,
        fraud_share=fraud,
    )


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            "city_terms_invalid", f"{text[:40]!r} is no date; write it as 2026-09-01"
        ) from None


@contextmanager
def _opened(file: Path) -> Iterator[Iterator[bytes]]:
    try:
        with file.open("rb") as lines:
            yield iter(lines)
    except OSError as error:
        raise InvalidRequest("city_file_unreadable", f"{file}: {error.strerror}") from None


def _write(file: Path, lines: Iterator[bytes]) -> None:
    """Put a file in the place of an old one, whole or not at all."""
    draft = file.with_name(f".{file.name}.part")
    try:
        with draft.open("wb") as out:
            out.writelines(lines)
        draft.replace(file)
    except OSError as error:
        raise InvalidRequest("city_file_unwritable", f"{file}: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
