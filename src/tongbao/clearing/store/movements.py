"""The SQL of movements: written once each, found by what they follow on, taken by batches, read back in their order."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.core.db import Connection
from tongbao.core.partitions import Partitioned

MOVEMENTS = Partitioned("clearing", "movement", "id")
PRICED = Partitioned("clearing", "priced", "movement_id")
LONG_S = 300.0
"""What touches every movement of a large batch may take longer than other statements."""

_LOCK_PARTITIONS = "LOCK TABLE ONLY clearing.movement IN SHARE UPDATE EXCLUSIVE MODE"
# What a channel calls a movement may become known later; nothing else of it ever changes.
_WRITE = """
INSERT INTO clearing.movement (book_id, id, transfer_key, source_id, intent_id, amount_minor, occurred_at, recorded_at,
    cut_at, payout_on, kind, live, currency, channel, method, brand, funding, card_country, store, reference,
    channel_reference)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::bigint[], $7::timestamptz[],
    $8::timestamptz[], $9::timestamptz[], $10::date[], $11::smallint[], $12::boolean[], $13::text[], $14::text[],
    $15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[])
ON CONFLICT (book_id, id) DO UPDATE SET channel_reference = excluded.channel_reference
WHERE clearing.movement.channel_reference IS NULL AND excluded.channel_reference IS NOT NULL
"""
_ORIGINS = """
SELECT DISTINCT ON (m.source_id) m.source_id, m.cut_at, m.payout_on, m.channel, m.method, m.brand, m.funding,
    m.card_country, m.store
FROM unnest($1::bigint[], $2::uuid[], $3::uuid[]) AS u (book_id, intent_id, attempt_id)
JOIN clearing.movement AS m
    ON m.book_id = u.book_id AND m.intent_id = u.intent_id AND m.source_id = u.attempt_id AND m.kind = 1
ORDER BY m.source_id, m.cut_at DESC
"""
# The store that sold, as the metadata of a payment names it.
_STORES = """
SELECT i.id, i.body #>> '{metadata,store}' AS store
FROM unnest($1::bigint[], $2::uuid[]) AS u (book_id, id)
JOIN payments.intent AS i ON i.book_id = u.book_id AND i.id = u.id
WHERE i.body #>> '{metadata,store}' IS NOT NULL
"""
_MISSING = """
SELECT u.book_id, u.id FROM unnest($1::bigint[], $2::uuid[]) AS u (book_id, id)
WHERE NOT EXISTS (SELECT 1 FROM clearing.movement AS m WHERE m.book_id = u.book_id AND m.id = u.id)
"""
_OF_INTENT = (
    "SELECT * FROM clearing.movement WHERE book_id = $1 AND intent_id = $2 ORDER BY occurred_at, id LIMIT $3"
)
# In the order in which they happened, so that what was sold before each of them is known.
_SALES = """
SELECT * FROM clearing.movement WHERE book_id = $1 AND batch_id = $2 AND kind = 1 ORDER BY occurred_at, id
"""
# By payment, so that what goes back of each is worked out in order.
_OTHERS = """
SELECT * FROM clearing.movement WHERE book_id = $1 AND batch_id = $2 AND kind <> 1
ORDER BY intent_id, occurred_at, kind, id
"""
# What waits for a cut that was not made yet comes first; latecomers of cuts that were made wait for the next one.
_DUE = """
SELECT m.book_id, m.currency, m.live, max(m.cut_at) AS newest_at,
    coalesce(p.last_cut_at, to_timestamp(0)) AS last_cut_at
