"""The SQL of notices: what routing announced to people."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.core.db import Connection
from tongbao.routing.schema.notices import Notice, NoticeKind

_INSERT = """
INSERT INTO routing.notice (id, at, kind, channel, live, body)
SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::boolean[], $6::jsonb[])
ON CONFLICT (id) DO NOTHING
RETURNING id
"""
# Conditions that are not asked for are NULL.
_PAGE = """
SELECT body FROM routing.notice
WHERE live = $1 AND ($2::timestamptz IS NULL OR (at, id) < ($2, $3)) AND ($4::text IS NULL OR channel = $4)
ORDER BY at DESC, id DESC LIMIT $5
"""
_PLACE = "SELECT at FROM routing.notice WHERE id = $1"
_TOLD = """
SELECT EXISTS (
    SELECT 1 FROM routing.notice
    WHERE live = $1 AND channel = $2 AND kind = $3 AND at >= $4 AND body ->> 'method' = $5
        AND NOT id = ANY ($6::uuid[])
)
"""


async def insert(connection: Connection, notices: Sequence[Notice]) -> set[UUID]:
    """Insert notices and return the ids of those that are new; the others stay as they are. Joins the transaction."""
    if not notices:
        return set()
    rows = await connection.fetch(
        _INSERT,
        [each.id for each in notices],
        [each.at for each in notices],
        [each.kind.value for each in notices],
        [each.channel for each in notices],
        [each.live for each in notices],
        [msgspec.json.encode(each).decode() for each in notices],
    )
    return {UUID(int=row[0].int) for row in rows}


async def page(
    connection: Connection,
    *,
    live: bool,
    channel: str | None,
    place: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Notice]:
    """Return at most ``limit`` notices, newest first, those before ``place`` where one is given."""
    at, notice_id = place or (None, None)
    rows = await connection.fetch(_PAGE, live, at, notice_id, channel, limit)
    return [msgspec.json.decode(row["body"], type=Notice) for row in rows]


async def place_of(connection: Connection, notice_id: UUID) -> tuple[datetime, UUID] | None:
    """Return where a notice stands in the order of pages; None where it is not there."""
    at = await connection.fetchval(_PLACE, notice_id)
    return None if at is None else (at, notice_id)


async def was_told_since(
    connection: Connection, notice: Notice, since: datetime, own: Sequence[UUID]
) -> bool:
    """Return whether another than the notices ``own`` told the same of channel and method at ``since`` or later."""
    kind = NoticeKind(notice.kind).value
    found = await connection.fetchval(
        _TOLD, notice.live, notice.channel, kind, since, notice.method, list(own)
    )
    return bool(found)
