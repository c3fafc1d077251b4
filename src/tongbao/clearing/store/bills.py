"""The SQL of bills: movements of one book with what they cost and where their money is.

Every statement is keyed by the book of whoever asks. What stands of batches is read from their rows; a batch has one
payout that counts, the newest.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from tongbao.clearing.schema.bills import BillFilter, Cost, MoneyState, Whereabouts
from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.clearing.store.movements import LONG_S, Money, movement_of
from tongbao.core.db import Connection

_JOINED = """
FROM clearing.movement AS m
LEFT JOIN clearing.batch AS b ON b.book_id = m.book_id AND b.id = m.batch_id
LEFT JOIN clearing.priced AS p ON p.book_id = m.book_id AND p.movement_id = m.id
LEFT JOIN LATERAL (
    SELECT id, state, ended_at FROM clearing.payout
    WHERE book_id = b.book_id AND batch_id = b.id ORDER BY id DESC LIMIT 1) AS o ON true
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN b.id IS NULL THEN 'waiting'
        WHEN b.state IN ('paid', 'reconciled') AND (b.body ->> 'paid_minor')::bigint = 0 THEN 'carried'
        WHEN b.state = 'reconciled' THEN 'paid'
        WHEN b.state = 'approved' AND o.state IN ('sent', 'accepted', 'unresolved') THEN 'sent'
        ELSE b.state END AS whereabouts) AS w
"""
_CONDITIONS = """
WHERE m.book_id = $1
    AND ($2::timestamptz IS NULL OR m.occurred_at >= $2) AND ($3::timestamptz IS NULL OR m.occurred_at < $3)
    AND ($4::smallint[] IS NULL OR m.kind = ANY ($4)) AND ($5::text[] IS NULL OR m.channel = ANY ($5))
    AND ($6::text[] IS NULL OR m.method = ANY ($6)) AND ($7::text[] IS NULL OR m.store = ANY ($7))
    AND ($8::text[] IS NULL OR m.currency = ANY ($8)) AND ($9::text[] IS NULL OR w.whereabouts = ANY ($9))
    AND ($10::uuid IS NULL OR m.intent_id = $10) AND ($11::uuid IS NULL OR m.batch_id = $11)
"""
_COLUMNS = """
SELECT m.*, w.whereabouts, b.payout_on AS batch_payout_on, o.id AS payout_id, o.state AS payout_state,
    o.ended_at AS payout_ended_at, p.movement_id AS priced_id, p.fee_minor, p.tax_minor, p.reserve_minor, p.net_minor,
    p.schedule, p.schedule_version
"""
_PAGE = (
    _COLUMNS
    + _JOINED
    + _CONDITIONS
    + """
    AND ($12::timestamptz IS NULL OR (m.occurred_at, m.id) < ($12, $13::uuid))
ORDER BY m.occurred_at DESC, m.id DESC LIMIT $14
"""
)
_STREAM = _COLUMNS + _JOINED + _CONDITIONS + " ORDER BY m.occurred_at, m.id"
_OF = (
    _COLUMNS
    + _JOINED
    + """
WHERE m.book_id = $1 AND (m.id = ANY ($2::uuid[]) OR m.intent_id = ANY ($2) OR m.batch_id = ANY ($2))
ORDER BY m.occurred_at, m.id LIMIT $3
"""
)
_TOTALS = (
    """
SELECT m.currency, m.kind, p.movement_id IS NOT NULL AS is_priced, count(*) AS count,
    sum(m.amount_minor)::bigint AS amount_minor, coalesce(sum(p.fee_minor), 0)::bigint AS fee_minor,
    coalesce(sum(p.tax_minor), 0)::bigint AS tax_minor, coalesce(sum(p.reserve_minor), 0)::bigint AS reserve_minor
"""
    + _JOINED
    + _CONDITIONS
    + """
GROUP BY m.currency, m.kind, p.movement_id IS NOT NULL ORDER BY m.currency, m.kind
"""
)
_UNPRICED = (
    "SELECT m.*"
    + _JOINED
    + _CONDITIONS
    + """
    AND p.movement_id IS NULL
ORDER BY m.occurred_at, m.id LIMIT $12
"""
)
_UNPRICED_STREAM = (
    "SELECT m.*"
    + _JOINED
    + _CONDITIONS
    + """
    AND p.movement_id IS NULL
