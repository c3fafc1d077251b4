"""The journal: every fact of risk control once and in order, one row a judged payment, outcomes for the decision log."""

from datetime import UTC, datetime, timedelta

import pytest

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.events.facts import Delivered, Fact, topic_of
from tongbao.core.ids import IdFactory
from tongbao.decisions.service.log import DecisionLog
from tongbao.risk.models.memory import Memory
from tongbao.risk.schema.facts import Assessed, Ended, Labelled, LabelSource, Proved
from tongbao.risk.schema.signals import Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.following import Following
from tongbao.risk.service.journaling import journal_projection, prepare
from tongbao.risk.store import events

START = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Desk:
    """Writes facts as the outbox would deliver them, counting positions."""

    def __init__(self, database: Database, ids: IdFactory) -> None:
        self.database = database
        self.ids = ids
        self.clock = FrozenClock(START)
        self.book_id = ids.int63()
        self.position = ids.int63() >> 1
        self.told: list[Fact] = []
        self._projection = journal_projection(self.clock, DecisionLog(database, self.clock))

    def signals(self, **fields: object) -> Signals:
        """A payment of 20.00 by card and device of one customer."""
        values: dict[str, object] = {
            "id": self.ids.uuid(),
            "at": self.clock.now(),
            "book_id": self.book_id,
            "live": False,
            "subject_id": self.ids.uuid(),
            "value": 2000,
            "currency": "EUR",
            "method": "card",
            "customer": f"cus_{self.book_id}",
            "card": f"card_{self.book_id}",
            "merchant": str(self.book_id),
        }
        return Signals(**(values | fields))  # type: ignore[arg-type]

    async def deliver(self, *facts: Fact) -> None:
        """Let the projection handle a batch in one transaction."""
        delivered = []
        for fact in facts:
            self.position += 1
            delivered.append(
                Delivered(self.position, self.ids.uuid(), topic_of(type(fact)), "", START, START, fact)
            )
        async with self.database.transaction() as connection:
            await self._projection.handle(connection, delivered)
        self.told += facts

    async def one(self, signals: Signals) -> events.Judged:
        """The row of a judged payment."""
        async with self.database.connection() as connection:
            found = await events.one(connection, signals.book_id, signals.id)
        assert found is not None
        return found

    def about(self, signals: Signals) -> dict[str, object]:
        """The fields that every later fact about a payment has."""
        self.clock.advance(timedelta(minutes=1))
        return {
            "occurred_at": self.clock.now(),
            "signals_id": signals.id,
            "book_id": signals.book_id,
            "live": signals.live,
            "subject_id": signals.subject_id,
        }


@pytest.fixture
def desk(database: Database, ids: IdFactory) -> Desk:
    return Desk(database, ids)


def assessed(signals: Signals, **fields: object) -> Assessed:
    values: dict[str, object] = {
        "occurred_at": signals.at,
        "signals": signals,
        "tier": Tier.STEP_UP,
        "score": 0.04,
        "decision_id": signals.id,
        "reasons": ("new_card", "burst_card"),
        "rules": ("card testing",),
        "segment": ("new", "card"),
    }
    return Assessed(**(values | fields))  # type: ignore[arg-type]


async def test_judged_payment_has_one_row_with_everything_that_became_known(desk: Desk) -> None:
    signals = desk.signals()
    await desk.deliver(assessed(signals))
    await desk.deliver(
        Proved(**desk.about(signals), means="code", is_passed=True),  # type: ignore[arg-type]
        Ended(**desk.about(signals), is_approved=False, code="do_not_honor"),  # type: ignore[arg-type]
        Ended(**desk.about(signals), is_approved=True),  # type: ignore[arg-type]
        Labelled(**desk.about(signals), is_fraud=True, source=LabelSource.DISPUTE),  # type: ignore[arg-type]
    )
    row = await desk.one(signals)
    assert row.signals == signals
    assert (row.tier, row.score, row.reasons) == ("step_up", 0.04, ("new_card", "burst_card"))
    assert (row.is_passed, row.is_approved, row.end_code) == (True, True, "")
    assert (row.is_fraud, row.label_source) == (True, "dispute")
    assert row.rules == ("card testing",)


