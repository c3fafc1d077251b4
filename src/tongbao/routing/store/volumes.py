"""The SQL of volumes: what was approved on each channel in a span of the running month, and in its last day."""

from datetime import datetime
from typing import NamedTuple

from tongbao.core.db import Connection

# Channels contract with the house, not with one merchant: these are sums across all books, read from the index on minutes.
_SUMS = """
SELECT t.live, t.channel, t.currency, sum(t.amount_minor)::bigint AS month_minor,
    coalesce(sum(t.amount_minor) FILTER (WHERE t.minute_at >= $3), 0)::bigint AS day_minor,
    coalesce(sum(t.count) FILTER (WHERE t.minute_at >= $3), 0)::bigint AS day_count
FROM routing.tally AS t
WHERE t.mark = 'approved' AND t.minute_at >= $1 AND t.minute_at < $2
GROUP BY t.live, t.channel, t.currency
ORDER BY t.live, t.channel, t.currency
LIMIT $4
"""


class Volume(NamedTuple):
    """Approved on one channel in one currency: minor units in the span and in its day, and the day's count."""

    live: bool
    channel: str
    currency: str
    month_minor: int
    day_minor: int
    day_count: int


async def sums(
    connection: Connection, since: datetime, until: datetime, day_at: datetime, limit: int
) -> list[Volume]:
    """Return the volumes of minutes from ``since`` to before ``until``; ``day_at`` is where the day begins."""
    return [Volume(*row) for row in await connection.fetch(_SUMS, since, until, day_at, limit)]
