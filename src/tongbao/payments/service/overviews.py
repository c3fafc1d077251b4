"""Overviews of one merchant's payments: found by what people know of them, and the sums of a day."""

from datetime import datetime, timedelta

from tongbao.core.db import Database
from tongbao.parties.schema import Scope
from tongbao.payments.errors import BadParameter
from tongbao.payments.schema.orders import IntentView, Page
from tongbao.payments.schema.overviews import PAGE_MAX, WORD_CHARS_MAX, GoneBack, Rail, Taking, Wanted
from tongbao.payments.store import overviews as store

SPAN_MAX = timedelta(days=92)
RAILS_MAX = 50


class Overviews:
    """Reads over one database; stateless beside it. Opens connections of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def search(self, scope: Scope, wanted: Wanted) -> Page[IntentView]:
        """Return payments with their latest attempts, newest first, 1 to 100 of them.

        Raises BadParameter ``word_invalid`` for a longer word than anything is found by.
        """
        if wanted.word is not None and len(wanted.word) > WORD_CHARS_MAX:
            raise BadParameter("word_invalid", "word", f"at most {WORD_CHARS_MAX} characters")
        limit = max(1, min(wanted.limit, PAGE_MAX))
        async with self._database.connection() as connection:
            found = await store.search(connection, scope.book_id, wanted, limit + 1)
        return Page([IntentView(*each) for each in found[:limit]], len(found) > limit)

    async def takings(self, scope: Scope, from_at: datetime, to_at: datetime) -> list[Taking]:
        """Return what the payments of a time came to, by hour and currency; raise BadParameter ``span_invalid``."""
        _check(from_at, to_at)
        async with self._database.connection() as connection:
            return await store.takings(connection, scope.book_id, from_at, to_at)

    async def rails(self, scope: Scope, from_at: datetime, to_at: datetime) -> list[Rail]:
        """Return how attempts ended by method and channel, the busiest first; raise BadParameter ``span_invalid``."""
        _check(from_at, to_at)
        async with self._database.connection() as connection:
            return await store.rails(connection, scope.book_id, from_at, to_at, RAILS_MAX)

    async def gone_back(self, scope: Scope, from_at: datetime, to_at: datetime) -> list[GoneBack]:
        """Return refunds and disputes of a time, by hour and currency; raise BadParameter ``span_invalid``."""
        _check(from_at, to_at)
        async with self._database.connection() as connection:
            return await store.gone_back(connection, scope.book_id, from_at, to_at)


def _check(from_at: datetime, to_at: datetime) -> None:
    if not timedelta(0) < to_at - from_at <= SPAN_MAX:
        raise BadParameter("span_invalid", "to", f"after its beginning and within {SPAN_MAX.days} days of it")
