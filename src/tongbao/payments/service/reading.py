"""Reading documents by id: what many callers want at the same moment is one query.

A read begins after it was asked for, so whoever has written sees what it wrote.
"""

from collections.abc import Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

from tongbao.core.db import Connection, Database
from tongbao.core.lane import Lane, LaneMetrics
from tongbao.core.metrics import Metrics
from tongbao.payments.schema.documents import Document
from tongbao.payments.service.plans import Plans
from tongbao.payments.store import documents as store

BATCH_MAX = 500
PACE_S = 0.002
Wanted = tuple[type[Document], int, UUID]
"""The kind, the book and the id of a document."""
Doc = TypeVar("Doc", bound=Document)


class Reading:
    """Reads through a lane of its own. One object per process."""

    def __init__(self, database: Database, metrics: Metrics, *, retry_s: float = 10.0) -> None:
        self._plans = Plans()
        self._lane: Lane[Wanted, Document | None] = Lane(
            "payments_reads",
            self._read,
            partial(database.dedicated, "tongbao-payments-reads", **store.LANE_SETTINGS),
            metrics=LaneMetrics(metrics),
            slots=2,
            batch_max=BATCH_MAX,
            retry_s=retry_s,
            pace_s=PACE_S,
        )

    async def close(self) -> None:
        """Finish what waits and close the lane."""
        await self._lane.close()

    async def read(self, kind: type[Doc], book_id: int, document_id: UUID) -> Doc | None:
        """Return a document as it stands; None where there is none.

        Raises Unavailable ``lane_full``, and OutcomeUnknown when the database went away and did not come back.
        """
        found = await self._lane.submit_one((kind, book_id, document_id))
        return found if isinstance(found, kind) else None

    async def _read(
        self, connection: Connection, _slot: int, wanted: Sequence[Wanted]
    ) -> Sequence[Document | None]:
        await self._plans.used(connection)
        return await store.each(connection, wanted)
