"""Reading cases: the queue, lists, evidence in order of time, whom an entity met, the summary. Changes nothing.

Whoever names a book sees the cases of that book alone; others do not exist for it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import InvalidRequest, NotFound
from tongbao.risk.policy.case_priority import (
    CASE_MINUTES_MAX,
    LOOK_WORTH,
    OVERDUE_DOUBLES_H,
    Rank,
    Worked,
    expected_minutes,
    rank_of,
)
from tongbao.risk.policy.case_summary import Before, Draft, SummaryFacts, draft_of
from tongbao.risk.policy.case_texts import reason_text
from tongbao.risk.policy.case_timeline import Evidence, Rung, timeline_of
from tongbao.risk.policy.neighborhood import (
    CENTER_PAYMENTS_MAX,
    HUB_PAYMENTS,
    TALLY_PAYMENTS_MAX,
    Neighborhood,
    drawn,
    entities_of,
    expandable,
    near_of,
    woven,
)
from tongbao.risk.schema.cases import (
    CaseAct,
    CaseEvent,
    CaseFile,
    CasePayment,
    CaseScope,
    CaseState,
    Cause,
    EntityKey,
    Severity,
    case_text,
)
from tongbao.risk.store import cases as store
from tongbao.risk.store import neighbors
from tongbao.risk.store.cases import Closed, Order
from tongbao.risk.store.neighbors import Reach

PAGE_MAX = 100
TRAIL_MAX = 1_000
ALERTS_MAX = 1_000
LEARNED_DAYS = 90
"""Closed cases of so many days say how long the next ones take."""
REACH_DAYS = 90
"""How long before a case was opened its neighbors are looked at."""
SIMILAR_MAX = 6
TIMELINE_DAYS = 30
TIMELINE_PAYMENTS_MAX = 100
"""The latest payments of the entity that stand in the timeline beside those of the case."""


class Queued(NamedTuple):
    """A case of the queue, the minutes that it is expected to take, and its place."""

    case: CaseFile
    minutes: float
    rank: Rank


class Wanted(NamedTuple):
    """Which cases of a list: in a state, of somebody; all where that is None."""

    scope: CaseScope
    state: CaseState | None = None
    assignee: str | None = None


class Summary(NamedTuple):
    """The draft as it would be now, and the latest line with a signed text; None where nobody signed.

    ``is_stale``: the case went on after it was signed.
    """

    draft: Draft
    signed: CaseEvent | None
    is_stale: bool


class CaseReading:
    """Reads cases. One object per process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def one(self, case_id: UUID, book_id: int | None = None) -> CaseFile:
        """Return a case; raise NotFound ``case_missing``."""
        async with self._database.connection() as connection:
            return await found(connection, case_id, book_id)

    async def payments(self, case_id: UUID, book_id: int | None = None) -> list[CasePayment]:
        """Return the payments of a case, oldest first; raise NotFound ``case_missing``."""
        async with self._database.connection() as connection:
            case = await found(connection, case_id, book_id)
            return list((await store.payments(connection, [case.id]))[case.id].values())

    async def queue(self, scope: CaseScope, limit: int = PAGE_MAX) -> list[Queued]:
        """Return the first cases that nobody has, those past their due time first, then by money saved per minute.

        Raises InvalidRequest ``case_limit_invalid``.
        """
        _check_limit(limit)
        now = self._clock.now()
        async with self._database.connection() as connection:
            order = await order_of(connection, now)
            files = await store.queue(connection, scope, order, limit)
        minutes = order.minutes
        return [Queued(each, minutes[each.kind], rank_of(each, minutes[each.kind], now)) for each in files]

    async def page(self, wanted: Wanted, before: UUID | None = None, limit: int = PAGE_MAX) -> list[CaseFile]:
        """Return cases, newest first, those before one where it is given; raise InvalidRequest ``case_limit_invalid``."""
        _check_limit(limit)
        chosen = (wanted.state, wanted.assignee)
        async with self._database.connection() as connection:
            return await store.page(connection, wanted.scope, chosen, before, limit)

    async def waiting(self, scope: CaseScope, actor: str, limit: int = PAGE_MAX) -> list[CaseFile]:
        """Return the cases that ``actor`` may agree to, as the second person, the first due first.

        Raises InvalidRequest ``case_limit_invalid``.
        """
        _check_limit(limit)
        async with self._database.connection() as connection:
            return await store.waiting(connection, scope, actor, limit)

    async def trail(self, case_id: UUID, book_id: int | None = None, after: int = 0) -> list[CaseEvent]:
        """Return at most ``TRAIL_MAX`` lines of the audit trail after a version; raise NotFound ``case_missing``."""
        async with self._database.connection() as connection:
            case = await found(connection, case_id, book_id)
            return await store.events(connection, case.id, after, TRAIL_MAX)

    async def timeline(self, case_id: UUID, book_id: int | None = None) -> list[Evidence]:
        """Return the evidence in order of time: payments of the case, and the latest others of its entity.

        Raises NotFound ``case_missing``.
        """
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            case = await found(connection, case_id, book_id)
            of_case = (await store.payments(connection, [case.id]))[case.id]
            looks = set(of_case)
            if case.entity is not None:
                entity = EntityKey(case.entity, case.key)
                reach = _reach(case, TIMELINE_DAYS)
                latest = await neighbors.payments_of(connection, [entity], reach, TIMELINE_PAYMENTS_MAX)
                looks |= set(latest[entity])
            payments = await neighbors.known(connection, sorted(looks))
            rung = await store.alerts(connection, case.id, ALERTS_MAX)
            trail = await store.events(connection, case.id, 0, TRAIL_MAX)
        alerts = [
            Rung(
                event_id=each.event_id,
                cause=Cause(each.cause),
                severity=Severity(each.severity),
                at=each.at,
            )
            for each in rung
        ]
        return timeline_of(payments, of_case.keys(), alerts, trail)

    async def neighborhood(self, case_id: UUID, book_id: int | None = None) -> Neighborhood:
        """Return whom the entity of a case met, two hops far; raise NotFound ``case_missing``."""
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            return await neighborhood_of(connection, await found(connection, case_id, book_id))

    async def similar(self, case: CaseFile, web: Neighborhood, limit: int = SIMILAR_MAX) -> list[CaseFile]:
        """Return other cases, newest first, of the entity of a case or of one within two hops; hubs are left out.

        ``web``: its neighborhood. Closed ones count for ``LEARNED_DAYS`` days. Raises InvalidRequest ``case_limit_invalid``.
        """
        _check_limit(limit)
        near = [EntityKey(each.entity, each.key) for each in web.nodes if not each.is_hub]
        since = self._clock.now() - timedelta(days=LEARNED_DAYS)
        async with self._database.connection() as connection:
            return await store.of_entities(connection, case, near, since, limit)

    async def summary(self, case_id: UUID, language: str, book_id: int | None = None) -> Summary:
        """Return the draft and what was signed. Raises NotFound ``case_missing``, InvalidRequest ``language_unknown``."""
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            case = await found(connection, case_id, book_id)
            draft = await drafted(connection, case, language, self._clock.now())
            signed = await store.last_event(connection, case.id, CaseAct.SIGNED)
        return Summary(draft, signed, signed is not None and signed.version < case.version)


