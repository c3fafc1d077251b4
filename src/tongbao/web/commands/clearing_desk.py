"""The desk of clearing: what the commands around settlements, fees, payouts, reconciliation and days reach.

It stands over the database, beside the process that serves; that one's workers go on with whatever is done here.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, TypeVar

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from tongbao.clearing.service.house import ClearingHouse
from tongbao.core.config import Settings
from tongbao.core.http import HttpClient
from tongbao.core.ids import int_text
from tongbao.core.money import Money, format_money
from tongbao.ledger.schema import BOOK_PREFIX
from tongbao.parties.schema import Merchant, OperatorPermission
from tongbao.parties.service.access import operator_of_job
from tongbao.parties.service.parties import Parties
from tongbao.web.clearing_rooms import open_clearing, open_purse
from tongbao.web.commands.at_desk import console
from tongbao.web.runtime import Runtime, open_runtime

Result = TypeVar("Result")
DESK = operator_of_job("clearing_desk", frozenset({OperatorPermission.MERCHANTS_READ}))
BookCode = Annotated[str, typer.Argument(metavar="BOOK", help="Code of a merchant's book: book_…")]
MaybeBook = Annotated[str | None, typer.Option("--book", help="Only of this merchant's book, by its code.")]
CurrencyCode = Annotated[str, typer.Argument(metavar="CURRENCY", help="Code of ISO 4217: CNY, EUR, …")]


@dataclass(frozen=True)
class ClearingDesk:
    """Clearing over an open database, without the workers."""

    runtime: Runtime
    clearing: ClearingHouse
    parties: Parties

    async def book(self, code: str) -> int:
        """Return the number of a book by its code; raise NotFound."""
        return (await self.runtime.ledger.accounts.book(code)).book_id

    async def maybe_book(self, code: str | None) -> int | None:
        """Return the number of a book, where one is named; raise NotFound."""
        return None if code is None else await self.book(code)

    async def merchant(self, book_id: int) -> Merchant:
        """Return the merchant whose live or test book this is; raise NotFound."""
        return await self.parties.merchants.of_book(DESK, book_id)


@contextlib.asynccontextmanager
async def open_clearing_desk(settings: Settings) -> AsyncIterator[ClearingDesk]:
    """Open the database that ``settings`` name; raises what ``open_runtime`` and the banks' configuration raise."""
    async with contextlib.AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(open_runtime(settings))
        parties = await stack.enter_async_context(
            Parties(runtime.database, runtime.clock, runtime.ledger.ids)
        )
        http = HttpClient()
        stack.push_async_callback(http.close)
        secrets_dir = settings.vault_dir or settings.data_dir / "vault"
        purse = open_purse(settings, secrets_dir, http)
        clearing = await stack.enter_async_context(open_clearing(runtime, parties, purse))
        yield ClearingDesk(runtime, clearing, parties)


def at_clearing(work: Callable[[ClearingDesk], Awaitable[Result]]) -> Result:
    """Return what ``work`` makes of an open desk."""

    async def opened() -> Result:
        async with open_clearing_desk(Settings.model_validate({})) as desk:
            return await work(desk)

    return asyncio.run(opened())


@contextlib.contextmanager
def counted(what: str, *, hidden: bool) -> Iterator[Callable[[int], None]]:
    """Show how many lines of a file were read, and how fast; nothing is shown to machines."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[counts]}"))
    begun = time.perf_counter()
    off = hidden or not console.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=off) as bar:
        task = bar.add_task(what, total=None, counts="")

        def tell(lines: int) -> None:
            rate = lines / max(time.perf_counter() - begun, 0.001)
            bar.update(task, counts=f"{lines:,} lines, {rate:,.0f}/s")

        yield tell


@contextlib.contextmanager
def stepped(what: str, total: int, *, hidden: bool) -> Iterator[Callable[[str, int], None]]:
    """Show at which of ``total`` steps a long job is; yields what tells the name of a step and how many are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    off = hidden or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=off) as bar:
        task = bar.add_task(what, total=total)

        def tell(step: str, done: int) -> None:
            bar.update(task, description=f"{what}: {step}", completed=done)

        yield tell


def money(amount_minor: int | None, currency: str) -> str:
    """Return an amount for people; a dash where it is not known."""
    if amount_minor is None or not currency:
        return "–"
    return format_money(Money(amount_minor, currency))


def book_text(book_id: int | None) -> str:
    """Return a book's id for people; the house's where there is none."""
    return int_text(BOOK_PREFIX, book_id) if book_id else "house"
