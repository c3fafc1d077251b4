"""The close of a day over a real database and ledger: what is found, and that a closed day takes nothing more."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import pytest
from tests.clearing.house_books import Books, open_books
from tests.clearing.ledgers_of_others import DAY, NOON, plain_days

from tongbao.clearing.policy import closing as policy
from tongbao.clearing.policy.cycles import cut_of
from tongbao.clearing.schema.agreements import Agreement, Cycle
from tongbao.clearing.schema.breaks import BreakKind
from tongbao.clearing.schema.days import CheckState, Day, DayReport, DayState
from tongbao.clearing.schema.lines import FileState
from tongbao.clearing.service.closing import Closing
from tongbao.clearing.store import days as store
from tongbao.core.db import Database
from tongbao.core.errors import Conflict, InvalidRequest
from tongbao.core.ids import IdFactory
from tongbao.ledger.schema import BookId, Transfer

_EMPTY = """
TRUNCATE clearing.source, clearing.file, clearing.line, clearing.run, clearing.matched, clearing.break,
    clearing.break_act, clearing.movement, clearing.batch, clearing.payout, clearing.day, clearing.day_act
"""


@pytest.fixture
async def books(database: Database, ids: IdFactory) -> AsyncIterator[Books]:
    async with database.connection() as connection:
        await connection.execute(_EMPTY)
        await connection.execute("UPDATE clearing.locked_until SET locked_on = '0001-01-01'")
    async with open_books(database, ids) as opened:
        await opened.agree(is_daily=True)
        yield opened


@pytest.fixture
def closing(books: Books) -> Closing:
    return Closing(books.database, books.ledger, books.clock, plain_days)


def _wrong(report: DayReport) -> dict[str, CheckState]:
    return {check.code: check.state for check in report.checks if check.state is not CheckState.PASSED}


async def _good_day(books: Books, on: date = DAY) -> None:
    """A day of which everything is there and matched."""
    at = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
    sale = books.movement(occurred_at=at, recorded_at=at, cut_at=at + timedelta(days=60))
    await books.sell(sale)
    await books.report(books.line(sale), until_on=on)
    await books.report(source=books.bank, until_on=on)
    await books.reconciling.run(books.channel, on, "mei")
    await books.reconciling.run(books.bank, on, "mei")


async def test_day_of_which_everything_is_there_is_closed_with_all_points(
    books: Books, closing: Closing
) -> None:
    await _good_day(books)
    day = await closing.close(DAY, actor="mei")
    assert (day.state, day.closed_by) == (DayState.CLOSED, "mei")
    assert day.report is not None
    assert (day.report.score, day.report.movement_count, day.report.matched_share) == (100, 1, 1.0)
    assert set(day.report.trial_balance.values()) == {0}
    stored, acts = await closing.get(DAY)
    assert (stored, [(each.act, each.actor) for each in acts]) == (day, [("closed", "mei")])
    assert await closing.close(DAY, actor="mei") == day
    assert await closing.page() == [day]


async def test_what_is_missing_is_found(books: Books, closing: Closing) -> None:
    late = books.movement(recorded_at=NOON + timedelta(days=2), cut_at=NOON)
    await books.sell(late)
    unread = await books.report(source=books.bank, until_on=DAY - timedelta(days=1))
    async with books.database.connection() as connection:
        await connection.execute(
            "UPDATE clearing.file SET state = $2, received_at = $3 WHERE id = $1",
            unread.id,
            FileState.READING.value,
            NOON,
        )
    await books.reconciling.run(books.channel, DAY + timedelta(days=9), "mei")
    report = await closing.look(DAY)
    assert _wrong(report) == {
        "files_in": CheckState.WARNED,
        "files_read": CheckState.FAILED,
        "runs_done": CheckState.FAILED,
        "movements_cut": CheckState.FAILED,
        "breaks_ended": CheckState.WARNED,
    }
    assert (report.late_count, report.matched_share) == (1, 0.0)
    assert [(each.kind, sum(each.counts)) for each in report.breaks] == [(BreakKind.MISSING, 1)]
    with pytest.raises(Conflict) as kept:
        await closing.close(DAY, actor="mei", note="please")
    assert kept.value.code == "day_not_closable"


async def test_refused_file_warns_until_a_good_one_follows(books: Books, closing: Closing) -> None:
    await _good_day(books)
    bad = await books.report()
    async with books.database.connection() as connection:
        await connection.execute("UPDATE clearing.file SET state = 'refused' WHERE id = $1", bad.id)
    books.clock.advance(timedelta(minutes=1))
    assert _wrong(await closing.look(DAY)) == {"files_accepted": CheckState.WARNED}
    await books.report()
    books.clock.advance(timedelta(minutes=1))
    assert _wrong(await closing.look(DAY)) == {}


async def test_payments_nobody_knows_the_end_of_warn_after_a_day(books: Books, closing: Closing) -> None:
    await _good_day(books)
    async with books.database.connection() as connection:
        await connection.execute(
            "INSERT INTO payments.document (book_id, kind, id, version, state, created_at, updated_at, body)"
            " VALUES ($1, 2, '00000000-0000-7000-8000-000000000001', 1, 'unresolved', $2, $2, '{}')",
            books.book_id,
            NOON,
        )
    try:
        assert _wrong(await closing.look(DAY)) == {"payments_resolved": CheckState.WARNED}
    finally:
        async with books.database.connection() as connection:
            await connection.execute("DELETE FROM payments.document WHERE book_id = $1", books.book_id)


async def test_unresolved_payments_are_counted_without_reading_all_that_ended(
    books: Books, closing: Closing
) -> None:
    insert = """
    INSERT INTO payments.document (book_id, kind, id, version, state, created_at, updated_at, due_at, body)
    SELECT $1, 2, lpad(to_hex(n), 32, '0')::uuid, 1, CASE WHEN n % 1000 < 2 THEN 'unresolved' ELSE 'captured' END, $2, $2,
        CASE WHEN n % 1000 = 0 THEN $2::timestamptz END, '{}'
    FROM generate_series(1, 5000) AS n
    """
    async with books.database.connection() as connection:
        await connection.execute(insert, books.book_id, NOON)
        await connection.execute("ANALYZE payments.attempt")
        try:
            before = UUID(int=2**100)
            assert await store.unresolved(connection, before) == 10
            rows = await connection.fetch(f"EXPLAIN {vars(store)['_UNRESOLVED']}", before)
        finally:
            await connection.execute("DELETE FROM payments.document WHERE book_id = $1", books.book_id)
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan
    assert "attempt_lost" in plan
    assert "attempt_due_at_idx" in plan


async def test_payouts_that_the_bank_has_and_has_not_booked_warn_by_their_own_name(
    books: Books, closing: Closing
) -> None:
    await _good_day(books)
    insert = """
    INSERT INTO clearing.payout (book_id, id, batch_id, destination_id, amount_minor, version, live, due_on, updated_at, state,
        currency, bank, end_to_end, message_id, body)
    VALUES ($1, $2, $2, $2, 100, 1, true, $3, $4, $5, 'CNY', 'bank', $6, '', '{}')
    """
    rows = (("accepted", DAY), ("sent", DAY), ("accepted", DAY + timedelta(days=1)), ("paid", DAY))
    async with books.database.connection() as connection:
        for number, (state, due_on) in enumerate(rows):
            await connection.execute(
                insert, books.book_id, UUID(int=number), due_on, NOON, state, f"E{number}"
            )
    report = await closing.look(DAY)
    assert _wrong(report) == {"payouts_booked": CheckState.WARNED}
    (found,) = [each for each in report.checks if each.code == "payouts_booked"]
    assert found.facts == {"count": 2}
    async with books.database.connection() as connection:
        await connection.execute("UPDATE clearing.payout SET state = 'unresolved' WHERE state = 'sent'")
    assert set(_wrong(await closing.look(DAY))) == {"payouts_known", "payouts_booked"}


async def test_house_that_holds_other_than_it_owes_cannot_close(books: Books, closing: Closing) -> None:
    await _good_day(books)
    house, money = (
        await books.money.platform("JPY", live=True),
        await books.money.merchant(books.book_id, "one", "JPY"),
    )
    wrong = Transfer(
        key=books.ids.uuid(),
        book_id=BookId(house.book_id),
        debit_account_id=house.bank,
        credit_account_id=house.clearing,
        amount_minor=5,
        asset_id=money.asset_id,
        code="test.wrong",
    )
    await books.ledger.posting.post_one(wrong)
    assert _wrong(await closing.look(DAY)) == {"house_law": CheckState.FAILED}
    right = Transfer(
        key=books.ids.uuid(),
        book_id=money.book_id,
        debit_account_id=money.house_receivable,
        credit_account_id=money.receivable,
        amount_minor=5,
        asset_id=money.asset_id,
        code="test.right",
    )
    await books.ledger.posting.post_one(right)
    assert _wrong(await closing.look(DAY)) == {}


async def test_two_people_close_over_warnings(books: Books, closing: Closing) -> None:
    await _good_day(books)
    await books.report(books.line(books.movement(9)))
    await books.reconciling.run(books.channel, DAY, "mei")
    asked = await closing.close(DAY, actor="mei", note="we ask them tomorrow")
    assert (asked.state, asked.asked_by) == (DayState.OPEN, "mei")
    async with books.database.transaction() as connection:
        assert await closing.open_day(connection, DAY) == DAY
    done = await closing.close(DAY, actor="li", note="agreed")
    assert done.state is DayState.CLOSED
    _, acts = await closing.get(DAY)
    assert [(each.act, each.actor, each.note) for each in acts] == [
        ("asked_close", "mei", "we ask them tomorrow"),
        ("closed", "li", "agreed"),
    ]


async def test_closed_day_takes_nothing_more_until_two_people_open_it(books: Books, closing: Closing) -> None:
    await _good_day(books)
    await _good_day(books, DAY + timedelta(days=1))
    await closing.close(DAY, actor="mei")
    with pytest.raises(Conflict) as gap:
        await closing.close(DAY + timedelta(days=2), actor="mei")
    assert gap.value.code == "day_not_closable"
    await closing.close(DAY + timedelta(days=1), actor="mei")
    async with books.database.transaction() as connection:
        days = [await closing.open_day(connection, DAY + timedelta(days=each)) for each in (-9, 0, 1, 2, 3)]
    assert days == [DAY + timedelta(days=each) for each in (2, 2, 2, 2, 3)]
    with pytest.raises(Conflict) as later:
        await closing.reopen(DAY, actor="mei", note="a mistake")
    assert later.value.code == "later_day_closed"
    await closing.reopen(DAY + timedelta(days=1), actor="mei", note="a mistake")
    await closing.reopen(DAY + timedelta(days=1), actor="li", note="yes")
    async with books.database.transaction() as connection:
        assert await closing.open_day(connection, DAY) == DAY + timedelta(days=1)


async def test_late_movement_is_cut_in_the_first_open_day(books: Books, closing: Closing) -> None:
    agreement = Agreement(cycle=Cycle.D, days=0, cuts=(time(0),), zone="Asia/Shanghai", calendars=())
    late = cut_of(agreement, NOON)
    async with books.database.transaction() as connection:
        opens_at = await closing.opens_at(connection)
    assert policy.not_before(agreement, late, opens_at) == late
    await _good_day(books)
    await closing.close(DAY, actor="mei")
    async with books.database.transaction() as connection:
        opens_at = await closing.opens_at(connection)
    assert opens_at == closing.begin_of(DAY + timedelta(days=1)) == late.cut_at
    moved = policy.not_before(agreement, late, opens_at)
    assert (moved.cut_at, moved.payout_on) == (
        late.cut_at + timedelta(days=1),
        late.payout_on + timedelta(days=1),
    )
    assert policy.not_before(agreement, moved, opens_at) == moved


async def test_day_is_not_closed_while_something_is_being_dated_into_it(
    books: Books, closing: Closing
) -> None:
    await _good_day(books)
    async with books.database.transaction() as connection:
        assert await closing.open_day(connection, DAY) == DAY
        waiting = asyncio.create_task(closing.close(DAY, actor="mei"))
        await asyncio.sleep(0.2)
        assert not waiting.done()
    assert (await waiting).state is DayState.CLOSED


async def test_two_closes_at_once_close_once(books: Books, closing: Closing) -> None:
    await _good_day(books)
    done = await asyncio.gather(
        closing.close(DAY, actor="mei"), closing.close(DAY, actor="li"), return_exceptions=True
    )
    assert len([each for each in done if isinstance(each, Day)]) == 1
    assert [each.code for each in done if isinstance(each, Conflict)] == ["day_closed"]
    _, acts = await closing.get(DAY)
    assert [each.act for each in acts] == ["closed"]


async def test_day_that_still_runs_or_never_was_is_refused(closing: Closing) -> None:
    with pytest.raises(Conflict) as running:
        await closing.look(date(2026, 11, 20))
    with pytest.raises(InvalidRequest) as never:
        await closing.close(store.NEVER, actor="mei")
    assert (running.value.code, never.value.code) == ("day_not_over", "day_invalid")
