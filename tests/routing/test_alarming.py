"""Alarms on a real database: a change is announced once, with its fact, over rollbacks, restarts and takeovers."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.events.delivery import Delivery
from tongbao.core.events.facts import Delivered, Fact
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.relay import Relay
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.routing.schema.notices import Announced, Notice, NoticeKind
from tongbao.routing.schema.payments import Attempted, Mark
from tongbao.routing.service.alarming import STALE, STREAMS_MAX, Alarming, alarm_projection
from tongbao.routing.service.tallying import tally_projection
from tongbao.routing.store import notices
from tongbao.routing.store.tallies import StreamMinute

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class House:
    """Makes attempts, one a second, and hands them over at rising positions."""

    def __init__(self, ids: IdFactory, seed: int = 1) -> None:
        self.ids = ids
        self.rng = random.Random(seed)
        self.positions = count(1)
        self.seconds = count()

    def attempted(self, mark: Mark, **fields: Any) -> Attempted:
        """An attempt a second after the last one."""
        values: dict[str, Any] = {
            "occurred_at": BEGIN + timedelta(seconds=next(self.seconds)),
            "attempt_id": self.ids.uuid(),
            "decision_id": None,
            "book_id": 7,
            "live": True,
            "channel": "adyen",
            "method": "card",
            "issuer": "",
            "currency": "CNY",
            "amount_minor": 100,
            "mark": mark,
        }
        return Attempted(**(values | fields))

    def attempts(self, number: int, rate: float, **fields: Any) -> list[Attempted]:
        """Attempts of which so many are approved, by chance."""
        return [
            self.attempted(Mark.APPROVED if self.rng.random() < rate else Mark.TECHNICAL, **fields)
            for _ in range(number)
        ]

    def delivered(self, facts: list[Attempted]) -> list[Delivered]:
        """The facts as a subscription is handed them."""
        return [
            Delivered(
                next(self.positions),
                self.ids.uuid(),
                "routing.attempted",
                fact.subject,
                fact.occurred_at,
                fact.occurred_at,
                fact,
            )
            for fact in facts
        ]

    def batches(self, number: int, rate: float, **fields: Any) -> list[list[Delivered]]:
        """Attempts in batches of a hundred."""
        return [self.delivered(self.attempts(100, rate, **fields)) for _ in range(number // 100)]


@pytest.fixture
def house(ids: IdFactory) -> House:
    return House(ids)


def observed(alarming: Alarming, batches: list[list[Delivered]]) -> list[Notice]:
    return [notice for batch in batches for notice in alarming.observe(batch)]


def test_observe_fall_and_way_back_tells_both_with_their_numbers(house: House) -> None:
    alarming = Alarming(house.ids)
    assert observed(alarming, house.batches(2_000, 0.9)) == []
    (fell,) = observed(alarming, house.batches(1_500, 0.6))
    (rose,) = observed(alarming, house.batches(1_500, 0.9))
    assert (fell.kind, rose.kind) == (NoticeKind.ACCEPTANCE_FELL, NoticeKind.ACCEPTANCE_ROSE)
    assert (fell.channel, fell.method, fell.live) == ("adyen", "card", True)
    since = datetime.fromisoformat(str(fell.facts["since"]))
    assert abs(since - (BEGIN + timedelta(seconds=2_000))) < timedelta(minutes=1)
    assert since < fell.at < since + timedelta(minutes=5)
    assert float(fell.facts["size_low"]) < -0.3 < float(fell.facts["size_high"]) < 0


def test_observe_keeps_channels_methods_and_modes_apart(house: House) -> None:
    alarming = Alarming(house.ids)
    steady = {"channel": "other"}
    for _ in range(20):
        assert observed(alarming, house.batches(100, 0.9) + house.batches(100, 0.9, **steady)) == []
    found = []
    for _ in range(5):
        found += observed(alarming, house.batches(100, 0.5) + house.batches(100, 0.9, **steady))
        found += observed(
            alarming, house.batches(100, 0.3, live=False) + house.batches(100, 0.3, method="wallet")
        )
    assert [(each.channel, each.method, each.live) for each in found] == [("adyen", "card", True)]


def test_observe_neutral_marks_say_nothing(house: House) -> None:
    alarming = Alarming(house.ids)
    observed(alarming, house.batches(2_000, 0.9))
    spoiled = [house.attempted(Mark.NEUTRAL, code="insufficient_funds") for _ in range(2_000)]
    assert alarming.observe(house.delivered(spoiled)) == []


def test_observe_unresolved_attempts_that_come_right_mend_what_they_said(house: House) -> None:
    alarming = Alarming(house.ids)
    observed(alarming, house.batches(2_000, 0.9))
    for _ in range(200):
        facts = house.attempts(18, 0.9)
        unresolved = [house.attempted(Mark.UNRESOLVED) for _ in range(2)]
        mended = [
            house.attempted(
                Mark.APPROVED, before=Mark.UNRESOLVED, before_at=each.occurred_at, attempt_id=each.attempt_id
            )
            for each in unresolved
        ]
        assert alarming.observe(house.delivered([*facts, *unresolved, *mended])) == []
    told = [
        alarming.observe(house.delivered([*house.attempts(18, 0.9), *house.attempts(2, 0.0)]))
        for _ in range(200)
    ]
    assert any(told)


def test_observe_batch_again_after_a_rollback_tells_the_same(house: House) -> None:
    alarming, steady = Alarming(house.ids), Alarming(house.ids)
    before, after = house.batches(2_000, 0.9), house.batches(500, 0.4)
    observed(alarming, before)
    observed(steady, before)
    told = []
    for batch in after:
        first = alarming.observe(batch)
        halved = [*alarming.observe(batch[:50]), *alarming.observe(batch[50:])]
        assert [each.facts for each in first] == [each.facts for each in halved]
        told += halved
    assert [each.facts for each in told] == [each.facts for each in observed(steady, after)]
    assert len(told) == 1


def test_rebuild_from_minutes_sees_the_next_fall_and_forgets_the_quietest_streams(house: House) -> None:
    alarming = Alarming(house.ids)
    minute = timedelta(minutes=1)
    many = [StreamMinute(True, f"c{i}", "card", BEGIN - minute, 1, 1) for i in range(STREAMS_MAX + 5)]
    history = [StreamMinute(True, "adyen", "card", BEGIN - (60 - i) * minute, 45, 50) for i in range(60)]
    alarming.rebuild([*many, *history])
    first, *rest = house.batches(500, 0.4)
    assert alarming.is_stale(first)
    found = observed(alarming, [first])
    assert not alarming.is_stale(rest[0])
    assert [each.kind for each in found + observed(alarming, rest)] == [NoticeKind.ACCEPTANCE_FELL]
    late = rest[-1][0]._replace(recorded_at=rest[-1][0].recorded_at + 2 * STALE)
    assert alarming.is_stale([late])


class Told:
    """Outbox, relay, tallies and alarms over one database; every alarm subscription is another process."""

    def __init__(self, database: Database, ids: IdFactory) -> None:
        self.clock = FrozenClock(BEGIN)
        self.database, self.ids = database, ids
        self.house = House(ids, seed=3)
        self.outbox = Outbox(self.clock, ids)
        self.relay = Relay(database, self.clock, Metrics())
        self.tallies = Delivery(database, tally_projection(self.clock), self.clock, ids, Metrics())
        self.alarms = self.process()

    def process(self) -> Delivery:
        """The alarms as another process would run them."""
        return Delivery(
            self.database, alarm_projection(self.ids, self.outbox), self.clock, self.ids, Metrics()
        )

    async def tell(self, facts: list[Attempted]) -> None:
        """Publish and project."""
        self.clock.set(facts[-1].occurred_at)
        async with self.database.transaction() as connection:
            await self.outbox.publish(connection, facts)
        await self.relay.place_all()
        for delivery in (self.tallies, self.alarms):
            while await delivery.step():
                pass

    async def stored(self) -> list[Notice]:
        """The notices, oldest first."""
        async with self.database.connection() as connection:
            found = await notices.page(connection, live=True, channel=None, place=None, limit=100)
        return found[::-1]


@pytest.fixture
async def told(database: Database, ids: IdFactory) -> AsyncIterator[Told]:
    made = Told(database, ids)
    await made.relay.prepare()
    yield made
    await made.alarms.close()
    await made.tallies.close()
    async with database.transaction() as connection:
        await connection.execute("TRUNCATE routing.tally, routing.notice")


async def test_notice_is_stored_and_announced_once_and_survives_restarts(told: Told) -> None:
    await told.tell(told.house.attempts(2_000, 0.9))
    await told.alarms.close()
    told.alarms = told.process()
    await told.tell(told.house.attempts(400, 0.4))
    await told.alarms.close()
    told.alarms = told.process()
    await told.tell(told.house.attempts(400, 0.4))
    (notice,) = await told.stored()
    assert (notice.kind, notice.channel) == (NoticeKind.ACCEPTANCE_FELL, "adyen")
    assert await announced(told) == [notice]


async def announced(told: Told) -> list[Notice]:
    """What the facts announce."""
    found: list[Notice] = []

    async def keep(_: Any, facts: Any) -> None:
        found.extend(each.fact.notice for each in facts if isinstance(each.fact, Announced))

    await told.relay.place_all()
    reader = Delivery(
        told.database,
        type(alarm_projection(told.ids, told.outbox))("test.announced", (Announced,), keep),
        told.clock,
        told.ids,
        Metrics(),
    )
    while await reader.step():
        pass
    await reader.close()
    return found


async def test_change_that_another_process_told_is_not_told_again(told: Told) -> None:
    await told.tell(told.house.attempts(2_000, 0.9))
    fall = told.house.attempts(300, 0.4)
    at = fall[60].occurred_at
    other = Notice(
        id=told.ids.uuid(),
        at=at,
        kind=NoticeKind.ACCEPTANCE_FELL,
        channel="adyen",
        live=True,
        method="card",
        facts={"since": fall[0].occurred_at.isoformat()},
    )
    async with told.database.transaction() as connection:
        await notices.insert(connection, [other])
        own = await notices.was_told_since(connection, other, fall[0].occurred_at, [other.id])
        assert not own
    await told.tell(fall)
    assert await told.stored() == [other]


async def test_facts_of_other_kinds_say_nothing(told: Told) -> None:
    class Unrelated(Fact, frozen=True, kw_only=True, tag="test.unrelated_to_alarms"):
        """Fact: nothing of ours."""

    fact = Unrelated(occurred_at=BEGIN)
    strange = Delivered(1, told.ids.uuid(), "test.unrelated_to_alarms", "", BEGIN, BEGIN, fact)
    projection = alarm_projection(told.ids, told.outbox)
    async with told.database.transaction() as connection:
        await projection.handle(connection, [strange])
        await projection.handle(connection, [])
    assert await told.stored() == []
