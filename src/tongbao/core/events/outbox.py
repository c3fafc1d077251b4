"""Publishing: facts written beside the change they tell of, in the same transaction."""

from collections.abc import Sequence

from tongbao.core.clock import Clock
from tongbao.core.db import Connection
from tongbao.core.errors import InvariantBroken, LimitExceeded
from tongbao.core.events import store
from tongbao.core.events.facts import Fact, encode, topic_of
from tongbao.core.ids import IdFactory

PUBLISH_FACTS_MAX = 50_000


class Outbox:
    """Where rooms publish. One object per process; ``ids`` gives facts of one transaction their order."""

    def __init__(self, clock: Clock, ids: IdFactory) -> None:
        self._clock = clock
        self._ids = ids

    async def publish(self, connection: Connection, facts: Sequence[Fact]) -> None:
        """Publish ``facts``, in order, if and when the caller's transaction commits.

        Joins the transaction; one statement for all facts, at most ``PUBLISH_FACTS_MAX``. Raises InvalidRequest
        as ``facts.encode`` does (nothing is written then), LimitExceeded ``facts_too_many``, InvariantBroken
        ``publish_outside_transaction``.
        """
        if not facts:
            return
        if len(facts) > PUBLISH_FACTS_MAX:
            raise LimitExceeded(
                "facts_too_many", f"at most {PUBLISH_FACTS_MAX} facts go together", count=len(facts)
            )
        if not connection.is_in_transaction():
            raise InvariantBroken(
                "publish_outside_transaction", "facts are published with the change they tell of"
            )
        recorded_at = self._clock.now()
        rows = [
            store.OutboxRow(
                self._ids.uuid(),
                topic_of(type(fact)),
                fact.subject,
                encode(fact),
                fact.occurred_at,
                recorded_at,
            )
            for fact in facts
        ]
        await store.insert_facts(connection, rows)
