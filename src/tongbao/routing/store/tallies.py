"""The SQL of tallies: attempts counted by minute and by everything that a change may be explained by."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tongbao.core.clock import EPOCH
from tongbao.core.db import Connection
from tongbao.routing.schema.health import OTHER_ISSUERS, Cell, Dimension, HealthScope, Period

# What is taken away lies in rows that exist; a row that was forgotten since has nothing to be taken from. A negative
# row could not go through ON CONFLICT: its CHECK is tried before the conflict is.
_ADD = """
WITH change AS (
    SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::boolean[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::bigint[])
        AS c (book_id, minute_at, live, channel, method, issuer, currency, mark, code, count, amount_minor, took_ms)
), updated AS (
    UPDATE routing.tally AS t
    SET count = t.count + c.count, amount_minor = t.amount_minor + c.amount_minor, took_ms = t.took_ms + c.took_ms
    FROM change AS c
    WHERE t.book_id = c.book_id AND t.minute_at = c.minute_at AND t.live = c.live AND t.channel = c.channel
        AND t.method = c.method AND t.issuer = c.issuer AND t.currency = c.currency AND t.mark = c.mark
        AND t.code = c.code
    RETURNING t.book_id, t.minute_at, t.live, t.channel, t.method, t.issuer, t.currency, t.mark, t.code
)
INSERT INTO routing.tally (book_id, minute_at, live, channel, method, issuer, currency, mark, code, count, amount_minor,
    took_ms)
SELECT c.book_id, c.minute_at, c.live, c.channel, c.method, c.issuer, c.currency, c.mark, c.code, c.count,
    c.amount_minor, c.took_ms
FROM change AS c LEFT JOIN updated AS u USING (book_id, minute_at, live, channel, method, issuer, currency, mark, code)
WHERE u.book_id IS NULL AND c.count > 0
"""
_GROUPED = """
SELECT CASE WHEN $5 THEN t.channel ELSE '' END AS channel, CASE WHEN $6 THEN t.method ELSE '' END AS method,
    CASE WHEN $7 THEN t.issuer ELSE '' END AS issuer, CASE WHEN $8 THEN t.currency ELSE '' END AS currency,
    CASE WHEN $9 THEN t.mark ELSE '' END AS mark, CASE WHEN $10 THEN t.code ELSE '' END AS code,
    sum(t.count)::bigint AS count, sum(t.amount_minor)::bigint AS amount_minor, sum(t.took_ms)::bigint AS took_ms,
    CASE WHEN $11::interval IS NULL THEN NULL ELSE date_bin($11, t.minute_at, $12) END AS at
FROM routing.tally AS t
WHERE ($1::bigint IS NULL OR t.book_id = $1) AND t.live = $2 AND t.minute_at >= $3 AND t.minute_at < $4
GROUP BY 1, 2, 3, 4, 5, 6, 10
HAVING sum(t.count) > 0
ORDER BY 10 NULLS FIRST, 7 DESC, 1, 2, 3, 4, 5, 6
LIMIT $13
"""
# The busiest issuers of both periods together keep their names, so that the two tables are told apart alike.
_TABLE = """
WITH named AS (
    SELECT n.issuer FROM routing.tally AS n
    WHERE ($1::bigint IS NULL OR n.book_id = $1) AND n.live = $2
        AND (n.minute_at >= $3 AND n.minute_at < $4 OR n.minute_at >= $5 AND n.minute_at < $6)
    GROUP BY n.issuer ORDER BY sum(n.count) DESC, n.issuer LIMIT $7
), folded AS (
    SELECT t.channel, t.method, coalesce(n.issuer, $8) AS issuer, t.currency, t.mark, t.code, t.count, t.amount_minor,
        t.took_ms
    FROM routing.tally AS t LEFT JOIN named AS n ON n.issuer = t.issuer
    WHERE ($1::bigint IS NULL OR t.book_id = $1) AND t.live = $2 AND t.minute_at >= $9 AND t.minute_at < $10
)
SELECT f.channel, f.method, f.issuer, f.currency, f.mark, f.code, sum(f.count)::bigint AS count,
    sum(f.amount_minor)::bigint AS amount_minor, sum(f.took_ms)::bigint AS took_ms
