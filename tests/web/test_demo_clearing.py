"""The demonstration's clearing: whoever runs it finds agreements, accounts and files, and the bank books what it is told."""

import io
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from tests.web.whole_house import Whole, open_whole

from tongbao.channels.service.banks import Order, OrderMessage, build_banks
from tongbao.clearing.adapters.opening import open_file
from tongbao.clearing.schema.agreements import CUTS_A_DAY_MAX, Cycle
from tongbao.clearing.schema.batches import Batch, BatchState, Totals
from tongbao.clearing.schema.lines import Line
from tongbao.clearing.store import batches as batch_store
from tongbao.core.clock import FrozenClock
from tongbao.core.db import Database
from tongbao.core.http import HttpClient
from tongbao.ledger.schema import BookId, Transfer
from tongbao.parties.service.demo import DEMO, open_demo
from tongbao.simulator import day_files
from tongbao.simulator.bank_clerk import BankClerk
from tongbao.simulator.sandbox import wechat_acts
from tongbao.simulator.sandbox.schema import Act, Dispute, Operation, Payment, Purpose, State
from tongbao.simulator.sandbox.world import World
from tongbao.web import demo_clearing
from tongbao.web.demo_clearing import DemoClearing, demo_bank
from tongbao.web.demo_costs import COSTS, SPEC

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CHANNELS = ("card_east", "alipay", "wechatpay")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bank")


@pytest.fixture(scope="module")
async def whole(
    database: Database, dsn: str, tmp_path_factory: pytest.TempPathFactory, bank: Path
) -> AsyncIterator[Whole]:
    home = tmp_path_factory.mktemp("house")
    async with open_whole(database, dsn, home, banks=[demo_bank(bank)]) as opened:
        yield opened


def payment(number: int, channel: str = "card_east", state: State = State.CAPTURED) -> Payment:
    """A payment that was decided some minutes after noon."""
    return Payment(
        channel=channel,
        reference=f"pa_{number}",
        channel_reference=f"C{number:011}",
        purpose=Purpose.PAYMENT,
        amount_minor=1_000 + number,
        currency="CNY",
        state=state,
        opened_at=NOON,
        captured_minor=1_000 + number,
        decided_at=NOON + timedelta(minutes=number),
    )


def refunded(of: Payment) -> Payment:
    """The payment, half of it given back an hour later."""
    of.acts["re_1"] = Act(
        operation=Operation.REFUND,
        reference="re_1",
        channel_reference="R00000000001",
        amount_minor=500,
        done=True,
        at=NOON + timedelta(hours=1),
    )
    return of


async def approved(whole: Whole, amount_minor: int) -> Batch:
    """An approved batch of a merchant of the demonstration that is paid in yuan, its money on ``available``."""
    house, now = whole.house, whole.clock.now()
    (merchant,) = [each for each in DEMO if each.draft.default_currency == "CNY"]
    book_id = BookId(merchant.test_book_id)
    accounts = house.runtime.ledger.accounts
    await accounts.open_book(f"demo-{book_id}", "merchant", "Tea", ("CNY",), book_id=book_id)
    source = await accounts.account_by_code(book_id, "in_transit", "CNY")
    target = await accounts.account_by_code(book_id, "available", "CNY")
    result = await house.runtime.ledger.posting.post_one(
        Transfer(
            key=whole.ids.uuid(),
            book_id=book_id,
            debit_account_id=source.account_id,
            credit_account_id=target.account_id,
            amount_minor=amount_minor,
            asset_id=source.asset_id,
            code="test",
        )
    )
    assert result.accepted
    batch = Batch(
        id=whole.ids.uuid(),
        book_id=book_id,
        live=False,
        currency="CNY",
        cut_at=now,
        payout_on=now.date(),
        state=BatchState.APPROVED,
        totals=Totals(count=1, gross_minor=amount_minor),
        paid_minor=amount_minor,
        created_at=now,
        updated_at=now,
    )
    async with house.runtime.database.transaction() as connection:
        await batch_store.insert(connection, batch)
    return batch


async def stepped(whole: Whole) -> None:
    """Let payouts do everything that is due."""
    for _ in range(20):
        if not await whole.house.clearing.paying.step():
            return
    raise AssertionError("paying never came to its end")


