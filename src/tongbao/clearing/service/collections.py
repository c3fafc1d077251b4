"""Collections: merchants that owe are asked to pay; what comes is booked, what does not is given up by two people.

What comes, and what is given up, waits on ``in_transit`` like every movement, and the next batch nets it with the debt. So a
debt that sales have collected meanwhile is never collected twice: what was paid too much goes back with the payout.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from tongbao.clearing.policy import demands as policy
from tongbao.clearing.policy.adjustments import check_note
from tongbao.clearing.schema.demands import DebtAge, Debtor, Demand, DemandOrder, DemandState, Receipt
from tongbao.clearing.service.closing import HOUSE_ZONE
from tongbao.clearing.service.hand_moves import HandMoves
from tongbao.clearing.store import batches
from tongbao.clearing.store import demands as store
from tongbao.clearing.store.movements import Money
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, NotFound
from tongbao.core.ids import IdFactory

PAGE_MAX = 100
DEBTORS_MAX = 200
OpenDay = Callable[[Connection, date], Awaitable[date]]
"""Returns the day to which something of a day belongs, and keeps it so until the transaction ends; see ``Closing.open_day``."""


class Collections:
    """Demands and what comes of them. One object per process."""

    def __init__(
        self, database: Database, clock: Clock, ids: IdFactory, moves: HandMoves, open_day: OpenDay
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._moves = moves
        self._open_day = open_day
        self._zone = ZoneInfo(HOUSE_ZONE)

    async def demand(self, order: DemandOrder, *, actor: str, live: bool | None = None) -> Demand:
        """Ask a merchant to pay what it owes; the same again under one reference is the first one.

        ``live``: the mode that the book must be of, None for any. Raises as ``policy.demands.check`` does; NotFound ``book_unknown``; InvalidRequest ``currency_not_of_book``; Conflict
        ``reference_used``, ``debt_smaller`` where less is owed than is demanded.
        """
        policy.check(order, self._today())
        mode = await self._moves.mode(order.book_id, order.currency, live)
        money = Money(order.book_id, order.currency, mode)
        async with self._database.transaction() as connection:
            # Under the lock of the money, so that two demands never ask for the same debt.
            owed = await self._owed(connection, money)
            first = await store.by_reference(connection, order.book_id, order.reference)
            if first is not None:
                if first.order == order:
                    return first
                raise Conflict(
                    "reference_used",
                    f"{first.text_id} has this reference and says something else",
                    id=first.text_id,
                )
            demanded = await store.demanded(connection, money)
            policy.check_owed(order, owed, demanded)
            made = policy.made(order, self._ids.uuid(), self._clock.now(), actor, live=mode)
            await store.insert(connection, made)
        return made

    async def receive(
        self,
        demand_id: UUID,
        amount_minor: int,
        *,
        bank_reference: str,
        received_on: date,
        actor: str,
        note: str = "",
    ) -> tuple[Demand, Receipt]:
        """Book money that a merchant paid into the house's account; the same reference of the bank again changes nothing.

        Raises NotFound ``demand_unknown``; InvalidRequest ``amount_invalid``, ``bank_reference_invalid``, ``received_invalid``,
        ``amount_over_demand``, ``note_invalid``; Conflict ``day_closed``, ``demand_state``, ``demand_receipts_max``,
        ``bank_reference_used`` where it paid something else.
        """
        policy.check_amount(amount_minor)
        policy.check_receipt(bank_reference, received_on, self._today())
        check_note(note)
        known = await self.get(demand_id)
        money = await self._moves.money(known.order.book_id, known.order.currency, live=known.live)
        async with AsyncExitStack() as turn, self._database.transaction() as connection:
            known = await _locked(connection, known.order.book_id, demand_id)
            receipt = Receipt(
                id=policy.receipt_id(demand_id, bank_reference),
                book_id=known.order.book_id,
                demand_id=demand_id,
                bank_reference=bank_reference,
                currency=known.order.currency,
                amount_minor=amount_minor,
                received_on=received_on,
                actor=actor,
                recorded_at=self._clock.now(),
            )
            before = await store.receipt(connection, receipt.book_id, bank_reference)
            if before is not None:
                check_same(before, receipt)
                return known, before
            if await self._open_day(connection, received_on) != received_on:
                raise Conflict(
                    "day_closed",
                    f"{received_on} is closed: what comes late belongs to the day on which it comes",
                    on=str(received_on),
                )
            after = await self.book(connection, known, receipt, note)
            await self._moves.write(connection, turn, policy.paid_move(after, receipt), money)
        return after, receipt

    async def book(self, connection: Connection, known: Demand, receipt: Receipt, note: str) -> Demand:
        """Write a receipt and the next version of its locked demand; the caller writes the movement. Joins the transaction.

        Raises as ``policy.demands.received`` does; Conflict ``bank_reference_used``.
        """
        after = policy.received(known, receipt, note)
        if not await store.add_receipt(connection, receipt):
            raise Conflict("bank_reference_used", f"{receipt.bank_reference} is booked already")
        await store.update(connection, after)
        return after

    async def give_up(self, demand_id: UUID, *, actor: str, note: str) -> Demand:
        """Propose to write off what is left of a demand. Raises NotFound ``demand_unknown`` and as ``policy.demands.given_up`` does."""
        return await self._change(
            demand_id, lambda known: policy.given_up(known, self._clock.now(), actor, note)
        )

    async def keep(self, demand_id: UUID, *, actor: str, note: str = "") -> Demand:
        """Refuse a write-off, or withdraw one's own. Raises NotFound ``demand_unknown``, Conflict ``write_off_not_proposed``."""
        check_note(note)
        return await self._change(demand_id, lambda known: policy.kept(known, self._clock.now(), actor, note))

    async def cancel(self, demand_id: UUID, *, actor: str, note: str) -> Demand:
        """Take a demand back of which nothing came. Raises NotFound ``demand_unknown``, Conflict ``demand_state``."""
        return await self._change(
            demand_id, lambda known: policy.canceled(known, self._clock.now(), actor, note)
        )

    async def write_off(self, demand_id: UUID, *, actor: str, note: str = "") -> Demand:
        """Give up what is left of a demand, as the second person: state, movement and transfers in one commit.

        No more is lost than is still owed. Raises NotFound ``demand_unknown`` and as ``policy.demands.written_off`` does.
        """
        check_note(note)
        known = await self.get(demand_id)
        order = known.order
        money = await self._moves.money(order.book_id, order.currency, live=known.live)
        async with AsyncExitStack() as turn, self._database.transaction() as connection:
            # The money first and the demand after it, in the order of everybody who locks both.
            owed = await self._owed(connection, Money(order.book_id, order.currency, known.live))
            known = await _locked(connection, order.book_id, demand_id)
            if known.state is DemandState.WRITTEN_OFF and known.history[-1].actor == actor:
                return known
            after, lost_minor = policy.written_off(known, self._clock.now(), actor, note, owed)
            await store.update(connection, after)
            await self._moves.write(connection, turn, policy.lost_move(after, lost_minor), money)
        return after

    async def get(self, demand_id: UUID, book_id: int | None = None, *, live: bool | None = None) -> Demand:
        """Return a demand, of one book or mode where they are given; raise NotFound ``demand_unknown``."""
        async with self._database.connection() as connection:
            owner = await store.book_of(connection, demand_id)
            found = None if owner is None else await store.one(connection, owner, demand_id)
        if found is None or book_id not in (None, found.order.book_id) or live not in (None, found.live):
            raise unknown()
        return found

    async def receipts(self, of: Demand) -> list[Receipt]:
        """Return what came for a demand, oldest first."""
        async with self._database.connection() as connection:
            return await store.receipts(connection, of.order.book_id, of.id, len(of.history))

    async def page(
        self,
        *,
        book_id: int | None = None,
        state: DemandState | None = None,
        before: UUID | None = None,
        live: bool | None = None,
        limit: int = PAGE_MAX,
    ) -> list[Demand]:
        """Return demands, of one book and mode or of all, newest first, at most ``PAGE_MAX + 1``."""
        async with self._database.connection() as connection:
            most = max(1, min(limit, PAGE_MAX + 1))
            return await store.page(connection, (book_id, live), state, before, most)

    async def ages(self, book_id: int | None = None, *, live: bool | None = None) -> tuple[DebtAge, ...]:
        """Return what standing demands ask for by how long it is overdue today, of one book and mode or of all."""
        async with self._database.connection() as connection:
            return policy.ages(await store.ages(connection, self._today(), (book_id, live)))

    async def debtors(
        self, after: int | None = None, limit: int = DEBTORS_MAX, *, live: bool | None = None
    ) -> list[Debtor]:
        """Return who owes, of one mode or of both, in order of their books after one, at most ``DEBTORS_MAX``."""
        async with self._database.connection() as connection:
            return await store.debtors(connection, after, live, max(1, min(limit, DEBTORS_MAX)))

    async def _owed(self, connection: Connection, of: Money) -> int:
        """Return what is owed now, all that waits counted, and keep batches from changing it until the transaction ends."""
        await batches.be_patient(connection)
        position = await batches.await_position(connection, of)
        waiting = await store.waiting(connection, of)
        return max(0, -(position.carried_minor + waiting)) if position.carried_minor < 0 else 0

    async def _change(self, demand_id: UUID, change: Callable[[Demand], Demand]) -> Demand:
        known = await self.get(demand_id)
        async with self._database.transaction() as connection:
            after = change(await _locked(connection, known.order.book_id, demand_id))
            await store.update(connection, after)
        return after

    def _today(self) -> date:
        return self._clock.now().astimezone(self._zone).date()


def check_same(before: Receipt, now: Receipt) -> None:
    """Raise Conflict ``bank_reference_used`` where a reference of the bank paid something else before."""
    same = (before.demand_id, before.amount_minor, before.currency)
    if same != (now.demand_id, now.amount_minor, now.currency):
        raise Conflict(
            "bank_reference_used", f"{now.bank_reference} paid {before.amount_minor} {before.currency} before"
        )


async def _locked(connection: Connection, book_id: int, demand_id: UUID) -> Demand:
    found = await store.one(connection, book_id, demand_id, lock=True)
    if found is None:
        raise unknown()
    return found


def unknown() -> NotFound:
    """Return the error for a demand that is not there."""
    return NotFound("demand_unknown", "there is no such demand")