FROM folded AS f GROUP BY 1, 2, 3, 4, 5, 6
HAVING sum(f.count) > 0
ORDER BY 1, 2, 3, 4, 5, 6
LIMIT $11
"""
_STREAMS = """
SELECT t.live, t.channel, t.method, t.minute_at, sum(t.count) FILTER (WHERE t.mark = 'approved') AS approved,
    sum(t.count) AS judged
FROM routing.tally AS t
WHERE t.minute_at >= $1 AND t.minute_at < $2 AND t.mark <> 'neutral'
GROUP BY 1, 2, 3, 4
HAVING sum(t.count) > 0
ORDER BY t.minute_at DESC, 1, 2, 3
LIMIT $3
"""
_FORGET = """
DELETE FROM routing.tally AS t USING (
    SELECT o.book_id, o.minute_at, o.live, o.channel, o.method, o.issuer, o.currency, o.mark, o.code
    FROM routing.tally AS o WHERE o.minute_at < $1 ORDER BY o.minute_at LIMIT $2
) AS old
WHERE t.book_id = old.book_id AND t.minute_at = old.minute_at AND t.live = old.live AND t.channel = old.channel
    AND t.method = old.method AND t.issuer = old.issuer AND t.currency = old.currency AND t.mark = old.mark
    AND t.code = old.code
"""


class Key(NamedTuple):
    """What attempts are counted by."""

    book_id: int
    minute_at: datetime
    live: bool
    channel: str
    method: str
    issuer: str
    currency: str
    mark: str
    code: str


class Sums(NamedTuple):
    """What is counted; of a change any of them may be negative."""

    attempts: int
    amount_minor: int
    took_ms: int


class StreamMinute(NamedTuple):
    """One minute of one channel and method: how many judged attempts, and how many of them approved."""

    live: bool
    channel: str
    method: str
    minute_at: datetime
    approved: int
    judged: int


async def add(connection: Connection, changes: Sequence[tuple[Key, Sums]]) -> None:
    """Add the changes, one for each key at most, in one statement; joins the transaction.

    One writer at a time, as projections are. What is to be taken from a key without a row is left out.
    """
    columns = list(zip(*(key + sums for key, sums in changes), strict=True))
    await connection.execute(_ADD, *map(list, columns))


async def grouped(
    connection: Connection,
    scope: HealthScope,
    period: Period,
    dimensions: Collection[Dimension],
    *,
    step: timedelta | None = None,
    limit: int,
) -> list[Cell]:
    """Return the sums of a period by ``dimensions``, and by ``step`` of time where one is given.

    Oldest first, then the most attempts first; at most ``limit``.
    """
    wanted = [dimension in dimensions for dimension in Dimension]
    rows = await connection.fetch(
        _GROUPED, scope.book_id, scope.live, period.start, period.end, *wanted, step, EPOCH, limit
    )
    return [Cell(*row) for row in rows]


async def table(
    connection: Connection,
    scope: HealthScope,
    periods: tuple[Period, Period],
    which: int,
    limits: tuple[int, int],
) -> list[Cell]:
    """Return the sums of ``periods[which]`` by all dimensions; ``limits``: of named issuers, and of rows.

    Issuers that are not among the busiest of both periods together are taken as ``OTHER_ISSUERS``.
    """
    first, second = periods
    issuers, rows_max = limits
    rows = await connection.fetch(
        _TABLE,
        scope.book_id,
        scope.live,
        first.start,
        first.end,
        second.start,
        second.end,
        issuers,
        OTHER_ISSUERS,
        periods[which].start,
        periods[which].end,
        rows_max,
    )
    return [Cell(*row) for row in rows]


async def streams(connection: Connection, period: Period, limit: int) -> list[StreamMinute]:
    """Return the judged attempts of all books by channel, method and minute: the newest ``limit``, oldest first."""
    rows = await connection.fetch(_STREAMS, period.start, period.end, limit)
    return [
        StreamMinute(
            row["live"],
            row["channel"],
            row["method"],
            row["minute_at"],
            int(row["approved"] or 0),
            int(row["judged"]),
        )
        for row in reversed(rows)
    ]


async def forget(connection: Connection, before: datetime, limit: int) -> int:
    """Delete tallies of minutes before ``before``, oldest first, at most ``limit``; return how many."""
    return int((await connection.execute(_FORGET, before, limit)).rsplit(" ", 1)[1])
