"""Charts of accounts: assets, books by template, accounts and virtual accounts, their states and limits."""

import contextlib
import hashlib
import re

import msgspec

from tongbao.core import currencies
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, InvalidRequest
from tongbao.core.ids import IdFactory
from tongbao.ledger import charts
from tongbao.ledger.errors import (
    AccountNotEmpty,
    AccountTaken,
    BookTaken,
    StripedAccount,
    UnknownAccount,
    UnknownAsset,
    UnknownBook,
)
from tongbao.ledger.schema import (
    ACCOUNT_CODE_CHARS_MAX,
    BALANCE_MINOR_MAX,
    STRIPE_COUNT,
    Account,
    AccountChange,
    AccountId,
    AccountState,
    Asset,
    Book,
    BookId,
    Side,
)
from tongbao.ledger.store import accounts as store

CUSTOM_ASSET_ID_MIN = 10_000
PAGE_SIZE_MAX = 500
UNCHANGED: int = -(2**63)
"""Stands for "leave this limit as it is" in ``change_account``; no limit can have this value."""

_ASSET_CODE = re.compile(r"[A-Z][A-Z0-9_.]{1,15}\Z")
_BOOK_CODE = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}\Z")
_ACCOUNT_CODE = re.compile(r"[a-z0-9_.:-]+(/[a-zA-Z0-9_.:-]+)*\Z")


