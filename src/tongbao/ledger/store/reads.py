"""The SQL of reads: statements from checkpoints, the unsealed tail, balances as of an instant, sums."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.core.db import Connection
from tongbao.ledger.schema import (
    AccountId,
    BookId,
    HoldRow,
    House,
    JournalRow,
    NewestSeal,
    RollUp,
    TrialBalanceLine,
)
from tongbao.ledger.store.journal import hold_row, journal_row

_BY_WATERMARK = "SET LOCAL enable_seqscan = off"
_ROW = """
SELECT t.book_id, t.key, t.debit_account_id, t.credit_account_id, t.amount_minor, t.asset_id, t.kind, t.code,
    t.reference, t.occurred_at, t.recorded_at, t.batch_index, t.group_key, t.group_size, t.refers_to,
    t.released_minor, t.requested_minor, t.expires_at
"""
_TRANSFER = _ROW + "FROM ledger.transfer AS t WHERE t.book_id = $1 AND t.key = $2"

_UNSEALED = (
    """
WITH fresh AS MATERIALIZED (
    SELECT t.* FROM ledger.transfer AS t
    WHERE t.batch_xid >= (SELECT next_xid FROM ledger.seal_cursor WHERE cursor_id = 1)
        AND (t.batch_xid >= (SELECT end_xid FROM ledger.seal_cursor WHERE cursor_id = 1)
            OR t.batch_xid = ANY ((SELECT running_xids FROM ledger.seal_cursor WHERE cursor_id = 1)::bigint[]))
)"""
    + _ROW
    + """
FROM fresh AS t
WHERE t.book_id = $1 AND (t.debit_account_id = $2 OR t.credit_account_id = $2)
ORDER BY t.batch_xid, t.batch_index
"""
)

_LAST_CHECKPOINT = """
SELECT last_seq, debits_minor, credits_minor, debits_held_minor, credits_held_minor FROM ledger.checkpoint
WHERE book_id = $1 AND account_id = $2 ORDER BY last_seq DESC LIMIT 1
"""

# A checkpoint that reaches below the asked number ends at or above it only once: the next one up.
_SEALED_ENTRIES = (
    _ROW
    + """, e.seq
FROM (
    SELECT u.seq, u.key
    FROM ledger.checkpoint AS c
    CROSS JOIN LATERAL (
        SELECT n.seq, n.key FROM unnest(c.seqs, c.keys) AS n (seq, key)
        WHERE n.seq < $3 ORDER BY n.seq DESC LIMIT $4
    ) AS u
    WHERE c.book_id = $1 AND c.account_id = $2 AND c.last_seq <= coalesce((
        SELECT b.last_seq FROM ledger.checkpoint AS b
        WHERE b.book_id = $1 AND b.account_id = $2 AND b.last_seq >= $3 ORDER BY b.last_seq LIMIT 1), $3)
    ORDER BY c.last_seq DESC, u.seq DESC LIMIT $4
) AS e
JOIN ledger.transfer AS t ON t.book_id = $1 AND t.key = e.key
ORDER BY e.seq DESC
"""
)

_CHECKPOINT_AT_RECORDED = """
SELECT last_seq, debits_minor, credits_minor, debits_held_minor, credits_held_minor FROM ledger.checkpoint
WHERE book_id = $1 AND account_id = $2 AND recorded_to <= $3 ORDER BY last_seq DESC LIMIT 1
"""
_CHECKPOINT_AT_OCCURRED = """
SELECT last_seq, debits_minor, credits_minor, debits_held_minor, credits_held_minor FROM ledger.checkpoint
WHERE book_id = $1 AND account_id = $2 AND occurred_to <= $3 ORDER BY last_seq DESC LIMIT 1
"""

_AFTER_RECORDED = (
    _ROW
    + """
