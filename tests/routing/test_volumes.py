"""Volumes of the day and the month: what the tallies say, and what this process has under way."""

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from tests.conftest import utc

from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.errors import Unavailable
from tongbao.routing.policy import caps
from tongbao.routing.schema.payments import Payment
from tongbao.routing.schema.spec import Cap
from tongbao.routing.schema.volumes import Used, no_rates
from tongbao.routing.service import volumes
from tongbao.routing.service.volumes import (
    LAG_S,
    REFRESH_S,
    SENT_S_MAX,
    SETTLED_READ_S,
    Volumes,
    month_left_share,
)
from tongbao.routing.store import volumes as store

NOW = utc(2026, 11, 22, 12, 30)
LAG = timedelta(seconds=LAG_S)


@pytest.fixture
async def empty(database: Database) -> Database:
    async with database.connection() as connection:
        await connection.execute("DELETE FROM routing.tally")
    return database


async def tally(database: Database, at: datetime, minor: int, count: int = 1, **fields: object) -> None:
    values: dict[str, object] = {
        "book_id": 7,
        "live": True,
        "channel": "a",
        "currency": "EUR",
        "mark": "approved",
    }
    values |= fields
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO routing.tally (book_id, minute_at, channel, method, issuer, currency, mark, code, live, count,"
            " amount_minor, took_ms) VALUES ($1, $2, $3, 'card', 'x', $4, $5, '', $6, $7, $8, 0)"
            " ON CONFLICT (book_id, minute_at, live, channel, method, issuer, currency, mark, code)"
            " DO UPDATE SET count = routing.tally.count + $7, amount_minor = routing.tally.amount_minor + $8",
            *(values[name] for name in ("book_id",)),
            at,
            *(values[name] for name in ("channel", "currency", "mark", "live")),
            count,
            minor,
        )


def payment(amount_minor: int = 10, *, currency: str = "EUR", live: bool = True) -> Payment:
    return Payment(
        book_id=7,
        live=live,
        subject_id=UUID(int=9),
        amount_minor=amount_minor,
        currency=currency,
        method="card",
    )


def used(minor: int, count: int, month: int | None = None) -> Used:
    return Used(
        day_minor={"EUR": minor}, month_minor={"EUR": minor if month is None else month}, day_count=count
    )


async def test_volumes_sum_approved_attempts_of_the_day_and_the_month_across_books(empty: Database) -> None:
    await tally(empty, utc(2026, 11, 22, 12, 29), 5)
    await tally(empty, utc(2026, 11, 22, 0, 0), 7, 2, book_id=8)
    await tally(empty, utc(2026, 11, 21, 23, 59), 11)
    await tally(empty, utc(2026, 11, 1, 0, 0), 13)
    await tally(empty, utc(2026, 10, 31, 23, 59), 1_000)
    await tally(empty, NOW, 1_000, mark="issuer_declined")
    await tally(empty, NOW, 3, currency="JPY")
    await tally(empty, NOW, 900, live=False)
    await tally(empty, NOW, 800, channel="b")
    known = Volumes(empty, FrozenClock(NOW))
    assert known.read_at is None
    await known.refresh()
    assert known.read_at == NOW
    assert known.used(True, "a") == Used(
        day_minor={"EUR": 12, "JPY": 3}, month_minor={"EUR": 36, "JPY": 3}, day_count=4
    )
    assert known.used(False, "a") == used(900, 1)
    assert known.used(True, "b") == used(800, 1)
    assert known.used(True, "c") == Used()


async def test_refresh_sees_recent_minutes_at_once_and_settled_ones_when_they_are_read_again(
    empty: Database,
) -> None:
    clock = FrozenClock(NOW)
    known = Volumes(empty, clock)
    await tally(empty, utc(2026, 11, 22, 8), 100)
    await known.refresh()
    await tally(empty, utc(2026, 11, 22, 8), 1)  # a correction of the morning
    await tally(empty, NOW, 5)
    clock.advance(timedelta(seconds=REFRESH_S))
    await known.refresh()
    assert known.used(True, "a").day_minor == {"EUR": 105}
    clock.advance(timedelta(seconds=SETTLED_READ_S))
    await known.refresh()
    assert known.used(True, "a") == used(106, 3)


async def test_every_minute_is_counted_once_however_time_goes_on(empty: Database) -> None:
    clock = FrozenClock(NOW)
    known = Volumes(empty, clock)
    for step in range(40):
        await tally(empty, clock.now().replace(second=0), 1)
        await known.refresh()
        assert known.used(True, "a").month_minor == {"EUR": step + 1}
        clock.advance(timedelta(seconds=97))


