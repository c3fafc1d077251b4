"""What the explorer's pages show, gathered from the ledger and brought into the order of reading. No HTML here.

Amounts are shown on the natural side of an account (positive where an accountant expects it); the ledger's own
sign is credits minus debits.
"""

import asyncio
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

from tongbao.ledger.errors import UnknownAccount, UnknownBook
from tongbao.ledger.schema import (
    Account,
    AccountChange,
    AccountId,
    Book,
    BookId,
    Entry,
    HoldRow,
    House,
    JournalRow,
    Kind,
    RollUp,
    Side,
    StatementPage,
    TrialBalanceLine,
)
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import unbalanced
from tongbao.web import account_pages

SEALS_SHOWN = 8
BOOKS_SHOWN = 25
BOOKS_SEARCHED = 500
ACCOUNTS_SHOWN = 80
HOLDS_SHOWN = 40
LINES_SHOWN = 60
DEPTH_MAX = 6
OVERVIEW_S_MIN = 1.0
OVERVIEW_REST = 10
"""The overview rests ten times as long as it took: however large the house, it uses a tenth of a connection."""


class AssetTotals(NamedTuple):
    """The trial balance of the house in one asset, by template; ``more`` counts the lines that are left out."""

    asset: str
    scale: int
    groups: tuple[tuple[str, list[TrialBalanceLine]], ...]
    more: int
    debits_minor: int
    credits_minor: int


class Overview(NamedTuple):
    """The first page."""

    latest: House
    totals: tuple[AssetTotals, ...]
    differences: dict[str, int]


class BookList(NamedTuple):
    """Books that were asked for; ``after`` continues, None at the end."""

    books: tuple[Book, ...]
    after: str | None


class Node(NamedTuple):
    """A line of the account tree: an account, or a path under which several accounts stand.

    ``below_minor`` is the roll-up of the path, itself included, on the natural side; None without accounts below.
    """

    label: str
    depth: int
    account: Account | None
    below_minor: int | None
    below_count: int
    scale: int


class Tree(NamedTuple):
    """The accounts of a book in one asset."""

    asset: str
    nodes: tuple[Node, ...]


class Overviews:
    """Reads the overview once for all who look at the same moment."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = asyncio.Lock()
        self._found: Overview | None = None
        self._fresh_until = 0.0

    async def read(self) -> Overview:
        """Return the overview, at most about a second old, older where reading it takes long."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            began = loop.time()
            if self._found is None or began >= self._fresh_until:
                latest = await self._ledger.reading.house(SEALS_SHOWN)
                lines = await self._ledger.reading.trial_balance()
                self._found = Overview(latest, _totals(lines), unbalanced(lines))
                ended = loop.time()
                self._fresh_until = ended + max(OVERVIEW_S_MIN, OVERVIEW_REST * (ended - began))
            return self._found


async def find_books(ledger: Ledger, wanted: str, after: str) -> BookList:
    """Return books in order of code; ``wanted`` keeps codes that begin with it, or else contain it."""
    if not wanted:
        books = await ledger.accounts.books(after=after, limit=BOOKS_SHOWN + 1)
        return BookList(
            tuple(books[:BOOKS_SHOWN]), books[BOOKS_SHOWN - 1].code if len(books) > BOOKS_SHOWN else None
        )
    found: list[Book] = []
    try:
        found.append(await ledger.accounts.book(wanted))
    except UnknownBook:
        found.extend(
            book for book in await ledger.accounts.books(limit=BOOKS_SEARCHED) if wanted in book.code
        )
    following = await ledger.accounts.books(after=wanted, limit=BOOKS_SEARCHED)
    known = {book.code for book in found}
    found += [book for book in following if book.code.startswith(wanted) and book.code not in known]
    found.sort(key=lambda book: (not book.code.startswith(wanted), book.code))
    return BookList(tuple(found[:BOOKS_SHOWN]), None)


async def accounts_page(
    ledger: Ledger, book: Book, after: str
) -> tuple[list[Tree], list[Account], str | None]:
    """Return a page of accounts as trees by asset, the same as a list, and where the next page begins."""
    accounts = await account_pages.page(ledger.accounts, book.book_id, after=after, limit=ACCOUNTS_SHOWN)
    more = len(accounts) >= ACCOUNTS_SHOWN
    following = accounts[-1].code if more else None
    roll_ups: dict[tuple[str, str], RollUp] = {}
    if more or after:
        # A page of a larger chart cannot add up what it does not show.
        for code in sorted({account.code.partition("/")[0] for account in accounts if "/" in account.code})[
            :20
        ]:
            roll_ups |= {
                (code, line.asset): line for line in await ledger.reading.roll_up(book.book_id, code)
            }
    return trees(accounts, roll_ups, whole=not (more or after)), accounts, following


def trees(accounts: Iterable[Account], roll_ups: dict[tuple[str, str], RollUp], *, whole: bool) -> list[Tree]:
    """Return accounts as trees by asset. ``whole``: nothing is missing, so sums are made here."""
    by_asset: dict[str, dict[tuple[str, ...], Account]] = {}
    for account in accounts:
        by_asset.setdefault(account.asset, {})[tuple(account.code.split("/"))] = account
    return [Tree(asset, tuple(_nodes(asset, by_asset[asset], roll_ups, whole))) for asset in sorted(by_asset)]


async def named(ledger: Ledger, book_id: BookId, wanted: Iterable[AccountId]) -> dict[AccountId, Account]:
    """Return accounts by id; the few that do not exist are left out."""
    found: dict[AccountId, Account] = {}
    for account_id in dict.fromkeys(wanted):
        try:
            found[account_id] = await ledger.accounts.account(book_id, account_id)
        except UnknownAccount:
            continue
    return found


