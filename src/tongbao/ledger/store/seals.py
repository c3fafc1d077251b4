"""The SQL of the sealer: rows in commit order, seals, and the checkpoints that serve statements.

What is particular to one engine stands here and nowhere else. A row carries the number of the transaction that
wrote it. The sealer remembers the snapshot up to which it has sealed: the first number not yet given out then,
and those that were still running. What a newer snapshot sees beyond that is new; among it, commit order is the
commit timestamp where the server keeps it (``track_commit_timestamp``, on in the embedded server), the number
otherwise.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.core.db import Connection
from tongbao.ledger.schema import BookId, JournalRow, Seal
from tongbao.ledger.store.journal import journal_row

CHECKPOINT_ENTRIES_MAX = 256
CLUSTER_XID_BITS = 48
NEAR_XIDS = 256
"""Transactions that end so shortly behind a window are searched for together with it, older ones one by one."""

_CURSOR = """
SELECT next_xid, end_xid, running_xids, xid_offset, system_identifier FROM ledger.seal_cursor WHERE cursor_id = 1
"""
_LOCK_CURSOR = _CURSOR + " FOR UPDATE SKIP LOCKED"
_WAIT_CURSOR = _CURSOR + " FOR UPDATE"
_HORIZON = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_SNAPSHOT = "SELECT pg_current_snapshot()::text"
_SYSTEM = "SELECT system_identifier FROM pg_control_system()"

_BATCHES = """
SELECT b.batch_xid, b.transfer_count FROM (
    SELECT t.batch_xid, count(*) AS transfer_count FROM ledger.transfer AS t
    WHERE (t.batch_xid >= $1 AND t.batch_xid < $2) OR t.batch_xid = ANY ($3::bigint[]) GROUP BY t.batch_xid
) AS b ORDER BY CASE WHEN $5::boolean AND b.batch_xid >= $4::bigint
    THEN pg_xact_commit_timestamp(((b.batch_xid - $4) & 4294967295)::text::xid) END NULLS FIRST, b.batch_xid
"""

# The window is materialized first, so that its rows are found by their batch numbers whatever else is asked of them.
_LEAVES = """
WITH sealed AS MATERIALIZED (
    SELECT t.* FROM ledger.transfer AS t
    WHERE (t.batch_xid >= $2 AND t.batch_xid < $3) OR t.batch_xid = ANY ($4::bigint[])
)
SELECT t.book_id, count(*) AS transfer_count, min(t.recorded_at) AS recorded_from, max(t.recorded_at) AS recorded_to,
    string_agg(uuid_send(t.key), ''::bytea ORDER BY o.place, t.batch_index) AS keys,
    string_agg(sha256('\\x00'::bytea || uuid_send(t.key) || int8send(t.book_id) || int8send(t.debit_account_id)
        || int8send(t.credit_account_id) || int8send(t.amount_minor) || int4send(t.asset_id) || int2send(t.kind)
        || timestamptz_send(t.occurred_at) || timestamptz_send(t.recorded_at)
        || int4send(octet_length(t.code)) || textsend(t.code)
        || coalesce('\\x01'::bytea || int4send(octet_length(t.reference)) || textsend(t.reference), '\\x00'::bytea)
        || coalesce('\\x01'::bytea || uuid_send(t.group_key), '\\x00'::bytea)
        || coalesce('\\x01'::bytea || int2send(t.group_size), '\\x00'::bytea)
        || coalesce('\\x01'::bytea || uuid_send(t.refers_to), '\\x00'::bytea)
        || coalesce('\\x01'::bytea || int8send(t.released_minor), '\\x00'::bytea)
        || coalesce('\\x01'::bytea || int8send(t.requested_minor), '\\x00'::bytea)
        || coalesce('\\x01'::bytea || timestamptz_send(t.expires_at), '\\x00'::bytea)
    ), ''::bytea ORDER BY o.place, t.batch_index) AS leaves
