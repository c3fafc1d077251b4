"""The SQL of demands, of what came for them, and of who owes. Moves of a demand hold the lock of its row."""

from datetime import date
from uuid import UUID

import msgspec

from tongbao.clearing.schema.demands import AgeRow, Debtor, Demand, DemandState, Receipt
from tongbao.clearing.store.movements import Money
from tongbao.core.db import Connection

_READ = msgspec.json.Decoder(Demand).decode

_INSERT = """
INSERT INTO clearing.demand (book_id, id, left_minor, created_at, updated_at, due_on, version, live, currency, state,
    reference, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_UPDATE = """
UPDATE clearing.demand SET left_minor = $3, state = $4, version = $5, updated_at = $6, body = $7
WHERE book_id = $1 AND id = $2 AND version = $5 - 1
"""
_ONE = "SELECT body FROM clearing.demand WHERE book_id = $1 AND id = $2"
_LOCK = _ONE + " FOR UPDATE"
_BY_REFERENCE = "SELECT body FROM clearing.demand WHERE book_id = $1 AND reference = $2"
_BOOK_OF = "SELECT book_id FROM clearing.demand WHERE id = $1"
_PAGE = """
SELECT body FROM clearing.demand
WHERE ($1::bigint IS NULL OR book_id = $1) AND ($2::text IS NULL OR state = $2) AND ($3::uuid IS NULL OR id < $3)
    AND ($4::boolean IS NULL OR live = $4)
ORDER BY id DESC LIMIT $5
"""
_DEMANDED = """
SELECT coalesce(sum(left_minor), 0)::bigint FROM clearing.demand
WHERE book_id = $1 AND currency = $2 AND live = $3 AND state IN ('open', 'part_paid')
"""
# What waits beside the debt: all that no priced batch holds.
_WAITING = """
SELECT coalesce(sum(m.amount_minor), 0)::bigint
FROM clearing.movement AS m LEFT JOIN clearing.batch AS b ON b.book_id = m.book_id AND b.id = m.batch_id
WHERE m.book_id = $1 AND m.currency = $2 AND m.live = $3 AND (m.batch_id IS NULL OR b.state = 'cut')
"""
_ADD_RECEIPT = """
INSERT INTO clearing.debt_receipt (book_id, id, demand_id, amount_minor, line_id, recorded_at, received_on, currency,
    bank_reference, actor)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (book_id, bank_reference) DO NOTHING
"""
_SHOWN = "UPDATE clearing.debt_receipt SET line_id = $3 WHERE book_id = $1 AND id = $2 AND line_id IS NULL"
_RECEIPT_COLUMNS = """
SELECT id, book_id, demand_id, bank_reference, currency, amount_minor, received_on, line_id, actor, recorded_at
FROM clearing.debt_receipt
"""
_RECEIPT = _RECEIPT_COLUMNS + "WHERE book_id = $1 AND bank_reference = $2"
_RECEIPTS = _RECEIPT_COLUMNS + "WHERE book_id = $1 AND demand_id = $2 ORDER BY recorded_at, id LIMIT $3"
_AGES = """
SELECT currency, live, greatest($1::date - due_on, 0) AS days, count(*) AS count, sum(left_minor)::bigint AS amount
FROM clearing.demand WHERE state IN ('open', 'part_paid') AND ($2::bigint IS NULL OR book_id = $2)
    AND ($3::boolean IS NULL OR live = $3)
GROUP BY currency, live, days
"""
_DEBTORS = """
SELECT p.book_id, p.currency, p.live, -p.carried_minor AS debt_minor, w.waiting_minor, d.demanded_minor,
    d.earliest_due_on
FROM clearing.position AS p
CROSS JOIN LATERAL (
    SELECT coalesce(sum(m.amount_minor), 0)::bigint AS waiting_minor
    FROM clearing.movement AS m LEFT JOIN clearing.batch AS b ON b.book_id = m.book_id AND b.id = m.batch_id
    WHERE m.book_id = p.book_id AND m.currency = p.currency AND m.live = p.live
        AND (m.batch_id IS NULL OR b.state = 'cut')) AS w
CROSS JOIN LATERAL (
    SELECT coalesce(sum(a.left_minor), 0)::bigint AS demanded_minor, min(a.due_on) AS earliest_due_on
    FROM clearing.demand AS a
    WHERE a.book_id = p.book_id AND a.currency = p.currency AND a.live = p.live
        AND a.state IN ('open', 'part_paid')) AS d
