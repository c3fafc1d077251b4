"""Clearing as one object: what a process wires once and hands to every face above.

``steps`` are what workers call again and again; each is repeatable and may run in any number of processes.
"""

from collections.abc import Awaitable, Callable
from types import TracebackType

from tongbao.clearing.policy.pricing import Seller
from tongbao.clearing.service.adjustments import Adjustments
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.service.announcements import Announcements
from tongbao.clearing.service.backfill import Backfill
from tongbao.clearing.service.closing import Closing
from tongbao.clearing.service.collections import Collections
from tongbao.clearing.service.debt_lines import DebtLines
from tongbao.clearing.service.hand_moves import HandMoves
from tongbao.clearing.service.merchant_notices import notices
from tongbao.clearing.service.pricing import PriceLists, Pricing, Sellers
from tongbao.clearing.service.recording import Recording
from tongbao.clearing.service.settling import Settling
from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.events.subscriptions import Projection
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.ledger import Ledger
from tongbao.payments.service.reading import Reading

Step = tuple[str, Callable[[], Awaitable[object]]]
"""The name of a worker, and what it calls."""


class UnknownSellers:
    """Knows nothing of any merchant: prices that ask for countries, packages or categories match nothing."""

    async def seller(self, book_id: int) -> Seller:
        """Return a merchant of whom nothing is known."""
        return Seller()


class Clearing:
    """All use cases over one database. ``async with Clearing(…) as clearing``.

    Entering makes the partitions of the coming months; leaving finishes what waits. ``prices`` are the price lists,
    ``sellers`` tells prices what a merchant is.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        clock: Clock,
        metrics: Metrics,
        *,
        prices: PriceLists,
        sellers: Sellers | None = None,
    ) -> None:
        self._reading = Reading(database, metrics)
        self._clock = clock
        self.agreements = Agreements(database, clock)
        self.closing = Closing(database, ledger, clock, self.agreements.days.working_day)
        opens_at = self.closing.opens_at
        self.recording = Recording(database, clock, self.agreements, self._reading, opens_at)
        pricing = Pricing(database, ledger, clock, self.agreements, prices, sellers or UnknownSellers())
        self.settling = Settling(database, clock, self.agreements, pricing, metrics, opens_at)
        moves = HandMoves(database, ledger, clock, self.agreements, opens_at)
        self.adjustments = Adjustments(database, clock, ledger.ids, self.agreements, moves, self._reading)
        open_day = self.closing.open_day
        self.collections = Collections(database, clock, ledger.ids, moves, open_day)
        self.debt_lines = DebtLines(database, clock, self.collections, moves, open_day)
        self.announcements = Announcements(database, clock, ledger.ids, self.agreements, opens_at)
        self.backfill = Backfill(database, ledger, clock, self.recording)

    async def __aenter__(self) -> "Clearing":
        await self.prepare()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._reading.close()

    async def prepare(self) -> None:
        """Make the partitions of the coming months; repeated by a worker."""
        await self.recording.prepare()

    def subscriptions(self) -> list[Projection]:
        """Return everything here that reads facts."""
        return [self.recording.subscription(), notices(self._clock)]

    def steps(self) -> list[Step]:
        """Return what workers call: cutting, pricing and approving what is due; dates counted anew by announcements."""
        return [("settling", self.settling.step), ("announcements", self.announcements.step)]
