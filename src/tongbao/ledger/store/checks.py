"""The SQL of verification: balances and holds as stored, and a random sample beside what they should be."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.core.db import Connection
from tongbao.ledger.schema import AccountId, BookId, HoldRow, Seal
from tongbao.ledger.store.journal import hold_row

_BALANCES = """
SELECT a.account_id, a.code AS account_code, a.asset_id, x.debits, x.credits, x.debits_held, x.credits_held
FROM ledger.account AS a
JOIN (
    SELECT b.account_id, b.debits_minor AS debits, b.credits_minor AS credits, b.debits_held_minor AS debits_held,
        b.credits_held_minor AS credits_held
    FROM ledger.balance AS b WHERE b.book_id = $1
    UNION ALL
    SELECT p.account_id, sum(p.debits_minor)::bigint, sum(p.credits_minor)::bigint, sum(p.debits_held_minor)::bigint,
        sum(p.credits_held_minor)::bigint
    FROM ledger.balance_stripe AS p WHERE p.book_id = $1 GROUP BY p.account_id
) AS x ON x.account_id = a.account_id
WHERE a.book_id = $1
"""

_HOLDS = """
SELECT book_id, key, debit_account_id, credit_account_id, asset_id, amount_minor, remaining_minor, captured_minor,
    state, expires_at
FROM ledger.hold WHERE book_id = $1
"""

_CHECKPOINTS = """
SELECT c.account_id, c.debits_minor, c.credits_minor, c.debits_held_minor, c.credits_held_minor, c.entry_count,
    c.recorded_from, c.recorded_to, c.occurred_from, c.occurred_to, c.seqs, c.keys, c.last_seq
FROM unnest($4::bigint[]) AS u (account_id)
JOIN ledger.checkpoint AS c ON c.book_id = $1 AND c.account_id = u.account_id AND c.last_seq >= $2 AND c.last_seq < $3
ORDER BY c.account_id, c.last_seq
"""
_CHECKPOINT_COUNTS = (
    "SELECT account_id, count(*) FROM ledger.checkpoint WHERE book_id = $1 GROUP BY account_id"
)

_SAMPLE = """
WITH chosen AS (
    SELECT a.book_id, a.account_id, x.debits_minor, x.credits_minor, x.debits_held_minor, x.credits_held_minor
    FROM (
        SELECT n.book_id, n.account_id FROM ledger.account AS n
        WHERE (n.book_id, n.account_id) > ($1, $2) ORDER BY n.book_id, n.account_id LIMIT $3
    ) AS a
    JOIN LATERAL (
        SELECT coalesce(sum(y.debits_minor), 0)::bigint AS debits_minor,
            coalesce(sum(y.credits_minor), 0)::bigint AS credits_minor,
            coalesce(sum(y.debits_held_minor), 0)::bigint AS debits_held_minor,
            coalesce(sum(y.credits_held_minor), 0)::bigint AS credits_held_minor
        FROM (
            SELECT b.debits_minor, b.credits_minor, b.debits_held_minor, b.credits_held_minor
            FROM ledger.balance AS b WHERE b.book_id = a.book_id AND b.account_id = a.account_id
            UNION ALL
            SELECT p.debits_minor, p.credits_minor, p.debits_held_minor, p.credits_held_minor
            FROM ledger.balance_stripe AS p WHERE p.book_id = a.book_id AND p.account_id = a.account_id
        ) AS y
    ) AS x ON true
), tail AS (
    SELECT t.book_id, t.debit_account_id, t.credit_account_id,
        CASE WHEN t.kind IN (0, 2, 5) THEN t.amount_minor ELSE 0 END AS posted,
        CASE t.kind WHEN 1 THEN t.amount_minor WHEN 2 THEN -coalesce(t.released_minor, t.amount_minor)
            WHEN 3 THEN -t.amount_minor WHEN 4 THEN -t.amount_minor ELSE 0 END AS held
    FROM ledger.transfer AS t
    WHERE t.batch_xid >= (SELECT next_xid FROM ledger.seal_cursor WHERE cursor_id = 1)
        AND (t.batch_xid >= (SELECT end_xid FROM ledger.seal_cursor WHERE cursor_id = 1)
            OR t.batch_xid = ANY ((SELECT running_xids FROM ledger.seal_cursor WHERE cursor_id = 1)::bigint[]))
), moved AS (
    SELECT book_id, debit_account_id AS account_id, posted AS debits, 0 AS credits, held AS debits_held,
        0 AS credits_held FROM tail
    UNION ALL
    SELECT book_id, credit_account_id, 0, posted, 0, held FROM tail
), recent AS (
    SELECT book_id, account_id, sum(debits)::bigint AS debits, sum(credits)::bigint AS credits,
        sum(debits_held)::bigint AS debits_held, sum(credits_held)::bigint AS credits_held
    FROM moved GROUP BY book_id, account_id
)
SELECT c.book_id, c.account_id, coalesce(k.debits_minor, 0) + coalesce(r.debits, 0),
    coalesce(k.credits_minor, 0) + coalesce(r.credits, 0),
    coalesce(k.debits_held_minor, 0) + coalesce(r.debits_held, 0),
    coalesce(k.credits_held_minor, 0) + coalesce(r.credits_held, 0),
    c.debits_minor, c.credits_minor, c.debits_held_minor, c.credits_held_minor