FROM ledger.checkpoint AS c
CROSS JOIN LATERAL unnest(c.keys) AS u (key)
JOIN ledger.transfer AS t ON t.book_id = c.book_id AND t.key = u.key
WHERE c.book_id = $1 AND c.account_id = $2 AND c.last_seq > $3 AND c.recorded_from <= $4 AND t.recorded_at <= $4
"""
)
_AFTER_OCCURRED = (
    _ROW
    + """
FROM ledger.checkpoint AS c
CROSS JOIN LATERAL unnest(c.keys) AS u (key)
JOIN ledger.transfer AS t ON t.book_id = c.book_id AND t.key = u.key
WHERE c.book_id = $1 AND c.account_id = $2 AND c.last_seq > $3 AND c.occurred_from <= $4 AND t.occurred_at <= $4
"""
)

_HOLDS = """
SELECT h.book_id, h.key, h.debit_account_id, h.credit_account_id, h.asset_id, h.amount_minor, h.remaining_minor,
    h.captured_minor, h.state, h.expires_at
FROM ledger.hold AS h WHERE h.book_id = $1 AND (NOT $2 OR h.state = 0) ORDER BY h.key DESC LIMIT $3
"""

_BALANCES = """
    SELECT b.book_id, b.account_id, b.debits_minor, b.credits_minor, b.debits_held_minor, b.credits_held_minor
    FROM ledger.balance AS b WHERE $1::bigint IS NULL OR b.book_id = $1
    UNION ALL
    SELECT p.book_id, p.account_id, p.debits_minor, p.credits_minor, p.debits_held_minor, p.credits_held_minor
    FROM ledger.balance_stripe AS p WHERE $1::bigint IS NULL OR p.book_id = $1
"""

_ROLL_UP = (
    """
SELECT s.code AS asset, s.scale, count(DISTINCT a.account_id) AS account_count, sum(x.debits_minor)::bigint AS debits,
    sum(x.credits_minor)::bigint AS credits, sum(x.debits_held_minor)::bigint AS debits_held,
    sum(x.credits_held_minor)::bigint AS credits_held
FROM ledger.account AS a
JOIN ledger.asset AS s ON s.asset_id = a.asset_id
JOIN ("""
    + _BALANCES
    + """) AS x ON x.book_id = a.book_id AND x.account_id = a.account_id
WHERE a.book_id = $1 AND (a.code = $2 OR starts_with(a.code, $2 || '/'))
GROUP BY s.code, s.scale ORDER BY s.code
"""
)

_TRIAL_BALANCE_OF_BOOK = (
    """
SELECT k.code AS book_code, a.code AS account_code, s.code AS asset, s.scale,
    sum(x.debits_minor)::bigint AS debits_minor, sum(x.credits_minor)::bigint AS credits_minor
FROM ("""
    + _BALANCES
    + """) AS x
JOIN ledger.account AS a ON a.book_id = x.book_id AND a.account_id = x.account_id
JOIN ledger.asset AS s ON s.asset_id = a.asset_id
JOIN ledger.book AS k ON k.book_id = x.book_id
GROUP BY k.code, a.code, s.code, s.scale ORDER BY s.code, a.code
"""
)

_TRIAL_BALANCE_OF_HOUSE = (
    """
SELECT k.template AS book_code, split_part(a.code, '/', 1) AS account_code, s.code AS asset, s.scale,
    sum(x.debits_minor)::bigint AS debits_minor, sum(x.credits_minor)::bigint AS credits_minor
FROM ("""
    + _BALANCES
    + """) AS x
JOIN ledger.account AS a ON a.book_id = x.book_id AND a.account_id = x.account_id
JOIN ledger.asset AS s ON s.asset_id = a.asset_id
JOIN ledger.book AS k ON k.book_id = x.book_id
GROUP BY k.template, split_part(a.code, '/', 1), s.code, s.scale ORDER BY s.code, k.template, 2
"""
)


_HOUSE = """
SELECT b.book_id, b.code, s.seal_no, s.last_seq, s.seal_hash, s.sealed_at,
    count(*) OVER () AS book_count, coalesce(sum(s.last_seq) OVER (), 0)::bigint AS transfer_count
