"""The sealer: gives finished transfers their place, chains them, and builds what statements read.

It runs off the hot path, one at a time over any number of processes (a lock row decides who). Each round takes
the batches that became visible since, in commit order, gives every book's rows gapless sequence numbers, hashes them
into a Merkle root chained to the book's previous seal, and writes one checkpoint per touched account: its sums
so far and the list of its new entries. That checkpoint is balance history and statement index in one, so
that the write path carries no statement index at all (decision 0004).
"""

from itertools import accumulate, takewhile
from typing import NamedTuple

from tongbao.core import merkle, partitions
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.events.outbox import Outbox
from tongbao.core.metrics import Metrics
from tongbao.core.partitions import Partitioned
from tongbao.ledger import sealed
from tongbao.ledger.schema import BookId, Seal, Sealed, Unsealed
from tongbao.ledger.store import seals as store
from tongbao.ledger.store import unsealed as unsealed_store

WINDOW_TRANSFERS_MAX = 32_768
"""Rows in one round; a single larger batch is sealed whole."""
SPAN_MIN = 256
SPAN_MAX = 2**50
IDLE_XIDS_MAX = 10_000
"""An idle sealer moves on only after so many foreign transactions: moving the cursor is one itself.

It also does once one that it remembers as running has ended, or each search would begin at that one's number.
"""
MONTHS_AHEAD = 3
JOURNAL = Partitioned("ledger", "transfer", "key")


class SealHead(NamedTuple):
    """The newest seal of a book: its number, how many transfers are sealed up to it, and its hash."""

    seal_no: int
    transfer_count: int
    seal_hash: bytes


