"""Recording: every move on ``in_transit`` becomes a movement, in the order of commits, each exactly once.

Payouts that came back stand among them too, as movements of nothing (``policy.movements.returned_payout``).

Movements follow from documents alone (``policy.movements``) and have the ids of their transfers: a document that comes
twice, or a version that never comes, changes nothing. Refunds and disputes do not say how was paid; that is known
from the sale before them, or read from the attempt where the sale is older than this room.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

import msgspec

from tongbao.clearing.policy.agreements import Terms
from tongbao.clearing.policy.closing import not_before
from tongbao.clearing.policy.cycles import cut_of
from tongbao.clearing.policy.movements import Moving, Origin, movements_of, origin_of, returned_payout
from tongbao.clearing.schema.agreements import Cut
from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.clearing.schema.payout_facts import PayoutChanged
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.store import movements as store
from tongbao.core import partitions
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import NotFound
from tongbao.core.events.facts import Delivered
from tongbao.core.events.subscriptions import Projection
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.facts import Happened
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.refunds import Dispute, Refund
from tongbao.payments.service.reading import Reading

SUBSCRIPTION = "clearing.movements"
MONTHS_AHEAD = 3
STORE = "store"
"""The key under which the metadata of an intent names the store that sold."""
OF_INTENT_MAX = 1_000


OpensAt = Callable[[Connection], Awaitable[datetime]]
"""Returns the instant up to which days are closed, and keeps it so until the transaction ends; see ``Closing.opens_at``."""


class Recording:
    """Writes movements. One object per process; ``reading`` finds attempts whose sales were never recorded.

    ``opens_at``: what is recorded late is never cut within a day that was closed meanwhile.
    """

    def __init__(
        self, database: Database, clock: Clock, agreements: Agreements, reading: Reading, opens_at: OpensAt
    ) -> None:
        self._opens_at = opens_at
        self._database = database
        self._clock = clock
        self._agreements = agreements
        self._reading = reading

    def subscription(self) -> Projection:
        """Return what keeps movements up with payments."""
        return Projection(SUBSCRIPTION, (Happened, PayoutChanged), self.record)

    async def prepare(self) -> None:
        """Make the partitions of the coming months; repeated by a worker, safe in many processes at once."""
        for table in (store.MOVEMENTS, store.PRICED):
            async with self._database.transaction() as connection:
                await store.lock_partitions(connection)
                await partitions.ensure_months(connection, table, self._clock.now(), MONTHS_AHEAD)

    async def record(self, connection: Connection, delivered: Sequence[Delivered]) -> None:
        """Write the movements of a batch of facts; joins the caller's transaction, and may be repeated.

        Raises NotFound ``attempt_unknown`` for a refund or dispute of an attempt that is nowhere.
        """
        told = [(each, document) for each in delivered for document in _moving(each)]
        payouts = [(each, each.fact) for each in delivered if isinstance(each.fact, PayoutChanged)]
        books = {document.book_id for _, document in told} | {fact.book_id for _, fact in payouts}
        if not books:
            return
        terms = await self._agreements.terms(connection, books)
        sources = await self._sources(connection, delivered, [document for _, document in told])
        opens_at = await self._opens_at(connection)
        found: dict[tuple[int, UUID], Movement] = {}
        for each, fact in payouts:
            came_back = returned_payout(fact, each.recorded_at, partial(_payout_cut, terms, fact, opens_at))
            if came_back is not None:
                _keep(found, came_back)
        for each, document in told:
            source = sources[_attempt_id(document)]
            cuts = partial(_cut, terms, document, source, opens_at)
            for movement in movements_of(document, source.origin, each.recorded_at, cuts):
                _keep(found, movement)
                source.sold(movement)
        if found:
            await store.write(connection, list(found.values()))

    async def write_missing(
        self, connection: Connection, documents: Sequence[Moving], instants: Mapping[UUID, datetime]
    ) -> int:
        """Write the movements of documents that nobody told of, at the instants of the journal; joins the transaction.

        ``documents``: of any books, each attempt before what goes back of it. ``instants``: by key; what the journal does not know
        is no movement. What is recorded already stays as it is; returns how many were not. Nothing is cut within a closed day.
        """
        terms = await self._agreements.terms(connection, {document.book_id for document in documents})
        opens_at, now = await self._opens_at(connection), self._clock.now()
        intents = [(each.book_id, each.intent_id) for each in documents if isinstance(each, Attempt)]
        known = await store.stores_of(connection, intents)
        sources: dict[UUID, _Source] = {}
        found: dict[tuple[int, UUID], Movement] = {}
        for document in documents:
            if isinstance(document, Attempt):
                sources[document.id] = _Source(origin_of(document, known.get(document.intent_id, "")))
            source = sources[_attempt_id(document)]
            cuts = partial(_cut, terms, document, source, opens_at)
            for movement in movements_of(document, source.origin, now, cuts, instants):
                if movement.id in instants:
                    _keep(found, movement)
                    source.sold(movement)
        new = await store.missing(connection, list(found))
        if new:
            await store.write(connection, [found[each] for each in new])
        return len(new)

    async def of_intent(self, book_id: int, intent_id: UUID) -> list[Movement]:
        """Return the movements of a payment as they happened, at most ``OF_INTENT_MAX``."""
        async with self._database.connection() as connection:
            return await store.of_intent(connection, book_id, intent_id, OF_INTENT_MAX)

    async def unpriced(self, book_id: int) -> dict[str, int]:
        """Return by currency what must stand on ``in_transit`` of a book, minor units: all that no priced batch holds."""
        async with self._database.connection() as connection:
            return await store.unpriced(connection, book_id)

    async def _sources(
        self, connection: Connection, delivered: Sequence[Delivered], documents: Iterable[Moving]
    ) -> dict[UUID, "_Source"]:
        """Return by attempt how was paid and where its sales were cut, for all that these documents go back to."""
        stores = {
            intent.id: intent.metadata.get(STORE, "") for each in delivered for intent in _intents(each)
        }
        known: dict[UUID, _Source] = {}
        wanted: dict[UUID, tuple[int, UUID, UUID]] = {}
        for document in documents:
            if isinstance(document, Attempt):
                known[document.id] = _Source(origin_of(document, stores.get(document.intent_id, "")))
            else:
                address = (document.book_id, document.intent_id, document.attempt_id)
                wanted[document.attempt_id] = address
        if wanted:
            # What was recorded with the sale knows its store, which a later version of the attempt does not tell.
            rows = await store.origins(connection, list(wanted.values()))
            known |= {attempt_id: _source(row) for attempt_id, row in rows.items()}
        for attempt_id, (book_id, _, _) in wanted.items():
            if attempt_id not in known:
                known[attempt_id] = _Source(origin_of(await self._attempt(book_id, attempt_id)))
        return known

    async def _attempt(self, book_id: int, attempt_id: UUID) -> Attempt:
        attempt = await self._reading.read(Attempt, book_id, attempt_id)
        if attempt is None:
            raise NotFound("attempt_unknown", f"no attempt {attempt_id} in book {book_id}")
        return attempt


class _Source:
    """How an attempt was paid, and the newest cut that its sales belong to."""

    def __init__(self, origin: Origin, newest_cut: Cut | None = None) -> None:
        self.origin = origin
        self.newest_cut = newest_cut

    def sold(self, movement: Movement) -> None:
        """Take note of a sale of the attempt."""
        is_newer = self.newest_cut is None or movement.cut_at > self.newest_cut.cut_at
        if movement.kind is MovementKind.SALE and is_newer:
            self.newest_cut = Cut(movement.cut_at, movement.payout_on)


def _moving(delivered: Delivered) -> Iterable[Moving]:
    fact = delivered.fact
    if not isinstance(fact, Happened):
        return ()
    return (each for each in fact.documents if isinstance(each, Attempt | Refund | Dispute))


def _intents(delivered: Delivered) -> Iterable[Intent]:
    fact = delivered.fact
    return (each for each in fact.documents if isinstance(each, Intent)) if isinstance(fact, Happened) else ()


def _attempt_id(document: Moving) -> UUID:
    return document.id if isinstance(document, Attempt) else document.attempt_id


def _source(row: store.SaleRow) -> "_Source":
    cut_at, payout_on, *origin = row
    return _Source(Origin(*origin), Cut(cut_at, payout_on))


def _cut(terms: Terms, document: Moving, source: "_Source", opens_at: datetime, at: datetime) -> Cut:
    """Return where a movement belongs: never in a closed day, nor before the sale that it takes back."""
    agreement = terms.at(document.book_id, document.currency, at).agreement
    cut = not_before(agreement, cut_of(agreement, at, terms.known), opens_at, terms.known)
    floor = source.newest_cut
    return floor if floor is not None and floor.cut_at > cut.cut_at else cut


def _payout_cut(terms: Terms, fact: PayoutChanged, opens_at: datetime, at: datetime) -> Cut:
    agreement = terms.at(fact.book_id, fact.currency, at).agreement
    return not_before(agreement, cut_of(agreement, at, terms.known), opens_at, terms.known)


def _keep(found: dict[tuple[int, UUID], Movement], movement: Movement) -> None:
    """Keep what was told first, with what the channel was told to call it later."""
    address = (movement.book_id, movement.id)
    first = found.setdefault(address, movement)
    if first.channel_reference is None and movement.channel_reference is not None:
        found[address] = msgspec.structs.replace(first, channel_reference=movement.channel_reference)