class Accounts:
    """Opens and changes books and accounts. Every method opens its own transaction and may be repeated."""

    def __init__(self, database: Database, clock: Clock, ids: IdFactory) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids

    async def asset(self, code: str, scale: int | None = None) -> Asset:
        """Return the asset of this code, registering it on first use.

        ISO 4217 currencies need no scale; their id is the numeric code. Anything else (points, carbon) needs one.
        Raises UnknownAsset where it is neither registered nor given a scale, Conflict ``asset_taken`` where it is
        registered with another scale, InvalidRequest ``asset_code_invalid``.
        """
        async with self._database.transaction() as connection:
            found = await store.asset_by_code(connection, code)
            if found is None:
                found = _new_asset(code, scale)
                await store.insert_asset(connection, found)
                found = await store.asset_by_code(connection, code) or found
        if scale is not None and found.scale != scale:
            raise Conflict("asset_taken", f"asset {code} has scale {found.scale}, not {scale}", asset=code)
        return found

    async def open_book(
        self,
        code: str,
        template: str,
        name: str,
        assets: tuple[str, ...] = (),
        *,
        book_id: BookId | None = None,
    ) -> Book:
        """Open a book with its template's accounts in each asset; return it, also when it was open already.

        ``book_id`` is for rooms that name their books themselves. Raises BookTaken where the code belongs to a
        book of another template, or another number.
        """
        if not _BOOK_CODE.match(code):
            raise InvalidRequest(
                "book_code_invalid", "a book code is 1 to 64 of a-z, 0-9, _ . : -", book=code[:80]
            )
        specs = charts.template(template)
        known = [await self.asset(asset) for asset in assets]
        wanted = BookId(self._ids.int63()) if book_id is None else book_id
        book = Book(wanted, code, template, name, self._clock.now())
        async with self._database.transaction() as connection:
            if not await store.insert_book(connection, book):
                existing = await store.book_by_code(connection, code)
                if (
                    existing is None
                    or existing.template != template
                    or book_id not in (None, existing.book_id)
                ):
                    raise BookTaken(code)
                book = existing
            for asset in known:
                for spec in specs:
                    await self._open(connection, book.book_id, spec, asset)
        return book

    async def open_account(
        self,
        book_id: BookId,
        code: str,
        asset: str,
        *,
        side: Side = Side.CREDIT,
        name: str = "",
        floor_minor: int | None = None,
        ceiling_minor: int | None = None,
        striped: bool = False,
    ) -> Account:
        """Open an account, or return the one that has this code and asset already.

        A code is a path: ``available/store_12`` is a virtual account below ``available`` and counts in its
        roll-up. Limits are signed minor units of ``credits - debits``. Raises UnknownBook, AccountTaken where
        the existing account differs, StripedAccount for limits on a striped account.
        """
        if len(code) > ACCOUNT_CODE_CHARS_MAX or not _ACCOUNT_CODE.match(code):
            raise InvalidRequest(
                "account_code_invalid", "an account code is a path of names", account=code[:80]
            )
        if striped and (floor_minor is not None or ceiling_minor is not None):
            raise StripedAccount(code)
        _check_limits(code, floor_minor, ceiling_minor)
        known = await self.asset(asset)
        spec = charts.AccountSpec(code, name or code, side, floor_minor, ceiling_minor, striped)
        async with self._database.transaction() as connection:
            if await store.book_by_id(connection, book_id) is None:
                raise UnknownBook(book_id)
            account = await self._open(connection, book_id, spec, known)
        if (account.normal_side, account.striped) != (side, striped):
            raise AccountTaken(code)
        return account

    async def change_account(
        self,
        book_id: BookId,
        account_id: AccountId,
        *,
        actor: str,
        reason: str,
        state: AccountState | None = None,
        floor_minor: int | None = UNCHANGED,
        ceiling_minor: int | None = UNCHANGED,
    ) -> Account:
        """Change the state or the limits of an account, from the next transfer on, and keep the history.

        A floor may be raised above the balance: nothing more leaves until it is reached again. Raises
        UnknownAccount, AccountNotEmpty for closing with money or holds, StripedAccount for limits on a striped
        one, Conflict ``account_closed`` for changes to a closed one.
        """
        async with self._database.transaction() as connection:
            account = await self._account(connection, book_id, account_id)
            await store.lock_balance(connection, account)
            account = await self._account(connection, book_id, account_id)
            if account.state is AccountState.CLOSED:
                raise Conflict("account_closed", f"account {account.code} is closed for good")
            changed = msgspec.structs.replace(
                account,
                state=account.state if state is None else state,
                floor_minor=account.floor_minor if floor_minor == UNCHANGED else floor_minor,
                ceiling_minor=account.ceiling_minor if ceiling_minor == UNCHANGED else ceiling_minor,
            )
            _check_limits(changed.code, changed.floor_minor, changed.ceiling_minor)
            if changed.striped and (changed.floor_minor, changed.ceiling_minor) != (None, None):
                raise StripedAccount(account.code)
            held = account.debits_held_minor + account.credits_held_minor
            if changed.state is AccountState.CLOSED and (account.posted_minor or held):
                raise AccountNotEmpty(account.code, account.posted_minor, held)
            await store.set_state_and_limits(connection, changed)
            await store.insert_change(connection, changed, self._clock.now(), actor, reason)
        return changed

    async def book(self, code: str) -> Book:
        """Return the book of this code; raise UnknownBook."""
        async with self._database.connection() as connection:
            book = await store.book_by_code(connection, code)
        if book is None:
            raise UnknownBook(code)
        return book

    async def books(self, *, after: str = "", template: str | None = None, limit: int = 100) -> list[Book]:
        """Return books in order of code, at most 500 a call, beginning after the code ``after``."""
        async with self._database.connection() as connection:
            return await store.books(connection, after, template, _page_size(limit))

    async def account(self, book_id: BookId, account_id: AccountId) -> Account:
        """Return an account with its balance now; raise UnknownAccount."""
        async with self._database.connection() as connection:
            return await self._account(connection, book_id, account_id)

    async def account_by_code(self, book_id: BookId, code: str, asset: str) -> Account:
        """Return an account by its path and asset, with its balance now; raise UnknownAccount, UnknownAsset."""
        async with self._database.connection() as connection:
            known = await store.asset_by_code(connection, asset)
            if known is None:
                raise UnknownAsset(asset)
            account = await store.account_by_code(connection, book_id, code, known.asset_id)
        if account is None:
            raise UnknownAccount(f"{code} in {asset}")
        return account

    async def accounts(
        self,
        book_id: BookId,
        *,
        below: str | None = None,
        after: tuple[str, int] = ("", 0),
        limit: int = 100,
    ) -> list[Account]:
        """Return accounts with their balances now, by code and asset; ``below`` keeps one account and its tree.

        ``after``: code and asset id of the last account of the page before.
        """
        async with self._database.connection() as connection:
            return list(await store.accounts_of_book(connection, book_id, below, after, _page_size(limit)))

    async def changes(self, book_id: BookId, account_id: AccountId) -> list[AccountChange]:
        """Return the history of an account's states and limits, oldest first."""
        async with self._database.connection() as connection:
            return await store.changes(connection, book_id, account_id)

    async def _account(self, connection: Connection, book_id: BookId, account_id: AccountId) -> Account:
        account = await store.account_by_id(connection, book_id, account_id)
        if account is None:
            raise UnknownAccount(account_id)
        return account

    async def _open(
        self, connection: Connection, book_id: BookId, spec: charts.AccountSpec, asset: Asset
    ) -> Account:
        """Insert an account with its balance and first line of history, or return the existing one."""
        account = Account(
            book_id=book_id,
            account_id=AccountId(self._ids.int63()),
            code=spec.code,
            name=spec.name,
            asset_id=asset.asset_id,
            asset=asset.code,
            scale=asset.scale,
            normal_side=spec.side,
            striped=spec.striped,
            state=AccountState.OPEN,
            floor_minor=spec.floor_minor,
            ceiling_minor=spec.ceiling_minor,
            debits_minor=0,
            credits_minor=0,
            debits_held_minor=0,
            credits_held_minor=0,
        )
        now = self._clock.now()
        if await store.insert_account(connection, account, now):
            await store.insert_balance(connection, account, STRIPE_COUNT)
            await store.insert_change(connection, account, now, "ledger", "opened")
            return account
        existing = await store.account_by_code(connection, book_id, spec.code, asset.asset_id)
        if existing is None:
            raise UnknownAccount(spec.code)
        return existing


