"""The lane over a small real table: gathering, order, isolation, and every way in which a database goes away."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tongbao.core import db
from tongbao.core.db import Connection, Database
from tongbao.core.errors import (
    InvalidRequest,
    InvariantBroken,
    LimitExceeded,
    OutcomeUnknown,
    Unavailable,
)
from tongbao.core.lane import Lane, LaneMetrics
from tongbao.core.metrics import Metrics

TABLE = """
CREATE TABLE IF NOT EXISTS public.written (
    name text PRIMARY KEY, value integer NOT NULL CHECK (value >= 0), batch_xid xid8 NOT NULL, place serial
)
"""
INSERT = """
INSERT INTO public.written (name, value, batch_xid)
SELECT n, v, pg_current_xact_id() FROM unnest($1::text[], $2::bigint[]) AS u (n, v)
ON CONFLICT (name) DO NOTHING RETURNING name
"""
Item = tuple[str, int]


class Writer:
    """What the lane writes: names, each once. Tests may hold it up or let it do something first."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.sizes: list[int] = []
        self.before: Callable[[Connection], Awaitable[None]] | None = None
        self.dropped_results = 0

    async def write(self, connection: Connection, slot: int, items: Sequence[Item]) -> list[str]:
        self.sizes.append(len(items))
        self.entered.set()
        await self.gate.wait()
        async with connection.transaction():
            if self.before is not None:
                await self.before(connection)
            names = [name for name, _ in items]
            rows = await connection.fetch(INSERT, names, [value for _, value in items])
        new = {row["name"] for row in rows}
        results = [f"{name}:{'new' if name in new else 'exists'}" for name in names]
        return results[: len(results) - self.dropped_results]


class Cutter:
    """A door before the server's socket that can cut a connection before or after its COMMIT, or stay shut."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._links: set[asyncio.StreamWriter] = set()
        self.cut_before = self.cut_after = 0
        self.shut = False
        self.knocks = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.knocks += 1
        if self.shut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_unix_connection(self._socket)
        self._links |= {writer, far_writer}
        back = asyncio.create_task(self._pump(far_reader, writer))
        with suppress(OSError):
            while data := await reader.read(65_536):
                commits = b"COMMIT" in data
                if commits and self.cut_before:
                    self.cut_before -= 1
                    break
                if commits and self.cut_after:
                    self.cut_after -= 1
                    back.cancel()
                    await asyncio.wait([back])
                    far_writer.write(data)
                    # The server's answer means that the commit is done; the client never hears of it.
                    assert b"COMMIT" in await far_reader.read(65_536)
                    break
                far_writer.write(data)
        back.cancel()
        await asyncio.wait([back])
        for end in (writer, far_writer):
            self._links.discard(end)
            end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.transport.abort()

    def close_all(self) -> None:
        self.shut = True
        for end in self._links:
            end.transport.abort()


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
async def cutter(dsn: str) -> AsyncIterator[Cutter]:
    with tempfile.TemporaryDirectory(prefix="tongbao-test-") as folder:
        parts = parse_qs(urlsplit(dsn).query)
        name = f".s.PGSQL.{parts['port'][0]}"
        made = Cutter(f"{parts['host'][0]}/{name}")
        server = await asyncio.start_unix_server(made.serve, Path(folder) / name)
        made.dsn = dsn.replace(parts["host"][0], folder)  # type: ignore[attr-defined]  # for the fixture below
        yield made
        made.close_all()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.05)


@pytest.fixture
async def behind(cutter: Cutter, database: Database) -> AsyncIterator[Database]:
    """A database that is reached through the cutter."""
    async with Database(cutter.dsn, pool_size=1) as opened:  # type: ignore[attr-defined]  # set by its fixture
        yield opened
        cutter.shut = True


MakeLane = Callable[..., Lane[Item, str]]


@pytest.fixture
async def make_lane(database: Database, writer: Writer) -> AsyncIterator[MakeLane]:
    async with database.connection() as connection:
        await connection.execute(TABLE)
        await connection.execute("TRUNCATE public.written")
    lanes: list[Lane[Item, str]] = []

    def make(reached: Database = database, *, slots: int = 1, **options: float) -> Lane[Item, str]:
        async def connect() -> Connection:
            return await reached.dedicated("lane-test", deadlock_timeout="50ms")

        lane = Lane("test", writer.write, connect, metrics=LaneMetrics(Metrics()), slots=slots, **options)  # type: ignore[arg-type]  # numbers of both kinds
        lanes.append(lane)
        return lane

    yield make
    for lane in lanes:
        await lane.close()


async def stored(database: Database) -> list[tuple[str, int]]:
    """What stands in the table: name and number of its batch, in order of insertion."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT name, batch_xid::text::bigint FROM public.written ORDER BY place"
        )
    return [(row[0], row[1]) for row in rows]


