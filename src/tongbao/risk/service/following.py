"""Following: each process folds the facts of risk control into a memory of its own, in commit order.

A process that starts takes the newest snapshot, then what the journal has after it, then what only the outbox has yet. So
every process knows the same, a decision names the position that it was made at, and whoever folds up to that position finds
the very numbers that it saw. After a kill nothing is lost: nothing but the log has it.
"""

from datetime import timedelta

import structlog

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.events.facts import Fact, decode
from tongbao.core.events.tail import Tail
from tongbao.risk.models.memory import Memory
from tongbao.risk.service.journaling import TOPICS
from tongbao.risk.store import journal, snapshots
from tongbao.risk.store.snapshots import SnapshotRow

SNAPSHOT_FACTS = 50_000
SNAPSHOT_EVERY = timedelta(hours=1)
SNAPSHOTS_KEPT = 4
PAGE_MAX = 5_000
ROUNDS_MAX = 1_000_000
"""Pages that are read at most while starting."""

_log = structlog.get_logger(__name__)


class Following:
    """Keeps one memory up to date. ``position`` is that of the last fact in it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._tail = Tail(database, TOPICS)
        self.memory = Memory()
        self.position = 0
        self._since_snapshot = 0
        self._snapshot_at = clock.now()

    async def start(self) -> int:
        """Take the newest snapshot that can be read and everything after it; return how many facts were read."""
        async with self._database.connection() as connection:
            row = await snapshots.newest(connection)
        if row is not None:
            self._take(row)
        count = await self._from_journal()
        for _ in range(ROUNDS_MAX):
            read = await self.step()
            if not read:
                break
            count += read
        return count

    async def step(self) -> int:
        """Read what is new and fold it in; return how many facts there were."""
        facts, position = await self._tail.read(self.position)
        for delivered in facts:
            if isinstance(delivered.fact, Fact):
                self.memory.learn(delivered.fact)
        self.position = position
        self._since_snapshot += len(facts)
        if self._is_due():
            await self.snapshot()
        return len(facts)

    async def snapshot(self) -> SnapshotRow:
        """Keep the state as it is; whichever process is first at a position does it."""
        body = self.memory.dump()
        row = SnapshotRow(self.position, self._clock.now(), self.memory.digest(), body)
        async with self._database.transaction() as connection:
            await snapshots.save(connection, row, SNAPSHOTS_KEPT)
        self._since_snapshot = 0
        self._snapshot_at = row.taken_at
        return row

    async def _from_journal(self) -> int:
        """Fold in what the journal has after the position; the outbox may have forgotten it."""
        count = 0
        for _ in range(ROUNDS_MAX):
            async with self._database.connection() as connection:
                rows = await journal.page(connection, self.position, PAGE_MAX)
            for row in rows:
                fact = decode(row.topic, row.body)
                if isinstance(fact, Fact):
                    self.memory.learn(fact)
                self.position = row.position
            count += len(rows)
            if len(rows) < PAGE_MAX:
                break
        self._since_snapshot += count
        return count

    def _take(self, row: SnapshotRow) -> None:
        """Take a snapshot; one that this program cannot read is left alone and everything is read anew."""
        try:
            memory = Memory.load(row.body)
        except InvalidRequest as error:
            _log.warning("risk_snapshot_unreadable", position=row.position, detail=error.detail)
            return
        self.memory.become(memory)
        self.position = row.position
        self._snapshot_at = row.taken_at

    def _is_due(self) -> bool:
        if self._since_snapshot >= SNAPSHOT_FACTS:
            return True
        return self._since_snapshot > 0 and self._clock.now() - self._snapshot_at >= SNAPSHOT_EVERY
