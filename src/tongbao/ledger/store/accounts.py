"""The SQL of charts: assets, books, accounts, their states and limits."""

from collections.abc import Sequence
from datetime import datetime

from tongbao.core.db import Connection
from tongbao.ledger.schema import (
    Account,
    AccountChange,
    AccountId,
    AccountState,
    Asset,
    Book,
    BookId,
    Side,
)

_ACCOUNT_COLUMNS = """
SELECT a.book_id, a.account_id, a.code, a.name, a.asset_id, s.code AS asset, s.scale, a.normal_side, a.striped,
    coalesce(b.state, p.state) AS state, b.floor_minor, b.ceiling_minor,
    coalesce(b.debits_minor, p.debits_minor) AS debits_minor,
    coalesce(b.credits_minor, p.credits_minor) AS credits_minor,
    coalesce(b.debits_held_minor, p.debits_held_minor) AS debits_held_minor,
    coalesce(b.credits_held_minor, p.credits_held_minor) AS credits_held_minor
FROM ledger.account AS a
JOIN ledger.asset AS s ON s.asset_id = a.asset_id
LEFT JOIN ledger.balance AS b ON b.book_id = a.book_id AND b.account_id = a.account_id
LEFT JOIN LATERAL (
    SELECT max(t.state) AS state, sum(t.debits_minor)::bigint AS debits_minor,
        sum(t.credits_minor)::bigint AS credits_minor, sum(t.debits_held_minor)::bigint AS debits_held_minor,
        sum(t.credits_held_minor)::bigint AS credits_held_minor
    FROM ledger.balance_stripe AS t
    WHERE t.book_id = a.book_id AND t.account_id = a.account_id
) AS p ON a.striped
"""

_ACCOUNT_BY_ID = _ACCOUNT_COLUMNS + "WHERE a.book_id = $1 AND a.account_id = $2"
_ACCOUNT_BY_CODE = _ACCOUNT_COLUMNS + "WHERE a.book_id = $1 AND a.code = $2 AND a.asset_id = $3"
_ACCOUNTS_OF_BOOK = (
    _ACCOUNT_COLUMNS
    + """WHERE a.book_id = $1 AND ($2::text IS NULL OR a.code = $2 OR a.code LIKE $3) AND (a.code, a.asset_id) > ($4, $5)
ORDER BY a.code, a.asset_id LIMIT $6"""
)

_INSERT_ACCOUNT = """
INSERT INTO ledger.account (book_id, account_id, asset_id, normal_side, striped, code, name, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (book_id, code, asset_id) DO NOTHING
"""

_INSERT_BALANCE = """
INSERT INTO ledger.balance (book_id, account_id, debits_minor, credits_minor, debits_held_minor, credits_held_minor,
    floor_minor, ceiling_minor, asset_id, state)
VALUES ($1, $2, 0, 0, 0, 0, $3, $4, $5, 0)
"""

_INSERT_STRIPES = """
INSERT INTO ledger.balance_stripe (book_id, account_id, stripe, debits_minor, credits_minor, debits_held_minor,
    credits_held_minor, asset_id, state)
SELECT $1, $2, n, 0, 0, 0, 0, $3, 0 FROM generate_series(0, $4 - 1) AS n
"""

_INSERT_CHANGE = """
INSERT INTO ledger.account_change (book_id, account_id, change_no, changed_at, state, floor_minor, ceiling_minor,
    actor, reason)
SELECT $1, $2, coalesce(max(c.change_no), 0) + 1, $3, $4, $5, $6, $7, $8
FROM ledger.account_change AS c WHERE c.book_id = $1 AND c.account_id = $2
"""

_CHANGES = """
SELECT change_no, changed_at, state, floor_minor, ceiling_minor, actor, reason
FROM ledger.account_change WHERE book_id = $1 AND account_id = $2 ORDER BY change_no
"""

_LOCK_BALANCE = "SELECT 1 FROM ledger.balance WHERE book_id = $1 AND account_id = $2 FOR NO KEY UPDATE"
_LOCK_STRIPES = """
SELECT 1 FROM ledger.balance_stripe WHERE book_id = $1 AND account_id = $2 ORDER BY stripe FOR NO KEY UPDATE
"""
_SET_BALANCE = """
UPDATE ledger.balance SET state = $3, floor_minor = $4, ceiling_minor = $5 WHERE book_id = $1 AND account_id = $2
"""
_SET_STRIPES = "UPDATE ledger.balance_stripe SET state = $3 WHERE book_id = $1 AND account_id = $2"

_BOOKS = """
SELECT book_id, code, template, name, created_at FROM ledger.book
WHERE code > $1 AND ($2::text IS NULL OR template = $2) ORDER BY code LIMIT $3
"""


async def insert_asset(connection: Connection, asset: Asset) -> None:
    """Register an asset; nothing happens where its id or code is taken."""
    await connection.execute(
        "INSERT INTO ledger.asset (asset_id, code, scale) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        asset.asset_id,
        asset.code,
        asset.scale,
    )


async def asset_by_code(connection: Connection, code: str) -> Asset | None:
    """Return a registered asset."""
    row = await connection.fetchrow("SELECT asset_id, code, scale FROM ledger.asset WHERE code = $1", code)
    return None if row is None else Asset(row["asset_id"], row["code"], row["scale"])


async def assets(connection: Connection) -> list[Asset]:
    """Return all registered assets, by code."""
    rows = await connection.fetch("SELECT asset_id, code, scale FROM ledger.asset ORDER BY code")
    return [Asset(row["asset_id"], row["code"], row["scale"]) for row in rows]


