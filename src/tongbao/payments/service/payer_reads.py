"""What a payer may see of payments: those from the wallet whose book is given, at whichever merchant, and nothing else.

The ledger's statement of the wallet says what moved its money; documents of merchants' books say what it was for. Each read
takes the wallet's book first, which callers know from a payer's session, so that no id leads to anybody else's payment.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.core.db import Database
from tongbao.core.errors import NotFound
from tongbao.core.ids import derive, parse_uuid
from tongbao.ledger.schema import Account, BookId, Entry, Kind
from tongbao.ledger.service.ledger import Ledger
from tongbao.payments.errors import Missing
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.methods import Mandate
from tongbao.payments.schema.payer_reads import Movement, Movements, OwnPayment
from tongbao.payments.schema.refunds import Refund
from tongbao.payments.store import payer_reads as store

PAGE_SIZE = 500
PAGES_MAX = 20
ACCOUNTS_MAX = 50
METHODS_READ_MAX = 500
WAITING_MAX = 10
MANDATES_MAX = 100
REFUNDS_MAX = 50
_STEPS = {
    "pa": ("wallet",),
    "re": ("wallet",),
    "pi": ("top_up",),
    "wtr": ("wallet.sent", "wallet.received"),
}
"""From which step of what a reference names the key of its movement in the wallet's book derives."""


class Held(NamedTuple):
    """What is in a wallet in one currency, minor units: posted, and what of it is free."""

    currency: str
    posted_minor: int
    available_minor: int


