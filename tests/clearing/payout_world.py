"""Merchants with approved batches and money to pay them from, a bank, and payouts over them."""

import contextlib
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from tests.clearing.bank_peer import HOUSE_IBAN
from tests.clearing.settlement import Lists, Sellers

from tongbao.channels.schema import Mode
from tongbao.channels.service.banks import (
    BankSettings,
    BankSpec,
    FolderWay,
    HttpWay,
    OwnAccount,
    build_banks,
)
from tongbao.clearing.adapters.banking import ChannelBank
from tongbao.clearing.policy.destinations import account_number
from tongbao.clearing.ports import Bank
from tongbao.clearing.schema.batches import Batch, BatchState, Totals
from tongbao.clearing.schema.lines import Format, Side, SourceTerms
from tongbao.clearing.schema.payouts import Destination, Payout
from tongbao.clearing.service.clearing import Clearing
from tongbao.clearing.service.destinations import Destinations
from tongbao.clearing.service.intake import Intake, Taken
from tongbao.clearing.service.paying import Paying
from tongbao.clearing.service.reconciling import Reconciling
from tongbao.clearing.service.working_days import working_day
from tongbao.clearing.store import batches as batch_store
from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.http import HttpClient
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.schema import BookId, Transfer
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import unbalanced
from tongbao.payments.adapters.secret_box import AesGcmBox

KEY = bytes(range(32))
IBANS = (
    "DE89370400440532013000",
    "GB29NWBK60161331926819",
    "FR1420041010050500013M02606",
    "NL91ABNA0417164300",
)
NAME = "house_bank"


def http_bank(
    send_url: str,
    collect_url: str,
    http: HttpClient,
    *,
    repeats: bool = True,
    timeout_s: float = 10.0,
    calendars: tuple[str, ...] = (),
) -> Bank:
    """A bank over HTTP, with the house's euro account."""
    way = HttpWay(send_url=send_url, collect_url=collect_url, timeout_s=timeout_s)
    return _bank(
        BankSettings(
            holder="Häuser & Söhne", accounts=_OWN, http=way, refuses_repeats=repeats, calendars=calendars
        ),
        http,
    )


def folder_bank(out: str, into: str, http: HttpClient) -> Bank:
    """A bank over two folders."""
    way = FolderWay(out=out, into=into)
    return _bank(BankSettings(holder="House", accounts=_OWN, folder=way, refuses_repeats=True), http)


_OWN = {"EUR": OwnAccount(number=HOUSE_IBAN, agent_code="MOCKNL2A")}


def _bank(settings: BankSettings, http: HttpClient) -> Bank:
    spec = BankSpec(name=NAME, settings=settings, mode=Mode.BOTH)
    return ChannelBank(build_banks([spec], http).get(NAME))


