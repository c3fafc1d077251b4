"""Connections of the pool come back unswept: nothing may be left on them, and what is left open is undone."""

import contextlib
import re
from pathlib import Path

import pytest

import tongbao
from tongbao.core.db import Database

SOURCES = Path(tongbao.__file__).parent
_LASTING = re.compile(
    r"""["']\s*SET\s+(?!LOCAL\b|TRANSACTION\b)|pg_(?:try_)?advisory_lock(?:_shared)?\s*\("""
    r"""|["']\s*LISTEN\s|set_config\([^)]*,\s*false\)"""
)


@pytest.mark.parametrize(
    ("line", "lasts"),
    [
        ('"SET enable_seqscan = off"', True),
        ('"SET SESSION work_mem TO 1"', True),
        ('"SELECT pg_advisory_lock(1)"', True),
        ("\"SELECT set_config('jit', 'off', false)\"", True),
        ('"LISTEN facts"', True),
        ('"SET LOCAL enable_seqscan = off"', False),
        ("\"SELECT set_config('jit', 'off', true)\"", False),
        ('"SELECT pg_advisory_xact_lock(1)"', False),
        ("\"UPDATE t SET state = 'on'\"", False),
    ],
)
def test_rule_knows_what_lasts_beyond_a_transaction(line: str, lasts: bool) -> None:
    assert bool(_LASTING.search(line)) is lasts


def test_no_statement_of_the_house_leaves_anything_on_a_connection() -> None:
    # Benchmarks and the embedded server have connections of their own; migrations run on one that is closed.
    rooms = [
        path for path in SOURCES.rglob("*.py") if not {"bench", "embedded", "migrations"} & set(path.parts)
    ]
    found = [path.name for path in rooms if _LASTING.search(path.read_text())]
    assert found == []


async def test_connection_left_in_a_transaction_comes_back_without_it(database: Database) -> None:
    single = Database(database.dsn, pool_size=1)
    async with single:
        with contextlib.suppress(ZeroDivisionError):
            async with single.transaction() as connection:
                first = await connection.fetchval("SELECT pg_backend_pid()")
                await connection.execute("SET LOCAL statement_timeout = 77")
                raise ZeroDivisionError
        async with single.connection() as connection:
            assert await connection.fetchval("SELECT pg_backend_pid()") == first
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SHOW statement_timeout") != "77ms"


async def test_connection_comes_back_without_a_statement_of_its_own(database: Database) -> None:
    single = Database(database.dsn, pool_size=1)
    async with single:
        async with single.connection() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
        async with database.connection() as other:
            last = await other.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", pid)
    assert last == "SELECT pg_backend_pid()"