FROM clearing.movement AS m
LEFT JOIN clearing.position AS p ON p.book_id = m.book_id AND p.currency = m.currency AND p.live = m.live
WHERE m.batch_id IS NULL AND m.cut_at <= $1 AND ($2::bigint IS NULL OR m.book_id = $2)
GROUP BY m.book_id, m.currency, m.live, p.last_cut_at
ORDER BY max(m.cut_at) > coalesce(p.last_cut_at, to_timestamp(0)) DESC, min(m.cut_at), m.book_id, m.currency, m.live
LIMIT $3
"""
_NEXT_CUT = """
SELECT cut_at, max(payout_on) AS payout_on FROM clearing.movement
WHERE batch_id IS NULL AND book_id = $1 AND currency = $2 AND live = $3 AND cut_at > $4 AND cut_at <= $5
GROUP BY cut_at ORDER BY cut_at LIMIT 1
"""
_NEWEST_CUT = """
SELECT cut_at, max(payout_on) AS payout_on FROM clearing.movement
WHERE batch_id IS NULL AND book_id = $1 AND currency = $2 AND live = $3 AND cut_at > $4 AND cut_at <= $5
GROUP BY cut_at ORDER BY cut_at DESC LIMIT 1
"""
_TAKE = """
UPDATE clearing.movement SET batch_id = $1
WHERE batch_id IS NULL AND book_id = $2 AND currency = $3 AND live = $4 AND cut_at <= $5
"""
_UNPRICED = """
SELECT m.currency, sum(m.amount_minor)::bigint AS amount_minor
FROM clearing.movement AS m LEFT JOIN clearing.batch AS b ON b.book_id = m.book_id AND b.id = m.batch_id
WHERE m.book_id = $1 AND (b.id IS NULL OR b.state = 'cut')
GROUP BY m.currency
"""


class Money(NamedTuple):
    """The money of one book, currency and mode: what batches are cut from."""

    book_id: int
    currency: str
    live: bool


class Due(NamedTuple):
    """Money that something waits for: the newest due cut among it, and the newest that was made."""

    money: Money
    newest_at: datetime
    last_cut_at: datetime


class SaleRow(NamedTuple):
    """The newest cut that sales of an attempt belong to, and how was paid."""

    cut_at: datetime
    payout_on: date
    channel: str
    method: str
    brand: str
    funding: str
    card_country: str
    store: str


async def lock_partitions(connection: Connection) -> None:
    """Wait until nobody else makes partitions, and keep others waiting until the transaction ends."""
    await connection.execute(_LOCK_PARTITIONS)


async def write(connection: Connection, movements: Sequence[Movement]) -> None:
    """Write movements, each id once a call; one that is there already stays as it is. Joins the transaction."""
    columns = list(zip(*map(_values, movements), strict=True))
    await connection.execute(_WRITE, *map(list, columns))


async def origins(connection: Connection, wanted: Collection[tuple[int, UUID, UUID]]) -> dict[UUID, SaleRow]:
    """Return by attempt what its sales know of it; ``wanted``: book, intent and attempt."""
    books, intents, attempts = zip(*wanted, strict=True)
    rows = await connection.fetch(_ORIGINS, list(books), list(intents), list(attempts))
    return {row["source_id"]: SaleRow(*list(row)[1:]) for row in rows}


async def stores_of(connection: Connection, intents: Collection[tuple[int, UUID]]) -> dict[UUID, str]:
    """Return by payment the store that sold, where it names one; ``intents``: book and id."""
    books, ids = [book_id for book_id, _ in intents], [intent_id for _, intent_id in intents]
    return {row["id"]: row["store"] for row in await connection.fetch(_STORES, books, ids)}


async def missing(connection: Connection, wanted: Collection[tuple[int, UUID]]) -> list[tuple[int, UUID]]:
    """Return which of these movements (book and id) are not recorded."""
    books, ids = [book_id for book_id, _ in wanted], [movement_id for _, movement_id in wanted]
    return [(row["book_id"], row["id"]) for row in await connection.fetch(_MISSING, books, ids)]


async def of_intent(connection: Connection, book_id: int, intent_id: UUID, limit: int) -> list[Movement]:
    """Return the movements of a payment as they happened."""
    return [movement_of(row) for row in await connection.fetch(_OF_INTENT, book_id, intent_id, limit)]


async def stream(
    connection: Connection, book_id: int, batch_id: UUID, size: int, *, sales: bool
) -> AsyncIterator[list[Movement]]:
    """Yield the sales of a batch as they happened, or everything else of it by payment, ``size`` at a time.

    Lives in the caller's transaction, which may do other work between two yields.
    """
    cursor = await connection.cursor(_SALES if sales else _OTHERS, book_id, batch_id, timeout=LONG_S)
    while rows := await cursor.fetch(size, timeout=LONG_S):
        yield [movement_of(row) for row in rows]


async def due(connection: Connection, now: datetime, book_id: int | None, limit: int) -> list[Due]:
    """Return what waits although its cut has come; of one book where it is given. Cuts still to be made come first."""
    rows = await connection.fetch(_DUE, now, book_id, limit)
    return [Due(Money(*row[:3]), row["newest_at"], row["last_cut_at"]) for row in rows]


async def next_cut(
    connection: Connection, of: Money, after: datetime, now: datetime, *, newest: bool = False
) -> tuple[datetime, date] | None:
    """Return the first due cut after an instant that something waits for, or the newest, and its date of payment."""
    row = await connection.fetchrow(_NEWEST_CUT if newest else _NEXT_CUT, *of, after, now)
    return None if row is None else (row["cut_at"], row["payout_on"])


async def take(connection: Connection, batch_id: UUID, of: Money, cut_at: datetime) -> int:
    """Give everything that waits, up to a cut, to a batch; return how many. Joins the transaction."""
    done = await connection.execute(_TAKE, batch_id, *of, cut_at, timeout=LONG_S)
    return int(done.rpartition(" ")[2])


async def unpriced(connection: Connection, book_id: int) -> dict[str, int]:
    """Return by currency the sum of all movements that no priced batch holds: what must stand on ``in_transit``."""
    rows = await connection.fetch(_UNPRICED, book_id)
    return {row["currency"]: row["amount_minor"] for row in rows}


def _values(movement: Movement) -> tuple[Any, ...]:
    return (
        movement.book_id,
        movement.id,
        movement.transfer_key,
        movement.source_id,
        movement.intent_id,
        movement.amount_minor,
        movement.occurred_at,
        movement.recorded_at,
        movement.cut_at,
        movement.payout_on,
        movement.kind.value,
        movement.live,
        movement.currency,
        movement.channel,
        movement.method,
        movement.brand,
        movement.funding,
        movement.card_country,
        movement.store,
        movement.reference,
        movement.channel_reference,
    )


def movement_of(row: Any) -> Movement:
    """Return a movement from a whole row of its table."""
    return Movement(
        id=row["id"],
        book_id=row["book_id"],
        live=row["live"],
        kind=MovementKind(row["kind"]),
        transfer_key=row["transfer_key"],
        source_id=row["source_id"],
        intent_id=row["intent_id"],
        channel=row["channel"],
        method=row["method"],
        brand=row["brand"],
        funding=row["funding"],
        card_country=row["card_country"],
        store=row["store"],
        currency=row["currency"],
        amount_minor=row["amount_minor"],
        reference=row["reference"],
        channel_reference=row["channel_reference"],
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
        cut_at=row["cut_at"],
        payout_on=row["payout_on"],
        batch_id=row["batch_id"],
    )
