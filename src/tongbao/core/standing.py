"""What the server behind a connection is: the one that takes writes, or a standby, and how far behind that is."""

from typing import NamedTuple

from tongbao.core.db import Connection

_STANDING = """
SELECT pg_is_in_recovery() AS is_standby,
    EXISTS (SELECT FROM pg_stat_wal_receiver WHERE pid IS NOT NULL) AS is_following,
    pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::bigint AS behind_bytes,
    (extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()))::double precision AS newest_s
"""
_HAS_SCHEMA = "SELECT to_regclass('public.alembic_version') IS NOT NULL"
_REVISION = "SELECT version_num FROM public.alembic_version"


class Standing(NamedTuple):
    """What one server is.

    ``lag_bytes``: log received and not yet shown. ``lag_s``: so old is what is shown; 0 where everything received is
    shown and the primary is connected, None where nothing was ever received. Of a primary both are 0.
    """

    is_standby: bool
    is_following: bool
    lag_bytes: int
    lag_s: float | None


async def standing(connection: Connection) -> Standing:
    """Return what the server is now; joins whatever transaction there is.

    A standby that has lost its primary cannot know how much it misses: then ``lag_s`` is the age of its newest commit.
    """
    row = await connection.fetchrow(_STANDING)
    if not row["is_standby"]:
        return Standing(False, False, 0, 0.0)
    behind = max(0, row["behind_bytes"] or 0)
    newest_s = None if row["newest_s"] is None else round(max(0.0, row["newest_s"]), 3)
    is_current = row["is_following"] and not behind
    return Standing(True, row["is_following"], behind, 0.0 if is_current else newest_s)


async def revision(connection: Connection) -> str | None:
    """Return the revision of the schema as this very server has it; None where it has none. See ``core.migrate``."""
    if not await connection.fetchval(_HAS_SCHEMA):
        return None
    found: str | None = await connection.fetchval(_REVISION)
    return found
