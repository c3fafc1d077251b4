"""Payouts against a bank that nobody here wrote: files out, reports and statements in, over several bank days."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from tests.clearing.bank_peer import CLOSED_IBAN, HOUSE_IBAN, MockBank, mock_bank, parsed
from tests.clearing.payout_world import IBANS, NAME, World, folder_bank, forget, http_bank, open_world

from tongbao.clearing.policy.payouts import RESENDS_MAX
from tongbao.clearing.schema.bank_messages import MessageState
from tongbao.clearing.schema.breaks import BreakKind
from tongbao.clearing.schema.lines import FileState
from tongbao.clearing.schema.payouts import DestinationState
from tongbao.clearing.store import bank_messages
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.http import HttpClient
from tongbao.core.ids import IdFactory
from tongbao.simulator.sandbox import settlement_files as written
from tongbao.simulator.sandbox.settlement_files import Row, Statement

MONDAY = datetime(2027, 3, 1, 9, tzinfo=UTC)


@pytest.fixture
def bank() -> Iterator[MockBank]:
    with mock_bank(MONDAY.strftime("%Y-%m-%dT%H:%M")) as running:
        yield running


@pytest.fixture
async def world(database: Database, ids: IdFactory, bank: MockBank) -> AsyncIterator[World]:
    async with opened(database, ids, bank) as found:
        yield found


@asynccontextmanager
async def opened(
    database: Database,
    ids: IdFactory,
    bank: MockBank,
    *,
    start: datetime = MONDAY,
    calendars: tuple[str, ...] = (),
) -> AsyncIterator[World]:
    await forget(database)
    http = HttpClient()
    adapter = http_bank(bank.send_url, bank.collect_url, http, calendars=calendars)
    try:
        async with open_world(database, FrozenClock(start), ids, adapter) as found:
            yield found
    finally:
        await http.close()


async def move_to(world: World, bank: MockBank, on: date) -> None:
    """Let both clocks come to nine o'clock of a day, and everything that is due be done."""
    bank.pass_to(on)
    world.clock.set(datetime(on.year, on.month, on.day, 9, tzinfo=UTC))  # type: ignore[attr-defined]
    await world.run()


async def test_pay_over_a_bank_day_is_paid_then_reconciled_and_read_alike_by_others(
    world: World, bank: MockBank
) -> None:
    before = await world.bank_minor() if await _has_platform(world) else 0
    books = [await world.merchant(number) for number in IBANS]
    made = [await world.batch(book, 10_000 + place) for place, book in enumerate(books)]
    await world.run()
    # The debit is booked on the day itself, and notified.
    assert [await world.states(each) for each in made] == [("paid", "paid")] * 4
    assert len({each["file"] if "file" in each else each.get("msg_id") for each in bank.payments()}) == 1
    await move_to(world, bank, date(2027, 3, 2))
    assert [await world.states(each) for each in made] == [("paid", "reconciled")] * 4
    for batch in made:
        assert await world.balances(batch.book_id) == {"house_receivable": -batch.paid_minor}
    assert await world.bank_minor() - before == bank.booked_minor() == sum(each.paid_minor for each in made)
    [statement] = [each for each in bank.documents("camt.053") if "C053-ACME" in each]
    read = sorted(round(float(each["Amount"]) * 100) for each in parsed(statement))
    assert read == [-(10_000 + place) for place in reversed(range(4))]


async def _has_platform(world: World) -> bool:
    async with world.database.connection() as connection:
        return bool(
            await connection.fetchval("SELECT count(*) FROM ledger.book WHERE code = 'platform-test'")
        )


async def test_pay_to_a_closed_account_gives_back_pauses_and_pays_anew_after_mending(
    world: World, bank: MockBank
) -> None:
    good, closed = await world.merchant(IBANS[0]), await world.merchant(CLOSED_IBAN)
    fine, failed = await world.batch(good, 500), await world.batch(closed, 700)
    await world.run()
    assert await world.states(fine) == ("paid", "paid")
    assert await world.states(failed) == ("rejected", "failed")
    first = await world.payout(failed)
    assert first.code == "AC04"
    assert await world.balances(closed) == {"available": 700}
    [account] = await world.destinations.page(closed)
    assert account.state is DestinationState.PAUSED
    assert "AC04" in account.paused_reason
    # Approved again: nothing goes to the paused account, and a new one gets the same money under another id.
    await world.clearing.settling.approve(closed, failed.id, actor="person:c")
    await world.run()
    assert len(await world.paying.of_batch(closed, failed.id)) == 1
    await world.use(closed, IBANS[1])
    await world.run()
    second = await world.payout(failed)
    assert await world.states(failed) == ("paid", "paid")
    assert second.end_to_end != first.end_to_end
    assert bank.booked_minor() == 1_200
    facts = [each for each in await world.facts("clearing.payout_changed") if first.end_to_end in each]
    assert ['"rejected"' in each for each in facts] == [False, False, True]


