"""Announced holidays: who may enter them, what is refused, and what calendars and dates of payment become by them."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.clearing.policy.announced_years import changes, year_of
from tongbao.clearing.policy.announcements import check, wants_planning, with_announced
from tongbao.clearing.policy.calendars import (
    CALENDARS,
    Known,
    add_working_days,
    of_codes,
    provisional,
    unannounced,
    working_day,
)
from tongbao.clearing.policy.cycles import cut_of, paid_on
from tongbao.clearing.schema.agreements import Agreement, Cycle
from tongbao.clearing.schema.announcements import (
    AnnouncedHoliday,
    Announcement,
    AnnouncementOrder,
    AnnouncementState,
    Replanned,
    YearState,
)
from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.clearing.schema.movements import Movement, MovementKind
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.service.announcements import Announcements
from tongbao.clearing.service.trail import Trail
from tongbao.clearing.store import batches, movements
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import AppError, Conflict, NotFound, NotPermitted
from tongbao.core.ids import IdFactory
from tongbao.core.trails import Wanted

# Invented, of the form of every year: three bridges, paid for by four days of weekends.
ORDER = AnnouncementOrder(
    calendar="CN",
    year=2027,
    source="an announcement made for tests",
    holidays=(
        AnnouncedHoliday("元旦 New Year", date(2027, 1, 1), date(2027, 1, 3)),
        AnnouncedHoliday("春节 Spring Festival", date(2027, 2, 5), date(2027, 2, 12)),
        AnnouncedHoliday("清明节 Qingming", date(2027, 4, 3), date(2027, 4, 5)),
        AnnouncedHoliday("劳动节 Labor Day", date(2027, 5, 1), date(2027, 5, 5)),
        AnnouncedHoliday("端午节 Dragon Boat Festival", date(2027, 6, 9), date(2027, 6, 9)),
        AnnouncedHoliday("中秋节 Mid-Autumn Festival", date(2027, 9, 15), date(2027, 9, 15)),
        AnnouncedHoliday("国庆节 National Day", date(2027, 10, 1), date(2027, 10, 7)),
    ),
    workdays=(date(2027, 1, 30), date(2027, 2, 14), date(2027, 5, 8), date(2027, 10, 9)),
)
T1 = Agreement(cycle=Cycle.T, days=1, cuts=(time(0),), zone="Asia/Shanghai", calendars=("CN",))


def changed(**fields: Any) -> AnnouncementOrder:
    return msgspec.structs.replace(ORDER, **fields)


def test_announced_year_is_no_longer_provisional_and_counts_its_swaps() -> None:
    china = of_codes(("CN",), with_announced((ORDER,)))
    assert provisional(of_codes(("CN",)), date(2027, 2, 10))
    assert not provisional(china, date(2027, 2, 10))
    assert not working_day(china, date(2027, 2, 12))
    assert working_day(china, date(2027, 2, 14))
    assert add_working_days(china, date(2027, 2, 4), 1).on == date(2027, 2, 14)
    assert unannounced(china, date(2027, 1, 1), date(2028, 1, 1)) == ()
    assert unannounced(china, date(2027, 12, 31), date(2028, 1, 2)) == (("CN", 2028),)
    assert unannounced(china, date(2028, 1, 2), date(2028, 1, 2)) == ()
    assert ORDER.source in china[0].source


@given(on=st.dates(date(2024, 1, 1), date(2032, 12, 31)))
def test_announcement_changes_no_day_of_another_year_or_calendar(on: date) -> None:
    known = with_announced((ORDER,))
    for code in CALENDARS:
        if code != "CN" or on.year != 2027:
            assert working_day(of_codes((code,), known), on) == working_day(of_codes((code,)), on)


def test_holiday_may_begin_in_the_last_days_of_the_year_before() -> None:
    early = AnnouncedHoliday("元旦 New Year", date(2026, 12, 31), date(2027, 1, 3))
    order = changed(holidays=(early, *ORDER.holidays[1:]))
    check(order)
    china = of_codes(("CN",), with_announced((order,)))
    assert not working_day(china, date(2026, 12, 31))
    assert working_day(china, date(2026, 12, 30))


@pytest.mark.parametrize(
    ("code", "year", "state", "count"),
    [
        ("CN", 2026, YearState.STATUTORY, 33),
        ("CN", 2027, YearState.PROVISIONAL, 13),
        ("TARGET", 2027, YearState.STATUTORY, 6),
        ("US", 2061, YearState.PROVISIONAL, 0),
    ],
)
def test_year_that_nobody_entered_is_statutory_or_provisional(
    code: str, year: int, state: YearState, count: int
) -> None:
    found = year_of(CALENDARS, code, year, None)
    assert (found.state, found.by) == (state, None)
    assert sum((each.last - each.first).days + 1 for each in found.holidays) == count
    assert len({each.name for each in found.holidays}) == len(found.holidays)


def test_changes_of_an_announcement_are_the_days_that_come_to_count_otherwise() -> None:
    found = changes("CN", 2027, CALENDARS, with_announced((ORDER,)))
    assert [each.on for each in found if not each.is_free] == list(ORDER.workdays)
    free = {each.on: each.name for each in found if each.is_free}
    assert free[date(2027, 2, 9)] == "春节 Spring Festival"
    # Free before and after it, by the statute or as a weekend.
    assert not {date(2027, 2, 5), date(2027, 1, 2)} & free.keys()
    back = changes("CN", 2027, with_announced((ORDER,)), CALENDARS)
    assert [(each.on, not each.is_free) for each in back] == [(each.on, each.is_free) for each in found]
    assert changes("US", 2027, CALENDARS, with_announced((ORDER,))) == ()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"calendar": "MARS"}, "calendar_unknown"),
        ({"year": 1999}, "announcement_year_invalid"),
        ({"source": " "}, "source_invalid"),
        ({"holidays": (AnnouncedHoliday("", date(2027, 1, 1), date(2027, 1, 1)),)}, "name_invalid"),
        ({"holidays": ()}, "announcement_days_invalid"),
        (
            {"holidays": (AnnouncedHoliday("x", date(2027, 1, 2), date(2027, 1, 1)),)},
            "announcement_days_invalid",
        ),
        (
            {"holidays": (AnnouncedHoliday("x", date(2026, 1, 1), date(2026, 1, 2)),)},
            "announcement_days_invalid",
        ),
        (
            {"holidays": (AnnouncedHoliday("x", date(2027, 1, 1), date(2027, 12, 31)),)},
            "announcement_days_invalid",
        ),
        ({"workdays": (date(2028, 1, 8),)}, "announcement_days_invalid"),
        ({"holidays": (*ORDER.holidays, ORDER.holidays[0])}, "announcement_day_twice"),
        ({"workdays": (date(2027, 1, 30),) * 2}, "announcement_day_twice"),
        ({"workdays": (date(2027, 2, 1),)}, "announcement_workday_invalid"),
        ({"workdays": (date(2027, 2, 6),)}, "announcement_workday_invalid"),
        ({"holidays": ORDER.holidays[1:]}, "announcement_incomplete"),
    ],
)
def test_announcement_that_cannot_be_right_is_refused(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(AppError) as refused:
        check(changed(**fields))
    assert refused.value.code == code


class Desk:
    """Announcements over a database, at an instant before what is announced, for one merchant."""

    def __init__(self, database: Database, ids: IdFactory, book_id: int) -> None:
        self.database = database
        self.ids = ids
        self.book_id = book_id
        self.clock = FrozenClock(datetime(2027, 1, 20, 4, tzinfo=UTC))
        self.agreements = Agreements(database, self.clock)
        self.desk = Announcements(database, self.clock, ids, self.agreements, _always_open)

    async def agree(self, agreement: Agreement = T1) -> None:
        """Agree on something from now on, and go on a little."""
        await self.agreements.make(self.book_id, "CNY", agreement, actor="mei", note="for a test")
        self.clock.advance(timedelta(hours=1))

    async def in_force(self, order: AnnouncementOrder = ORDER) -> Announcement:
        """Put an announcement in force by two people."""
        made = await self.desk.propose(order, actor="mei")
        return await self.desk.approve(made.id, actor="li", note="read beside the original")

    async def known(self) -> Known:
        """The calendars that are known now."""
        async with self.database.connection() as connection:
            return await self.agreements.days.learn(connection)

    async def sold(self, at: datetime, kind: MovementKind = MovementKind.SALE) -> UUID:
        """Record a movement where it belongs by what is known."""
        async with self.database.transaction() as connection:
            terms = await self.agreements.terms(connection, (self.book_id,))
            cut = cut_of(terms.at(self.book_id, "CNY", at).agreement, at, terms.known)
            made = Movement(
                id=self.ids.uuid(),
                book_id=self.book_id,
                live=False,
                kind=kind,
                transfer_key=self.ids.uuid(),
                source_id=self.ids.uuid(),
                intent_id=self.ids.uuid(),
                channel="one",
                method="card",
                currency="CNY",
                amount_minor=100,
                reference="r",
                channel_reference=None,
                occurred_at=at,
                recorded_at=at,
                cut_at=cut.cut_at,
                payout_on=cut.payout_on,
            )
            await movements.write(connection, [made])
        return made.id

    async def batch(self, cut_at: datetime, state: BatchState, payout_id: UUID | None = None) -> Batch:
        """Make a batch of a cut, with its date by what is known."""
        async with self.database.transaction() as connection:
            terms = await self.agreements.terms(connection, (self.book_id,))
            cut = paid_on(terms.at(self.book_id, "CNY", cut_at).agreement, cut_at, terms.known)
            made = Batch(
                id=self.ids.uuid(),
                book_id=self.book_id,
                live=False,
                currency="CNY",
                cut_at=cut_at,
                payout_on=cut.payout_on,
                is_provisional=cut.is_provisional,
                state=state,
                payout_id=payout_id,
                created_at=cut_at,
                updated_at=cut_at,
            )
            await batches.insert(connection, made)
        return made

    async def again(self, batch: Batch) -> Batch:
        """The batch as it stands."""
        async with self.database.connection() as connection:
            found = await batches.one(connection, self.book_id, batch.id)
        assert found is not None
        return found

    async def dates(self, movement_id: UUID) -> tuple[datetime, date]:
        """Cut and date of payment of a movement as they stand."""
        async with self.database.connection() as connection:
            row = await connection.fetchrow(
                "SELECT cut_at, payout_on FROM clearing.movement WHERE book_id = $1 AND id = $2",
                self.book_id,
                movement_id,
            )
        return row["cut_at"], row["payout_on"]


async def _always_open(_connection: Connection) -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC)


def local(month: int, day: int, hour: int = 0) -> datetime:
    """An instant of 2027 in Shanghai."""
    return datetime(2027, month, day, hour, tzinfo=ZoneInfo("Asia/Shanghai")).astimezone(UTC)


@pytest.fixture
async def opened(database: Database, ids: IdFactory) -> AsyncIterator[Desk]:
    yield Desk(database, ids, ids.int63())
    async with database.transaction() as connection:
        await connection.execute(
            "TRUNCATE clearing.announcement, clearing.announcement_act, clearing.movement, clearing.batch"
        )


async def test_announcement_takes_two_people_and_stands_in_the_trail(opened: Desk) -> None:
    desk = opened.desk
    made = await desk.propose(ORDER, actor="mei")
    assert await desk.propose(ORDER, actor="bo") == made
    with pytest.raises(NotPermitted, match="four_eyes"):
        await desk.approve(made.id, actor="mei")
    done = await desk.approve(made.id, actor="li", note="seen")
    assert (done.state, done.proposed_by) == (AnnouncementState.IN_FORCE, "mei")
    assert await desk.approve(made.id, actor="li") == done
    assert await desk.propose(ORDER, actor="bo") == done
    with pytest.raises(Conflict, match="announcement_state"):
        await desk.decline(made.id, actor="li")
    lines = await Trail(opened.database).lines(Wanted())
    assert sorted((each.act, each.actor) for each in lines if "announcement" in each.key) == [
        ("announcement_in_force", "li"),
        ("announcement_proposed", "mei"),
    ]
    with pytest.raises(NotFound, match="announcement_unknown"):
        await desk.get(opened.ids.uuid())


async def test_declined_announcement_changes_nothing_and_may_be_entered_again(opened: Desk) -> None:
    made = await opened.desk.propose(ORDER, actor="mei")
    await opened.desk.decline(made.id, actor="mei", note="a typing error")
    assert await opened.desk.plan(made.id) == Replanned()
    assert await opened.known() == CALENDARS
    assert (await opened.desk.propose(ORDER, actor="mei")).id != made.id
    assert len(await opened.desk.page(calendar="CN", year=2027)) == 2
    assert await opened.desk.page(calendar="US") == []


async def test_later_announcement_of_a_year_corrects_the_one_before(opened: Desk) -> None:
    await opened.in_force()
    opened.clock.advance(timedelta(minutes=1))
    await opened.in_force(changed(workdays=ORDER.workdays[:1], source="corrected"))
    china = of_codes(("CN",), await opened.known())
    assert not working_day(china, date(2027, 5, 8))
    assert working_day(china, date(2027, 1, 30))


async def test_years_are_told_as_they_count_now(opened: Desk) -> None:
    desk = opened.desk
    assert await desk.changes(ORDER) == changes("CN", 2027, CALENDARS, with_announced((ORDER,)))
    made = await opened.in_force()
    found = {(each.calendar, each.year): each for each in await desk.years(2026, 2028)}
    assert [*found] == [(code, year) for code in ("CN", "TARGET", "US") for year in (2026, 2027)]
    assert found["CN", 2027].state is YearState.ANNOUNCED
    assert found["CN", 2027].by == made
    assert found["CN", 2026].state is YearState.STATUTORY
    assert await desk.year("CN", 2027) == found["CN", 2027]
    assert await desk.changes(ORDER) == ()
    assert [each.year for each in await desk.years(2099, 2200)] == [2099, 2100] * 3
    for calendar, year in (("MARS", 2027), ("CN", 1999)):
        with pytest.raises(NotFound, match="calendar_year_unknown"):
            await desk.year(calendar, year)


async def test_waiting_movements_get_the_cuts_and_dates_of_the_announcement(opened: Desk) -> None:
    await opened.agree()
    saturday, freed = await opened.sold(local(1, 30, 10)), await opened.sold(local(2, 11, 10))
    untouched = await opened.sold(local(3, 2, 10))
    refund = await opened.sold(local(2, 11, 11), MovementKind.REFUND)
    assert await opened.dates(saturday) == (local(2, 2), date(2027, 2, 2))
    assert await opened.dates(freed) == (local(2, 12), date(2027, 2, 12))
    before = await opened.dates(untouched)
    made = await opened.in_force()
    assert await opened.desk.plan(made.id) == Replanned(3, 0)
    # The Saturday is worked now, and closes with its own midnight; the Thursday is free up to the worked Sunday.
    assert await opened.dates(saturday) == (local(1, 31), date(2027, 2, 1))
    assert await opened.dates(freed) == await opened.dates(refund) == (local(2, 15), date(2027, 2, 15))
    assert await opened.dates(untouched) == before
    assert await opened.desk.plan(made.id) == Replanned()


async def test_movements_of_calendar_days_stay_where_they_are(opened: Desk) -> None:
    await opened.agree(Agreement(cycle=Cycle.D, days=1, zone="Asia/Shanghai", calendars=()))
    movement = await opened.sold(local(2, 11, 10))
    made = await opened.in_force()
    assert await opened.desk.plan(made.id) == Replanned()
    assert await opened.dates(movement) == (local(2, 12), date(2027, 2, 12))


async def test_batches_without_a_payout_are_paid_on_the_announced_day(opened: Desk) -> None:
    await opened.agree()
    priced = await opened.batch(local(2, 5), BatchState.PRICED)
    on_its_way = await opened.batch(local(2, 4), BatchState.APPROVED, opened.ids.uuid())
    paid = await opened.batch(local(2, 3), BatchState.PAID)
    assert (priced.payout_on, priced.is_provisional) == (date(2027, 2, 9), True)
    made = await opened.in_force()
    assert await opened.desk.plan(made.id) == Replanned(0, 1)
    after = await opened.again(priced)
    assert (after.payout_on, after.is_provisional, after.version) == (date(2027, 2, 14), False, 2)
    assert after.history[-1].note == f"{made.text_id}: paid on 2027-02-14, before 2027-02-09"
    assert after.state is BatchState.PRICED
    assert await opened.again(on_its_way) == on_its_way
    assert await opened.again(paid) == paid


async def test_worker_plans_at_once_and_again_for_who_was_writing_meanwhile(opened: Desk) -> None:
    await opened.agree()
    first = await opened.sold(local(2, 11, 10))
    made = await opened.in_force()
    assert wants_planning(made, opened.clock.now())
    assert await opened.desk.step() == 1
    # As somebody would who read the calendars before and wrote afterwards.
    async with opened.database.transaction() as connection:
        await connection.execute(
            "UPDATE clearing.movement SET cut_at = $3, payout_on = $4 WHERE book_id = $1 AND id = $2",
            *(opened.book_id, first, local(2, 12), date(2027, 2, 12)),
        )
    assert await opened.desk.step() == 0
    opened.clock.advance(timedelta(minutes=5))
    assert await opened.desk.step() == 1
    assert await opened.desk.step() == 0
    assert not wants_planning(await opened.desk.get(made.id), opened.clock.now())
    assert await opened.dates(first) == (local(2, 15), date(2027, 2, 15))


async def test_next_payouts_say_what_is_provisional_until_it_is_announced(opened: Desk) -> None:
    await opened.agree()
    before = await opened.agreements.calendar(opened.book_id, "CNY", 15)
    assert all(each.is_provisional for each in before)
    await opened.in_force()
    after = await opened.agreements.calendar(opened.book_id, "CNY", 15)
    assert not any(each.is_provisional for each in after)
    assert date(2027, 2, 14) in [each.payout_on for each in after]
