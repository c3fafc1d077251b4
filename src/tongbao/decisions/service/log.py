"""The decision log: written in the commit of the effect, joined by outcomes, asked for reasons.

Rooms that act write through ``DecisionLog.write`` inside their own transaction; nobody else writes decisions.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.core import partitions
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import NotFound
from tongbao.core.ids import uuid_text
from tongbao.decisions.schema.log import PREFIX, Decision, Outcome, Range, check
from tongbao.decisions.store import log as store

MONTHS_AHEAD = 3
SUBJECT_DECISIONS_MAX = 200
SUBJECT_OUTCOMES_MAX = 2_000
PAGE_MAX = 2_000


class Traced(NamedTuple):
    """A decision with all news of what came of it, oldest first."""

    decision: Decision
    outcomes: tuple[Outcome, ...]


class Learned(NamedTuple):
    """A decision with the value that an outcome stood at; None: nothing was heard of it."""

    decision: Decision
    value: float | None
    label: str


class DecisionLog:
    """One object per process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def prepare(self) -> None:
        """Make the partitions of the coming months; repeated by a worker, safe in many processes at once."""
        for table in (store.DECISIONS, store.OUTCOMES):
            async with self._database.transaction() as connection:
                await store.lock_partitions(connection)
                await partitions.ensure_months(connection, table, self._clock.now(), MONTHS_AHEAD)

    async def write(
        self, connection: Connection, decisions: Sequence[Decision], outcomes: Sequence[Outcome]
    ) -> None:
        """Append decisions and news of outcomes; joins the transaction of what was decided.

        Raises InvariantBroken ``decision_unsound`` for one without reasons, chance or sense; nothing is written then.
        """
        for decision in decisions:
            check(decision)
        if decisions:
            await store.insert(connection, decisions)
        if outcomes:
            await store.add_outcomes(connection, outcomes)

    async def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Append news of outcomes in a transaction of its own; idempotent by key."""
        async with self._database.transaction() as connection:
            await self.write(connection, (), outcomes)

    async def decision(self, book_id: int, decision_id: UUID) -> Traced:
        """Return a decision of a book with its outcomes; raise NotFound ``decision_unknown``."""
        async with self._database.connection() as connection:
            found = await store.one(connection, book_id, decision_id)
            if found is None:
                reference = uuid_text(PREFIX, decision_id)
                raise NotFound("decision_unknown", f"No such decision: {reference}", id=reference)
            news = await store.outcomes_of(connection, book_id, [decision_id], SUBJECT_OUTCOMES_MAX)
        return Traced(found, tuple(news))

    async def lineage(self, book_id: int, subject_id: UUID) -> list[Traced]:
        """Return everything that was ever decided about a subject (a payment), oldest first, with what came of it."""
        async with self._database.connection() as connection:
            found = await store.of_subject(connection, book_id, subject_id, SUBJECT_DECISIONS_MAX)
            news = await store.outcomes_of(
                connection, book_id, [each.id for each in found], SUBJECT_OUTCOMES_MAX
            )
        by_decision: dict[UUID, list[Outcome]] = {each.id: [] for each in found}
        for each in news:
            by_decision[each.decision_id].append(each)
        return [Traced(each, tuple(by_decision[each.id])) for each in found]

    async def learned(
        self, of: Range, outcome: str, known_at: datetime | None = None
    ) -> AsyncIterator[list[Learned]]:
        """Yield the decisions of a range with what ``outcome`` stood at, as known at an instant (default: now).

        Pages of at most ``PAGE_MAX``, oldest first; each page is read in a transaction of its own.
        """
        known_at = known_at or self._clock.now()
        after: tuple[UUID, int] | None = None
        while True:
            async with self._database.connection() as connection:
                found = await store.page(connection, of, after, PAGE_MAX)
                values = await store.standing(connection, found, outcome, known_at) if found else {}
            if found:
                yield [_learned(each, values.get(each.id)) for each in found]
            if len(found) < PAGE_MAX:
                return
            after = (found[-1].id, found[-1].book_id)


def _learned(decision: Decision, found: store.Standing | None) -> Learned:
    return Learned(decision, found.value if found else None, found.label if found else "")
