"""A city lived through the public interfaces: equal for equal seeds, replayed as it was run, and gone on with in real time."""

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from tests.simulator.city.test_driving_after import outcomes
from typer.testing import CliRunner

from tongbao.core.clock import RealClock
from tongbao.core.embedded.server import EmbeddedServer
from tongbao.core.errors import AppError, Conflict, InvalidRequest
from tongbao.simulator.city import running_file, script
from tongbao.simulator.city.answers_mail import Mailbox
from tongbao.simulator.city.driving_after import Due
from tongbao.simulator.city.planning import Acts, plan
from tongbao.simulator.city.running import RealTime, Ways
from tongbao.simulator.city.running_file import Outcomes
from tongbao.simulator.city.schema import CityTerms, Means, Outcome, Visit
from tongbao.web.city_folder import MARK, city_folder
from tongbao.web.city_house import KEYS_FILE, City, city_settings, open_city, open_driver
from tongbao.web.city_living import begin_of, live_city, prove_books
from tongbao.web.city_past import FILE, Past, State, keep_past, new_terms, read_past
from tongbao.web.city_shops import keys_of, open_shops
from tongbao.web.commands.city import app
from tongbao.web.pace import Pace

TERMS = CityTerms(
    seed=3,
    began_on=date(2026, 9, 1),
    days=2,
    payers=30,
    shops=4,
    visits_per_day=10,
    fraud_share=0.15,
)
NewDatabase = Callable[[], AbstractAsyncContextManager[str]]


@pytest.fixture
def new_database(server: EmbeddedServer, migrated: str) -> NewDatabase:
    """Lends empty databases, one a city."""
    count = 0

    @asynccontextmanager
    async def lend() -> AsyncIterator[str]:
        nonlocal count
        count += 1
        name = f"city_{count}_{id(lend):x}"
        admin = await asyncpg.connect(server.dsn())
        try:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE {migrated}")
            yield server.dsn(name)
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        finally:
            await admin.close()

    return lend


async def lived(new_database: NewDatabase, home: Path, acts: Acts, lanes: int = 1) -> Outcomes:
    """A whole city in a database of its own."""
    async with new_database() as dsn:
        return await live_city(city_settings(home, dsn=dsn), TERMS, acts, lanes=lanes)


def without_ids(found: Outcomes) -> list[dict[str, Any]]:
    """What became of every visit, without the references that the house gave."""
    return [msgspec.to_builtins(each) | {"payment": None} for each in found.visited]