FROM unnest($1::bigint[]) WITH ORDINALITY AS o (batch_xid, place)
JOIN sealed AS t ON t.batch_xid = o.batch_xid
GROUP BY t.book_id
"""

_LAST_SEALS = """
SELECT b.book_id, s.seal_no, s.first_seq + s.transfer_count AS next_seq, s.seal_hash
FROM unnest($1::bigint[]) AS b (book_id)
JOIN LATERAL (
    SELECT l.seal_no, l.first_seq, l.transfer_count, l.seal_hash FROM ledger.seal AS l
    WHERE l.book_id = b.book_id ORDER BY l.seal_no DESC LIMIT 1
) AS s ON true
"""

_INSERT_SEAL = """
INSERT INTO ledger.seal (book_id, seal_no, first_seq, transfer_count, sealed_at, recorded_from, recorded_to, root,
    previous_hash, seal_hash, keys, leaves)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""

_INSERT_CHECKPOINTS = """
WITH sealed AS MATERIALIZED (
    SELECT t.book_id, t.key, t.debit_account_id, t.credit_account_id, t.amount_minor, t.kind, t.released_minor,
        t.occurred_at, t.recorded_at, t.batch_xid, t.batch_index
    FROM ledger.transfer AS t
    WHERE (t.batch_xid >= $2 AND t.batch_xid < $3) OR t.batch_xid = ANY ($4::bigint[])
), numbered AS (
    SELECT t.book_id, t.key, t.debit_account_id, t.credit_account_id, t.occurred_at, t.recorded_at,
        s.first_seq - 1 + row_number() OVER (PARTITION BY t.book_id ORDER BY o.place, t.batch_index) AS seq,
        CASE WHEN t.kind IN (0, 2, 5) THEN t.amount_minor ELSE 0 END AS posted,
        CASE t.kind WHEN 1 THEN t.amount_minor WHEN 2 THEN -coalesce(t.released_minor, t.amount_minor)
            WHEN 3 THEN -t.amount_minor WHEN 4 THEN -t.amount_minor ELSE 0 END AS held
    FROM unnest($1::bigint[]) WITH ORDINALITY AS o (batch_xid, place)
    JOIN sealed AS t ON t.batch_xid = o.batch_xid
    JOIN unnest($5::bigint[], $6::bigint[]) AS s (book_id, first_seq) ON s.book_id = t.book_id
), legs AS (
    SELECT book_id, debit_account_id AS account_id, seq, key, occurred_at, recorded_at,
        posted AS debits, 0 AS credits, held AS debits_held, 0 AS credits_held FROM numbered
    UNION ALL
    SELECT book_id, credit_account_id, seq, key, occurred_at, recorded_at, 0, posted, 0, held FROM numbered
), chunked AS (
    SELECT l.*, (row_number() OVER (PARTITION BY book_id, account_id ORDER BY seq) - 1) / $7 AS chunk FROM legs AS l
), sums AS (
    SELECT book_id, account_id, chunk, max(seq) AS last_seq, sum(debits)::bigint AS debits,
        sum(credits)::bigint AS credits, sum(debits_held)::bigint AS debits_held,
        sum(credits_held)::bigint AS credits_held, count(*) AS entry_count,
        min(recorded_at) AS recorded_from, max(recorded_at) AS recorded_to, min(occurred_at) AS occurred_from,
        max(occurred_at) AS occurred_to, array_agg(seq ORDER BY seq) AS seqs, array_agg(key ORDER BY seq) AS keys
    FROM chunked GROUP BY book_id, account_id, chunk
)
INSERT INTO ledger.checkpoint (book_id, account_id, last_seq, debits_minor, credits_minor, debits_held_minor,
    credits_held_minor, entry_count, recorded_from, recorded_to, occurred_from, occurred_to, seqs, keys)
SELECT n.book_id, n.account_id, n.last_seq, coalesce(p.debits_minor, 0) + sum(n.debits) OVER w,
    coalesce(p.credits_minor, 0) + sum(n.credits) OVER w, coalesce(p.debits_held_minor, 0) + sum(n.debits_held) OVER w,
    coalesce(p.credits_held_minor, 0) + sum(n.credits_held) OVER w,
    coalesce(p.entry_count, 0) + sum(n.entry_count) OVER w, n.recorded_from,
    greatest(p.recorded_to, max(n.recorded_to) OVER w), n.occurred_from,
    greatest(p.occurred_to, max(n.occurred_to) OVER w), n.seqs, n.keys
FROM sums AS n
LEFT JOIN LATERAL (
    SELECT c.debits_minor, c.credits_minor, c.debits_held_minor, c.credits_held_minor, c.entry_count, c.recorded_to,
        c.occurred_to
    FROM ledger.checkpoint AS c WHERE c.book_id = n.book_id AND c.account_id = n.account_id
    ORDER BY c.last_seq DESC LIMIT 1
) AS p ON true
WINDOW w AS (PARTITION BY n.book_id, n.account_id ORDER BY n.chunk)
"""

