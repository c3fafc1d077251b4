"""The end of the day in ``tongbao demo real``: agreements, accounts, cuts, payouts, files of channels, statements of the bank.

People at a desk agree and hand files in, through the services that the command line uses too; everything else is done by the
workers of the house. mock-bank books and states, and its day is moved on once nothing is left to pay.
"""

import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import date, datetime, timedelta
from pathlib import Path

import msgspec

from tongbao.bench import demo_real_books, demo_real_files, demo_real_terms
from tongbao.bench.clearing_drill_terms import COSTS as HOUSE_COSTS
from tongbao.bench.demo_real_channels import HOUSE_BANK
from tongbao.bench.demo_real_peers import BANK
from tongbao.bench.demo_real_world import World
from tongbao.channels.service.banks import Banks
from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.clearing.schema.payouts import DestinationState
from tongbao.clearing.service.account_numbers import account_number
from tongbao.clearing.service.house import ClearingHouse, Purse
from tongbao.clearing.service.sellers import Known, KnownSellers
from tongbao.clearing.service.simulating import Span
from tongbao.core.clock import RealClock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.core.metrics import Metrics
from tongbao.core.secret_file import open_secret
from tongbao.ledger.service.ledger import Ledger
from tongbao.parties.service.demo import DEMO
from tongbao.payments.service.secret_keys import open_box

ONE, OTHER = "person:li", "person:mei"
NOTE = "for the demonstration"
MERCHANT = DEMO[0]
BOOK_ID = MERCHANT.test_book_id
MERCHANT_IBANS = {"EUR": "DE89370400440532013000", "CNY": "FR1420041010050500013M02606"}
"""Where the merchant is paid: published examples of IBANs."""
FINGERPRINT_BYTES = 32
ROUND_S_MAX = 300.0
POLL_S = 0.3
BANK_DAYS_MAX = 5
_UNRECORDED = """
SELECT count(*) FROM payments.document AS d WHERE d.kind IN (2, 3)
    AND d.state IN ('charged', 'captured', 'succeeded')
    AND NOT EXISTS (SELECT 1 FROM clearing.movement AS m WHERE m.source_id = d.id)
"""
_STANDING = "SELECT count(*) FROM clearing.break WHERE state NOT IN ('resolved', 'written_off')"
Say = Callable[[str], None]


