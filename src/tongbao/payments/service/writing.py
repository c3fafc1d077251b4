"""The one writer of payments: changes of many payments share a commit, and each is written whole or not at all.

A batch is first written in the hope that everything fits; what does not (a document that moved on, a key that was
used, a transfer that the ledger refuses) is found out, left out with its result, and the rest is written again.
Repeats are safe: a change that committed is stale the second time, and its transfers have keys.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import get_args
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database, Failure, failure_of
from tongbao.core.errors import Unavailable
from tongbao.core.events.facts import Fact
from tongbao.core.events.outbox import Outbox
from tongbao.core.ids import IdFactory
from tongbao.core.lane import Lane, LaneMetrics
from tongbao.core.metrics import Metrics
from tongbao.core.requests import store as requests
from tongbao.core.requests.asks import Ask, Known
from tongbao.decisions.service.log import DecisionLog
from tongbao.ledger.service.posting import Joined, Posting
from tongbao.payments.schema.changes import (
    Change,
    Claimed,
    Refused,
    Replayed,
    Result,
    Reused,
    Stale,
    Taken,
    Written,
)
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.facts import Happened
from tongbao.payments.service.plans import Plans
from tongbao.payments.store import documents as store

ROUNDS_MAX = 50
PACE_S = 0.004
"""A batch costs this process about a millisecond whatever its size: two hundred a second are enough."""
Excluded = dict[int, Result]
"""By place in the batch, what came of the changes that are not written."""


class Writing:
    """Writes changes through a lane. One object per process."""

    def __init__(
        self,
        database: Database,
        posting: Posting,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        *,
        lane_count: int = 2,
        batch_max: int = 1_000,
        queue_max: int = 10_000,
        retry_s: float = 10.0,
    ) -> None:
        self._database = database
        self._posting = posting
        self._clock = clock
        self._outbox = Outbox(clock, ids)
        self._log = DecisionLog(database, clock)
        self._plans = Plans()
        results = metrics.counter("payments_changes", "Changes by what came of them", labels=("result",))
        self._results = {kind: results.labels(kind.__name__.lower()) for kind in get_args(Result)}
        self._lane: Lane[Change, Result] = Lane(
            "payments",
            self._write,
            self._connect,
            metrics=LaneMetrics(metrics),
            slots=lane_count,
            batch_max=batch_max,
            queue_max=queue_max,
            retry_s=retry_s,
            pace_s=PACE_S,
        )

    async def close(self) -> None:
        """Finish what waits and close the lane."""
        await self._lane.close()

    async def write(self, change: Change) -> Result:
        """Write one change and return what came of it, after COMMIT.

        Raises Unavailable ``lane_full``, and OutcomeUnknown when the database went away and did not come back.
        """
        result = await self._lane.submit_one(change)
        self._results[type(result)].inc()
        return result

    async def known(self, book_id: int, ask: Ask | None) -> Replayed | Claimed | Reused | None:
        """Return what became of a request that was made before under its key; None where there was none."""
        if ask is None:
            return None
        async with self._database.connection() as connection:
            found = await requests.known(connection, [(book_id, ask.digest)])
        known = found.get((book_id, ask.digest))
        return None if known is None else _before(known, ask)

    async def _connect(self) -> Connection:
        return await self._database.dedicated("tongbao-payments-lane", **store.LANE_SETTINGS)

    async def _write(self, connection: Connection, _slot: int, changes: Sequence[Change]) -> Sequence[Result]:
        await self._plans.used(connection)
        excluded: Excluded = {}
        exactly = False
        for _ in range(ROUNDS_MAX):
            todo = {place: change for place, change in enumerate(changes) if place not in excluded}
            transfers = [transfer for change in todo.values() for transfer in change.transfers]
            if not todo:
                break
            async with self._posting.joining(transfers, exactly=exactly) as joined:
                again = await self._written(connection, todo, joined, excluded)
            if again is None:
                break
            exactly = exactly or again
        else:
            raise Unavailable("changes_contended", "others keep changing the same payments; repeat later")
        written = Written()
        return [excluded.get(place, written) for place in range(len(changes))]

    async def _written(
        self, connection: Connection, todo: dict[int, Change], joined: Joined, excluded: Excluded
    ) -> bool | None:
        """Write a batch in one transaction. None: committed. Otherwise rolled back; True: ask the ledger exactly.

        What must be left out the next time is added to ``excluded``.
        """
        transaction = connection.transaction()
        await transaction.start()
        try:
            again = await self._try(connection, todo, joined, excluded)
            if again is None:
                await transaction.commit()
                return None
        except Exception as error:
            if not connection.is_closed():
                await transaction.rollback()
            # Another process posted one of the keys meanwhile: the exact way sees it.
            if failure_of(error) is Failure.DUPLICATE:
                return True
            raise
        await transaction.rollback()
        return again

    async def _try(
        self, connection: Connection, todo: dict[int, Change], joined: Joined, excluded: Excluded
    ) -> bool | None:
        before = len(excluded)
        for step in (self._claim, self._refer, self._update):
            await step(connection, todo, excluded)
            if len(excluded) > before:
                return False
        inserts = list(chain.from_iterable(change.inserts for change in todo.values()))
        if inserts:
            await store.insert(connection, inserts)
        results = await joined.write(connection)
        if results is None:
            return True
        posted = iter(results)
        for place, change in todo.items():
            refused = [result for result in (next(posted) for _ in change.transfers) if not result.accepted]
            if refused:
                excluded[place] = Refused(refused[0])
        if len(excluded) > before:
            return True
        await self._log.write(
            connection,
            list(chain.from_iterable(change.decisions for change in todo.values())),
            list(chain.from_iterable(change.outcomes for change in todo.values())),
        )
        await self._outbox.publish(connection, list(chain.from_iterable(map(_facts, todo.values()))))
        answers = [
            ((change.book_id, change.ask.digest), change.answer)
            for change in todo.values()
            if change.ask and change.answer and not change.claim
        ]
        if answers:
            await requests.answer(connection, answers)
        return None

    async def _claim(self, connection: Connection, todo: dict[int, Change], excluded: Excluded) -> None:
        """Claim the keys of requests that begin; what was asked before is left out."""
        rows: dict[requests.Address, requests.ClaimRow] = {}
        for place, change in todo.items():
            if change.claim is None:
                continue
            address = (change.book_id, change.claim.digest)
            if address in rows:
                is_same = rows[address].fingerprint == change.claim.fingerprint
                excluded[place] = Claimed(change.subject_id, change.at) if is_same else Reused()
                continue
            ask = change.claim
            rows[address] = requests.ClaimRow(
                change.book_id, ask.digest, ask.fingerprint, change.subject_id, ask.kept_until, change.answer
            )
        if not rows:
            return
        free = await requests.claim(connection, list(rows.values()), self._clock.now())
        if len(free) == len(rows):
            return
        known = await requests.known(connection, [address for address in rows if address not in free])
        for place, change in todo.items():
            if change.claim is None or place in excluded:
                continue
            found = known.get((change.book_id, change.claim.digest))
            if found is None:
                continue
            excluded[place] = _before(found, change.claim)

    async def _refer(self, connection: Connection, todo: dict[int, Change], excluded: Excluded) -> None:
        """Give outside ids; a change whose id is taken is left out."""
        wanted = [(change.book_id, each) for change in todo.values() for each in change.references]
        if not wanted:
            return
        free = await store.refer(connection, wanted)
        for place, change in todo.items():
            for reference in change.references:
                if reference.subject_id not in free:
                    owner = await store.referred(connection, change.book_id, reference.kind, reference.value)
                    excluded[place] = Taken(reference, owner or reference.subject_id)

    async def _update(self, connection: Connection, todo: dict[int, Change], excluded: Excluded) -> None:
        """Write next versions; a change one of whose documents moved on is left out."""
        updates: list[Document] = []
        seen: set[UUID] = set()
        for place, change in todo.items():
            if any(each.id in seen for each in change.updates):
                excluded[place] = Stale()
                continue
            seen.update(each.id for each in change.updates)
            updates.extend(change.updates)
        if not updates:
            return
        applied = await store.update(connection, updates)
        if len(applied) == len(updates):
            return
        for place, change in todo.items():
            if place not in excluded and any(each.id not in applied for each in change.updates):
                excluded[place] = Stale()


def _before(known: Known, ask: Ask) -> Replayed | Claimed | Reused:
    """Return what a request finds under its key."""
    if known.fingerprint != ask.fingerprint:
        return Reused()
    if known.answer is None:
        return Claimed(known.subject_id, known.claimed_at)
    return Replayed(known.answer)


def _facts(change: Change) -> Iterator[Fact]:
    yield from change.attempted
    yield from change.facts
    if not change.events:
        return
    ask = change.ask or change.claim
    yield Happened(
        occurred_at=change.at,
        book_id=change.book_id,
        live=change.live,
        events=change.events,
        documents=change.told,  # type: ignore[arg-type]  # services tell of documents of the union only
        request_id=ask.request_id if ask else None,
        idempotency_key=ask.key if ask else None,
    )