def one(name: str, value: int = 1) -> list[Item]:
    return [(name, value)]


async def test_submit_many_at_once_share_one_batch_in_order(
    make_lane: MakeLane, writer: Writer, database: Database
) -> None:
    lane = make_lane()
    names = [f"n{number:03d}" for number in range(100)]
    answers = await asyncio.gather(*(lane.submit(one(name)) for name in names))
    assert [answer[0] for answer in answers] == [f"{name}:new" for name in names]
    rows = await stored(database)
    assert [name for name, _ in rows] == names
    assert len({batch for _, batch in rows}) == 1
    assert writer.sizes == [100]


async def test_submit_while_a_batch_is_in_flight_gathers_for_the_next(
    make_lane: MakeLane, writer: Writer
) -> None:
    lane = make_lane()
    writer.gate.clear()
    first = asyncio.create_task(lane.submit(one("first")))
    await writer.entered.wait()
    others = [asyncio.create_task(lane.submit(one(f"o{number}"))) for number in range(50)]
    await asyncio.sleep(0)
    writer.gate.set()
    await asyncio.gather(first, *others)
    assert writer.sizes == [1, 50]


async def test_submit_nothing_writes_nothing(make_lane: MakeLane, writer: Writer) -> None:
    assert await make_lane().submit([]) == []
    assert writer.sizes == []


@pytest.mark.parametrize(
    ("parcels", "batch_max", "sizes"),
    [
        ([3, 3, 3], 5, [3, 3, 3]),
        ([3, 2, 3], 5, [5, 3]),
        ([1, 1, 1, 1], 2, [2, 2]),
        ([7, 1], 5, [7, 1]),
        ([1, 7], 5, [1, 7]),
    ],
)
async def test_submit_parcels_stay_together_within_the_batch_limit(
    make_lane: MakeLane, writer: Writer, parcels: list[int], batch_max: int, sizes: list[int]
) -> None:
    lane = make_lane(batch_max=batch_max)
    await asyncio.gather(
        *(lane.submit([(f"p{parcel}-{n}", 1) for n in range(size)]) for parcel, size in enumerate(parcels))
    )
    assert writer.sizes == sizes


async def test_submit_over_several_slots_writes_everything_once(
    make_lane: MakeLane, database: Database
) -> None:
    lane = make_lane(slots=3, batch_max=10)
    answers = await asyncio.gather(*(lane.submit(one(f"s{number}")) for number in range(200)))
    assert all(answer[0].endswith(":new") for answer in answers)
    assert len(await stored(database)) == 200


@pytest.mark.parametrize(("value", "error"), [(-1, InvariantBroken), (2**40, InvalidRequest)])
async def test_submit_one_bad_parcel_fails_alone_and_whole(
    make_lane: MakeLane, database: Database, value: int, error: type[Exception]
) -> None:
    lane = make_lane()
    good = [lane.submit(one(f"g{number}")) for number in range(7)]
    bad = lane.submit([("b1", 1), ("b2", value), ("b3", 1)])
    more = [lane.submit(one(f"m{number}")) for number in range(6)]
    answers = await asyncio.gather(*good, bad, *more, return_exceptions=True)
    assert isinstance(answers[7], error)
    assert sum(isinstance(answer, BaseException) for answer in answers) == 1
    assert {name for name, _ in await stored(database)} == {f"g{n}" for n in range(7)} | {
        f"m{n}" for n in range(6)
    }


async def test_submit_after_a_bad_parcel_still_works(make_lane: MakeLane) -> None:
    lane = make_lane()
    with pytest.raises(InvariantBroken, match="23514"):
        await lane.submit(one("bad", -1))
    assert await lane.submit(one("good")) == ["good:new"]


