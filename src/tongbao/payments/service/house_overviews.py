"""Overviews of every merchant's payments, for those who run the house. The caller has checked that they may look."""

from collections.abc import Collection
from datetime import datetime

from tongbao.core.db import Database
from tongbao.payments.schema.house_overviews import PAGE_MAX, Hooked, HousePayment, HouseWanted, Waiting
from tongbao.payments.schema.orders import Page
from tongbao.payments.store import house_overviews as store


class HouseOverviews:
    """Reads over one database; stateless beside it. Opens connections of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, wanted: HouseWanted) -> Page[HousePayment]:
        """Return payments of the books that are wanted, newest first, 1 to ``PAGE_MAX`` of them."""
        limit = max(1, min(wanted.limit, PAGE_MAX))
        async with self._database.connection() as connection:
            found = await store.newest(connection, wanted, limit + 1)
        return Page(found[:limit], len(found) > limit)

    async def unresolved(self, books: Collection[int]) -> Waiting:
        """Return how many attempts of some books wait for the answer of a channel, and since when."""
        async with self._database.connection() as connection:
            return await store.unresolved(connection, list(books))

    async def hooks(self, books: Collection[int], since: datetime) -> Hooked:
        """Return how the webhooks of some books stand whose facts happened since an instant."""
        async with self._database.connection() as connection:
            return await store.hooks(connection, list(books), since)
