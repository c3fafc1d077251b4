"""The SQL of what channels paid: transfers that the bank showed, and the lines that each of them paid for.

All of it belongs to the house, which is book 0 here.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from tongbao.clearing.store.lines import HOUSE_BOOK_ID
from tongbao.clearing.store.reconciliation import NOBODY
from tongbao.core.db import Connection

# A match of the bank's leg names a channel's transfer by the number of its line, as an id.
_SHOWN = """
SELECT l.id FROM clearing.matched AS d
JOIN clearing.line AS l
    ON l.book_id = d.book_id AND l.id = ('x' || right(replace(d.expected_id::text, '-', ''), 16))::bit(64)::bigint
WHERE d.book_id = $1 AND d.leg = 1 AND d.expected_id < $2 AND d.expected_id <> $3 AND l.kind = 'transfer'
    AND ($4::text IS NULL OR l.source IN (SELECT s.source FROM clearing.source_now AS s WHERE s.channel = $4))
    AND NOT EXISTS (SELECT 1 FROM clearing.channel_transfer AS t WHERE t.book_id = $1 AND t.line_id = l.id)
GROUP BY l.id ORDER BY l.id LIMIT $5
"""
# Batches that were paid, of which lines found their merchant since. What was paid for stands in the files that tell the
# channel's payments, whichever file told the transfer.
_GROWN = """
SELECT t.line_id FROM clearing.channel_transfer AS t
JOIN clearing.source_now AS c ON c.source = t.source
WHERE t.book_id = $1 AND t.is_open AND ($3::text IS NULL OR c.channel = $3) AND EXISTS (
    SELECT 1 FROM clearing.line AS l
    WHERE l.book_id = $1 AND l.batch = t.batch AND l.kind <> 'transfer' AND l.source = ANY (
            SELECT s.source FROM clearing.source_now AS s WHERE s.channel = c.channel AND s.tells = 'payments')
        AND (l.kind = 'fee' OR EXISTS (
            SELECT 1 FROM clearing.matched AS d
            WHERE d.book_id = $1 AND d.leg = 0 AND d.line_id = l.id AND d.expected_id <> $2))
        AND NOT EXISTS (SELECT 1 FROM clearing.channel_line AS c WHERE c.book_id = $1 AND c.line_id = l.id))
ORDER BY t.settled_at, t.line_id LIMIT $4
"""
_BEGIN = """
INSERT INTO clearing.channel_transfer (book_id, line_id, settled_at, rounds, is_open, source, batch)
SELECT $1, l.id, $3, 0, true, l.source, l.batch FROM clearing.line AS l
WHERE l.book_id = $1 AND l.id = $2 AND l.kind = 'transfer' AND EXISTS (
    SELECT 1 FROM clearing.matched AS d WHERE d.book_id = $1 AND d.leg = 1 AND d.expected_id = $4)
ON CONFLICT DO NOTHING
"""
_LOCK = """
SELECT t.line_id, t.rounds, t.source, t.batch, l.currency, l.net_minor, l.reference, l.business_on,
    coalesce(l.value_on, l.business_on) AS paid_on
FROM clearing.channel_transfer AS t JOIN clearing.line AS l ON l.book_id = t.book_id AND l.id = t.line_id
WHERE t.book_id = $1 AND t.line_id = $2 FOR UPDATE OF t
"""
_PEEK = """
SELECT l.id, coalesce(t.rounds, 0), l.source, l.batch, l.currency, l.net_minor, l.reference, l.business_on,
    coalesce(l.value_on, l.business_on) AS paid_on
FROM clearing.line AS l LEFT JOIN clearing.channel_transfer AS t ON t.book_id = l.book_id AND t.line_id = l.id
WHERE l.book_id = $1 AND l.id = $2
"""
# A channel that names no batches pays for what it reported up to the day.
_POSTABLE = """
SELECT l.id, l.kind, l.gross_minor, l.fee_minor, l.net_minor FROM clearing.line AS l
WHERE l.book_id = $1 AND l.source = ANY ($2::text[]) AND l.batch = $3 AND l.currency = $4 AND l.kind <> 'transfer'
    AND ($3 <> '' OR l.business_on <= $5)
    AND (l.kind = 'fee' OR EXISTS (
        SELECT 1 FROM clearing.matched AS d
        WHERE d.book_id = $1 AND d.leg = 0 AND d.line_id = l.id AND d.expected_id <> $6))
    AND NOT EXISTS (SELECT 1 FROM clearing.channel_line AS c WHERE c.book_id = $1 AND c.line_id = l.id)
