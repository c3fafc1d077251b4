"""The decision log on a real database: written with its effect, joined by what came of it, read page by page."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import InvariantBroken, NotFound
from tongbao.core.ids import IdFactory
from tongbao.decisions.schema.log import Candidate, Decision, Outcome, Range, Shadow, Why
from tongbao.decisions.service import log as logs
from tongbao.decisions.service.log import DecisionLog, Learned
from tongbao.decisions.store import log as store

NOW = datetime(2026, 11, 3, 9, tzinfo=UTC)
DAY = timedelta(days=1)


class Diary:
    """A log, with short ways to make decisions and outcomes of a book of its own."""

    def __init__(self, database: Database, book_id: int) -> None:
        self.database = database
        self.book_id = book_id
        self.clock = FrozenClock(NOW)
        self.log = DecisionLog(database, self.clock)
        self.ids = IdFactory(self.clock, random.Random(book_id))

    def decision(self, **fields: Any) -> Decision:
        """A decision between two channels, made now; any field may be another."""
        values: dict[str, Any] = {
            "id": self.ids.uuid(),
            "book_id": self.book_id,
            "live": True,
            "kind": "routing",
            "subject_id": self.ids.uuid(),
            "decided_at": self.clock.now(),
            "policy": "routing",
            "version": 2,
            "candidates": (
                Candidate(
                    name="one", propensity=0.75, score=9.5, low=9.0, high=10.0, facts={"approval": 0.9}
                ),
                Candidate(name="two", propensity=0.25),
                Candidate(name="three", excluded="disabled"),
            ),
            "chosen": "one",
            "reasons": (Why("learned", {"chance": 0.75}),),
        }
        return Decision(**(values | fields))

    def outcome(self, of: Decision, value: float | None, after: timedelta, **fields: Any) -> Outcome:
        """News of a decision that came so long after now."""
        values: dict[str, Any] = {
            "book_id": of.book_id,
            "decision_id": of.id,
            "key": self.ids.uuid(),
            "name": "approved",
            "value": value,
            "label": "no" if value == 0 else "yes",
            "source": "answer",
            "occurred_at": NOW + after,
            "recorded_at": NOW + after,
        }
        return Outcome(**(values | fields))

    async def write(self, decisions: Sequence[Decision], outcomes: Sequence[Outcome] = ()) -> None:
        async with self.database.transaction() as connection:
            await self.log.write(connection, decisions, outcomes)

    async def learned(self, known_at: datetime | None = None, **fields: Any) -> list[Learned]:
        """Everything of the book, with what ``approved`` stood at."""
        values: dict[str, Any] = {
            "from_at": NOW - 400 * DAY,
            "to_at": NOW + 400 * DAY,
            "book_id": self.book_id,
        }
        known_at = known_at or NOW + 100 * DAY
        pages = self.log.learned(Range(**(values | fields)), "approved", known_at)
        return [each async for page in pages for each in page]

    async def standing(self, known_at: datetime | None = None) -> list[tuple[float | None, str]]:
        return [(each.value, each.label) for each in await self.learned(known_at)]


@pytest.fixture
def diary(database: Database, ids: IdFactory) -> Diary:
    return Diary(database, ids.int63())


# Writing


async def test_written_decision_is_read_back_as_it_was(diary: Diary) -> None:
    full = diary.decision(
        effect_id=diary.ids.uuid(),
        arm="challenger",
        context={"method": "card", "issuer": "招商", "attempt_no": 1, "is_recurring": True},
        shadow=Shadow(version=3, chosen="two", propensities={"one": 0.0, "two": 1.0}),
        latency_us=412,
    )
    bare = diary.decision(live=False)
    await diary.write([full, bare])
    for each in (full, bare):
        assert (await diary.log.decision(diary.book_id, each.id)).decision == each


async def test_columns_say_what_the_body_says(diary: Diary) -> None:
    made = diary.decision(effect_id=diary.ids.uuid(), latency_us=412)
    await diary.write([made])
    async with diary.database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT book_id, id, subject_id, effect_id, decided_at, propensity, version, latency_us, live, kind,"
            " policy, arm, chosen FROM decisions.decision WHERE book_id = $1",
            diary.book_id,
        )
    assert dict(row) == {name: getattr(made, name) for name in row.keys()}  # noqa: SIM118 - a record, not a dict


async def test_write_joins_the_transaction_of_its_effect(diary: Diary) -> None:
    made = diary.decision()

    async def effect() -> None:
        async with diary.database.transaction() as connection:
            await diary.log.write(connection, [made], [diary.outcome(made, 1.0, DAY)])
            assert await connection.fetchval(
                "SELECT count(*) FROM decisions.decision WHERE book_id = $1", diary.book_id
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await effect()
    assert await diary.learned() == []
    async with diary.database.connection() as connection:
        count = "SELECT count(*) FROM decisions.outcome WHERE book_id = $1"
        assert await connection.fetchval(count, diary.book_id) == 0
    await diary.write([made])
    assert len(await diary.learned()) == 1


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"reasons": ()}, "not 1 to 32 reasons"),
        ({"reasons": (Why(code="x"),) * 33}, "not 1 to 32 reasons"),
        ({"candidates": ()}, "candidates are not"),
        ({"candidates": (Candidate(name="one", propensity=0.5),) * 2}, "candidates are not"),
        (
            {"candidates": tuple(Candidate(name=f"c{n}", propensity=1 / 65) for n in range(65))},
            "candidates are not",
        ),
        ({"chosen": "nobody"}, "no chance"),
        ({"chosen": "three"}, "no chance"),
        (
            {
                "candidates": (
                    Candidate(name="one", propensity=0.5),
                    Candidate(name="x", propensity=0.5, excluded="off"),
                )
            },
            "excluded candidate",
        ),
        ({"candidates": (Candidate(name="one", propensity=0.9),)}, "sum to"),
        ({"candidates": (Candidate(name="one", propensity=float("nan")),)}, "sum to"),
    ],
)
async def test_unsound_decision_is_refused_and_nothing_is_written(
    diary: Diary, wrong: dict[str, Any], what: str
) -> None:
    sound, unsound = diary.decision(), diary.decision(**wrong)
    with pytest.raises(InvariantBroken, match=what) as refused:
        async with diary.database.transaction() as connection:
            await diary.log.write(connection, [sound, unsound], [diary.outcome(sound, 1.0, DAY)])
    assert refused.value.code == "decision_unsound"
    assert await diary.learned() == []


async def test_write_of_nothing_is_nothing(diary: Diary) -> None:
    await diary.write([])
    await diary.log.observe([])
    assert await diary.learned() == []


async def test_decision_of_another_book_or_none_is_not_found(diary: Diary) -> None:
    made = diary.decision()
    await diary.write([made])
    for book_id, decision_id in ((diary.book_id + 1, made.id), (diary.book_id, diary.ids.uuid())):
        with pytest.raises(NotFound) as missing:
            await diary.log.decision(book_id, decision_id)
        assert missing.value.code == "decision_unknown"
    assert made.reference.startswith("dec_")


# Outcomes


async def test_decision_that_nothing_was_heard_of_has_no_value(diary: Diary) -> None:
    made = diary.decision()
    await diary.write([made])
    assert await diary.learned() == [Learned(made, None, "")]


async def test_outcome_before_its_decision_is_committed_waits_for_it(diary: Diary) -> None:
    made = diary.decision()
    await diary.log.observe([diary.outcome(made, 1.0, DAY)])
    assert await diary.learned() == []
    await diary.write([made])
    assert await diary.standing() == [(1.0, "yes")]


async def test_latest_by_event_time_stands_whatever_came_last(diary: Diary) -> None:
    made = diary.decision()
    late = diary.outcome(made, 0.0, DAY, recorded_at=NOW + 30 * DAY)
    await diary.write([made], [diary.outcome(made, 1.0, 10 * DAY), late])
    assert await diary.standing() == [(1.0, "yes")]


async def test_latest_by_arrival_stands_among_news_of_the_same_instant(diary: Diary) -> None:
    made = diary.decision()
    first = diary.outcome(made, 1.0, DAY)
    await diary.write([made], [diary.outcome(made, 0.0, DAY, recorded_at=NOW + 2 * DAY), first])
    assert await diary.standing() == [(0.0, "no")]


async def test_value_none_takes_back_what_was_said(diary: Diary) -> None:
    made = diary.decision()
    await diary.write([made], [diary.outcome(made, 1.0, DAY)])
    await diary.log.observe([diary.outcome(made, None, 2 * DAY, label="unresolved")])
    assert await diary.standing() == [(None, "unresolved")]
    await diary.log.observe([diary.outcome(made, 0.0, 3 * DAY)])
    assert await diary.standing() == [(0.0, "no")]


async def test_repeat_of_the_same_news_is_one_row_and_the_first_stands(diary: Diary) -> None:
    made = diary.decision()
    news = diary.outcome(made, 1.0, DAY)
    await diary.write([made], [news])
    await diary.log.observe([news])
    await diary.log.observe([diary.outcome(made, 0.0, 9 * DAY, key=news.key)])
    assert (await diary.log.decision(diary.book_id, made.id)).outcomes == (news,)


@pytest.mark.parametrize(
    ("days", "expected"),
    [(0, (None, "")), (1, (1.0, "yes")), (4, (1.0, "yes")), (5, (0.0, "no")), (90, (0.0, "no"))],
)
async def test_learned_as_of_an_instant_knows_what_was_known_then(
    diary: Diary, days: int, expected: tuple[float | None, str]
) -> None:
    made = diary.decision()
    corrected = diary.outcome(made, 0.0, 2 * DAY, recorded_at=NOW + 5 * DAY)
    await diary.write([made], [diary.outcome(made, 1.0, DAY), corrected])
    assert await diary.standing(NOW + days * DAY) == [expected]


async def test_learned_without_an_instant_is_as_of_now(diary: Diary) -> None:
    made = diary.decision()
    await diary.write([made], [diary.outcome(made, 1.0, DAY)])
    of = Range(NOW - DAY, NOW + DAY, book_id=diary.book_id)
    assert [each.value async for page in diary.log.learned(of, "approved") for each in page] == [None]
    diary.clock.advance(DAY)
    assert [each.value async for page in diary.log.learned(of, "approved") for each in page] == [1.0]


async def test_outcomes_of_other_names_do_not_answer(diary: Diary) -> None:
    made = diary.decision()
    await diary.write(
        [made], [diary.outcome(made, 1.0, 9 * DAY, name="fraud"), diary.outcome(made, 0.0, DAY)]
    )
    assert await diary.standing() == [(0.0, "no")]


# Reading


async def test_lineage_is_everything_decided_about_a_payment_oldest_first(diary: Diary) -> None:
    subject = diary.ids.uuid()
    first = diary.decision(subject_id=subject, kind="risk")
    diary.clock.advance(timedelta(seconds=1))
    second, third = (diary.decision(subject_id=subject) for _ in range(2))
    other = diary.decision()
    no = diary.outcome(second, 0.0, DAY)
    yes = diary.outcome(second, 1.0, 2 * DAY, source="inquiry")
    await diary.write([third, other, second, first], [yes, no, diary.outcome(other, 1.0, DAY)])
    found = await diary.log.lineage(diary.book_id, subject)
    assert [each.decision for each in found] == [first, second, third]
    assert [each.outcomes for each in found] == [(), (no, yes), ()]
    assert await diary.log.lineage(diary.book_id + 1, subject) == []


async def test_learned_walks_all_books_and_months_in_pages(
    diary: Diary, ids: IdFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "PAGE_MAX", 7)
    await diary.log.prepare()
    policy = f"routing/{diary.book_id}"
    books = [ids.int63() for _ in range(3)]
    made = []
    for _ in range(20):
        # Over the edges of five months, of which one has no partition of its own.
        diary.clock.advance(timedelta(days=8))
        made += [diary.decision(book_id=book, policy=policy, live=book != books[2]) for book in books]
    shuffled = random.Random(3).sample(made, len(made))
    await diary.write(shuffled, [diary.outcome(each, float(place), DAY) for place, each in enumerate(made)])
    everything = Range(NOW, NOW + 200 * DAY, policy=policy)
    pages = [page async for page in diary.log.learned(everything, "approved", NOW + 300 * DAY)]
    assert [len(page) for page in pages] == [7] * 8 + [4]
    assert [(each.decision.id, each.value) for page in pages for each in page] == [
        (each.id, float(place)) for place, each in enumerate(made)
    ]
    async with diary.database.connection() as connection:
        parts = await connection.fetch(
            "SELECT DISTINCT tableoid::regclass::text AS name FROM decisions.decision WHERE policy = $1",
            policy,
        )
    assert len({row["name"] for row in parts}) >= 4


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"from_at": NOW + 2 * DAY}, [2, 3]),
        ({"to_at": NOW + 2 * DAY}, [0, 1]),
        ({"from_at": NOW + 2 * DAY, "to_at": NOW + 2 * DAY}, []),
        ({"live": True}, [0, 2]),
        ({"live": False}, [1, 3]),
        ({"policy": "other"}, [3]),
        ({"book_id": 1}, []),
    ],
)
async def test_range_says_which_decisions_half_open(
    diary: Diary, fields: dict[str, Any], expected: list[int]
) -> None:
    made = []
    for number in range(4):
        policy = "other" if number == 3 else "routing"
        made.append(diary.decision(live=number % 2 == 0, policy=policy))
        diary.clock.advance(DAY)
    await diary.write(made)
    found = await diary.learned(**fields)
    assert [made.index(each.decision) for each in found] == expected


# Partitions


async def test_prepare_by_many_processes_at_once_makes_each_month_once(dsn: str) -> None:
    """Whoever is first makes a month; nobody fails."""
    # Far from what other tests prepared.
    at = datetime(2031, 5, 20, tzinfo=UTC)
    async with Database(dsn, pool_size=2) as first, Database(dsn, pool_size=2) as second:
        for _ in range(3):
            each = [DecisionLog(database, FrozenClock(at)) for database in (first, second, first)]
            await asyncio.gather(*(log.prepare() for log in each))
            async with first.connection() as connection:
                names = await connection.fetch(
                    "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
                    " WHERE inhparent = ANY (ARRAY['decisions.decision'::regclass, 'decisions.outcome'::regclass])"
                )
            made = {row["name"] for row in names}
            for table in (store.DECISIONS, store.OUTCOMES):
                for month in range(logs.MONTHS_AHEAD + 1):
                    year, number = at.year + (at.month + month - 1) // 12, (at.month + month - 1) % 12 + 1
                    assert f"decisions.{table.table}_{year}_{number:02d}" in made
            at += timedelta(days=140)


async def test_decision_with_an_id_of_an_odd_month_is_kept_all_the_same(diary: Diary) -> None:
    made = diary.decision(id=UUID(int=(1 << 127) | 5))
    await diary.write([made], [diary.outcome(made, 1.0, DAY)])
    traced = await diary.log.decision(diary.book_id, made.id)
    assert (traced.decision, traced.outcomes[0].value) == (made, 1.0)
