"""The SQL of this room's trail: what the house did to merchants. Reads only."""

from tongbao.core.db import Connection
from tongbao.core.trails import Line, Wanted

_TRAIL = """
SELECT l.at, l.key, 'parties' AS room, l.act, l.actor, l.subject, l.note FROM (
    SELECT e.occurred_at AS at, 'parties:' || e.event_id::text AS key, e.act, e.actor,
        e.merchant_id::text AS subject, e.reason AS note
    FROM parties.merchant_event AS e
) AS l
WHERE ($1::timestamptz IS NULL OR (l.at, l.key COLLATE "C") < ($1, $2::text COLLATE "C"))
    AND ($3::text IS NULL OR l.actor = $3)
    AND ($4::timestamptz IS NULL OR l.at >= $4) AND ($5::timestamptz IS NULL OR l.at < $5)
ORDER BY l.at DESC, l.key COLLATE "C" DESC LIMIT $6
"""


async def trail(connection: Connection, wanted: Wanted) -> list[Line]:
    """Return lines, newest first, one more than is wanted where there are more."""
    return [Line(*row) for row in await connection.fetch(_TRAIL, *wanted.arguments)]