class Sealing:
    """Seals the journal. One object per process; whichever gets the lock row does the work."""

    def __init__(
        self, database: Database, clock: Clock, metrics: Metrics, outbox: Outbox | None = None
    ) -> None:
        self._outbox = outbox
        self._database = database
        self._clock = clock
        self._span = SPAN_MIN
        self._by_commit: bool | None = None
        self._sealed = metrics.counter("ledger_sealed", "Transfers sealed")
        self._rounds = metrics.histogram("ledger_seal_seconds", "Time of one sealing round")

    async def prepare(self) -> None:
        """Get the journal ready for new rows: this cluster adopted, partitions of the coming months made.

        Run once at start, before anything is posted. After a restore into a new cluster, transaction ids begin
        anew; adopting it makes stored batch numbers go on upwards, so that nothing is sealed twice or never.
        """
        async with self._database.transaction() as connection:
            cursor = await store.lock_cursor(connection, wait=True)
            system = await store.system_identifier(connection)
            if cursor is not None and cursor.system_identifier != system:
                await store.adopt(connection, cursor, system, await store.horizon(connection))
            await partitions.ensure_months(connection, JOURNAL, self._clock.now(), MONTHS_AHEAD)

    async def seal_all(self, rounds_max: int = 1_000_000) -> int:
        """Seal until nothing finished is left; return the number of transfers sealed."""
        total = 0
        for _ in range(rounds_max):
            count = await self.seal_round()
            if count is None:
                break
            total += count
        return total

    async def head(self, book_id: BookId) -> SealHead:
        """Return the newest link of a book's chain; seal 0 with the genesis hash where nothing is sealed yet."""
        async with self._database.connection() as connection:
            last = await store.last_seals(connection, [book_id])
        seal_no, next_seq, digest = last.get(book_id, (0, 1, sealed.GENESIS))
        return SealHead(seal_no, next_seq - 1, digest)

    async def unsealed(self) -> Unsealed:
        """Return what no seal holds yet."""
        async with self._database.connection() as connection:
            return await unsealed_store.unsealed(connection)

    async def seal_round(self) -> int | None:
        """Seal one window of finished batches in one transaction.

        Between two snapshots the order is that of becoming visible, within one that of the commit timestamps.
        Only a backlog of more than a window is cut by transaction number: there, transactions that ran at the
        same time may change places.

        Returns the number of transfers sealed (0 for an empty stretch of transaction ids), or None where all
        that is finished is sealed or another process is at it.
        """
        with self._rounds.time():
            async with self._database.transaction() as connection:
                cursor = await store.lock_cursor(connection)
                if cursor is None:
                    return None
                await store.search_by_watermark(connection)
                ended = await store.snapshot(connection, cursor.xid_offset)
                window, found = await self._window(connection, cursor, ended)
                idle = window.end_xid >= ended.end_xid and ended.end_xid - cursor.end_xid < IDLE_XIDS_MAX
                if not found and idle and not window.ended_xids:
                    return None
                batches = found[: _fitting(found)]
                if batches:
                    await self._seal(connection, window, [batch.batch_xid for batch in batches])
                left = [batch.batch_xid for batch in found[len(batches) :]]
                left += [xid for xid in ended.running_xids if xid < window.end_xid]
                await store.move_cursor(
                    connection, store.Snapshot(window.end_xid, sorted(left)), self._clock.now()
                )
                if not found and idle:
                    return None
            count = sum(batch.transfer_count for batch in batches)
            if count:
                async with self._database.connection() as connection:
                    await store.summarize(connection)
                self._sealed.inc(count)
        return count

    async def _window(
        self, connection: Connection, cursor: store.Cursor, ended: store.Snapshot
    ) -> tuple[store.Window, list[store.Batch]]:
        """Choose the next batches: those that ran on when last looked, and a stretch of transaction ids behind.

        The stretch doubles while it is nearly empty and halves while it is too full, so neither a million
        foreign transactions nor a million waiting rows make a round slow, and nothing is cut that fits.
        """
        if self._by_commit is None:
            self._by_commit = await store.keeps_commit_times(connection)
        first, running = cursor.end_xid, set(ended.running_xids)
        before = sorted(set(cursor.running_xids) - running)
        halved = False
        while True:
            window = store.Window.of(first, max(first, min(ended.end_xid, first + self._span)), before)
            visible = await store.batches(connection, window, cursor.xid_offset, by_commit=self._by_commit)
            found = [batch for batch in visible if batch.batch_xid not in running]
            count, stretch = sum(batch.transfer_count for batch in found), window.end_xid - first
            if count > WINDOW_TRANSFERS_MAX and stretch > 1:
                self._span, halved = stretch // 2, True
            elif count < WINDOW_TRANSFERS_MAX // 2 and not halved and first + self._span < ended.end_xid:
                if self._span >= SPAN_MAX:
                    return window, found
                self._span *= 2
            else:
                return window, found

    async def _seal(self, connection: Connection, window: store.Window, ordered: list[int]) -> None:
        """Write the seals and checkpoints of these batches of a window."""
        found = await store.leaves(connection, window, ordered)
        last = await store.last_seals(connection, [rows.book_id for rows in found])
        now = self._clock.now()
        seals = []
        for rows in found:
            seal_no, next_seq, previous = last.get(rows.book_id, (0, 1, sealed.GENESIS))
            root = merkle.root(merkle.unpack(rows.leaves))
            digest = sealed.seal_hash(
                rows.book_id, seal_no + 1, next_seq, rows.transfer_count, root, previous
            )
            seals.append(
                Seal(
                    rows.book_id,
                    seal_no + 1,
                    next_seq,
                    rows.transfer_count,
                    now,
                    root,
                    previous,
                    digest,
                    rows.keys,
                    rows.leaves,
                )
            )
        await store.insert_seals(connection, seals, found)
        await store.insert_checkpoints(connection, window, ordered, seals)
        if self._outbox is not None:
            await self._outbox.publish(connection, [_fact(seal) for seal in seals])


def _fact(seal: Seal) -> Sealed:
    return Sealed(
        occurred_at=seal.sealed_at,
        book_id=seal.book_id,
        seal_no=seal.seal_no,
        first_seq=seal.first_seq,
        last_seq=seal.first_seq + seal.transfer_count - 1,
        seal_hash=seal.seal_hash.hex(),
    )


def _fitting(found: list[store.Batch]) -> int:
    """Return how many of the first batches one round may hold: at least one, if there is any."""
    sums = accumulate(batch.transfer_count for batch in found)
    return max(1, sum(1 for _ in takewhile(lambda count: count <= WINDOW_TRANSFERS_MAX, sums)))
