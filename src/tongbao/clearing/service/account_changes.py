"""Accounts that money may go to, over all books: as the house looks at what was proposed, cools down or is paused."""

from uuid import UUID

from tongbao.clearing.schema.payouts import Destination, DestinationState
from tongbao.clearing.store import account_changes
from tongbao.core.db import Database

PAGE_MAX = 100


class AccountChanges:
    """Reads accounts of all merchants. One object per process; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, state: DestinationState, *, before: UUID | None = None, limit: int = PAGE_MAX
    ) -> tuple[list[Destination], bool]:
        """Return accounts in a state, newest first, at most ``PAGE_MAX``, and whether there are more."""
        limit = max(1, min(limit, PAGE_MAX))
        async with self._database.connection() as connection:
            found = await account_changes.page(connection, state, before, limit + 1)
        return found[:limit], len(found) > limit
