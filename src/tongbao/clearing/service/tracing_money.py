"""Where is my money: one answer for any id that a merchant has, over its own book alone.

What an id of another merchant names is not found, exactly as what nobody ever had.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from tongbao.clearing.policy import tracing as policy
from tongbao.clearing.schema.batches import BATCH_PREFIX, Batch
from tongbao.clearing.schema.bills import BillLine, MoneyState
from tongbao.clearing.schema.movements import MOVEMENT_PREFIX
from tongbao.clearing.schema.payouts import PAYOUT_PREFIX, Payout
from tongbao.clearing.schema.tracing import Next, Place, Stage, Trace, TraceStep
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.service.bills import Bills
from tongbao.clearing.store import batches as batch_store
from tongbao.clearing.store import bills as bill_store
from tongbao.clearing.store import payouts as payout_store
from tongbao.clearing.store import tracing as store
from tongbao.core.clock import EPOCH
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.core.ids import parse_uuid
from tongbao.parties.schema import Scope
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import IntentView
from tongbao.payments.schema.refunds import Dispute, Refund
from tongbao.payments.service.reading import Reading

ASKED_CHARS_MAX = 200
MOVEMENTS_MAX = 500
PAYOUTS_MAX = 100
LINES_MAX = 1_000
FOLLOWED_MAX = 50
"""Batches in a row that paid nothing."""
UTC_ZONE = "UTC"
_DOCUMENTS = {each.PREFIX: each for each in (Intent, Attempt, Refund, Dispute)}


class OwnReferences(Protocol):
    """Who knows payments by the merchant's own order numbers; see ``payments.service.intents``."""

    async def by_merchant_reference(self, scope: Scope, value: str) -> IntentView | None:
        """Return the intent of an order number; None where there is none."""
        ...


class _Found(NamedTuple):
    """What an id names: its kind, the movements of which money is told, and what is traced beside them."""

    kind: str
    movements: Sequence[UUID] = ()
    intent: Intent | None = None
    batch: Batch | None = None
    payout: Payout | None = None