async def open_holds(
    ledger: Ledger, book: Book, known: list[Account]
) -> tuple[list[HoldRow], dict[AccountId, Account]]:
    """Return the newest open holds of a book and the accounts they name."""
    holds = await ledger.reading.holds(book.book_id, limit=HOLDS_SHOWN)
    accounts = {account.account_id: account for account in known}
    ids = [each for hold in holds for each in (hold.debit_account_id, hold.credit_account_id)]
    missing = await named(ledger, book.book_id, (each for each in ids if each not in accounts))
    return holds, accounts | missing


def balances(page: StatementPage) -> list[int]:
    """Return the natural balance after each sealed entry of a page, oldest first."""
    side = page.account.normal_side
    return [entry.balance_minor * side for entry in reversed(page.entries) if entry.balance_minor is not None]


class TransferView(NamedTuple):
    """One transfer with what stands around it."""

    row: JournalRow
    accounts: dict[AccountId, Account]
    members: list[JournalRow]
    original: JournalRow | None
    hold: HoldRow | None

    @property
    def asset(self) -> tuple[str, int]:
        """Code and scale of what was moved."""
        account = next(iter(self.accounts.values()), None)
        return ("", 0) if account is None else (account.asset, account.scale)


async def transfer_view(ledger: Ledger, book: Book, key: UUID) -> TransferView:
    """Return a transfer, its group, the row it refers to and the hold it is about."""
    row = await ledger.reading.transfer(book.book_id, key)
    members = [] if row.group_key is None else await ledger.reading.group(book.book_id, row.group_key)
    original = None if row.refers_to is None else await ledger.reading.transfer(book.book_id, row.refers_to)
    ids = [row.debit_account_id, row.credit_account_id]
    ids += [each for member in members for each in (member.debit_account_id, member.credit_account_id)]
    hold = None
    if row.kind is Kind.HOLD:
        newest = await ledger.reading.holds(book.book_id, open_only=False, limit=500)
        hold = next((each for each in newest if each.key == key), None)
    return TransferView(row, await named(ledger, book.book_id, ids), members, original, hold)


def limits(bounded: Account | AccountChange, side: Side) -> tuple[int | None, int | None]:
    """Return the least and the greatest balance on the natural side."""
    if side is Side.CREDIT:
        return bounded.floor_minor, bounded.ceiling_minor
    return _turned(bounded.ceiling_minor), _turned(bounded.floor_minor)


def reserved_change(entry: Entry) -> int:
    """Return by how much an entry raises (a hold) or lowers what is reserved on its account."""
    return abs(entry.held_delta_minor) * (1 if entry.kind is Kind.HOLD else -1)


def _turned(limit: int | None) -> int | None:
    return None if limit is None else -limit


def _rank(line: TrialBalanceLine) -> tuple[bool, str, str]:
    """Order lines by template, books without one last."""
    return line.book_code == "empty", line.book_code, line.account_code


def _totals(lines: list[TrialBalanceLine]) -> tuple[AssetTotals, ...]:
    by_asset: dict[str, list[TrialBalanceLine]] = {}
    for line in lines:
        by_asset.setdefault(line.asset, []).append(line)
    totals = []
    for asset, all_of_it in by_asset.items():
        moved = [line for line in all_of_it if line.debits_minor or line.credits_minor]
        moved.sort(key=_rank)
        totals.append(
            AssetTotals(
                asset,
                all_of_it[0].scale,
                tuple(
                    (name, list(lines))
                    for name, lines in groupby(moved[:LINES_SHOWN], lambda line: line.book_code)
                ),
                max(0, len(moved) - LINES_SHOWN),
                sum(line.debits_minor for line in all_of_it),
                sum(line.credits_minor for line in all_of_it),
            )
        )
    return tuple(totals)


def _nodes(
    asset: str, by_path: dict[tuple[str, ...], Account], roll_ups: dict[tuple[str, str], RollUp], whole: bool
) -> Iterable[Node]:
    """Yield the lines of a tree: every account, and every path at which two or more of them part."""
    below: dict[tuple[str, ...], list[Account]] = {}
    for path, account in by_path.items():
        for length in range(1, len(path)):
            below.setdefault(path[:length], []).append(account)
    parting = {path for path, found in below.items() if len(found) > 1 and _parts(path, below, by_path)}
    shown = sorted(by_path.keys() | parting)
    for path in shown:
        above = [
            length for length in range(1, len(path)) if path[:length] in by_path or path[:length] in parting
        ]
        own, under = by_path.get(path), below.get(path, [])
        side = (own or under[0]).normal_side
        total = None
        if under and whole:
            total = sum(each.posted_minor for each in ([own] if own else []) + under) * side
        elif len(path) == 1 and (line := roll_ups.get((path[0], asset))) is not None:
            total = line.posted_minor * side
        label = "/".join(path[above[-1] :] if above else path)
        yield Node(label, min(len(above), DEPTH_MAX), own, total, len(under), (own or under[0]).scale)


def _parts(
    path: tuple[str, ...],
    below: dict[tuple[str, ...], list[Account]],
    by_path: dict[tuple[str, ...], Account],
) -> bool:
    """Tell whether the accounts under a path do not all share one longer path."""
    longer = {account.code.split("/")[len(path)] for account in below[path]}
    return len(longer) > 1 or path in by_path or (*path, *longer) in by_path
