"""What tests of money after reconciliation share: a ledger, a break desk, channels' money, and the law over all books."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from tests.clearing.ledgers_of_others import DAY, World, plain_days
from tests.clearing.settlement import balance

from tongbao.clearing.schema.breaks import Break, BreakKind
from tongbao.clearing.schema.lines import Line, LineKind
from tongbao.clearing.schema.movements import Movement
from tongbao.clearing.service.break_desk import BreakDesk
from tongbao.clearing.service.channel_money import ChannelMoney
from tongbao.clearing.service.house_money import HouseMoney
from tongbao.clearing.service.payout_books import PLATFORM_CODE
from tongbao.core.db import Database
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.schema import BookId, Side, Transfer
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import unbalanced

UNTIL = DAY + timedelta(days=7)


class Books(World):
    """A world whose movements stand in the ledger, with a desk and the money of its channel."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        super().__init__(database)
        self.ledger = ledger
        self.money = HouseMoney(ledger)
        self.desk = BreakDesk(database, ledger, self.clock, self.money, plain_days)
        self.channel_money = ChannelMoney(database, ledger, self.clock, self.money)

    async def sell(self, *movements: Movement) -> None:
        """Book movements, and post what they are owed for."""
        await self.book(*movements)
        for each in movements:
            money = await self.money.merchant(each.book_id, self.channel, each.currency)
            other = await self.ledger.accounts.open_account(
                money.book_id, "in_transit", each.currency, side=Side.CREDIT
            )
            pair = money.receivable, other.account_id
            debit, credit = pair if each.amount_minor > 0 else pair[::-1]
            result = await self.ledger.posting.post_one(
                Transfer(
                    key=each.id,
                    book_id=BookId(each.book_id),
                    debit_account_id=debit,
                    credit_account_id=credit,
                    amount_minor=abs(each.amount_minor),
                    asset_id=money.asset_id,
                    code="payment.charged",
                )
            )
            assert result.accepted

    def paid(self, net_minor: int, batch: str = "set_1", currency: str = "CNY") -> Line:
        """The line by which a channel says that it paid."""
        plain = self.movement(net_minor, currency=currency)
        return self.line(
            plain,
            kind=LineKind.TRANSFER,
            reference=batch,
            channel_reference="",
            batch=batch,
            net_minor=net_minor,
        )

    async def show(self, *transfers: Line, **fields: Any) -> None:
        """Let the statement of the bank show what channels paid."""
        plain = self.movement()
        entries = [
            self.line(
                plain,
                kind=LineKind.TRANSFER,
                currency=each.currency,
                gross_minor=each.net_minor,
                net_minor=each.net_minor,
                reference=each.reference,
                channel_reference="",
                **fields,
            )
            for each in transfers
        ]
        await self.report(*entries, source=self.bank)

    async def run(self) -> None:
        """Reconcile the channel and the bank."""
        await self.reconciling.run(self.channel, UNTIL, "mei")
        await self.reconciling.run(self.bank, UNTIL, "mei")

    async def held(self, code: str, currency: str = "CNY", book_id: int | None = None) -> int:
        """The balance of an account of a merchant as an accountant writes it; of ``receivable`` that of the channel."""
        code = f"channel_receivable/{self.channel}" if code == "receivable" else code
        return await balance(self.ledger, self.book_id if book_id is None else book_id, code, currency)

    async def house(self, currency: str = "CNY") -> dict[str, int]:
        """The balances of the platform's accounts, as an accountant writes them."""
        await self.money.platform(currency, live=True)
        book = await self.ledger.accounts.book(PLATFORM_CODE)
        codes = ("bank", "clearing", "suspense", "channel_cost", "write_offs")
        return {code: await balance(self.ledger, book.book_id, code, currency) for code in codes}

    async def break_of(self, kind: BreakKind, source: str = "") -> Break:
        """The only standing break of a kind."""
        (found,) = [each for each in await self.breaks(source) if each.found.kind is kind]
        return found

    async def write_off(self, of: Break) -> Break:
        """Write a break off by two people."""
        await self.desk.propose(of.id, actor="mei", note="too small to chase")
        return await self.desk.approve(of.id, actor="li", note="agreed")

    async def journal(self) -> int:
        """How many transfers the books of the world and of the platform hold."""
        book = await self.ledger.accounts.book(PLATFORM_CODE)
        async with self.database.connection() as connection:
            return int(
                await connection.fetchval(
                    "SELECT count(*) FROM ledger.transfer WHERE book_id = ANY ($1::bigint[])",
                    [self.book_id, book.book_id],
                )
            )


async def check_law(ledger: Ledger) -> None:
    """Assert that all books balance, and that merchants hold against the house what the house's clearing owes them."""
    lines = await ledger.reading.trial_balance()
    assert unbalanced(lines) == {}
    held: dict[str, int] = {}
    for line in lines:
        if (line.book_code, line.account_code) == ("merchant", "house_receivable"):
            held[line.asset] = held.get(line.asset, 0) + line.debits_minor - line.credits_minor
        if (line.book_code, line.account_code) == ("platform", "clearing"):
            held[line.asset] = held.get(line.asset, 0) + line.debits_minor - line.credits_minor
    assert not any(held.values()), held


@asynccontextmanager
async def open_books(database: Database, ids: IdFactory) -> AsyncIterator[Books]:
    """A world of books whose channel and bank are agreed with; afterwards the law must hold."""
    probe = World(database)
    async with Ledger(database, probe.clock, Metrics(), ids) as ledger:
        books = Books(database, ledger)
        await books.agree()
        yield books
        await check_law(ledger)