async def test_pay_without_funds_is_rejected_and_blames_no_account(world: World, bank: MockBank) -> None:
    bank.behave("insufficient-funds")
    book = await world.merchant()
    batch = await world.batch(book, 12_500_001)
    await world.run()
    assert await world.states(batch) == ("rejected", "failed")
    [account] = await world.destinations.page(book)
    assert (account.state, (await world.payout(batch)).code) == (DestinationState.ACTIVE, "AM04")
    assert await world.balances(book) == {"available": 12_500_001}


async def test_pay_return_days_after_the_statement_gives_the_money_back(world: World, bank: MockBank) -> None:
    bank.behave("return-later", days=3, reason="AC04")
    book = await world.merchant()
    batch = await world.batch(book, 4_200)
    await world.run()
    await move_to(world, bank, date(2027, 3, 2))
    assert await world.states(batch) == ("paid", "reconciled")
    assert await world.balances(book) == {"house_receivable": -4_200}
    await move_to(world, bank, date(2027, 3, 4))
    assert await world.states(batch) == ("returned", "failed")
    assert await world.balances(book) == {"available": 4_200}
    assert bank.booked_minor() == 0
    # Its statement shows it once more, and nothing moves twice.
    await move_to(world, bank, date(2027, 3, 5))
    assert await world.balances(book) == {"available": 4_200}
    [account] = await world.destinations.page(book)
    assert account.state is DestinationState.PAUSED


async def test_pay_statement_gap_stays_paid_and_is_told_of(world: World, bank: MockBank) -> None:
    bank.behave("statement-gap")
    book = await world.merchant()
    batch = await world.batch(book, 900)
    await world.run()
    await move_to(world, bank, date(2027, 3, 2))
    assert bank.documents("camt.053")
    assert await world.states(batch) == ("paid", "paid")
    await move_to(world, bank, date(2027, 3, 8))
    payout = await world.payout(batch)
    alarms = [each for each in await world.facts("clearing.payout_changed") if payout.end_to_end in each]
    assert "not_on_statement" in alarms[-1]
    assert bank.booked_minor() == 900


async def test_pay_silent_bank_is_unresolved_until_the_notification_and_paid_once(
    world: World, bank: MockBank
) -> None:
    bank.behave("silent")
    # A future day: nothing is booked and nothing reported until then.
    bank.call("PUT", "/_mock/holidays", ["2027-03-01", "2027-03-02", "2027-03-03"])
    book = await world.merchant()
    batch = await world.batch(book, 3_300)
    await world.run()
    assert await world.states(batch) == ("sent", "approved")
    await move_to(world, bank, date(2027, 3, 2))
    assert await world.states(batch) == ("unresolved", "approved")
    await move_to(world, bank, date(2027, 3, 3))
    payout = await world.payout(batch)
    facts = [each for each in await world.facts("clearing.payout_changed") if payout.end_to_end in each]
    assert "without_end" in facts[-1]
    assert payout.inquiry_count >= 2
    await move_to(world, bank, date(2027, 3, 4))
    assert await world.states(batch) == ("paid", "paid")
    assert (bank.booked_minor(), len(bank.payments())) == (3_300, 1)


async def test_pay_after_the_cut_off_and_before_a_holiday_is_executed_on_the_next_bank_day(
    database: Database, ids: IdFactory
) -> None:
    thursday = datetime(2027, 3, 4, 15, 30, tzinfo=UTC)
    with mock_bank("2027-03-04T15:30") as bank:
        bank.call("PUT", "/_mock/holidays", ["2027-03-05"])
        async with opened(database, ids, bank, start=thursday) as world:
            book = await world.merchant()
            batch = await world.batch(book, 100)
            await world.run()
            assert await world.states(batch) == ("accepted", "approved")
            await move_to(world, bank, date(2027, 3, 5))
            assert await world.states(batch) == ("accepted", "approved")
            await move_to(world, bank, date(2027, 3, 8))
            assert await world.states(batch) == ("paid", "paid")
            await move_to(world, bank, date(2027, 3, 9))
            assert await world.states(batch) == ("paid", "reconciled")


