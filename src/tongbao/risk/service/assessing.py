"""Assessing on its own: a look at a payment that others make, its decision and fact on disk before the answer.

For houses that use risk control alone, over HTTP. Looks of many callers share a commit. Labels come in here too, for these
payments and for all others.
"""

from collections.abc import Sequence
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database, Failure, failure_of
from tongbao.core.errors import AppError, NotFound, Unavailable
from tongbao.core.events.outbox import Outbox
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.core.lane import Lane, LaneMetrics
from tongbao.core.metrics import Metrics
from tongbao.decisions.service.log import DecisionLog
from tongbao.risk.schema.facts import Labelled, LabelSource
from tongbao.risk.service.assessor import Asked, Looked
from tongbao.risk.service.judging import Judging, tell_failure
from tongbao.risk.store import events
from tongbao.risk.store.events import Judged

BATCH_MAX = 500
QUEUE_MAX = 5_000
LOOKS_MAX = 50
"""Looks at one payment that are read at a time."""
LANE = "risk"


class Assessing:
    """One per process. ``async with`` finishes what waits."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        judge: Judging,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._clock = clock
        self._judge = judge
        self._log = DecisionLog(database, clock)
        self._outbox = Outbox(clock, ids)
        self._lane: Lane[Looked, None] = Lane(
            LANE,
            self._write,
            lambda: database.dedicated("tongbao-risk-lane"),
            metrics=LaneMetrics(metrics),
            batch_max=BATCH_MAX,
            queue_max=QUEUE_MAX,
        )

    async def close(self) -> None:
        """Finish what waits and close the lane."""
        await self._lane.close()

    async def assess(self, asked: Asked) -> Looked:
        """Return the tier of a payment, after decision and fact were committed.

        Raises Unavailable ``lane_full``, OutcomeUnknown when the database went away and did not come back.
        """
        try:
            looked = await self._judge.assess(asked)
        except Exception as error:
            # As in a payment of ours: whoever asks goes on at the tier that was set for this. A question that is wrong
            # is the asker's to mend.
            if isinstance(error, AppError) and not isinstance(error, Unavailable):
                raise
            tell_failure(error, asked.signals.subject)
            can_step_up = asked.can_step_up and not asked.is_proved
            looked = self._judge.fallback(asked.signals, can_step_up=can_step_up)
        await self._lane.submit_one(looked)
        return looked

    async def label(
        self,
        book_id: int,
        subject_id: UUID,
        *,
        is_fraud: bool,
        actor: str,
        source: LabelSource = LabelSource.API,
    ) -> Labelled:
        """Say whether a payment was fraud; saying it again, or otherwise, replaces what was said before.

        Raises NotFound ``payment_not_judged`` for one that risk control has not seen, or not written down yet.
        """
        looks = await self.looks(book_id, subject_id)
        if not looks:
            reference = uuid_text("pi", subject_id)
            raise NotFound("payment_not_judged", f"risk control has not judged {reference}", id=reference)
        latest = looks[-1]
        fact = Labelled(
            occurred_at=self._clock.now(),
            signals_id=latest.id,
            book_id=book_id,
            live=latest.live,
            subject_id=subject_id,
            is_fraud=is_fraud,
            source=source,
            actor=actor,
        )
        async with self._database.transaction() as connection:
            await self._outbox.publish(connection, [fact])
        return fact

    async def looks(self, book_id: int, subject_id: UUID) -> list[Judged]:
        """Return every look at a payment with what became known of it, oldest first."""
        async with self._database.connection() as connection:
            return await events.of_subject(connection, book_id, subject_id, LOOKS_MAX)

    async def _write(self, connection: Connection, _slot: int, looks: Sequence[Looked]) -> Sequence[None]:
        try:
            async with connection.transaction():
                await self._log.write(connection, [each.decision for each in looks], ())
                await self._outbox.publish(connection, [each.fact for each in looks])
        except Exception as error:
            # Ids of looks are new: one that is there already comes from this very batch, whose answer was lost.
            if failure_of(error) is not Failure.DUPLICATE:
                raise
        return [None] * len(looks)
