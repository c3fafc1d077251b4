"""The SQL of runs: open records of both sides out, matches in. All of it belongs to the house, which is book 0 here."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from tongbao.clearing.schema.breaks import Leg, Run
from tongbao.clearing.store.lines import HOUSE_BOOK_ID
from tongbao.core.db import Connection

Row = Mapping[str, Any]
Pages = AsyncIterator[list[Row]]
FETCHED = 20_000
LONG_S = 600
LEGS = (Leg.CHANNEL, Leg.BANK)
"""What the numbers in ``clearing.matched.leg`` mean."""
NOBODY = UUID(int=0)
"""Stands in a match for a record that there is not: what was written off, or settled by a person, alone."""


class Within(NamedTuple):
    """Between which days (both inclusive) of a zone records are compared, and the numbers of files of which nothing counts."""

    since_on: date
    until_on: date
    unread: tuple[int, ...]
    zone: str

    @property
    def instants(self) -> tuple[datetime, datetime]:
        """When the first day begins, and when the last one ends."""
        zone = ZoneInfo(self.zone)
        last = self.until_on + timedelta(days=1)
        return datetime.combine(self.since_on, time(), zone), datetime.combine(last, time(), zone)


# A refund that failed was never reported: it and its return cancel each other.
_MOVEMENTS = """
SELECT m.id, m.book_id, m.kind, m.currency, m.amount_minor, m.reference, coalesce(m.channel_reference, '') AS theirs,
    (m.occurred_at AT TIME ZONE $2)::date AS day, p.cost_minor
FROM clearing.movement AS m
LEFT JOIN clearing.priced AS p ON p.book_id = m.book_id AND p.movement_id = m.id
WHERE m.channel = $1 AND m.occurred_at < $3 AND m.occurred_at >= $5 AND m.kind IN (1, 2, 4, 5)
    AND NOT EXISTS (SELECT 1 FROM clearing.matched AS d WHERE d.book_id = $4 AND d.leg = 0 AND d.expected_id = m.id)
    AND NOT (m.kind = 2 AND EXISTS (
        SELECT 1 FROM clearing.movement AS f
        WHERE f.book_id = m.book_id AND f.intent_id = m.intent_id AND f.source_id = m.source_id AND f.kind = 3))
"""
# What channels say they paid to this account, or took from it.
_TRANSFERS = """
SELECT lpad(to_hex(l.id), 32, '0')::uuid AS id, NULL::bigint AS book_id, l.kind, l.currency, l.net_minor AS amount_minor,
    l.reference, l.channel_reference AS theirs, coalesce(l.value_on, l.business_on) AS day, NULL::bigint AS cost_minor,
    l.batch
FROM clearing.line AS l
WHERE l.book_id = $1 AND l.source = ANY ($2::text[]) AND l.kind = 'transfer' AND l.business_on BETWEEN $4 AND $3
    AND l.id >> 24 <> ALL ($5::bigint[])
    AND NOT EXISTS (
        SELECT 1 FROM clearing.matched AS d
        WHERE d.book_id = $1 AND d.leg = 1 AND d.expected_id = lpad(to_hex(l.id), 32, '0')::uuid)
"""
# Payouts leave our account, on the day for which they were ordered: a bank's holidays lie before it. One that came back is a record
# of its own.
_PAYOUTS = """
SELECT e.id, e.book_id, e.kind, e.currency, e.amount_minor, e.reference, e.theirs, e.day, NULL::bigint AS cost_minor,
    '' AS batch
FROM (
    SELECT p.id, p.book_id, 'payout' AS kind, p.currency, -p.amount_minor AS amount_minor, p.end_to_end AS reference,
        coalesce(p.body ->> 'bank_reference', '') AS theirs,
        greatest((p.sent_at AT TIME ZONE $4)::date, p.due_on) AS day, (p.sent_at AT TIME ZONE $4)::date AS since
    FROM clearing.payout AS p
    WHERE p.bank = $1 AND p.state IN ('sent', 'accepted', 'unresolved', 'paid', 'returned')
    UNION ALL
    SELECT md5(p.id::text || ':returned')::uuid, p.book_id, 'return', p.currency, p.amount_minor, p.end_to_end,
        '', (p.ended_at AT TIME ZONE $4)::date, (p.ended_at AT TIME ZONE $4)::date
    FROM clearing.payout AS p
    WHERE p.bank = $1 AND p.state = 'returned'
) AS e
WHERE e.since BETWEEN $5 AND $2
    AND NOT EXISTS (SELECT 1 FROM clearing.matched AS d WHERE d.book_id = $3 AND d.leg = 1 AND d.expected_id = e.id)
