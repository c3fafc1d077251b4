"""Reads by key: what many callers want at the same moment is one query.

A read begins after it was asked for, so whoever has written sees what it wrote: who asks while a query is under way waits for
the next one. An idle process asks at once. What a query raises is raised where each of its callers waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

from tongbao.core.db import Connection, Database
from tongbao.core.errors import Unavailable

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")
Read = Callable[[Connection, Sequence[Key]], Awaitable[Mapping[Key, Found]]]
"""Returns what stands under keys, each of which is named once; what is not there is left out."""
BATCH_MAX = 500
WAITING_MAX = 20_000


class Gathering(Generic[Key, Found]):
    """Gathers the reads of one kind. One object per process, for one event loop; nothing of it stays open."""

    def __init__(self, database: Database, read: Read[Key, Found]) -> None:
        self._database = database
        self._read = read
        self._waiting: dict[Key, asyncio.Future[Found | None]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def one(self, key: Key) -> Found | None:
        """Return what stands under a key; None where nothing does.

        Raises Unavailable ``reads_full`` above 20,000 waiting keys, and what ``Database.connection`` and the read raise.
        """
        waiting = self._waiting.get(key)
        if waiting is None:
            if len(self._waiting) >= WAITING_MAX:
                raise Unavailable("reads_full", f"{WAITING_MAX} reads are waiting", retry_after_s=1)
            waiting = self._waiting[key] = asyncio.get_running_loop().create_future()
            if self._reader is None or self._reader.done():
                self._reader = asyncio.create_task(self._run(), name="gathering")
        # Others may wait for the same: one that leaves does not end it.
        return await asyncio.shield(waiting)

    async def _run(self) -> None:
        while self._waiting:
            batch = dict(islice(self._waiting.items(), BATCH_MAX))
            for key in batch:
                del self._waiting[key]
            try:
                async with self._database.connection() as connection:
                    found = await self._read(connection, list(batch))
            except BaseException as error:
                failure = error if isinstance(error, Exception) else _stopped()
                for waiting in batch.values():
                    waiting.set_exception(failure)
                    # Where every caller has left, nobody's exception is nobody's news.
                    waiting.exception()
                if not isinstance(error, Exception):
                    raise
            else:
                for key, waiting in batch.items():
                    waiting.set_result(found.get(key))


def _stopped() -> Unavailable:
    return Unavailable("database_closed", "this process is closing its database")
