"""The part of ``tongbao city replay`` that replays a file of purchases: options understood, progress shown, figures told."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tongbao.core.amount_text import format_minor
from tongbao.core.errors import InvalidRequest
from tongbao.simulator.histories import columns, lines, reading
from tongbao.simulator.histories.taking_in import History, Wanted, take_in
from tongbao.web.history_replay import Figures

KINDS = ("plan", "purchases")
LINE_EVERY_DAYS = 30
"""Where there is no terminal, so often a line is printed."""


class Options(NamedTuple):
    """What is asked of a replay of purchases, as the command line gives it."""

    columns: str
    currency: str
    zone: str
    refused: Path | None


class Bar:
    """One line: what is done, and how far it is."""

    def __init__(self, bar: Progress, lines_to: Console | None) -> None:
        self._bar = bar
        self._lines_to = lines_to
        self._days = 0
        self._task = bar.add_task("history", total=None, text="reading the file")

    def read(self, count: int) -> None:
        """Show how many lines of the file were read."""
        self._bar.update(self._task, text=f"{count:,} lines read")

    def begin(self, payments: int) -> None:
        """Show that the house is opened, and expect so many payments."""
        self._bar.update(self._task, total=payments, completed=0, text="opening the house")
        self._say(f"History: {payments:,} orders to pay; opening the house")

    def day(self, day: date, payments: int) -> None:
        """Show the day and how many payments were made."""
        self._bar.update(self._task, completed=payments, text=f"{day}: {payments:,} payments")
        if self._days % LINE_EVERY_DAYS == 0:
            self._say(f"History: {day}, {payments:,} payments")
        self._days += 1

    def _say(self, text: str) -> None:
        if self._lines_to is not None:
            self._lines_to.print(text)


def is_purchases(file: Path, kind: str | None) -> bool:
    """Return whether a file is one of purchases: as it is called, or else as it looks.

    Raises InvalidRequest ``city_kind_unknown``.
    """
    if kind is not None and kind not in KINDS:
        raise InvalidRequest("city_kind_unknown", f"a file to replay is of the kind {' or '.join(KINDS)}")
    return reading.is_history(file) if kind is None else kind == "purchases"


def understood(options: Options) -> Wanted:
    """Return how a file should be read; raise InvalidRequest for an option that says nothing."""
    lines.zone_of(options.zone)
    return Wanted(options.currency.upper(), options.zone, columns.told(options.columns))


def refused_file(file: Path, options: Options) -> Path:
    """Return where refused lines are written: where an option says, or beside where the command is run."""
    return options.refused or Path(f"{file.stem}.refused.csv")


def taken(file: Path, options: Options, bar: Bar) -> History:
    """Take a file in."""
    return take_in(file, understood(options), refused_file(file, options), bar.read)


@contextmanager
def shown_history(console: Console, *, hidden: bool) -> Iterator[Bar]:
    """Show how far a replay is: a bar on a terminal, a line now and then elsewhere."""
    parts = (TextColumn("{task.fields[text]}"), BarColumn(bar_width=None), TimeElapsedColumn())
    off = hidden or not console.is_terminal
    with Progress(*parts, console=console, transient=True, disable=off) as bar:
        yield Bar(bar, console if off and not hidden else None)


def tell(found: Figures, refused: Path, *, as_json: bool) -> None:
    """Print what a replay came to."""
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _rows(found, refused):
        table.add_row(name, text)
    Console(highlight=False).print(table)


def is_sound(found: Figures) -> bool:
    """Return whether file and ledger are equal and the books are proved."""
    return found.equal and found.trial_balance_zero and found.seals_verified


def _rows(found: Figures, refused: Path) -> Iterator[tuple[str, str]]:
    yield (
        "orders",
        (
            f"{found.orders:,} of {found.customers:,} customers in {found.stores:,} stores; "
            f"{found.orders_empty:,} with nothing to pay, {found.orders_incomplete:,} incomplete"
        ),
    )
    yield "refused lines", f"{found.refused_lines:,}{f', see {refused}' if found.refused_lines else ''}"
    yield (
        "payments",
        (
            f"{found.payments:,}: {found.approved:,} approved, {found.declined:,} declined, {found.held:,} held, "
            f"{found.unresolved:,} unresolved; {found.refused:,} orders not taken"
        ),
    )
    yield "approval", "none" if found.approval is None else f"{found.approval:.1%}"
    yield (
        "speed",
        (
            f"{found.payments_per_s:,.1f} payments/s, {found.seconds:,.1f} s, lanes {found.lanes}, {found.days:,} days, "
            f"{found.house_cpu_ms:.1f} ms of a processor each"
        ),
    )
    if found.moved_days:
        yield "moved", f"by {found.moved_days:,} days"
    yield "file", format_minor(found.file_sum_minor, found.currency, "en")
    yield "ledger", format_minor(found.ledger_sum_minor, found.currency, "en")
    yield "equal", "yes" if found.equal else "NO: file and ledger differ"
    balance = "zero" if found.trial_balance_zero else "NOT ZERO"
    seals = "verified" if found.seals_verified else "NOT SOUND: see tongbao ledger verify"
    yield "books", f"trial balance {balance}, seals {seals}, {found.books:,} books proved"
    for name, counts in (("reasons", found.reasons), ("rounds failed", found.rounds_failed)):
        if counts:
            yield name, ", ".join(f"{what} × {count:,}" for what, count in counts.items())
