"""Health on a real database: rates, codes, series and pages are those of the tallies; bad questions are refused."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pytest
from tests.routing.planted import Plant, World

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, LimitExceeded, NotFound
from tongbao.core.ids import IdFactory
from tongbao.routing.schema.health import (
    ISSUERS_MAX,
    OTHER_ISSUERS,
    Cell,
    Dimension,
    Fault,
    HealthScope,
    Period,
    Step,
    Verdict,
)
from tongbao.routing.schema.notices import Notice, NoticeKind
from tongbao.routing.service.health import Health
from tongbao.routing.store import notices, tallies
from tongbao.routing.store.tallies import Key, Sums

NOW = datetime(2026, 3, 10, tzinfo=UTC)
DAY = timedelta(days=1)
TODAY = Period(NOW - DAY, NOW)
BOOK = HealthScope(live=True, book_id=1)
ALL = HealthScope(live=True)


@pytest.fixture
async def health(database: Database) -> AsyncIterator[Health]:
    yield Health(database, FrozenClock(NOW + timedelta(seconds=30)))
    async with database.transaction() as connection:
        await connection.execute("TRUNCATE routing.tally, routing.notice")


async def fill(
    database: Database, cells: Sequence[Cell], at: datetime, *, book_id: int = 1, live: bool = True
) -> None:
    """Store cells as tallies of one minute."""
    async with database.transaction() as connection:
        await tallies.add(
            connection,
            [
                (
                    Key(book_id, at, live, c.channel, c.method, c.issuer, c.currency, c.mark, c.code),
                    Sums(c.count, c.amount_minor, c.took_ms),
                )
                for c in cells
            ],
        )


def cell(channel: str, mark: str, count: int, code: str = "", issuer: str = "icbc") -> Cell:
    return Cell(channel, "card", issuer, "CNY", mark, code, count, count * 100, count * 10)


async def test_rates_by_channel_tell_approval_from_completion(health: Health, database: Database) -> None:
    hour = NOW - timedelta(hours=1)
    mixed = [
        cell("a", "approved", 80),
        cell("a", "issuer_declined", 10, "do_not_honor"),
        cell("a", "technical", 5, "channel_error"),
        cell("a", "unresolved", 5, "network_timeout"),
        cell("a", "neutral", 100, "insufficient_funds"),
        cell("b", "neutral", 3, "cvc_incorrect"),
    ]
    await fill(database, mixed, hour)
    await fill(database, [cell("a", "approved", 1_000)], hour, book_id=2)
    await fill(database, [cell("a", "approved", 1_000)], hour, live=False)
    await fill(database, [cell("a", "approved", 1_000)], NOW)
    first, second = await health.rates(BOOK, TODAY)
    assert (first.segment, first.counts.judged, first.counts.total) == ({Dimension.CHANNEL: "a"}, 100, 200)
    assert first.approval is not None
    assert first.completion is not None
    assert (first.approval.value, first.completion.value, first.took_ms) == (0.8, 0.4, 10.0)
    # Wilson's interval of 80 in 100.
    assert first.approval.low == pytest.approx(0.7112, abs=1e-4)
    assert first.approval.high == pytest.approx(0.8666, abs=1e-4)
    assert (second.segment, second.approval, second.counts.neutral) == ({Dimension.CHANNEL: "b"}, None, 3)
    (every,) = await health.rates(ALL, TODAY, ())
    assert (every.segment, every.counts.total) == ({}, 1_203)


async def test_rates_by_two_dimensions_name_both(health: Health, database: Database) -> None:
    await fill(
        database, [cell("a", "approved", 2), cell("a", "approved", 1, issuer="ccb")], NOW - timedelta(hours=1)
    )
    rows = await health.rates(BOOK, TODAY, (Dimension.ISSUER, Dimension.CHANNEL))
    assert [(row.segment[Dimension.CHANNEL], row.segment[Dimension.ISSUER]) for row in rows] == [
        ("a", "icbc"),
        ("a", "ccb"),
    ]


async def test_codes_are_shares_of_all_attempts_of_their_segment(health: Health, database: Database) -> None:
    await fill(
        database,
        [cell("a", "approved", 6), cell("a", "technical", 4, "channel_error"), cell("b", "approved", 90)],
        NOW - timedelta(hours=1),
    )
    (row,) = await health.codes(BOOK, TODAY, (Dimension.CHANNEL,))
    assert (row.code, row.mark, row.count, row.share.value) == ("channel_error", "technical", 4, 0.4)
    (row,) = await health.codes(BOOK, TODAY)
    assert row.share.value == 0.04


async def test_series_by_hour_begins_each_point_on_the_hour(health: Health, database: Database) -> None:
    for minutes in (61, 119, 121):
        await fill(database, [cell("a", "approved", minutes)], NOW - timedelta(minutes=minutes))
    points = await health.series(BOOK, TODAY, Step.HOUR)
    assert [(point.at, point.counts.approved) for point in points] == [
        (NOW - timedelta(hours=3), 121),
        (NOW - timedelta(hours=2), 180),
    ]
    assert len(await health.series(BOOK, TODAY, Step.MINUTE)) == 3
    (day,) = await health.series(BOOK, TODAY, Step.DAY, (Dimension.CHANNEL,))
    assert (day.at, day.counts.total) == (NOW - DAY, 301)


async def test_doctor_finds_what_broke_between_two_days(health: Health, database: Database) -> None:
    world = World(np.random.default_rng(1))
    await fill(database, world.table(20_000), NOW - DAY - timedelta(hours=5))
    plant = Plant(Fault.TECHNICAL, {Dimension.CHANNEL: "cybs"}, 0.3)
    await fill(database, world.table(20_000, (plant,)), NOW - timedelta(hours=5))
    found = await health.doctor(BOOK)
    assert found.verdict is Verdict.FELL
    assert [(cause.fault, cause.segment) for cause in found.causes] == [(plant.fault, plant.segment)]
    assert await health.doctor(ALL, TODAY, Period(NOW - 2 * DAY, NOW - DAY)) == found
    assert (await health.doctor(HealthScope(live=False))).verdict is Verdict.TOO_FEW


async def test_doctor_takes_issuers_beyond_the_busiest_together(health: Health, database: Database) -> None:
    for at in (NOW - DAY - timedelta(hours=1), NOW - timedelta(hours=1)):
        await fill(database, [cell("a", "approved", 500 - i, issuer=f"b{i:03}") for i in range(130)], at)
    found = await health.doctor(BOOK)
    issuers = {
        effect.segment[Dimension.ISSUER]
        for effect in found.effects
        if set(effect.segment) == {Dimension.ISSUER}
    }
    assert len(issuers) == ISSUERS_MAX + 1
    assert OTHER_ISSUERS in issuers
    assert found.current.total == sum(500 - i for i in range(130))


@pytest.mark.parametrize(
    "period",
    [
        Period(NOW, NOW),
        Period(NOW, NOW - DAY),
        Period(NOW, NOW + timedelta(seconds=59)),
        Period(NOW - 401 * DAY, NOW),
        Period(datetime(2026, 1, 1), datetime(2026, 1, 2)),  # noqa: DTZ001  # what is refused
    ],
)
async def test_period_that_is_none_is_refused(health: Health, period: Period) -> None:
    for asked in (health.rates(BOOK, period), health.doctor(BOOK, period)):
        with pytest.raises(InvalidRequest) as refused:
            await asked
        assert refused.value.code == "health_period_invalid"


async def test_overlap_of_period_and_baseline_is_refused(health: Health) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await health.doctor(BOOK, TODAY, Period(NOW - 2 * DAY, NOW - timedelta(hours=23)))
    assert refused.value.code == "health_period_invalid"


async def test_dimension_that_is_an_outcome_is_refused(health: Health) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await health.rates(BOOK, TODAY, (Dimension.CODE,))
    assert refused.value.code == "health_dimension_invalid"


async def test_series_with_too_many_points_is_refused(health: Health) -> None:
    with pytest.raises(LimitExceeded) as refused:
        await health.series(BOOK, Period(NOW - 3 * DAY, NOW), Step.MINUTE)
    assert refused.value.code == "health_rows_too_many"


async def test_rates_with_too_many_rows_are_refused(health: Health, database: Database) -> None:
    await fill(
        database, [cell("a", "approved", 1, issuer=f"b{i}") for i in range(5_001)], NOW - timedelta(hours=1)
    )
    with pytest.raises(LimitExceeded) as refused:
        await health.rates(BOOK, TODAY, (Dimension.ISSUER,))
    assert refused.value.code == "health_rows_too_many"


async def test_notices_are_paged_newest_first_and_by_channel(
    health: Health, database: Database, ids: IdFactory
) -> None:
    made = [
        Notice(
            id=ids.uuid(),
            at=NOW + timedelta(minutes=number // 2),
            kind=NoticeKind.OPENED,
            channel="ab"[number % 2],
            live=True,
            facts={"rate": 0.5},
        )
        for number in range(5)
    ]
    async with database.transaction() as connection:
        await notices.insert(connection, [*made, *made[:2]])
        await notices.insert(connection, made)
        await notices.insert(connection, [])
    page = await health.notices(live=True, limit=2)
    assert (page.items, page.has_more) == (made[:2:-1], True)
    page = await health.notices(live=True, limit=3, after=page.items[-1].id)
    assert (page.items, page.has_more) == (made[2::-1], False)
    page = await health.notices(live=True, channel="b")
    assert page.items == [made[3], made[1]]
    assert (await health.notices(live=False)).items == []
    with pytest.raises(NotFound) as missing:
        await health.notices(live=True, after=uuid4())
    assert missing.value.code == "notice_not_found"
