"""The SQL of this room's trail: what people did to cases, to what is frozen and to lists. Reads only."""

from tongbao.core.db import Connection
from tongbao.core.trails import Line, Wanted

_TRAIL = """
SELECT l.at, l.key, 'risk' AS room, l.act, l.actor, l.subject, l.note FROM (
    SELECT c.at, 'risk:case:' || c.case_id::text || ':' || lpad(c.version::text, 10, '0') AS key,
        'case_' || c.act AS act, c.actor, c.case_id::text AS subject, c.note
    FROM risk.case_event AS c
    UNION ALL
    SELECT f.at, 'risk:freeze:' || f.freeze_id::text || ':' || lpad(f.number::text, 10, '0'),
        'freeze_' || f.kind, f.actor, f.freeze_id::text, f.why
    FROM risk.freeze_act AS f
    UNION ALL
    SELECT h.declared_at, 'risk:list:' || h.book_id::text || ':' || h.live::text || ':' || h.change_no::text,
        'list_declared', h.declared_by, h.name, h.note
    FROM risk.list AS h
    UNION ALL
    SELECT n.added_at, 'risk:listed:' || n.book_id::text || ':' || n.id::text, 'list_added', n.added_by,
        n.list_name, n.reason
    FROM risk.list_entry AS n
    UNION ALL
    SELECT m.removed_at, 'risk:unlisted:' || m.book_id::text || ':' || m.entry_id::text, 'list_removed', m.removed_by,
        n.list_name, m.reason
    FROM risk.list_removal AS m
    JOIN risk.list_entry AS n ON n.book_id = m.book_id AND n.id = m.entry_id
) AS l
WHERE ($1::timestamptz IS NULL OR (l.at, l.key COLLATE "C") < ($1, $2::text COLLATE "C"))
    AND ($3::text IS NULL OR l.actor = $3)
    AND ($4::timestamptz IS NULL OR l.at >= $4) AND ($5::timestamptz IS NULL OR l.at < $5)
ORDER BY l.at DESC, l.key COLLATE "C" DESC LIMIT $6
"""


async def trail(connection: Connection, wanted: Wanted) -> list[Line]:
    """Return lines, newest first, one more than is wanted where there are more."""
    return [Line(*row) for row in await connection.fetch(_TRAIL, *wanted.arguments)]
