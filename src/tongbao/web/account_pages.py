"""Accounts of a book as lists for people and programs: in pages that never cut an account code, and by name."""

from tongbao.core.errors import Conflict
from tongbao.ledger.errors import UnknownAccount
from tongbao.ledger.schema import ASSET_ID_MAX, Account, BookId
from tongbao.ledger.service.accounts import PAGE_SIZE_MAX, Accounts


async def page(
    accounts: Accounts, book_id: BookId, *, below: str | None = None, after: str = "", limit: int = 100
) -> list[Account]:
    """Return about ``limit`` accounts in order of code, continuing after the code ``after``.

    A code that stands at the end of the page is there in all its assets, so the page may be longer by those:
    the next page begins after a code and would pass over the rest.
    """
    found = await accounts.accounts(book_id, below=below, after=(after, ASSET_ID_MAX), limit=limit)
    if len(found) < min(limit, PAGE_SIZE_MAX):
        return found
    last = found[-1].code
    same = await _of_code(accounts, book_id, last)
    return [*(account for account in found if account.code != last), *same]


async def named(accounts: Accounts, book_id: BookId, code: str, asset: str | None) -> Account:
    """Return the account of a code; ``asset`` may be left out where the code stands for one account only.

    Raises UnknownAccount, UnknownAsset, Conflict ``asset_needed``.
    """
    if asset is not None:
        return await accounts.account_by_code(book_id, code, asset)
    found = await _of_code(accounts, book_id, code)
    if not found:
        raise UnknownAccount(code)
    if len(found) > 1:
        assets = ", ".join(account.asset for account in found)
        raise Conflict("asset_needed", f"account {code} exists in {assets}: say which", account=code)
    return found[0]


async def _of_code(accounts: Accounts, book_id: BookId, code: str) -> list[Account]:
    """Return the accounts of exactly this code: they stand before everything below it."""
    found = await accounts.accounts(book_id, below=code, limit=PAGE_SIZE_MAX)
    return [account for account in found if account.code == code]
