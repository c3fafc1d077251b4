"""``tongbao ledger``: read, prove and fill the books from the command line.

Every command opens the books by itself (``web.runtime``) and takes ``--json`` for machines: ids as their text,
amounts as whole minor units, instants in ISO 8601. Exit status: 0 done, 1 something is wrong with the books or
the file, 2 refused.
"""

import asyncio
import csv
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar
from uuid import UUID

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tongbao.core.config import Settings
from tongbao.ledger.errors import UnknownAccount
from tongbao.ledger.schema import (
    Account,
    AccountId,
    BalanceAt,
    Book,
    BookId,
    JournalRow,
    StatementPage,
    TrialBalanceLine,
)
from tongbao.ledger.service import importing
from tongbao.ledger.service.accounts import PAGE_SIZE_MAX
from tongbao.ledger.service.importing import Importing
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import Axis, unbalanced
from tongbao.ledger.service.verifying import Report
from tongbao.web import account_pages
from tongbao.web import ledger_inputs as inputs
from tongbao.web.api import ledger_models as models
from tongbao.web.commands import ledger_tables as tables
from tongbao.web.commands.import_bar import shown_progress
from tongbao.web.runtime import Runtime, open_runtime

WRONG_EXIT = 1
ACCOUNTS_LISTED_MAX = 5_000
BOOKS_LISTED_MAX = 10_000

Result = TypeVar("Result")
Json = Annotated[bool, typer.Option("--json", help="Print JSON: amounts in minor units, instants in UTC.")]
BookCode = Annotated[str, typer.Argument(metavar="BOOK", help="Code of the book.")]
AccountCode = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Code (path) of the account.")]
AssetCode = Annotated[str | None, typer.Option("--asset", help="Asset, where the code exists in several.")]

app = typer.Typer(no_args_is_help=True, help="Read, prove and fill the books.")
console = Console(highlight=False)


@app.command()
def books(
    template: Annotated[str | None, typer.Option("--template", help="Only books of this template.")] = None,
    as_json: Json = False,
) -> None:
    """List the books."""

    async def work(runtime: Runtime) -> list[Book]:
        found: list[Book] = []
        while len(found) < BOOKS_LISTED_MAX:
            after = found[-1].code if found else ""
            page = await runtime.ledger.accounts.books(after=after, template=template, limit=PAGE_SIZE_MAX)
            found.extend(page)
            if len(page) < PAGE_SIZE_MAX:
                break
        return found

    found = _run(work)
    if as_json:
        _print_models([models.Book.of(book) for book in found])
        return
    rows = [(book.code, book.template, book.name, tables.instant(book.created_at)) for book in found]
    console.print(_listing(("Book", "Template", "Name", "Opened (UTC)"), rows))
    if len(found) >= BOOKS_LISTED_MAX:
        console.print(f"The first {len(found):,} only.")


@app.command()
def accounts(
    book: BookCode,
    below: Annotated[str | None, typer.Option("--below", help="Only this account and its tree.")] = None,
    zero: Annotated[bool, typer.Option("--zero/--no-zero", help="With accounts that never moved.")] = True,
    as_json: Json = False,
) -> None:
    """Show the accounts of BOOK as a tree, with sums over virtual accounts."""

    async def work(runtime: Runtime) -> list[Account]:
        owner = await runtime.ledger.accounts.book(book)
        return await _all_accounts(runtime.ledger, owner.book_id, below)

    found = _run(work)
    whole = len(found) < ACCOUNTS_LISTED_MAX
    kept = [account for account in found if zero or _has_moved(account)]
    if as_json:
        _print_models([models.Account.of(account) for account in kept])
        return
    # Sums are made over everything, also over what is not shown.
    shown = {(account.code, account.asset) for account in kept}
    nodes = [node for node in tables.tree(found) if node.account is None or (node.code, node.asset) in shown]
    console.print(tables.accounts_table(node for node in nodes if whole or node.account is not None))
    hidden = len(found) - len(kept)
    if hidden:
        console.print(Text(f"{hidden:,} accounts that never moved are not shown", style="dim"))
    if not whole:
        console.print(f"The first {len(found):,} accounts only, without sums: narrow it with --below.")


