"""The SQL of what entries of lists did: the payments that each matched while it stood, and what became of them. Reads only.

Entries that name an entity are found along its links. Countries and categories have none: for them the newest payments are
read one by one. Both are cut to the newest so many, and whoever asks is told of it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.core.db import Connection
from tongbao.core.ids import first_uuid_at
from tongbao.risk.schema.lists import HOUSE_BOOK_ID, ListEntry

_TOLD = """
    count(*), count(DISTINCT e.subject_id),
    count(DISTINCT e.subject_id) FILTER (WHERE e.tier = 'decline' AND 'listed_blocked' = ANY(e.reasons)),
    count(DISTINCT e.subject_id) FILTER (WHERE 'listed_allowed' = ANY(e.reasons)),
    count(DISTINCT e.subject_id) FILTER (WHERE e.is_fraud), sum(e.value)::bigint,
    coalesce(sum(e.value) FILTER (WHERE e.tier = 'decline' AND 'listed_blocked' = ANY(e.reasons)), 0)::bigint,
    max(e.at)
"""
_BY_LINK = (
    "SELECT a.id, e.currency,"
    + _TOLD
    + """
FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::uuid[], $5::uuid[], $6::bigint[])
    AS a (id, entity, key, first, until, book_id)
CROSS JOIN LATERAL (
    SELECT l.book_id, l.event_id FROM risk.link AS l
    WHERE l.entity = a.entity AND l.key = a.key AND l.event_id >= a.first AND l.event_id < a.until AND l.live = $7
        AND (a.book_id = $8 OR l.book_id = a.book_id)
    ORDER BY l.event_id DESC LIMIT $9
) AS l
JOIN risk.event AS e ON e.book_id = l.book_id AND e.id = l.event_id
GROUP BY a.id, e.currency ORDER BY a.id, count(*) DESC, e.currency
"""
)
_BY_READING = (
    """
WITH e AS (
    SELECT id, book_id, subject_id, at, tier, value, currency, reasons, is_fraud,
        convert_from(signals, 'UTF8')::jsonb AS about
    FROM risk.event WHERE id >= $7 AND id < $8 AND live = $9 ORDER BY id DESC LIMIT $10
)
SELECT a.id, e.currency,"""
    + _TOLD
    + """
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::bigint[])
    AS a (id, kind, value, first, until, book_id)
JOIN e ON e.about ->> a.kind = a.value AND e.id >= a.first AND e.id < a.until
    AND (a.book_id = $11 OR e.book_id = a.book_id)
GROUP BY a.id, e.currency ORDER BY a.id, count(*) DESC, e.currency
"""
)


class Did(NamedTuple):
    """What an entry did in one currency; values in hundredths. ``look_count`` counts looks, of which a payment may have two."""

    entry_id: UUID
    currency: str
    look_count: int
    payment_count: int
    blocked_count: int
    allowed_count: int
    fraud_count: int
    value: int
    blocked_value: int
    last_at: datetime


async def by_link(
    connection: Connection, entries: Sequence[ListEntry], now: datetime, limit: int
) -> list[Did]:
    """Return what entries that name entities did, all of one mode; of each at most the newest ``limit`` looks."""
    if not entries:
        return []
    entities = [int(each.kind.entity) for each in entries if each.kind.entity is not None]
    ids, firsts, untils, books = _columns(entries, now)
    rows = await connection.fetch(
        _BY_LINK,
        *(ids, entities, [each.value for each in entries], firsts, untils, books),
        *(entries[0].live, HOUSE_BOOK_ID, limit),
    )
    return [_did(row) for row in rows]


async def by_reading(
    connection: Connection, entries: Sequence[ListEntry], span: tuple[datetime, datetime], limit: int
) -> list[Did]:
    """Return what entries that name no entity did in a time, all of one mode; the newest ``limit`` looks are read."""
    if not entries:
        return []
    ids, firsts, untils, books = _columns(entries, span[1])
    kinds, values = [each.kind.value for each in entries], [each.value for each in entries]
    rows = await connection.fetch(
        _BY_READING,
        *(ids, kinds, values, firsts, untils, books),
        *(first_uuid_at(span[0]), first_uuid_at(span[1]), entries[0].live, limit, HOUSE_BOOK_ID),
    )
    return [_did(row) for row in rows]


def _columns(
    entries: Sequence[ListEntry], now: datetime
) -> tuple[list[UUID], list[UUID], list[UUID], list[int]]:
    """Return ids, the first and the end of the ids of payments while each entry stood, and books."""
    ends = [min(filter(None, (each.expires_at, each.removed_at, now))) for each in entries]
    return (
        [each.id for each in entries],
        [first_uuid_at(each.added_at) for each in entries],
        [first_uuid_at(each) for each in ends],
        [each.book_id for each in entries],
    )


def _did(row: Sequence[object]) -> Did:
    values = list(row)
    values[0] = UUID(str(values[0]))
    return Did(*values)  # type: ignore[arg-type]  # the columns of the statement, in their order
