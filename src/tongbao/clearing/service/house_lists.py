"""Lists over all books: payouts and batches of every merchant, as the house looks at them. Pages of them never overlap."""

from datetime import date
from uuid import UUID

from tongbao.clearing.schema.batches import Batch
from tongbao.clearing.schema.house_lists import (
    LIST_PAGE_MAX,
    BatchFilter,
    BatchPage,
    BatchPlace,
    PayoutFilter,
)
from tongbao.clearing.schema.payouts import Payout
from tongbao.clearing.store import batches as batch_store
from tongbao.clearing.store import house_lists as store
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest

BOOK_DIGITS_MAX = 18


class HouseLists:
    """Reads lists. One object per process; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def payouts(
        self, asked: PayoutFilter, *, before: UUID | None = None, limit: int = LIST_PAGE_MAX
    ) -> tuple[list[Payout], bool]:
        """Return payouts of a filter, newest first, at most ``LIST_PAGE_MAX``, and whether there are more.

        ``before``: the last one of the page before.
        """
        limit = max(1, min(limit, LIST_PAGE_MAX))
        async with self._database.transaction(read_only=True) as connection:
            await batch_store.be_patient(connection)
            found = await store.payouts(connection, asked, before, limit + 1)
        return found[:limit], len(found) > limit

    async def batches(
        self, asked: BatchFilter, *, cursor: str | None = None, limit: int = LIST_PAGE_MAX
    ) -> BatchPage:
        """Return batches of a filter, the earliest date of payment first, at most ``LIST_PAGE_MAX``.

        ``cursor`` continues a page. Raises InvalidRequest ``cursor_invalid``.
        """
        limit = max(1, min(limit, LIST_PAGE_MAX))
        after = None if cursor is None else _place(cursor)
        async with self._database.transaction(read_only=True) as connection:
            await batch_store.be_patient(connection)
            found = await store.batches(connection, asked, after, limit + 1)
        more = len(found) > limit
        return BatchPage(
            batches=tuple(found[:limit]), next_cursor=_cursor(found[limit - 1]) if more else None
        )


def _cursor(batch: Batch) -> str:
    return f"{batch.payout_on}.{batch.book_id}.{batch.id.hex}"


def _place(cursor: str) -> BatchPlace:
    """Read a cursor back; raise InvalidRequest ``cursor_invalid``."""
    try:
        day, book, identity = cursor.split(".")
        is_number = book.isascii() and book.isdigit() and len(book) <= BOOK_DIGITS_MAX
        if not is_number or len(identity) != 32 or not cursor.isascii():
            raise ValueError
        return BatchPlace(date.fromisoformat(day), int(book), UUID(hex=identity))
    except ValueError:
        raise InvalidRequest("cursor_invalid", "this is not a cursor of a list of batches") from None