ORDER BY l.id LIMIT $7
"""
_SHARES = """
SELECT d.line_id, m.book_id, sum(m.amount_minor)::bigint AS amount_minor
FROM clearing.matched AS d JOIN clearing.movement AS m ON m.id = d.expected_id
WHERE d.book_id = $1 AND d.leg = 0 AND d.line_id = ANY ($2::bigint[])
GROUP BY d.line_id, m.book_id ORDER BY d.line_id, m.book_id
"""
_TAKEN = """
INSERT INTO clearing.channel_line (book_id, line_id, transfer_id, round)
SELECT $1, unnest($2::bigint[]), $3, $4
ON CONFLICT DO NOTHING
"""
_ROUND = """
UPDATE clearing.channel_transfer SET rounds = rounds + 1, is_open = $3 WHERE book_id = $1 AND line_id = $2
"""
# More of a batch is to come where a line of it waits for its merchant, or its lines do not come to what was paid.
_WAITS = """
SELECT coalesce(sum(l.net_minor), 0) <> $4 OR coalesce(bool_or(c.line_id IS NULL AND d.line_id IS NULL), false)
FROM clearing.line AS l
LEFT JOIN clearing.channel_line AS c ON c.book_id = l.book_id AND c.line_id = l.id
LEFT JOIN clearing.matched AS d ON d.book_id = l.book_id AND d.leg = 0 AND d.line_id = l.id AND d.expected_id = $5
WHERE l.book_id = $1 AND l.source = ANY ($2::text[]) AND l.batch = $3 AND l.kind <> 'transfer'
"""
_OF_CHANNEL = """
SELECT c.channel, s.source FROM clearing.source_now AS c
LEFT JOIN clearing.source_now AS s ON s.channel = c.channel AND s.tells = 'payments'
WHERE c.source = $1 ORDER BY s.source
"""
_FIRST_UUID = UUID(int=1 << 63)
"""Ids of lines lie below it; ids with a time never do."""


class ShownTransfer(NamedTuple):
    """A channel's transfer that the bank showed, under lock; ``rounds`` were posted of it.

    ``tellers``: the sources that tell the payments of its channel, for which it was paid.
    """

    line_id: int
    rounds: int
    source: str
    batch: str
    currency: str
    net_minor: int
    reference: str
    business_on: date
    paid_on: date
    channel: str = ""
    tellers: tuple[str, ...] = ()


class PaidLine(NamedTuple):
    """A line that a transfer paid for, minor units."""

    id: int
    kind: str
    gross_minor: int
    fee_minor: int
    net_minor: int


async def shown(connection: Connection, source: str | None, limit: int) -> list[int]:
    """Return transfers of channels (``source``: of one) that the bank showed and nothing was posted of, oldest line first."""
    rows = await connection.fetch(_SHOWN, HOUSE_BOOK_ID, _FIRST_UUID, NOBODY, source, limit)
    return [row["id"] for row in rows]


async def grown(connection: Connection, source: str | None, limit: int) -> list[int]:
    """Return transfers that were posted, of whose batches lines found their merchant since."""
    rows = await connection.fetch(_GROWN, HOUSE_BOOK_ID, NOBODY, source, limit)
    return [row["line_id"] for row in rows]


async def lock(connection: Connection, line_id: int, at: datetime) -> ShownTransfer | None:
    """Return a transfer under lock, begun where it was not; None where the bank showed no such transfer."""
    await connection.execute(_BEGIN, HOUSE_BOOK_ID, line_id, at, UUID(int=line_id))
    return await _transfer(connection, await connection.fetchrow(_LOCK, HOUSE_BOOK_ID, line_id))


async def peek(connection: Connection, line_id: int) -> ShownTransfer | None:
    """Return a transfer as it stands, begun or not; None where there is no such line."""
    return await _transfer(connection, await connection.fetchrow(_PEEK, HOUSE_BOOK_ID, line_id))


async def postable(connection: Connection, of: ShownTransfer, limit: int) -> list[PaidLine]:
    """Return lines that a transfer paid for, whose merchant is known and nothing was posted of; costs on their own too."""
    rows = await connection.fetch(
        _POSTABLE, HOUSE_BOOK_ID, list(of.tellers), of.batch, of.currency, of.business_on, NOBODY, limit
    )
    return [PaidLine(*row) for row in rows]


async def shares(connection: Connection, lines: Sequence[int]) -> dict[int, list[tuple[int, int]]]:
    """Return by line the books that it is about, with the amounts of their movements, minor units."""
    found: dict[int, list[tuple[int, int]]] = {}
    for row in await connection.fetch(_SHARES, HOUSE_BOOK_ID, list(lines)):
        found.setdefault(row["line_id"], []).append((row["book_id"], row["amount_minor"]))
    return found


async def take(connection: Connection, of: ShownTransfer, lines: Sequence[int], *, is_last: bool) -> bool:
    """Keep that a round of a transfer was posted and of which lines; after the last for now, whether more is to come.

    False where another transfer of the same batch took one of the lines: the caller rolls back.
    """
    status = await connection.execute(_TAKEN, HOUSE_BOOK_ID, list(lines), of.line_id, of.rounds)
    if int(status.rpartition(" ")[2]) != len(lines):
        return False
    is_open = not is_last
    if is_last and of.batch:
        arguments = (list(of.tellers), of.batch, of.net_minor, NOBODY)
        is_open = bool(await connection.fetchval(_WAITS, HOUSE_BOOK_ID, *arguments))
    await connection.execute(_ROUND, HOUSE_BOOK_ID, of.line_id, is_open)
    return True


async def _transfer(connection: Connection, row: "tuple[Any, ...] | None") -> ShownTransfer | None:
    """Return a transfer with its channel, and who tells the payments of it."""
    if row is None:
        return None
    found = ShownTransfer(*row)
    rows = await connection.fetch(_OF_CHANNEL, found.source)
    tellers = tuple(each["source"] for each in rows if each["source"] is not None)
    return found._replace(channel=rows[0]["channel"] if rows else found.source, tellers=tellers)