async def test_equal_seeds_and_their_written_plan_come_to_equal_cities(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    first = await lived(new_database, tmp_path / "first", plan(TERMS))
    replayed = script.read(script.written(TERMS, plan(TERMS)))
    again = await lived(new_database, tmp_path / "again", replayed)
    assert first.came_to.statistics == again.came_to.statistics
    assert without_ids(first) == without_ids(again)
    figures = first.came_to.statistics
    assert figures.visits == sum(len(visits) for _, visits in plan(TERMS).days())
    assert figures.approved > figures.visits / 2
    assert figures.fraud_visits
    assert figures.breaks == 0
    assert first.came_to.measured.is_balanced
    assert not first.came_to.measured.rounds_failed


async def test_many_lanes_lose_no_visit_and_keep_the_books(new_database: NewDatabase, tmp_path: Path) -> None:
    found = await lived(new_database, tmp_path, plan(TERMS), lanes=8)
    figures = found.came_to.statistics
    assert figures.visits == sum(len(visits) for _, visits in plan(TERMS).days())
    assert figures.approved > figures.visits / 2
    assert found.came_to.measured.is_balanced


@asynccontextmanager
async def opened(dsn: str, home: Path, until: datetime) -> AsyncIterator[City]:
    """A city whose two days end at ``until``."""
    begins_at = until - timedelta(days=TERMS.days)
    async with open_city(city_settings(home, dsn=dsn), TERMS.seed, begins_at, plan(TERMS).shops) as city:
        yield city


async def test_a_past_goes_on_in_real_time(new_database: NewDatabase, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    moved = now - timedelta(days=TERMS.days) - begin_of(TERMS)
    days = [
        (day, tuple(msgspec.structs.replace(each, at=each.at + moved) for each in visits))
        for day, visits in plan(TERMS).days()
    ]
    async with new_database() as dsn, opened(dsn, tmp_path, now) as city:
        days = [(day, tuple(map(_complaining, visits))) for day, visits in days]
        past = await city.driver.drive(days, now)
        last = city.house.runtime.ledger.ids.uuid()
        before = set(past.visited)
        async with city.in_real_time(RealClock()):
            await _recalls_what_waits(city, tmp_path, [each for _, visits in days for each in visits])
            live = _paying_now(days[0][1], past.visited)
            await city.driver.drive([(days[0][0], [live])], live.at + timedelta(milliseconds=1))
            assert city.house.runtime.ledger.ids.uuid() > last
        visited = city.driver.lived.visited[live.number]
        assert live.number not in before
        assert visited.outcome is Outcome.APPROVED
        assert visited.payment is not None
        oldest = min(each.payment for each in past.visited.values() if each.payment)
        assert oldest < visited.payment
        assert (await prove_books(city.house))[1]


def _complaining(visit: Visit) -> Visit:
    """The visit; of honest ones that pay by card first each has the payer complain an hour later."""
    is_honest = visit.school is None and visit.attempt_means[0] is Means.CARD
    changes = {"dispute_after": timedelta(hours=1), "refund_after": None} if is_honest else {}
    return msgspec.structs.replace(visit, **changes)


async def _recalls_what_waits(city: City, home: Path, visits: list[Visit]) -> None:
    """Another driver, who was not there, finds again what is still to come after the payments of the past."""
    opened = await open_shops(city.house.parties, plan(TERMS).shops, home / KEYS_FILE)
    ways = Ways(city.house.base_url, keys_of(opened), city.sandbox.http_url)
    now = datetime.now(UTC)
    async with AsyncExitStack() as stack:
        mailbox = await stack.enter_async_context(Mailbox())
        again = await open_driver(stack, ways, mailbox, RealTime(RealClock()), f"city-{TERMS.seed}")
        await again.recall(visits)
        found = {(each.number, each.due) for each in again.waiting if each.at > now}
    waiting = {(each.number, each.due) for each in city.driver.waiting if each.at > now}
    assert Due.VERDICT in {due for _, due in waiting}
    assert found == waiting


def _paying_now(visits: tuple[Visit, ...], visited: dict[int, Any]) -> Visit:
    """A visit like one that went well, due in a moment."""
    model = next(
        each
        for each in visits
        if visited[each.number].outcome is Outcome.APPROVED and each.school is None and not each.is_manual
    )
    return msgspec.structs.replace(
        model,
        number=9_000_000_000,
        at=datetime.now(UTC) + timedelta(seconds=1),
        refund_after=None,
        dispute_after=None,
        label_after=None,
    )


def told(*words: str) -> tuple[int, str]:
    """Exit status and code of a command that is refused."""
    ran = CliRunner().invoke(app, list(words))
    error = ran.exception
    return ran.exit_code, error.code if isinstance(error, AppError) else ""


def test_bad_input_is_refused_with_a_code(tmp_path: Path) -> None:
    foreign, broken = tmp_path / "foreign", tmp_path / "broken.jsonl"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("precious")
    whole = list(script.written(TERMS, plan(TERMS)))
    broken.write_bytes(b"".join(whole[:-2]))
    home = ("--home", str(tmp_path / "home"))
    for words, code in (
        (("run", "--days", "0", *home), "city_terms_invalid"),
        (("run", "--days", "500", *home), "city_terms_invalid"),
        (("run", "--began", "someday", *home), "city_terms_invalid"),
        (("run", "--lang", "tlh", *home), "locale_unknown"),
        (("run", "--out", str(tmp_path / "no" / "file"), *home), "city_file_unwritable"),
        (("run", "--home", str(foreign)), "city_folder_foreign"),
        (("plan", str(tmp_path / "no" / "file"), "--days", "1"), "city_file_unwritable"),
        (("replay", str(tmp_path / "none"), *home), "city_file_unreadable"),
        (("replay", str(broken), *home), "city_script_broken"),
        (("report", str(tmp_path / "none")), "city_file_unreadable"),
        (("report", str(broken)), "city_outcomes_broken"),
    ):
        assert told(*words) == (1, code), words
    assert (foreign / "thesis.txt").read_text() == "precious"
    assert not (tmp_path / "home").exists()


def test_a_port_that_is_taken_is_told_before_a_city_is_lived(tmp_path: Path, unused_port: int) -> None:
    assert told("run", "--days", "1", "--home", str(tmp_path), "--port", str(unused_port)) == (
        1,
        "port_taken",
    )


@pytest.fixture
def unused_port() -> Any:
    """A port on which somebody else listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_folder_is_one_citys_at_a_time_and_emptied_for_the_next(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with city_folder(home):
        (home / "left.txt").write_text("old")
        with pytest.raises(Conflict, match="another city"), city_folder(home):
            pass
    with city_folder(home):
        assert [each.name for each in home.iterdir()] == [MARK]


def test_a_past_that_was_cut_off_is_known_as_such(tmp_path: Path) -> None:
    assert read_past(tmp_path) is None
    terms = new_terms(datetime(2026, 9, 1, 21, tzinfo=UTC))
    keep_past(tmp_path, Past(state=State.PREPARING, terms=terms))
    known = read_past(tmp_path)
    assert known is not None
    assert known.state is State.PREPARING
    keep_past(tmp_path, msgspec.structs.replace(known, state=State.READY))
    assert read_past(tmp_path) == Past(state=State.READY, terms=terms)
    (tmp_path / FILE).write_bytes(json.dumps({"state": "ready"}).encode())
    with pytest.raises(InvalidRequest, match="--fresh"):
        read_past(tmp_path)


@pytest.mark.parametrize("hour", [0, 7, 12, 13, 23])
def test_a_demonstration_begins_at_noon_of_the_last_day_of_its_past(hour: int) -> None:
    now = datetime(2026, 9, 1, hour, 30, tzinfo=UTC)
    terms = new_terms(now)
    begun = begin_of(terms, terms.days - 1)
    assert timedelta(hours=12) <= now - begun < timedelta(hours=13)


def test_equal_seeds_pace_equally() -> None:
    first, second, other = Pace("a"), Pace("a"), Pace("b")
    assert first.chance("risk").random() == second.chance("risk").random()
    assert first.chance("risk").random() != first.chance("routing").random()
    salts = [first.new_salt(), first.new_salt()]
    assert salts == [second.new_salt(), second.new_salt()]
    assert len({*salts, other.new_salt()}) == 3


def test_a_report_says_again_what_a_city_came_to(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.jsonl"
    file.write_bytes(b"".join(running_file.written(outcomes())))
    shown = CliRunner().invoke(app, ["report", str(file)])
    assert (shown.exit_code, "balanced, 3 books proved" in shown.output) == (0, True)
    chinese = CliRunner().invoke(app, ["report", str(file), "--lang", "zh"])
    assert chinese.exit_code == 0
    assert chinese.output != shown.output
    figures = CliRunner().invoke(app, ["report", str(file), "--json"])
    assert json.loads(figures.output) == msgspec.to_builtins(outcomes().came_to)
