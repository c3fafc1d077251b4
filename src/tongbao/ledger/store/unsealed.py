"""The SQL of what no seal holds yet. Reads only."""

from tongbao.core.db import Connection
from tongbao.ledger.schema import Unsealed

# What is left for a later window is named by its transactions; everything from the end on is new.
_UNSEALED = """
SELECT count(t.key), min(t.recorded_at), c.moved_at
FROM ledger.seal_cursor AS c
LEFT JOIN ledger.transfer AS t ON t.batch_xid >= c.end_xid OR t.batch_xid = ANY (c.running_xids)
WHERE c.cursor_id = 1 GROUP BY c.moved_at
"""


async def unsealed(connection: Connection) -> Unsealed:
    """Return what is still to be sealed."""
    return Unsealed(*await connection.fetchrow(_UNSEALED))
