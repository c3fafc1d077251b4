"""Paying: approved batches become payouts, payouts go to banks, and what banks say brings them to their end.

Every step is one commit and finds by itself what is still to be done. A payout is on its way only once for its batch; it goes
out only in a message that was kept before; it ends only by the bank's word, or by a person before it was sent.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from tongbao.clearing.policy import payouts as policy
from tongbao.clearing.ports import Bank
from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.clearing.schema.payouts import Payout, PayoutState, Resolving
from tongbao.clearing.service.answers import Answers, Keep
from tongbao.clearing.service.destinations import Destinations
from tongbao.clearing.service.payout_moves import PayoutMoves, Said
from tongbao.clearing.service.sending import Sending
from tongbao.clearing.service.settling import DAY_AHEAD, Settling
from tongbao.clearing.store import batches
from tongbao.clearing.store import destinations as accounts
from tongbao.clearing.store import payouts as store
from tongbao.clearing.store.payouts import Address
from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest, InvariantBroken, NotFound
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger
from tongbao.payments.ports import SecretBox

ROUND_MAX = 200
PAGE_MAX = 100
OF_BATCH_MAX = 100
REMINDERS_MAX = 10
NOTE_CHARS_MAX = 500
ALARM_AFTER = timedelta(hours=24)
_log = structlog.get_logger(__name__)


class Paying:
    """Payouts from approved batches to their end. One object per process; any number of processes side by side.

    ``banks`` by name, the first that takes a currency and mode pays it. ``alarm_after``: so long may a payout be without an
    end before people are told, and again with every inquiry. ``collect_every``: so long this process leaves banks alone
    between two collections, however often it steps. ``keep``: takes statements that banks hand over to where they are reconciled.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        clock: Clock,
        ids: IdFactory,
        *,
        box: SecretBox,
        banks: Mapping[str, Bank],
        settling: Settling,
        destinations: Destinations,
        metrics: Metrics,
        alarm_after: timedelta = ALARM_AFTER,
        collect_every: timedelta = timedelta(0),
        keep: Keep | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._banks = banks
        self._alarm_after = alarm_after
        self._collect_every = collect_every
        self._collected_at: datetime | None = None
        self._destinations = destinations
        self._moves = PayoutMoves(database, ledger, clock, ids, settling, destinations, metrics)
        self.sending = Sending(database, clock, box, banks, destinations, self._moves)
        self.answers = Answers(database, clock, ids, box, banks, self._moves, metrics, keep=keep)
        self._stuck = metrics.counter(
            "clearing_payouts_waiting", "Batches that could not be paid yet", labels=("why",)
        )

    async def step(self) -> int:
        """Do everything that is due; return how many moves were made."""
        return (
            await self._destinations.step()
            + await self.create()
            + await self.sending.bundle()
            + await self.sending.dispatch()
            + await self._collect()
            + await self.watch()
        )

    async def create(self, book_id: int | None = None) -> int:
        """Make payouts of approved batches whose day has come, at most ``ROUND_MAX``; return how many.

        A batch without an account to pay to, without a bank, or without the money is counted, left and tried again.
        """
        today = (self._clock.now() + DAY_AHEAD).date()
        async with self._database.connection() as connection:
            waiting = await store.to_create(connection, today, book_id, ROUND_MAX)
        count = 0
        for place in waiting:
            try:
                why = await self._create(*place)
            except InvariantBroken as error:
                why = error.code
                _log.error("payout_stuck", batch=str(place[1]), code=error.code, detail=error.detail)
            if why:
                self._stuck.labels(why).inc()
            count += not why
        return count

    async def watch(self, book_id: int | None = None) -> int:
        """Look at payouts that should have come to an end, or to a statement; return how many were looked at.

        A silent bank makes a payout unresolved; its outcome is asked for by whatever the bank says next, never by paying
        again.
        """
        async with self._database.connection() as connection:
            due = await store.due(connection, self._clock.now(), book_id, ROUND_MAX)
        for address in due:
            await self._look(address)
        return len(due)

    async def cancel(self, book_id: int, payout_id: UUID, *, actor: str, note: str) -> Payout:
        """Take back a payout that was not sent; its batch has to be approved anew.

        Raises NotFound ``payout_unknown``, Conflict ``payout_state``, InvalidRequest ``note_missing``.
        """
        _check_note(note)
        payout = await self.get(book_id, payout_id)
        what = Said(PayoutState.CANCELED, message=note, actor=actor)
        if payout.state is not PayoutState.CREATED or not await self._moves.move(
            Address(book_id, payout_id), what
        ):
            raise Conflict("payout_state", f"{payout.reference} is on its way and cannot be canceled")
        return await self.get(book_id, payout_id)

    async def resolve(
        self, book_id: int, payout_id: UUID, state: PayoutState, *, actor: str, note: str
    ) -> Payout:
        """Say what became of an unresolved payout (``paid`` or ``rejected``), known from the bank by other ways.

        Nothing moves until a second person has said the same. What the bank says afterwards is compared, and contradicted
        with an alarm. Raises NotFound ``payout_unknown``; Conflict ``payout_state``; InvalidRequest ``note_missing``,
        ``resolution_invalid``; NotPermitted ``resolution_twice``.
        """
        _check_note(note)
        async with self._database.transaction() as connection:
            payout = await store.one(connection, book_id, payout_id, lock=True)
            if payout is None:
                raise _unknown(payout_id)
            wish = Resolving(state=state, actor=actor, note=note, at=self._clock.now())
            after = policy.resolving(payout, wish)
            if after is not None:
                await store.update(connection, [after])
                await self._moves.publish(connection, [after], alarm="resolution_proposed")
                return after
        await self._moves.move(Address(book_id, payout_id), Said(state, message=note, actor=actor))
        return await self.get(book_id, payout_id)

    async def get(self, book_id: int, payout_id: UUID) -> Payout:
        """Return a payout; raise NotFound ``payout_unknown``."""
        async with self._database.connection() as connection:
            payout = await store.one(connection, book_id, payout_id)
        if payout is None:
            raise _unknown(payout_id)
        return payout

    async def of_batch(self, book_id: int, batch_id: UUID) -> list[Payout]:
        """Return the payouts of a batch: those that failed and the one on its way, at most ``OF_BATCH_MAX``."""
        async with self._database.connection() as connection:
            return await store.of_batch(connection, book_id, batch_id, OF_BATCH_MAX)

    async def page(
        self,
        book_id: int,
        *,
        state: PayoutState | None = None,
        before: UUID | None = None,
        limit: int = PAGE_MAX,
    ) -> list[Payout]:
        """Return payouts of a book, newest first, at most ``PAGE_MAX``; ``before``: the last one of the page before."""
        async with self._database.connection() as connection:
            return await store.page(connection, book_id, state, before, max(1, min(limit, PAGE_MAX)))

    async def _collect(self) -> int:
        now = self._clock.now()
        if self._collected_at is not None and now - self._collected_at < self._collect_every:
            return 0
        self._collected_at = now
        return await self.answers.collect()

    async def _create(self, book_id: int, batch_id: UUID) -> str:
        """Make the next payout of a batch; return why that cannot be, or nothing."""
        async with self._database.connection() as connection:
            batch = await batches.one(connection, book_id, batch_id)
        if batch is None:
            return "gone"
        bank = self._bank_of(batch)
        if bank is None:
            return "no_bank"
        books = await self._moves.books.of_money(book_id, batch.currency, live=batch.live)
        async with AsyncExitStack() as turn, self._database.transaction() as connection:
            batch = await batches.one(connection, book_id, batch_id, lock=True)
            if batch is None or batch.state is not BatchState.APPROVED:
                return "moved"
            earlier = await store.of_batch(connection, book_id, batch_id, OF_BATCH_MAX)
            if any(each.state not in policy.ENDED for each in earlier):
                return "moved"
            usable = await accounts.active(connection, {(book_id, batch.currency)})
            if not usable:
                return "no_destination"
            to = usable[(book_id, batch.currency)].destination
            payout = self._payout(batch, bank, to.id, len(earlier))
            await self._moves.post(connection, turn, policy.created_transfers(payout, books))
            await store.insert(connection, payout)
            await self._moves.publish(connection, [payout])
        return ""

    def _payout(self, batch: Batch, bank: str, destination_id: UUID, number: int) -> Payout:
        now = self._clock.now()
        new_id = policy.payout_id(batch.id, number)
        return Payout(
            id=new_id,
            book_id=batch.book_id,
            live=batch.live,
            batch_id=batch.id,
            destination_id=destination_id,
            bank=bank,
            amount_minor=batch.paid_minor,
            currency=batch.currency,
            state=PayoutState.CREATED,
            end_to_end=policy.end_to_end_of(new_id),
            due_on=batch.payout_on,
            created_at=now,
            updated_at=now,
        )

    def _bank_of(self, batch: Batch) -> str | None:
        for name, bank in self._banks.items():
            terms = bank.terms
            if batch.currency in terms.currencies and (terms.live if batch.live else terms.test):
                return name
        return None

    async def _look(self, address: Address) -> None:
        """Ask again after one payout that is due: mark it, note when to look next, and tell people where it is time."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            payout = await store.one(connection, *address, lock=True)
            if payout is None or payout.due_at is None or payout.due_at > now:
                return
            count = payout.inquiry_count
            is_last = payout.state is PayoutState.PAID and count + 1 >= REMINDERS_MAX
            changes = {
                "inquiry_count": count + 1,
                "due_at": None if is_last else now + policy.inquiry_after(count),
            }
            if payout.state is PayoutState.SENT:
                after = policy.moved(payout, PayoutState.UNRESOLVED, now, **changes)
                await self._moves.publish(connection, [after])
            else:
                after = policy.touched(payout, now, **changes)
            await store.update(connection, [after])
            if payout.state is PayoutState.PAID:
                await self._moves.publish(connection, [after], alarm="not_on_statement")
            elif policy.is_overdue(after, self._alarm_after, now):
                await self._moves.publish(connection, [after], alarm="without_end")


def _check_note(note: str) -> None:
    if not 1 <= len(note.strip()) <= NOTE_CHARS_MAX:
        raise InvalidRequest("note_missing", f"say why in at most {NOTE_CHARS_MAX} characters")


def _unknown(payout_id: UUID) -> NotFound:
    return NotFound("payout_unknown", f"no payout {payout_id}")
