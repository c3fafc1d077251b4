"""Movements that people make, and their transfers, in the commit in which they are decided."""

from contextlib import AsyncExitStack

from tongbao.clearing.policy import hand_moves as policy
from tongbao.clearing.policy.closing import not_before
from tongbao.clearing.policy.cycles import cut_of
from tongbao.clearing.policy.hand_moves import HandMoney, HandMove
from tongbao.clearing.schema.movements import Movement
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.service.payout_books import PLATFORM_CODE, TEST_PLATFORM_CODE
from tongbao.clearing.service.recording import OpensAt
from tongbao.clearing.store import modes, movements
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import InvalidRequest, InvariantBroken, NotFound
from tongbao.ledger.errors import UnknownAccount, UnknownAsset
from tongbao.ledger.schema import AccountId, BookId, Side
from tongbao.ledger.service.ledger import Ledger


class HandMoves:
    """Writes what people decide. One object per process."""

    def __init__(
        self, database: Database, ledger: Ledger, clock: Clock, agreements: Agreements, opens_at: OpensAt
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._agreements = agreements
        self._opens_at = opens_at

    async def mode(self, book_id: int, currency: str, wanted: bool | None = None) -> bool:
        """Return whether a merchant's book is of real money, once it is known to have this currency.

        Raises NotFound ``book_unknown``, also for a book of another mode than ``wanted``; InvalidRequest
        ``currency_not_of_book``.
        """
        async with self._database.connection() as connection:
            live = await modes.of_book(connection, book_id)
        if live is None or wanted not in (None, live):
            raise NotFound("book_unknown", "no merchant has this book")
        try:
            await self._ledger.accounts.account_by_code(BookId(book_id), "in_transit", currency)
        except (UnknownAccount, UnknownAsset):
            raise InvalidRequest(
                "currency_not_of_book", f"this merchant has no money in {currency[:8]}", param="currency"
            ) from None
        return live

    async def money(self, book_id: int, currency: str, *, live: bool) -> HandMoney:
        """Return the accounts to post to, those opened that books began without; transactions of its own."""
        accounts, book = self._ledger.accounts, BookId(book_id)
        code = PLATFORM_CODE if live else TEST_PLATFORM_CODE
        platform = (
            await accounts.open_book(code, "platform", "The platform's own funds", (currency,))
        ).book_id
        waiting = await accounts.account_by_code(book, "in_transit", currency)
        agreed = await accounts.open_account(
            book, "adjustments", currency, side=Side.DEBIT, name="Agreed with the merchant beside payments"
        )
        held = await accounts.open_account(
            book, "house_receivable", currency, side=Side.DEBIT, name="Held by the house for the merchant"
        )
        lost = await accounts.open_account(
            platform, "bad_debts", currency, side=Side.DEBIT, name="Debts of merchants given up"
        )
        return HandMoney(
            book,
            platform,
            waiting.asset_id,
            waiting.account_id,
            agreed.account_id,
            held.account_id,
            await self._account(platform, "bank", currency),
            lost.account_id,
            await self._account(platform, "clearing", currency),
        )

    async def write(
        self, connection: Connection, turn: AsyncExitStack, move: HandMove, money: HandMoney
    ) -> Movement:
        """Write a movement and post its transfers; joins the transaction, ``turn`` is left after its commit.

        Raises InvariantBroken ``hand_move_refused``.
        """
        now = self._clock.now()
        terms = await self._agreements.terms(connection, (move.book_id,))
        agreement = terms.at(move.book_id, move.currency, now).agreement
        opens_at = await self._opens_at(connection)
        cut = not_before(agreement, cut_of(agreement, now, terms.known), opens_at, terms.known)
        made = policy.movement(move, now, cut)
        await movements.write(connection, [made])
        transfers = policy.transfers(move, money)
        posting = await turn.enter_async_context(self._ledger.posting.joining(transfers, exactly=True))
        for result in await posting.write(connection) or ():
            if not result.accepted:
                raise InvariantBroken(
                    "hand_move_refused",
                    f"the ledger refused {result.refusal}: {result.detail}",
                    id=move.ours,
                )
        return made

    async def _account(self, book_id: BookId, code: str, currency: str) -> AccountId:
        return (await self._ledger.accounts.account_by_code(book_id, code, currency)).account_id
