"""What channels paid over a real database and ledger: to whom it is posted, what waits in suspense, and the law over all books."""

import asyncio
import random
from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.clearing.house_books import Books, check_law, open_books
from tests.clearing.ledgers_of_others import opposite

from tongbao.clearing.schema.breaks import BreakKind
from tongbao.clearing.schema.lines import Line, LineKind
from tongbao.clearing.schema.movements import Movement
from tongbao.clearing.service import channel_money
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.ledger.schema import AccountState

WORLDS = 6


@pytest.fixture
async def books(database: Database, ids: IdFactory) -> AsyncIterator[Books]:
    async with open_books(database, ids) as opened:
        yield opened


def _line(books: Books, of: Movement, fee_minor: int = 0, **fields: object) -> Line:
    """The line of a batch that reports a movement."""
    plain = {"batch": "set_1", "fee_minor": fee_minor, "net_minor": of.amount_minor - fee_minor}
    return books.line(of, **(plain | fields))


async def test_transfer_that_the_bank_shows_pays_merchants_and_house(books: Books) -> None:
    mine, other = books.movement(1_000), books.movement(500, book_id=books.ids.int63())
    refund = opposite(mine, id=books.ids.uuid(), amount_minor=-300)
    before = await books.house()
    await books.sell(mine, other, refund)
    transfer = books.paid(1_174)
    await books.report(_line(books, mine, 20), _line(books, other, 6), _line(books, refund), transfer)
    await books.run()
    assert await books.channel_money.step(books.channel) == 0
    assert await books.held("receivable") == 700
    await books.show(transfer)
    await books.run()
    assert await books.channel_money.step(books.channel) == 1
    names = ("receivable", "house_receivable", "channel_cost")
    assert [await books.held(name) for name in names] == [0, 680, 20]
    assert [await books.held(name, book_id=other.book_id) for name in names] == [0, 494, 6]
    after = await books.house()
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {"bank": 1_174, "clearing": 1_174}


async def test_steps_that_repeat_or_run_at_once_post_nothing_twice(books: Books) -> None:
    sale, transfer = books.movement(1_000), books.paid(990)
    await books.sell(sale)
    await books.report(_line(books, sale, 10), transfer)
    await books.show(transfer)
    await books.run()
    rounds = await asyncio.gather(*(books.channel_money.step(books.channel) for _ in range(4)))
    posted = await books.journal()
    assert (sum(rounds), await books.channel_money.step(books.channel)) == (1, 0)
    assert (await books.journal(), await books.held("house_receivable")) == (posted, 990)


async def test_two_transfers_of_one_batch_post_its_lines_once(books: Books) -> None:
    before = await books.house()
    sales = [books.movement(amount) for amount in (600, 400)]
    first, second = books.paid(600), books.paid(400)
    second = msgspec.structs.replace(second, reference="set_1b")
    await books.sell(*sales)
    await books.report(*(_line(books, each) for each in sales), first, second)
    await books.show(first, second)
    await books.run()
    for _ in range(2):
        await asyncio.gather(*(books.channel_money.step(books.channel) for _ in range(3)))
    after = await books.house()
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {"bank": 1_000, "clearing": 1_000}
    assert (await books.held("receivable"), await books.held("house_receivable")) == (0, 1_000)


async def test_transfer_that_the_ledger_refuses_leaves_nothing_and_keeps_up_no_other(books: Books) -> None:
    stuck, sale = books.movement(1_000, book_id=books.ids.int63()), books.movement(300)
    transfers = books.paid(1_000, "set_stuck"), books.paid(300, "set_2")
    await books.sell(stuck, sale)
    await books.report(_line(books, stuck, batch="set_stuck"), _line(books, sale, batch="set_2"), *transfers)
    await books.show(*transfers)
    await books.run()
    money = await books.money.merchant(stuck.book_id, books.channel, "CNY")
    change = books.ledger.accounts.change_account
    await change(
        money.book_id, money.house_receivable, actor="test", reason="test", state=AccountState.FROZEN
    )
    before = await books.house()
    assert await books.channel_money.step(books.channel) == 1
    assert (await books.house())["bank"] - before["bank"] == 300
    await change(money.book_id, money.house_receivable, actor="test", reason="test", state=AccountState.OPEN)
    assert await books.channel_money.step(books.channel) == 1
    assert await books.held("house_receivable", book_id=stuck.book_id) == 1_000


async def test_transfer_that_no_bank_showed_is_not_posted_when_asked_for(books: Books) -> None:
    await books.report(books.paid(990))
    async with books.database.connection() as connection:
        line_id = await connection.fetchval("SELECT id FROM clearing.line WHERE source = $1", books.channel)
    assert not await books.channel_money.settle(line_id)
    assert not await books.channel_money.settle(77)


