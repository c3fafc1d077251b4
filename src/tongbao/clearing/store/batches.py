"""The SQL of batches: the batch itself, what its movements cost, what is withheld, and where a book's money stands.

The body of a batch is the batch; its columns are a copy. Whoever cuts or prices holds the lock of the position of that
money, so batches of one book, currency and mode follow each other; any other move holds the lock of the batch.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.clearing.schema.fees import FeePart
from tongbao.clearing.schema.movements import MovementKind, PricedMovement
from tongbao.clearing.store.movements import Money
from tongbao.core import copying
from tongbao.core.db import Connection

LONG_MS = 300_000
_READ = msgspec.json.Decoder(Batch).decode
_ENCODE = msgspec.json.Encoder().encode
_READ_PARTS = msgspec.json.Decoder(tuple[FeePart, ...]).decode

_PATIENT = "SELECT set_config('statement_timeout', $1, true)"
_OPEN_POSITION = """
INSERT INTO clearing.position (book_id, currency, live, last_cut_at, carried_minor)
VALUES ($1, $2, $3, to_timestamp(0), 0) ON CONFLICT (book_id, currency, live) DO NOTHING
"""
_LOCK_POSITION = """
SELECT last_cut_at, carried_minor FROM clearing.position
WHERE book_id = $1 AND currency = $2 AND live = $3 FOR UPDATE SKIP LOCKED
"""
# For what must not miss its turn: it waits until the batch that is being priced is done.
_AWAIT_POSITION = """
SELECT last_cut_at, carried_minor FROM clearing.position
WHERE book_id = $1 AND currency = $2 AND live = $3 FOR UPDATE
"""
_POSITION = "SELECT last_cut_at, carried_minor FROM clearing.position WHERE book_id = $1 AND currency = $2 AND live = $3"
_CUT_POSITION = """
UPDATE clearing.position SET last_cut_at = $4 WHERE book_id = $1 AND currency = $2 AND live = $3
"""
_CARRY = """
UPDATE clearing.position SET carried_minor = $4 WHERE book_id = $1 AND currency = $2 AND live = $3
"""
_INSERT = """
INSERT INTO clearing.batch (book_id, id, live, currency, cut_at, payout_on, state, version, payout_id, created_at,
    updated_at, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_UPDATE = """
UPDATE clearing.batch SET state = $3, version = $4, payout_id = $5, updated_at = $6, body = $7, payout_on = $8
WHERE book_id = $1 AND id = $2 AND version = $4 - 1
"""
_ONE = "SELECT body FROM clearing.batch WHERE book_id = $1 AND id = $2"
_LOCK = "SELECT body FROM clearing.batch WHERE book_id = $1 AND id = $2 FOR UPDATE"
_FIRST_CUT = """
SELECT id FROM clearing.batch WHERE book_id = $1 AND currency = $2 AND live = $3 AND state = 'cut'
ORDER BY cut_at LIMIT 1
"""
_IN_STATE = """
SELECT body FROM clearing.batch
WHERE state = $1 AND payout_on <= $2 AND ($3::bigint IS NULL OR book_id = $3)
ORDER BY payout_on, book_id, id LIMIT $4
"""
# The first batch of each money, since the next one begins with what it leaves.
_TO_PRICE = """
SELECT DISTINCT ON (book_id, currency, live) body FROM clearing.batch
WHERE state = 'cut' AND ($1::bigint IS NULL OR book_id = $1)
ORDER BY book_id, currency, live, cut_at LIMIT $2
"""
_TO_APPROVE = """
SELECT body FROM clearing.batch
WHERE state = 'priced' AND body -> 'needs_two' = 'false' AND ($1::bigint IS NULL OR book_id = $1)
ORDER BY payout_on, book_id, id LIMIT $2
"""
_PAGE = """
SELECT body FROM clearing.batch
WHERE book_id = $1 AND ($2::text IS NULL OR currency = $2) AND ($3::text IS NULL OR state = $3)
    AND ($4::uuid IS NULL OR id < $4)
ORDER BY id DESC LIMIT $5
"""
_PRICED_COLUMNS = (
    "book_id",
    "movement_id",
    "batch_id",
    "fee_minor",
    "tax_minor",
    "cost_minor",
    "agent_minor",
    "reserve_minor",
    "net_minor",
    "schedule_version",
    "schedule",
    "parts",
)
_PRICED = """
SELECT movement_id, batch_id, schedule, schedule_version, fee_minor, tax_minor, cost_minor, agent_minor,
    reserve_minor, net_minor, parts
FROM clearing.priced WHERE book_id = $1 AND movement_id = ANY ($2::uuid[])
"""
_PAST = """
SELECT m.intent_id, m.source_id, m.kind, m.amount_minor, m.occurred_at, p.schedule, p.parts
FROM clearing.movement AS m
JOIN clearing.priced AS p ON p.book_id = m.book_id AND p.movement_id = m.id
WHERE m.book_id = $1 AND m.intent_id = ANY ($2::uuid[]) AND m.kind IN (1, 2, 3)
ORDER BY m.occurred_at, m.id
"""
_HOLD = """
INSERT INTO clearing.reserve (book_id, batch_id, currency, live, held_minor, until_on)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_RELEASE = """
WITH released AS (
    UPDATE clearing.reserve SET released_by = $1
    WHERE book_id = $2 AND currency = $3 AND live = $4 AND until_on <= $5 AND released_by IS NULL
    RETURNING held_minor)
SELECT coalesce(sum(held_minor), 0)::bigint FROM released
"""
_RESERVES_DUE = """
SELECT r.book_id, r.currency, r.live, min(r.until_on) AS until_on,
    coalesce(p.last_cut_at, to_timestamp(0)) AS last_cut_at
FROM clearing.reserve AS r
LEFT JOIN clearing.position AS p ON p.book_id = r.book_id AND p.currency = r.currency AND p.live = r.live
WHERE r.released_by IS NULL AND r.until_on <= $1 AND ($2::bigint IS NULL OR r.book_id = $2)
GROUP BY r.book_id, r.currency, r.live, p.last_cut_at
ORDER BY min(r.until_on), r.book_id, r.currency, r.live LIMIT $3
"""
_IS_RESERVE_DUE = """
SELECT EXISTS (SELECT 1 FROM clearing.reserve
    WHERE book_id = $1 AND currency = $2 AND live = $3 AND until_on <= $4 AND released_by IS NULL)
"""
_VOLUMES = (
    "SELECT month_on, sold_minor FROM clearing.volume WHERE book_id = $1 AND currency = $2 AND live = $3"
)
_WRITE_VOLUMES = """
INSERT INTO clearing.volume (book_id, currency, live, month_on, sold_minor)
SELECT $1, $2, $3, month_on, sold_minor FROM unnest($4::date[], $5::bigint[]) AS u (month_on, sold_minor)
ON CONFLICT (book_id, currency, live, month_on) DO UPDATE SET sold_minor = excluded.sold_minor
"""


class Position(NamedTuple):
    """Where the money of one book, currency and mode stands: its newest cut, and what the last priced batch carried on."""

    last_cut_at: datetime
    carried_minor: int


class ReserveDue(NamedTuple):
    """Money of which a reserve is to be given back from a date on, and its newest cut that was made."""

    money: Money
    until_on: date
    last_cut_at: datetime


class PastMovement(NamedTuple):
    """A priced sale, refund or failed refund of a payment."""

    intent_id: UUID
    source_id: UUID
    kind: MovementKind
    amount_minor: int
    occurred_at: datetime
    schedule: str
    parts: tuple[FeePart, ...]


async def be_patient(connection: Connection) -> None:
    """Let the statements of this transaction take as long as a large batch needs."""
    await connection.execute(_PATIENT, str(LONG_MS))


async def lock_position(connection: Connection, of: Money) -> Position | None:
    """Return the position under lock, made where there is none; None while somebody else cuts or prices this money."""
    await connection.execute(_OPEN_POSITION, *of)
    row = await connection.fetchrow(_LOCK_POSITION, *of)
    return None if row is None else Position(*row)


async def await_position(connection: Connection, of: Money) -> Position:
    """Return the position under lock, made where there is none; waits for whoever cuts or prices this money."""
    await connection.execute(_OPEN_POSITION, *of)
    return Position(*await connection.fetchrow(_AWAIT_POSITION, *of))


async def position(connection: Connection, of: Money) -> Position | None:
    """Return the position; None before the first cut."""
    row = await connection.fetchrow(_POSITION, *of)
    return None if row is None else Position(*row)


async def insert(connection: Connection, batch: Batch) -> None:
    """Add a batch and make its cut the newest of its money; the caller holds the position's lock."""
    await connection.execute(
        _INSERT,
        batch.book_id,
        batch.id,
        batch.live,
        batch.currency,
        batch.cut_at,
        batch.payout_on,
        batch.state.value,
        batch.version,
        batch.payout_id,
        batch.created_at,
        batch.updated_at,
        _ENCODE(batch).decode(),
    )
    await connection.execute(_CUT_POSITION, batch.book_id, batch.currency, batch.live, batch.cut_at)


async def update(connection: Connection, batch: Batch) -> bool:
    """Write the next version of a batch; False where the stored one is not the version before."""
    done = await connection.execute(
        _UPDATE,
        batch.book_id,
        batch.id,
        batch.state.value,
        batch.version,
        batch.payout_id,
        batch.updated_at,
        _ENCODE(batch).decode(),
        batch.payout_on,
    )
    return bool(done == "UPDATE 1")


async def one(connection: Connection, book_id: int, batch_id: UUID, *, lock: bool = False) -> Batch | None:
    """Return a batch, under lock where it is about to change."""
    body = await connection.fetchval(_LOCK if lock else _ONE, book_id, batch_id)
    return None if body is None else _READ(body)


async def first_cut(connection: Connection, of: Money) -> UUID | None:
    """Return the batch of this money that is to be priced next."""
    found: UUID | None = await connection.fetchval(_FIRST_CUT, *of)
    return found


async def to_price(connection: Connection, book_id: int | None, limit: int) -> list[Batch]:
    """Return batches that may be priced now, of each money the first; of one book where it is given."""
    return [_READ(row[0]) for row in await connection.fetch(_TO_PRICE, book_id, limit)]


async def to_approve(connection: Connection, book_id: int | None, limit: int) -> list[Batch]:
    """Return priced batches that nobody has to look at, earliest date of payment first."""
    return [_READ(row[0]) for row in await connection.fetch(_TO_APPROVE, book_id, limit)]


async def in_state(
    connection: Connection, state: BatchState, until_on: date, book_id: int | None, limit: int
) -> list[Batch]:
    """Return batches in a state that are paid by a date, earliest first; of one book where it is given."""
    rows = await connection.fetch(_IN_STATE, state.value, until_on, book_id, limit)
    return [_READ(row[0]) for row in rows]


async def page(
    connection: Connection,
    book_id: int,
    *,
    currency: str | None,
    state: BatchState | None,
    before: UUID | None,
    limit: int,
) -> list[Batch]:
    """Return batches of a book, newest cut first."""
    rows = await connection.fetch(
        _PAGE, book_id, currency, None if state is None else state.value, before, limit
    )
    return [_READ(row[0]) for row in rows]


async def copy_priced(connection: Connection, rows: Sequence[PricedMovement]) -> None:
    """Append what movements cost; joins the transaction."""
    await copying.copy(connection, "clearing", "priced", _PRICED_COLUMNS, map(_packed, rows))


async def priced(
    connection: Connection, book_id: int, movement_ids: Sequence[UUID]
) -> dict[UUID, PricedMovement]:
    """Return what these movements cost, by movement; those that are not priced yet are left out."""
    rows = await connection.fetch(_PRICED, book_id, list(movement_ids))
    return {row["movement_id"]: _priced(book_id, row) for row in rows}


async def past(
    connection: Connection, book_id: int, intents: Iterable[UUID]
) -> dict[UUID, list[PastMovement]]:
    """Return the priced sales and refunds of payments, by payment as they happened."""
    found: dict[UUID, list[PastMovement]] = {}
    for row in await connection.fetch(_PAST, book_id, list(intents)):
        intent_id, source_id, kind, amount_minor, occurred_at, schedule, parts = row
        found.setdefault(intent_id, []).append(
            PastMovement(
                intent_id,
                source_id,
                MovementKind(kind),
                amount_minor,
                occurred_at,
                schedule,
                _READ_PARTS(parts),
            )
        )
    return found


async def carry(connection: Connection, batch: Batch) -> None:
    """Keep what a priced batch leaves for the next one."""
    await connection.execute(_CARRY, batch.book_id, batch.currency, batch.live, batch.carried_minor)


async def hold(connection: Connection, batch: Batch, held_minor: int, until_on: date) -> None:
    """Keep what a batch withholds, until when; minor units, positive."""
    await connection.execute(_HOLD, batch.book_id, batch.id, batch.currency, batch.live, held_minor, until_on)


async def release(connection: Connection, batch: Batch, on: date) -> int:
    """Give everything whose time has come to a batch; return the sum in minor units."""
    return int(await connection.fetchval(_RELEASE, batch.id, batch.book_id, batch.currency, batch.live, on))


async def reserves_due(connection: Connection, on: date, book_id: int | None, limit: int) -> list[ReserveDue]:
    """Return the money of which a reserve is to be given back by a date, earliest first."""
    rows = await connection.fetch(_RESERVES_DUE, on, book_id, limit)
    return [ReserveDue(Money(*row[:3]), row["until_on"], row["last_cut_at"]) for row in rows]


async def is_reserve_due(connection: Connection, of: Money, on: date) -> bool:
    """Return whether a reserve of this money is to be given back by a date."""
    return bool(await connection.fetchval(_IS_RESERVE_DUE, *of, on))


async def volumes(connection: Connection, batch: Batch) -> dict[date, int]:
    """Return what was sold so far by the first day of each month, minor units, of the money of a batch."""
    rows = await connection.fetch(_VOLUMES, batch.book_id, batch.currency, batch.live)
    return {row["month_on"]: row["sold_minor"] for row in rows}


async def write_volumes(connection: Connection, batch: Batch, sold: Mapping[date, int]) -> None:
    """Keep what was sold by month."""
    await connection.execute(
        _WRITE_VOLUMES, batch.book_id, batch.currency, batch.live, list(sold), list(sold.values())
    )


def _packed(row: PricedMovement) -> bytes:
    return copying.row(
        [
            copying.bigint(row.book_id),
            copying.uuid(row.movement_id),
            copying.uuid(row.batch_id),
            copying.bigint(row.fee_minor),
            copying.bigint(row.tax_minor),
            copying.bigint(row.cost_minor),
            copying.bigint(row.agent_minor),
            copying.bigint(row.reserve_minor),
            copying.bigint(row.net_minor),
            copying.integer(row.schedule_version),
            copying.text(row.schedule),
            copying.jsonb(_ENCODE(row.parts)),
        ]
    )


def _priced(book_id: int, row: Any) -> PricedMovement:
    values = dict(row) | {"book_id": book_id, "parts": _READ_PARTS(row["parts"])}
    return PricedMovement(**values)
