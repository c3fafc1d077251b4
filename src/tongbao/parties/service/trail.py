"""Who did what here, when and why: what the house did to merchants and to its people, and who of them signed in."""

from tongbao.core.db import Database
from tongbao.core.trails import Line, Wanted, merged
from tongbao.parties.store import trail as store


class Trail:
    """Reads over one database; stateless beside it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lines(self, wanted: Wanted) -> list[Line]:
        """Return lines, newest first, one more than is wanted where there are more."""
        async with self._database.connection() as connection:
            found = [await store.trail(connection, wanted), await store.sign_ins(connection, wanted)]
        return merged(found, wanted.arguments[-1])[0]
