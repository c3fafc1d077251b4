"""Balances: read from the merchant's book, and never kept anywhere else.

Movements are read from the documents whose changes posted them; both stand in one commit, so neither knows of money
that the other does not.
"""

from datetime import timedelta
from uuid import UUID

from tongbao.core.errors import NotFound
from tongbao.ledger.errors import UnknownBook
from tongbao.ledger.schema import BookId
from tongbao.ledger.service.ledger import Ledger
from tongbao.parties.schema import Scope
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.balances import BalanceLine, BalanceTransaction
from tongbao.payments.schema.orders import Page, PageOrder
from tongbao.payments.schema.refunds import Dispute, Refund
from tongbao.payments.service.desk import PAGE_MAX, Desk
from tongbao.payments.store import documents as store

ACCOUNTS_MAX = 500
PENDING = timedelta(days=1)
"""Until settlement cuts its batches, money is taken to be payable the next day."""


class Balances:
    """Answers what a merchant has and why."""

    def __init__(self, desk: Desk, ledger: Ledger) -> None:
        self._desk = desk
        self._ledger = ledger

    async def balance(self, scope: Scope) -> list[BalanceLine]:
        """Return one line a currency, in order of its code; none before the first payment."""
        book_id = BookId(scope.book_id)
        lines: dict[str, BalanceLine] = {}
        try:
            pending = await self._ledger.accounts.accounts(book_id, below="in_transit", limit=ACCOUNTS_MAX)
            payable = await self._ledger.accounts.accounts(book_id, below="available", limit=ACCOUNTS_MAX)
        except UnknownBook:
            return []
        for account in (*pending, *payable):
            line = lines.get(account.asset) or BalanceLine(
                currency=account.asset, available_minor=0, pending_minor=0
            )
            is_payable = account.code.startswith("available")
            lines[account.asset] = BalanceLine(
                currency=account.asset,
                available_minor=line.available_minor + (account.posted_minor if is_payable else 0),
                pending_minor=line.pending_minor + (0 if is_payable else account.posted_minor),
            )
        return [lines[currency] for currency in sorted(lines)]

    async def get(self, scope: Scope, transaction_id: UUID) -> BalanceTransaction:
        """Return the movement of an attempt, refund or dispute; raise NotFound ``resource_missing``."""
        async with self._desk.database.connection() as connection:
            found = await store.movement(connection, scope.book_id, transaction_id)
        if found is None:
            raise NotFound("resource_missing", "No such balance transaction")
        return _movement(found)

    async def page(
        self, scope: Scope, order: PageOrder, *, kind: str | None = None, currency: str | None = None
    ) -> Page[BalanceTransaction]:
        """Return movements, newest first; ``kind`` is ``charge``, ``refund`` or ``adjustment``."""
        limit = max(1, min(order.limit, PAGE_MAX))
        async with self._desk.database.connection() as connection:
            found = await store.movements(
                connection,
                scope.book_id,
                kind=None if kind is None else _KIND_OF.get(kind, 0),
                currency=None if currency is None else currency.upper(),
                created_from=order.created_from,
                created_to=order.created_to,
                after=order.after,
                before=order.before,
                limit=limit + 1,
            )
        has_more = len(found) > limit
        if has_more:
            found = found[1:] if order.before is not None else found[:limit]
        return Page([_movement(each) for each in found], has_more)


_KIND_OF = {"charge": Attempt.KIND, "refund": Refund.KIND, "adjustment": Dispute.KIND}


def _movement(document: Attempt | Refund | Dispute) -> BalanceTransaction:
    match document:
        case Attempt():
            kind, amount, source = "charge", document.captured_minor, f"ch{document.reference[2:]}"
        case Refund():
            kind, amount, source = "refund", -document.amount_minor, document.reference
        case Dispute():
            kind, amount, source = "adjustment", -document.amount_minor, document.reference
    return BalanceTransaction(
        id=document.id,
        type=kind,
        amount_minor=amount,
        fee_minor=0,
        currency=document.currency,
        source=source,
        created_at=document.created_at,
        available_at=document.created_at + PENDING,
        is_available=False,
    )
