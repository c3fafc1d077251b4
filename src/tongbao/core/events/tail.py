"""Reading facts for oneself: in commit order, from any position, without a lease and without a place that is kept.

For state in memory that every process needs whole. A reader that fell behind what is kept (``Relay.forget``) starts from
a snapshot; positions tell it where.
"""

from collections.abc import Sequence

from tongbao.core.db import Database
from tongbao.core.events import cursors
from tongbao.core.events.facts import Delivered, topic_of
from tongbao.core.events.subscriptions import BATCH_FACTS_MAX, Topic


class Tail:
    """Reads facts of some topics. Any number of objects and processes may read the same."""

    def __init__(self, database: Database, topics: Sequence[Topic]) -> None:
        self._database = database
        self._topics = [topic if isinstance(topic, str) else topic_of(topic) for topic in topics]

    async def end(self) -> int:
        """Return the last position given so far."""
        async with self._database.connection() as connection:
            return await cursors.head(connection)

    async def read(self, after: int, limit: int = BATCH_FACTS_MAX) -> tuple[list[Delivered], int]:
        """Return the next facts after a position, in order, and the position that is read up to.

        That position may be beyond the last fact returned: what lies between is of other topics.
        """
        async with self._database.connection() as connection:
            end = await cursors.head(connection)
            if end <= after:
                return [], after
            found = await cursors.read(connection, after, end, self._topics, limit)
        if len(found) < limit:
            return found, end
        return found, found[-1].position