_BY_WATERMARK = "SET LOCAL enable_seqscan = off"
_MOVE_CURSOR = """
UPDATE ledger.seal_cursor SET next_xid = $1, end_xid = $2, running_xids = $3, moved_at = $4 WHERE cursor_id = 1
"""
_ADOPT = "UPDATE ledger.seal_cursor SET system_identifier = $1, xid_offset = $2 WHERE cursor_id = 1"
_LAST_BATCH = "SELECT coalesce(max(batch_xid), 0) FROM ledger.transfer WHERE batch_xid >= $1"
_DEFAULTS = """
SELECT format('ALTER TABLE %s ALTER COLUMN batch_xid SET DEFAULT (pg_current_xact_id()::text::bigint + %s)',
    t.relid, $1::bigint)
FROM pg_partition_tree('ledger.transfer') AS t
"""
_SUMMARIZE = """
SELECT brin_summarize_new_values(i.indexrelid) FROM pg_index AS i
JOIN pg_inherits AS p ON p.inhrelid = i.indexrelid
WHERE p.inhparent = 'ledger.transfer_batch'::regclass
"""

_SEALS = """
SELECT book_id, seal_no, first_seq, transfer_count, sealed_at, root, previous_hash, seal_hash, keys, leaves
FROM ledger.seal WHERE book_id = $1 AND seal_no >= $2 ORDER BY seal_no
"""
_SEAL_HEADS = """
SELECT b.book_id, b.code, s.seal_no, s.first_seq + s.transfer_count - 1 AS last_seq, s.seal_hash, s.sealed_at
FROM ledger.book AS b
JOIN LATERAL (
    SELECT l.seal_no, l.first_seq, l.transfer_count, l.seal_hash, l.sealed_at FROM ledger.seal AS l
    WHERE l.book_id = b.book_id ORDER BY l.seal_no DESC LIMIT 1
) AS s ON true
ORDER BY b.code
"""
_ROWS_OF_SEAL = """
SELECT t.book_id, t.key, t.debit_account_id, t.credit_account_id, t.amount_minor, t.asset_id, t.kind, t.code,
    t.reference, t.occurred_at, t.recorded_at, t.batch_index, t.group_key, t.group_size, t.refers_to,
    t.released_minor, t.requested_minor, t.expires_at
FROM unnest($2::uuid[]) AS u (key) JOIN ledger.transfer AS t ON t.book_id = $1 AND t.key = u.key
"""
_KEYS_BELOW = """
SELECT t.key FROM ledger.transfer AS t WHERE t.book_id = $1
    AND (t.batch_xid < $2 OR (t.batch_xid < $3 AND t.batch_xid <> ALL ($4::bigint[])))
"""
_ROWS_FROM = """
SELECT t.book_id, t.key, t.debit_account_id, t.credit_account_id, t.amount_minor, t.asset_id, t.kind, t.code,
    t.reference, t.occurred_at, t.recorded_at, t.batch_index, t.group_key, t.group_size, t.refers_to,
    t.released_minor, t.requested_minor, t.expires_at
FROM ledger.transfer AS t WHERE t.book_id = $1
    AND t.batch_xid >= $2 AND (t.batch_xid >= $3 OR t.batch_xid = ANY ($4::bigint[]))
ORDER BY t.batch_xid, t.batch_index
"""


class Cursor(NamedTuple):
    """What the sealer has read: all below ``end_xid`` but ``running_xids``, all below ``next_xid`` without exception.

    These are stored numbers: a transaction id plus ``xid_offset``.
    """

    next_xid: int
    end_xid: int
    running_xids: list[int]
    xid_offset: int
    system_identifier: int | None


