"""The whole house, once for all scenarios that follow each other: without callers it is still at work, so it ends."""

import random
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.scenarios.running_house import LoopThread, RunningHouse, Shop, running_house
from tests.scenarios.traces import card_numbers_in, everything_written, faults_in, log_lines

from tongbao.core.embedded.server import EmbeddedServer


@pytest.fixture(scope="package")
def house(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHouse]:
    """A house that serves over a database of its own, with the sandbox around it.

    When it ends, no card number may be written down anywhere, nor a fault of its own.
    """
    name = f"t{random.SystemRandom().getrandbits(48):012x}"
    home: Path = tmp_path_factory.mktemp("house")
    admin = LoopThread()
    try:
        admin.run(_execute(server.dsn(), f"CREATE DATABASE {name}"))
        with running_house(server.dsn(name), home) as running:
            yield running
            assert card_numbers_in(everything_written(running, server)) == []
            assert faults_in(log_lines(running)) == []
        admin.run(_execute(server.dsn(), f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        admin.close()


@pytest.fixture(scope="package")
def tea(house: RunningHouse) -> Shop:
    """The merchant that sells in yuan."""
    return house.tea


@pytest.fixture(scope="package")
def books(house: RunningHouse) -> Shop:
    """The other merchant."""
    return house.books


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