"""
_LINES = """
SELECT l.id, l.kind, l.currency, l.gross_minor, l.net_minor, l.fee_minor, l.reference, l.channel_reference AS theirs,
    l.batch, l.business_on AS day
FROM clearing.line AS l
WHERE l.book_id = $1 AND l.source = ANY ($2::text[]) AND l.business_on BETWEEN $6 AND $3 AND l.kind = ANY ($5::text[])
    AND l.id >> 24 <> ALL ($7::bigint[])
    AND NOT EXISTS (SELECT 1 FROM clearing.matched AS d WHERE d.book_id = $1 AND d.leg = $4 AND d.line_id = l.id)
"""
# What a channel told of payments, as its account should show it: the amount, and its cost beside it. A line's id stays below 2**62, which
# marks its cost.
_TOLD = """
SELECT e.id, NULL::bigint AS book_id, e.kind, e.currency, e.amount_minor, e.reference, e.theirs, e.day,
    NULL::bigint AS cost_minor, '' AS batch
FROM (
    SELECT lpad(to_hex(l.id), 32, '0')::uuid AS id, l.kind, l.currency, l.gross_minor AS amount_minor, l.reference,
        l.channel_reference AS theirs, l.business_on AS day
    FROM clearing.line AS l
    WHERE l.book_id = $1 AND l.source = ANY ($2::text[]) AND l.business_on BETWEEN $4 AND $3
        AND l.kind NOT IN ('transfer', 'payout', 'return', 'fee') AND l.id >> 24 <> ALL ($5::bigint[])
    UNION ALL
    SELECT lpad(to_hex(l.id | 4611686018427387904), 32, '0')::uuid, 'fee', l.currency, -l.fee_minor, l.reference,
        l.channel_reference, l.business_on
    FROM clearing.line AS l
    WHERE l.book_id = $1 AND l.source = ANY ($2::text[]) AND l.business_on BETWEEN $4 AND $3
        AND l.kind NOT IN ('transfer', 'payout', 'return') AND l.fee_minor <> 0 AND l.id >> 24 <> ALL ($5::bigint[])
) AS e
WHERE NOT EXISTS (SELECT 1 FROM clearing.matched AS d WHERE d.book_id = $1 AND d.leg = 0 AND d.expected_id = e.id)
"""
_STRAYS = "SELECT id, currency, business_on AS day FROM clearing.line WHERE book_id = $1 AND id = ANY ($2::bigint[]) ORDER BY id"
# Lines that say the same (or, of returns, the opposite) as one that was matched before.
_SEEN = """
SELECT n.id, bool_or(n.is_same AND n.kind = n.other_kind) AS again, bool_or(n.is_opposite AND n.kind = 'return') AS back
FROM (
    SELECT n.id, n.kind, o.id AS other, o.kind AS other_kind, o.gross_minor = n.gross_minor AS is_same,
        o.gross_minor = -n.gross_minor AS is_opposite
    FROM clearing.line AS n
    JOIN clearing.line AS o ON o.book_id = n.book_id AND o.source = n.source AND o.reference = n.reference
        AND o.reference <> '' AND o.id <> n.id AND o.currency = n.currency
    WHERE n.book_id = $1 AND n.id = ANY ($2::bigint[])
    UNION ALL
    SELECT n.id, n.kind, o.id, o.kind, o.gross_minor = n.gross_minor, o.gross_minor = -n.gross_minor
    FROM clearing.line AS n
    JOIN clearing.line AS o ON o.book_id = n.book_id AND o.source = n.source
        AND o.channel_reference = n.channel_reference
        AND o.channel_reference <> '' AND o.id <> n.id AND o.currency = n.currency
    WHERE n.book_id = $1 AND n.id = ANY ($2::bigint[])
) AS n
WHERE EXISTS (SELECT 1 FROM clearing.matched AS d WHERE d.book_id = $1 AND d.leg = $3 AND d.line_id = n.other)
GROUP BY n.id
"""
# Costs of pairs that were made before their batch was priced, each once: in the run after the pricing.
_PRICED_SINCE = """
SELECT d.expected_id, d.line_id, m.book_id, m.currency, l.business_on AS day, l.fee_minor - p.cost_minor AS difference
FROM clearing.batch AS b
JOIN clearing.priced AS p ON p.book_id = b.book_id AND p.batch_id = b.id
JOIN clearing.movement AS m ON m.book_id = p.book_id AND m.id = p.movement_id AND m.channel = $2
JOIN clearing.matched AS d ON d.book_id = $1 AND d.leg = 0 AND d.expected_id = m.id
JOIN clearing.line AS l ON l.book_id = $1 AND l.id = d.line_id
WHERE b.updated_at >= $3 AND abs(l.fee_minor - p.cost_minor) > $4 AND (l.fee_minor <> 0 OR $5) AND d.how <> 2
    AND EXISTS (
        SELECT 1 FROM jsonb_array_elements(b.body -> 'history') AS h
        WHERE h ->> 'state' = 'priced' AND (h ->> 'at')::timestamptz > $3)
