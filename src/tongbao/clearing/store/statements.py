"""The SQL of statements and profits: sums of movements, and what batches did at which instant.

The instants of a batch are those of the steps of its history. A payout came back where a batch failed after it was paid.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from tongbao.clearing.schema.batches import Totals
from tongbao.clearing.schema.movements import MovementKind
from tongbao.clearing.schema.statements import (
    BatchAct,
    BatchEvent,
    FeeSum,
    Holdings,
    KindSum,
    ProfitFilter,
    ProfitKey,
    ProfitLine,
)
from tongbao.clearing.store.movements import LONG_S
from tongbao.core.db import Connection

_STEPS = """
SELECT b.book_id, b.id, b.currency, b.cut_at, b.payout_on, b.body, s.at, s.act, s.place
FROM clearing.batch AS b
CROSS JOIN LATERAL (
    SELECT h.at, h.place, CASE
        WHEN h.state = 'priced' THEN 'priced'
        WHEN h.state = 'paid' AND (b.body ->> 'paid_minor')::bigint > 0 THEN 'paid'
        WHEN h.state = 'failed' AND h.was IN ('paid', 'reconciled') THEN 'returned' END AS act
    FROM (
        SELECT e.value ->> 'state' AS state, (e.value ->> 'at')::timestamptz AS at, e.place,
            lag(e.value ->> 'state') OVER (ORDER BY e.place) AS was
        FROM jsonb_array_elements(b.body -> 'history') WITH ORDINALITY AS e (value, place)) AS h) AS s
"""
_EVENTS = (
    _STEPS
    + """
WHERE b.book_id = $1 AND b.currency = $2 AND b.state <> 'cut' AND b.updated_at >= $3 AND b.created_at < $4
    AND s.at >= $3 AND s.at < $4 AND s.act IS NOT NULL
ORDER BY s.at, b.cut_at, s.place LIMIT $5
"""
)
_MOVED = """
SELECT coalesce(sum(amount_minor), 0)::bigint FROM clearing.movement
WHERE book_id = $1 AND currency = $2 AND occurred_at < $3
"""
_SETTLED = (
    "WITH step AS ("
    + _STEPS
    + """
