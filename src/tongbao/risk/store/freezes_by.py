"""The SQL of the freezes that some people made: those whose names begin alike."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tongbao.core.db import Connection
from tongbao.risk.schema.freezes import Freeze, FreezeQuery
from tongbao.risk.schema.signals import Entity

# Conditions that are not asked for are NULL.
_PAGE = """
SELECT id, live, entity, key, reason, frozen_by, frozen_at, requested_by, released_at FROM risk.freeze
WHERE live = $1 AND starts_with(frozen_by, $6) AND ($2::smallint IS NULL OR entity = $2)
    AND ($3::uuid IS NULL OR id < $3)
    AND ($4::text IS NULL OR $4 = CASE WHEN released_at IS NOT NULL THEN 'released'
        WHEN requested_by <> '' THEN 'requires_approval' ELSE 'frozen' END)
ORDER BY id DESC LIMIT $5
"""
_BOOKS = """
SELECT DISTINCT book_id FROM (
    SELECT book_id FROM risk.link WHERE entity = $1 AND key = $2 AND live = $3 ORDER BY event_id DESC LIMIT $4
) AS latest
"""


async def page_by(connection: Connection, query: FreezeQuery, mark: str) -> list[Freeze]:
    """Return the freezes of a query by people whose names begin with ``mark``, newest first, and one more where there is."""
    entity = None if query.entity is None else query.entity.value
    state = None if query.state is None else query.state.value
    rows = await connection.fetch(
        _PAGE, query.live, entity, query.starting_after, state, query.limit + 1, mark
    )
    return [_freeze(row) for row in rows]


async def books_of(connection: Connection, entity: Entity, key: str, live: bool, limit: int) -> set[int]:
    """Return in whose payments an entity took part, of its latest ``limit``."""
    return {row[0] for row in await connection.fetch(_BOOKS, entity.value, key, live, limit)}


def _freeze(row: Mapping[str, Any]) -> Freeze:
    fields = dict(row)
    return Freeze(**fields | {"id": UUID(int=fields["id"].int), "entity": Entity(fields["entity"])})
