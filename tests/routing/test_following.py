"""Following on a real database: every process knows the same, a kill costs nothing, and people are told once."""

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.routing.board_facts import BEGIN, attempted, corrected, run

from tongbao.core.clock import FrozenClock, RealClock
from tongbao.core.db import Database
from tongbao.core.errors import AppError
from tongbao.core.events.facts import Delivered
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.relay import Relay
from tongbao.core.events.tail import Tail
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.routing.models.beliefs import BeliefTuning
from tongbao.routing.models.board import Board, BoardTuning
from tongbao.routing.schema.notices import Announced, Notice, NoticeKind
from tongbao.routing.schema.payments import Attempted, Mark
from tongbao.routing.service import following
from tongbao.routing.service.following import SNAPSHOTS_KEPT, Following

PROGRAM = Path(__file__).with_name("folding_process.py")


class House:
    """Somebody who tells of attempts, and processes that follow."""

    def __init__(self, database: Database, ids: IdFactory) -> None:
        self.database = database
        self.ids = ids
        self.clock = FrozenClock(BEGIN)
        self.outbox = Outbox(self.clock, ids)
        self.relay = Relay(database, self.clock, Metrics())
        # Tests share one log of facts: each has channels and a method of its own.
        self.name = f"c{ids.int63()}"
        self.method = f"m{self.name}"

    def process(self, **options: Any) -> Following:
        return Following(self.database, self.clock, self.ids, **options)

    async def started(self, **options: Any) -> Following:
        process = self.process(**options)
        await process.start()
        return process

    async def tell(self, *facts: Attempted) -> None:
        """Publish facts in one commit and give them their positions."""
        async with self.database.transaction() as connection:
            await self.outbox.publish(connection, facts)
        await self.relay.place_all()

    def ends(self, mark: Mark, count: int, begin_s: float = 0.0, **fields: Any) -> list[Attempted]:
        """The same end again and again over a channel of this test."""
        return run(mark, count, begin_s=begin_s, **({"channel": self.name, "method": self.method} | fields))

    async def log(self) -> list[Delivered]:
        """All facts of attempts that are kept."""
        found: list[Delivered] = []
        tail, after = Tail(self.database, [Attempted]), 0
        while True:
            facts, position = await tail.read(after)
            if position == after:
                return found
            found += facts
            after = position

    async def notices(self) -> list[Notice]:
        """What was announced of channels of this test, oldest first, each told of by one fact."""
        tail, after, told = Tail(self.database, [Announced]), 0, []
        await self.relay.place_all()
        while True:
            facts, position = await tail.read(after)
            if position == after:
                break
            told += [each.fact.notice for each in facts if isinstance(each.fact, Announced)]
            after = position
        own = [each for each in told if each.channel.startswith(self.name)]
        async with self.database.connection() as connection:
            rows = await connection.fetch(
                "SELECT id FROM routing.notice WHERE channel LIKE $1", f"{self.name}%"
            )
        assert sorted(each.id for each in own) == sorted(UUID(int=row[0].int) for row in rows)
        return own

    async def snapshots(self) -> list[tuple[int, str]]:
        async with self.database.connection() as connection:
            rows = await connection.fetch("SELECT position, digest FROM routing.snapshot ORDER BY position")
        return [tuple(row) for row in rows]


@pytest.fixture
async def house(database: Database, ids: IdFactory) -> AsyncIterator[House]:
    made = House(database, ids)
    await made.relay.prepare()
    yield made
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM routing.snapshot")


def digests(log: Sequence[Delivered]) -> dict[int, str]:
    """The digest after each fact of an uninterrupted fold, by position."""
    board, found = Board(), {}
    for each in log:
        assert isinstance(each.fact, Attempted)
        board.learn(each.fact)
        found[each.position] = board.digest()
    return found


def stream(seed: int, count: int) -> list[Attempted]:
    """Random ends over a few segments, some of them corrected later."""
    rng = random.Random(seed)
    facts: list[Attempted] = []
    for number in range(count):
        fact = attempted(
            number * 0.7,
            attempt_id=UUID(int=rng.getrandbits(128)),
            live=rng.random() < 0.8,
            channel=rng.choice(("one", "two", "three")),
            issuer=f"{rng.randrange(8):06d}",
            mark=rng.choice((*Mark, Mark.APPROVED, Mark.APPROVED)),
            took_ms=rng.randrange(3_000),
        )
        facts.append(fact)
        if fact.mark is Mark.UNRESOLVED:
            facts.append(corrected(fact, Mark.APPROVED, number * 0.7 + 20))
    return facts


