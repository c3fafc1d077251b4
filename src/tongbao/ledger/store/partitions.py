"""The SQL of the journal's monthly partitions, cut by the time inside the transfer's key (UUIDv7).

Keys are made by clients, so a key of an odd month is possible; it lands in the default partition and nothing
is lost. A month whose partition is missing while the default one holds rows of it stays there.
"""

from datetime import UTC, datetime
from uuid import UUID

from tongbao.core.db import Connection

_EXISTS = "SELECT to_regclass($1) IS NOT NULL"
_CREATE = """
SELECT format('CREATE TABLE ledger.%I PARTITION OF ledger.transfer FOR VALUES FROM (%L) TO (%L)',
    $1::text, $2::uuid, $3::uuid)
"""
_STRAY = "SELECT EXISTS (SELECT FROM ledger.transfer_default WHERE key >= $1 AND key < $2)"


async def ensure_months(connection: Connection, now: datetime, ahead: int) -> list[str]:
    """Make the partitions of this month and the ``ahead`` following ones; return the names of new ones."""
    made = []
    year, month = now.year, now.month
    for _ in range(ahead + 1):
        following = (year + month // 12, month % 12 + 1)
        name = f"transfer_{year:04d}_{month:02d}"
        first, end = _first_key(year, month), _first_key(*following)
        exists = await connection.fetchval(_EXISTS, "ledger." + name)
        if not exists and not await connection.fetchval(_STRAY, first, end):
            # The statement takes no parameters, so the server quotes them into it.
            await connection.execute(await connection.fetchval(_CREATE, name, first, end))
            made.append(name)
        year, month = following
    return made


def _first_key(year: int, month: int) -> UUID:
    """Return the lowest UUIDv7 of a month."""
    ms = int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000)
    return UUID(int=ms << 80)
