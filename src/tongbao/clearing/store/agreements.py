"""The SQL of agreements: versions by book and currency; the newest that is effective holds."""

from collections.abc import Collection
from typing import Any

import msgspec

from tongbao.clearing.schema.agreements import Agreement, AgreementVersion
from tongbao.core.db import Connection

_INSERT = """
INSERT INTO clearing.agreement (book_id, currency, version, effective_at, made_at, made_by, note, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (book_id, currency, version) DO NOTHING
RETURNING version
"""
_LATEST = """
SELECT book_id, currency, version, effective_at, made_at, made_by, note, body FROM clearing.agreement
WHERE book_id = $1 AND currency = $2 ORDER BY version DESC LIMIT $3
"""
_OF_BOOKS = """
SELECT book_id, currency, version, effective_at, made_at, made_by, note, body FROM clearing.agreement
WHERE book_id = ANY ($1::bigint[]) ORDER BY book_id, currency, version
"""
_READ = msgspec.json.Decoder(Agreement).decode
_WRITE = msgspec.json.Encoder().encode


async def insert(connection: Connection, made: AgreementVersion) -> bool:
    """Add a version; False where another one has its number."""
    found = await connection.fetchval(
        _INSERT,
        made.book_id,
        made.currency,
        made.version,
        made.effective_at,
        made.made_at,
        made.made_by,
        made.note,
        _WRITE(made.agreement).decode(),
    )
    return found is not None


async def latest(connection: Connection, book_id: int, currency: str, limit: int) -> list[AgreementVersion]:
    """Return versions of one book and currency, newest first."""
    return [_version(row) for row in await connection.fetch(_LATEST, book_id, currency, limit)]


async def of_books(connection: Connection, books: Collection[int]) -> list[AgreementVersion]:
    """Return every version of these books, by book and currency in order of their numbers."""
    return [_version(row) for row in await connection.fetch(_OF_BOOKS, list(books))]


def _version(row: Any) -> AgreementVersion:
    return AgreementVersion(
        book_id=row["book_id"],
        currency=row["currency"],
        version=row["version"],
        effective_at=row["effective_at"],
        made_at=row["made_at"],
        made_by=row["made_by"],
        note=row["note"],
        agreement=_READ(row["body"]),
    )