class Snapshot(NamedTuple):
    """Which transactions have ended: all below ``end_xid`` but ``running_xids``; in stored numbers."""

    end_xid: int
    running_xids: list[int]


class Window(NamedTuple):
    """Where the rows of one round stand: numbers in [first_xid, end_xid), and ``ended_xids`` from before.

    The search for them begins at ``search_xid``, so that those of ``ended_xids`` that lie near cost nothing.
    """

    first_xid: int
    end_xid: int
    ended_xids: list[int]
    search_xid: int

    @classmethod
    def of(cls, first_xid: int, end_xid: int, ended_xids: list[int]) -> "Window":
        """Return the window of a stretch and of single numbers below it."""
        near = [xid for xid in ended_xids if xid >= first_xid - NEAR_XIDS]
        return cls(first_xid, end_xid, ended_xids, min([first_xid, *near]))

    def ranges(self) -> tuple[int, int, list[int]]:
        """Return what is searched, somewhat more than the window: a range of numbers, and single ones."""
        return self.search_xid, self.end_xid, [xid for xid in self.ended_xids if xid < self.search_xid]

    def holds(self, xid: int) -> bool:
        """Tell whether a number of those searched belongs to the window."""
        return xid >= self.first_xid or xid in self.ended_xids


class Batch(NamedTuple):
    """One committed batch of the journal."""

    batch_xid: int
    transfer_count: int


class Leaves(NamedTuple):
    """The unsealed rows of one book, in order: keys of 16 bytes and leaf hashes of 32."""

    book_id: BookId
    transfer_count: int
    recorded_from: datetime
    recorded_to: datetime
    keys: bytes
    leaves: bytes


class Head(NamedTuple):
    """The newest seal of a book."""

    book_id: BookId
    book_code: str
    seal_no: int
    last_seq: int
    seal_hash: bytes
    sealed_at: datetime


async def lock_cursor(connection: Connection, *, wait: bool = False) -> Cursor | None:
    """Become the only sealer until the transaction ends; None where another one is at work."""
    row = await connection.fetchrow(_WAIT_CURSOR if wait else _LOCK_CURSOR)
    return None if row is None else Cursor(*row)


async def cursor(connection: Connection) -> Cursor:
    """Return the cursor without locking it."""
    return Cursor(*await connection.fetchrow(_CURSOR))


async def horizon(connection: Connection) -> int:
    """Return the transaction id below which every transaction has ended."""
    xmin: int = await connection.fetchval(_HORIZON)
    return xmin


async def snapshot(connection: Connection, xid_offset: int) -> Snapshot:
    """Return which transactions have ended now."""
    text: str = await connection.fetchval(_SNAPSHOT)
    _, end, running = text.split(":")
    return Snapshot(int(end) + xid_offset, [int(xid) + xid_offset for xid in running.split(",") if xid])


async def system_identifier(connection: Connection) -> int:
    """Return what tells this database cluster from any other."""
    identifier: int = await connection.fetchval(_SYSTEM)
    return identifier


async def keeps_commit_times(connection: Connection) -> bool:
    """Tell whether the server knows when each transaction committed."""
    return bool(await connection.fetchval("SHOW track_commit_timestamp") == "on")


async def adopt(connection: Connection, seen: Cursor, system: int, horizon_xid: int) -> int:
    """Make stored batch numbers go on upwards in a cluster whose transaction ids began anew; return the offset.

    Each cluster's numbers begin at a multiple of 2^48 of their own, so that rows of an earlier cluster, whose
    commit times nobody knows any more, are told from this one's and come before them.
    """
    if seen.system_identifier is None and seen.next_xid <= horizon_xid:
        offset = 0
    else:
        last: int = await connection.fetchval(_LAST_BATCH, seen.next_xid)
        offset = ((max(last, seen.next_xid, seen.end_xid) >> CLUSTER_XID_BITS) + 1) << CLUSTER_XID_BITS
    # A default takes no parameters, so the server writes the number into the statements.
    for (statement,) in await connection.fetch(_DEFAULTS, offset):
        await connection.execute(statement)
    await connection.execute(_ADOPT, system, offset)
    return offset