WHERE b.book_id = $1 AND b.currency = $2 AND b.state <> 'cut' AND b.created_at < $3 AND s.at < $3 AND s.act IS NOT NULL)
SELECT
    coalesce(sum((body #>> '{totals,gross_minor}')::bigint + (body #>> '{totals,refunds_minor}')::bigint
        + (body #>> '{totals,disputes_minor}')::bigint + (body #>> '{totals,adjustments_minor}')::bigint)
        FILTER (WHERE act = 'priced'), 0)::bigint AS taken_minor,
    coalesce(sum((body #>> '{totals,reserve_held_minor}')::bigint + (body #>> '{totals,reserve_released_minor}')::bigint)
        FILTER (WHERE act = 'priced'), 0)::bigint AS unreserved_minor,
    coalesce(sum((body ->> 'paid_minor')::bigint * CASE act WHEN 'paid' THEN -1 ELSE 1 END), 0)::bigint AS payable_minor,
    coalesce((array_agg((body ->> 'carried_minor')::bigint ORDER BY cut_at DESC) FILTER (WHERE act = 'priced'))[1], 0)
        AS carried_minor
FROM step
"""
)
_BY_KIND = """
SELECT kind, method, channel, count(*) AS count, sum(amount_minor)::bigint AS amount_minor
FROM clearing.movement
WHERE book_id = $1 AND currency = $2 AND occurred_at >= $3 AND occurred_at < $4
GROUP BY kind, method, channel ORDER BY kind, method, channel
"""
_FEES = """
SELECT m.kind, m.method, m.channel, count(*) AS count, sum(m.amount_minor)::bigint AS amount_minor,
    sum(p.fee_minor)::bigint AS fee_minor, sum(p.tax_minor)::bigint AS tax_minor
FROM clearing.priced AS p JOIN clearing.movement AS m ON m.book_id = p.book_id AND m.id = p.movement_id
WHERE p.book_id = $1 AND p.batch_id = ANY ($2::uuid[])
GROUP BY m.kind, m.method, m.channel ORDER BY m.kind, m.method, m.channel
"""
# The charges of the merchant by their names and taxes, as invoices name them. A part tells nothing that is empty or 0.
_CHARGES = """
SELECT c.value ->> 'name' AS name, count(*) AS count, sum((c.value ->> 'amount_minor')::bigint)::bigint AS amount_minor,
    coalesce(sum((c.value ->> 'tax_minor')::bigint), 0)::bigint AS tax_minor,
    coalesce(c.value ->> 'tax_name', '') AS tax_name, coalesce((c.value ->> 'tax_e6')::int, 0) AS tax_e6
FROM clearing.priced AS p CROSS JOIN LATERAL jsonb_array_elements(p.parts) AS c (value)
WHERE p.book_id = $1 AND p.batch_id = ANY ($2::uuid[]) AND c.value ->> 'bearer' = 'merchant'
GROUP BY 1, 5, 6 ORDER BY 1, 5, 6
"""
_PROFIT = (
    "WITH step AS ("
    + _STEPS
    + """
WHERE b.state <> 'cut' AND b.updated_at >= $1 AND b.created_at < $2 AND s.at >= $1 AND s.at < $2 AND s.act = 'priced'
    AND b.live = $4 AND ($5::bigint IS NULL OR b.book_id = $5) AND ($6::text IS NULL OR b.currency = $6))
SELECT s.currency, date_trunc('month', s.at AT TIME ZONE $3)::date AS month_on, s.book_id, m.method, m.channel,
    count(*) AS count, coalesce(sum(m.amount_minor) FILTER (WHERE m.kind = 1), 0)::bigint AS volume_minor,
    sum(p.fee_minor)::bigint AS fees_minor, sum(p.tax_minor)::bigint AS tax_minor, sum(p.cost_minor)::bigint AS cost_minor,
    sum(p.agent_minor)::bigint AS agent_minor
FROM step AS s
JOIN clearing.priced AS p ON p.book_id = s.book_id AND p.batch_id = s.id
JOIN clearing.movement AS m ON m.book_id = p.book_id AND m.id = p.movement_id
WHERE $7::text IS NULL OR m.channel = $7
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 LIMIT $8
"""
)
_WRITE_OFFS = """
SELECT currency, date_trunc('month', updated_at AT TIME ZONE $3)::date AS month_on, owner_book_id, leg, source,
    sum(difference_minor)::bigint AS difference_minor
FROM clearing.break
WHERE book_id = 0 AND state = 'written_off' AND updated_at >= $1 AND updated_at < $2
    AND ($4::bigint IS NULL OR owner_book_id = $4) AND ($5::text IS NULL OR currency = $5)
    AND ($6::text IS NULL OR (leg = 'channel' AND source = $6))
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 LIMIT $7
"""


async def events(
    connection: Connection, book_id: int, currency: str, between: tuple[datetime, datetime], limit: int
) -> list[BatchEvent]:
    """Return what batches did to a balance within a time, oldest first."""
    rows = await connection.fetch(_EVENTS, book_id, currency, *between, limit, timeout=LONG_S)
    return [_event(row) for row in rows]


async def holdings(connection: Connection, book_id: int, currency: str, at: datetime) -> Holdings:
    """Return what a merchant had at an instant, everything before it counted."""
    moved = int(await connection.fetchval(_MOVED, book_id, currency, at, timeout=LONG_S))
    row = await connection.fetchrow(_SETTLED, book_id, currency, at, timeout=LONG_S)
    carried = row["carried_minor"]
    return Holdings(
        in_transit_minor=moved - row["taken_minor"],
        payable_minor=row["payable_minor"] + max(carried, 0),
        reserve_minor=-row["unreserved_minor"],
        owed_minor=max(-carried, 0),
    )


async def by_kind(
    connection: Connection, book_id: int, currency: str, between: tuple[datetime, datetime]
) -> tuple[KindSum, ...]:
    """Return the movements of a time by kind, method and channel."""
    rows = await connection.fetch(_BY_KIND, book_id, currency, *between, timeout=LONG_S)
    return tuple(KindSum(**(dict(row) | {"kind": MovementKind(row["kind"])})) for row in rows)


async def fees(connection: Connection, book_id: int, batches: Sequence[UUID]) -> tuple[FeeSum, ...]:
    """Return what the movements of batches cost by kind, method and channel."""
    rows = await connection.fetch(_FEES, book_id, list(batches), timeout=LONG_S)
    return tuple(FeeSum(**(dict(row) | {"kind": MovementKind(row["kind"])})) for row in rows)


class Charged(NamedTuple):
    """What movements cost by one charge and tax, minor units; the amount holds the tax."""

    name: str
    movement_count: int
    amount_minor: int
    tax_minor: int
    tax_name: str
    tax_e6: int


async def charges(connection: Connection, book_id: int, batches: Sequence[UUID]) -> list[Charged]:
    """Return what the movements of batches cost by the name of the charge and its tax, in this order."""
    rows = await connection.fetch(_CHARGES, book_id, list(batches), timeout=LONG_S)
    return [Charged(*row) for row in rows]


async def profits(
    connection: Connection,
    between: tuple[datetime, datetime],
    zone: str,
    of: ProfitFilter,
    *,
    live: bool,
    limit: int,
) -> list[ProfitLine]:
    """Return what the house earned with what was priced in a time, by month, merchant, method and channel."""
    asked = (live, of.book_id, of.currency, of.channel, limit)
    rows = await connection.fetch(_PROFIT, *between, zone, *asked, timeout=LONG_S)
    return [
        ProfitLine(key=ProfitKey(**dict(list(row.items())[:5])), **dict(list(row.items())[5:]))
        for row in rows
    ]


async def write_offs(
    connection: Connection, between: tuple[datetime, datetime], zone: str, of: ProfitFilter, *, limit: int
) -> list[ProfitLine]:
    """Return what was written off in a time; the channel is known where a channel's report differed."""
    asked = (of.book_id, of.currency, of.channel, limit)
    rows = await connection.fetch(_WRITE_OFFS, *between, zone, *asked, timeout=LONG_S)
    return [
        ProfitLine(
            key=ProfitKey(
                currency=row["currency"],
                month_on=row["month_on"],
                book_id=row["owner_book_id"],
                channel=row["source"] if row["leg"] == "channel" else "",
            ),
            write_offs_minor=row["difference_minor"],
        )
        for row in rows
    ]


class _Body(msgspec.Struct):
    """What of a batch changes a balance."""

    totals: Totals
    paid_minor: int = 0
    carried_minor: int = 0


_READ = msgspec.json.Decoder(_Body).decode


def _event(row: Any) -> BatchEvent:
    read = _READ(row["body"])
    return BatchEvent(
        batch_id=row["id"],
        act=BatchAct(row["act"]),
        at=row["at"],
        cut_at=row["cut_at"],
        payout_on=row["payout_on"],
        totals=read.totals,
        paid_minor=read.paid_minor,
        carried_minor=read.carried_minor,
    )
