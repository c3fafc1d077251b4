"""Gathering: reads of one moment are one query, begun after they were asked for, and their failures are everybody's."""

import asyncio
from collections.abc import Sequence

import pytest

from tongbao.core import gathering
from tongbao.core.db import Connection, Database
from tongbao.core.errors import InvalidRequest, Unavailable
from tongbao.core.gathering import Gathering

_DOUBLED = "SELECT u.n, 2 * u.n AS doubled FROM unnest($1::integer[]) AS u (n) WHERE u.n % 2 = 0"


class Asked:
    """Doubles even numbers in the database, knows of no odd ones, and remembers what was asked together."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()

    async def read(self, connection: Connection, numbers: Sequence[int]) -> dict[int, int]:
        """Answer a batch, once the gate is open."""
        self.batches.append(list(numbers))
        self.begun.set()
        await self.gate.wait()
        return {row["n"]: row["doubled"] for row in await connection.fetch(_DOUBLED, list(numbers))}


async def test_reads_of_one_moment_are_one_query_with_each_key_once(database: Database) -> None:
    asked = Asked()
    reads: Gathering[int, int] = Gathering(database, asked.read)
    found = await asyncio.gather(*(reads.one(number) for number in (2, 3, 4, 2)))
    assert found == [4, None, 8, 4]
    assert asked.batches == [[2, 3, 4]]


async def test_read_asked_for_while_one_is_under_way_begins_after_it(database: Database) -> None:
    asked = Asked()
    asked.gate.clear()
    reads: Gathering[int, int] = Gathering(database, asked.read)
    first = asyncio.create_task(reads.one(2))
    await asked.begun.wait()
    second = asyncio.create_task(reads.one(2))
    await asyncio.sleep(0)
    asked.gate.set()
    assert list(await asyncio.gather(first, second)) == [4, 4]
    assert asked.batches == [[2], [2]]


async def test_batches_have_a_maximum(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "BATCH_MAX", 2)
    asked = Asked()
    reads: Gathering[int, int] = Gathering(database, asked.read)
    await asyncio.gather(*(reads.one(number) for number in range(5)))
    assert asked.batches == [[0, 1], [2, 3], [4]]


async def test_more_waiting_than_the_maximum_are_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "WAITING_MAX", 2)
    reads: Gathering[int, int] = Gathering(database, Asked().read)
    waiting = [asyncio.create_task(reads.one(number)) for number in (2, 4)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as refused:
        await reads.one(6)
    assert refused.value.code == "reads_full"
    assert list(await asyncio.gather(*waiting)) == [4, 8]


async def test_failure_of_a_read_is_raised_to_all_its_callers_and_to_no_later_one(database: Database) -> None:
    async def read(_connection: Connection, numbers: Sequence[int]) -> dict[int, int]:
        if 13 in numbers:
            raise InvalidRequest("unlucky", "thirteen")
        return dict.fromkeys(numbers, 1)

    reads: Gathering[int, int] = Gathering(database, read)
    found = await asyncio.gather(reads.one(1), reads.one(13), return_exceptions=True)
    assert [type(each) for each in found] == [InvalidRequest, InvalidRequest]
    assert await reads.one(1) == 1


async def test_caller_that_leaves_does_not_end_the_read_of_others(database: Database) -> None:
    asked = Asked()
    asked.gate.clear()
    reads: Gathering[int, int] = Gathering(database, asked.read)
    leaving, staying = (asyncio.create_task(reads.one(2)) for _ in range(2))
    await asked.begun.wait()
    leaving.cancel()
    asked.gate.set()
    assert await staying == 4
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_database_that_is_closed_is_told_to_the_caller(database: Database) -> None:
    reads: Gathering[int, int] = Gathering(Database(database.dsn), Asked().read)
    with pytest.raises(Unavailable) as refused:
        await reads.one(2)
    assert refused.value.code == "database_closed"
