"""Monthly partitions: made ahead, once, over the turn of a year, and never at the price of a row."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory, derive, first_uuid_at
from tongbao.core.partitions import Partitioned, ensure_months

EVENTS = Partitioned("scratch", "event", "id")
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
async def scratch(database: Database) -> AsyncIterator[Database]:
    """A database with a table that is cut by month, gone after the test."""
    async with database.transaction() as connection:
        await connection.execute(
            "CREATE SCHEMA scratch;"
            "CREATE TABLE scratch.event (id uuid PRIMARY KEY) PARTITION BY RANGE (id);"
            "CREATE TABLE scratch.event_default PARTITION OF scratch.event DEFAULT"
        )
    yield database
    async with database.transaction() as connection:
        await connection.execute("DROP SCHEMA scratch CASCADE")


def id_at(at: datetime) -> UUID:
    """A UUIDv7 of an instant."""
    return IdFactory(FrozenClock(at)).uuid()


async def ensure(database: Database, at: datetime, ahead: int) -> list[str]:
    async with database.transaction() as connection:
        return await ensure_months(connection, EVENTS, at, ahead)


async def place(database: Database, event_id: UUID) -> str:
    """Insert a row and return the partition that it lies in."""
    async with database.transaction() as connection:
        found: str = await connection.fetchval(
            "INSERT INTO scratch.event VALUES ($1) RETURNING tableoid::regclass::text", event_id
        )
    return found.removeprefix("scratch.")


async def test_ensure_makes_this_month_and_those_ahead_over_the_turn_of_the_year(scratch: Database) -> None:
    expected = ["event_2026_11", "event_2026_12", "event_2027_01", "event_2027_02"]
    assert await ensure(scratch, AT, 3) == expected
    assert await ensure(scratch, AT, 3) == []
    assert await ensure(scratch, AT + timedelta(days=31), 3) == ["event_2027_03"]


async def test_ensure_of_nothing_ahead_makes_one_month(scratch: Database) -> None:
    assert await ensure(scratch, datetime(2026, 12, 31, 23, 59, tzinfo=UTC), 0) == ["event_2026_12"]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2026, 10, 31, 23, 59, 59, 999_000, tzinfo=UTC), "event_default"),
        (datetime(2026, 11, 1, tzinfo=UTC), "event_2026_11"),
        (datetime(2026, 11, 30, 23, 59, 59, 999_000, tzinfo=UTC), "event_2026_11"),
        (datetime(2026, 12, 1, tzinfo=UTC), "event_2026_12"),
        (datetime(2027, 1, 1, tzinfo=UTC), "event_default"),
    ],
)
async def test_row_lies_in_the_month_of_its_id_to_the_millisecond(
    scratch: Database, at: datetime, expected: str
) -> None:
    await ensure(scratch, AT, 1)
    assert await place(scratch, id_at(at)) == expected
    assert await place(scratch, derive(id_at(at), "outcome")) == expected


async def test_ensure_leaves_a_month_out_while_the_default_partition_holds_rows_of_it(
    scratch: Database,
) -> None:
    early = id_at(datetime(2026, 12, 5, tzinfo=UTC))
    assert await place(scratch, early) == "event_default"
    assert await ensure(scratch, AT, 2) == ["event_2026_11", "event_2027_01"]
    # Nothing is lost, and nothing fails: the month goes on where it began.
    assert await place(scratch, id_at(datetime(2026, 12, 6, tzinfo=UTC))) == "event_default"
    async with scratch.transaction() as connection:
        await connection.execute("DELETE FROM scratch.event_default")
    assert await ensure(scratch, AT, 2) == ["event_2026_12"]


async def test_ensure_that_is_rolled_back_makes_nothing(scratch: Database) -> None:
    async def failing() -> None:
        async with scratch.transaction() as connection:
            await ensure_months(connection, EVENTS, AT, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()
    assert await ensure(scratch, AT, 1) == ["event_2026_11", "event_2026_12"]


async def test_names_that_need_quoting_are_quoted(scratch: Database) -> None:
    odd = Partitioned("scratch", "odd", "the id")
    async with scratch.transaction() as connection:
        await connection.execute(
            'CREATE TABLE scratch.odd ("the id" uuid PRIMARY KEY) PARTITION BY RANGE ("the id");'
            "CREATE TABLE scratch.odd_default PARTITION OF scratch.odd DEFAULT"
        )
        assert await ensure_months(connection, odd, AT, 0) == ["odd_2026_11"]
        assert await ensure_months(connection, odd, AT, 0) == []


@pytest.mark.parametrize("microseconds", [0, 1, 999])
def test_first_uuid_of_an_instant_bounds_the_ids_of_its_millisecond(microseconds: int) -> None:
    at = AT + timedelta(microseconds=microseconds)
    bound = first_uuid_at(at)
    assert bound <= id_at(at)
    assert bound <= id_at(at + timedelta(milliseconds=1))
    assert id_at(AT - timedelta(milliseconds=1)) < bound


def test_first_uuid_of_a_later_instant_is_greater() -> None:
    bounds = [first_uuid_at(AT + timedelta(milliseconds=each)) for each in range(-3, 4)]
    assert bounds == sorted(set(bounds))
