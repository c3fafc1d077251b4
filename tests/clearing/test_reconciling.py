"""Reconciling over a real database: what runs pair, what they name, and what they leave alone."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from tests.clearing.ledgers_of_others import DAY, NOON, World, opposite

from tongbao.clearing.schema.breaks import BreakKind, BreakState, How
from tongbao.clearing.schema.lines import Balance, FileState, LineKind
from tongbao.clearing.schema.movements import MovementKind
from tongbao.clearing.store import lines as line_store
from tongbao.clearing.store import reconciliation as store
from tongbao.core.db import Database
from tongbao.core.errors import NotFound

UNTIL = date(2026, 11, 9)


@pytest.fixture
async def world(database: Database) -> World:
    made = World(database)
    await made.agree()
    return made


async def test_run_pairs_what_agrees_and_a_second_one_finds_nothing_new(world: World) -> None:
    sales = [world.movement(amount) for amount in (500, 700, 900)]
    await world.book(*sales)
    await world.report(*(world.line(each) for each in sales[:2]))
    first = await world.reconciling.run(world.channel, UNTIL, "mei")
    assert (first.expected_count, first.reported_count, first.matched_count) == (3, 2, 2)
    assert (first.by_how, first.by_kind) == ({How.REFERENCE: 2}, {BreakKind.MISSING: 1})
    second = await world.reconciling.run(world.channel, UNTIL, "mei")
    assert (second.expected_count, second.reported_count, second.matched_count) == (1, 0, 0)
    (found,) = await world.breaks()
    assert (found.found.kind, found.version, found.book_id) == (BreakKind.MISSING, 1, world.book_id)
    assert found.found.expected == (sales[2].id,)
    assert [each.id for each in await world.reconciling.page(source=world.channel)] == [second.id, first.id]
    assert await world.reconciling.get(first.id) == first


async def test_break_grows_from_expected_to_missing_and_is_resolved_by_the_late_line(world: World) -> None:
    sale = world.movement()
    await world.book(sale)
    await world.report()
    await world.reconciling.run(world.channel, DAY, "mei")
    (expected,) = await world.breaks()
    await world.reconciling.run(world.channel, UNTIL, "mei")
    (missing,) = await world.breaks()
    assert (expected.found.kind, missing.found.kind) == (BreakKind.EXPECTED, BreakKind.MISSING)
    assert (missing.id, missing.version, missing.opened_on) == (expected.id, 2, DAY)
    await world.report(world.line(sale, occurred_at=NOON + timedelta(days=1)))
    await world.reconciling.run(world.channel, UNTIL, "mei")
    assert not await world.breaks()
    (closed,) = await world.breaks(standing=False)
    assert (closed.state, closed.version) == (BreakState.RESOLVED, 3)


async def test_line_under_another_key_of_what_was_matched_before_is_a_duplicate(world: World) -> None:
    sale = world.movement()
    await world.book(sale)
    await world.report(world.line(sale))
    await world.reconciling.run(world.channel, UNTIL, "mei")
    await world.report(world.line(sale))
    run = await world.reconciling.run(world.channel, UNTIL, "mei")
    assert run.by_kind == {BreakKind.DUPLICATE: 1}
    again = await world.reconciling.run(world.channel, UNTIL, "mei")
    assert (again.by_kind, len(await world.breaks())) == (run.by_kind, 1)


async def test_line_that_comes_again_under_its_key_counts_once(world: World) -> None:
    sale = world.movement()
    line = world.line(sale)
    await world.book(sale)
    await world.report(line)
    await world.report(line)
    run = await world.reconciling.run(world.channel, UNTIL, "mei")
    assert (run.reported_count, run.matched_count, run.break_count) == (1, 1, 0)


async def test_refund_that_failed_is_expected_of_nobody(world: World) -> None:
    sale = world.movement()
    refund = opposite(sale, source_id=UUID(int=sale.id.int + 1))
    given_back = msgspec.structs.replace(
        refund, id=UUID(int=sale.id.int + 2), kind=MovementKind.REFUND_FAILED, amount_minor=1_000
    )
    await world.book(sale, refund, given_back)
    await world.report(world.line(sale))
    run = await world.reconciling.run(world.channel, UNTIL, "mei")
    assert (run.expected_count, run.matched_count, run.break_count) == (1, 1, 0)


async def test_each_fault_is_named(world: World) -> None:
    sales = [world.movement(1_000 + number) for number in range(6)]
    await world.book(*sales)
    more, less, coin, late, twice = sales[:5]
    double = world.line(twice)
    await world.report(
        world.line(more, gross_minor=2_000),
        world.line(less, gross_minor=1),
        world.line(coin, currency="USD"),
        world.line(late, occurred_at=NOON + timedelta(days=6)),
        double,
        msgspec.structs.replace(double, number=99, key="another"),
        world.line(world.movement(77)),
    )
    run = await world.reconciling.run(world.channel, UNTIL, "mei")
    assert run.by_kind == {
        BreakKind.OVER_AMOUNT: 1,
        BreakKind.UNDER_AMOUNT: 1,
        BreakKind.CURRENCY_MISMATCH: 1,
        BreakKind.DATA_MISMATCH: 1,
        BreakKind.DUPLICATE: 1,
        BreakKind.MISSING: 1,
        BreakKind.UNEXPECTED: 1,
    }
    assert run.matched_count == 1
    assert await world.kinds() == sorted(run.by_kind)


async def test_equal_worlds_give_equal_digests(database: Database) -> None:
    world = World(database)
    await world.agree()
    sales = [world.movement(100 + number) for number in range(20)]
    await world.book(*sales)
    await world.report(*(world.line(each) for each in sales[:15]))
    first = await world.reconciling.run(world.channel, UNTIL, "mei")
    async with database.connection() as connection:
        await connection.execute("DELETE FROM clearing.matched WHERE run_id = $1", first.id)
    second = await world.reconciling.run(world.channel, UNTIL, "li")
    assert (second.digest, second.by_kind) == (first.digest, first.by_kind)


async def test_bank_shows_what_the_channel_says_it_paid(world: World) -> None:
    sale = world.movement(10_000)
    paid = world.line(
        sale, kind=LineKind.TRANSFER, gross_minor=9_940, net_minor=9_940, reference="set_1", batch="set_1"
    )
    lost = msgspec.structs.replace(
        paid, number=50, key="lost", reference="set_2", batch="set_2", net_minor=5_000
    )
    await world.report(paid, lost)
    entry = world.line(
        sale,
        kind=LineKind.TRANSFER,
        gross_minor=9_940,
        net_minor=9_940,
        reference="set_1",
        channel_reference="",
    )
    charge = world.line(
        sale, kind=LineKind.FEE, gross_minor=-15, net_minor=-15, reference="", channel_reference="charge"
    )
    await world.report(entry, charge, source=world.bank)
    run = await world.reconciling.run(world.bank, UNTIL, "mei")
    assert (run.matched_count, run.by_kind) == (1, {BreakKind.MISSING: 1, BreakKind.UNEXPECTED: 1})
    async with world.database.connection() as connection:
        matches = await store.matches_of(connection, [await _line_as_expected(world)])
    assert [each["leg"] for each in matches] == [1]


async def _line_as_expected(world: World) -> UUID:
    async with world.database.connection() as connection:
        found = await connection.fetchval(
            "SELECT id FROM clearing.line WHERE source = $1 AND reference = 'set_1'", world.channel
        )
    return UUID(int=found)


async def test_statement_that_is_missing_is_told_until_it_comes(world: World) -> None:
    def balance(amount: int) -> Balance:
        return Balance(currency="CNY", amount_minor=amount, on=DAY)

    await world.report(source=world.bank, sequence=7, opening=balance(0), closing=balance(100))
    last = {
        "sequence": 9,
        "until_on": DAY + timedelta(days=2),
        "opening": balance(250),
        "closing": balance(300),
    }
    await world.report(source=world.bank, **last)
    run = await world.reconciling.run(world.bank, UNTIL, "mei")
    assert run.by_kind == {BreakKind.STATEMENT_GAP: 2}
    gaps = {each.found.facts["gap"] for each in await world.breaks(world.bank)}
    assert gaps == {"sequence:8-8", f"balance:{DAY + timedelta(days=2)}"}
    between: dict[str, Any] = {
        "sequence": 8,
        "until_on": DAY + timedelta(days=1),
        "opening": balance(100),
        "closing": balance(250),
    }
    await world.report(source=world.bank, **between)
    await world.reconciling.run(world.bank, UNTIL, "mei")
    assert not await world.breaks(world.bank)


async def test_run_of_an_unknown_source_is_refused(world: World) -> None:
    with pytest.raises(NotFound, match="source_unknown"):
        await world.reconciling.run("nobody", UNTIL, "mei")
    with pytest.raises(NotFound, match="run_unknown"):
        await world.reconciling.get(UUID(int=1))


async def test_lines_of_a_file_that_is_still_being_read_count_later(world: World) -> None:
    sale = world.movement()
    await world.book(sale)
    file = await world.report(world.line(sale))
    async with world.database.transaction() as connection:
        await line_store.put_file(connection, msgspec.structs.replace(file, state=FileState.READING))
    run = await world.reconciling.run(world.channel, UNTIL, "mei")
    assert (run.reported_count, run.by_kind) == (0, {BreakKind.MISSING: 1})
    async with world.database.transaction() as connection:
        await line_store.put_file(connection, file)
    assert (await world.reconciling.run(world.channel, UNTIL, "mei")).matched_count == 1


async def test_break_that_is_too_old_to_be_looked_at_stands(world: World) -> None:
    await world.book(world.movement())
    await world.report()
    await world.reconciling.run(world.channel, UNTIL, "mei")
    run = await world.reconciling.run(world.channel, UNTIL + timedelta(days=200), "mei")
    assert run.expected_count == 0
    assert await world.kinds() == [BreakKind.MISSING]


async def test_cost_of_a_pair_that_is_priced_later_is_compared_then_and_once(world: World) -> None:
    fair, dear = world.movement(10_000), world.movement(20_000)
    await world.book(fair, dear)
    await world.report(
        world.line(fair, fee_minor=60, net_minor=9_940), world.line(dear, fee_minor=190, net_minor=19_810)
    )
    run = await world.reconciling.run(world.channel, UNTIL, "mei")
    assert (run.matched_count, run.break_count) == (2, 0)
    world.clock.advance(timedelta(minutes=5))
    await world.price({fair: 60, dear: 120})
    later = await world.reconciling.run(world.channel, UNTIL, "mei")
    assert later.by_kind == {BreakKind.FEE_MISMATCH: 1}
    (found,) = await world.breaks()
    assert (found.found.expected, found.found.difference_minor) == ((dear.id,), 70)
    world.clock.advance(timedelta(minutes=5))
    assert (await world.reconciling.run(world.channel, UNTIL, "mei")).break_count == 0
    assert len(await world.breaks()) == 1
