"""The SQL of the back-fill: progress by account, documents behind moves of the journal, and the proof of equality."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.clearing.schema.backfill import Difference, Progress
from tongbao.core.db import Connection
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.refunds import Dispute, Refund

LONG_S = 300.0
Moving = Attempt | Refund | Dispute
"""Documents that move ``in_transit``."""
_READ: "msgspec.json.Decoder[Moving]" = msgspec.json.Decoder(Moving)

_COLUMNS = """
SELECT book_id, account_id, next_before, is_done, seen_count, made_count, unexplained_count, unexplained
FROM clearing.backfill
"""
_ONE = _COLUMNS + "WHERE book_id = $1 AND account_id = $2"
_LOCK = _ONE + " FOR UPDATE"
_OPEN = """
INSERT INTO clearing.backfill (book_id, account_id, seen_count, made_count, unexplained_count, updated_at, is_done,
    next_before, unexplained)
VALUES ($1, $2, 0, 0, 0, $3, false, NULL, '{}') ON CONFLICT (book_id, account_id) DO NOTHING
"""
_PUT = """
UPDATE clearing.backfill SET seen_count = $3, made_count = $4, unexplained_count = $5, updated_at = $6, is_done = $7,
    next_before = $8, unexplained = $9
WHERE book_id = $1 AND account_id = $2
"""
_SUMS = """
SELECT count(*) AS account_count, count(*) FILTER (WHERE is_done) AS done_count,
    coalesce(sum(seen_count), 0)::bigint AS seen_count, coalesce(sum(made_count), 0)::bigint AS made_count,
    coalesce(sum(unexplained_count), 0)::bigint AS unexplained_count
FROM clearing.backfill
"""
_UNEXPLAINED = """
SELECT u.key FROM clearing.backfill AS b CROSS JOIN LATERAL unnest(b.unexplained) AS u (key)
ORDER BY b.book_id, b.account_id, u.key LIMIT $1
"""
_FORGET = "DELETE FROM clearing.backfill"
# Documents are read where they are kept, by the address that the journal names.
_ATTEMPTS = "SELECT body FROM payments.attempt WHERE book_id = $1 AND id = ANY ($2::uuid[])"
_FOLLOWING = """
SELECT body FROM payments.document WHERE book_id = $1 AND kind IN (3, 4) AND parent_id = ANY ($2::uuid[])
ORDER BY created_at, id LIMIT $3
"""
_DIFFERENCES = """
SELECT a.book_id, s.code AS currency, b.credits_minor - b.debits_minor AS balance_minor,
    coalesce(w.amount_minor, 0)::bigint AS movements_minor
FROM ledger.account AS a
JOIN ledger.book AS k ON k.book_id = a.book_id AND k.template = 'merchant'
JOIN ledger.asset AS s ON s.asset_id = a.asset_id
JOIN ledger.balance AS b ON b.book_id = a.book_id AND b.account_id = a.account_id
LEFT JOIN (
    SELECT m.book_id, m.currency, sum(m.amount_minor)::bigint AS amount_minor
    FROM clearing.movement AS m LEFT JOIN clearing.batch AS t ON t.book_id = m.book_id AND t.id = m.batch_id
    WHERE m.batch_id IS NULL OR t.state = 'cut'
    GROUP BY m.book_id, m.currency
) AS w ON w.book_id = a.book_id AND w.currency = s.code
WHERE a.code = 'in_transit' AND ($1::bigint IS NULL OR a.book_id = $1)
    AND b.credits_minor - b.debits_minor <> coalesce(w.amount_minor, 0)
ORDER BY a.book_id, s.code LIMIT $2
"""


async def progress(
    connection: Connection, book_id: int, account_id: int, *, lock: bool = False
) -> Progress | None:
    """Return how far an account was gone through, locked where asked; None before anybody began."""
    row = await connection.fetchrow(_LOCK if lock else _ONE, book_id, account_id)
    return None if row is None else msgspec.convert(dict(row), Progress)


async def begin(connection: Connection, book_id: int, account_id: int, at: datetime) -> None:
    """Begin with an account, unless somebody did."""
    await connection.execute(_OPEN, book_id, account_id, at)


async def put(connection: Connection, after: Progress, at: datetime) -> None:
    """Keep how far an account was gone through, which is locked."""
    await connection.execute(
        _PUT,
        after.book_id,
        after.account_id,
        after.seen_count,
        after.made_count,
        after.unexplained_count,
        at,
        after.is_done,
        after.next_before,
        list(after.unexplained),
    )


async def sums(connection: Connection) -> dict[str, int]:
    """Return what everything so far comes to, by the names of ``Backfilled``."""
    return dict(await connection.fetchrow(_SUMS))


async def unexplained(connection: Connection, limit: int) -> list[UUID]:
    """Return keys of moves without a document."""
    return [row["key"] for row in await connection.fetch(_UNEXPLAINED, limit)]


async def forget(connection: Connection) -> None:
    """Let the next back-fill begin anew."""
    await connection.execute(_FORGET)


async def documents(
    connection: Connection, book_id: int, attempts: Collection[UUID], limit: int
) -> list[Moving]:
    """Return attempts of a book, and after them the refunds and disputes of them, as they happened."""
    rows = await connection.fetch(_ATTEMPTS, book_id, list(attempts))
    found: list[Moving] = [_READ.decode(row["body"]) for row in rows]
    intents = list({each.intent_id for each in found})
    for row in await connection.fetch(_FOLLOWING, book_id, intents, limit):
        document = _READ.decode(row["body"])
        if not isinstance(document, Attempt) and document.attempt_id in attempts:
            found.append(document)
    return found


async def differences(connection: Connection, book_id: int | None, limit: int) -> list[Difference]:
    """Return the books in which movements that no priced batch holds are not what stands on ``in_transit``."""
    rows = await connection.fetch(_DIFFERENCES, book_id, limit, timeout=LONG_S)
    return [msgspec.convert(dict(row), Difference) for row in rows]
