"""The SQL of matched pairs: the newest line first, and everything that stands in one star with a pair."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tongbao.clearing.schema.breaks import How, Leg
from tongbao.clearing.schema.matched_pairs import PairFilter, PairKey
from tongbao.clearing.store.lines import HOUSE_BOOK_ID
from tongbao.clearing.store.reconciliation import LEGS, LONG_S
from tongbao.core.db import Connection

_PAGE = """
SELECT d.line_id, d.expected_id, d.run_id, d.confidence, d.how, d.leg, coalesce(l.source, '') AS source
FROM clearing.matched AS d
LEFT JOIN clearing.line AS l ON l.book_id = $1 AND l.id = d.line_id
WHERE d.book_id = $1 AND d.leg = $2 AND ($3::text IS NULL OR l.source = $3) AND ($4::smallint IS NULL OR d.how = $4)
    AND ($5::bigint IS NULL OR (d.line_id, d.expected_id) < ($5, $6::uuid))
ORDER BY d.line_id DESC, d.expected_id DESC LIMIT $7
"""
# A match of several stands as a star: around one line, or around one record of ours.
_STAR = """
SELECT d.line_id, d.expected_id, d.run_id, d.confidence, d.how, d.leg, coalesce(l.source, '') AS source
FROM clearing.matched AS d
LEFT JOIN clearing.line AS l ON l.book_id = $1 AND l.id = d.line_id
WHERE d.book_id = $1 AND d.leg = $2
    AND ((d.line_id = $3 AND $3 <> 0) OR (d.expected_id = $4 AND $4 <> '00000000-0000-0000-0000-000000000000'))
ORDER BY d.line_id, d.expected_id LIMIT $5
"""
_BOOKS = "SELECT DISTINCT book_id FROM clearing.payout WHERE end_to_end = ANY ($1::text[])"


async def page(
    connection: Connection, asked: PairFilter, hows: Sequence[How], after: PairKey | None, limit: int
) -> list[Any]:
    """Return the rows of matches; ``hows`` are the ways in the order of their numbers."""
    how = None if asked.how is None else hows.index(asked.how)
    place = (None, None) if after is None else (after.line_id, after.expected_id)
    leg = LEGS.index(asked.leg)
    rows: list[Any] = await connection.fetch(
        _PAGE, HOUSE_BOOK_ID, leg, asked.source, how, *place, limit, timeout=LONG_S
    )
    return rows


async def star(connection: Connection, key: PairKey, limit: int) -> list[Any]:
    """Return the rows of a match with all that share its line or its record."""
    leg = LEGS.index(key.leg)
    rows: list[Any] = await connection.fetch(
        _STAR, HOUSE_BOOK_ID, leg, key.line_id, key.expected_id, limit, timeout=LONG_S
    )
    return rows


async def books_of_payouts(connection: Connection, references: Sequence[str]) -> set[int]:
    """Return the books whose payouts bear these references."""
    rows = await connection.fetch(_BOOKS, list(references)) if references else []
    return {row["book_id"] for row in rows}


def key_of(row: Any) -> PairKey:
    """Return what names a row's match."""
    expected_id: UUID = row["expected_id"]
    leg: Leg = LEGS[row["leg"]]
    return PairKey(leg, row["line_id"], expected_id)