WHERE p.carried_minor < 0 AND ($1::bigint IS NULL OR p.book_id > $1)
    AND ($2::boolean IS NULL OR p.live = $2)
ORDER BY p.book_id, p.currency, p.live LIMIT $3
"""


async def insert(connection: Connection, made: Demand) -> None:
    """Write a new demand."""
    order = made.order
    await connection.execute(
        _INSERT,
        order.book_id,
        made.id,
        made.left_minor,
        made.created_at,
        made.updated_at,
        order.due_on,
        made.version,
        made.live,
        order.currency,
        made.state.value,
        order.reference,
        msgspec.json.encode(made).decode(),
    )


async def update(connection: Connection, after: Demand) -> None:
    """Write the next version of a demand that is locked."""
    await connection.execute(
        _UPDATE,
        after.order.book_id,
        after.id,
        after.left_minor,
        after.state.value,
        after.version,
        after.updated_at,
        msgspec.json.encode(after).decode(),
    )


async def one(connection: Connection, book_id: int, demand_id: UUID, *, lock: bool = False) -> Demand | None:
    """Return a demand of a book, locked where asked."""
    body = await connection.fetchval(_LOCK if lock else _ONE, book_id, demand_id)
    return None if body is None else _READ(body)


async def by_reference(connection: Connection, book_id: int, reference: str) -> Demand | None:
    """Return the demand of a book that was made under a reference."""
    body = await connection.fetchval(_BY_REFERENCE, book_id, reference)
    return None if body is None else _READ(body)


async def book_of(connection: Connection, demand_id: UUID) -> int | None:
    """Return the book of a demand; None where there is none."""
    found: int | None = await connection.fetchval(_BOOK_OF, demand_id)
    return found


async def page(
    connection: Connection,
    of: tuple[int | None, bool | None],
    state: DemandState | None,
    before: UUID | None,
    limit: int,
) -> list[Demand]:
    """Return demands, newest first; ``of``: book and mode, None for any."""
    name = None if state is None else state.value
    rows = await connection.fetch(_PAGE, of[0], name, before, of[1], limit)
    return [_READ(row["body"]) for row in rows]


async def demanded(connection: Connection, of: Money) -> int:
    """Return what standing demands still ask for, minor units."""
    return int(await connection.fetchval(_DEMANDED, *of))


async def waiting(connection: Connection, of: Money) -> int:
    """Return the sum of what no priced batch holds, minor units, signed from the merchant's view."""
    return int(await connection.fetchval(_WAITING, *of))


async def add_receipt(connection: Connection, receipt: Receipt) -> bool:
    """Write what came; False where this reference of the bank paid in this book before."""
    done = await connection.execute(
        _ADD_RECEIPT,
        receipt.book_id,
        receipt.id,
        receipt.demand_id,
        receipt.amount_minor,
        receipt.line_id,
        receipt.recorded_at,
        receipt.received_on,
        receipt.currency,
        receipt.bank_reference,
        receipt.actor,
    )
    return bool(done == "INSERT 0 1")


async def receipt(connection: Connection, book_id: int, bank_reference: str) -> Receipt | None:
    """Return what came into a book by a reference of the bank."""
    row = await connection.fetchrow(_RECEIPT, book_id, bank_reference)
    return None if row is None else msgspec.convert(dict(row), Receipt)


async def receipts(connection: Connection, book_id: int, demand_id: UUID, limit: int) -> list[Receipt]:
    """Return what came for a demand, oldest first."""
    rows = await connection.fetch(_RECEIPTS, book_id, demand_id, limit)
    return [msgspec.convert(dict(row), Receipt) for row in rows]


async def shown(connection: Connection, of: Receipt, line_id: int) -> bool:
    """Name the line of a statement that shows a receipt; False where one does already."""
    done = await connection.execute(_SHOWN, of.book_id, of.id, line_id)
    return bool(done == "UPDATE 1")


async def ages(connection: Connection, on: date, of: tuple[int | None, bool | None]) -> list[AgeRow]:
    """Return standing demands by currency, mode and days overdue on a day; ``of``: book and mode, None for any."""
    rows = await connection.fetch(_AGES, on, *of)
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


async def debtors(connection: Connection, after: int | None, live: bool | None, limit: int) -> list[Debtor]:
    """Return who owes, of one mode or of both, in order of their books, after one."""
    rows = await connection.fetch(_DEBTORS, after, live, limit)
    return [msgspec.convert(dict(row), Debtor) for row in rows]
