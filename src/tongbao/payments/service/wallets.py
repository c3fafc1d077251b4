"""Wallets: opened, topped up by payments, spent through the wallet channel, and paid from one to another.

A wallet is a book of the ledger. Its balance is read there and kept nowhere else; it cannot go below zero.
"""

from typing import NamedTuple

from tongbao.core.errors import NotFound
from tongbao.core.ids import derive, int_text
from tongbao.core.requests.asks import Ask
from tongbao.ledger.schema import Account, BookId, Refusal, Transfer
from tongbao.ledger.service.ledger import Ledger
from tongbao.parties.schema import Scope
from tongbao.payments.errors import BadParameter, WrongState
from tongbao.payments.policy import orders
from tongbao.payments.schema.checkout import WalletTransfer
from tongbao.payments.schema.orders import Done, Page, PageOrder
from tongbao.payments.service.desk import Desk, Planned

WALLET_TEMPLATE = "wallet"
NOTE_CHARS_MAX = 200


class Balance(NamedTuple):
    """What is in a wallet, minor units: posted, and what of it is not held for payments under way."""

    book_id: int
    currency: str
    posted_minor: int
    available_minor: int


class Wallets:
    """The use cases around wallets."""

    def __init__(self, desk: Desk, ledger: Ledger) -> None:
        self._desk = desk
        self._ledger = ledger

    async def open(self, book_id: int, currency: str) -> Balance:
        """Open a wallet in a currency, or return it where it is open already; raise BadParameter."""
        code = orders.known_currency(currency)
        name = int_text("wallet", book_id)
        await self._ledger.accounts.open_book(name, WALLET_TEMPLATE, name, (code,), book_id=BookId(book_id))
        return await self.balance(book_id, code)

    async def balance(self, book_id: int, currency: str) -> Balance:
        """Return the balance of a wallet; raise NotFound ``wallet_unknown``."""
        account = await self._account(book_id, "wallet", currency.upper())
        return Balance(book_id, account.asset, account.posted_minor, account.available_minor)

    async def pay(
        self,
        scope: Scope,
        from_book_id: int,
        to_book_id: int,
        amount_minor: int,
        currency: str,
        *,
        note: str | None = None,
        ask: Ask | None = None,
    ) -> Done[WalletTransfer]:
        """Move money from one wallet to another, both books in one commit. Idempotent by ``ask``.

        Raises NotFound ``wallet_unknown``, BadAmount, BadParameter, WrongState ``insufficient_funds``,
        ``wallet_closed`` or ``wallet_refused``.
        """
        code = orders.known_currency(currency)
        orders.check_amount(amount_minor, "amount")
        if from_book_id == to_book_id:
            raise BadParameter("parameter_invalid", "destination", "a wallet does not pay itself")
        if note is not None and len(note) > NOTE_CHARS_MAX:
            raise BadParameter("parameter_too_long", "note", f"at most {NOTE_CHARS_MAX} characters")
        now = self._desk.clock.now()
        paid = WalletTransfer(
            id=self._desk.ids.uuid(),
            book_id=scope.book_id,
            live=scope.live,
            created_at=now,
            updated_at=now,
            from_book_id=from_book_id,
            to_book_id=to_book_id,
            amount_minor=amount_minor,
            currency=code,
            note=note,
        )
        transfers = (
            await self._leg(paid, from_book_id, "wallet", "wallet_clearing", "wallet.sent"),
            await self._leg(paid, to_book_id, "wallet_clearing", "wallet", "wallet.received"),
        )

        async def plan() -> Planned:
            change = self._desk.change(
                paid,
                now,
                claim=ask,
                ask=ask,
                view=paid,
                inserts=(paid,),
                transfers=transfers,
                events=(("wallet_transfer.created", paid),),
            )
            return Planned(change, paid)

        return await self._desk.decide(plan, reference=paid.reference, refused=_refusal)

    async def page(self, scope: Scope, order: PageOrder) -> Page[WalletTransfer]:
        """Return transfers between wallets, newest first."""
        return await self._desk.page(WalletTransfer, scope.book_id, order)

    async def _leg(self, paid: WalletTransfer, book_id: int, debit: str, credit: str, code: str) -> Transfer:
        debited = await self._account(book_id, debit, paid.currency)
        credited = await self._account(book_id, credit, paid.currency)
        return Transfer(
            key=derive(paid.id, code),
            book_id=BookId(book_id),
            debit_account_id=debited.account_id,
            credit_account_id=credited.account_id,
            amount_minor=paid.amount_minor,
            asset_id=debited.asset_id,
            code=code,
            reference=paid.reference,
        )

    async def _account(self, book_id: int, code: str, currency: str) -> Account:
        try:
            return await self._ledger.accounts.account_by_code(BookId(book_id), code, currency)
        except NotFound as error:
            raise NotFound(
                "wallet_unknown", f"no wallet {int_text('wallet', book_id)} in {currency}"
            ) from error


def _refusal(refusal: Refusal, detail: str) -> WrongState:
    """Return what a refusal of the ledger means for whoever pays."""
    codes = {
        Refusal.BELOW_FLOOR: ("insufficient_funds", "the wallet has not enough"),
        Refusal.ACCOUNT_FROZEN: ("wallet_frozen", "the wallet is frozen"),
        Refusal.ACCOUNT_CLOSED: ("wallet_closed", "the wallet is closed"),
        Refusal.ABOVE_CEILING: ("wallet_full", "the receiving wallet would hold more than it may"),
    }
    return WrongState(*codes.get(refusal, ("wallet_refused", detail)))