class Process:
    """A process of its own that follows facts."""

    def __init__(self, running: asyncio.subprocess.Process) -> None:
        self._running = running
        assert running.stdout is not None
        self._stdout = running.stdout

    async def line(self, what: str) -> list[str]:
        """The words of the next line of a kind; what it logs stands between."""
        while True:
            words = (await asyncio.wait_for(self._stdout.readline(), 20)).decode().split()
            assert words, "it has ended"
            if words[0] == what:
                return words[1:]

    async def kill(self) -> list[list[str]]:
        """Kill it with SIGKILL, and return what it still said."""
        self._running.send_signal(signal.SIGKILL)
        rest = (await self._stdout.read()).decode().splitlines()
        assert await self._running.wait() == -signal.SIGKILL
        lines = [line.split() for line in rest]
        return [words[1:] for words in lines if len(words) == 3 and words[0] == "at"]


@contextlib.asynccontextmanager
async def folding(dsn: str) -> AsyncIterator[Process]:
    """Run a process until it is killed, at the latest at the end."""
    running = await asyncio.create_subprocess_exec(sys.executable, str(PROGRAM), dsn, stdout=subprocess.PIPE)
    made = Process(running)
    try:
        yield made
    finally:
        if running.returncode is None:
            await made.kill()


# What a process knows


async def test_killed_process_is_followed_by_one_that_knows_the_same(house: House, dsn: str) -> None:
    async def write(facts: Sequence[Attempted]) -> None:
        for place in range(0, len(facts), 6):
            await house.tell(*facts[place : place + 6])
            await asyncio.sleep(0.004)

    seen: dict[int, set[str]] = defaultdict(set)
    async with folding(dsn) as first:
        await first.line("started")
        writing = asyncio.create_task(write(stream(5, 300)))
        try:
            for _ in range(15):
                position, digest = await first.line("at")
                seen[int(position)].add(digest)
            # In the middle of whatever it does: folding, announcing, taking a snapshot.
            for position, digest in await first.kill():
                seen[int(position)].add(digest)
            killed_at = max(seen)
            async with folding(dsn) as second:
                position, digest, count = await second.line("started")
                resumed_at = int(position)
                seen[resumed_at].add(digest)
                await writing
                end = max(each.position for each in await house.log())
                while max(seen) < end:
                    position, digest = await second.line("at")
                    seen[int(position)].add(digest)
        finally:
            writing.cancel()

    log = await house.log()
    whole = digests(log)
    assert killed_at < end
    # It began at a snapshot of the one that was killed, not anew.
    assert int(count) < len([each for each in log if each.position <= resumed_at])
    for at, found in (*seen.items(), *((at, {digest}) for at, digest in await house.snapshots())):
        # A position beyond the last fact of attempts holds what stood at that fact.
        assert found == {whole[max(each for each in whole if each <= at)]}


async def test_start_reads_what_is_after_the_newest_snapshot_only(house: House) -> None:
    await house.tell(*house.ends(Mark.APPROVED, 10))
    first = await house.started()
    row = await first.snapshot()
    assert (row.position, row.digest) == (first.position, first.board.digest())
    await house.tell(*house.ends(Mark.ISSUER_DECLINED, 4))
    second = house.process()
    assert await second.start() == 4
    await first.step()
    assert second.board.digest() == first.board.digest()
    assert second.position == first.position


async def test_router_that_holds_the_board_sees_what_the_start_brought(house: House) -> None:
    await house.tell(*house.ends(Mark.APPROVED, 3))
    await (await house.started()).snapshot()
    process = house.process()
    held = process.board
    await process.start()
    assert held is process.board
    assert held.rows > 0


async def test_snapshot_of_other_settings_is_left_alone_and_everything_read_anew(house: House) -> None:
    await house.tell(*house.ends(Mark.APPROVED, 5))
    other = await house.started(tuning=BoardTuning(beliefs=BeliefTuning(half_s=3_600.0)))
    await other.snapshot()
    process = house.process()
    assert await process.start() == len(await house.log())
    assert process.board.tuning == BoardTuning()
    assert process.board.digest() == list(digests(await house.log()).values())[-1]