ORDER BY d.expected_id, d.line_id LIMIT $6
"""
_LAST_RUN = """
SELECT started_at FROM clearing.run WHERE book_id = $1 AND leg = 'channel' AND source = $2
ORDER BY started_at DESC LIMIT 1
"""
_PATIENT = "SELECT set_config('statement_timeout', $1, true)"
_LOCK_SOURCE = "SELECT source FROM clearing.source WHERE source = $1 AND version = 1 FOR UPDATE"
_UNREAD = "SELECT number FROM clearing.file WHERE book_id = $1 AND state <> 'read'"
_ADD_RUN = """
INSERT INTO clearing.run (book_id, id, leg, source, until_on, started_at, body) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_RUNS = """
SELECT body FROM clearing.run
WHERE book_id = $1 AND ($2::text IS NULL OR leg = $2) AND ($3::text IS NULL OR source = $3)
    AND ($4::uuid IS NULL OR id < $4)
ORDER BY id DESC LIMIT $5
"""
_RUN = "SELECT body FROM clearing.run WHERE book_id = $1 AND id = $2"
_MATCHED = ("book_id", "line_id", "expected_id", "run_id", "confidence", "how", "leg")
_OF_EXPECTED = """
SELECT leg, line_id, expected_id, run_id, confidence, how FROM clearing.matched
WHERE book_id = $1 AND expected_id = ANY ($2::uuid[])
"""


async def lock_source(connection: Connection, source: str) -> bool:
    """Let one run of a source go at a time, until the transaction ends; False where there is no such source."""
    return await connection.fetchval(_LOCK_SOURCE, source) is not None


async def be_patient(connection: Connection) -> None:
    """Let the statements of this transaction take as long as a million lines need."""
    await connection.execute(_PATIENT, str(LONG_S * 1_000))


async def unread(connection: Connection) -> list[int]:
    """Return the numbers of files of which nothing counts: refused ones, and those that are still being read."""
    rows = await connection.fetch(_UNREAD, HOUSE_BOOK_ID)
    return [row["number"] for row in rows]


async def movements(connection: Connection, channel: str, within: Within) -> Pages:
    """Yield the open movements of a channel within a time, in any order, some at a time."""
    since, before = within.instants
    async for rows in _fetched(connection, _MOVEMENTS, channel, within.zone, before, HOUSE_BOOK_ID, since):
        yield rows


async def transfers(connection: Connection, channels: Sequence[str], within: Within) -> Pages:
    """Yield what channels say they paid and no statement showed yet."""
    days = within.until_on, within.since_on, list(within.unread)
    async for rows in _fetched(connection, _TRANSFERS, HOUSE_BOOK_ID, list(channels), *days):
        yield rows


async def payouts(connection: Connection, bank: str, within: Within) -> Pages:
    """Yield payouts over a bank (negative), and those that came back (positive), that no statement showed yet."""
    arguments = bank, within.until_on, HOUSE_BOOK_ID, within.zone, within.since_on
    async for rows in _fetched(connection, _PAYOUTS, *arguments):
        yield rows