FROM ledger.book AS b
LEFT JOIN LATERAL (
    SELECT l.seal_no, l.first_seq + l.transfer_count - 1 AS last_seq, l.seal_hash, l.sealed_at
    FROM ledger.seal AS l WHERE l.book_id = b.book_id ORDER BY l.seal_no DESC LIMIT 1
) AS s ON true
ORDER BY s.sealed_at DESC NULLS LAST, b.code LIMIT $1
"""

_NEWEST_SEAL = """
SELECT b.book_id, b.code, l.seal_no, l.first_seq + l.transfer_count - 1 AS last_seq, l.seal_hash, l.sealed_at
FROM ledger.seal AS l JOIN ledger.book AS b ON b.book_id = l.book_id
WHERE l.book_id = $1 ORDER BY l.seal_no DESC LIMIT 1
"""

# A group is written in one batch, and batches are what the journal can be searched by.
_GROUP = (
    _ROW
    + """
FROM ledger.transfer AS t
WHERE t.book_id = $1 AND t.group_key = $2
    AND t.batch_xid = (SELECT f.batch_xid FROM ledger.transfer AS f WHERE f.book_id = $1 AND f.key = $2)
ORDER BY t.batch_index
"""
)

_COVERING = """
SELECT c.debits_minor, c.credits_minor, c.seqs, c.keys FROM ledger.checkpoint AS c
WHERE c.book_id = $1 AND c.account_id = $2 AND c.last_seq >= $3 ORDER BY c.last_seq LIMIT 1
"""

_SEQ_OF = """
SELECT u.seq FROM ledger.checkpoint AS c CROSS JOIN LATERAL unnest(c.seqs, c.keys) AS u (seq, key)
WHERE c.book_id = $1 AND c.account_id = $2 AND c.last_seq > $3 AND u.key = $4 ORDER BY c.last_seq LIMIT 1
"""

_ROWS_BY_KEY = (
    _ROW + "FROM unnest($2::uuid[]) AS u (key) JOIN ledger.transfer AS t ON t.book_id = $1 AND t.key = u.key"
)


class Checkpoint(NamedTuple):
    """Sums of one account after its entry number ``last_seq``; 0 is the empty beginning."""

    last_seq: int
    debits_minor: int
    credits_minor: int
    debits_held_minor: int
    credits_held_minor: int


async def transfer(connection: Connection, book_id: BookId, key: UUID) -> JournalRow | None:
    """Return one journal row."""
    row = await connection.fetchrow(_TRANSFER, book_id, key)
    return None if row is None else journal_row(row)


async def unsealed(connection: Connection, book_id: BookId, account_id: AccountId) -> list[JournalRow]:
    """Return the rows of an account that the sealer has not seen yet, oldest first."""
    return [journal_row(row) for row in await connection.fetch(_UNSEALED, book_id, account_id)]


async def last_checkpoint(
    connection: Connection, book_id: BookId, account_id: AccountId
) -> Checkpoint | None:
    """Return the newest checkpoint of an account."""
    row = await connection.fetchrow(_LAST_CHECKPOINT, book_id, account_id)
    return None if row is None else Checkpoint(*row)


async def sealed_entries(
    connection: Connection, book_id: BookId, account_id: AccountId, before_seq: int, limit: int
) -> list[tuple[int, JournalRow]]:
    """Return (sequence number, row) of sealed entries below a sequence number, newest first."""
    rows = await connection.fetch(_SEALED_ENTRIES, book_id, account_id, before_seq, limit)
    return [(row["seq"], journal_row(row)) for row in rows]


async def rows_from(
    connection: Connection, book_id: BookId, account_id: AccountId, seq: int
) -> tuple[int, list[JournalRow]] | None:
    """Return the posted balance at the end of the checkpoint that holds entry ``seq``, and its entries from there.

    None where nothing is sealed at or after ``seq``. At most 256 rows.
    """
    row = await connection.fetchrow(_COVERING, book_id, account_id, seq)
    if row is None:
        return None
    keys = [key for at, key in zip(row["seqs"], row["keys"], strict=True) if at >= seq]
    rows = await connection.fetch(_ROWS_BY_KEY, book_id, keys)
    return row["credits_minor"] - row["debits_minor"], [journal_row(found) for found in rows]


async def seq_of(
    connection: Connection, book_id: BookId, account_id: AccountId, after_seq: int, key: UUID
) -> int | None:
    """Return the sequence number of an entry that was sealed after ``after_seq``."""
    seq: int | None = await connection.fetchval(_SEQ_OF, book_id, account_id, after_seq, key)
    return seq


async def house(connection: Connection, limit: int) -> House:
    """Return the counts of the house and the newest seals, newest first."""
    rows = await connection.fetch(_HOUSE, limit)
    if not rows:
        return House(0, 0, ())
    newest = tuple(NewestSeal(*tuple(row)[:6]) for row in rows if row["seal_no"] is not None)
    return House(rows[0]["book_count"], rows[0]["transfer_count"], newest)


async def newest_seal(connection: Connection, book_id: BookId) -> NewestSeal | None:
    """Return the newest seal of a book."""
    row = await connection.fetchrow(_NEWEST_SEAL, book_id)
    return None if row is None else NewestSeal(*row)


async def group(connection: Connection, book_id: BookId, group_key: UUID) -> list[JournalRow]:
    """Return the rows that were posted as one group, in order."""
    return [journal_row(row) for row in await connection.fetch(_GROUP, book_id, group_key)]


async def checkpoint_at(
    connection: Connection, book_id: BookId, account_id: AccountId, at: datetime, axis: str
) -> Checkpoint:
    """Return the last checkpoint all of whose entries, and all before it, lie at or before the instant."""
    query = _CHECKPOINT_AT_RECORDED if axis == "recorded" else _CHECKPOINT_AT_OCCURRED
    row = await connection.fetchrow(query, book_id, account_id, at)
    return Checkpoint(0, 0, 0, 0, 0) if row is None else Checkpoint(*row)


async def rows_after(
    connection: Connection, book_id: BookId, account_id: AccountId, after_seq: int, at: datetime, axis: str
) -> list[JournalRow]:
    """Return sealed rows of an account after a checkpoint that lie at or before the instant."""
    query = _AFTER_RECORDED if axis == "recorded" else _AFTER_OCCURRED
    return [journal_row(row) for row in await connection.fetch(query, book_id, account_id, after_seq, at)]


async def holds(connection: Connection, book_id: BookId, open_only: bool, limit: int) -> list[HoldRow]:
    """Return holds of a book, newest first."""
    return [hold_row(row) for row in await connection.fetch(_HOLDS, book_id, open_only, limit)]


async def roll_up(connection: Connection, book_id: BookId, code: str) -> list[RollUp]:
    """Return sums by asset over an account path and everything below it."""
    return [RollUp(code, *row) for row in await connection.fetch(_ROLL_UP, book_id, code)]


async def trial_balance(connection: Connection, book_id: BookId | None) -> list[TrialBalanceLine]:
    """Return sums by account of one book, or by template and top account over all books."""
    query = _TRIAL_BALANCE_OF_HOUSE if book_id is None else _TRIAL_BALANCE_OF_BOOK
    return [TrialBalanceLine(*row) for row in await connection.fetch(query, book_id)]


async def search_by_watermark(connection: Connection) -> None:
    """Let this transaction find rows by their batch numbers, however the planner guesses the table's size."""
    await connection.execute(_BY_WATERMARK)
