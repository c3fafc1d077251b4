"""The ledger as one object: what a process wires once and hands to every room above."""

from types import TracebackType

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.events.outbox import Outbox
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.ledger.service.accounts import Accounts
from tongbao.ledger.service.posting import Posting
from tongbao.ledger.service.reading import Reading
from tongbao.ledger.service.sealing import Sealing
from tongbao.ledger.service.verifying import Verifying


class Ledger:
    """All use cases over one database. ``async with Ledger(database, clock, metrics, ids) as ledger``.

    Entering adopts the database cluster and makes the journal's partitions; leaving finishes what waits.
    ``database`` must be open and migrated (``core.migrate.upgrade``).
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        metrics: Metrics,
        ids: IdFactory,
        *,
        lane_count: int = 2,
        batch_max: int = 4_000,
        queue_max: int = 20_000,
        retry_s: float = 10.0,
    ) -> None:
        self.ids = ids
        self.clock = clock
        self.accounts = Accounts(database, clock, ids)
        self.posting = Posting(
            database,
            clock,
            metrics,
            lane_count=lane_count,
            batch_max=batch_max,
            queue_max=queue_max,
            retry_s=retry_s,
        )
        self.sealing = Sealing(database, clock, metrics, Outbox(clock, ids))
        self.reading = Reading(database)
        self.verifying = Verifying(database, metrics)

    async def __aenter__(self) -> "Ledger":
        await self.sealing.prepare()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.posting.close()
