"""The accounts that payouts post to: the merchant's, and those of the platform's own book, opened where they are missing."""

from tongbao.clearing.policy.payouts import Accounts
from tongbao.clearing.schema.payouts import Payout
from tongbao.ledger.errors import UnknownAccount
from tongbao.ledger.schema import Account, BookId, Side
from tongbao.ledger.service.ledger import Ledger

ACCOUNTS_CACHED_MAX = 50_000
PLATFORM_CODE = "platform"
TEST_PLATFORM_CODE = "platform-test"
"""Test money has a bank account of its own: it never meets the real one."""


class PayoutBooks:
    """Finds accounts, and remembers them. One object per process."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[tuple[int, str, bool], Accounts] = {}

    async def of(self, payout: Payout) -> Accounts:
        """Return the accounts that a payout posts to; transactions of its own."""
        return await self.of_money(payout.book_id, payout.currency, live=payout.live)

    async def of_money(self, book_id: int, currency: str, *, live: bool) -> Accounts:
        """Return the accounts of a book, currency and mode; transactions of its own."""
        key = (book_id, currency, live)
        if key not in self._known:
            if len(self._known) >= ACCOUNTS_CACHED_MAX:
                self._known.clear()
            self._known[key] = await self._found(BookId(book_id), currency, live=live)
        return self._known[key]

    async def _found(self, book_id: BookId, currency: str, *, live: bool) -> Accounts:
        code = PLATFORM_CODE if live else TEST_PLATFORM_CODE
        platform = await self._ledger.accounts.open_book(
            code, "platform", "The platform's own funds", (currency,)
        )
        available = await self._account(book_id, "available", currency, Side.CREDIT, 0)
        clearing = await self._account(book_id, "payout_clearing", currency, Side.CREDIT)
        receivable = await self._account(book_id, "house_receivable", currency, Side.DEBIT)
        between = await self._ledger.accounts.account_by_code(platform.book_id, "clearing", currency)
        bank = await self._ledger.accounts.account_by_code(platform.book_id, "bank", currency)
        return Accounts(
            book_id,
            platform.book_id,
            available.asset_id,
            available.account_id,
            clearing.account_id,
            receivable.account_id,
            between.account_id,
            bank.account_id,
        )

    async def _account(
        self, book_id: BookId, code: str, currency: str, side: Side, floor_minor: int | None = None
    ) -> Account:
        """Return an account as the chart of a merchant's book has it."""
        try:
            return await self._ledger.accounts.account_by_code(book_id, code, currency)
        except UnknownAccount:
            return await self._ledger.accounts.open_account(
                book_id, code, currency, side=side, floor_minor=floor_minor
            )