async def test_second_look_after_a_proof_changes_no_row_and_counts_no_payment(desk: Desk) -> None:
    signals = desk.signals()
    first = assessed(signals)
    again = assessed(signals, tier=Tier.FRICTIONLESS, is_again=True)
    await desk.deliver(first, again)
    assert (await desk.one(signals)).tier == "step_up"
    once, twice = Memory(), Memory()
    once.learn(first)
    for fact in (first, again):
        twice.learn(fact)
    assert twice.digest() == once.digest()


async def test_news_go_to_the_decision_log_as_outcomes(desk: Desk) -> None:
    signals = desk.signals()
    await desk.deliver(
        assessed(signals),
        Proved(**desk.about(signals), means="code", is_passed=False),  # type: ignore[arg-type]
        Labelled(**desk.about(signals), is_fraud=False, source=LabelSource.CASE),  # type: ignore[arg-type]
    )
    async with desk.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT name, value, source FROM decisions.outcome WHERE book_id = $1 ORDER BY name", desk.book_id
        )
    assert [tuple(row) for row in rows] == [("fraud", 0.0, "case"), ("passed", 0.0, "challenge")]


async def test_shares_count_what_became_of_each_tier(desk: Desk) -> None:
    one, other = desk.signals(), desk.signals()
    await desk.deliver(
        assessed(one, tier=Tier.FRICTIONLESS),
        assessed(other),
        Ended(**desk.about(one), is_approved=True),  # type: ignore[arg-type]
        Proved(**desk.about(other), means="code", is_passed=False),  # type: ignore[arg-type]
    )
    span = (datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1))
    async with desk.database.connection() as connection:
        found = {each.tier: each for each in await events.shares(connection, span, False, desk.book_id)}
    assert (found["frictionless"].payment_count, found["frictionless"].approved_count) == (1, 1)
    assert (found["step_up"].payment_count, found["step_up"].failed_count) == (1, 1)
    assert found["step_up"].value == 2000


async def test_links_lead_from_every_known_entity_to_its_payments(desk: Desk) -> None:
    signals = desk.signals(device="dev_x")
    await desk.deliver(assessed(signals))
    async with desk.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT entity, key FROM risk.link WHERE book_id = $1 ORDER BY entity", desk.book_id
        )
    assert [tuple(row) for row in rows] == [
        (0, signals.customer),
        (1, signals.card),
        (2, "dev_x"),
        (3, signals.merchant),
    ]


async def test_partitions_of_the_coming_months_are_made_once(database: Database) -> None:
    clock = FrozenClock(START)
    await prepare(database, clock)
    await prepare(database, clock)
    async with database.connection() as connection:
        made = await connection.fetchval("SELECT to_regclass('risk.event_2026_07') IS NOT NULL")
    assert made


async def test_memory_that_is_rebuilt_from_the_journal_is_the_one_that_followed(
    database: Database, ids: IdFactory
) -> None:
    desk = Desk(database, ids)
    for number in range(40):
        signals = desk.signals(value=1000 + 37 * number, device=f"dev_{number % 3}")
        facts: list[Fact] = [assessed(signals, tier=Tier.FRICTIONLESS if number % 4 else Tier.STEP_UP)]
        if number % 4 == 0:
            facts.append(Proved(**desk.about(signals), means="code", is_passed=True))  # type: ignore[arg-type]
        facts.append(Ended(**desk.about(signals), is_approved=number % 5 > 0))  # type: ignore[arg-type]
        if number % 7 == 0:
            label = {"is_fraud": True, "source": LabelSource.API}
            facts.append(Labelled(**desk.about(signals), **label))  # type: ignore[arg-type]
        await desk.deliver(*facts)
    followed = Memory()
    for fact in desk.told:
        followed.learn(fact)
    rebuilt = await _rebuilt(database, desk.clock, desk.position - len(desk.told))
    assert rebuilt.digest() == followed.digest()
    loaded = Memory.load(followed.dump())
    probe = desk.signals(value=5555)
    row = followed.of(False).state.features(probe)
    assert (loaded.of(False).state.features(probe).tobytes(), followed.digest()) == (
        row.tobytes(),
        loaded.digest(),
    )


async def _rebuilt(database: Database, clock: FrozenClock, after: int) -> Memory:
    """The memory of a process that starts now and reads the journal after a position."""
    following = Following(database, clock)
    following.position = after
    await following.start()
    return following.memory
