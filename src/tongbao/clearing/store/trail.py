"""The SQL of this room's trail: what people did to breaks of reconciliation, to days, to announcements and to accounts that payouts go to. Reads only."""

from tongbao.core.db import Connection
from tongbao.core.trails import Line, Wanted

_TRAIL = """
SELECT l.at, l.key, 'clearing' AS room, l.act, l.actor, l.subject, l.note FROM (
    SELECT b.at, 'clearing:break:' || b.break_id::text || ':' || lpad(b.version::text, 10, '0') AS key,
        'break_' || b.state AS act, b.actor, b.break_id::text AS subject, b.note
    FROM clearing.break_act AS b
    UNION ALL
    SELECT t.at, 'clearing:account:' || t.destination_id::text || ':' || lpad(t.version::text, 10, '0'),
        'account_' || t.state, t.actor, t.book_id::text, t.note
    FROM clearing.destination_act AS t
    UNION ALL
    SELECT d.at, 'clearing:day:' || d.book_id::text || ':' || d.closed_on::text || ':' || lpad(d.version::text, 10, '0'),
        'day_' || d.act, d.actor, d.closed_on::text, d.note
    FROM clearing.day_act AS d
    UNION ALL
    SELECT a.at, 'clearing:announcement:' || a.announcement_id::text || ':' || lpad(a.version::text, 10, '0'),
        'announcement_' || a.act, a.actor, a.announcement_id::text, a.note
    FROM clearing.announcement_act AS a
) AS l
WHERE ($1::timestamptz IS NULL OR (l.at, l.key COLLATE "C") < ($1, $2::text COLLATE "C"))
    AND ($3::text IS NULL OR l.actor = $3)
    AND ($4::timestamptz IS NULL OR l.at >= $4) AND ($5::timestamptz IS NULL OR l.at < $5)
ORDER BY l.at DESC, l.key COLLATE "C" DESC LIMIT $6
"""


async def trail(connection: Connection, wanted: Wanted) -> list[Line]:
    """Return lines, newest first, one more than is wanted where there are more."""
    return [Line(*row) for row in await connection.fetch(_TRAIL, *wanted.arguments)]
