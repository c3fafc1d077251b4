"""Adjustments: proposed by one person, approved by others, posted with the last approval and in its commit."""

from contextlib import AsyncExitStack
from uuid import UUID

from tongbao.clearing.policy import adjustments as policy
from tongbao.clearing.schema.adjustments import Adjustment, AdjustmentOrder, AdjustmentState
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.service.hand_moves import HandMoves
from tongbao.clearing.store import adjustments as store
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, InvalidRequest, NotFound
from tongbao.core.ids import IdFactory
from tongbao.payments.schema.intents import Intent
from tongbao.payments.service.reading import Reading

PAGE_MAX = 100


class Adjustments:
    """Proposes, decides and lists adjustments. One object per process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        agreements: Agreements,
        moves: HandMoves,
        reading: Reading,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._agreements = agreements
        self._moves = moves
        self._reading = reading

    async def propose(self, order: AdjustmentOrder, *, actor: str, live: bool | None = None) -> Adjustment:
        """Propose to give a merchant money, or to take some; the same again under one reference is the first one.

        ``live``: the mode that the book must be of, None for any. Raises as ``policy.adjustments.check`` and ``check_reversal`` do; NotFound ``book_unknown``, ``adjustment_unknown``,
        ``payment_unknown``; InvalidRequest ``currency_not_of_book``; Conflict ``reference_used``, ``adjustment_reversed``.
        """
        policy.check(order)
        mode = await self._moves.mode(order.book_id, order.currency, live)
        await self._check_payment(order)
        now = self._clock.now()
        agreed = await self._agreements.at(order.book_id, order.currency, now)
        made = policy.proposed(
            order,
            self._ids.uuid(),
            now,
            actor,
            live=mode,
            needs_two=policy.is_above(order.amount_minor, agreed.agreement),
        )
        async with self._database.transaction() as connection:
            if order.reverses is not None:
                policy.check_reversal(order, await _locked(connection, order.book_id, order.reverses))
            if await store.insert(connection, made):
                return made
            return await self._first(connection, order)

    async def approve(
        self, adjustment_id: UUID, *, actor: str, note: str = "", seen_version: int | None = None
    ) -> Adjustment:
        """Approve an adjustment; with the last approval it is posted: state, movement and transfers in one commit.

        The same approval again changes nothing. Raises NotFound ``adjustment_unknown``; Conflict ``adjustment_state``,
        ``adjustment_changed``; NotPermitted ``four_eyes``, ``approval_twice``; InvalidRequest ``note_invalid``.
        """
        policy.check_note(note)
        known = await self.get(adjustment_id)
        order = known.order
        money = await self._moves.money(order.book_id, order.currency, live=known.live)
        async with AsyncExitStack() as turn, self._database.transaction() as connection:
            known = await _locked(connection, order.book_id, adjustment_id)
            if known.state is AdjustmentState.POSTED and known.approvals[-1] == actor:
                return known
            _check_seen(known, seen_version)
            after = policy.approved(known, self._clock.now(), actor, note)
            await store.update(connection, after)
            if after.state is AdjustmentState.POSTED:
                await self._moves.write(connection, turn, policy.move(after), money)
        return after

    async def decline(
        self, adjustment_id: UUID, *, actor: str, note: str = "", seen_version: int | None = None
    ) -> Adjustment:
        """Refuse an adjustment, or withdraw one's own. Raises as ``approve`` does, but for four eyes."""
        policy.check_note(note)
        known = await self.get(adjustment_id)
        async with self._database.transaction() as connection:
            known = await _locked(connection, known.order.book_id, adjustment_id)
            if known.state is AdjustmentState.DECLINED and known.history[-1].actor == actor:
                return known
            _check_seen(known, seen_version)
            after = policy.declined(known, self._clock.now(), actor, note)
            await store.update(connection, after)
        return after

    async def get(
        self, adjustment_id: UUID, book_id: int | None = None, *, live: bool | None = None
    ) -> Adjustment:
        """Return an adjustment, of one book or mode where they are given; raise NotFound ``adjustment_unknown``."""
        async with self._database.connection() as connection:
            owner = await store.book_of(connection, adjustment_id)
            found = None if owner is None else await store.one(connection, owner, adjustment_id)
        if found is None or book_id not in (None, found.order.book_id) or live not in (None, found.live):
            raise _unknown()
        return found

    async def page(
        self,
        *,
        book_id: int | None = None,
        state: AdjustmentState | None = None,
        before: UUID | None = None,
        live: bool | None = None,
        limit: int = PAGE_MAX,
    ) -> list[Adjustment]:
        """Return adjustments, of one book and mode or of all, newest first, at most ``PAGE_MAX + 1``."""
        async with self._database.connection() as connection:
            most = max(1, min(limit, PAGE_MAX + 1))
            return await store.page(connection, (book_id, live), state, before, most)

    async def _check_payment(self, order: AdjustmentOrder) -> None:
        if order.intent_id is None:
            return
        intent = await self._reading.read(Intent, order.book_id, order.intent_id)
        if intent is None:
            raise NotFound("payment_unknown", "this merchant has no such payment")
        if intent.currency != order.currency:
            raise InvalidRequest("currency_differs", f"the payment is in {intent.currency}", param="currency")

    async def _first(self, connection: Connection, order: AdjustmentOrder) -> Adjustment:
        """Return what was proposed before by the same words; raise Conflict for what stands in the way."""
        first = await store.by_reference(connection, order.book_id, order.reference)
        if first is not None and first.order == order:
            return first
        if first is not None:
            raise Conflict(
                "reference_used",
                f"{first.text_id} has this reference and says something else",
                id=first.text_id,
            )
        raise Conflict("adjustment_reversed", "this adjustment is taken back already, or is to be")


async def _locked(connection: Connection, book_id: int, adjustment_id: UUID) -> Adjustment:
    found = await store.one(connection, book_id, adjustment_id, lock=True)
    if found is None:
        raise _unknown()
    return found


def _check_seen(known: Adjustment, seen_version: int | None) -> None:
    if seen_version is not None and known.state is AdjustmentState.PROPOSED and known.version != seen_version:
        raise Conflict("adjustment_changed", f"{known.text_id} has changed; look at it again")


def _unknown() -> NotFound:
    return NotFound("adjustment_unknown", "there is no such adjustment")