async def test_line_that_is_a_break_waits_in_suspense_until_a_run_finds_its_payment(books: Books) -> None:
    before = await books.house()
    sale, late, transfer = books.movement(1_000), books.movement(200), books.paid(1_200)
    await books.sell(sale)
    await books.report(_line(books, sale), _line(books, late), transfer)
    await books.show(transfer)
    await books.run()
    await books.channel_money.step(books.channel)
    middle = await books.house()
    assert (middle["suspense"] - before["suspense"], await books.held("house_receivable")) == (200, 1_000)
    await books.sell(late)
    await books.run()
    assert await books.channel_money.step(books.channel) == 1
    after = await books.house()
    assert (after["suspense"] - before["suspense"], await books.held("house_receivable")) == (0, 1_200)
    assert after["bank"] - before["bank"] == 1_200


async def test_line_that_comes_after_its_transfer_was_posted_is_taken_out_of_suspense(books: Books) -> None:
    before = await books.house()
    sale, transfer = books.movement(1_000), books.paid(1_000)
    await books.sell(sale)
    await books.report(transfer)
    await books.show(transfer)
    await books.run()
    await books.channel_money.step(books.channel)
    assert (await books.house())["suspense"] - before["suspense"] == 1_000
    await books.report(_line(books, sale))
    await books.run()
    await books.channel_money.step(books.channel)
    assert (await books.house())["suspense"] == before["suspense"]
    assert await books.held("house_receivable") == 1_000


async def test_break_that_is_matched_by_hand_or_written_off_leaves_suspense(books: Books) -> None:
    before = await books.house()
    sale, stray = books.movement(1_000), books.movement(70)
    transfer = books.paid(1_170)
    await books.sell(sale)
    await books.report(_line(books, sale, gross_minor=1_100, net_minor=1_100), _line(books, stray), transfer)
    await books.show(transfer)
    await books.run()
    await books.channel_money.step(books.channel)
    assert (await books.house())["suspense"] - before["suspense"] == 1_170
    over = await books.break_of(BreakKind.OVER_AMOUNT)
    await books.desk.match([over.id], actor="mei", note="the same payment")
    await books.write_off(await books.break_of(BreakKind.UNEXPECTED))
    await books.channel_money.step(books.channel)
    after = await books.house()
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {"bank": 1_170, "clearing": 1_100, "write_offs": -70}
    assert (await books.held("receivable"), await books.held("house_receivable")) == (-100, 1_100)
    await books.write_off(await books.break_of(BreakKind.OVER_AMOUNT))
    assert (await books.held("receivable"), await books.held("write_offs")) == (0, -100)


async def test_cost_on_a_line_of_its_own_is_the_houses(books: Books) -> None:
    before = await books.house()
    sale, transfer = books.movement(1_000), books.paid(970)
    await books.sell(sale)
    cost = _line(
        books, sale, kind=LineKind.FEE, gross_minor=-30, net_minor=-30, reference="", channel_reference="fee"
    )
    await books.report(_line(books, sale), cost, transfer)
    await books.show(transfer)
    await books.run()
    await books.channel_money.step(books.channel)
    after = await books.house()
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {"bank": 970, "clearing": 1_000, "channel_cost": 30}


async def test_total_over_several_merchants_is_shared_to_the_unit(books: Books) -> None:
    sales = [books.movement(amount, book_id=books.ids.int63()) for amount in (1_000, 700, 301)]
    whole = sum(each.amount_minor for each in sales)
    transfer = books.paid(whole - 20)
    await books.sell(*sales)
    plain = books.movement(whole)
    total = _line(books, plain, 20, kind=LineKind.OTHER, reference="a", channel_reference="b")
    await books.report(total, transfer)
    await books.show(transfer)
    await books.run()
    known = await books.breaks()
    await books.desk.match([each.id for each in known], actor="mei", note="their total")
    await books.channel_money.step(books.channel)
    costs = [await books.held("channel_cost", book_id=each.book_id) for each in sales]
    assert (costs, sum(costs)) == ([10, 7, 3], 20)
    for sale, cost in zip(sales, costs, strict=True):
        assert await books.held("receivable", book_id=sale.book_id) == 0
        assert await books.held("house_receivable", book_id=sale.book_id) == sale.amount_minor - cost


async def test_transfer_that_is_written_off_pays_merchants_at_the_cost_of_the_house(books: Books) -> None:
    before = await books.house()
    sale, transfer = books.movement(1_000), books.paid(1_000)
    await books.sell(sale)
    await books.report(_line(books, sale), transfer)
    await books.report(source=books.bank)
    await books.run()
    await books.write_off(await books.break_of(BreakKind.MISSING, books.bank))
    await books.channel_money.step(books.channel)
    after = await books.house()
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {"clearing": 1_000, "write_offs": 1_000}
    assert await books.held("house_receivable") == 1_000


async def test_channel_that_takes_more_than_it_pays_lowers_what_the_house_holds(books: Books) -> None:
    sale = books.movement(100)
    refund = opposite(sale, id=books.ids.uuid(), amount_minor=-900)
    transfer = books.paid(-805)
    await books.sell(sale, refund)
    await books.report(_line(books, sale, 5), _line(books, refund), transfer)
    await books.show(transfer)
    await books.run()
    await books.channel_money.step(books.channel)
    assert (await books.held("receivable"), await books.held("house_receivable")) == (0, -805)