ORDER BY m.occurred_at, m.id
"""
)
_UNPRICED_OF_INTENTS = """
SELECT m.* FROM clearing.movement AS m
LEFT JOIN clearing.priced AS p ON p.book_id = m.book_id AND p.movement_id = m.id
WHERE m.book_id = $1 AND m.intent_id = ANY ($2::uuid[]) AND p.movement_id IS NULL
ORDER BY m.occurred_at, m.id LIMIT $3
"""
# What was cut and not priced is among what waits: a month's volume grows when a batch is priced.
_SOLD_UNPRICED = """
SELECT coalesce(sum(m.amount_minor), 0)::bigint FROM clearing.movement AS m
LEFT JOIN clearing.batch AS b ON b.book_id = m.book_id AND b.id = m.batch_id
WHERE m.book_id = $1 AND m.currency = $2 AND m.live = $3 AND m.kind = 1 AND (b.id IS NULL OR b.state = 'cut')
    AND m.occurred_at >= $4 AND (m.occurred_at, m.id) < ($5, $6::uuid)
"""
_COMING = """
SELECT m.currency, m.live, m.cut_at, max(m.payout_on) AS payout_on, count(*) AS count,
    sum(m.amount_minor)::bigint AS amount_minor
FROM clearing.movement AS m
WHERE m.batch_id IS NULL AND m.book_id = $1 AND ($2::text IS NULL OR m.currency = $2)
GROUP BY m.currency, m.live, m.cut_at ORDER BY max(m.payout_on), m.cut_at LIMIT $3
"""
_WAITING_AT = """
SELECT * FROM clearing.movement
WHERE batch_id IS NULL AND book_id = $1 AND currency = $2 AND live = $3 AND cut_at = $4
ORDER BY occurred_at, id LIMIT $5
"""
_WAITING_STREAM = """
SELECT * FROM clearing.movement
WHERE batch_id IS NULL AND book_id = $1 AND currency = $2 AND live = $3 AND cut_at = $4
ORDER BY occurred_at, id
"""
_CUT_SUM = """
SELECT count(*) AS count, coalesce(sum(amount_minor), 0)::bigint AS amount_minor
FROM clearing.movement WHERE book_id = $1 AND batch_id = $2
"""


class BillRow(NamedTuple):
    """A movement with what it cost, where it is priced, and where its money is."""

    movement: Movement
    cost: Cost | None
    where: Whereabouts


class TotalRow(NamedTuple):
    """Movements of one currency and kind, priced or not, minor units."""

    currency: str
    kind: MovementKind
    is_priced: bool
    movement_count: int
    amount_minor: int
    fee_minor: int
    tax_minor: int
    reserve_minor: int


class Coming(NamedTuple):
    """What waits for one cut."""

    currency: str
    live: bool
    cut_at: datetime
    payout_on: date
    movement_count: int
    amount_minor: int


async def page(
    connection: Connection,
    book_id: int,
    asked: BillFilter,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[BillRow]:
    """Return movements of a book, newest first, those after a place of that order."""
    values = (*_values(book_id, asked), *(after or (None, None)), limit)
    return [_row(row) for row in await connection.fetch(_PAGE, *values, timeout=LONG_S)]


async def of(connection: Connection, book_id: int, ids: Sequence[UUID], limit: int) -> list[BillRow]:
    """Return the movements that ids name (their own, of payments, of batches), as they happened."""
    return [_row(row) for row in await connection.fetch(_OF, book_id, list(ids), limit)]


async def totals(connection: Connection, book_id: int, asked: BillFilter) -> list[TotalRow]:
    """Return the sums of a filter by currency, kind and whether they are priced."""
    rows = await connection.fetch(_TOTALS, *_values(book_id, asked), timeout=LONG_S)
    return [TotalRow(row[0], MovementKind(row[1]), *list(row)[2:]) for row in rows]


async def unpriced(connection: Connection, book_id: int, asked: BillFilter, limit: int) -> list[Movement]:
    """Return the movements of a filter that are not priced yet, as they happened."""
    rows = await connection.fetch(_UNPRICED, *_values(book_id, asked), limit, timeout=LONG_S)
    return [movement_of(row) for row in rows]


async def unpriced_of_intents(
    connection: Connection, book_id: int, intents: Sequence[UUID], limit: int
) -> list[Movement]:
    """Return the movements of payments that are not priced yet, as they happened."""
    rows = await connection.fetch(_UNPRICED_OF_INTENTS, book_id, list(intents), limit)
    return [movement_of(row) for row in rows]


async def sold_unpriced(connection: Connection, of_money: Money, from_at: datetime, before: Movement) -> int:
    """Return what was sold from an instant until a movement and is not priced yet, minor units."""
    values = (*of_money, from_at, before.occurred_at, before.id)
    return int(await connection.fetchval(_SOLD_UNPRICED, *values, timeout=LONG_S))


async def coming(connection: Connection, book_id: int, currency: str | None, limit: int) -> list[Coming]:
    """Return what waits, by the cut that it waits for, earliest payout first."""
    rows = await connection.fetch(_COMING, book_id, currency, limit, timeout=LONG_S)
    return [Coming(*row) for row in rows]


async def waiting_at(connection: Connection, of_money: Money, cut_at: datetime, limit: int) -> list[Movement]:
    """Return what waits for one cut, as it happened."""
    rows = await connection.fetch(_WAITING_AT, *of_money, cut_at, limit)
    return [movement_of(row) for row in rows]


async def sum_of_batch(connection: Connection, book_id: int, batch_id: UUID) -> tuple[int, int]:
    """Return how many movements a batch took and the sum of their amounts, minor units."""
    row = await connection.fetchrow(_CUT_SUM, book_id, batch_id, timeout=LONG_S)
    return row["count"], row["amount_minor"]


async def stream(
    connection: Connection, book_id: int, asked: BillFilter, size: int
) -> AsyncIterator[list[BillRow]]:
    """Yield the movements of a filter as they happened, ``size`` at a time; lives in the caller's transaction."""
    cursor = await connection.cursor(_STREAM, *_values(book_id, asked), timeout=LONG_S)
    while rows := await cursor.fetch(size, timeout=LONG_S):
        yield [_row(row) for row in rows]


