"""The outbox on a real database: what is published, in which order it comes, and what a crash leaves behind."""

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest

from tongbao.core.clock import FrozenClock, RealClock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import InvalidRequest, InvariantBroken, LimitExceeded, OutcomeUnknown, Unavailable
from tongbao.core.events import outbox as publishing
from tongbao.core.events import relay as relaying
from tongbao.core.events import store
from tongbao.core.events.delivery import Delivery
from tongbao.core.events.facts import PAYLOAD_BYTES_MAX, Delivered, Fact, Raw, decode, encode, topic_of
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.relay import Relay
from tongbao.core.events.running import Events
from tongbao.core.events.subscriptions import Consumer, Projection
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEASE_S = 1.0


class Happened(Fact, frozen=True, kw_only=True, tag="test.happened"):
    label: str
    turn: int = 0

    @property
    def subject(self) -> str:
        return self.label


class Other(Fact, frozen=True, kw_only=True, tag="test.other"):
    label: str


class Nameless(Fact, frozen=True, kw_only=True):
    pass


class Killed(BaseException):
    """The process died here."""


def happened(*labels: object) -> list[Happened]:
    return [Happened(occurred_at=AT, label=str(label)) for label in labels]


def labels(facts: Sequence[Delivered]) -> list[str]:
    return [each.fact.label for each in facts if isinstance(each.fact, Happened)]


class House:
    """Publisher, relay and consumers over the file's database."""

    def __init__(self, database: Database, ids: IdFactory) -> None:
        self.database = database
        self.ids = ids
        self.metrics = Metrics()
        self.clock = RealClock()
        self.outbox = Outbox(self.clock, ids)
        self.relay = Relay(database, self.clock, self.metrics)

    async def publish(self, *names: object) -> None:
        async with self.database.transaction() as connection:
            await self.outbox.publish(connection, happened(*names))

    def delivery(self, subscription: Consumer | Projection, lease_s: float = LEASE_S) -> Delivery:
        return Delivery(self.database, subscription, self.clock, self.ids, self.metrics, lease_s=lease_s)

    async def listen(
        self, name: str, *, fail: Callable[[str], bool] = lambda _: False, **options: float
    ) -> tuple[Delivery, list[Delivered]]:
        """Return a consumer that starts here and now, and the list of what it handles."""
        seen: list[Delivered] = []

        async def handle(facts: Sequence[Delivered]) -> None:
            for label in labels(facts):
                if fail(label):
                    raise ValueError(f"cannot handle {label}")
            seen.extend(facts)

        options = {"retry_s": 0.0, **options}
        consumer = Consumer(name, (Happened,), handle, from_now=True, **options)  # type: ignore[arg-type]
        delivery = self.delivery(consumer)
        await self.relay.place_all()
        assert await delivery.step() == 0
        return delivery, seen

    async def drain(self, *deliveries: Delivery) -> None:
        await self.relay.place_all()
        for delivery in deliveries:
            idle = 0
            while idle < 12:
                idle = 0 if await delivery.step() else idle + 1

    def metric(self, name: str, consumer: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"tongbao_events_{name}", {"consumer": consumer})


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids)
    await made.relay.prepare()
    yield made
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM events.cursor")
        await connection.execute("DELETE FROM events.dead_letter")


