"""The record of reveals, written before anything is revealed.

Lines of many reveals share their commits (``core.lane``), so the record costs a busy process little and an idle
one a single commit.
"""

from collections.abc import Sequence
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import OutcomeUnknown
from tongbao.core.ids import IdFactory
from tongbao.core.lane import Lane, LaneMetrics
from tongbao.core.metrics import Metrics
from tongbao.privacy import store
from tongbao.privacy.errors import RevealNotRecorded
from tongbao.privacy.schema import Purpose, Reveal

LANE = "vault_reveals"
SLOTS = 2
RETRY_S = 5.0


class RevealRecord:
    """Writes lines of the record through a lane of its own."""

    def __init__(self, database: Database, clock: Clock, ids: IdFactory, metrics: Metrics) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._lane: Lane[Reveal, None] = Lane(
            LANE, _write, self._connect, metrics=LaneMetrics(metrics), slots=SLOTS, retry_s=RETRY_S
        )

    async def add(self, book_id: int, token_id: UUID, purpose: Purpose, actor: str, subject: str) -> None:
        """Write one line and return after its commit.

        Raises RevealNotRecorded where it is unknown whether it was written, and what the lane raises when it is full
        or closed.
        """
        line = Reveal(
            book_id=book_id,
            reveal_id=self._ids.uuid(),
            token_id=token_id,
            purpose=purpose,
            actor=actor,
            subject=subject,
            revealed_at=self._clock.now(),
        )
        try:
            await self._lane.submit_one(line)
        except OutcomeUnknown as error:
            # To the caller nothing is unknown: a line too many in the record reveals nothing.
            raise RevealNotRecorded from error

    async def close(self) -> None:
        """Finish what waits and close the lane."""
        await self._lane.close()

    async def _connect(self) -> Connection:
        return await self._database.dedicated("tongbao-vault")


async def _write(connection: Connection, _slot: int, lines: Sequence[Reveal]) -> Sequence[None]:
    """Write a batch in one statement, which is its own transaction."""
    await store.insert_reveals(connection, lines)
    return [None] * len(lines)
