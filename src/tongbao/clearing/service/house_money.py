"""Which ledger accounts reconciliation posts to: found once, opened where a book began without them, remembered."""

import asyncio

from tongbao.clearing.policy.house_postings import MerchantMoney, PlatformMoney
from tongbao.clearing.service.payout_books import PLATFORM_CODE, TEST_PLATFORM_CODE
from tongbao.core.ids import int_text
from tongbao.ledger.schema import AccountId, BookId, Side
from tongbao.ledger.service.ledger import Ledger

PLATFORM_TEMPLATE = "platform"
MERCHANT_TEMPLATE = "merchant"
CACHED_MAX = 50_000
_OF_PLATFORM = ("bank", "clearing", "suspense", "channel_cost", "write_offs")
_OF_MERCHANT = ("house_receivable", "channel_cost", "write_offs")


class HouseMoney:
    """The accounts of merchants and of the platform, which is one book for real money and one for test money. One object per process.

    Opens transactions of its own; they only add empty accounts, so they may be repeated.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._merchants: dict[tuple[int, str, str], MerchantMoney] = {}
        self._platform: dict[tuple[str, bool], PlatformMoney] = {}
        self._opening = asyncio.Lock()

    async def merchant(self, book_id: int, channel: str, currency: str) -> MerchantMoney:
        """Return the accounts of a merchant's book for one channel and currency."""
        known = self._merchants.get((book_id, channel, currency))
        if known is not None:
            return known
        async with self._opening:
            name = int_text("book", book_id)
            accounts = self._ledger.accounts
            await accounts.open_book(name, MERCHANT_TEMPLATE, name, (currency,), book_id=BookId(book_id))
            receivable = await accounts.open_account(
                BookId(book_id),
                f"channel_receivable/{channel}",
                currency,
                side=Side.DEBIT,
                name=f"Owed by {channel}",
            )
            found = await self._accounts(BookId(book_id), currency, _OF_MERCHANT)
            money = MerchantMoney(BookId(book_id), receivable.asset_id, receivable.account_id, *found)
            if len(self._merchants) >= CACHED_MAX:
                self._merchants.clear()
            self._merchants[(book_id, channel, currency)] = money
        return money

    async def platform(self, currency: str, *, live: bool) -> PlatformMoney:
        """Return the accounts of the platform's book in a currency; test money has a book of its own."""
        known = self._platform.get((currency, live))
        if known is not None:
            return known
        async with self._opening:
            accounts = self._ledger.accounts
            code = PLATFORM_CODE if live else TEST_PLATFORM_CODE
            book = await accounts.open_book(code, PLATFORM_TEMPLATE, "The platform's own funds", (currency,))
            asset = await accounts.asset(currency)
            found = await self._accounts(book.book_id, currency, _OF_PLATFORM)
            money = self._platform[(currency, live)] = PlatformMoney(book.book_id, asset.asset_id, *found)
        return money

    async def _accounts(self, book_id: BookId, currency: str, codes: tuple[str, ...]) -> list[AccountId]:
        found = [await self._ledger.accounts.account_by_code(book_id, code, currency) for code in codes]
        return [account.account_id for account in found]