async def test_pay_message_sent_again_is_refused_as_repeated_and_changes_nothing(
    world: World, bank: MockBank
) -> None:
    book = await world.merchant()
    batch = await world.batch(book, 650)
    await world.paying.create()
    await world.paying.sending.bundle()
    for _ in range(2):
        # The answer got lost: the message is due again, with the bytes that were kept.
        async with world.database.connection() as connection:
            await connection.execute(
                "UPDATE clearing.bank_message SET state = 'ready', due_at = at WHERE is_outgoing"
            )
        assert await world.paying.sending.dispatch() == 1
    await world.run()
    assert await world.states(batch) == ("paid", "paid")
    assert bank.booked_minor() == 650
    reports = "".join(bank.documents("pain.002"))
    assert "DUPL" in reports


async def test_pay_through_folders_picks_up_answers_and_moves_them_aside(
    database: Database, ids: IdFactory, tmp_path: Path
) -> None:
    out, into = tmp_path / "out", tmp_path / "in"
    out.mkdir()
    into.mkdir()
    more = ("--drop-dir", str(out), "--pickup-dir", str(into), "--drop-settle-ms", "0")
    await forget(database)
    http = HttpClient()
    with mock_bank(MONDAY.strftime("%Y-%m-%dT%H:%M"), *more, "--drop-interval-ms", "3600000") as bank:
        adapter = folder_bank(str(out), str(into), http)
        async with open_world(database, FrozenClock(MONDAY), ids, adapter) as world:
            book = await world.merchant()
            batch = await world.batch(book, 777)
            await world.run()
            assert (await world.states(batch))[0] == "sent"
            bank.call("POST", "/_mock/drop/scan")
            await world.run()
            assert await world.states(batch) == ("paid", "paid")
            assert not list(into.glob("*.xml"))
            assert len(list((into / "done").glob("*.xml"))) >= 2
    await http.close()


async def test_pay_bank_that_is_away_keeps_the_message_and_sends_it_when_it_is_back(
    database: Database, ids: IdFactory
) -> None:
    await forget(database)
    http = HttpClient()
    nobody = http_bank("http://127.0.0.1:9/payments", "http://127.0.0.1:9/mailbox", http, repeats=False)
    clock = FrozenClock(MONDAY)
    async with open_world(database, clock, ids, nobody) as world:
        book = await world.merchant()
        batch = await world.batch(book, 50)
        await world.run()
        assert await world.states(batch) == ("sent", "approved")
        async with database.connection() as connection:
            [kept] = await bank_messages.of_bank(connection, NAME, "pain.001", 10)
        assert (kept.state, kept.attempts) == (MessageState.READY, 1)
        assert IBANS[0].encode() not in kept.content
    with mock_bank(MONDAY.strftime("%Y-%m-%dT%H:%M")) as bank:
        clock.advance(timedelta(hours=2))
        back = http_bank(bank.send_url, bank.collect_url, http, repeats=False)
        async with open_world(database, clock, ids, back) as world:
            await world.run()
            assert await world.states(batch) == ("paid", "paid")
            assert bank.booked_minor() == 50
    await http.close()


@asynccontextmanager
async def swallowing(bank: MockBank) -> AsyncIterator[tuple[str, list[bytes]]]:
    """An address that hands every message on to the bank and loses the answer; and what went through it."""
    seen: list[bytes] = []

    async def swallow(request: web.Request) -> web.Response:
        seen.append(await request.read())
        done = await client.request("POST", bank.send_url, body=seen[-1])
        assert done.status in (202, 422)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    client = HttpClient()
    app = web.Application()
    app.router.add_post("/", swallow)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", seen
    finally:
        await runner.cleanup()
        await client.close()


