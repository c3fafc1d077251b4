"""Monthly partitions of tables that are cut by the time inside their UUIDv7 ids.

Ids may be made by clients, so an id of an odd month is possible; it lands in the default partition and nothing is
lost. A month whose partition is missing while the default one holds rows of it stays there.
"""

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.core.db import Connection
from tongbao.core.ids import first_uuid_at

_EXISTS = "SELECT to_regclass($1) IS NOT NULL"
# Statements that make things take no parameters, so the server quotes names and values into them.
_CREATE = """
SELECT format('CREATE TABLE %I.%I PARTITION OF %I.%I FOR VALUES FROM (%L) TO (%L)',
    $1::text, $2::text, $1::text, $3::text, $4::uuid, $5::uuid)
"""
_STRAY = """
SELECT format('SELECT EXISTS (SELECT FROM %I.%I WHERE %I >= %L AND %I < %L)',
    $1::text, $2::text, $3::text, $4::uuid, $3::text, $5::uuid)
"""


class Partitioned(NamedTuple):
    """A table that is cut by month, and the column that it is cut by; its default partition is ``<table>_default``."""

    schema: str
    table: str
    column: str


async def ensure_months(connection: Connection, of: Partitioned, now: datetime, ahead: int) -> list[str]:
    """Make the partitions of this month and the ``ahead`` following ones; return the names of new ones."""
    made = []
    year, month = now.year, now.month
    for _ in range(ahead + 1):
        following = (year + month // 12, month % 12 + 1)
        name = f"{of.table}_{year:04d}_{month:02d}"
        first, end = (first_uuid_at(datetime(*each, 1, tzinfo=UTC)) for each in ((year, month), following))
        exists = await connection.fetchval(_EXISTS, f"{of.schema}.{name}")
        if not exists and not await _has_strays(connection, of, first, end):
            create = await connection.fetchval(_CREATE, of.schema, name, of.table, first, end)
            await connection.execute(create)
            made.append(name)
        year, month = following
    return made


async def _has_strays(connection: Connection, of: Partitioned, first: UUID, end: UUID) -> bool:
    asked = await connection.fetchval(_STRAY, of.schema, f"{of.table}_default", of.column, first, end)
    return bool(await connection.fetchval(asked))
