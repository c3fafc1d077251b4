"""Reading facts for oneself: every one, once, in order, from any position, without a trace."""

from datetime import UTC, datetime

import pytest

from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.events.facts import Delivered, Fact
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.relay import Relay
from tongbao.core.events.tail import Tail
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Rung(Fact, frozen=True, kw_only=True, tag="tail_test.rung"):
    number: int


class Hummed(Fact, frozen=True, kw_only=True, tag="tail_test.hummed"):
    number: int


class Street:
    """Somebody who tells facts, and readers of them."""

    def __init__(self, database: Database, ids: IdFactory) -> None:
        self.database = database
        self.outbox = Outbox(RealClock(), ids)
        self.relay = Relay(database, RealClock(), Metrics())

    async def tell(self, kind: type[Rung] | type[Hummed], *numbers: int, place: bool = True) -> None:
        async with self.database.transaction() as connection:
            await self.outbox.publish(connection, [kind(occurred_at=AT, number=each) for each in numbers])
        if place:
            await self.relay.place_all()


def numbers(facts: list[Delivered]) -> list[int]:
    return [each.fact.number for each in facts if isinstance(each.fact, Rung | Hummed)]


async def read_all(tail: Tail, after: int, limit: int) -> list[Delivered]:
    """Read on until nothing is new."""
    found: list[Delivered] = []
    while True:
        facts, position = await tail.read(after, limit)
        assert position >= after
        assert len(facts) <= limit
        assert all(after < each.position <= position for each in facts)
        if position == after:
            assert facts == []
            return found
        found += facts
        after = position


@pytest.fixture
async def street(database: Database, ids: IdFactory) -> Street:
    made = Street(database, ids)
    await made.relay.prepare()
    return made


async def test_read_gives_every_fact_once_in_order_whatever_the_limit(street: Street) -> None:
    tail = Tail(street.database, [Rung])
    begin = await tail.end()
    for number in range(0, 30, 3):
        await street.tell(Rung, number, number + 1, number + 2)
        await street.tell(Hummed, number)
    for limit in (1, 2, 7, 1_000):
        found = await read_all(tail, begin, limit)
        assert numbers(found) == list(range(30))
        positions = [each.position for each in found]
        assert positions == sorted(set(positions))


async def test_read_from_any_position_gives_what_is_after_it(street: Street) -> None:
    tail = Tail(street.database, [Rung])
    begin = await tail.end()
    await street.tell(Rung, *range(10))
    whole = await read_all(tail, begin, 100)
    for place, each in enumerate(whole):
        assert await read_all(tail, each.position, 3) == whole[place + 1 :]


async def test_position_goes_past_facts_of_other_topics(street: Street) -> None:
    tail = Tail(street.database, [Rung])
    begin = await tail.end()
    await street.tell(Hummed, *range(50))
    facts, position = await tail.read(begin)
    assert (facts, position) == ([], begin + 50)
    assert await tail.read(position) == ([], position)


async def test_read_of_several_topics_or_of_all_keeps_their_common_order(street: Street) -> None:
    tail = Tail(street.database, [])
    begin = await tail.end()
    for number in range(6):
        await street.tell((Rung, Hummed)[number % 2], number)
    assert numbers((await tail.read(begin))[0]) == list(range(6))
    both = Tail(street.database, ["tail_test.hummed", Rung])
    assert numbers((await both.read(begin))[0]) == list(range(6))


async def test_fact_without_a_position_is_not_read_yet(street: Street) -> None:
    tail = Tail(street.database, [Rung])
    begin = await tail.end()
    await street.tell(Rung, 1, place=False)
    assert await tail.read(begin) == ([], begin)
    await street.relay.place_all()
    assert numbers((await tail.read(begin))[0]) == [1]


async def test_many_readers_read_the_same_and_leave_no_cursor(street: Street) -> None:
    first, second = Tail(street.database, [Rung]), Tail(street.database, [Rung])
    begin = await first.end()
    await street.tell(Rung, *range(5))
    assert await first.read(begin) == await second.read(begin) == await first.read(begin)
    async with street.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM events.cursor") == 0


async def test_read_beyond_the_end_is_nothing(street: Street) -> None:
    tail = Tail(street.database, [Rung])
    beyond = await tail.end() + 1_000
    assert await tail.read(beyond) == ([], beyond)
