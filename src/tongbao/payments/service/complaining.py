"""Complaining: a payer asks a merchant about a payment from their wallet, and the merchant answers.

At most one complaint about a payment is open: each begins with a new version of its intent, so that of two at once the second
sees the first. A refund that goes through ends an open one (``refunding``). Payers' acts take the wallet's book first, which
callers know from a payer's session; no id leads to anybody else's complaint.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from tongbao.channels.schema import Wallet
from tongbao.core.requests.asks import Ask
from tongbao.parties.schema import Scope
from tongbao.payments.errors import Missing
from tongbao.payments.policy import complaints
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.complaints import COMPLAINTS_MAX, Complaint, Said
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import Done, Page, PageOrder
from tongbao.payments.service.desk import Desk, Planned
from tongbao.payments.store import complaints as complaint_store
from tongbao.payments.store import documents as store

RECENT_MAX = 20


class Complaining:
    """The use cases around complaints."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def complain(self, wallet_book_id: int, book_id: int, attempt_id: UUID, said: Said) -> Complaint:
        """Complain about a payment that a wallet has paid.

        Raises Missing for any other payment, WrongState for what ``complaints.objection`` names, BadParameter.
        """
        complaint_id = self._desk.ids.uuid()

        async def plan() -> Planned:
            attempt = await self._desk.read(Attempt, book_id, attempt_id)
            if not (isinstance(attempt.method, Wallet) and attempt.method.book_id == wallet_book_id):
                raise Missing(Attempt.PREFIX, attempt_id)
            intent = await self._desk.read(Intent, book_id, attempt.intent_id)
            now = self._desk.clock.now()
            why_not = complaints.objection(attempt, await self._about(book_id, intent.id), now)
            if why_not is not None:
                raise why_not
            complaint = complaints.begun(attempt, said, wallet_book_id, complaint_id=complaint_id, now=now)
            change = self._desk.change(
                complaint,
                now,
                inserts=(complaint,),
                updates=(intent.changed(now, complaint_id=complaint.id),),
                events=(("complaint.created", complaint),),
            )
            return Planned(change, complaint)

        done: Done[Complaint] = await self._desk.decide(plan, reference="the complaint")
        assert done.view is not None
        return done.view

    async def withdraw(self, wallet_book_id: int, book_id: int, complaint_id: UUID) -> Complaint:
        """Take a complaint back, as its payer; raise Missing for any other, WrongState ``complaint_closed``."""

        async def plan() -> Planned:
            complaint = await self._desk.read(Complaint, book_id, complaint_id)
            if complaint.wallet_book_id != wallet_book_id:
                raise Missing(Complaint.PREFIX, complaint_id)
            now = self._desk.clock.now()
            return self._ended(complaints.withdrawn(complaint, now), now, None)

        done: Done[Complaint] = await self._desk.decide(plan, reference="the complaint")
        assert done.view is not None
        return done.view

    async def own(self, wallet_book_id: int, book_id: int, intent_id: UUID) -> list[Complaint]:
        """Return what the payer of a wallet has complained about one payment, newest first."""
        found = await self._about(book_id, intent_id)
        return [each for each in found if each.wallet_book_id == wallet_book_id]

    async def recent(self, wallet_book_id: int) -> list[Complaint]:
        """Return what the payer of a wallet has complained about lately, newest first, at most ``RECENT_MAX``."""
        async with self._desk.database.connection() as connection:
            return await complaint_store.of_wallet(connection, wallet_book_id, RECENT_MAX)

    def objection(self, attempt: Attempt, earlier: Sequence[Complaint]) -> str | None:
        """Return the code of why a payer cannot complain about a payment now; None where they can."""
        found = complaints.objection(attempt, earlier, self._desk.clock.now())
        return None if found is None else found.code

    async def get(self, scope: Scope, complaint_id: UUID) -> Complaint:
        """Return a complaint about a merchant's payment; raise Missing."""
        return await self._desk.read(Complaint, scope.book_id, complaint_id)

    async def page(self, scope: Scope, order: PageOrder) -> Page[Complaint]:
        """Return complaints about a merchant's payments, newest first; ``parent_id`` keeps those of one intent."""
        return await self._desk.page(Complaint, scope.book_id, order)

    async def answer(
        self, scope: Scope, complaint_id: UUID, words: str, *, ask: Ask | None = None
    ) -> Done[Complaint]:
        """Answer a complaint in words, which ends it; raise Missing, WrongState ``complaint_closed``, BadParameter."""

        async def plan() -> Planned:
            complaint = await self._desk.read(Complaint, scope.book_id, complaint_id)
            now = self._desk.clock.now()
            return self._ended(complaints.answered(complaint, words, scope.actor, now), now, ask)

        return await self._desk.decide(plan, reference="the complaint", asked=(scope.book_id, ask))

    def _ended(self, complaint: Complaint, now: datetime, ask: Ask | None) -> Planned:
        told: tuple[tuple[str, Document], ...] = (("complaint.closed", complaint),)
        change = self._desk.change(
            complaint, now, claim=ask, ask=ask, view=complaint, updates=(complaint,), events=told
        )
        return Planned(change, complaint)

    async def _about(self, book_id: int, intent_id: UUID) -> list[Complaint]:
        """Return all complaints about a payment, newest first; policy keeps them few."""
        async with self._desk.database.connection() as connection:
            return await store.children(connection, Complaint, book_id, intent_id, COMPLAINTS_MAX)
