"""Settling: cutting batches when they are due, pricing them, approving them, and moving them on.

Every step is one commit and finds by itself what is still to be done: a process that is killed at any instant leaves a
batch either before or after a step, and whoever comes next goes on. A batch that cannot be priced is left alone, told of,
and tried again; it never holds up the money of others.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog

from tongbao.clearing.policy.batching import JOB, approved, batch_id, moved
from tongbao.clearing.policy.calendars import Known
from tongbao.clearing.policy.closing import not_before
from tongbao.clearing.policy.cycles import last_cut, local_date, paid_on
from tongbao.clearing.schema.agreements import Agreement, Cut, Cycle
from tongbao.clearing.schema.batches import Batch, BatchState, Step
from tongbao.clearing.schema.movements import PricedMovement
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.service.pricing import Pricing
from tongbao.clearing.service.recording import OpensAt
from tongbao.clearing.store import batches as store
from tongbao.clearing.store import movements
from tongbao.clearing.store.movements import Money
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import AppError, Conflict, InvalidRequest, NotFound, OutcomeUnknown, Unavailable
from tongbao.core.metrics import Metrics

ROUND_MAX = 100
"""Batches that one step cuts, prices and approves at most."""
DUE_MAX = 5_000
"""Books that one step looks at, to find those of which something can be done."""
STUCK_PAUSE = timedelta(minutes=1)
PAGE_MAX = 100
PRICED_MAX = 1_000
GRACE = timedelta(seconds=5)
"""So long after its cut a batch is cut, so that what was committed right before is recorded; later still comes next time."""
DAY_AHEAD = timedelta(hours=14)
"""Nowhere on earth is it a later date than in UTC by more."""

_log = structlog.get_logger(__name__)


class Settling:
    """Batches from their cut to their approval. One object per process; any number of processes side by side."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        agreements: Agreements,
        pricing: Pricing,
        metrics: Metrics,
        opens_at: OpensAt,
    ) -> None:
        self._opens_at = opens_at
        self._database = database
        self._clock = clock
        self._agreements = agreements
        self._pricing = pricing
        self._paused: dict[UUID, datetime] = {}
        self._moves = metrics.counter("clearing_batches", "Moves of batches", labels=("state",))
        self._stuck = metrics.counter(
            "clearing_batches_stuck", "Batches that could not be priced", labels=("code",)
        )

    async def step(self, book_id: int | None = None) -> int:
        """Cut, price and approve what is due, of one book where it is given; return how many moves were made."""
        return await self.cut_due(book_id) + await self.price_due(book_id) + await self.approve_small(book_id)

    async def cut_due(self, book_id: int | None = None) -> int:
        """Cut batches whose time has come, at most ``ROUND_MAX``; return how many. Each is a commit of its own."""
        now = self._clock.now()
        async with self._database.connection() as connection:
            due = await movements.due(connection, now, book_id, DUE_MAX)
            on = (now + DAY_AHEAD).date()
            reserves = await store.reserves_due(connection, on, book_id, DUE_MAX)
            money = [*(each.money for each in due), *(each.money for each in reserves)]
            terms = await self._agreements.terms(connection, {each.book_id for each in money})
        agreed = {
            each: _Agreed(terms.at(each.book_id, each.currency, now).agreement, terms.known) for each in money
        }
        ripe = [
            *(each.money for each in due if _waits(each, agreed[each.money], now)),
            *(each.money for each in reserves if _gives_back(each, agreed[each.money], now)),
        ]
        count = 0
        for each in list(dict.fromkeys(ripe))[:ROUND_MAX]:
            count += await self._cut(each, agreed[each], now) is not None
        return count

    async def price_due(self, book_id: int | None = None) -> int:
        """Price what was cut, of each money the first batch, at most ``ROUND_MAX``; return how many.

        A batch that cannot be priced is counted, logged and left for ``STUCK_PAUSE``; Unavailable and OutcomeUnknown are
        raised.
        """
        async with self._database.connection() as connection:
            waiting = await store.to_price(connection, book_id, DUE_MAX)
        now, count = self._clock.now(), 0
        for batch in [each for each in waiting if self._paused.get(each.id, now) <= now][:ROUND_MAX]:
            try:
                priced = await self._pricing.price(batch)
            except (Unavailable, OutcomeUnknown):
                raise
            except AppError as error:
                self._leave(batch, error, now)
                continue
            if priced is not None:
                self._counted(priced)
                count += 1
        return count

    async def approve_small(self, book_id: int | None = None) -> int:
        """Approve what needs nobody, at most ``ROUND_MAX``; return how many."""
        async with self._database.connection() as connection:
            waiting = await store.to_approve(connection, book_id, ROUND_MAX)
        count = 0
        for batch in waiting:
            async with self._database.transaction() as connection:
                standing = await store.one(connection, batch.book_id, batch.id, lock=True)
                if standing is None or standing.version != batch.version:
                    continue
                await self._write(connection, approved(standing, self._clock.now(), JOB))
            count += 1
        return count

    async def approve(
        self, book_id: int, batch_id: UUID, *, actor: str, note: str = "", seen_version: int | None = None
    ) -> Batch:
        """Approve a priced batch, or one that failed and was mended, on behalf of a person; return it.

        Above the limit of the agreement two different people have to. ``seen_version``: the one that was looked at. Raises
        NotFound ``batch_unknown``; Conflict ``batch_changed``, ``batch_state``; NotPermitted ``approval_twice``,
        ``approval_by_maker``, ``approval_needs_people``.
        """
        async with self._database.transaction() as connection:
            batch = await self._locked(connection, book_id, batch_id)
            if seen_version is not None and seen_version != batch.version:
                raise Conflict("batch_changed", f"{batch.reference} has changed; look at it again")
            return await self._write(connection, approved(batch, self._clock.now(), actor, note))

    async def move(
        self,
        connection: Connection,
        book_id: int,
        batch_id: UUID,
        state: BatchState,
        *,
        actor: str,
        note: str = "",
        payout_id: UUID | None = None,
    ) -> Batch:
        """Move an approved batch on to ``paid``, ``reconciled`` or ``failed``; joins the caller's transaction.

        For whoever pays: in the same commit as the payout's own move. A batch that is there already is returned as it is; one
        that failed needs its approvals anew. Raises NotFound ``batch_unknown``, Conflict ``batch_state``, InvalidRequest
        ``batch_move_not_yours`` for moves that are made here.
        """
        if state not in (BatchState.PAID, BatchState.RECONCILED, BatchState.FAILED):
            raise InvalidRequest("batch_move_not_yours", f"a batch becomes {state} by settling alone")
        batch = await self._locked(connection, book_id, batch_id)
        if batch.state is state:
            return batch
        payout = {} if payout_id is None else {"payout_id": payout_id}
        fresh = {"approvals": ()} if state is BatchState.FAILED else {}
        after = moved(batch, state, self._clock.now(), actor, note, **payout, **fresh)
        return await self._write(connection, after)

    async def get(self, book_id: int, batch_id: UUID) -> Batch:
        """Return a batch; raise NotFound ``batch_unknown``."""
        async with self._database.connection() as connection:
            batch = await store.one(connection, book_id, batch_id)
        if batch is None:
            raise _unknown(batch_id)
        return batch

    async def page(
        self,
        book_id: int,
        *,
        currency: str | None = None,
        state: BatchState | None = None,
        before: UUID | None = None,
        limit: int = PAGE_MAX,
    ) -> list[Batch]:
        """Return batches of a book, newest cut first, at most ``PAGE_MAX``; ``before``: the last one of the page before."""
        async with self._database.connection() as connection:
            return await store.page(
                connection,
                book_id,
                currency=currency,
                state=state,
                before=before,
                limit=max(1, min(limit, PAGE_MAX)),
            )

    async def in_state(
        self, state: BatchState, until_on: date, *, book_id: int | None = None, limit: int = PAGE_MAX
    ) -> list[Batch]:
        """Return batches in a state that are paid by a date, earliest first: what is to be paid, or to be looked at."""
        async with self._database.connection() as connection:
            return await store.in_state(connection, state, until_on, book_id, max(1, min(limit, PAGE_MAX)))

    async def priced(self, book_id: int, movement_ids: Sequence[UUID]) -> dict[UUID, PricedMovement]:
        """Return what movements cost, by movement; at most ``PRICED_MAX``, those not priced yet left out."""
        async with self._database.connection() as connection:
            return await store.priced(connection, book_id, movement_ids[:PRICED_MAX])

    async def carried_minor(self, book_id: int, currency: str, *, live: bool) -> int:
        """Return what the next batch begins with, minor units: below the minimum, or negative where the merchant owes it."""
        async with self._database.connection() as connection:
            position = await store.position(connection, Money(book_id, currency, live))
        return 0 if position is None else position.carried_minor

    async def _cut(self, money: Money, agreed: "_Agreed", now: datetime) -> Batch | None:
        """Cut the next batch of this money; None where nothing is to be cut, or somebody else is at it."""
        async with self._database.transaction() as connection:
            await store.be_patient(connection)
            position = await store.lock_position(connection, money)
            if position is None:
                return None
            agreement, known = agreed
            cut = await _due_cut(connection, money, agreed, position.last_cut_at, now)
            if cut is None:
                return None
            # Nothing is cut within a day that was closed meanwhile.
            cut = not_before(agreement, cut, await self._opens_at(connection), known)
            if cut.cut_at > now:
                return None
            new_id = batch_id(money.book_id, money.currency, cut.cut_at, live=money.live)
            count = await movements.take(connection, new_id, money, cut.cut_at)
            on = local_date(agreement, cut.cut_at)
            if not count and not await store.is_reserve_due(connection, money, on):
                return None
            batch = Batch(
                id=new_id,
                book_id=money.book_id,
                live=money.live,
                currency=money.currency,
                cut_at=cut.cut_at,
                payout_on=cut.payout_on,
                is_provisional=paid_on(agreement, cut.cut_at, known).is_provisional,
                state=BatchState.CUT,
                history=(Step(state=BatchState.CUT, at=now, actor=JOB, note=f"{count} movements"),),
                created_at=now,
                updated_at=now,
            )
            await store.insert(connection, batch)
        self._counted(batch)
        return batch

    async def _locked(self, connection: Connection, book_id: int, batch_id: UUID) -> Batch:
        batch = await store.one(connection, book_id, batch_id, lock=True)
        if batch is None:
            raise _unknown(batch_id)
        return batch

    async def _write(self, connection: Connection, after: Batch) -> Batch:
        """Write the next version of a batch that is locked."""
        if not await store.update(connection, after):
            raise Conflict("batch_changed", f"{after.reference} has changed; look at it again")
        self._counted(after)
        return after

    def _leave(self, batch: Batch, error: AppError, now: datetime) -> None:
        """Tell of a batch that cannot be priced, and let others go before it is tried again."""
        if len(self._paused) >= DUE_MAX:
            self._paused.clear()
        self._paused[batch.id] = now + STUCK_PAUSE
        self._stuck.labels(error.code).inc()
        _log.error("batch_stuck", batch=batch.reference, code=error.code, detail=error.detail)

    def _counted(self, batch: Batch) -> None:
        self._moves.labels(batch.state.value).inc()


