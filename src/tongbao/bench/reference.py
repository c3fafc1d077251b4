"""What the ledger is compared with: pgbench's TPC-B, and a ledger as a textbook would write it with asyncpg.

Both run on the same server, with the same durability, in the same minutes as the rows they stand beside.
"""

import asyncio
import random
import re
import time
from typing import Any
from uuid import UUID

import asyncpg

from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import Unavailable

PGBENCH_DATABASE = "pgbench"
CLIENTS = 16
HOT_ACCOUNT = 1

_NAIVE_SCHEMA = """
CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL, floor bigint);
CREATE TABLE transfer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key uuid NOT NULL UNIQUE,
    debit bigint NOT NULL, credit bigint NOT NULL, amount bigint NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE entry (transfer bigint NOT NULL, account bigint NOT NULL, amount bigint NOT NULL,
    PRIMARY KEY (account, transfer));
"""


async def prepare(server: EmbeddedServer, accounts: int, pgbench_scale: int) -> None:
    """Make the databases of both references, with ``accounts`` naive accounts."""
    admin = await asyncpg.connect(server.dsn())
    for name in (PGBENCH_DATABASE, "naive"):
        await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    options = ["-i", "-q", "-s", str(pgbench_scale), server.dsn(PGBENCH_DATABASE)]
    await asyncio.to_thread(server.run, "pgbench", *options, capture_output=True, check=True)
    naive = await asyncpg.connect(server.dsn("naive"))
    await naive.execute(_NAIVE_SCHEMA)
    await naive.execute(
        "INSERT INTO account SELECT i, 1000000000, CASE WHEN i <> $2 THEN 0 END FROM generate_series(1, $1) AS i",
        accounts,
        HOT_ACCOUNT,
    )
    await naive.execute("VACUUM ANALYZE account")
    await naive.close()


async def tpcb(server: EmbeddedServer, seconds: int) -> float:
    """Return transactions a second of pgbench's TPC-B-like script: 16 clients, prepared statements."""
    options = ["-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", "-T", str(seconds)]
    ran = await asyncio.to_thread(
        server.run, "pgbench", *options, server.dsn(PGBENCH_DATABASE), capture_output=True, check=True
    )
    found = re.search(r"tps = ([\d.]+)", ran.stdout)
    if found is None:
        raise Unavailable("pgbench_unreadable", "pgbench printed no rate")
    return float(found[1])


async def naive(server: EmbeddedServer, seconds: float, accounts: int, *, hot: bool, seed: int) -> float:
    """Return transfers a second of five statements in one transaction each, over 16 connections.

    ``hot``: every transfer credits one account. Rows are locked in one order, so that nothing deadlocks.
    """
    rng = random.Random(seed)
    connections = [await asyncpg.connect(server.dsn("naive")) for _ in range(CLIENTS)]
    done = 0
    began = time.perf_counter()

    async def client(connection: Any) -> None:
        nonlocal done
        while time.perf_counter() < began + seconds:
            debit = rng.randrange(HOT_ACCOUNT + 1, accounts + 1)
            credit = HOT_ACCOUNT if hot else rng.randrange(HOT_ACCOUNT + 1, accounts + 1)
            await _naive_transfer(connection, UUID(int=rng.getrandbits(128)), debit, credit)
            done += 1

    await asyncio.gather(*(client(connection) for connection in connections))
    rate = done / (time.perf_counter() - began)
    for connection in connections:
        await connection.close()
    return rate


async def _naive_transfer(connection: Any, key: UUID, debit: int, credit: int) -> None:
    async with connection.transaction():
        transfer = await connection.fetchval(
            "INSERT INTO transfer (key, debit, credit, amount) VALUES ($1, $2, $3, 1) RETURNING id",
            key,
            debit,
            credit,
        )
        await connection.execute("INSERT INTO entry VALUES ($1, $2, -1)", transfer, debit)
        if credit != debit:
            await connection.execute("INSERT INTO entry VALUES ($1, $2, 1)", transfer, credit)
        for account, delta in sorted(((debit, -1), (credit, 1)), reverse=True):
            await connection.execute(
                "UPDATE account SET balance = balance + $2 WHERE id = $1 AND (floor IS NULL OR balance + $2 >= floor)",
                account,
                delta,
            )
