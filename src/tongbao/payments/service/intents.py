"""Payment intents: made, changed, read, listed, searched; what collects them is in ``confirming`` and ``acting``."""

import contextlib
import secrets
from typing import NamedTuple
from uuid import UUID

from tongbao.core.ids import parse_uuid, uuid_text
from tongbao.core.requests.asks import Ask
from tongbao.ledger.schema import BookId, JournalRow
from tongbao.parties.schema import Scope
from tongbao.payments.errors import BadParameter, Missing
from tongbao.payments.policy import orders, postings, step_ups
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.changes import Reference, ReferenceKind
from tongbao.payments.schema.checkout import CheckoutSession
from tongbao.payments.schema.intents import CancelReason, Intent
from tongbao.payments.schema.methods import PaymentMethod
from tongbao.payments.schema.orders import (
    ConfirmOrder,
    Done,
    IntentChange,
    IntentOrder,
    IntentView,
    Page,
    PageOrder,
)
from tongbao.payments.schema.refunds import Dispute, Refund
from tongbao.payments.service.acting import Acting
from tongbao.payments.service.confirming import Confirming
from tongbao.payments.service.desk import Desk, Planned
from tongbao.payments.service.step_ups import abandon
from tongbao.payments.store import documents as store

ATTEMPTS_MAX = 100
SECRET_BYTES = 18
SEARCH_CHARS_MAX = 200


class Story(NamedTuple):
    """Everything that belongs to one intent, newest first, and its money in the order in which it was posted."""

    intent: Intent
    attempts: list[Attempt]
    refunds: list[Refund]
    disputes: list[Dispute]
    transfers: list[JournalRow]


