"""Who did what here, when and why: what people did to breaks of reconciliation, to days and to announcements."""

from tongbao.clearing.store import trail as store
from tongbao.core.db import Database
from tongbao.core.trails import Line, Wanted


class Trail:
    """Reads over one database; stateless beside it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lines(self, wanted: Wanted) -> list[Line]:
        """Return lines, newest first, one more than is wanted where there are more."""
        async with self._database.connection() as connection:
            return await store.trail(connection, wanted)
