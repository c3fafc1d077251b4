"""The SQL of receipts: numbers counted under lock, papers written once and never changed."""

from typing import Any
from uuid import UUID

import msgspec

from tongbao.clearing.schema.receipts import Receipt, ReceiptKind
from tongbao.core.db import Connection

_READ = msgspec.json.Decoder(Receipt).decode
_ENCODE = msgspec.json.Encoder().encode

_OPEN_SERIES = """
INSERT INTO clearing.receipt_series (book_id, series, year, last_number) VALUES ($1, $2, $3, 0)
ON CONFLICT (book_id, series, year) DO NOTHING
"""
_LOCK_SERIES = """
SELECT last_number FROM clearing.receipt_series WHERE book_id = $1 AND series = $2 AND year = $3 FOR UPDATE
"""
_COUNT = (
    "UPDATE clearing.receipt_series SET last_number = $4 WHERE book_id = $1 AND series = $2 AND year = $3"
)
_INSERT = """
INSERT INTO clearing.receipt (book_id, id, source_id, number, issued_at, year, part, kind, series, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (book_id, kind, source_id, part) DO NOTHING
RETURNING id
"""
_OF_SOURCE = """
SELECT body FROM clearing.receipt WHERE book_id = $1 AND kind = $2 AND source_id = $3 ORDER BY part LIMIT $4
"""
_ONE = "SELECT body FROM clearing.receipt WHERE book_id = $1 AND id = $2"
_PAGE = """
SELECT body FROM clearing.receipt
WHERE book_id = $1 AND ($2::text IS NULL OR kind = $2) AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4
"""


async def lock_series(connection: Connection, book_id: int, series: str, year: int) -> int:
    """Return the last number of a series, and keep others from numbering until the transaction ends."""
    await connection.execute(_OPEN_SERIES, book_id, series, year)
    return int(await connection.fetchval(_LOCK_SERIES, book_id, series, year))


async def insert(connection: Connection, receipt: Receipt) -> bool:
    """Write a paper and count its number; False, with nothing counted, where its source has this part already."""
    found: Any = await connection.fetchval(
        _INSERT,
        receipt.book_id,
        receipt.id,
        receipt.source_id,
        receipt.number,
        receipt.issued_at,
        receipt.year,
        receipt.part,
        receipt.kind.value,
        receipt.series,
        _ENCODE(receipt).decode(),
    )
    if found is None:
        return False
    await connection.execute(_COUNT, receipt.book_id, receipt.series, receipt.year, receipt.number)
    return True


async def of_source(
    connection: Connection, book_id: int, kind: ReceiptKind, source_id: UUID, limit: int
) -> list[Receipt]:
    """Return the papers of one payment, refund or month, oldest first."""
    rows = await connection.fetch(_OF_SOURCE, book_id, kind.value, source_id, limit)
    return [_READ(row["body"]) for row in rows]


async def one(connection: Connection, book_id: int, receipt_id: UUID) -> Receipt | None:
    """Return a paper of a book."""
    body = await connection.fetchval(_ONE, book_id, receipt_id)
    return None if body is None else _READ(body)


async def page(
    connection: Connection, book_id: int, kind: ReceiptKind | None, before: UUID | None, limit: int
) -> list[Receipt]:
    """Return papers of a book, those of the newest payments and months first."""
    rows = await connection.fetch(_PAGE, book_id, None if kind is None else kind.value, before, limit)
    return [_READ(row["body"]) for row in rows]
