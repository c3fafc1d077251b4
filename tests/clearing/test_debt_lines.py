"""Lines of a bank that are money for a debt: booked once, matched, and never a difference again."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from tests.clearing.house_books import Books, open_books
from tests.clearing.settlement import Lists, Sellers

from tongbao.clearing.policy import demands as policy
from tongbao.clearing.schema.breaks import Break, BreakKind, BreakState
from tongbao.clearing.schema.demands import Demand, DemandOrder, DemandState
from tongbao.clearing.schema.lines import LineKind
from tongbao.clearing.service.clearing import Clearing
from tongbao.clearing.store import demands as store
from tongbao.core.db import Database
from tongbao.core.errors import AppError
from tongbao.core.ids import IdFactory, derive
from tongbao.core.metrics import Metrics

NOBODY = derive(UUID(int=0), "none")


class Scene:
    """Books with clearing over them, and a demand of a merchant whose book has money."""

    def __init__(self, books: Books, clearing: Clearing) -> None:
        self.books = books
        self.clearing = clearing

    async def demand(self, amount_minor: int = 1_000, *, live: bool = True) -> Demand:
        """A demand, whatever is owed."""
        await self.books.sell(self.books.movement(50_000))
        now = self.books.clock.now()
        order = DemandOrder(
            book_id=self.books.book_id,
            currency="CNY",
            amount_minor=amount_minor,
            due_on=now.date() + timedelta(days=9),
            reference=f"D-{amount_minor}",
            note="for a test",
        )
        made = policy.made(order, self.books.ids.uuid(), now, "mei", live=live)
        async with self.books.database.transaction() as connection:
            await store.insert(connection, made)
        return made

    async def came(self, amount_minor: int, reference: str = "RF-1", currency: str = "CNY") -> Break:
        """A line of the bank that nobody expected."""
        line = self.books.line(
            self.books.movement(),
            kind=LineKind.TRANSFER,
            currency=currency,
            gross_minor=amount_minor,
            net_minor=amount_minor,
            reference=reference,
            channel_reference="",
        )
        await self.books.report(line, source=self.books.bank)
        await self.books.run()
        return await self.books.break_of(BreakKind.UNEXPECTED, self.books.bank)

    async def code(self, demand_id: UUID, break_id: UUID, note: str = "theirs") -> str:
        """How it is refused to take a line for a demand."""
        with pytest.raises(AppError) as caught:
            await self.clearing.debt_lines.receive(demand_id, break_id, actor="mei", note=note)
        return caught.value.code


@pytest.fixture
async def scene(database: Database, ids: IdFactory) -> AsyncIterator[Scene]:
    async with (
        open_books(database, ids) as books,
        Clearing(
            database, books.ledger, books.clock, Metrics(), prices=Lists(), sellers=Sellers()
        ) as clearing,
    ):
        yield Scene(books, clearing)


async def test_line_of_the_bank_pays_a_demand_once_and_is_no_difference_any_more(scene: Scene) -> None:
    made = await scene.demand()
    before = await scene.books.held("house_receivable"), (await scene.books.house())["bank"]
    of = await scene.came(400)
    take = scene.clearing.debt_lines.receive
    demand, receipt, after = await take(made.id, of.id, actor="mei", note="their reference")
    assert (demand.state, demand.left_minor, after.state) == (DemandState.PART_PAID, 600, BreakState.RESOLVED)
    assert (receipt.bank_reference, receipt.amount_minor) == ("RF-1", 400)
    assert receipt.line_id in of.found.reported
    held = await scene.books.held("house_receivable"), (await scene.books.house())["bank"]
    assert (held[0] - before[0], held[1] - before[1]) == (400, 400)
    again, same, _ = await take(made.id, of.id, actor="li", note="again")
    assert (again.received_minor, same) == (400, receipt)
    await scene.books.run()
    assert [
        each for each in await scene.books.breaks(scene.books.bank) if each.state is BreakState.OPEN
    ] == []


async def test_line_of_what_was_booked_by_hand_is_only_matched(scene: Scene) -> None:
    made = await scene.demand()
    today = scene.books.clock.now().date()
    await scene.clearing.collections.receive(
        made.id, 400, bank_reference="RF-1", received_on=today, actor="mei"
    )
    bank = (await scene.books.house())["bank"]
    of = await scene.came(400)
    demand, receipt, after = await scene.clearing.debt_lines.receive(
        made.id, of.id, actor="li", note="booked on Monday"
    )
    assert (demand.received_minor, after.state) == (400, BreakState.RESOLVED)
    assert (await scene.books.house())["bank"] == bank
    assert [each.line_id for each in await scene.clearing.collections.receipts(demand)] == [receipt.line_id]


async def test_line_that_pays_no_demand_is_refused_and_its_break_stands(scene: Scene) -> None:
    made = await scene.demand(300)
    of = await scene.came(400)
    assert await scene.code(made.id, of.id) == "amount_over_demand"
    assert await scene.code(made.id, of.id, note="") == "note_invalid"
    assert await scene.code(NOBODY, of.id) == "demand_unknown"
    assert await scene.code(made.id, NOBODY) == "break_unknown"
    test_money = await scene.demand(500, live=False)
    assert await scene.code(test_money.id, of.id) == "line_not_payment"
    assert (await scene.books.break_of(BreakKind.UNEXPECTED, scene.books.bank)).state is BreakState.OPEN
    await scene.books.desk.resolve(of.id, actor="li", note="asked the bank")
    assert await scene.code((await scene.demand(800)).id, of.id) == "break_closed"


@pytest.mark.parametrize(
    ("amount_minor", "currency", "code"),
    [(-400, "CNY", "line_not_payment"), (400, "EUR", "currency_differs")],
)
async def test_line_of_other_money_is_refused(
    scene: Scene, amount_minor: int, currency: str, code: str
) -> None:
    made = await scene.demand()
    of = await scene.came(amount_minor, currency=currency)
    assert await scene.code(made.id, of.id) == code


async def test_break_of_a_channel_is_no_payment(scene: Scene) -> None:
    made = await scene.demand()
    await scene.books.report(scene.books.line(scene.books.movement(700), reference="nobody"))
    await scene.books.run()
    of = await scene.books.break_of(BreakKind.UNEXPECTED, scene.books.channel)
    assert await scene.code(made.id, of.id) == "line_not_payment"