async def found(connection: Connection, case_id: UUID, book_id: int | None) -> CaseFile:
    """Return a case of a book, or of any; raise NotFound ``case_missing``."""
    case = await store.one(connection, case_id)
    if case is None or book_id not in (None, case.book_id):
        raise missing(case_id)
    return case


def missing(case_id: UUID) -> NotFound:
    """Return the error for a case that is not there, or not for this caller."""
    return NotFound("case_missing", f"there is no case {case_text(case_id)}", id=case_text(case_id))


async def order_of(connection: Connection, now: datetime) -> Order:
    """Return what the queue is ordered by, with the minutes that lately closed cases took."""
    closed = await _closed(connection, now)
    minutes = {
        kind: expected_minutes(
            kind, Worked(closed[kind].count, closed[kind].minutes) if kind in closed else None
        )
        for kind in Cause
    }
    return Order(minutes, now, LOOK_WORTH, OVERDUE_DOUBLES_H)


async def drafted(connection: Connection, case: CaseFile, language: str, now: datetime) -> Draft:
    """Return the summary of a case as its draft is now. Raises InvalidRequest ``language_unknown``."""
    looks = (await store.payments(connection, [case.id]))[case.id]
    closed = (await _closed(connection, now)).get(case.kind, Closed(0, 0.0, 0, 0))
    facts = SummaryFacts(
        case=case,
        payments=tuple(await neighbors.known(connection, list(looks))),
        web=await neighborhood_of(connection, case),
        before=Before(count=closed.count, fraud_count=closed.fraud_count, genuine_count=closed.genuine_count),
    )
    return draft_of(facts, language, partial(reason_text, language=language))


async def neighborhood_of(connection: Connection, case: CaseFile) -> Neighborhood:
    """Walk two hops from the entity of a case and return whom it met; nobody where none is known."""
    reach = _reach(case, REACH_DAYS)
    if case.entity is None:
        return await _lonely(connection, case)
    center = EntityKey(case.entity, case.key)
    latest = await neighbors.payments_of(connection, [center], reach, CENTER_PAYMENTS_MAX)
    own = await neighbors.known(connection, latest[center])
    candidates = expandable(near_of(center, own))
    walked = await neighbors.payments_of(connection, candidates, reach, HUB_PAYMENTS + 1)
    hubs = {each for each, looks in walked.items() if len(looks) > HUB_PAYMENTS}
    beyond = {look for each, looks in walked.items() if each not in hubs for look in looks}
    others = await neighbors.known(connection, sorted(beyond - set(latest[center])))
    web = woven(center, [*own, *others], set(candidates) - hubs)
    tallies = await neighbors.tallies(connection, [each for each, _ in web.nodes], reach, TALLY_PAYMENTS_MAX)
    return drawn(web, tallies, hubs)


async def _lonely(connection: Connection, case: CaseFile) -> Neighborhood:
    """Return who took part in the payments of a case without an entity: at most its mail domain, a hub."""
    looks = (await store.payments(connection, [case.id]))[case.id]
    known = await neighbors.known(connection, list(looks))
    present = [one for each in known for one in entities_of(each.signals)]
    if not present:
        return Neighborhood(nodes=(), edges=(), left_out_count=0, width=0.0, height=0.0)
    web = woven(present[0], known, ())
    reach = _reach(case, REACH_DAYS)
    tallies = await neighbors.tallies(connection, [each for each, _ in web.nodes], reach, TALLY_PAYMENTS_MAX)
    return drawn(web, tallies, ())


async def _closed(connection: Connection, now: datetime) -> Mapping[Cause, Closed]:
    return await store.closed_since(connection, now - timedelta(days=LEARNED_DAYS), CASE_MINUTES_MAX)


def _reach(case: CaseFile, days: int) -> Reach:
    return Reach(case.live, case.book_id, case.opened_at - timedelta(days=days))


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidRequest("case_limit_invalid", f"a list has 1 to {PAGE_MAX} cases", limit=limit)
