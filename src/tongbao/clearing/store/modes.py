"""The SQL of modes: whether the money of a channel or of an account at a bank is real."""

from tongbao.core.db import Connection

# A channel is of one mode, and so is the account that it pays to. An account over which nobody sold yet is that of its payouts.
_IS_LIVE = """
SELECT coalesce(
    (
        SELECT x.live
        FROM (
            SELECT $1::text AS name
            UNION SELECT s.channel FROM clearing.source_now AS s WHERE s.bank = $1 OR s.source = $1) AS c
        CROSS JOIN LATERAL (
            SELECT m.live, m.occurred_at FROM clearing.movement AS m
            WHERE m.channel = c.name ORDER BY m.occurred_at DESC LIMIT 1) AS x
        ORDER BY x.occurred_at DESC LIMIT 1),
    (SELECT p.live FROM clearing.payout AS p WHERE p.bank = $1 ORDER BY p.sent_at DESC NULLS LAST LIMIT 1),
    true)
"""
# A book is of one mode. A merchant's two books are known to the parties; one without a merchant is known by what moved in it.
_OF_BOOK = """
SELECT coalesce(
    (SELECT true FROM parties.merchant WHERE merchant_id = $1),
    (SELECT false FROM parties.merchant WHERE test_book_id = $1),
    (SELECT live FROM clearing.movement WHERE book_id = $1 LIMIT 1),
    (SELECT live FROM clearing.batch WHERE book_id = $1 LIMIT 1))
"""


async def of_book(connection: Connection, book_id: int) -> bool | None:
    """Return whether a merchant's book is of real money; None for a book of no merchant."""
    found: bool | None = await connection.fetchval(_OF_BOOK, book_id)
    return found


async def is_live(connection: Connection, source: str) -> bool:
    """Return whether a channel, or a bank's account, moves real money; where nothing tells, it does."""
    return bool(await connection.fetchval(_IS_LIVE, source))