def _page_size(limit: int) -> int:
    return max(1, min(limit, PAGE_SIZE_MAX))


def _check_limits(code: str, floor_minor: int | None, ceiling_minor: int | None) -> None:
    """Raise InvalidRequest ``limit_out_of_range`` or ``limits_crossed`` where limits cannot be kept."""
    for limit in (floor_minor, ceiling_minor):
        if limit is not None and not -BALANCE_MINOR_MAX <= limit <= BALANCE_MINOR_MAX:
            raise InvalidRequest(
                "limit_out_of_range", f"a limit is at most {BALANCE_MINOR_MAX} away from 0", account=code
            )
    if floor_minor is not None and ceiling_minor is not None and floor_minor > ceiling_minor:
        raise InvalidRequest("limits_crossed", "the floor lies above the ceiling", account=code)


def _new_asset(code: str, scale: int | None) -> Asset:
    """Return the asset to register for a code: an ISO currency, or a custom one with an id from its name."""
    with contextlib.suppress(InvalidRequest):
        iso = currencies.currency(code)
        return Asset(int(iso.numeric), code, iso.exponent)
    if scale is None:
        raise UnknownAsset(code)
    if not _ASSET_CODE.match(code) or not 0 <= scale <= 18:
        raise InvalidRequest(
            "asset_code_invalid", "an asset is A-Z, 0-9, _ and . with a scale of 0 to 18", asset=code[:80]
        )
    digest = int.from_bytes(hashlib.sha256(code.encode()).digest()[:4], "big")
    return Asset(CUSTOM_ASSET_ID_MIN + digest % (2**31 - 1 - CUSTOM_ASSET_ID_MIN), code, scale)