class Desk:
    """What people do about the merchant's money."""

    def __init__(self, world: World, database: Database, clearing: ClearingHouse, say: Say) -> None:
        self.notes: list[str] = []
        self._world = world
        self._database = database
        self._clearing = clearing
        self._say = say
        self._pays = world.peers.has(BANK)

    async def agree(self, currencies: Iterable[str], cut_every_s: int) -> None:
        """Agree with merchant, channels and bank before the first payment: several cuts today, paid on the same day."""
        now = RealClock().now()
        agreement = demo_real_terms.agreement(now, cut_every_s)
        await self._agree_on_costs(now)
        for currency in currencies:
            await self._clearing.agreements.make(BOOK_ID, currency, agreement, actor=ONE, note=NOTE)
            if self._pays:
                await self._account(currency)
        for source in (*self._world.channels, demo_real_files.FUNDS):
            await self._clearing.intake.agree(demo_real_files.terms_of(source, pays=self._pays), ONE)
        if self._pays:
            await self._clearing.intake.agree(demo_real_files.bank_terms(), ONE)

    async def _agree_on_costs(self, now: datetime) -> None:
        """Publish what channels take of the house's money, by two people, as it was agreed with them."""
        prices = self._clearing.prices
        spec = msgspec.to_builtins(demo_real_terms.costs())
        draft = await prices.draft(HOUSE_COSTS, spec, NOTE, ONE)
        span = Span(now - timedelta(days=1), now)
        await self._clearing.simulating.simulate(HOUSE_COSTS, draft.version, span, ONE)
        begins_at = RealClock().now() + timedelta(seconds=1)
        await prices.publish(HOUSE_COSTS, draft.version, begins_at, OTHER)

    async def close_day(self) -> None:
        """Wait for the last cut and its payouts, hand in what channels report, let the bank state its day, wait for matches."""
        await self._until(self._is_recorded, "every payment is recorded for clearing")
        await self._until(self._is_cut, "the last batch is cut and priced")
        if self._pays:
            await self._until(self._is_with_bank, "the bank has every payout")
        await self._hand_in()
        if self._pays:
            await self._state()
        await self._until(self._is_matched, "no difference stands")

    async def batches(self) -> list[Batch]:
        """Return the merchant's batches, newest first."""
        return await self._clearing.settling.page(BOOK_ID)

    async def carried_minor(self) -> dict[str, int]:
        """Return by currency what the merchant's next batch brings; negative where the merchant owes, as after late refunds."""
        found = {
            currency: await self._clearing.settling.carried_minor(BOOK_ID, currency, live=False)
            for currency in MERCHANT_IBANS
        }
        return {currency: minor for currency, minor in sorted(found.items()) if minor}

    async def _account(self, currency: str) -> None:
        number = account_number("iban", MERCHANT_IBANS[currency], "", "")
        destinations = self._clearing.destinations
        made = await destinations.propose(
            BOOK_ID, currency, number, MERCHANT.draft.name, actor=ONE, note=NOTE
        )
        if made.state is DestinationState.PROPOSED:
            await destinations.confirm(BOOK_ID, made.id, actor=OTHER, seen_version=made.version, note=NOTE)

    async def _hand_in(self) -> None:
        """Take in the file of every channel; those that pay the bank do so."""
        now = RealClock().now()
        books = await demo_real_books.read(self._world)
        for channel, rows in sorted(books.items()):
            for report in demo_real_files.reports_of(channel, rows, now, pays=self._pays):
                await self._take(report.source, report.content, now)
                if report.sent is not None:
                    credit = {
                        "account": f"HOUSE-{report.sent.currency}",
                        "amount": report.sent.amount_minor,
                        "end_to_end_id": report.sent.reference,
                        "debtor": {"name": channel},
                    }
                    await self._world.bank("POST", "credits", credit)
        self._say(f"{len(books)} channels reported their day")

    async def _take(self, source: str, content: bytes, at: datetime) -> None:
        terms = await self._clearing.intake.source(source)
        with tempfile.TemporaryDirectory(prefix="demo-file-") as folder:
            path = Path(folder) / f"{source}-{at:%Y-%m-%d}"
            await asyncio.to_thread(path.write_bytes, content)
            taken = await self._clearing.intake.take(path, terms, ONE)
        if taken.file.refusals or taken.file.problems:
            self.notes.append(f"the file of {source}: {taken.file.problems} {taken.file.refusals[:3]}")

    async def _state(self) -> None:
        """Move the bank on to the day on which it books what it has (not at a weekend), and past it, so that it states that day."""
        for _ in range(BANK_DAYS_MAX):
            is_booked = all(each["booked_at"] for each in await self._world.bank("GET", "payments"))
            await self._world.bank("POST", "advance?days=1")
            if is_booked:
                break
        if await self._until(self._is_stated, "the bank's statement shows every payout"):
            self._say("the bank stated its day")
        dates = [each["settlement_date"] for each in await self._world.bank("GET", "payments")]
        booked_on = date.fromisoformat(max(dates, default="1970-01-01"))
        if booked_on > RealClock().now().date():
            # The bank does not work today; what it booked on its next day is compared up to that day.
            await self._clearing.reconciling.run(HOUSE_BANK, booked_on, ONE)

    async def _is_recorded(self) -> bool:
        async with self._database.connection() as connection:
            return not await connection.fetchval(_UNRECORDED)

    async def _is_cut(self) -> bool:
        """Whether nothing waits for a cut, and nothing that was cut for its price."""
        unpriced = await self._clearing.recording.unpriced(BOOK_ID)
        return not any(unpriced.values())

    async def _is_with_bank(self) -> bool:
        """Whether every batch is priced and approved, and the bank has decided on the payout of each."""
        batches = await self.batches()
        states = Counter(each.state for each in batches)
        if states[BatchState.CUT] + states[BatchState.PRICED]:
            return False
        wanted = sum(each.paid_minor > 0 for each in batches)
        return len(await self._world.bank("GET", "payments")) == wanted

    async def _is_stated(self) -> bool:
        return all(
            each.state is BatchState.RECONCILED or not each.paid_minor for each in await self.batches()
        )

    async def _is_matched(self) -> bool:
        """Whether every source was compared after its last file, and no difference stands."""
        intake, reconciling = self._clearing.intake, self._clearing.reconciling
        for name in await intake.sources():
            files = await intake.page(name, limit=1)
            runs = await reconciling.page(source=name, limit=1)
            if files and (not runs or runs[0].started_at <= files[0].received_at):
                return False
        async with self._database.connection() as connection:
            return not await connection.fetchval(_STANDING)

    async def _until(self, looks: Callable[[], Awaitable[bool]], what: str) -> bool:
        """Wait until something is so; return whether it came to be, and note it where it did not."""
        give_up = time.monotonic() + ROUND_S_MAX
        while not await looks():
            if time.monotonic() > give_up:
                self.notes.append(f"not so after {ROUND_S_MAX:.0f} s: {what}")
                return False
            await asyncio.sleep(POLL_S)
        return True


@contextlib.asynccontextmanager
async def open_desk(world: World, database: Database, ledger: Ledger, say: Say) -> AsyncIterator[Desk]:
    """Open the desk beside a house that has made its keys."""
    clock = RealClock()
    vault = world.home / "data" / "vault"
    purse = Purse(
        Banks([]),
        open_box(vault / "payouts.key"),
        open_secret(vault / "account-fingerprints.key", FINGERPRINT_BYTES),
        timedelta(0),
    )
    clearing = ClearingHouse(
        database, ledger, clock, Metrics(), sellers=KnownSellers(_seller, clock), purse=purse
    )
    async with clearing:
        yield Desk(world, database, clearing, say)


async def _seller(book_id: int) -> Known:
    if book_id != BOOK_ID:
        raise InvalidRequest("demo_book_unknown", f"book {book_id} is no merchant's here")
    draft = MERCHANT.draft
    return Known(draft.country, draft.package.value, draft.mcc)