class TracingMoney:
    """Answers where money is. One object per process; writes nothing."""

    def __init__(
        self,
        database: Database,
        agreements: Agreements,
        bills: Bills,
        reading: Reading,
        references: OwnReferences,
    ) -> None:
        self._database = database
        self._agreements = agreements
        self._bills = bills
        self._reading = reading
        self._references = references

    async def trace(self, scope: Scope, asked: str) -> Trace:
        """Return where the money is that an id names: ``pi_``, ``pa_``, ``re_``, ``dp_``, ``mv_``, ``bat_``, ``po_``, or an order number.

        Raises InvalidRequest ``trace_malformed`` for an empty or endless text, NotFound ``money_unknown``.
        """
        asked = asked.strip()
        if not 0 < len(asked) <= ASKED_CHARS_MAX:
            raise InvalidRequest("trace_malformed", f"ask for an id of 1 to {ASKED_CHARS_MAX} characters")
        found = await self._named(scope, asked)
        if found is None:
            raise NotFound(
                "money_unknown", "no payment, refund, movement, batch or payout of yours has this id"
            )
        if found.batch is not None:
            return await self._of_batch(scope, asked, found, found.batch)
        lines = await self._bills.lines(scope, found.movements) if found.movements else ()
        return await self._of_movements(scope, asked, found, lines)

    async def _named(self, scope: Scope, asked: str) -> _Found | None:
        """Return what an id names in the book of the scope; whatever has the form of no id of ours is an order number."""
        prefix = asked.rpartition("_")[0]
        finders: dict[str, Callable[[Scope, UUID], Awaitable[_Found | None]]] = {
            MOVEMENT_PREFIX: self._movement,
            BATCH_PREFIX: self._batch,
            PAYOUT_PREFIX: self._payout,
        }
        try:
            identity = parse_uuid(prefix, asked)
        except ValueError:
            identity = None
        if identity is not None and prefix in finders:
            return await finders[prefix](scope, identity)
        if identity is not None and prefix in _DOCUMENTS:
            return await self._document(scope, prefix, identity)
        view = await self._references.by_merchant_reference(scope, asked)
        return None if view is None else await self._intent(scope, view.intent)

    async def _movement(self, scope: Scope, movement_id: UUID) -> _Found | None:
        lines = await self._bills.lines(scope, [movement_id])
        return _Found("movement", [movement_id]) if lines else None

    async def _batch(self, scope: Scope, batch_id: UUID) -> _Found | None:
        async with self._database.connection() as connection:
            batch = await batch_store.one(connection, scope.book_id, batch_id)
        return None if batch is None else _Found("batch", batch=batch)

    async def _payout(self, scope: Scope, payout_id: UUID) -> _Found | None:
        async with self._database.connection() as connection:
            payout = await payout_store.one(connection, scope.book_id, payout_id)
            if payout is None:
                return None
            batch = await batch_store.one(connection, scope.book_id, payout.batch_id)
        return _Found("payout", batch=batch, payout=payout)

    async def _document(self, scope: Scope, prefix: str, identity: UUID) -> _Found | None:
        document = await self._reading.read(_DOCUMENTS[prefix], scope.book_id, identity)
        match document:
            case Intent():
                return await self._intent(scope, document)
            case Attempt() | Refund() | Dispute():
                kind = {Attempt: "attempt", Refund: "refund", Dispute: "dispute"}[type(document)]
                intent = await self._reading.read(Intent, scope.book_id, document.intent_id)
                movements = await self._movements(scope, document.intent_id, document.id)
                return _Found(kind, movements, intent=intent)
        return None

    async def _intent(self, scope: Scope, intent: Intent) -> _Found:
        return _Found("payment", await self._movements(scope, intent.id, None), intent=intent)

    async def _movements(self, scope: Scope, intent_id: UUID, source_id: UUID | None) -> list[UUID]:
        async with self._database.connection() as connection:
            return await store.movements_of(connection, scope.book_id, intent_id, source_id, MOVEMENTS_MAX)

    async def _of_movements(
        self, scope: Scope, asked: str, found: _Found, lines: Sequence[BillLine]
    ) -> Trace:
        ids = {line.where.batch_id for line in lines if line.where.batch_id is not None}
        batches, payouts = await self._batches(scope.book_id, sorted(ids))
        expected = [*(line.movement.id for line in lines), *(payout.id for payout in payouts)]
        async with self._database.connection() as connection:
            reported = await store.matched_lines(connection, expected, LINES_MAX)
        steps = policy.steps(lines, batches, payouts, reported)
        if found.intent is not None:
            steps = (_created(found.intent), *steps)
        seen = {line.expected_id for line in reported if line.is_bank}
        places = policy.places(lines, batches, seen) or _nothing_yet(found)
        followed = [await self._followed(place, batches) for place in places]
        return await self._answer(scope, asked, found.kind, steps, tuple(followed))

    async def _of_batch(self, scope: Scope, asked: str, found: _Found, batch: Batch) -> Trace:
        """Trace a batch or payout as one place: what it pays as a whole, not each of its movements."""
        _, payouts = await self._batches(batch.book_id, [batch.id])
        shown = [each for each in payouts if found.payout is None or each.id == found.payout.id]
        async with self._database.connection() as connection:
            reported = await store.matched_lines(connection, [each.id for each in shown], LINES_MAX)
            count, amount = await bill_store.sum_of_batch(connection, batch.book_id, batch.id)
        seen = {line.expected_id for line in reported}
        place = policy.place_of_batch(batch, payouts[-1] if payouts else None, seen)
        # What a batch took is known before it is priced; its totals are not.
        place = msgspec.structs.replace(place, amount_minor=amount, movement_count=count)
        followed = await self._followed(place, [batch])
        steps = policy.steps((), [batch], shown, reported)
        return await self._answer(scope, asked, found.kind, steps, (followed,))

    async def _answer(
        self, scope: Scope, asked: str, kind: str, steps: tuple[TraceStep, ...], places: tuple[Place, ...]
    ) -> Trace:
        zone = UTC_ZONE
        if places:
            now = max((step.at for step in steps if step.at is not None), default=EPOCH)
            zone = (await self._agreements.at(scope.book_id, places[0].currency, now)).agreement.zone
        told = policy.sentences(places, zone)
        return Trace(asked=asked, kind=kind, steps=steps, places=places, sentences=told)

    async def _followed(self, place: Place, batches: Sequence[Batch]) -> Place:
        """Return a place with the batch that took over what was carried on: the first that paid, or the newest."""
        batch = next((each for each in batches if each.id == place.batch_id), None)
        if place.state != MoneyState.CARRIED or batch is None:
            return place
        taken_over: Batch | None = None
        async with self._database.connection() as connection:
            for _ in range(FOLLOWED_MAX):
                following = await store.following(connection, taken_over or batch)
                later = following and await batch_store.one(connection, batch.book_id, following)
                if not later:
                    break
                taken_over = later
                if later.paid_minor:
                    break
        if taken_over is None:
            return place
        return msgspec.structs.replace(place, carried_to=taken_over.id, next_on=taken_over.payout_on)

    async def _batches(self, book_id: int, ids: Sequence[UUID]) -> tuple[list[Batch], list[Payout]]:
        """Return batches and their payouts, oldest first."""
        batches: list[Batch] = []
        payouts: list[Payout] = []
        async with self._database.connection() as connection:
            for batch_id in ids:
                batch = await batch_store.one(connection, book_id, batch_id)
                if batch is not None:
                    batches.append(batch)
                    payouts += await payout_store.of_batch(connection, book_id, batch_id, PAYOUTS_MAX)
        return batches, payouts


def _created(intent: Intent) -> TraceStep:
    facts = {"state": intent.state.value, "currency": intent.currency}
    if intent.merchant_reference:
        facts["merchant_reference"] = intent.merchant_reference
    return TraceStep(
        stage=Stage.CREATED,
        at=intent.created_at,
        reference=intent.reference,
        amount_minor=intent.amount_minor,
        facts=facts,
    )


def _nothing_yet(found: _Found) -> tuple[Place, ...]:
    """Return the place of a payment that moved nothing so far: not captured, or captured and not recorded yet."""
    intent = found.intent
    if intent is None or found.kind == "refund":
        return ()
    is_captured = intent.amount_received_minor > 0
    amount = intent.amount_received_minor if is_captured else intent.amount_minor
    place = Place(
        state=policy.PENDING if is_captured else policy.NOT_CAPTURED,
        currency=intent.currency,
        amount_minor=amount,
        net_minor=None,
        movement_count=0,
        next=Next.RECORD if is_captured else Next.CAPTURE,
    )
    return (place,)