async def test_submit_in_a_deadlock_is_written_again(
    make_lane: MakeLane, writer: Writer, database: Database
) -> None:
    lane = make_lane()
    await lane.submit([("left", 1), ("right", 1)])
    other = await database.dedicated("other", deadlock_timeout="10s")
    grasp: list[asyncio.Task[str]] = []

    async def cross(connection: Connection) -> None:
        if not grasp:
            await connection.execute("UPDATE public.written SET value = 2 WHERE name = 'left'")
            grasp.append(
                asyncio.create_task(other.execute("UPDATE public.written SET value = 3 WHERE name = 'left'"))
            )
            await asyncio.sleep(0.05)
        await connection.execute("UPDATE public.written SET value = 2 WHERE name = 'right'")

    await other.execute("BEGIN")
    await other.execute("UPDATE public.written SET value = 3 WHERE name = 'right'")
    writer.before = cross
    waiting = asyncio.create_task(lane.submit(one("third")))
    while not grasp:  # noqa: ASYNC110 - set by the writer under test
        await asyncio.sleep(0.01)
    await grasp[0]
    await other.execute("COMMIT")
    assert await waiting == ["third:new"]
    assert writer.sizes[1:] == [1, 1]
    await other.close()


async def test_submit_whose_statement_takes_too_long_is_written_again(
    make_lane: MakeLane, writer: Writer
) -> None:
    lane = make_lane()

    async def nap_once(connection: Connection) -> None:
        writer.before = None
        await connection.execute("SET LOCAL statement_timeout = 50")
        await connection.fetch("SELECT pg_sleep(0.3)")

    writer.before = nap_once
    assert await lane.submit(one("slow")) == ["slow:new"]
    assert writer.sizes == [1, 1]


async def test_submit_cut_before_commit_is_written_once(
    make_lane: MakeLane, cutter: Cutter, behind: Database, database: Database
) -> None:
    lane = make_lane(behind)
    cutter.cut_before = 1
    assert await lane.submit(one("early")) == ["early:new"]
    assert [name for name, _ in await stored(database)] == ["early"]


async def test_submit_cut_after_commit_is_answered_as_existing_and_written_once(
    make_lane: MakeLane, cutter: Cutter, behind: Database, database: Database, writer: Writer
) -> None:
    lane = make_lane(behind)
    cutter.cut_after = 2
    assert await lane.submit(one("late")) == ["late:exists"]
    assert [name for name, _ in await stored(database)] == ["late"]
    assert writer.sizes == [1, 1, 1]


async def test_submit_many_cut_in_turn_are_each_answered_once(
    make_lane: MakeLane, cutter: Cutter, behind: Database, database: Database
) -> None:
    lane = make_lane(behind, slots=2, batch_max=5)
    cutter.cut_before, cutter.cut_after = 5, 5
    answers = await asyncio.gather(*(lane.submit(one(f"c{number}")) for number in range(100)))
    assert [answer[0].split(":")[0] for answer in answers] == [f"c{number}" for number in range(100)]
    assert len(await stored(database)) == 100
    assert (cutter.cut_before, cutter.cut_after) == (0, 0)


async def test_submit_on_a_connection_that_was_ended_meanwhile_succeeds(
    make_lane: MakeLane, database: Database
) -> None:
    lane = make_lane()
    await lane.submit(one("a"))
    async with database.connection() as connection:
        await connection.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'lane-test'"
        )
    assert await lane.submit(one("b")) == ["b:new"]


async def test_submit_while_the_database_is_briefly_away_waits_for_it(
    make_lane: MakeLane, cutter: Cutter, behind: Database
) -> None:
    lane = make_lane(behind)
    await lane.submit(one("before"))
    cutter.close_all()
    waiting = asyncio.create_task(lane.submit(one("during")))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    cutter.shut = False
    assert (await waiting)[0].startswith("during:")