class _Agreed(NamedTuple):
    """What is agreed about some money, and the calendars that are known."""

    agreement: Agreement
    known: Known


def _waits(due: movements.Due, agreed: _Agreed, now: datetime) -> bool:
    """Return whether a cut can be made: one that something waits for, or for latecomers any that has passed since."""
    return due.newest_at > due.last_cut_at or _passed(agreed, due.last_cut_at, now) is not None


def _gives_back(due: store.ReserveDue, agreed: _Agreed, now: datetime) -> bool:
    """Return whether a cut has passed with which a reserve can be given back."""
    passed = _passed(agreed, due.last_cut_at, now)
    return passed is not None and local_date(agreed.agreement, passed.cut_at) >= due.until_on


def _passed(agreed: _Agreed, after: datetime, now: datetime) -> Cut | None:
    """Return the newest cut that has passed, where it lies after the newest that was made."""
    passed = last_cut(agreed.agreement, _ripe(agreed.agreement, now), agreed.known)
    return passed if passed is not None and passed.cut_at > after else None


def _ripe(agreement: Agreement, now: datetime) -> datetime:
    """Return the instant up to which cuts are made now."""
    return now if agreement.cycle is Cycle.REAL_TIME else now - GRACE


async def _due_cut(
    connection: Connection, money: Money, agreed: _Agreed, after: datetime, now: datetime
) -> Cut | None:
    """Return the cut of the next batch: the first that something waits for, or for latecomers the newest that has passed."""
    # What came one by one while nobody was here goes together.
    is_real_time = agreed.agreement.cycle is Cycle.REAL_TIME
    ripe = _ripe(agreed.agreement, now)
    waiting = await movements.next_cut(connection, money, after, ripe, newest=is_real_time)
    return Cut(*waiting) if waiting is not None else _passed(agreed, after, now)


def _unknown(batch_id: UUID) -> NotFound:
    return NotFound("batch_unknown", f"no batch {batch_id}")