FROM chosen AS c
LEFT JOIN recent AS r ON r.book_id = c.book_id AND r.account_id = c.account_id
LEFT JOIN LATERAL (
    SELECT l.debits_minor, l.credits_minor, l.debits_held_minor, l.credits_held_minor FROM ledger.checkpoint AS l
    WHERE l.book_id = c.book_id AND l.account_id = c.account_id ORDER BY l.last_seq DESC LIMIT 1
) AS k ON true
ORDER BY c.book_id, c.account_id
"""


class StoredBalance(NamedTuple):
    """A balance as stored; ``sums`` are debits, credits, debits held, credits held."""

    account_id: AccountId
    account_code: str
    asset_id: int
    sums: tuple[int, int, int, int]


class StoredCheckpoint(NamedTuple):
    """A checkpoint: sums as in ``StoredBalance``, number of entries so far, and the entries of its seal.

    ``times`` are those of recording, first in this seal and last so far, then the same of business.
    """

    sums: tuple[int, int, int, int]
    entry_count: int
    times: tuple[datetime, datetime, datetime, datetime]
    seqs: list[int]
    keys: list[UUID]


class Sampled(NamedTuple):
    """A sampled account: what checkpoint and unsealed rows add up to, and what its balance row says."""

    book_id: BookId
    account_id: AccountId
    expected: tuple[int, int, int, int]
    actual: tuple[int, int, int, int]


async def balances(connection: Connection, book_id: BookId) -> list[StoredBalance]:
    """Return every balance of a book."""
    return [
        StoredBalance(row[0], row[1], row[2], (row[3], row[4], row[5], row[6]))
        for row in await connection.fetch(_BALANCES, book_id)
    ]


async def holds(connection: Connection, book_id: BookId) -> dict[UUID, HoldRow]:
    """Return every hold of a book; a state that does not exist stays the number it is."""
    return {row["key"]: hold_row(row) for row in await connection.fetch(_HOLDS, book_id)}


async def checkpoints(
    connection: Connection, seal: Seal, accounts: Sequence[AccountId]
) -> dict[AccountId, list[tuple[int, StoredCheckpoint]]]:
    """Return the checkpoints that a seal left on these accounts, each with its last sequence number, in order."""
    end = seal.first_seq + seal.transfer_count
    found: dict[AccountId, list[tuple[int, StoredCheckpoint]]] = {}
    for row in await connection.fetch(_CHECKPOINTS, seal.book_id, seal.first_seq, end, accounts):
        keys = list(row["keys"])
        checkpoint = StoredCheckpoint(
            tuple(row)[1:5], row["entry_count"], tuple(row)[6:10], row["seqs"], keys
        )
        found.setdefault(row["account_id"], []).append((row["last_seq"], checkpoint))
    return found


async def checkpoint_counts(connection: Connection, book_id: BookId) -> dict[AccountId, int]:
    """Return how many checkpoints each account of a book has."""
    return dict(await connection.fetch(_CHECKPOINT_COUNTS, book_id))


async def sample(connection: Connection, after: tuple[BookId, AccountId], count: int) -> list[Sampled]:
    """Return the next ``count`` accounts after a position, each twice added up."""
    rows = await connection.fetch(_SAMPLE, *after, count)
    return [Sampled(row[0], row[1], tuple(row)[2:6], tuple(row)[6:]) for row in rows]
