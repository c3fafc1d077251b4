"""Accounts by name, for imports: looked up once, opened where that is wished, remembered up to a limit."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from tongbao.core.errors import AppError, InvariantBroken, Unavailable
from tongbao.ledger import transfer_file
from tongbao.ledger.schema import Account, Book, BookId
from tongbao.ledger.service.accounts import Accounts
from tongbao.ledger.transfer_file import Name, Place, Problem

Found = TypeVar("Found")

NAMES_MAX = 200_000
"""Names remembered before the memory starts afresh."""
LOOKUPS_AT_ONCE = 4
EMPTY_TEMPLATE = "empty"


class AccountNames:
    """Finds accounts by name, opening those that are missing where that is wished; remembers the answers."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._books: dict[str, Book | Problem] = {}
        self.places: dict[Name, Place | Problem] = {}
        self.assets: dict[int, tuple[str, int]] = {}

    async def find(self, names: set[Name], *, create: bool) -> None:
        """Make sure that ``places`` answers for every name: with an account, or with why there is none."""
        missing = names - self.places.keys()
        if not missing:
            return
        if len(self.places) + len(missing) > NAMES_MAX:
            # The chunk being posted holds transfers, no names: forgetting them is safe.
            self.places, self._books = {}, {}
            missing = names
        for book in sorted({name[0] for name in missing} - self._books.keys()):
            self._books[book] = await self._answer(self._book(book, create=create))
        turns = asyncio.Semaphore(LOOKUPS_AT_ONCE)

        async def one(name: Name) -> None:
            async with turns:
                self.places[name] = await self._place(name, create=create)

        # In order, so that the same file opens the same accounts in the same order.
        await asyncio.gather(*(one(name) for name in sorted(missing)))

    async def _place(self, name: Name, *, create: bool) -> Place | Problem:
        book = self._books[name[0]]
        if isinstance(book, Problem):
            return book
        account = await self._answer(self._account(book.book_id, name, create=create))
        if isinstance(account, Problem):
            return account
        self.assets[account.asset_id] = (account.asset, account.scale)
        return Place(book.book_id, account.account_id, account.asset_id, account.scale)

    async def _book(self, code: str, *, create: bool) -> Book:
        try:
            return await self._accounts.book(code)
        except AppError:
            if not create:
                raise
        return await self._accounts.open_book(code, EMPTY_TEMPLATE, code)

    async def _account(self, book_id: BookId, name: Name, *, create: bool) -> Account:
        _, code, asset = name
        try:
            return await self._accounts.account_by_code(book_id, code, asset)
        except AppError:
            if not create:
                raise
        return await self._accounts.open_account(book_id, code, asset)

    @staticmethod
    async def _answer(asked: Awaitable[Found]) -> Found | Problem:
        """Return what was found, or the problem where the name can never be right; let failures of parties pass."""
        try:
            return await asked
        except (Unavailable, InvariantBroken):
            raise
        except AppError as error:
            return Problem(error.code, transfer_file.shown(error.detail))