async def batches(connection: Connection, window: Window, xid_offset: int, *, by_commit: bool) -> list[Batch]:
    """Return the batches of a window that are visible, in commit order where the server knows it."""
    rows = await connection.fetch(_BATCHES, *window.ranges(), xid_offset, by_commit)
    return [Batch(*row) for row in rows if window.holds(row["batch_xid"])]


async def leaves(connection: Connection, window: Window, ordered: Sequence[int]) -> list[Leaves]:
    """Return, by book, keys and leaf hashes of the rows of these batches of a window, in the order given."""
    rows = await connection.fetch(_LEAVES, ordered, *window.ranges())
    return [Leaves(*row) for row in rows]


async def last_seals(connection: Connection, books: Sequence[BookId]) -> dict[BookId, tuple[int, int, bytes]]:
    """Return, by book, number of the last seal, the next sequence number and the last hash."""
    rows = await connection.fetch(_LAST_SEALS, books)
    return {row["book_id"]: (row["seal_no"], row["next_seq"], row["seal_hash"]) for row in rows}


async def insert_seals(connection: Connection, seals: Sequence[Seal], found: Sequence[Leaves]) -> None:
    """Write seals; ``found`` gives each its span of recording times."""
    await connection.executemany(
        _INSERT_SEAL,
        [
            (
                seal.book_id,
                seal.seal_no,
                seal.first_seq,
                seal.transfer_count,
                seal.sealed_at,
                rows.recorded_from,
                rows.recorded_to,
                seal.root,
                seal.previous_hash,
                seal.seal_hash,
                seal.keys,
                seal.leaves,
            )
            for seal, rows in zip(seals, found, strict=True)
        ],
    )


async def insert_checkpoints(
    connection: Connection, window: Window, ordered: Sequence[int], seals: Sequence[Seal]
) -> None:
    """Write, for every account that the sealed rows touch, its sums so far and where its entries are.

    A checkpoint lists at most 256 entries; an account with more in one round gets several.
    """
    await connection.execute(
        _INSERT_CHECKPOINTS,
        ordered,
        *window.ranges(),
        [seal.book_id for seal in seals],
        [seal.first_seq for seal in seals],
        CHECKPOINT_ENTRIES_MAX,
    )


async def search_by_watermark(connection: Connection) -> None:
    """Let this transaction find rows by their batch numbers, however the planner guesses the table's size."""
    await connection.execute(_BY_WATERMARK)


async def move_cursor(connection: Connection, seen: Snapshot, at: datetime) -> None:
    """Remember what the sealer has read."""
    next_xid = min([seen.end_xid, *seen.running_xids])
    await connection.execute(_MOVE_CURSOR, next_xid, seen.end_xid, seen.running_xids, at)


async def summarize(connection: Connection) -> None:
    """Let the block ranges that filled up since be skipped by the next search for new rows."""
    await connection.fetch(_SUMMARIZE)


async def heads(connection: Connection) -> list[Head]:
    """Return the newest seal of every book that has one, by code."""
    return [Head(*row) for row in await connection.fetch(_SEAL_HEADS)]


async def seals_of_book(connection: Connection, book_id: BookId, from_no: int = 1) -> AsyncIterator[Seal]:
    """Yield the seals of a book in order; needs an open transaction."""
    async for row in connection.cursor(_SEALS, book_id, from_no, prefetch=20):
        yield Seal(*row)


async def rows_of_seal(
    connection: Connection, book_id: BookId, keys: Sequence[UUID]
) -> dict[UUID, JournalRow]:
    """Return the journal rows that exist among these keys."""
    rows = await connection.fetch(_ROWS_OF_SEAL, book_id, keys)
    return {row.key: row for row in map(journal_row, rows)}


async def keys_below(connection: Connection, book_id: BookId, seen: Cursor) -> AsyncIterator[UUID]:
    """Yield the keys of all rows that the sealer must have seen; needs an open transaction."""
    async for row in connection.cursor(_KEYS_BELOW, book_id, *seen[:3], prefetch=5_000):
        yield row["key"]


async def rows_from(connection: Connection, book_id: BookId, seen: Cursor) -> list[JournalRow]:
    """Return the rows of a book that the sealer has not seen yet, in batch order."""
    return [journal_row(row) for row in await connection.fetch(_ROWS_FROM, book_id, *seen[:3])]
