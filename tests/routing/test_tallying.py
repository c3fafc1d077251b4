"""Tallies on a real database: each attempt counted once, under the mark that it has now, whatever the order."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.events.delivery import Delivery
from tongbao.core.events.facts import Delivered, Fact
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.relay import Relay
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.routing.schema.payments import Attempted, Mark
from tongbao.routing.service.tallying import (
    TALLIES_KEPT_DAYS,
    changes_of,
    forget_tallies,
    tally_projection,
)

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
CODES = {
    Mark.APPROVED: [""],
    Mark.ISSUER_DECLINED: ["do_not_honor", "authentication_required"],
    Mark.TECHNICAL: ["channel_error", "network_timeout"],
    Mark.UNRESOLVED: ["", "network_timeout"],
    Mark.NEUTRAL: ["insufficient_funds"],
}


class House:
    """Outbox, relay and the tally projection over one database, on one clock."""

    def __init__(self, database: Database, ids: IdFactory) -> None:
        self.clock = FrozenClock(BEGIN)
        self.database = database
        self.ids = ids
        self.outbox = Outbox(self.clock, ids)
        self.relay = Relay(database, self.clock, Metrics())
        self.projection = tally_projection(self.clock)
        self.delivery = Delivery(database, self.projection, self.clock, ids, Metrics())

    def attempted(self, **fields: Any) -> Attempted:
        """A fact, an approval of 100 where nothing else is said."""
        values: dict[str, Any] = {
            "occurred_at": self.clock.now(),
            "attempt_id": self.ids.uuid(),
            "decision_id": None,
            "book_id": 7,
            "live": True,
            "channel": "adyen",
            "method": "card",
            "issuer": "icbc",
            "currency": "CNY",
            "amount_minor": 100,
            "mark": Mark.APPROVED,
            "took_ms": 50,
        }
        return Attempted(**(values | fields))

    async def tell(self, *facts: Fact) -> None:
        """Publish facts in one commit and project whatever is new."""
        async with self.database.transaction() as connection:
            await self.outbox.publish(connection, facts)
        await self.relay.place_all()
        while await self.delivery.step():
            pass

    async def rows(self) -> dict[tuple[Any, ...], tuple[int, int, int]]:
        """What is stored, but rows of nothing."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(
                "SELECT book_id, minute_at, live, channel, method, issuer, currency, mark, code, count, amount_minor,"
                " took_ms FROM routing.tally WHERE count <> 0 OR amount_minor <> 0 OR took_ms <> 0"
            )
        return {tuple(row[:9]): tuple(row[9:]) for row in rows}


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids)
    await made.relay.prepare()
    yield made
    await made.delivery.close()
    async with database.transaction() as connection:
        await connection.execute("TRUNCATE routing.tally")


def key(mark: Mark, code: str = "", at: datetime = BEGIN) -> tuple[Any, ...]:
    return (7, at, True, "adyen", "card", "icbc", "CNY", mark.value, code)


async def test_attempts_of_one_minute_are_added_up_over_batches(house: House) -> None:
    await house.tell(house.attempted(), house.attempted(occurred_at=BEGIN + timedelta(seconds=59)))
    await house.tell(house.attempted(amount_minor=11, took_ms=7))
    assert await house.rows() == {key(Mark.APPROVED): (3, 211, 107)}


async def test_later_mark_takes_the_earlier_away_in_its_own_minute(house: House) -> None:
    first = house.attempted(mark=Mark.UNRESOLVED, code="network_timeout", took_ms=9_000)
    later = BEGIN + timedelta(minutes=10)
    second = msgspec.structs.replace(
        first,
        occurred_at=later,
        mark=Mark.APPROVED,
        code="",
        took_ms=600_000,
        before=first.mark,
        before_code=first.code,
        before_at=first.occurred_at,
        before_took_ms=first.took_ms,
        source="inquiry",
    )
    await house.tell(first)
    await house.tell(second)
    assert await house.rows() == {key(Mark.APPROVED, at=later): (1, 100, 600_000)}


async def test_correction_in_the_batch_of_its_first_mark_leaves_no_trace_of_it(house: House) -> None:
    first = house.attempted(mark=Mark.TECHNICAL, code="channel_error")
    second = msgspec.structs.replace(
        first,
        mark=Mark.APPROVED,
        code="",
        before=first.mark,
        before_code=first.code,
        before_at=first.occurred_at,
        before_took_ms=first.took_ms,
    )
    await house.tell(first, second)
    assert await house.rows() == {key(Mark.APPROVED): (1, 100, 50)}
    assert len(changes_of([first, second])) == 1


