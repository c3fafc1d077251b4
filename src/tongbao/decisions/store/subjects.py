"""The SQL that finds whose a subject is, for the house's own people, who know a payment but not its book."""

from datetime import timedelta
from uuid import UUID

from tongbao.core.db import Connection

SLACK_MS = timedelta(hours=1) // timedelta(milliseconds=1)
"""Ids of subject and decision carry times of two processes; the clocks of these may lie so far apart."""

# A decision is younger than its subject, so older partitions are never looked at.
_BOOK_OF_SUBJECT = """
SELECT book_id FROM decisions.decision WHERE subject_id = $1 AND id >= $2 ORDER BY id LIMIT 1
"""


async def book_of(connection: Connection, subject_id: UUID) -> int | None:
    """Return the book in which something was decided about a subject; None where nothing was."""
    first = UUID(int=max((subject_id.int >> 80) - SLACK_MS, 0) << 80)
    found: int | None = await connection.fetchval(_BOOK_OF_SUBJECT, subject_id, first)
    return found