async def test_sent_payments_count_until_they_are_declined(empty: Database) -> None:
    known = Volumes(empty, FrozenClock(NOW))
    known.sent(UUID(int=1), "a", payment(10))
    known.sent(UUID(int=1), "a", payment(10))
    known.sent(UUID(int=2), "a", payment(5, currency="JPY"))
    known.sent(UUID(int=3), "a", payment(900, live=False))
    assert known.used(True, "a").day_minor == {"EUR": 10, "JPY": 5}
    assert known.used(True, "a").day_count == 2
    known.ended(UUID(int=2), False)
    assert known.used(True, "a").day_minor == {"EUR": 10, "JPY": 0}
    known.ended(UUID(int=1), False)
    known.ended(UUID(int=1), False)
    known.ended(UUID(int=77), True)
    assert known.used(True, "a") == Used()
    assert known.used(False, "a") == used(900, 1)


async def test_approved_payment_is_never_missing_between_sending_and_tally(empty: Database) -> None:
    clock = FrozenClock(NOW)
    known = Volumes(empty, clock)
    known.sent(UUID(int=1), "a", payment(10))
    await known.refresh()
    known.ended(UUID(int=1), True)
    await known.refresh()
    assert known.used(True, "a") == used(10, 1)  # the tallies do not have it yet
    await tally(empty, NOW, 10)
    clock.advance(LAG - timedelta(seconds=1))
    await known.refresh()
    assert known.used(True, "a") == used(20, 2)  # twice for a moment: on the safe side
    clock.advance(timedelta(seconds=1))
    await known.refresh()
    assert known.used(True, "a") == used(10, 1)


async def test_unended_payment_is_forgotten_in_the_end(empty: Database) -> None:
    clock = FrozenClock(NOW)
    known = Volumes(empty, clock)
    known.sent(UUID(int=1), "a", payment(10))
    clock.advance(timedelta(seconds=SENT_S_MAX - 1))
    await known.refresh()
    assert known.used(True, "a") == used(10, 1)
    clock.advance(timedelta(seconds=1))
    await known.refresh()
    assert known.used(True, "a") == Used()


async def test_sent_beyond_the_limit_forgets_the_oldest(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumes, "SENT_MAX", 3)
    known = Volumes(empty, FrozenClock(NOW))
    for number in range(5):
        known.sent(UUID(int=number), "a", payment(10**number))
    assert known.used(True, "a") == used(11_100, 3)


async def test_cap_is_not_passed_by_one_process_between_two_reads(empty: Database) -> None:
    await tally(empty, NOW, 400)
    known = Volumes(empty, FrozenClock(NOW))
    await known.refresh()
    cap, sent = Cap(currency="EUR", day_minor_max=1_000), 0
    for number in range(100):
        if caps.passed(cap, payment(70), known.used(True, "a"), no_rates) is None:
            known.sent(UUID(int=number), "a", payment(70))
            sent += 1
    assert sent == 8  # 400 + 560; the next one would make 1,030


async def test_day_and_month_begin_anew_before_the_next_read(empty: Database) -> None:
    clock = FrozenClock(utc(2026, 11, 29, 23, 59))
    known = Volumes(empty, clock)
    await tally(empty, clock.now(), 50)
    await known.refresh()
    clock.set(utc(2026, 11, 30, 0, 0))
    assert known.used(True, "a") == Used(month_minor={"EUR": 50})
    await known.refresh()
    assert known.used(True, "a") == Used(day_minor={"EUR": 0}, month_minor={"EUR": 50})
    clock.set(utc(2026, 12, 1, 0, 0))
    assert known.used(True, "a") == Used()
    await known.refresh()
    assert known.used(True, "a") == Used()


async def test_refresh_without_a_database_keeps_what_was_known(dsn: str, empty: Database) -> None:
    await tally(empty, NOW, 50)
    async with Database(dsn, pool_size=1) as away:
        known = Volumes(away, FrozenClock(NOW))
        await known.refresh()
    with pytest.raises(Unavailable):
        await known.refresh()
    assert known.used(True, "a") == used(50, 1)


async def test_sums_use_the_index_on_minutes(dsn: str, empty: Database) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "INSERT INTO routing.tally SELECT 7, timestamptz '2026-10-01' + n * interval '1 minute', 'a', 'card', 'x',"
            " 'EUR', 'approved', '', true, 1, 1, 0 FROM generate_series(1, 70000) AS n"
        )
        await connection.execute("ANALYZE routing.tally")
        plan = await connection.fetch(
            "EXPLAIN " + store._SUMS.replace("$1", "timestamptz '2026-11-18 12:00'")
            .replace("$2", "timestamptz '9999-01-01'").replace("$3", "timestamptz '2026-11-18'").replace("$4", "10")
        )  # fmt: skip
    finally:
        await connection.close()
    assert "tally_minute" in "\n".join(line[0] for line in plan)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (utc(2026, 11, 1), 1.0),
        (utc(2026, 11, 16), 0.5),
        (utc(2026, 2, 15), 0.5),
        (utc(2028, 2, 29), 1 / 29),
        (utc(2026, 12, 31, 12), 0.5 / 31),
    ],
)
def test_month_left_share_counts_the_days_of_that_month(now: datetime, expected: float) -> None:
    assert month_left_share(now) == pytest.approx(expected)
