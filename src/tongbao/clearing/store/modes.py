"""The SQL of modes: whether the money of a channel or of an account at a bank is real."""

from tongbao.core.db import Connection

# A channel is of one mode, and so is the account that it pays to. An account over which nobody sold yet is that of its payouts.
_IS_LIVE = """
SELECT coalesce(
    (
        SELECT x.live
        FROM (SELECT $1::text AS name UNION SELECT s.source FROM clearing.source AS s WHERE s.body ->> 'bank' = $1) AS c
        CROSS JOIN LATERAL (
            SELECT m.live, m.occurred_at FROM clearing.movement AS m
            WHERE m.channel = c.name ORDER BY m.occurred_at DESC LIMIT 1) AS x
        ORDER BY x.occurred_at DESC LIMIT 1),
    (SELECT p.live FROM clearing.payout AS p WHERE p.bank = $1 ORDER BY p.sent_at DESC NULLS LAST LIMIT 1),
    true)
"""


async def is_live(connection: Connection, source: str) -> bool:
    """Return whether a channel, or a bank's account, moves real money; where nothing tells, it does."""
    return bool(await connection.fetchval(_IS_LIVE, source))
