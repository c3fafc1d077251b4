"""The newest facts, read once for all consumers of a process.

A fact at its place never changes, so what was read for one consumer is handed to the others. Who is further behind than what is
kept reads for itself. Asking how far facts have come is one query for all who ask at the same moment.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from tongbao.core.db import Connection, Database
from tongbao.core.events import cursors
from tongbao.core.events.facts import Delivered
from tongbao.core.gathering import Gathering

KEPT_FACTS_MAX = 4_096
"""So many facts are kept; a consumer reads at most 500 at once."""
READ_FACTS_MAX = 1_000
"""So many facts are read at once for all."""

_position = attrgetter("position")


class Outlook(NamedTuple):
    """How far facts have come, and whether somebody asked for a replay of a consumer's dead letters."""

    head: int
    is_replay_asked: bool


class Recent:
    """Reads for the consumers of one process. One object per process; with ``kept_max`` 0 each reads for itself."""

    def __init__(self, database: Database, *, kept_max: int = KEPT_FACTS_MAX) -> None:
        self._database = database
        self._kept_max = kept_max
        self._outlooks = Gathering(database, _outlooks)
        self._reading = asyncio.Lock()
        self._kept: list[Delivered] = []
        # What is kept is every fact at the positions in (_after, _upto].
        self._after = self._upto = 0

    async def outlook(self, consumer: str) -> Outlook:
        """Return how things stand for a consumer at some moment after this call."""
        found = await self._outlooks.one(consumer)
        assert found is not None, "every consumer is answered"
        return found

    async def read(
        self, after: int, upto: int, topics: Sequence[str], limit: int
    ) -> tuple[list[Delivered], int]:
        """Return facts of these topics (all where none) after a position, in order, and the position up to which they are all.

        At most ``limit``; that position is at most ``upto``, which must not be beyond the last one given.
        """
        if after < self._after or not self._kept_max:
            return await self._read(after, upto, topics, limit)
        if upto > self._upto:
            async with self._reading:
                await self._extend(after, upto)
        if after < self._after:
            # While this one waited others have read on.
            return await self._read(after, upto, topics, limit)
        end = min(upto, self._upto)
        return _cut(self._wanted(after, end, topics), end, limit)

    async def _read(
        self, after: int, upto: int, topics: Sequence[str], limit: int
    ) -> tuple[list[Delivered], int]:
        async with self._database.connection() as connection:
            found = await cursors.read(connection, after, upto, topics, limit)
        return _cut(found, upto, limit)

    async def _extend(self, after: int, upto: int) -> None:
        """Read on behind what is kept, or from ``after`` on where that is beyond it."""
        if upto <= self._upto:
            return
        if after > self._upto:
            self._kept, self._after, self._upto = [], after, after
        found, end = await self._read(self._upto, upto, (), READ_FACTS_MAX)
        self._kept += found
        self._upto = end
        if len(self._kept) > self._kept_max:
            gone = len(self._kept) - self._kept_max
            self._after = self._kept[gone - 1].position
            del self._kept[:gone]

    def _wanted(self, after: int, end: int, topics: Sequence[str]) -> list[Delivered]:
        first = bisect_right(self._kept, after, key=_position)
        last = bisect_right(self._kept, end, key=_position)
        if not topics:
            return self._kept[first:last]
        wanted = frozenset(topics)
        return [each for each in self._kept[first:last] if each.topic in wanted]


async def _outlooks(connection: Connection, consumers: Sequence[str]) -> Mapping[str, Outlook]:
    head, asked = await cursors.outlook(connection, consumers)
    return {consumer: Outlook(head, consumer in asked) for consumer in consumers}


def _cut(found: list[Delivered], end: int, limit: int) -> tuple[list[Delivered], int]:
    """Return the first ``limit`` facts and the position up to which they are all."""
    if len(found) < limit:
        return found, end
    return found[:limit], found[limit - 1].position