async def told(connection: Connection, tellers: Sequence[str], within: Within) -> Pages:
    """Yield what a channel told of payments and their costs, which its account did not show yet; ids are those of lines."""
    days = within.until_on, within.since_on, list(within.unread)
    async for rows in _fetched(connection, _TOLD, HOUSE_BOOK_ID, list(tellers), *days):
        yield rows


async def strays(connection: Connection, ids: Sequence[int]) -> list[Row]:
    """Return lines that are kept, of these ids: ``id``, ``currency``, ``day``."""
    rows: list[Row] = await connection.fetch(_STRAYS, HOUSE_BOOK_ID, list(ids)) if ids else []
    return rows


async def lines(
    connection: Connection, sources: Sequence[str], within: Within, leg: Leg, kinds: Sequence[str]
) -> Pages:
    """Yield the open lines of sources that are compared together."""
    which = HOUSE_BOOK_ID, list(sources), within.until_on, LEGS.index(leg), list(kinds)
    async for rows in _fetched(connection, _LINES, *which, within.since_on, list(within.unread)):
        yield rows


async def seen(connection: Connection, ids: Sequence[int], leg: Leg) -> dict[int, tuple[bool, bool]]:
    """Return of lines whether one matched before says the same, and whether it is a return of one."""
    rows = await connection.fetch(_SEEN, HOUSE_BOOK_ID, list(ids), LEGS.index(leg), timeout=LONG_S)
    return {row["id"]: (row["again"], row["back"]) for row in rows}


async def last_run_at(connection: Connection, source: str) -> datetime | None:
    """Return when the last run of a channel began."""
    found: datetime | None = await connection.fetchval(_LAST_RUN, HOUSE_BOOK_ID, source)
    return found


async def priced_since(
    connection: Connection,
    source: str,
    since: datetime,
    tolerance_minor: int,
    *,
    tells_fees: bool,
    limit: int,
) -> list[Row]:
    """Return the pairs of a channel that were priced after an instant and cost another amount than their line says.

    ``expected_id``, ``line_id``, ``book_id``, ``currency``, ``day``, ``difference``. Totals have no cost of one payment.
    """
    arguments = (HOUSE_BOOK_ID, source, since, tolerance_minor, tells_fees, limit)
    rows: list[Row] = await connection.fetch(_PRICED_SINCE, *arguments, timeout=LONG_S)
    return rows


async def add_run(connection: Connection, run: Run) -> None:
    """Keep a run."""
    body = msgspec.json.encode(run).decode()
    await connection.execute(
        _ADD_RUN, HOUSE_BOOK_ID, run.id, run.leg.value, run.source, run.until_on, run.started_at, body
    )


async def add_matched(
    connection: Connection, run_id: UUID, leg: Leg, rows: Iterable[tuple[int, UUID, float, int]]
) -> None:
    """Keep matches: line, expected record, confidence, and how by its number."""
    number = LEGS.index(leg)
    records = (
        (HOUSE_BOOK_ID, line_id, expected_id, run_id, confidence, how, number)
        for line_id, expected_id, confidence, how in rows
    )
    await connection.copy_records_to_table(
        "matched", schema_name="clearing", records=records, columns=_MATCHED, timeout=LONG_S
    )


async def run(connection: Connection, run_id: UUID) -> Run | None:
    """Return a run."""
    body = await connection.fetchval(_RUN, HOUSE_BOOK_ID, run_id)
    return None if body is None else msgspec.json.decode(body, type=Run)


async def runs(
    connection: Connection, leg: Leg | None, source: str | None, before: UUID | None, limit: int
) -> list[Run]:
    """Return runs, newest first."""
    leg_text = None if leg is None else leg.value
    rows = await connection.fetch(_RUNS, HOUSE_BOOK_ID, leg_text, source, before, limit)
    return [msgspec.json.decode(row["body"], type=Run) for row in rows]


async def matches_of(connection: Connection, expected: Sequence[UUID]) -> list[dict[str, object]]:
    """Return the matches of expected records: ``leg``, ``line_id``, ``expected_id``, ``run_id``, ``confidence``, ``how``."""
    return [dict(row) for row in await connection.fetch(_OF_EXPECTED, HOUSE_BOOK_ID, list(expected))]


async def _fetched(connection: Connection, query: str, *arguments: object) -> Pages:
    cursor = await connection.cursor(query, *arguments, timeout=LONG_S)
    while rows := await cursor.fetch(FETCHED, timeout=LONG_S):
        yield rows
