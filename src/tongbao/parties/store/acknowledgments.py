"""The SQL of what people said about alerts."""

from collections.abc import Sequence

from tongbao.core.db import Connection
from tongbao.parties.schema import Acknowledgment

_ADD = """
INSERT INTO parties.acknowledgment (alert, since, number, actor, note, at)
SELECT $1, $2, coalesce(max(number), 0) + 1, $3, $4, $5 FROM parties.acknowledgment WHERE alert = $1 AND since = $2
"""
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 26))"
_OF = """
SELECT DISTINCT ON (alert, since) alert, since, actor, note, at FROM parties.acknowledgment
WHERE alert = ANY ($1::text[]) ORDER BY alert, since, number DESC
"""
_LATEST = """
SELECT alert, since, actor, note, at FROM parties.acknowledgment ORDER BY at DESC, alert, number DESC LIMIT $1
"""


async def add(connection: Connection, said: Acknowledgment) -> None:
    """Add what somebody said; one at a time about one alert."""
    await connection.execute(_LOCK, said.alert)
    await connection.execute(_ADD, said.alert, said.since, said.actor, said.note, said.at)


async def of(connection: Connection, alerts: Sequence[str]) -> list[Acknowledgment]:
    """Return the latest word about each of some alerts and each time that they stood."""
    return [Acknowledgment(*row) for row in await connection.fetch(_OF, list(alerts))]


async def latest(connection: Connection, limit: int) -> list[Acknowledgment]:
    """Return what was said last, newest first."""
    return [Acknowledgment(*row) for row in await connection.fetch(_LATEST, limit)]