async def test_correction_of_what_was_forgotten_counts_the_new_mark_only(house: House) -> None:
    await house.tell(
        house.attempted(before=Mark.UNRESOLVED, before_at=BEGIN - timedelta(days=30), before_took_ms=1)
    )
    assert await house.rows() == {key(Mark.APPROVED): (1, 100, 50)}


async def test_batch_that_is_delivered_again_after_a_rollback_counts_once(house: House) -> None:
    facts = [house.attempted(), house.attempted(mark=Mark.TECHNICAL, code="channel_error")]
    async with house.database.connection() as connection:
        lost = connection.transaction()
        await lost.start()
        await house.projection.handle(connection, delivered(house, facts))
        await lost.rollback()
    assert await house.rows() == {}
    await house.tell(*facts)
    while await house.delivery.step():
        pass
    assert {row[0] for row in (await house.rows()).values()} == {1}


async def test_other_facts_of_a_batch_and_attempts_of_forgotten_days_count_nothing(house: House) -> None:
    old = house.attempted(occurred_at=BEGIN - timedelta(days=TALLIES_KEPT_DAYS + 1))
    await house.tell(old)
    assert await house.rows() == {}


async def test_forget_tallies_deletes_days_that_are_not_kept(house: House) -> None:
    await house.tell(house.attempted())
    house.clock.advance(timedelta(days=TALLIES_KEPT_DAYS, minutes=1))
    assert await forget_tallies(house.database, house.clock) == 1
    assert await forget_tallies(house.database, house.clock) == 0
    assert await house.rows() == {}


@pytest.mark.parametrize("seed", range(4))
async def test_tallies_of_random_facts_equal_an_independent_count(house: House, seed: int) -> None:
    rng = random.Random(seed)
    last: dict[int, Attempted] = {}
    facts: list[Attempted] = []
    for _ in range(600):
        if last and rng.random() < 0.3:
            number = rng.choice(list(last))
            facts.append(corrected(rng, last[number]))
        else:
            number = len(last)
            facts.append(random_attempt(rng, house))
        last[number] = facts[-1]
    at = 0
    while at < len(facts):
        size = rng.randint(1, 150)
        await house.tell(*facts[at : at + size])
        at += size
    expected: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    for fact in last.values():
        sums = expected[
            fact.book_id,
            fact.occurred_at.replace(second=0),
            fact.live,
            fact.channel,
            fact.method,
            fact.issuer,
            fact.currency,
            fact.mark.value,
            fact.code,
        ]
        for place, value in enumerate((1, fact.amount_minor, fact.took_ms)):
            sums[place] += value
    assert await house.rows() == {each: tuple(sums) for each, sums in expected.items()}


def random_attempt(rng: random.Random, house: House) -> Attempted:
    mark = rng.choice(list(Mark))
    return house.attempted(
        book_id=rng.randint(1, 2),
        live=rng.random() < 0.8,
        channel=rng.choice("ab"),
        issuer=rng.choice(["", "icbc"]),
        mark=mark,
        code=rng.choice(CODES[mark]),
        amount_minor=rng.randint(1, 10**9),
        took_ms=rng.randint(0, 10**5),
        occurred_at=BEGIN + timedelta(seconds=rng.randint(0, 300)),
    )


def corrected(rng: random.Random, fact: Attempted) -> Attempted:
    mark = rng.choice(list(Mark))
    return msgspec.structs.replace(
        fact,
        mark=mark,
        code=rng.choice(CODES[mark]),
        occurred_at=fact.occurred_at + timedelta(seconds=rng.randint(0, 200)),
        took_ms=rng.randint(0, 10**5),
        before=fact.mark,
        before_code=fact.code,
        before_at=fact.occurred_at,
        before_took_ms=fact.took_ms,
    )


def delivered(house: House, facts: Sequence[Attempted], first: int = 1) -> list[Delivered]:
    return [
        Delivered(
            first + place,
            house.ids.uuid(),
            "routing.attempted",
            fact.subject,
            fact.occurred_at,
            house.clock.now(),
            fact,
        )
        for place, fact in enumerate(facts)
    ]
