"""Two files of one channel: trades against payments, funds against what trades told and against the bank, nothing twice."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.clearing.house_books import UNTIL, Books, check_law, open_books
from tests.clearing.ledgers_of_others import DAY, NOON, opposite

from tongbao.clearing.policy import sources
from tongbao.clearing.schema.breaks import Break, BreakKind, BreakState, Run
from tongbao.clearing.schema.lines import Format, LineKind, Side, SourceTerms, Tells
from tongbao.clearing.schema.movements import Movement
from tongbao.clearing.service.intake import Intake, Taken
from tongbao.clearing.service.reconciling_due import ReconcilingDue
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import IdFactory
from tongbao.simulator.sandbox import settlement_files as written
from tongbao.simulator.sandbox.settlement_files import Row


class Wechat:
    """A channel that sends a bill of trades and a bill of funds, over books of the world."""

    def __init__(self, books: Books, folder: Path) -> None:
        self.books = books
        self.folder = folder
        self.intake = Intake(books.database, books.clock, books.ids)
        self.funds = f"{books.channel}_funds"

    async def agree(self, **fields: Any) -> None:
        """Agree on both files; the channel pays to the bank of the world."""
        shared: dict[str, Any] = {"side": Side.CHANNEL, "is_daily": False, "report_days": 1} | fields
        trades = SourceTerms(source=self.books.channel, format=Format.WECHAT_TRADE, **shared)
        funds = SourceTerms(
            source=self.funds,
            format=Format.WECHAT_FUND,
            channel=self.books.channel,
            tells=Tells.FUNDS,
            bank=self.books.bank,
            **shared,
        )
        for terms in (trades, funds):
            await self.intake.agree(terms, "mei")

    async def take(self, source: str, content: bytes, name: str = "file", on: date | None = None) -> Taken:
        """Take a file of one of them in."""
        path = self.folder / name
        path.write_bytes(content)
        return await self.intake.take(path, await self.intake.source(source), "mei", name=name, on=on)

    async def run(self) -> tuple[Run, Run]:
        """Reconcile trades and funds."""
        run = self.books.reconciling.run
        return await run(self.books.channel, UNTIL, "mei"), await run(self.funds, UNTIL, "mei")

    async def breaks(self, source: str) -> list[tuple[BreakKind, int]]:
        """Kinds and differences of the breaks of a source that stand."""
        return sorted((each.found.kind, each.found.difference_minor) for each in await self.standing(source))

    async def standing(self, source: str) -> list[Break]:
        """The breaks of a source that stand."""
        return await self.books.breaks(source)


@pytest.fixture
async def wechat(database: Database, ids: IdFactory, tmp_path: Path) -> AsyncIterator[Wechat]:
    async with open_books(database, ids) as books:
        found = Wechat(books, tmp_path)
        await found.agree()
        yield found


def row(of: Movement, fee_minor: int = 0, **fields: Any) -> Row:
    """What the channel writes of a movement."""
    plain: dict[str, Any] = {
        "reference": of.reference,
        "channel_reference": of.channel_reference,
        "kind": "sale" if of.amount_minor > 0 else "refund",
        "amount_minor": of.amount_minor,
        "fee_minor": fee_minor,
        "at": of.occurred_at,
    }
    return Row(**(plain | fields))


def withdrawn(amount_minor: int) -> Row:
    """Money that the channel sent to the bank."""
    return Row(reference="wx1", channel_reference="wx1", kind="transfer", amount_minor=amount_minor, at=NOON)


def sold(books: Books) -> tuple[Movement, Movement, Movement]:
    """Two sales, and a refund of a part of the first."""
    first, second = books.movement(10_000), books.movement(5_000)
    name = books.ids.uuid()
    back = opposite(first, id=name, amount_minor=-2_000, channel_reference=f"rf_{name.hex}")
    return first, second, back


async def test_both_bills_are_matched_and_the_money_is_posted_once(wechat: Wechat) -> None:
    books = wechat.books
    moved = sold(books)
    before = await books.house()
    await books.sell(*moved)
    rows = [row(moved[0], 60), row(moved[1], 30), row(moved[2], -12)]
    net = 10_000 - 60 + 5_000 - 30 - 2_000 + 12
    await wechat.take(books.channel, written.wechat_trade(rows))
    await wechat.take(wechat.funds, written.wechat_fund([*rows, withdrawn(net)]))
    trades, funds = await wechat.run()
    assert (trades.matched_count, trades.break_count) == (3, 0)
    # The three payments, and the cost of each.
    assert (funds.matched_count, funds.break_count) == (6, 0)
    shown = books.line(moved[0], kind=LineKind.TRANSFER, reference="wx1", channel_reference="b1")
    await books.report(msgspec.structs.replace(shown, gross_minor=net, net_minor=net), source=books.bank)
    await books.reconciling.run(books.bank, UNTIL, "mei")
    assert await books.breaks(books.bank) == []
    assert [await books.channel_money.step(books.channel) for _ in range(2)] == [1, 0]
    names = ("receivable", "house_receivable", "channel_cost")
    assert [await books.held(name) for name in names] == [0, net, 78]
    after = await books.house()
    assert {name: after[name] - before[name] for name in after if after[name] != before[name]} == {
        "bank": net,
        "clearing": net,
    }
    await check_law(books.ledger)


async def test_what_the_two_bills_say_otherwise_is_named_and_is_no_money_of_the_books(
    wechat: Wechat,
) -> None:
    books = wechat.books
    first, second, back = sold(books)
    await books.sell(first, second, back)
    trades = [row(first, 60), row(second, 30), row(back)]
    short = row(first, 0, amount_minor=9_000)
    stranger = row(books.movement(700))
    cost = row(second, kind="fee", amount_minor=-31, channel_reference=second.channel_reference)
    await wechat.take(books.channel, written.wechat_trade(trades))
    await wechat.take(wechat.funds, written.wechat_fund([short, row(second), cost, stranger]))
    for _ in range(2):
        trade_run, funds_run = await wechat.run()
    assert (trade_run.break_count, await books.breaks()) == (0, [])
    assert funds_run.by_kind == {
        BreakKind.MISSING: 2,  # the refund, and the cost of the first sale
        BreakKind.UNDER_AMOUNT: 1,  # the first sale
        BreakKind.OVER_AMOUNT: 1,  # the cost of the second
        BreakKind.UNEXPECTED: 1,
    }
    found = await wechat.standing(wechat.funds)
    assert len(found) == 5
    for each in found:
        with pytest.raises(InvalidRequest, match="nothing_to_write_off"):
            await books.desk.propose(each.id, actor="mei", note="gone")
    sides = {each.id: (await books.desk.get(each.id))[0] for each in found}
    told = sorted((side.kind, side.amount_minor) for view in sides.values() for side in view.expected)
    assert told == [("fee", -60), ("fee", -30), ("refund", -2_000), ("sale", 10_000)]


async def test_steps_run_payments_and_funds_once_for_every_file(wechat: Wechat) -> None:
    books = wechat.books
    followed: list[str] = []

    async def follow(run: Run) -> None:
        followed.append(run.source)

    due = ReconcilingDue(books.clock, wechat.intake, books.reconciling, follow)
    mine = {books.channel, wechat.funds}

    async def runs() -> list[str]:
        # What comes in the instant of a run may have come after it had looked.
        books.clock.advance(timedelta(seconds=1))
        await due.step()
        found = [run.source for name in mine for run in await books.reconciling.page(source=name)]
        return sorted(found)

    sale = books.movement(1_000)
    await books.sell(sale)
    await wechat.take(books.channel, written.wechat_trade([row(sale, 6)]))
    assert await runs() == [books.channel]
    await wechat.take(wechat.funds, written.wechat_fund([row(sale, 6)]))
    assert await runs() == sorted([books.channel, wechat.funds])
    assert await runs() == sorted([books.channel, wechat.funds])
    # What was told of payments is heard of them; what moved is not.
    assert [name for name in followed if name in mine] == [books.channel]


async def test_two_files_of_payments_are_one_run_under_the_channels_name(wechat: Wechat) -> None:
    books = wechat.books
    more = f"{books.channel}_more"
    terms = await wechat.intake.source(books.channel)
    await wechat.intake.agree(msgspec.structs.replace(terms, source=more, channel=books.channel), "mei")
    first, second, _ = sold(books)
    await books.sell(first, second)
    await wechat.take(books.channel, written.wechat_trade([row(first)]))
    await wechat.take(more, written.wechat_trade([row(second)]))
    run = await books.reconciling.run(more, UNTIL, "mei")
    assert (run.source, run.matched_count, run.break_count) == (books.channel, 2, 0)


async def test_day_of_an_empty_bill_is_no_gap_and_a_stray_line_hides_none(wechat: Wechat) -> None:
    books = wechat.books
    await wechat.agree(is_daily=True)
    sales = [books.movement(1_000 + n, occurred_at=NOON + timedelta(days=n)) for n in (0, 4, 5)]
    sales.append(books.movement(999, occurred_at=NOON + timedelta(days=1)))
    await books.sell(*sales)

    async def gaps() -> list[str]:
        await books.reconciling.run(books.channel, DAY + timedelta(days=8), "mei")
        return sorted(each.found.facts.get("gap", "") for each in await books.breaks())

    await wechat.take(books.channel, written.wechat_trade([row(sales[0])]), f"bill-{DAY}.csv")
    for number in (2, 3):
        on = DAY + timedelta(days=number)
        empty = written.wechat_trade([]) + b"\r\n" * number
        # One names its day, the other has it named for it.
        await wechat.take(
            books.channel, empty, f"{on}" if number == 2 else "file", None if number == 2 else on
        )
    await wechat.take(books.channel, written.wechat_trade([row(sales[1])]), "fourth", DAY + timedelta(days=4))
    last = written.wechat_trade([row(sales[2]), row(sales[3])])
    taken = await wechat.take(books.channel, last, "fifth", DAY + timedelta(days=5))
    assert (taken.file.period_by, len(taken.file.strays)) == ("sender", 1)
    silent = [f"day:{DAY + timedelta(days=n)}" for n in (1, 6)]
    # The line of the first day in the file of the fifth is matched, told of, and covers nothing.
    assert await gaps() == ["", *silent]
    (stray,) = [each for each in await books.breaks() if not each.found.facts.get("gap")]
    assert (stray.found.kind, stray.found.facts["cause"]) == (BreakKind.DATA_MISMATCH, "file_day")
    await books.desk.resolve(stray.id, actor="mei", note="they said it was late")
    assert await gaps() == silent
    assert [each.state for each in await books.breaks(standing=False) if each.id == stray.id] == [
        BreakState.RESOLVED
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"side": Side.BANK, "channel": "wechat"},
        {"side": Side.BANK, "tells": Tells.FUNDS},
        {"tells": Tells.FUNDS},
        {"tells": Tells.FUNDS, "channel": "one"},
        {"channel": "x" * 65},
    ],
)
async def test_source_that_cannot_be_is_refused(wechat: Wechat, changes: dict[str, Any]) -> None:
    terms = SourceTerms(source="one", side=Side.CHANNEL, format=Format.CSV)
    with pytest.raises(InvalidRequest, match="source_invalid"):
        await wechat.intake.agree(msgspec.structs.replace(terms, **changes), "mei")


def test_transfers_of_a_channel_are_told_by_one_of_its_files() -> None:
    known = {
        each.source: each
        for each in (
            SourceTerms(source="a", side=Side.CHANNEL, format=Format.CSV, bank="b"),
            SourceTerms(
                source="a_funds",
                side=Side.CHANNEL,
                format=Format.CSV,
                bank="b",
                channel="a",
                tells=Tells.FUNDS,
            ),
            SourceTerms(source="c", side=Side.CHANNEL, format=Format.CSV, bank="b"),
            SourceTerms(source="c2", side=Side.CHANNEL, format=Format.CSV, channel="c"),
            SourceTerms(source="b", side=Side.BANK, format=Format.CSV),
        )
    }
    assert sources.senders_to("b", known) == ["a_funds", "c"]
    assert [each.names for each in sources.all_together(known)] == [["a"], ["c", "c2"], ["a_funds"], ["b"]]
    assert sources.together("a_funds", known).tellers == ("a",)
