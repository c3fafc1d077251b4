"""When a lane's connections plan their statements anew: ever more rarely, while their tables grow from nothing."""

from weakref import WeakKeyDictionary

from tongbao.core.db import Connection
from tongbao.payments.store import documents as store

ANEW_AT = frozenset({32, 256, 2_048, 16_384, 131_072})
"""Batches after which a connection forgets its plans; the statistics of a table of that size change little later."""


class Plans:
    """Counts the batches of each connection."""

    def __init__(self) -> None:
        self._counts: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()

    async def used(self, connection: Connection) -> None:
        """Count one more batch, and let the connection plan anew when it is time."""
        count = self._counts[connection] = self._counts.get(connection, 0) + 1
        if count in ANEW_AT:
            await store.forget_plans(connection)
