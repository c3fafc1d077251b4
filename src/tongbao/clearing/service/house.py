"""Clearing of a house: settling with everything around it, wired once for the process that serves.

``Clearing`` cuts, prices and approves; here stand prices, payouts, files and reconciliation beside it. ``steps`` are what
workers call; each may be repeated at any time and run in any number of processes.
"""

from datetime import timedelta
from types import TracebackType
from typing import NamedTuple

from tongbao.channels.service.banks import Banks
from tongbao.clearing.adapters.banking import ChannelBank
from tongbao.clearing.adapters.opening import open_file
from tongbao.clearing.schema.payouts import COOLING
from tongbao.clearing.service.bills import Bills
from tongbao.clearing.service.break_desk import BreakDesk
from tongbao.clearing.service.channel_money import ChannelMoney
from tongbao.clearing.service.clearing import Clearing, Step
from tongbao.clearing.service.destinations import Destinations
from tongbao.clearing.service.estimating import Estimating
from tongbao.clearing.service.house_lists import HouseLists
from tongbao.clearing.service.house_money import HouseMoney
from tongbao.clearing.service.intake import Intake
from tongbao.clearing.service.late_truth import LateTruth
from tongbao.clearing.service.paying import Paying
from tongbao.clearing.service.prices import Prices
from tongbao.clearing.service.pricing import Sellers
from tongbao.clearing.service.profits import Profits
from tongbao.clearing.service.quoting import Quoting
from tongbao.clearing.service.receipts import Receipts
from tongbao.clearing.service.reconciling import Reconciling
from tongbao.clearing.service.reconciling_due import ReconcilingDue
from tongbao.clearing.service.simulating import Simulating
from tongbao.clearing.service.statement_files import StatementFiles
from tongbao.clearing.service.statements import Statements
from tongbao.clearing.service.tracing_money import TracingMoney
from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.events.subscriptions import Projection
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger
from tongbao.payments.ports import SecretBox
from tongbao.payments.service.payments import Payments
from tongbao.payments.service.reading import Reading


class Purse(NamedTuple):
    """What paying out takes: the banks, the box that seals account numbers and messages, a key that finds equal numbers.

    ``cooling``: so long nothing is paid to an account that was just confirmed. ``collect_every``: so often banks are asked what
    they have to say; zero is at every step.
    """

    banks: Banks
    box: SecretBox
    fingerprint_key: bytes
    cooling: timedelta = COOLING
    collect_every: timedelta = timedelta(0)


class ClearingHouse:
    """All of clearing over one database. ``async with ClearingHouse(…) as clearing``.

    Entering publishes the price lists that a new house begins with and makes partitions; leaving finishes what waits.
    ``payments``: in the process that serves; without it nothing is traced and what files say of open payments waits.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        clock: Clock,
        metrics: Metrics,
        *,
        sellers: Sellers,
        purse: Purse,
        payments: Payments | None = None,
    ) -> None:
        self.prices = Prices(database, clock)
        self._clearing = Clearing(database, ledger, clock, metrics, prices=self.prices, sellers=sellers)
        self.agreements = self._clearing.agreements
        self.recording = self._clearing.recording
        self.settling = self._clearing.settling
        self.adjustments = self._clearing.adjustments
        self.collections = self._clearing.collections
        self.debt_lines = self._clearing.debt_lines
        self.announcements = self._clearing.announcements
        self.backfill = self._clearing.backfill
        self.simulating = Simulating(database, clock, self.prices, self.agreements, sellers)
        self.quoting = Quoting(self.prices)
        self.intake = Intake(database, clock, ledger.ids, open_file, self._overhear)
        working_day = self.agreements.days.working_day
        self.reconciling = Reconciling(database, clock, ledger.ids, working_day)
        money = HouseMoney(ledger)
        self.break_desk = BreakDesk(database, ledger, clock, money, working_day)
        self.channel_money = ChannelMoney(database, ledger, clock, money)
        estimating = Estimating(database, self.agreements, self.prices, sellers)
        self.bills = Bills(database, clock, self.agreements, estimating)
        self.statements = Statements(database, clock, self.agreements)
        self.statement_files = StatementFiles(self.statements)
        self.destinations = Destinations(
            database, clock, ledger.ids, purse.box, purse.fingerprint_key, cooling=purse.cooling
        )
        self.paying = Paying(
            database,
            ledger,
            clock,
            ledger.ids,
            box=purse.box,
            banks={each.name: ChannelBank(each) for each in purse.banks.all()},
            settling=self.settling,
            destinations=self.destinations,
            metrics=metrics,
            collect_every=purse.collect_every,
            keep=self.intake.take_statement,
        )
        self.closing = self._clearing.closing
        self._reading = Reading(database, metrics)
        self.receipts = Receipts(database, clock, self.agreements, self._reading)
        self.profits = Profits(database)
        self.lists = HouseLists(database)
        self.tracing: TracingMoney | None = None
        late: LateTruth | None = None
        if payments is not None:
            self.tracing = TracingMoney(
                database, self.agreements, self.bills, self._reading, payments.intents
            )
            late = LateTruth(database, payments, self._reading, self.break_desk)
        self._due = ReconcilingDue(
            clock, self.intake, self.reconciling, None if late is None else late.follow
        )

    async def __aenter__(self) -> "ClearingHouse":
        await self.prices.install()
        await self._clearing.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._clearing.__aexit__(kind, error, trace)
        await self._reading.close()

    async def prepare(self) -> None:
        """Make the partitions of the coming months; repeated by a worker."""
        await self._clearing.prepare()

    def subscriptions(self) -> list[Projection]:
        """Return everything here that reads facts."""
        return self._clearing.subscriptions()

    def steps(self) -> list[Step]:
        """Return what workers call: settling, paying out and hearing banks, reconciling, posting what channels paid."""
        return [
            *self._clearing.steps(),
            ("payouts", self.paying.step),
            ("reconciling", self._due.step),
            ("channel_money", self.channel_money.step),
        ]

    async def _overhear(self, account: str, content: bytes) -> int:
        """Let payouts hear what came as a file of a bank's account."""
        return await self.paying.answers.overhear(account, content)