async def test_test_money_never_meets_the_real_bank(books: Books) -> None:
    before = await books.house()
    sale, transfer = books.movement(1_000, live=False), books.paid(1_000)
    await books.sell(sale)
    await books.report(_line(books, sale), transfer)
    charge = books.line(sale, kind=LineKind.FEE, gross_minor=-15, net_minor=-15, reference="")
    await books.report(charge, source=books.bank)
    await books.show(transfer)
    await books.run()
    await books.channel_money.step(books.channel)
    await books.write_off(await books.break_of(BreakKind.UNEXPECTED, books.bank))
    assert (await books.house(), await books.held("house_receivable")) == (before, 1_000)
    money = await books.money.platform("CNY", live=False)
    account = await books.ledger.accounts.account(money.book_id, money.bank)
    assert account.natural_minor == 985


async def test_large_batch_is_posted_in_rounds(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_money, "LINES_MAX", 3)
    sales = [books.movement(100 + number) for number in range(8)]
    transfer = books.paid(sum(each.amount_minor for each in sales))
    await books.sell(*sales)
    await books.report(*(_line(books, each) for each in sales), transfer)
    await books.show(transfer)
    await books.run()
    rounds = 0
    while posted := await books.channel_money.step(books.channel):
        rounds += posted
        await check_law(books.ledger)
    assert (rounds, await books.held("receivable")) == (3, 0)


async def test_channel_without_batches_pays_for_what_it_reported_up_to_the_day(books: Books) -> None:
    sale, transfer = books.movement(1_000), books.paid(1_000, batch="")
    transfer = msgspec.structs.replace(transfer, reference="payout_7")
    await books.sell(sale)
    await books.report(_line(books, sale, batch=""), transfer)
    await books.show(transfer)
    await books.run()
    await books.channel_money.step(books.channel)
    assert (await books.held("receivable"), await books.held("house_receivable")) == (0, 1_000)


@pytest.mark.parametrize("seed", range(WORLDS))
async def test_law_holds_after_every_step_of_any_world(books: Books, seed: int) -> None:
    rng = random.Random(seed)
    before = await books.house()
    sales = [
        books.movement(rng.randint(1, 5_000), book_id=rng.choice((books.book_id, 7 + seed)))
        for _ in range(12)
    ]
    lines = [_faulty(books, each, rng) for each in sales if rng.random() < 0.9]
    lines += [_line(books, books.movement(rng.randint(1, 99)), 1) for _ in range(rng.randint(0, 2))]
    transfer = books.paid(sum(each.net_minor for each in lines) + rng.choice((0, 0, 17)))
    acts = ["book", "report", "show", "run", "run", "step", "step", "people"]
    rng.shuffle(acts)
    for act in (*acts, "book", "report", "show", "run", "people", "run", "step", "people", "run", "step"):
        if act == "book" and sales:
            await books.sell(*sales)
            sales = []
        elif act == "report" and lines:
            await books.report(*lines, transfer)
            lines = []
        elif act == "show" and transfer.net_minor:
            await books.show(transfer, value_on=None)
            transfer = msgspec.structs.replace(transfer, net_minor=0) if not lines else transfer
        elif act == "run":
            await books.run()
        elif act == "step":
            await books.channel_money.step(books.channel)
        elif act == "people":
            await _decide(books, seed)
        await check_law(books.ledger)
    after = await books.house()
    assert after["bank"] - before["bank"] == await _shown(books)


def _faulty(books: Books, of: Movement, rng: random.Random) -> Line:
    """A line of a movement, right as a rule."""
    fee = rng.randint(0, 3)
    amount = of.amount_minor + rng.choice((0, 0, 0, 5, -1))
    return _line(books, of, fee, gross_minor=amount, net_minor=amount - fee)


async def _decide(books: Books, seed: int) -> None:
    """Match, write off or leave each break that stands, by what it is about."""
    for source in (books.channel, books.bank):
        for each in await books.breaks(source):
            found = each.found
            is_pair = bool(found.expected and found.reported) and "rest_of" not in found.facts
            act = (abs(found.difference_minor) + seed) % 3
            if act == 0 and is_pair and found.kind is not BreakKind.DUPLICATE:
                await books.desk.match([each.id], actor="mei", note="the same")
            elif act == 1 and found.difference_minor:
                await books.write_off(each)


async def _shown(books: Books) -> int:
    """What is in the bank by its own lines, of those that are explained, minor units."""
    async with books.database.connection() as connection:
        return int(
            await connection.fetchval(
                "SELECT coalesce(sum(l.net_minor), 0) FROM clearing.line AS l WHERE l.source = $1 AND EXISTS ("
                " SELECT 1 FROM clearing.matched AS d WHERE d.leg = 1 AND d.line_id = l.id)",
                books.bank,
            )
        )