class Intents:
    """The use cases around intents, as one object."""

    def __init__(self, desk: Desk, confirming: Confirming, acting: Acting) -> None:
        self._desk = desk
        self._confirming = confirming
        self._acting = acting

    async def create(self, scope: Scope, order: IntentOrder, *, ask: Ask | None = None) -> Done[IntentView]:
        """Make an intent, and collect it where the order says so. Idempotent by ``ask``.

        Raises BadAmount, BadParameter, ReferenceTaken, and what ``Confirming.confirm`` raises.
        """
        desk = self._desk
        intent_id = desk.ids.uuid()
        now = desk.clock.now()
        intent = orders.intent_from(
            order,
            intent_id=intent_id,
            book_id=scope.book_id,
            live=scope.live,
            client_secret=client_secret(Intent.PREFIX, intent_id),
            now=now,
        )
        if order.confirm is not None:
            return await self._confirming.create(intent, order, order.confirm, ask)
        method = await self._method(intent)
        view = IntentView(intent, None, method)
        change = desk.change(
            intent,
            now,
            claim=ask,
            ask=ask,
            view=view,
            inserts=(intent,),
            references=_references(intent),
            events=(("payment_intent.created", intent),),
        )

        async def plan() -> Planned:
            return Planned(change, view)

        return await desk.decide(plan, reference=intent.reference)

    async def confirm(
        self, scope: Scope, intent_id: UUID, order: ConfirmOrder, *, ask: Ask | None = None
    ) -> Done[IntentView]:
        """Collect an intent; see ``Confirming.confirm``."""
        return await self._confirming.confirm(scope, intent_id, order, ask)

    async def change(
        self, scope: Scope, intent_id: UUID, change: IntentChange, *, ask: Ask | None = None
    ) -> Done[IntentView]:
        """Change an intent before it is confirmed; its metadata and description at any time.

        One that waits for a proof of its payer and is changed in what that was for is to be confirmed anew. Raises Missing,
        BadParameter, BadAmount, WrongState.
        """
        waited: Intent | None = None

        async def plan() -> Planned:
            nonlocal waited
            before = await self._desk.read(Intent, scope.book_id, intent_id)
            now = self._desk.clock.now()
            attempt = await self._attempt(before)
            after = orders.changed_intent(before, change, now, attempt)
            is_over = step_ups.is_waiting(before, attempt) and not step_ups.is_waiting(after, attempt)
            waited = before if is_over else None
            view = IntentView(after, attempt, await self._method(after))
            written = self._desk.change(after, now, claim=ask, ask=ask, view=view, updates=(after,))
            return Planned(written, view)

        done = await self._desk.decide(
            plan, reference=uuid_text(Intent.PREFIX, intent_id), asked=(scope.book_id, ask)
        )
        if waited is not None:
            await abandon(self._desk, waited)
        return done

    async def capture(
        self,
        scope: Scope,
        intent_id: UUID,
        amount_minor: int | None = None,
        *,
        final: bool | None = None,
        ask: Ask | None = None,
    ) -> Done[IntentView]:
        """Capture all or part of an authorization; see ``Acting.capture``."""
        return await self._acting.capture(scope, intent_id, amount_minor, final=final, ask=ask)

    async def increment(
        self, scope: Scope, intent_id: UUID, total_minor: int, *, ask: Ask | None = None
    ) -> Done[IntentView]:
        """Raise an authorization to a new total; see ``Acting.increment``."""
        return await self._acting.increment(scope, intent_id, total_minor, ask=ask)

    async def cancel(
        self, scope: Scope, intent_id: UUID, reason: CancelReason | None = None, *, ask: Ask | None = None
    ) -> Done[IntentView]:
        """Cancel an intent; see ``Acting.cancel``."""
        return await self._acting.cancel(scope, intent_id, reason, ask=ask)

    async def get(self, scope: Scope, intent_id: UUID) -> IntentView:
        """Return an intent with its latest attempt and method; raise Missing."""
        intent = await self._desk.read(Intent, scope.book_id, intent_id)
        return IntentView(intent, await self._attempt(intent), await self._method(intent))

    async def page(self, scope: Scope, order: PageOrder) -> Page[IntentView]:
        """Return intents with their latest attempts, newest first; ``owner_id`` keeps those of one customer."""
        found = await self._desk.page(Intent, scope.book_id, order)
        ids = [intent.attempt_id for intent in found.items if intent.attempt_id is not None]
        async with self._desk.database.connection() as connection:
            attempts = await store.many(connection, Attempt, scope.book_id, ids)
        views = [
            IntentView(intent, attempts.get(intent.attempt_id) if intent.attempt_id else None)
            for intent in found.items
        ]
        return Page(views, found.has_more)

    async def by_merchant_reference(self, scope: Scope, value: str) -> IntentView | None:
        """Return the intent of the merchant's own order number; None where there is none."""
        async with self._desk.database.connection() as connection:
            found = await store.referred(connection, scope.book_id, ReferenceKind.MERCHANT, value)
        return None if found is None else await self.get(scope, found)

    async def find(self, scope: Scope, text: str) -> list[IntentView]:
        """Return the intents that any id names: ours of anything around a payment, the merchant's, a channel's.

        An id that names nothing finds nothing.
        """
        text = text.strip()[:SEARCH_CHARS_MAX]
        ids = await self._named(scope.book_id, text)
        found: list[IntentView] = []
        for intent_id in dict.fromkeys(ids):
            with contextlib.suppress(Missing):
                found.append(await self.get(scope, intent_id))
        return found

    async def _named(self, book_id: int, text: str) -> list[UUID]:
        """Return the ids of the intents that a text may name."""
        prefix, _, _ = text.rpartition("_")
        async with self._desk.database.connection() as connection:
            if prefix in _NAMES:
                try:
                    document_id = parse_uuid(prefix, text)
                except ValueError:
                    return []
                document = await store.one(connection, _NAMES[prefix], book_id, document_id)
                return [] if document is None else [_intent_of(document)]
            own = await store.referred(connection, book_id, ReferenceKind.MERCHANT, text)
            theirs = await store.by_channel_reference(connection, book_id, text, ATTEMPTS_MAX)
        return [*([own] if own else []), *(attempt.intent_id for attempt in theirs)]

    async def story(self, scope: Scope, intent_id: UUID) -> Story:
        """Return everything around an intent and its whole money trail, which one query reads; raise Missing."""
        book_id = scope.book_id
        intent = await self._desk.read(Intent, book_id, intent_id)
        async with self._desk.database.connection() as connection:
            attempts = await store.children(connection, Attempt, book_id, intent.id, ATTEMPTS_MAX)
            refunds = await store.children(connection, Refund, book_id, intent.id, ATTEMPTS_MAX)
            disputes = await store.children(connection, Dispute, book_id, intent.id, ATTEMPTS_MAX)
        keys = postings.trail_keys(attempts, refunds, disputes)
        transfers = await self._desk.ledger.reading.transfers(BookId(book_id), keys)
        return Story(intent, attempts, refunds, disputes, transfers)

    async def attempt(self, scope: Scope, attempt_id: UUID) -> Attempt:
        """Return an attempt; raise Missing."""
        return await self._desk.read(Attempt, scope.book_id, attempt_id)

    async def attempts(self, scope: Scope, order: PageOrder) -> Page[Attempt]:
        """Return attempts, newest first; ``parent_id`` keeps those of one intent, ``owner_id`` of one customer."""
        return await self._desk.page(Attempt, scope.book_id, order)

    async def _attempt(self, intent: Intent) -> Attempt | None:
        if intent.attempt_id is None:
            return None
        return await self._desk.read(Attempt, intent.book_id, intent.attempt_id)

    async def _method(self, intent: Intent) -> PaymentMethod | None:
        """Return the method that an intent names; raise Missing, BadParameter where it is of a kind not allowed."""
        if intent.method_id is None:
            return None
        method = await self._desk.read(PaymentMethod, intent.book_id, intent.method_id, "payment_method")
        if method.kind not in intent.method_kinds:
            raise BadParameter(
                "payment_method_type_mismatch",
                "payment_method",
                f"{intent.reference} does not take {method.kind}",
            )
        return method


_NAMES: dict[str, type[Intent | Attempt | Refund | Dispute | CheckoutSession]] = {
    "pi": Intent,
    "pa": Attempt,
    "ch": Attempt,
    "re": Refund,
    "dp": Dispute,
    "cs": CheckoutSession,
}


def _intent_of(document: Intent | Attempt | Refund | Dispute | CheckoutSession) -> UUID:
    if isinstance(document, Intent):
        return document.id
    return document.intent_id or document.id


def client_secret(prefix: str, document_id: UUID) -> str:
    """Return a secret with which a payer's page may act on one document only."""
    return f"{uuid_text(prefix, document_id)}_secret_{secrets.token_urlsafe(SECRET_BYTES)}"


def _references(intent: Intent) -> tuple[Reference, ...]:
    if intent.merchant_reference is None:
        return ()
    return (Reference(ReferenceKind.MERCHANT, intent.merchant_reference, intent.id),)