async def unpriced_stream(
    connection: Connection, book_id: int, asked: BillFilter, size: int
) -> AsyncIterator[list[Movement]]:
    """Yield what of a filter is not priced yet as it happened, ``size`` at a time; lives in the caller's transaction."""
    cursor = await connection.cursor(_UNPRICED_STREAM, *_values(book_id, asked), timeout=LONG_S)
    while rows := await cursor.fetch(size, timeout=LONG_S):
        yield [movement_of(row) for row in rows]


async def waiting_stream(
    connection: Connection, of_money: Money, cut_at: datetime, size: int
) -> AsyncIterator[list[Movement]]:
    """Yield what waits for one cut as it happened, ``size`` at a time; lives in the caller's transaction."""
    cursor = await connection.cursor(_WAITING_STREAM, *of_money, cut_at, timeout=LONG_S)
    while rows := await cursor.fetch(size, timeout=LONG_S):
        yield [movement_of(row) for row in rows]


def _values(book_id: int, asked: BillFilter) -> tuple[Any, ...]:
    return (
        book_id,
        asked.from_at,
        asked.until_at,
        [kind.value for kind in asked.kinds] or None,
        list(asked.channels) or None,
        list(asked.methods) or None,
        list(asked.stores) or None,
        list(asked.currencies) or None,
        [state.value for state in asked.states] or None,
        asked.intent_id,
        asked.batch_id,
    )


def _row(row: Any) -> BillRow:
    state = MoneyState(row["whereabouts"])
    where = Whereabouts(
        state=state,
        payout_on=row["batch_payout_on"] or row["payout_on"],
        batch_id=row["batch_id"],
        payout_id=row["payout_id"],
        payout_state=row["payout_state"] or "",
        paid_at=row["payout_ended_at"] if state is MoneyState.PAID else None,
    )
    return BillRow(movement_of(row), _cost(row), where)


def _cost(row: Any) -> Cost | None:
    if row["priced_id"] is None:
        return None
    return Cost(
        fee_minor=row["fee_minor"],
        tax_minor=row["tax_minor"],
        reserve_minor=row["reserve_minor"],
        net_minor=row["net_minor"],
        schedule=row["schedule"],
        schedule_version=row["schedule_version"],
        is_estimated=False,
    )