async def eventually(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    for _ in range(round(timeout_s / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


# Facts


def test_decode_of_an_encoded_fact_gives_it_back() -> None:
    fact = Happened(occurred_at=AT, label="通宝", turn=3)
    assert topic_of(Happened) == "test.happened"
    assert decode("test.happened", encode(fact)) == fact
    assert msgspec.json.decode(encode(fact))["topic"] == "test.happened"


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("test.unknown", b'{"a":1}'),
        ("test.happened", b'{"topic":"test.happened"}'),
        ("test.happened", b"\xff"),
    ],
)
def test_decode_of_what_is_not_known_here_is_raw(topic: str, payload: bytes) -> None:
    assert decode(topic, payload) == Raw(topic, payload)


@pytest.mark.parametrize(
    ("fact", "code"),
    [
        (Happened(occurred_at=datetime(2026, 5, 1), label="a"), "fact_without_zone"),  # noqa: DTZ001
        (Happened(occurred_at=AT, label="a" * 201), "fact_subject_invalid"),
        (Happened(occurred_at=AT, label="a\x00"), "fact_subject_invalid"),
        (Happened(occurred_at=AT, label="\ud800"), "fact_not_encodable"),
        (Other(occurred_at=AT, label="a" * PAYLOAD_BYTES_MAX), "fact_too_large"),
    ],
)
def test_encode_of_a_bad_fact_is_refused(fact: Fact, code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        encode(fact)
    assert refused.value.code == code


def test_topic_of_a_fact_without_one_is_a_bug() -> None:
    with pytest.raises(InvariantBroken, match="topic_invalid"):
        topic_of(Nameless)


# Publishing


async def test_rollback_publishes_nothing(house: House) -> None:
    delivery, seen = await house.listen("rollback")

    async def undone(connection: Connection, label: str) -> None:
        async with connection.transaction():
            await house.outbox.publish(connection, happened(label))
            raise ZeroDivisionError

    async with house.database.connection() as connection:
        with pytest.raises(ZeroDivisionError):
            await undone(connection, "rolled back")
    async with house.database.transaction() as connection:
        await house.outbox.publish(connection, happened("a"))
        with pytest.raises(ZeroDivisionError):
            await undone(connection, "rolled back to the savepoint")
        async with connection.transaction():
            await house.outbox.publish(connection, happened("b"))
    await house.drain(delivery)
    assert labels(seen) == ["a", "b"]


async def test_publish_outside_of_a_transaction_is_a_bug(house: House) -> None:
    async with house.database.connection() as connection:
        with pytest.raises(InvariantBroken, match="publish_outside_transaction"):
            await house.outbox.publish(connection, happened("a"))
        await house.outbox.publish(connection, [])


async def test_publish_of_too_many_facts_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "PUBLISH_FACTS_MAX", 1)
    async with house.database.transaction() as connection:
        with pytest.raises(LimitExceeded, match="facts_too_many"):
            await house.outbox.publish(connection, happened("a", "b"))


# Order


async def test_facts_come_in_the_order_of_commits(house: House) -> None:
    delivery, seen = await house.listen("order")
    async with house.database.transaction() as first:
        await house.outbox.publish(first, happened("early xid"))
        await house.publish("early commit")
    await house.drain(delivery)
    assert labels(seen) == ["early commit", "early xid"]


async def test_long_transaction_delays_its_own_facts_only_and_loses_none(house: House) -> None:
    delivery, seen = await house.listen("long")
    async with house.database.transaction() as long, house.database.transaction() as longer:
        await house.outbox.publish(long, happened("long"))
        await house.outbox.publish(longer, happened("longer"))
        for label in "abc":
            await house.publish(label)
            await house.drain(delivery)
        assert labels(seen) == ["a", "b", "c"]
    await house.publish("d")
    await house.drain(delivery)
    assert labels(seen) == ["a", "b", "c", "longer", "long", "d"]


async def test_cause_comes_before_effect_where_an_older_number_waited_for_a_lock(house: House) -> None:
    """The effect has the lower transaction number, and a third transaction keeps the horizon between the two."""
    delivery, seen = await house.listen("cause")
    async with house.database.transaction() as between:
        async with house.database.transaction() as effect:
            await effect.execute("SELECT pg_current_xact_id()")
            await between.execute("SELECT pg_current_xact_id()")
            await house.publish("cause")
            await house.outbox.publish(effect, happened("effect"))
        await house.drain(delivery)
        assert labels(seen) == ["cause", "effect"]
        await house.outbox.publish(between, happened("between"))
    await house.drain(delivery)
    assert labels(seen) == ["cause", "effect", "between"]


async def test_twenty_thousand_facts_come_whole_and_in_order(house: House) -> None:
    delivery, seen = await house.listen("bulk")
    for start in (0, 10_000):
        await house.publish(*range(start, start + 10_000))
    await house.drain(delivery)
    assert labels(seen) == [str(number) for number in range(20_000)]
    first = seen[0].position
    assert [each.position for each in seen] == list(range(first, first + 20_000))
    assert house.metric("delivered_total", "bulk") == 20_000
    assert house.metric("lag", "bulk") == 0


async def test_backlog_beyond_one_round_is_cut_and_placed_whole(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery, seen = await house.listen("backlog")
    monkeypatch.setattr(relaying, "ROUND_FACTS_MAX", 7)
    async with house.database.transaction() as slow:
        await house.outbox.publish(slow, happened("slow"))
        for number in range(20):
            await house.publish(number, f"{number}b")
        await house.drain(delivery)
    await house.drain(delivery)
    expected = [label for number in range(20) for label in (str(number), f"{number}b")]
    assert labels(seen) == [*expected, "slow"]


async def test_without_commit_times_order_is_that_of_transaction_numbers(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no(_: Connection) -> bool:
        return False

    monkeypatch.setattr(store, "keeps_commit_times", no)
    delivery, seen = await house.listen("numbers")
    async with house.database.transaction() as first:
        await house.outbox.publish(first, happened("early xid"))
        await house.publish("early commit")
    await house.drain(delivery)
    assert labels(seen) == ["early xid", "early commit"]


async def test_restored_cluster_is_adopted_and_nothing_is_lost_or_repeated(house: House) -> None:
    delivery, seen = await house.listen("restored")
    await house.publish("before")
    await house.drain(delivery)
    async with house.database.transaction() as connection:
        # As a dump of a cluster far ahead leaves it: one fact placed, one not, numbers of another age.
        await connection.execute("UPDATE events.relay SET system_identifier = 1, next_xid = 5000000000")
        await house.outbox.publish(connection, happened("unplaced"))
        await connection.execute("UPDATE events.outbox SET batch_xid = 5000000007 WHERE subject = 'unplaced'")
    await house.relay.prepare()
    await house.publish("after")
    await house.drain(delivery)
    await house.relay.prepare()
    await house.publish("later")
    await house.drain(delivery)
    assert labels(seen) == ["before", "unplaced", "after", "later"]


async def test_two_relays_place_each_fact_once(house: House, database: Database) -> None:
    delivery, seen = await house.listen("relays")
    other = Relay(database, house.clock, Metrics())
    for number in range(10):
        await house.publish(number)
        await asyncio.gather(house.relay.round(), other.round())
    await house.drain(delivery)
    assert labels(seen) == [str(number) for number in range(10)]


# Consumers


async def test_unknown_topic_is_delivered_raw_and_topics_select(house: House) -> None:
    everything: list[Delivered] = []

    async def handle(facts: Sequence[Delivered]) -> None:
        everything.extend(facts)

    delivery, seen = await house.listen("selective")
    every = house.delivery(Consumer("every", (), handle, from_now=True))
    await every.step()
    async with house.database.transaction() as connection:
        await house.outbox.publish(connection, [Other(occurred_at=AT, label="x"), *happened("a")])
        await connection.execute(
            "UPDATE events.outbox SET topic = 'test.vanished' WHERE topic = 'test.other'"
        )
    await house.drain(delivery, every)
    assert [type(each.fact) for each in everything] == [Raw, Happened]
    assert labels(seen) == ["a"]
    assert (seen[0].subject, seen[0].occurred_at, seen[0].topic) == ("a", AT, "test.happened")


async def test_crash_between_handling_and_keeping_the_place_repeats_the_batch(house: House) -> None:
    crashing, _ = await house.listen("crash")
    await crashing.close()
    await house.publish("a", "b")
    await house.relay.place_all()
    handled: list[str] = []

    async def die(facts: Sequence[Delivered]) -> None:
        handled.extend(labels(facts))
        raise Killed

    with pytest.raises(Killed):
        await house.delivery(Consumer("crash", (Happened,), die)).step()
    after, seen = await house.listen("crash_probe")
    heir = house.delivery(Consumer("crash", (Happened,), after.subscription.handle))  # type: ignore[arg-type]
    assert await heir.step() is None, "the lease of the dead holds for a moment"
    await asyncio.sleep(LEASE_S)
    await house.drain(heir)
    assert handled == labels(seen) == ["a", "b"]


async def test_projection_has_its_effect_exactly_once(house: House) -> None:
    await house.relay.place_all()
    async with house.database.connection() as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS public.effect (label text, position bigint)")
        await connection.execute("TRUNCATE public.effect")
    dying = [True, True, False, True, False, False]

    async def project(connection: Connection, facts: Sequence[Delivered]) -> None:
        rows = [(label, each.position) for label, each in zip(labels(facts), facts, strict=True)]
        await connection.executemany("INSERT INTO public.effect VALUES ($1, $2)", rows)
        if dying and dying.pop(0):
            raise Killed

    projection = Projection("effect", (Happened,), project, batch_max=2, from_now=True)
    await house.delivery(projection, lease_s=0.0).step()
    await house.publish(*"abcdefg")
    await house.relay.place_all()
    for _ in range(20):
        with contextlib.suppress(Killed):
            await house.delivery(projection, lease_s=0.02).step()
        await asyncio.sleep(0.02)
    async with house.database.connection() as connection:
        rows = await connection.fetch("SELECT label FROM public.effect ORDER BY position")
    assert [row["label"] for row in rows] == list("abcdefg")


async def test_commit_whose_answer_is_lost_is_not_repeated(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def project(_: Connection, facts: Sequence[Delivered]) -> None:
        seen.extend(labels(facts))

    @contextlib.asynccontextmanager
    async def commit_unheard() -> AsyncIterator[Connection]:
        async with Database.transaction(house.database) as connection:
            yield connection
        monkeypatch.undo()
        raise OutcomeUnknown("database_lost", "the answer to COMMIT never came")

    projection = Projection("unheard", (Happened,), project, batch_max=2, retry_s=0.0, from_now=True)
    delivery = house.delivery(projection, lease_s=30.0)
    await house.relay.place_all()
    await delivery.step()
    await house.publish(*"abc")
    await house.relay.place_all()
    monkeypatch.setattr(house.database, "transaction", commit_unheard)
    assert await delivery.step() == 0
    monkeypatch.undo()
    await house.drain(delivery)
    assert seen == ["a", "b", "c"]


async def test_consumers_do_not_delay_each_other(house: House) -> None:
    failing, none = await house.listen("failing", fail=lambda _: True, attempts_max=1_000, retry_s=60.0)
    quick, seen = await house.listen("quick")
    entered = asyncio.Event()

    async def hang(_: Sequence[Delivered]) -> None:
        entered.set()
        await asyncio.sleep(60)

    slow = house.delivery(Consumer("slow", (Happened,), hang, from_now=True))
    await slow.step()
    await house.publish("a")
    await house.relay.place_all()
    hanging = asyncio.create_task(slow.step())
    await entered.wait()
    await house.drain(failing, quick)
    assert (labels(none), labels(seen)) == ([], ["a"])
    assert house.metric("failed_total", "failing") == 1
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging


async def test_fact_that_fails_every_time_becomes_a_dead_letter_and_may_be_replayed(house: House) -> None:
    poison = {"3", "5"}
    delivery, seen = await house.listen("dead", fail=lambda label: label in poison, attempts_max=3)
    await house.publish(*range(10))
    await house.drain(delivery)
    assert sorted(labels(seen)) == sorted(set("0123456789") - poison)
    assert [each.position for each in seen] == sorted(each.position for each in seen)
    events = Events(house.database, house.clock, house.ids, house.metrics)
    letters = await events.dead_letters("dead")
    assert [(each.attempts, each.error, each.replay_at) for each in letters] == [
        (3, "ValueError: cannot handle 3", None),
        (3, "ValueError: cannot handle 5", None),
    ]
    assert house.metric("dead_total", "dead") == 2
    poison.remove("3")
    assert await events.replay_dead_letters("dead") == 2
    await house.drain(delivery)
    assert labels(seen)[-1] == "3"
    assert [(each.attempts, each.error) for each in await events.dead_letters("dead")] == [
        (4, "ValueError: cannot handle 5")
    ]
    await events.drop("dead")
    assert await events.dead_letters("dead") == []


async def test_party_that_is_away_makes_no_dead_letters(house: House) -> None:
    away = [True] * 5
    seen: list[Delivered] = []

    async def handle(facts: Sequence[Delivered]) -> None:
        if away:
            away.pop()
            raise Unavailable("peer_down", "the peer is away")
        seen.extend(facts)

    consumer = Consumer("away", (Happened,), handle, attempts_max=2, retry_s=0.0, from_now=True)
    delivery = house.delivery(consumer)
    await house.relay.place_all()
    await delivery.step()
    await house.publish("a", "b")
    await house.relay.place_all()
    for _ in range(6):
        await delivery.step()
    assert labels(seen) == ["a", "b"]


@pytest.mark.parametrize(
    "error", [TimeoutError("peer"), ConnectionResetError("peer"), asyncio.CancelledError()]
)
async def test_failure_inside_a_projection_is_not_taken_for_a_lost_database(
    house: House, error: BaseException
) -> None:
    async def project(_: Connection, __: Sequence[Delivered]) -> None:
        raise error

    projection = Projection("own", (Happened,), project, attempts_max=2, retry_s=0.0, from_now=True)
    delivery = house.delivery(projection)
    await house.relay.place_all()
    await delivery.step()
    await house.publish("a")
    await house.drain(delivery)
    assert house.metric("dead_total", "own") == 1


async def test_handler_that_hangs_is_cut_and_counts_as_a_failure(house: House) -> None:
    async def hang(_: Sequence[Delivered]) -> None:
        await asyncio.sleep(60)

    consumer = Consumer("hang", (), hang, attempts_max=1, handle_s_max=0.05, from_now=True)
    delivery = house.delivery(consumer)
    await house.relay.place_all()
    await delivery.step()
    await house.publish("a")
    await house.drain(delivery)
    assert house.metric("dead_total", "hang") == 1


@pytest.mark.parametrize(("attempts", "pause_s"), [(1, 0.1), (2, 0.2), (5, 1.6), (8, 2.0), (10_000, 2.0)])
def test_pause_grows_to_its_maximum(attempts: int, pause_s: float) -> None:
    async def handle(_: Sequence[Delivered]) -> None:
        pass

    assert Consumer("c", (), handle, retry_s=0.1, retry_s_max=2.0).pause_s(attempts) == pytest.approx(pause_s)


async def test_two_instances_of_a_consumer_never_handle_at_once(house: House) -> None:
    inside, seen, most = 0, [], 0

    async def handle(facts: Sequence[Delivered]) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.004)
        seen.extend(labels(facts))
        inside -= 1

    consumer = Consumer("pair", (Happened,), handle, batch_max=3, from_now=True)
    pair = [house.delivery(consumer, lease_s=5.0) for _ in range(2)]
    await house.relay.place_all()
    await pair[0].step()
    await house.publish(*range(60))
    await house.relay.place_all()

    async def work(delivery: Delivery) -> None:
        for turn in range(30):
            await delivery.step()
            if turn % 7 == 6:
                await delivery.close()
            await asyncio.sleep(0.002)

    await asyncio.gather(*map(work, pair))
    await pair[1].close()
    await house.drain(pair[0])
    assert most == 1
    assert seen == [str(number) for number in range(60)]


async def test_long_handling_keeps_its_lease(house: House) -> None:
    calls = 0

    async def handle(_: Sequence[Delivered]) -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(1.5 * LEASE_S)

    consumer = Consumer("keeper", (Happened,), handle, from_now=True)
    holder, other = house.delivery(consumer), house.delivery(consumer)
    await house.relay.place_all()
    await holder.step()
    await house.publish("a")
    await house.relay.place_all()
    handling = asyncio.create_task(holder.step())
    while not handling.done():
        assert await other.step() is None
        await asyncio.sleep(0.02)
    assert (await handling, calls) == (1, 1)


async def test_handler_whose_lease_was_taken_is_cut(house: House) -> None:
    cut = asyncio.Event()

    async def handle(_: Sequence[Delivered]) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cut.set()

    delivery = house.delivery(Consumer("taken", (Happened,), handle, from_now=True))
    await house.relay.place_all()
    await delivery.step()
    await house.publish("a")
    await house.relay.place_all()
    handling = asyncio.create_task(delivery.step())
    await asyncio.sleep(0.05)
    async with house.database.connection() as connection:
        await connection.execute(
            "UPDATE events.cursor SET owner = $1, leased_until = now() + interval '1 hour'", house.ids.uuid()
        )
    assert await handling == 0
    assert cut.is_set()
    assert await delivery.step() is None


async def test_killed_process_is_followed_by_another(house: House, dsn: str) -> None:
    await house.relay.place_all()
    program = f"""
        import asyncio
        from tongbao.core.clock import RealClock
        from tongbao.core.db import Database
        from tongbao.core.events.delivery import Delivery
        from tongbao.core.events.subscriptions import Consumer
        from tongbao.core.ids import IdFactory
        from tongbao.core.metrics import Metrics

        async def handle(facts):
            print(*[each.subject for each in facts], flush=True)
            await asyncio.sleep(0.01)

        async def main():
            async with Database({dsn!r}) as database:
                consumer = Consumer("victim", ("test.happened",), handle, batch_max=2, from_now=True)
                clock = RealClock()
                delivery = Delivery(database, consumer, clock, IdFactory(clock), Metrics(), lease_s=0.5)
                await delivery.step()
                print("ready", flush=True)
                while True:
                    await delivery.step()
                    await asyncio.sleep(0.001)

        asyncio.run(main())
    """
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(program), stdout=subprocess.PIPE
    )
    assert victim.stdout is not None
    assert await victim.stdout.readline() == b"ready\n"
    await house.publish(*range(200))
    await house.relay.place_all()
    early = [(await victim.stdout.readline()).decode() for _ in range(5)]
    victim.send_signal(signal.SIGKILL)
    early += (await victim.stdout.read()).decode().splitlines()
    await victim.wait()
    seen: list[str] = []

    async def handle(facts: Sequence[Delivered]) -> None:
        seen.extend(labels(facts))

    heir = house.delivery(Consumer("victim", (Happened,), handle))
    for _ in range(100):
        if await heir.step() is not None:
            break
        await asyncio.sleep(0.05)
    await house.drain(heir)
    before = " ".join(early).split()
    assert 0 < len(before) < 200
    assert before == [str(number) for number in range(len(before))]
    assert seen == [str(number) for number in range(int(seen[0]), 200)]
    assert len(before) - 2 <= int(seen[0]) <= len(before), (
        "at most the last batch comes twice, none is missing"
    )


async def test_events_run_in_the_background(house: House) -> None:
    seen: list[str] = []

    async def handle(facts: Sequence[Delivered]) -> None:
        seen.extend(labels(facts))

    async def broken(_: Sequence[Delivered]) -> None:
        raise ValueError

    subscriptions = [
        Consumer("background", (Happened,), handle, from_now=True),
        Consumer("broken", (Happened,), broken, from_now=True),
    ]
    with pytest.raises(ValueError, match="same name"):
        Events(house.database, house.clock, house.ids, house.metrics, subscriptions * 2)
    await house.relay.place_all()
    async with Events(house.database, house.clock, house.ids, house.metrics, subscriptions):
        await eventually(lambda: house.metric("lag", "background") == 0)
        await house.publish("a")
        await eventually(lambda: seen == ["a"])
        await house.publish("b")
        await eventually(lambda: seen == ["a", "b"])
    async with house.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM events.cursor WHERE owner IS NOT NULL") == 0


# Retention


async def test_forget_keeps_what_a_slow_consumer_or_a_dead_letter_needs(house: House) -> None:
    quick, quick_seen = await house.listen("quick")
    slow, slow_seen = await house.listen("slow", fail=lambda label: label == "c", attempts_max=1)
    future = house.clock.now() + timedelta(hours=1)

    async def stored() -> list[str]:
        async with house.database.connection() as connection:
            rows = await connection.fetch("SELECT subject FROM events.outbox ORDER BY id")
        return [row["subject"] for row in rows]

    for label in "abcd":
        await house.publish(label)
        await house.relay.place_all()
    await house.drain(quick)
    await house.relay.forget(future)
    assert (await stored())[-4:] == list("abcd")
    await house.drain(slow)
    assert (labels(quick_seen), labels(slow_seen)) == (list("abcd"), list("abd"))
    assert await house.relay.forget(AT - timedelta(days=365)) == 0
    assert await house.relay.forget(future) > 0
    assert await stored() == ["c"]
    await house.publish("e")
    await house.drain(quick, slow)
    assert labels(slow_seen)[-1] == "e"


async def test_recorded_at_is_the_clocks(house: House) -> None:
    delivery, seen = await house.listen("clock")
    outbox = Outbox(FrozenClock(AT + timedelta(days=1)), house.ids)
    async with house.database.transaction() as connection:
        await outbox.publish(connection, happened("a"))
    await house.drain(delivery)
    assert (seen[0].occurred_at, seen[0].recorded_at) == (AT, AT + timedelta(days=1))


# All of it at once


class Storm:
    """Random publishers and crashing readers, seeded; what was committed is known at the end."""

    def __init__(self, house: House, database: Database, seed: int) -> None:
        self.house = house
        self.database = database
        self.rng = random.Random(seed)
        self.seed = seed
        self.committed: dict[str, int] = {}
        self.handled: list[Delivered] = []
        self.done = False
        self.placed = False

    async def publisher(self, number: int) -> None:
        """Take a number early, wait for a row lock, publish under it: commit order is the order of turns."""
        for round_no in range(12):
            label = f"{self.seed}-{number}-{round_no}"
            count = self.rng.choice((1, 1, 2, 30))
            fails = self.rng.random() < 0.25
            try:
                async with self.database.transaction() as connection:
                    await connection.execute("SELECT pg_current_xact_id()")
                    await asyncio.sleep(self.rng.random() * 0.01)
                    turn = await connection.fetchval("UPDATE public.turn SET n = n + 1 RETURNING n")
                    facts = [
                        Happened(occurred_at=AT, label=f"{label}-{index}", turn=turn)
                        for index in range(count)
                    ]
                    await self.house.outbox.publish(connection, facts[:1])
                    await self.house.outbox.publish(connection, facts[1:])
                    if fails:
                        raise Killed
            except Killed:
                continue
            self.committed |= {fact.label: turn for fact in facts}

    async def bystander(self) -> None:
        """Hold a transaction number open now and then, without publishing anything."""
        while not self.done:
            async with self.database.transaction() as connection:
                await connection.execute("SELECT pg_current_xact_id()")
                await asyncio.sleep(self.rng.random() * 0.03)

    async def relay(self) -> None:
        while not self.done:
            await self.house.relay.round()
            await asyncio.sleep(self.rng.random() * 0.005)

    async def handle(self, facts: Sequence[Delivered]) -> None:
        self.handled.extend(facts)
        self.die_or_fail()

    async def project(self, connection: Connection, facts: Sequence[Delivered]) -> None:
        rows = [(self.seed, each.position, each.subject) for each in facts]
        await connection.executemany("INSERT INTO public.projected VALUES ($1, $2, $3)", rows)
        self.die_or_fail()

    def die_or_fail(self) -> None:
        fate = 1.0 if self.done else self.rng.random()
        if fate < 0.1:
            raise Killed
        if fate < 0.2:
            raise ValueError

    async def reader(self, make: Callable[[], Delivery]) -> None:
        """Deliver until all is passed; a crash leaves the lease behind and starts another process."""
        delivery = make()
        while True:
            complete, passed = self.placed, None
            try:
                passed = await delivery.step()
            except Killed:
                delivery = make()
            if complete and passed == 0 and self.house.metric("lag", delivery.subscription.name) == 0:
                return
            await asyncio.sleep(0.004)


@pytest.mark.parametrize("seed", range(3))
async def test_storm_of_publishers_and_crashes_delivers_exactly_what_was_committed(
    house: House, dsn: str, seed: int
) -> None:
    async with Database(dsn, pool_size=16) as database:
        async with database.connection() as connection:
            await connection.execute("CREATE TABLE IF NOT EXISTS public.turn AS SELECT 0 AS n")
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS public.projected (seed int, position bigint, label text)"
            )
        storm = Storm(house, database, seed)
        options = {"batch_max": 20, "attempts_max": 1_000, "retry_s": 0.001, "retry_s_max": 0.005}
        await house.relay.place_all()

        def consumer() -> Delivery:
            made = Consumer(f"storm-{seed}", (Happened,), storm.handle, from_now=True, **options)  # type: ignore[arg-type]
            return house.delivery(made, lease_s=0.1)

        def projection() -> Delivery:
            made = Projection(f"proj-{seed}", (Happened,), storm.project, from_now=True, **options)  # type: ignore[arg-type]
            return house.delivery(made, lease_s=0.1)

        for make in (consumer, projection):
            await make().step()
        workers = [asyncio.create_task(storm.reader(make)) for make in (consumer, projection, projection)]
        workers += [asyncio.create_task(each) for each in (storm.relay(), storm.bystander())]
        await asyncio.gather(*map(storm.publisher, range(6)))
        storm.done = True
        await asyncio.gather(*workers[-2:])
        await house.relay.place_all()
        storm.placed = True
        await asyncio.gather(*workers)
        rows = await database_rows(database, seed)
    expected = sorted(storm.committed, key=lambda label: (storm.committed[label], int(label.split("-")[-1])))
    assert [label for _, label in rows] == expected
    assert all(after == before + 1 for (before, _), (after, _) in pairwise(rows)), "positions have a gap"
    assert list(dict.fromkeys(labels(sorted(storm.handled)))) == expected


async def database_rows(database: Database, seed: int) -> list[tuple[int, str]]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT position, label FROM public.projected WHERE seed = $1 ORDER BY position", seed
        )
    return [(row["position"], row["label"]) for row in rows]