@pytest.mark.parametrize("body", [b"", b"\x93\x01\x02\x03", b"of another program"])
async def test_snapshot_that_cannot_be_read_is_left_alone(house: House, body: bytes) -> None:
    await house.tell(*house.ends(Mark.APPROVED, 5))
    async with house.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO routing.snapshot (position, taken_at, digest, body) VALUES ($1, now(), 'x', $2)",
            10**9,
            body,
        )
    process = house.process()
    assert await process.start() == len(await house.log())
    assert process.position < 10**9


async def test_snapshots_are_taken_by_count_and_the_oldest_forgotten(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "SNAPSHOT_FACTS", 3)
    process = await house.started()
    for _ in range(SNAPSHOTS_KEPT + 3):
        await house.tell(*house.ends(Mark.APPROVED, 3))
        assert await process.step() == 3
    kept = await house.snapshots()
    assert len(kept) == SNAPSHOTS_KEPT
    assert kept[-1] == (process.position, process.board.digest())


async def test_snapshot_is_taken_by_the_hour_also_where_there_was_none(house: House) -> None:
    process = await house.started()
    assert await house.snapshots() == []
    await house.tell(*house.ends(Mark.APPROVED, 1))
    house.clock.advance(timedelta(minutes=59))
    await process.step()
    assert await house.snapshots() == []
    house.clock.advance(timedelta(minutes=2))
    await process.step()
    assert [position for position, _ in await house.snapshots()] == [process.position]
    # Nothing new: no further one.
    house.clock.advance(timedelta(hours=2))
    await process.step()
    assert len(await house.snapshots()) == 1


async def test_two_processes_at_one_position_keep_one_snapshot(house: House) -> None:
    await house.tell(*house.ends(Mark.APPROVED, 2))
    first, second = await house.started(), await house.started()
    await asyncio.gather(first.snapshot(), second.snapshot())
    assert len(await house.snapshots()) == 1


async def test_ends_of_decisions_are_passed_on_and_what_is_unresolved_is_not(house: House) -> None:
    heard: list[tuple[UUID, bool]] = []
    process = await house.started(ended=lambda decision, approved: heard.append((decision, approved)))
    heard.clear()
    decisions = [house.ids.uuid() for _ in range(5)]
    marks = (Mark.APPROVED, Mark.ISSUER_DECLINED, Mark.UNRESOLVED, Mark.TECHNICAL, Mark.NEUTRAL)
    facts = [attempted(0, decision_id=each, mark=mark) for each, mark in zip(decisions, marks, strict=True)]
    await house.tell(*facts, attempted(0, decision_id=None))
    await process.step()
    assert heard == [(decisions[0], True), *((decisions[place], False) for place in (1, 3, 4))]


# What people are told


async def test_breaker_that_opens_is_announced_once_by_two_processes_at_once(house: House) -> None:
    first, second = await house.started(), await house.started()
    for begin_s in (0.0, 20.0, 40.0):
        ends = house.ends(Mark.TECHNICAL, 3, begin_s, code="channel_error")
        await house.tell(*ends)
        await asyncio.gather(first.step(), second.step())
    (notice,) = await house.notices()
    assert (notice.kind, notice.channel, notice.live, notice.method) == (
        NoticeKind.OPENED,
        house.name,
        True,
        house.method,
    )
    assert notice.issuer == ""
    assert notice.facts["code"] == "channel_error"
    rate = notice.facts["technical_rate"]
    assert isinstance(rate, float)
    assert rate > first.board.tuning.breakers.threshold
    # A process that comes later and reads it all anew tells nobody again.
    await house.started()
    assert len(await house.notices()) == 1


async def test_breaker_that_heals_is_announced(house: House) -> None:
    process = await house.started()
    await house.tell(*house.ends(Mark.TECHNICAL, 12))
    await house.tell(*house.ends(Mark.APPROVED, 8, 600.0))
    await process.step()
    assert [each.kind for each in await house.notices()] == [NoticeKind.OPENED, NoticeKind.CLOSED]


async def test_decline_of_issuers_is_never_news_of_a_breaker(house: House) -> None:
    process = await house.started()
    await house.tell(*house.ends(Mark.ISSUER_DECLINED, 200), *house.ends(Mark.NEUTRAL, 200, 200.0))
    await process.step()
    assert await house.notices() == []


