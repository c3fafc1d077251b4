"""Which ledger accounts a payment posts to: found once, opened when they are first needed, remembered."""

import asyncio

from tongbao.core.clock import Clock
from tongbao.core.errors import NotFound
from tongbao.core.ids import int_text
from tongbao.ledger.schema import AccountId, BookId, Side
from tongbao.ledger.service.ledger import Ledger
from tongbao.payments.policy.postings import Money

CACHED_MAX = 50_000
MERCHANT_TEMPLATE = "merchant"
_IN_BOOK = ("in_transit", "refund_clearing", "dispute_reserve", "suspense")


class MoneyAccounts:
    """The accounts of a book by channel and currency. One object per process."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._known: dict[tuple[int, str, str], Money] = {}
        self._opening = asyncio.Lock()

    async def of(self, book_id: int, channel: str, currency: str) -> Money:
        """Return the accounts; open the book and what is missing of them on first use.

        Opens transactions of its own; they only add empty accounts, so they may be repeated.
        """
        known = self._known.get((book_id, channel, currency))
        if known is not None:
            return known
        async with self._opening:
            money = await self._open(BookId(book_id), channel, currency)
            if len(self._known) >= CACHED_MAX:
                self._known.clear()
            self._known[(book_id, channel, currency)] = money
            return money

    async def _open(self, book_id: BookId, channel: str, currency: str) -> Money:
        accounts = self._ledger.accounts
        name = int_text("book", book_id)
        await accounts.open_book(name, MERCHANT_TEMPLATE, name, (currency,), book_id=book_id)
        receivable = await accounts.open_account(
            book_id, f"channel_receivable/{channel}", currency, side=Side.DEBIT, name=f"Owed by {channel}"
        )
        found = {code: await self._account(book_id, code, currency) for code in _IN_BOOK}
        return Money(book_id=book_id, asset_id=receivable.asset_id, receivable=receivable.account_id, **found)

    async def _account(self, book_id: BookId, code: str, currency: str) -> AccountId:
        """Return an account of the template; open it where the book began with other currencies."""
        try:
            return (await self._ledger.accounts.account_by_code(book_id, code, currency)).account_id
        except NotFound:
            floor = 0 if code == "dispute_reserve" else None
            opened = await self._ledger.accounts.open_account(book_id, code, currency, floor_minor=floor)
            return opened.account_id