async def insert_book(connection: Connection, book: Book) -> bool:
    """Open a book; False where its code is taken."""
    status = await connection.execute(
        "INSERT INTO ledger.book (book_id, code, template, name, created_at) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (code) DO NOTHING",
        book.book_id,
        book.code,
        book.template,
        book.name,
        book.created_at,
    )
    return bool(status == "INSERT 0 1")


async def book_by_code(connection: Connection, code: str) -> Book | None:
    """Return the book of this code."""
    row = await connection.fetchrow(
        "SELECT book_id, code, template, name, created_at FROM ledger.book WHERE code = $1", code
    )
    return None if row is None else _book(row)


async def book_by_id(connection: Connection, book_id: BookId) -> Book | None:
    """Return the book of this id."""
    row = await connection.fetchrow(
        "SELECT book_id, code, template, name, created_at FROM ledger.book WHERE book_id = $1", book_id
    )
    return None if row is None else _book(row)


async def books(connection: Connection, after: str, template: str | None, limit: int) -> list[Book]:
    """Return books in order of code, beginning after ``after``."""
    return [_book(row) for row in await connection.fetch(_BOOKS, after, template, limit)]


async def insert_account(connection: Connection, account: Account, created_at: datetime) -> bool:
    """Open an account with its balance row or stripes; False where its code and asset are taken."""
    status = await connection.execute(
        _INSERT_ACCOUNT,
        account.book_id,
        account.account_id,
        account.asset_id,
        account.normal_side,
        account.striped,
        account.code,
        account.name,
        created_at,
    )
    return bool(status == "INSERT 0 1")


async def insert_balance(connection: Connection, account: Account, stripe_count: int) -> None:
    """Give a new account its balance row, or its stripes."""
    if account.striped:
        await connection.execute(
            _INSERT_STRIPES, account.book_id, account.account_id, account.asset_id, stripe_count
        )
    else:
        await connection.execute(
            _INSERT_BALANCE,
            account.book_id,
            account.account_id,
            account.floor_minor,
            account.ceiling_minor,
            account.asset_id,
        )


async def insert_change(
    connection: Connection, account: Account, at: datetime, actor: str, reason: str
) -> None:
    """Add a line to the account's history: its state and limits from now on."""
    await connection.execute(
        _INSERT_CHANGE,
        account.book_id,
        account.account_id,
        at,
        account.state,
        account.floor_minor,
        account.ceiling_minor,
        actor,
        reason,
    )


async def changes(connection: Connection, book_id: BookId, account_id: AccountId) -> list[AccountChange]:
    """Return the history of an account's states and limits, oldest first."""
    return [
        AccountChange(
            row["change_no"],
            row["changed_at"],
            AccountState(row["state"]),
            row["floor_minor"],
            row["ceiling_minor"],
            row["actor"],
            row["reason"],
        )
        for row in await connection.fetch(_CHANGES, book_id, account_id)
    ]


async def lock_balance(connection: Connection, account: Account) -> None:
    """Keep every poster out of this account until the caller's transaction ends."""
    await connection.execute(
        _LOCK_STRIPES if account.striped else _LOCK_BALANCE, account.book_id, account.account_id
    )


async def set_state_and_limits(connection: Connection, account: Account) -> None:
    """Write an account's state and limits where posters see them."""
    if account.striped:
        await connection.execute(_SET_STRIPES, account.book_id, account.account_id, account.state)
    else:
        await connection.execute(
            _SET_BALANCE,
            account.book_id,
            account.account_id,
            account.state,
            account.floor_minor,
            account.ceiling_minor,
        )


async def account_by_id(connection: Connection, book_id: BookId, account_id: AccountId) -> Account | None:
    """Return an account with its balance now."""
    row = await connection.fetchrow(_ACCOUNT_BY_ID, book_id, account_id)
    return None if row is None else _account(row)


async def account_by_code(
    connection: Connection, book_id: BookId, code: str, asset_id: int
) -> Account | None:
    """Return an account with its balance now."""
    row = await connection.fetchrow(_ACCOUNT_BY_CODE, book_id, code, asset_id)
    return None if row is None else _account(row)


async def accounts_of_book(
    connection: Connection, book_id: BookId, below: str | None, after: tuple[str, int], limit: int
) -> Sequence[Account]:
    """Return accounts by code; ``below`` keeps one account and everything under it."""
    pattern = None if below is None else _like(below) + "/%"
    rows = await connection.fetch(_ACCOUNTS_OF_BOOK, book_id, below, pattern, *after, limit)
    return [_account(row) for row in rows]


def _like(text: str) -> str:
    """Escape what LIKE would read as a pattern."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _book(row: Connection) -> Book:
    return Book(row["book_id"], row["code"], row["template"], row["name"], row["created_at"])


def _account(row: Connection) -> Account:
    return Account(
        book_id=row["book_id"],
        account_id=row["account_id"],
        code=row["code"],
        name=row["name"],
        asset_id=row["asset_id"],
        asset=row["asset"],
        scale=row["scale"],
        normal_side=Side(row["normal_side"]),
        striped=row["striped"],
        state=AccountState(row["state"]),
        floor_minor=row["floor_minor"],
        ceiling_minor=row["ceiling_minor"],
        debits_minor=row["debits_minor"],
        credits_minor=row["credits_minor"],
        debits_held_minor=row["debits_held_minor"],
        credits_held_minor=row["credits_held_minor"],
    )
