"""The SQL of claims and answers. Every function joins the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.core import copying
from tongbao.core.db import Connection
from tongbao.core.requests.asks import Known, Rendered

Address = tuple[int, bytes]
"""The book of a request and the digest of its key."""

_CLAIM = """
INSERT INTO requests.claim AS c (book_id, key_digest, fingerprint, subject_id, claimed_at, expires_at, status, answer)
SELECT u.book_id, u.key_digest, u.fingerprint, u.subject_id, $5, u.expires_at, u.status, u.answer
FROM unnest($1::text::bigint[], $2::bytea[], $3::bytea[], $4::uuid[], $6::timestamptz[], $7::smallint[], $8::bytea[])
    AS u (book_id, key_digest, fingerprint, subject_id, expires_at, status, answer)
ON CONFLICT (book_id, key_digest) DO UPDATE
SET fingerprint = excluded.fingerprint, subject_id = excluded.subject_id, claimed_at = excluded.claimed_at,
    expires_at = excluded.expires_at, status = excluded.status, answer = excluded.answer
WHERE c.expires_at <= excluded.claimed_at
RETURNING c.book_id, c.key_digest
"""
_ANSWER = """
UPDATE requests.claim AS c SET status = u.status, answer = u.answer
FROM unnest($1::text::bigint[], $2::bytea[], $3::text::smallint[], $4::bytea[])
    AS u (book_id, key_digest, status, answer)
WHERE c.book_id = u.book_id AND c.key_digest = u.key_digest AND c.status IS NULL
"""
_KNOWN = """
SELECT c.book_id, c.key_digest, c.fingerprint, c.subject_id, c.claimed_at, c.status, c.answer
FROM unnest($1::bigint[], $2::bytea[]) AS u (book_id, key_digest)
JOIN requests.claim AS c ON c.book_id = u.book_id AND c.key_digest = u.key_digest
"""
_RELEASE = "DELETE FROM requests.claim WHERE book_id = $1 AND key_digest = $2 AND status IS NULL"
_FORGET = """
DELETE FROM requests.claim AS c
WHERE (c.book_id, c.key_digest) IN (
    SELECT f.book_id, f.key_digest FROM requests.claim AS f WHERE f.expires_at <= $1 ORDER BY f.expires_at LIMIT $2)
"""


class ClaimRow(NamedTuple):
    """A request that begins, with its answer where it ends in the same commit."""

    book_id: int
    digest: bytes
    fingerprint: bytes
    subject_id: UUID | None
    expires_at: datetime
    answer: Rendered | None


async def claim(connection: Connection, rows: Sequence[ClaimRow], now: datetime) -> set[Address]:
    """Claim keys, each named once in ``rows``; return those that were free. An expired claim is free."""
    got = await connection.fetch(
        _CLAIM,
        copying.array([row.book_id for row in rows]),
        [row.digest for row in rows],
        [row.fingerprint for row in rows],
        [row.subject_id for row in rows],
        now,
        [row.expires_at for row in rows],
        [row.answer.status if row.answer else None for row in rows],
        [row.answer.body if row.answer else None for row in rows],
    )
    return {(row[0], row[1]) for row in got}


async def answer(connection: Connection, answers: Sequence[tuple[Address, Rendered]]) -> None:
    """Keep the answers of claimed requests; one that has an answer keeps its first."""
    await connection.execute(
        _ANSWER,
        copying.array([address[0] for address, _ in answers]),
        [address[1] for address, _ in answers],
        copying.array([rendered.status for _, rendered in answers]),
        [rendered.body for _, rendered in answers],
    )


async def known(connection: Connection, addresses: Sequence[Address]) -> dict[Address, Known]:
    """Return what stands under these keys."""
    rows = await connection.fetch(
        _KNOWN, [book for book, _ in addresses], [digest for _, digest in addresses]
    )
    return {
        (row[0], row[1]): Known(
            row[2], row[3], row[4], None if row[5] is None else Rendered(row[5], row[6] or b"")
        )
        for row in rows
    }


async def release(connection: Connection, address: Address) -> None:
    """Give a key back whose request ended before it did anything."""
    await connection.execute(_RELEASE, *address)


async def forget(connection: Connection, now: datetime, limit: int) -> int:
    """Delete at most ``limit`` expired claims; return how many."""
    status = await connection.execute(_FORGET, now, limit)
    return int(status.rsplit(" ", 1)[1])