@pytest.mark.parametrize(("repeats_refused", "times"), [(True, RESENDS_MAX), (False, 1)])
async def test_pay_over_a_line_that_loses_every_answer_pays_once(
    database: Database, ids: IdFactory, bank: MockBank, repeats_refused: bool, times: int
) -> None:
    await forget(database)
    http = HttpClient()
    bank.behave("silent")
    bank.call("PUT", "/_mock/holidays", ["2027-03-01"])
    async with swallowing(bank) as (send_url, seen):
        adapter = http_bank(send_url, bank.collect_url, http, repeats=repeats_refused)
        clock = FrozenClock(MONDAY)
        async with open_world(database, clock, ids, adapter) as world:
            batch = await world.batch(await world.merchant(), 640)
            for _ in range(12):
                await world.run()
                assert (await world.states(batch))[0] == "unresolved"
                clock.advance(timedelta(hours=1))
            assert len(seen) == times
            assert len(set(seen)) == 1
            await move_to(world, bank, date(2027, 3, 2))
            assert await world.states(batch) == ("paid", "paid")
            assert bank.booked_minor() == 640
    await http.close()


async def test_pay_over_days_with_holidays_is_matched_three_ways_with_the_statements_of_the_bank(
    database: Database, ids: IdFactory
) -> None:
    """Thursday after the cut-off, Easter from Friday to Monday, a return later: every entry of every statement finds its record."""
    before_easter = datetime(2027, 3, 25, 15, 30, tzinfo=UTC)
    with mock_bank("2027-03-25T15:30") as bank:
        bank.call("PUT", "/_mock/holidays", ["2027-03-26", "2027-03-29"])
        async with opened(database, ids, bank, start=before_easter, calendars=("TARGET",)) as world:
            await world.agree(calendars=("TARGET",))
            book = await world.merchant()
            late = await world.batch(book, 100)
            await world.run()
            runs = []
            for on in (date(2027, 3, 26), date(2027, 3, 29), date(2027, 3, 30)):
                await move_to(world, bank, on)
                runs.append(await world.reconciling.run(NAME, on, "person:a"))
            assert [each.matched_count for each in runs] == [0, 0, 0]
            assert await world.states(late) == ("paid", "paid")
            plain = await world.batch(book, 2_500)
            await world.run()
            bank.behave("return-later", days=1, reason="AC04")
            back = await world.batch(book, 700)
            await world.run()
            for on in (date(2027, 3, 31), date(2027, 4, 1), date(2027, 4, 2)):
                await move_to(world, bank, on)
                runs.append(await world.reconciling.run(NAME, on, "person:a"))
            assert [(await world.states(each))[1] for each in (late, plain)] == ["reconciled"] * 2
            assert await world.states(back) == ("returned", "failed")
            # Three payouts, and the one of them that came back.
            assert sum(each.matched_count for each in runs) == 4
            assert runs[-1].by_kind == {}
            files = await world.intake.page(NAME)
            assert all(each.state is FileState.READ and not each.problems for each in files)
            shown = {each.header.until_on for each in files}
            assert date(2027, 3, 30) in shown
            assert not shown & {date(2027, 3, 26), date(2027, 3, 29)}


async def test_pay_statement_gap_is_named_until_the_statement_is_taken_in_by_hand(
    world: World, bank: MockBank, tmp_path: Path
) -> None:
    await world.agree(calendars=("TARGET",))
    book = await world.merchant()
    batches = []
    for behavior, on in (("accept", 2), ("statement-gap", 3), ("accept", 4)):
        bank.behave(behavior)
        batches.append(await world.batch(book, 100 * on))
        await world.run()
        await move_to(world, bank, date(2027, 3, on))
    run = await world.reconciling.run(NAME, date(2027, 3, 4), "person:a")
    lost = batches[1]
    assert run.by_kind == {BreakKind.MISSING: 1}
    assert [(await world.states(each))[1] for each in batches] == ["reconciled", "paid", "reconciled"]
    # The statement moves its balance by an entry that it does not show.
    assert [each.problems for each in await world.intake.page(NAME) if each.problems] == [
        ("balances_differ",)
    ]
    payout = await world.payout(lost)
    entry = Row(
        reference=payout.end_to_end,
        channel_reference="again",
        kind="payout",
        amount_minor=-payout.amount_minor,
        currency="EUR",
        at=MONDAY,
    )
    told = Statement(
        account=HOUSE_IBAN, on=date(2027, 3, 2), number=2, currency="EUR", opening_minor=12_499_800
    )
    await world.take(written.camt([entry], told), tmp_path)
    assert await world.states(lost) == ("paid", "reconciled")
    run = await world.reconciling.run(NAME, date(2027, 3, 4), "person:a")
    assert (run.matched_count, run.by_kind) == (1, {})