class World:
    """Everything that pays, over one database."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        clock: Clock,
        ids: IdFactory,
        bank: Bank,
        collect_every: timedelta = timedelta(0),
    ) -> None:
        metrics = Metrics()
        self.database = database
        self.ledger = ledger
        self.clock = clock
        self.ids = ids
        self._cut_count = 0
        self.clearing = Clearing(database, ledger, clock, metrics, prices=Lists(), sellers=Sellers())
        box = AesGcmBox((KEY,))
        self.destinations = Destinations(database, clock, ids, box, KEY)
        self.intake = Intake(database, clock, ids, hear=self._overhear)
        self.reconciling = Reconciling(database, clock, ids, working_day)
        self.paying = Paying(
            database,
            ledger,
            clock,
            ids,
            box=box,
            banks={NAME: bank},
            settling=self.clearing.settling,
            destinations=self.destinations,
            metrics=metrics,
            collect_every=collect_every,
            keep=self.intake.take_statement,
        )

    async def _overhear(self, account: str, content: bytes) -> int:
        return await self.paying.answers.overhear(account, content)

    async def agree(self, **fields: Any) -> SourceTerms:
        """Agree with the bank on its statements."""
        plain: dict[str, Any] = {
            "source": NAME,
            "side": Side.BANK,
            "format": Format.CAMT_053,
            "report_days": 1,
        }
        terms = SourceTerms(**(plain | fields))
        await self.intake.agree(terms, "person:a")
        return terms

    async def take(self, content: bytes, folder: Path) -> Taken:
        """Take a file of the bank in by hand."""
        path = folder / "file"
        path.write_bytes(content)
        return await self.intake.take(path, await self.intake.source(NAME), "person:a")

    async def merchant(self, number: str = IBANS[0], holder: str = "Tea House") -> int:
        """A merchant with an account in use; return its book."""
        book_id = self.ids.int63()
        await self.ledger.accounts.open_book(
            f"m-{book_id}", "merchant", "A merchant", ("EUR",), book_id=BookId(book_id)
        )
        await self.use(book_id, number, holder)
        return book_id

    async def use(self, book_id: int, number: str, holder: str = "Tea House") -> Destination:
        """Propose and confirm an account, and let its cooling time pass by the row alone."""
        checked = account_number("iban", number, "", "")
        made = await self.destinations.propose(book_id, "EUR", checked, holder, actor="person:a")
        made = await self.destinations.confirm(book_id, made.id, actor="person:b", seen_version=made.version)
        async with self.database.connection() as connection:
            await connection.execute(
                "UPDATE clearing.destination SET usable_at = $3 WHERE book_id = $1 AND id = $2",
                book_id,
                made.id,
                self.clock.now(),
            )
        await self.destinations.step(book_id)
        return await self.destinations.get(book_id, made.id)

    async def batch(self, book_id: int, amount_minor: int, on: date | None = None) -> Batch:
        """An approved batch with its money on ``available``."""
        now = self.clock.now()
        self._cut_count += 1
        batch = Batch(
            id=self.ids.uuid(),
            book_id=book_id,
            live=False,
            currency="EUR",
            cut_at=now - timedelta(microseconds=self._cut_count),
            payout_on=on or now.date(),
            state=BatchState.APPROVED,
            totals=Totals(count=1, gross_minor=amount_minor),
            paid_minor=amount_minor,
            created_at=now,
            updated_at=now,
        )
        account = self.ledger.accounts.account_by_code
        source = await account(BookId(book_id), "in_transit", "EUR")
        target = await account(BookId(book_id), "available", "EUR")
        await self.ledger.posting.post_one(
            Transfer(
                key=self.ids.uuid(),
                book_id=BookId(book_id),
                debit_account_id=source.account_id,
                credit_account_id=target.account_id,
                amount_minor=amount_minor,
                asset_id=source.asset_id,
                code="test",
            )
        )
        async with self.database.transaction() as connection:
            await batch_store.insert(connection, batch)
        return batch

    async def run(self) -> None:
        """Step until nothing more happens."""
        for _ in range(20):
            if not await self.paying.step():
                return
        raise AssertionError("paying never came to its end")

    async def payout(self, batch: Batch) -> Payout:
        """The newest payout of a batch."""
        return (await self.paying.of_batch(batch.book_id, batch.id))[-1]

    async def states(self, batch: Batch) -> tuple[str, str]:
        """Where the newest payout of a batch and the batch are."""
        standing = await self.clearing.settling.get(batch.book_id, batch.id)
        return (await self.payout(batch)).state.value, standing.state.value

    async def balances(self, book_id: int) -> dict[str, int]:
        """What stands on the accounts of a merchant that payouts post to, as an accountant writes it; nothing left out."""
        codes = ("available", "payout_clearing", "house_receivable")
        found = {}
        for code in codes:
            account = await self.ledger.accounts.account_by_code(BookId(book_id), code, "EUR")
            found[code] = account.natural_minor
        return {code: amount for code, amount in found.items() if amount}

    async def bank_minor(self) -> int:
        """What the platform's book says that left the bank."""
        book = await self.ledger.accounts.book("platform-test")
        account = await self.ledger.accounts.account_by_code(book.book_id, "bank", "EUR")
        assert unbalanced(await self.ledger.reading.trial_balance(book.book_id)) == {}
        return account.posted_minor

    async def facts(self, topic: str) -> list[str]:
        """The stored facts of a topic, oldest first."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(
                "SELECT payload FROM events.outbox WHERE topic = $1 ORDER BY id", topic
            )
        return [bytes(row[0]).decode() if isinstance(row[0], bytes) else row[0] for row in rows]


@contextlib.asynccontextmanager
async def open_world(database: Database, clock: Clock, ids: IdFactory, bank: Bank) -> AsyncIterator[World]:
    """A world on the file's tables; what earlier tests left waits for nobody."""
    async with Ledger(database, clock, Metrics(), ids) as ledger:
        world = World(database, ledger, clock, ids, bank)
        async with world.clearing:
            yield world


async def forget(database: Database) -> None:
    """Let nothing of earlier tests be due."""
    async with database.connection() as connection:
        await connection.execute("DELETE FROM clearing.payout")
        await connection.execute("DELETE FROM clearing.bank_message")
        await connection.execute("DELETE FROM clearing.batch")
        lines = "SELECT id FROM clearing.line WHERE source = $1"
        await connection.execute(f"DELETE FROM clearing.matched WHERE line_id IN ({lines})", NAME)
        breaks = "SELECT id FROM clearing.break WHERE source = $1"
        await connection.execute(f"DELETE FROM clearing.break_act WHERE break_id IN ({breaks})", NAME)
        for table in ("line", "file", "run", "break", "source"):
            await connection.execute(f"DELETE FROM clearing.{table} WHERE source = $1", NAME)
