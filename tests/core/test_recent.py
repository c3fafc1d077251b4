"""Reading facts for all consumers of a process: each gets its own, whole and in order, however far the others are."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from tongbao.core.clock import RealClock
from tongbao.core.db import Connection, Database
from tongbao.core.events import cursors, recent
from tongbao.core.events.facts import Delivered, Fact, topic_of
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.recent import Recent
from tongbao.core.events.relay import Relay
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
KEPT = 40


class Sown(Fact, frozen=True, kw_only=True, tag="recent_test.sown"):
    number: int


class Reaped(Fact, frozen=True, kw_only=True, tag="recent_test.reaped"):
    number: int


TOPICS: tuple[tuple[str, ...], ...] = ((), (topic_of(Sown),), (topic_of(Reaped),), ("recent_test.never",))


class Field:
    """Facts of two kinds, and how often they were read."""

    def __init__(self, database: Database, ids: IdFactory) -> None:
        self.database = database
        self.outbox = Outbox(RealClock(), ids)
        self.relay = Relay(database, RealClock(), Metrics())

    async def tell(self, count: int, rng: random.Random) -> int:
        """Publish facts, place them, and return the last position given."""
        kinds = [rng.choice((Sown, Reaped)) for _ in range(count)]
        async with self.database.transaction() as connection:
            facts = [kind(occurred_at=AT, number=number) for number, kind in enumerate(kinds)]
            await self.outbox.publish(connection, facts)
        await self.relay.place_all()
        return await self.head()

    async def head(self) -> int:
        """Return the last position given."""
        async with self.database.connection() as connection:
            return await cursors.head(connection)

    async def alone(self, after: int, upto: int, topics: tuple[str, ...]) -> list[Delivered]:
        """Return what somebody finds who reads for itself."""
        async with self.database.connection() as connection:
            return await cursors.read(connection, after, upto, topics, 100_000)


@pytest.fixture
async def field(database: Database, ids: IdFactory) -> Field:
    made = Field(database, ids)
    await made.relay.prepare()
    return made


@pytest.mark.parametrize("kept_max", [0, 1, KEPT, recent.KEPT_FACTS_MAX])
async def test_every_consumer_gets_all_of_its_facts_once_in_order(
    field: Field, monkeypatch: pytest.MonkeyPatch, kept_max: int
) -> None:
    monkeypatch.setattr(recent, "READ_FACTS_MAX", 7)
    rng = random.Random(kept_max)
    began = await field.head()
    shared = Recent(field.database, kept_max=kept_max)
    places = [began + lag if began + lag >= 0 else 0 for lag in (0, -30, -1_000, 0)]
    firsts = list(places)
    got: list[list[Delivered]] = [[] for _ in TOPICS]
    for _ in range(12):
        head = await field.tell(rng.randint(0, 30), rng)
        for who in rng.choices(range(len(TOPICS)), k=9):
            limit = rng.randint(1, 12)
            if places[who] == head:
                continue
            facts, end = await shared.read(places[who], head, TOPICS[who], limit)
            assert places[who] < end <= head
            assert len(facts) <= limit
            got[who] += facts
            places[who] = end
    for who, topics in enumerate(TOPICS):
        assert got[who] == await field.alone(firsts[who], places[who], topics)


async def test_consumers_that_are_equally_far_share_one_reading(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = 0
    read = cursors.read

    async def counted(
        connection: Connection, after: int, upto: int, topics: Sequence[str], limit: int
    ) -> list[Delivered]:
        nonlocal readings
        readings += 1
        return await read(connection, after, upto, topics, limit)

    monkeypatch.setattr(cursors, "read", counted)
    began = await field.head()
    head = await field.tell(50, random.Random(1))
    shared = Recent(field.database)
    found = await asyncio.gather(*(shared.read(began, head, topics, 500) for topics in TOPICS * 5))
    assert readings == 1
    assert [len(facts) for facts, _ in found[:4]] == [50, *(len(facts) for facts, _ in found[1:3]), 0]
    assert sum(len(facts) for facts, _ in found[1:3]) == 50
    assert {end for _, end in found} == {head}


async def test_consumer_that_is_passed_while_it_waits_still_gets_its_facts(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one reads so much that what this one wanted is not kept any more."""
    monkeypatch.setattr(recent, "READ_FACTS_MAX", 30)
    began = await field.head()
    head = await field.tell(60, random.Random(2))
    shared = Recent(field.database, kept_max=10)
    both = await asyncio.gather(*(shared.read(began, head, (), 100) for _ in range(2)))
    for facts, end in both:
        assert facts == await field.alone(began, end, ())
        assert end > began


async def test_outlook_is_one_query_for_all_who_ask_and_tells_each_its_own(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = 0
    outlook = cursors.outlook

    async def counted(connection: Connection, consumers: list[str]) -> object:
        nonlocal queries
        queries += 1
        return await outlook(connection, consumers)

    monkeypatch.setattr(cursors, "outlook", counted)
    head = await field.tell(3, random.Random(3))
    async with field.database.transaction() as connection:
        fact = (await cursors.read(connection, head - 1, head, (), 1))[0]
        await cursors.bury(connection, "unlucky", fact, 1, "so it is", AT)
        await cursors.bury(connection, "patient", fact, 1, "so it is", AT)
        await cursors.ask_replay(connection, "unlucky", AT)
    shared = Recent(field.database)
    names = [*(f"consumer {number}" for number in range(10)), "unlucky", "patient"]
    told = await asyncio.gather(*map(shared.outlook, names))
    assert queries == 1
    assert told == [(head, name == "unlucky") for name in names]