async def test_submit_with_the_database_away_too_long_is_unavailable(
    make_lane: MakeLane,
    cutter: Cutter,
    behind: Database,
    database: Database,
    writer: Writer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(db, "CONNECT_S_MAX", 0.2)
    lane = make_lane(behind, retry_s=0.3)
    cutter.shut = True
    with pytest.raises(Unavailable, match="database_down"):
        await lane.submit(one("never"))
    assert await stored(database) == []
    assert writer.sizes == []


async def test_submit_lost_at_commit_and_away_too_long_is_unknown_and_repeatable(
    make_lane: MakeLane, cutter: Cutter, behind: Database, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "CONNECT_S_MAX", 0.2)
    lane = make_lane(behind, retry_s=0.3)
    await lane.submit(one("before"))
    cutter.cut_after = 1
    waiting = asyncio.create_task(lane.submit(one("perhaps")))
    while cutter.cut_after:  # noqa: ASYNC110 - counted down by the cutter
        await asyncio.sleep(0.001)
    cutter.shut = True
    with pytest.raises(OutcomeUnknown, match="outcome_unknown"):
        await waiting
    assert [name for name, _ in await stored(database)] == ["before", "perhaps"]
    cutter.shut = False
    assert await lane.submit(one("perhaps")) == ["perhaps:exists"]


async def test_submit_past_the_queue_limit_is_turned_away_and_the_rest_written(
    make_lane: MakeLane, writer: Writer, database: Database
) -> None:
    lane = make_lane(queue_max=10)
    writer.gate.clear()
    first = asyncio.create_task(lane.submit(one("first")))
    await writer.entered.wait()
    waiting = [asyncio.create_task(lane.submit(one(f"w{number}"))) for number in range(10)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="lane_full") as caught:
        await lane.submit(one("over"))
    assert caught.value.retry_after_s > 0
    writer.gate.set()
    await asyncio.gather(first, *waiting)
    assert len(await stored(database)) == 11
    assert await lane.submit(one("over")) == ["over:new"]


async def test_submit_a_parcel_over_its_limit_is_refused(make_lane: MakeLane, writer: Writer) -> None:
    lane = make_lane(parcel_max=3)
    with pytest.raises(LimitExceeded, match="parcel_too_large"):
        await lane.submit([(f"x{number}", 1) for number in range(4)])
    assert writer.sizes == []


async def test_close_finishes_what_waits_and_takes_no_more(
    make_lane: MakeLane, writer: Writer, database: Database
) -> None:
    lane = make_lane()
    writer.gate.clear()
    waiting = [asyncio.create_task(lane.submit(one(f"k{number}"))) for number in range(5)]
    await writer.entered.wait()
    waiting.append(asyncio.create_task(lane.submit(one("k5"))))
    await asyncio.sleep(0)
    closing = asyncio.create_task(lane.close())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="lane_closed"):
        await lane.submit(one("after"))
    writer.gate.set()
    await asyncio.gather(closing, *waiting)
    assert len(await stored(database)) == 6


async def test_close_with_a_dead_connection_returns(
    make_lane: MakeLane, cutter: Cutter, behind: Database
) -> None:
    lane = make_lane(behind)
    await lane.submit(one("a"))
    cutter.close_all()
    await asyncio.wait_for(lane.close(), 5)


async def test_submit_given_up_before_its_turn_is_never_written(
    make_lane: MakeLane, writer: Writer, database: Database
) -> None:
    lane = make_lane()
    writer.gate.clear()
    first = asyncio.create_task(lane.submit(one("first")))
    await writer.entered.wait()
    left = asyncio.create_task(lane.submit(one("left")))
    stayed = asyncio.create_task(lane.submit(one("stayed")))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.wait([left])
    writer.gate.set()
    await asyncio.gather(first, stayed)
    assert [name for name, _ in await stored(database)] == ["first", "stayed"]


async def test_submit_given_up_in_flight_is_written_and_its_neighbours_answered(
    make_lane: MakeLane, writer: Writer, database: Database
) -> None:
    lane = make_lane()
    writer.gate.clear()
    left = asyncio.create_task(lane.submit(one("left")))
    stayed = asyncio.create_task(lane.submit(one("stayed")))
    await writer.entered.wait()
    left.cancel()
    await asyncio.wait([left])
    writer.gate.set()
    assert await stayed == ["stayed:new"]
    assert [name for name, _ in await stored(database)] == ["left", "stayed"]
    assert await lane.submit(one("left")) == ["left:exists"]


async def test_submit_with_a_writer_that_loses_results_is_a_broken_invariant(
    make_lane: MakeLane, writer: Writer
) -> None:
    lane = make_lane()
    writer.dropped_results = 1
    with pytest.raises(InvariantBroken, match="lane_results"):
        await lane.submit([("a", 1), ("b", 1)])
    writer.dropped_results = 0
    assert await lane.submit(one("a")) == ["a:exists"]