@app.command()
def statement(
    book: BookCode,
    account: AccountCode,
    asset: AssetCode = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="Most entries to show.")] = 50,
    before: Annotated[str | None, typer.Option("--before", help="Continue where a page ended.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Json = False,
) -> None:
    """Show the entries of ACCOUNT in BOOK, newest first, with the balance after each."""

    async def work(runtime: Runtime) -> tuple[StatementPage, dict[AccountId, str]]:
        ledger = runtime.ledger
        owner = await ledger.accounts.book(book)
        found = await account_pages.named(ledger.accounts, owner.book_id, account, asset)
        page = await ledger.reading.statement(owner.book_id, found.account_id, before=before, limit=limit)
        others = {entry.other_account_id for entry in page.entries}
        names = {
            other: (await ledger.accounts.account(owner.book_id, other)).code for other in sorted(others)
        }
        return page, names

    page, names = _run(work)
    if as_json:
        _print_json(models.Statement.of(page).model_dump(mode="json"))
        return
    if as_csv:
        _print_csv(page, names)
        return
    found = page.account
    balance = tables.amount(found.natural_minor, found.scale)
    console.print(Text(f"{book} · {found.code} · {found.asset} {balance}", style="bold"))
    if not page.entries:
        console.print("No entries.")
        return
    console.print(tables.statement_table(page.entries, found, names))
    if page.next_before is not None:
        console.print(Text(f"older entries: --before {page.next_before}", style="dim"), soft_wrap=True)


@app.command()
def balance(
    book: BookCode,
    account: AccountCode,
    at: Annotated[str, typer.Option("--at", help="Instant, ISO 8601 with time zone.")],
    axis: Annotated[Axis, typer.Option("--axis", help="By time of recording or business time.")] = "recorded",
    asset: AssetCode = None,
    as_json: Json = False,
) -> None:
    """Show the balance of ACCOUNT as of an instant."""
    instant = inputs.instant(at)

    async def work(runtime: Runtime) -> tuple[Account, BalanceAt]:
        owner = await runtime.ledger.accounts.book(book)
        found = await account_pages.named(runtime.ledger.accounts, owner.book_id, account, asset)
        then = await runtime.ledger.reading.balance_at(owner.book_id, found.account_id, instant, axis=axis)
        return found, then

    found, then = _run(work)
    if as_json:
        _print_json(models.Balance.of(then, found, axis).model_dump(mode="json"))
        return
    shown = tables.amount(then.posted_minor * found.normal_side, found.scale)
    text = f"{found.code}: {found.asset} {shown}, {axis} by {tables.instant(instant)} UTC"
    console.print(Text(text), soft_wrap=True)


@app.command("trial-balance")
def trial_balance(
    book: Annotated[
        str | None, typer.Argument(metavar="[BOOK]", help="Code of a book; all books without.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show debits and credits of every account; exit with 1 where they differ."""

    async def work(runtime: Runtime) -> list[TrialBalanceLine]:
        book_id = None if book is None else (await runtime.ledger.accounts.book(book)).book_id
        return await runtime.ledger.reading.trial_balance(book_id)

    lines = _run(work)
    differences = unbalanced(lines)
    if as_json:
        _print_json(models.TrialBalance.of(lines).model_dump(mode="json"))
    else:
        scales = {line.asset: line.scale for line in lines}
        if lines:
            console.print(tables.trial_balance_table(lines))
        for asset, difference in differences.items():
            shown = tables.amount(difference, scales[asset])
            console.print(Text(f"NOT BALANCED in {asset}: debits minus credits {shown}", style="bold red"))
        if not differences:
            console.print(Text("balanced: debits equal credits in every asset", style="bold green"))
    if differences:
        raise typer.Exit(WRONG_EXIT)


@app.command()
def verify(
    book: Annotated[str | None, typer.Argument(metavar="[BOOK]", help="Code of a book.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every book.")] = False,
    expect: Annotated[
        str | None, typer.Option("--expect", help="A seal hash remembered from earlier.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Prove seals, rows, balances and holds against each other; exit with 1 where something is wrong."""
    if (book is None) is not every or (every and expect is not None):
        raise typer.BadParameter("name one book, or give --all; --expect goes with one book")
    expected = None if expect is None else inputs.seal_hash(expect)

    async def work(runtime: Runtime) -> list[Report]:
        ledger = runtime.ledger
        codes = [] if book is None else [book]
        while every:
            page = await ledger.accounts.books(after=codes[-1] if codes else "", limit=PAGE_SIZE_MAX)
            codes.extend(found.code for found in page)
            if len(page) < PAGE_SIZE_MAX:
                break
        reports = []
        with console.status("Verifying …") as status:
            for code in codes:
                status.update(f"Verifying {code} …")
                reports.append(await ledger.verifying.verify(code, expected_hash=expected))
        return reports

    reports = _run(work)
    sound = all(report.sound for report in reports)
    if as_json:
        rows = [
            msgspec.structs.asdict(r) | {"head_hash": r.head_hash.hex(), "sound": r.sound} for r in reports
        ]
        _print_json({"sound": sound, "books": rows})
    else:
        console.print(tables.reports_table(reports))
        if not sound:
            console.print()
            console.print(tables.findings_table(reports))
        console.print(Text("\nHead hashes; keep them outside of this machine for --expect:", style="dim"))
        for report in reports:
            console.print(f"{report.head_hash.hex()}  {report.book_code}", soft_wrap=True, markup=False)
    if not sound:
        raise typer.Exit(WRONG_EXIT)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV (UTF-8) or Parquet file of transfers.")],
    create_accounts: Annotated[
        bool,
        typer.Option("--create-accounts", help="Open unknown books and accounts (credit side, unlimited)."),
    ] = False,
    import_id: Annotated[
        UUID | None, typer.Option("--import-id", help="Keys come from this id instead of the file's content.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Post every line of FILE; exit with 1 where lines were refused. May be run again at any time."""

    async def work(runtime: Runtime) -> importing.ImportReport:
        run = Importing(runtime.ledger.accounts, runtime.ledger.posting)
        with shown_progress(console, hidden=as_json) as tell:
            return await run.import_file(
                file, create_accounts=create_accounts, import_id=import_id, on_progress=tell
            )

    report = _run(work)
    if as_json:
        _print_json(report)
    else:
        tables.print_import(console, report)
    if report.refused:
        raise typer.Exit(WRONG_EXIT)


@app.command()
def seal(as_json: Json = False) -> None:
    """Seal every finished transfer now."""

    async def work(runtime: Runtime) -> int:
        with console.status("Sealing …"):
            return await runtime.ledger.sealing.seal_all()

    count = _run(work)
    if as_json:
        _print_json({"sealed": count})
    else:
        console.print(f"{count:,} transfers sealed")


@app.command()
def transfer(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Id (tr_…) or UUID of the transfer.")],
    book: Annotated[str, typer.Option("--book", help="Code of the book.")],
    as_json: Json = False,
) -> None:
    """Show one transfer."""
    wanted = inputs.transfer_key(key)

    async def work(runtime: Runtime) -> tuple[JournalRow, Account, Account]:
        ledger = runtime.ledger
        owner = await ledger.accounts.book(book)
        row = await ledger.reading.transfer(owner.book_id, wanted)
        debit = await ledger.accounts.account(owner.book_id, row.debit_account_id)
        return row, debit, await ledger.accounts.account(owner.book_id, row.credit_account_id)

    row, debit, credit = _run(work)
    if as_json:
        _print_json(models.Transfer.of(row).model_dump(mode="json"))
    else:
        console.print(tables.facts_table(tables.transfer_facts(row, debit, credit)))


def _run(work: Callable[[Runtime], Awaitable[Result]]) -> Result:
    async def opened() -> Result:
        async with open_runtime(Settings.model_validate({})) as runtime:
            return await work(runtime)

    return asyncio.run(opened())


async def _all_accounts(ledger: Ledger, book_id: BookId, below: str | None) -> list[Account]:
    """Return the accounts of a book or a tree in it, at most ``ACCOUNTS_LISTED_MAX`` or a page more."""
    found: list[Account] = []
    while len(found) < ACCOUNTS_LISTED_MAX:
        after = found[-1].code if found else ""
        page = await account_pages.page(
            ledger.accounts, book_id, below=below, after=after, limit=PAGE_SIZE_MAX
        )
        found.extend(page)
        if len(page) < PAGE_SIZE_MAX:
            break
    if below is not None and not found:
        raise UnknownAccount(below)
    return found


def _has_moved(account: Account) -> bool:
    sums = (
        account.debits_minor,
        account.credits_minor,
        account.debits_held_minor,
        account.credits_held_minor,
    )
    return any(sums)


def _listing(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    table = tables.plain_table()
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _print_models(found: Sequence[models.Model]) -> None:
    _print_json([model.model_dump(mode="json") for model in found])


def _print_json(data: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(data, enc_hook=str)).decode())


def _print_csv(page: StatementPage, names: Mapping[AccountId, str]) -> None:
    """Print entries as CSV: amounts in minor units, credits positive."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    columns = [*models.Entry.model_fields, "other_account", "asset"]
    writer.writerow(columns)
    for entry in page.entries:
        row = models.Entry.of(entry).model_dump(mode="json")
        row |= {"other_account": names[entry.other_account_id], "asset": page.account.asset}
        writer.writerow("" if row[name] is None else row[name] for name in columns)
