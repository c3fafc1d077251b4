"""What the commands around decisions, policies and routing share: opening the desk, times, who acts, output."""

import asyncio
import contextlib
import getpass
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tongbao.core.clock import RealClock
from tongbao.core.config import Settings
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.web import ledger_inputs
from tongbao.web.desk import Desk, open_desk

FILE_BYTES_MAX = 1_000_000
ACTOR_CHARS_MAX = 80
DEFAULT_SPAN = timedelta(days=7)

Result = TypeVar("Result")
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines: instants in UTC, shares of 1.")]
From = Annotated[
    str | None,
    typer.Option("--from", help="Begin: a day such as 2026-01-31 (UTC), or an instant. A week before --to."),
]
To = Annotated[str | None, typer.Option("--to", help="End, not included: a day or an instant. Now.")]
Actor = Annotated[
    str | None, typer.Option("--as", help="Who acts, for the audit trail; the user of this machine.")
]
Live = Annotated[bool, typer.Option("--live/--test", help="Payments with real money, or test payments.")]
Note = Annotated[str, typer.Option("--note", help="Why; kept in the audit trail.")]

console = Console(highlight=False)


def at_desk(work: Callable[[Desk], Awaitable[Result]]) -> Result:
    """Return what ``work`` makes of an open desk."""

    async def opened() -> Result:
        async with open_desk(Settings.model_validate({})) as desk:
            return await work(desk)

    return asyncio.run(opened())


@contextlib.contextmanager
def status(text: str, *, hidden: bool) -> Iterator[Callable[[str], None]]:
    """Show that something takes its time; yields what changes the text. Nothing is shown to machines."""
    if hidden or not console.is_terminal:
        yield lambda _text: None
        return
    with console.status(text) as shown:
        yield shown.update


def actor_of(given: str | None) -> str:
    """Return who acts; raise InvalidRequest ``actor_invalid`` for a name that nobody could be found by."""
    name = (getpass.getuser() if given is None else given).strip()
    if not 0 < len(name) <= ACTOR_CHARS_MAX or not name.isprintable():
        raise InvalidRequest("actor_invalid", f"who acts has a name of 1 to {ACTOR_CHARS_MAX} characters")
    return name


def span_of(from_text: str | None, to_text: str | None) -> tuple[datetime, datetime]:
    """Return a half-open time; raise InvalidRequest ``time_invalid`` for what is no day or instant, or runs backward."""
    end = RealClock().now() if to_text is None else _instant(to_text)
    begin = end - DEFAULT_SPAN if from_text is None else _instant(from_text)
    if begin >= end:
        raise InvalidRequest(
            "time_invalid", f"a time begins before it ends: {begin:%F %T} is not before {end:%F %T}"
        )
    return begin, end


def text_of(file: Path) -> str:
    """Return the text of a file; raise NotFound ``file_missing`` or InvalidRequest ``file_unreadable``."""
    try:
        raw = file.read_bytes()
    except FileNotFoundError as error:
        raise NotFound("file_missing", f"there is no file {file}", file=str(file)) from error
    except OSError as error:
        raise InvalidRequest("file_unreadable", f"{file} cannot be read: {error.strerror}") from error
    if len(raw) > FILE_BYTES_MAX:
        raise InvalidRequest("file_unreadable", f"{file} has more than {FILE_BYTES_MAX:,} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("file_unreadable", f"{file} is no text in UTF-8") from error


def print_json(data: object) -> None:
    """Print anything of ours as JSON."""
    typer.echo(msgspec.json.format(msgspec.json.encode(data, enc_hook=str)).decode())


def print_line(text: str, style: str = "") -> None:
    """Print a line that wraps as the terminal does, without reading anything into its signs."""
    console.print(Text(text, style=style), soft_wrap=True)


def print_table(names: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print rows below names; columns of numbers are those whose name ends with ``#``."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for name in names:
        table.add_column(name.rstrip("#"), justify="right" if name.endswith("#") else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def instant(at: datetime) -> str:
    """Return an instant to the second, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _instant(text: str) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return ledger_inputs.instant(text)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