async def test_channels_that_go_out_within_a_minute_are_told_of_together(house: House) -> None:
    process = await house.started()
    names = [f"{house.name}.{place}" for place in range(3)]
    for place, name in enumerate(names):
        # The third one goes out ten minutes later.
        begin_s = 10.0 * place if place < 2 else 600.0
        await house.tell(*house.ends(Mark.TECHNICAL, 8, begin_s, channel=name))
    await process.step()
    told = await house.notices()
    assert [each.channel for each in told if each.kind is NoticeKind.OPENED] == names
    (together,) = [each for each in told if each.kind is NoticeKind.TOGETHER]
    assert together.facts == {"channels": ", ".join(names[:2])}
    assert (together.channel, together.method) == (names[1], house.method)


async def test_issuer_that_fails_alone_is_told_of_by_its_name(house: House) -> None:
    process = await house.started()
    facts = []
    for number in range(30):
        facts += house.ends(Mark.TECHNICAL, 1, number, issuer="666666")
        facts += house.ends(Mark.APPROVED, 5, number, issuer="411111")
    await house.tell(*facts)
    await process.step()
    (notice,) = await house.notices()
    assert (notice.kind, notice.channel, notice.issuer) == (NoticeKind.OPENED, house.name, "666666")


async def test_issuers_of_a_channel_that_is_out_are_no_news(house: House) -> None:
    process = await house.started()
    facts = house.ends(Mark.TECHNICAL, 12, issuer="411111")
    # Sent before the channel went out, heard of after: every issuer's own breaker opens as well.
    for issuer in ("522222", "633333"):
        facts += house.ends(Mark.TECHNICAL, 12, 13.0, issuer=issuer, took_ms=30_000)
    await house.tell(*facts)
    await process.step()
    told = await house.notices()
    assert [(each.kind, each.issuer) for each in told] == [(NoticeKind.OPENED, "")]


async def test_issuers_that_heal_after_their_channel_are_no_news_where_their_opening_was_none(
    house: House,
) -> None:
    process = await house.started()
    issuers = ("411111", "522222", "633333")
    facts = house.ends(Mark.TECHNICAL, 12, issuer=issuers[0])
    for issuer in issuers[1:]:
        facts += house.ends(Mark.TECHNICAL, 12, 13.0, issuer=issuer, took_ms=30_000)
    for place, issuer in enumerate(issuers):
        facts += house.ends(Mark.APPROVED, 8, 600.0 + 100.0 * place, issuer=issuer)
    await house.tell(*facts)
    await process.step()
    told = [(each.kind, each.issuer) for each in await house.notices()]
    assert told == [(NoticeKind.OPENED, ""), (NoticeKind.CLOSED, "")]


async def test_issuer_that_was_told_of_is_told_of_again_when_it_heals(house: House) -> None:
    process = await house.started()
    facts = house.ends(Mark.APPROVED, 60, issuer="411111")
    for number in range(60, 90):
        facts += house.ends(Mark.TECHNICAL, 1, number, issuer="666666")
        facts += house.ends(Mark.APPROVED, 5, number, issuer="411111")
    facts += house.ends(Mark.APPROVED, 8, 600.0, issuer="666666")
    await house.tell(*facts)
    await process.step()
    told = [(each.kind, each.issuer) for each in await house.notices()]
    assert told == [(NoticeKind.OPENED, "666666"), (NoticeKind.CLOSED, "666666")]


async def test_notice_that_could_not_be_written_is_told_by_the_next_step(house: House) -> None:
    process = await house.started()
    await house.tell(*house.ends(Mark.TECHNICAL, 12))
    async with house.database.transaction() as connection:
        await connection.execute("ALTER TABLE routing.notice RENAME TO notice_away")
    try:
        with pytest.raises(AppError):
            await process.step()
    finally:
        async with house.database.transaction() as connection:
            await connection.execute("ALTER TABLE routing.notice_away RENAME TO notice")
    assert await house.notices() == []
    await process.step()
    assert [each.kind for each in await house.notices()] == [NoticeKind.OPENED]


async def test_what_was_learned_outlives_the_facts_it_was_learned_from(house: House) -> None:
    await house.tell(*house.ends(Mark.ISSUER_DECLINED, 40))
    process = await house.started()
    await process.snapshot()
    await house.relay.forget(RealClock().now() + timedelta(days=1))
    later = await house.started()
    assert later.board.digest() == process.board.digest()
    await house.tell(*house.ends(Mark.APPROVED, 2, 50.0))
    assert await later.step() == await process.step() == 2
    assert later.board.digest() == process.board.digest()