def test_clerk_goes_on_with_numbers_and_balances_after_a_new_start_and_shows_everything_once(
    tmp_path: Path,
) -> None:
    headers = []
    for number in range(3):
        clerk = BankClerk(tmp_path / "out", tmp_path / "into", "1")
        for _ in range(2):
            clerk.credit("CNY", 100 + number, f"C{number}")
        assert (clerk.close_day(NOON), clerk.close_day(NOON)) == (1, 0)
        (path,) = (tmp_path / "into").glob("*.xml")
        reader = open_file(io.BytesIO(path.read_bytes()), demo_clearing.terms_of(demo_clearing.BANK))
        assert [each.gross_minor for each in reader if isinstance(each, Line)] == [100 + number]
        headers.append(reader.header)
        path.unlink()
    assert [each.sequence for each in headers] == [1, 2, 3]
    for before, after in pairwise(headers):
        assert before.closing is not None
        assert after.opening is not None
        assert before.closing.amount_minor == after.opening.amount_minor


async def test_every_merchant_gets_an_agreement_and_an_account_once(whole: Whole, tmp_path: Path) -> None:
    house = whole.house
    await open_demo(house.parties)
    for folder in ("out", "into"):
        (tmp_path / folder).mkdir()
    demo = DemoClearing(house.clearing, whole.clock, World(whole.clock, 1), CHANNELS, tmp_path)
    await demo.open()
    await demo.open()
    for merchant in DEMO:
        currency = merchant.draft.default_currency
        assert len(await house.clearing.destinations.page(merchant.test_book_id)) == 1
        found = await house.clearing.agreements.at(merchant.test_book_id, currency, whole.clock.now())
        assert (found.book_id, found.version) == (merchant.test_book_id, 1)
        on_the_day = currency == "CNY"
        assert (found.agreement.cycle is Cycle.D) == on_the_day
        if on_the_day:
            assert len(found.agreement.cuts) == CUTS_A_DAY_MAX
            (cut,) = await house.clearing.agreements.calendar(merchant.test_book_id, currency, 1)
            assert cut.cut_at - whole.clock.now() <= demo_clearing.CUT_EVERY
    known = await house.clearing.intake.sources()
    assert [known[name] for name in CHANNELS] == [demo_clearing.terms_of(name) for name in CHANNELS]
    prices, soon = house.clearing.prices, whole.clock.now() + demo_clearing.COSTS_AHEAD
    assert (await prices.at(COSTS, soon)).spec == SPEC
    assert len(await prices.versions(COSTS)) == 2


async def test_a_later_start_goes_on_with_the_files_where_the_one_before_it_ended(
    whole: Whole, tmp_path: Path
) -> None:
    await open_demo(whole.house.parties)
    intake, world = whole.house.clearing.intake, World(whole.clock, 2)

    async def start() -> DemoClearing:
        demo = DemoClearing(whole.house.clearing, whole.clock, world, ["card_west"], tmp_path)
        await demo.open()
        return demo

    def pays(reference: str) -> None:
        paid = world.ask("card_west", reference, 1_000, "CNY")
        assert isinstance(paid, Payment)
        world.approve(paid, captured=True)

    first = await start()
    for reference in ("pa_before", "pa_while_it_was_stopped"):
        pays(reference)
        whole.clock.advance(demo_clearing.FILE_EVERY)
        if reference == "pa_before":
            await first.round()
    second = await start()
    whole.clock.advance(demo_clearing.FILE_EVERY)
    await second.round()
    files = await intake.page("card_west")
    assert [(each.line_count, each.repeated_count) for each in files] == [(1, 0), (1, 0)]
    (line,) = await intake.lines(files[0].id)
    assert line.line.reference == "pa_while_it_was_stopped"


def test_files_tell_what_was_decided_in_their_time_and_nothing_else() -> None:
    known = [
        refunded(payment(1)),
        payment(2, state=State.DECLINED),
        payment(3, state=State.AUTHORIZED),
        payment(4),
        payment(99),
    ]
    rows = day_files.rows_of(known, NOON, NOON + timedelta(minutes=90))
    assert [(row.kind, row.amount_minor) for row in rows] == [
        ("sale", 1_001),
        ("sale", 1_004),
        ("refund", -500),
    ]
    later = day_files.rows_of(known, NOON + timedelta(minutes=90), NOON + timedelta(hours=3))
    assert [row.reference for row in later] == ["pa_99"]


