"""The whole house, once for all scenarios."""

import random
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.scenarios.running_house import LoopThread, RunningHouse, Shop, running_house

from tongbao.core.embedded.server import EmbeddedServer


@pytest.fixture(scope="session")
def house(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHouse]:
    """A house that serves over a database of its own, with the sandbox around it."""
    name = f"t{random.SystemRandom().getrandbits(48):012x}"
    home: Path = tmp_path_factory.mktemp("house")
    admin = LoopThread()
    try:
        admin.run(_execute(server.dsn(), f"CREATE DATABASE {name}"))
        with running_house(server.dsn(name), home) as running:
            yield running
        admin.run(_execute(server.dsn(), f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        admin.close()


@pytest.fixture(scope="session")
def tea(house: RunningHouse) -> Shop:
    """The merchant that sells in yuan."""
    return house.tea


@pytest.fixture(scope="session")
def books(house: RunningHouse) -> Shop:
    """The other merchant."""
    return house.books


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
