"""The relay: gives committed facts their positions, in commit order, one process at a time.

It runs off the hot path and never touches a fact: each round writes the ids of what became visible since the last
one, in order, as a few segments. A transaction that takes long delays its own facts only.
"""

from datetime import datetime

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.events import store
from tongbao.core.metrics import Metrics

ROUND_FACTS_MAX = 100_000
"""Facts in one round, beyond which a backlog is cut by transaction number; a larger transaction stays whole."""
SUMMARIZE_FACTS = 1_000
FORGET_SEGMENTS_MAX = 64


class Relay:
    """Orders the outbox. One object per process; whichever gets the lock row does the work."""

    def __init__(self, database: Database, clock: Clock, metrics: Metrics) -> None:
        self._database = database
        self._clock = clock
        self._by_commit: bool | None = None
        self._unsummarized = 0
        self._placed = metrics.counter("events_placed", "Facts given a position")
        self._rounds = metrics.histogram("events_relay_seconds", "Time of one round of the relay")

    async def prepare(self) -> None:
        """Adopt this database cluster; run once at start, before anything is published.

        After a restore into a new cluster transaction numbers begin anew; adopting it makes stored ones go on
        upwards, so that no fact is delivered twice or never.
        """
        async with self._database.transaction() as connection:
            row = await store.lock_relay(connection, wait=True)
            system = await store.system_identifier(connection)
            if row is not None and row.system_identifier != system:
                await store.adopt(connection, row, system)

    async def round(self) -> int | None:
        """Place what was committed since the last round, in one transaction.

        Returns the number of facts placed, or None where there are none or another process is at it. Between two
        rounds the order is that of becoming visible, within one that of the commit timestamps. Only a backlog of
        more than ``ROUND_FACTS_MAX`` is cut by transaction number: there, transactions that ran at the same
        time may change places.
        """
        with self._rounds.time():
            async with self._database.transaction() as connection:
                await store.scan_nothing(connection)
                if not await store.anything_since(connection, await store.relay(connection)):
                    return None
                row = await store.lock_relay(connection)
                if row is None:
                    return None
                count = await self._place(connection, row)
        self._placed.inc(count)
        self._unsummarized += count
        if self._unsummarized >= SUMMARIZE_FACTS:
            self._unsummarized = 0
            async with self._database.connection() as connection:
                await store.summarize(connection)
        return count

    async def place_all(self) -> int:
        """Place until nothing committed is left; return the number of facts placed."""
        total = 0
        while (count := await self.round()) is not None:
            total += count
        return total

    async def forget(self, before: datetime) -> int:
        """Delete facts recorded before ``before`` that every consumer has passed; return how many segments went.

        Facts with a dead letter stay. A consumer that is never run again holds everything: ``drop`` it. Each
        transaction deletes at most ``FORGET_SEGMENTS_MAX`` segments.
        """
        total = 0
        while True:
            async with self._database.transaction() as connection:
                count = await store.forget(connection, before, FORGET_SEGMENTS_MAX)
            total += count
            if count < FORGET_SEGMENTS_MAX:
                return total

    async def _place(self, connection: Connection, row: store.RelayRow) -> int:
        if self._by_commit is None:
            self._by_commit = await store.keeps_commit_times(connection)
        ended = await store.snapshot(connection, row.xid_offset)
        stop = await self._stop(connection, row.next_xid, ended.next_xid)
        ended = ended.until(stop)
        count = await store.place(connection, row, ended, by_commit=self._by_commit)
        await store.move_relay(connection, row.next_position + count, ended, self._clock.now())
        return count

    async def _stop(self, connection: Connection, first: int, end: int) -> int:
        """Return the end of the longest stretch from ``first``, halved from ``end``, that one round may hold."""
        stop = max(first, end)
        while stop - first > 1:
            limit = ROUND_FACTS_MAX + 1
            if await store.count_between(connection, first, stop, limit) < limit:
                break
            stop = first + (stop - first) // 2
        return stop