class PayerReads:
    """Reads over one database and its ledger; stateless beside them. Opens connections of its own."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def balances(self, wallet_book_id: int) -> list[Held]:
        """Return what is in a wallet, currency by currency in alphabetical order; empty for a book that is none."""
        return [
            Held(each.asset, each.posted_minor, each.available_minor)
            for each in await self._accounts(wallet_book_id)
        ]

    async def movements(
        self, wallet_book_id: int, currency: str, from_at: datetime, to_at: datetime
    ) -> Movements:
        """Return what moved the money of a wallet in a half-open time, newest first; what is only held is not among it."""
        account = next(
            (each for each in await self._accounts(wallet_book_id) if each.asset == currency), None
        )
        if account is None:
            return Movements((), True)
        found: list[Entry] = []
        before: str | None = None
        for _ in range(PAGES_MAX):
            page = await self._ledger.reading.statement(
                account.book_id, account.account_id, before=before, limit=PAGE_SIZE
            )
            found += [
                each
                for each in page.entries
                if each.posted_delta_minor and from_at <= each.recorded_at < to_at
            ]
            before = page.next_before
            if before is None or page.entries[-1].recorded_at < from_at:
                return Movements(await self._told(account, found), True)
        return Movements(await self._told(account, found), False)

    async def movement(self, wallet_book_id: int, reference: str) -> Movement:
        """Return how one payment, refund, top-up or transfer moved the money of a wallet; raise NotFound ``movement_unknown``."""
        prefix = reference.rpartition("_")[0]
        try:
            subject = parse_uuid(prefix, reference)
        except ValueError:
            raise NotFound("movement_unknown", "there is no such line in this wallet") from None
        book_id = BookId(wallet_book_id)
        keys = [derive(subject, step) for step in _STEPS.get(prefix, ())]
        rows = await self._ledger.reading.transfers(book_id, keys)
        accounts = {each.account_id: each for each in await self._accounts(wallet_book_id)}
        for row in rows:
            own = accounts.get(row.credit_account_id) or accounts.get(row.debit_account_id)
            if own is not None:
                comes = row.credit_account_id == own.account_id
                return Movement(
                    key=row.key,
                    code=row.code,
                    reference=reference,
                    amount_minor=row.amount_minor if comes else -row.amount_minor,
                    currency=own.asset,
                    at=row.recorded_at,
                )
        raise NotFound("movement_unknown", "there is no such line in this wallet")

    async def payments(self, wallet_book_id: int, references: Sequence[str]) -> dict[str, OwnPayment]:
        """Return the payments behind references of attempts and refunds, by reference, without what was given back."""
        attempts = {each: parse_uuid("pa", each) for each in references if each.startswith("pa_")}
        given_back = {each: parse_uuid("re", each) for each in references if each.startswith("re_")}
        async with self._database.connection() as connection:
            refunds = {each.id: each for each in await store.refunds(connection, list(given_back.values()))}
            for name, refund_id in given_back.items():
                if refund_id in refunds:
                    attempts[name] = refunds[refund_id].attempt_id
            found = await store.payments(connection, wallet_book_id, list(set(attempts.values())))
        known = {attempt.id: OwnPayment(intent, attempt) for intent, attempt in found}
        return {name: known[attempt_id] for name, attempt_id in attempts.items() if attempt_id in known}

    async def payment(self, wallet_book_id: int, reference: str) -> OwnPayment | None:
        """Return the payment behind a reference of an attempt or refund, with what was given back; None for any other."""
        found = (await self.payments(wallet_book_id, [reference])).get(reference)
        return None if found is None else found._replace(refunds=tuple(await self._refunds(found)))

    async def intent(self, wallet_book_id: int, book_id: int, intent_id: UUID) -> Intent:
        """Return a payment of a merchant's book that is to be paid from a wallet; raise Missing for any other."""
        async with self._database.connection() as connection:
            found = await store.intent_of(connection, wallet_book_id, book_id, intent_id)
        if found is None:
            raise Missing(Intent.PREFIX, intent_id)
        return found

    async def waiting(self, wallet_book_id: int) -> list[Intent]:
        """Return the payments that wait for the payer of a wallet, newest first."""
        async with self._database.connection() as connection:
            return await store.waiting(connection, wallet_book_id, METHODS_READ_MAX, WAITING_MAX)

    async def mandates(self, wallet_book_id: int) -> list[Mandate]:
        """Return the mandates over a wallet, newest first, those that ended among them."""
        async with self._database.connection() as connection:
            return await store.mandates(connection, wallet_book_id, None, MANDATES_MAX)

    async def mandate(self, wallet_book_id: int, mandate_id: UUID) -> Mandate:
        """Return a mandate over a wallet; raise Missing for any other."""
        async with self._database.connection() as connection:
            found = await store.mandates(connection, wallet_book_id, mandate_id, 1)
        if not found:
            raise Missing(Mandate.PREFIX, mandate_id)
        return found[0]

    async def _accounts(self, wallet_book_id: int) -> list[Account]:
        found = await self._ledger.accounts.accounts(
            BookId(wallet_book_id), below="wallet", limit=ACCOUNTS_MAX
        )
        return sorted((each for each in found if each.code == "wallet"), key=lambda each: each.asset)

    async def _refunds(self, paid: OwnPayment) -> list[Refund]:
        async with self._database.connection() as connection:
            return await store.refunds_of(connection, paid.intent.book_id, paid.intent.id, REFUNDS_MAX)

    async def _told(self, account: Account, entries: Sequence[Entry]) -> tuple[Movement, ...]:
        """Return entries as movements; a capture is told by the payment whose hold it takes from."""
        captured = [each.key for each in entries if each.kind is Kind.CAPTURE]
        held = await self._held(account.book_id, captured)
        return tuple(
            Movement(
                key=each.key,
                code=each.code,
                reference=held.get(each.key, each.reference or ""),
                amount_minor=each.posted_delta_minor,
                currency=account.asset,
                at=each.recorded_at,
            )
            for each in entries
        )

    async def _held(self, book_id: BookId, captures: Sequence[UUID]) -> dict[UUID, str]:
        if not captures:
            return {}
        reading = self._ledger.reading
        rows = await reading.transfers(book_id, captures)
        holds = await reading.transfers(book_id, [each.refers_to for each in rows if each.refers_to])
        names = {each.key: each.reference or "" for each in holds}
        return {each.key: names[each.refers_to] for each in rows if each.refers_to in names}