def test_what_is_captured_and_disputed_stands_in_the_file_of_its_own_time() -> None:
    clock = FrozenClock(NOON)
    world = World(clock, 1)
    paid = world.ask("card_east", "pa_1", 1_000, "CNY")
    assert isinstance(paid, Payment)
    world.approve(paid, captured=False)
    told = []
    for hour in range(6):
        clock.advance(timedelta(minutes=30))
        match hour:
            case 1:
                world.capture(paid, "cap_1", 600, final=False)
            case 2:
                world.capture(paid, "cap_2", 300, final=True)
            case 3:
                world.dispute(paid, "13.1")
            case 4:
                (dispute,) = paid.disputes.values()
                world.resolve(paid, dispute, "won")
        since = NOON + timedelta(hours=hour)
        told.append(
            [
                (row.kind, row.amount_minor)
                for row in day_files.rows_of([paid], since, since + timedelta(hours=1))
            ]
        )
        clock.advance(timedelta(minutes=30))
    assert told == [[], [("sale", 600)], [("sale", 300)], [("dispute", -900)], [("dispute_won", 900)], []]
    content = day_files.file_of("card_east", day_files.rows_of([paid], NOON, clock.now()), NOON.date())
    lines = list(open_file(io.BytesIO(content), demo_clearing.terms_of("card_east")))
    keys = [each.key for each in lines if isinstance(each, Line)]
    assert len(set(keys)) == len(lines) == 4


def test_wallets_take_nothing_back_for_a_complaint() -> None:
    complained = payment(1, "alipay")
    complained.disputes["dsp_1"] = Dispute(
        reference="dsp_1",
        reason_code="13.1",
        amount_minor=1_001,
        status="needs_response",
        opened_at=NOON,
        respond_by=NOON,
    )
    rows = day_files.rows_of([complained], NOON, NOON + timedelta(days=1))
    assert [row.kind for row in rows] == ["sale"]


@pytest.mark.parametrize("channel", CHANNELS)
def test_file_of_every_channel_is_read_back_as_agreed(channel: str) -> None:
    rows = day_files.rows_of(
        [refunded(payment(1, channel)), payment(2, channel)], NOON, NOON + timedelta(days=1)
    )
    content = day_files.file_of(channel, rows, date(2026, 3, 2))
    lines = list(open_file(io.BytesIO(content), demo_clearing.terms_of(channel)))
    assert all(isinstance(each, Line) for each in lines), lines
    told = sorted((each.kind.value, each.gross_minor) for each in lines if isinstance(each, Line))
    assert told == [("refund", -500), ("sale", 1_001), ("sale", 1_002)]


async def test_clerk_books_every_payout_of_a_message_once(tmp_path: Path) -> None:
    http = HttpClient()
    try:
        (bank,) = build_banks([demo_bank(tmp_path)], http).all()
        orders = tuple(
            Order(
                end_to_end=f"E2E{number}",
                amount_minor=1_000 + number,
                currency="CNY",
                execution_on=date(2026, 3, 2),
                holder="玉泉茶楼",
                scheme="local",
                number="6222020200112233",
                agent_code="102331000014",
                country="CN",
            )
            for number in range(3)
        )
        message = OrderMessage(message_id="M1", made_at=NOON, orders=orders)
        await bank.send("M1", bank.prepare(message))
        clerk = BankClerk(tmp_path / "out", tmp_path / "into")
        assert (clerk.work(), clerk.work()) == (1, 0)
        (heard,) = await bank.collect()
        report = bank.read(heard.content)
        assert report.kind == "pain.002"
        assert [(each.end_to_end, each.status) for each in report.lines] == [
            (f"E2E{number}", "ACSC") for number in range(3)
        ]
    finally:
        await http.close()


async def test_batch_is_paid_and_reconciled_by_the_statement_at_the_end_of_the_banks_day(
    whole: Whole, bank: Path
) -> None:
    clearing = whole.house.clearing
    await open_demo(whole.house.parties)
    world = World(whole.clock, 1)
    demo = DemoClearing(clearing, whole.clock, world, CHANNELS, bank)
    await demo.open()
    # The account of the merchant cools down first.
    whole.clock.advance(timedelta(days=3))
    await demo.round()
    batch = await approved(whole, 12_345)
    payment = world.ask(wechat_acts.CHANNEL, "pa_wechat", 5_000, "CNY")
    assert isinstance(payment, Payment)
    world.approve(payment, captured=True)

    async def state() -> BatchState:
        return (await clearing.settling.get(batch.book_id, batch.id)).state

    await stepped(whole)
    await demo.round()
    await stepped(whole)
    assert await state() is BatchState.PAID
    whole.clock.advance(demo_clearing.BANK_DAY)
    await demo.round()
    await stepped(whole)
    assert await state() is BatchState.RECONCILED
    # What the bank brought is taken in, and both bills of the channel: the payout and the withdrawal stand on the statement.
    today = whole.clock.now().date() + timedelta(days=1)
    funds = await clearing.reconciling.run(demo_clearing.FUNDS, today, "mei")
    assert (funds.matched_count, funds.break_count) == (2, 0)
    shown = await clearing.reconciling.run(demo_clearing.BANK, today, "mei")
    assert (shown.reported_count, shown.matched_count, shown.break_count) == (2, 2, 0)
    assert await clearing.channel_money.step(demo_clearing.WECHAT) == 1
