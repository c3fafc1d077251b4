"""Back-fill: movements of what payments moved while nobody recorded it, found from the journal; then the proof of equality.

Each account ``in_transit`` is gone through a page of its entries at a time. A page is one commit, with the place where the next
one begins, so that whoever is killed goes on there, and what is done twice changes nothing. What recording tells meanwhile
is the same movements under the same ids.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from uuid import UUID

import msgspec
import structlog

from tongbao.clearing.policy.movements import keys_of
from tongbao.clearing.schema.backfill import UNEXPLAINED_KEPT, Backfilled, Progress
from tongbao.clearing.service.recording import Recording
from tongbao.clearing.store import backfill as store
from tongbao.clearing.store import movements
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.ids import parse_uuid
from tongbao.ledger.schema import Account, BookId, Entry
from tongbao.ledger.service.ledger import Ledger
from tongbao.payments.schema.attempts import Attempt

PAGE = 200
"""Entries that one commit goes through."""
BOOKS_PAGE = 200
ACCOUNTS_MAX = 500
FOLLOWING_MAX = 20_000
"""Refunds and disputes of the payments of one page."""
DIFFERENCES_MAX = 100
OF_MERCHANTS = "merchant"
IN_TRANSIT = "in_transit"
_SETTLED = "settlement."
"""How codes begin of what batches take off; they are no movements."""
Tell = Callable[[Progress], None]

_log = structlog.get_logger(__name__)


class Backfill:
    """Records what nobody recorded. One object per process; several at once only do the same twice."""

    def __init__(self, database: Database, ledger: Ledger, clock: Clock, recording: Recording) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._recording = recording

    async def run(self, *, pages: int, again: bool = False, tell: Tell | None = None) -> Backfilled:
        """Go through at most ``pages`` pages, from where the last call ended, and return what all of it comes to.

        ``again``: begin anew. ``tell`` is called after each page.
        """
        if again:
            async with self._database.transaction() as connection:
                await store.forget(connection)
        async for account in self._accounts():
            while pages > 0:
                progress = await self._progress(account)
                if progress.is_done:
                    break
                progress = await self._page(account, progress)
                pages -= 1
                if tell is not None:
                    tell(progress)
        return await self.look()

    async def look(self, book_id: int | None = None) -> Backfilled:
        """Return what was done so far, and where movements and the journal differ, of one book where it is given.

        What was paid this very moment may differ until it is recorded.
        """
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            return Backfilled(
                **await store.sums(connection),
                unexplained=tuple(await store.unexplained(connection, UNEXPLAINED_KEPT)),
                differences=tuple(await store.differences(connection, book_id, DIFFERENCES_MAX)),
            )

    async def _accounts(self) -> AsyncIterator[Account]:
        """Yield every account of every merchant in which money waits, each known as begun with."""
        after = ""
        while True:
            books = await self._ledger.accounts.books(after=after, template=OF_MERCHANTS, limit=BOOKS_PAGE)
            for book in books:
                for account in await self._ledger.accounts.accounts(
                    book.book_id, below=IN_TRANSIT, limit=ACCOUNTS_MAX
                ):
                    async with self._database.transaction() as connection:
                        await store.begin(connection, book.book_id, account.account_id, self._clock.now())
                    yield account
            if len(books) < BOOKS_PAGE:
                return
            after = books[-1].code

    async def _progress(self, account: Account) -> Progress:
        async with self._database.connection() as connection:
            found = await store.progress(connection, account.book_id, account.account_id)
        return found or Progress(book_id=account.book_id, account_id=account.account_id)

    async def _page(self, account: Account, before: Progress) -> Progress:
        """Record what is missing of one page of an account; return how far it is gone through then."""
        page = await self._ledger.reading.statement(
            account.book_id, account.account_id, before=before.next_before, limit=PAGE
        )
        moved = [each for each in page.entries if _is_movement(each)]
        async with self._database.transaction() as connection:
            standing = await store.progress(connection, account.book_id, account.account_id, lock=True)
            if standing is None or standing != before:
                # Somebody else went through this page meanwhile.
                return standing or before
            made, left = await self._record(connection, account.book_id, moved)
            after = msgspec.structs.replace(
                before,
                next_before=page.next_before,
                is_done=page.next_before is None,
                seen_count=before.seen_count + len(moved),
                made_count=before.made_count + made,
                unexplained_count=before.unexplained_count + len(left),
                unexplained=(*before.unexplained, *left)[:UNEXPLAINED_KEPT],
            )
            await store.put(connection, after, self._clock.now())
        if left:
            _log.warning("backfill_unexplained", book_id=account.book_id, keys=[str(each) for each in left])
        return after

    async def _record(
        self, connection: Connection, book_id: BookId, moved: Sequence[Entry]
    ) -> tuple[int, list[UUID]]:
        """Record the movements behind entries; return how many were not there, and the keys that no document explains."""
        wanted = {(int(book_id), each.key): each for each in moved}
        missing = await movements.missing(connection, list(wanted))
        attempts = {_attempt_of(wanted[each]) for each in missing} - {None}
        if not attempts:
            return 0, [key for _, key in missing]
        named = {each for each in attempts if each is not None}
        documents = await store.documents(connection, book_id, named, FOLLOWING_MAX)
        keys = [key for document in documents for key in keys_of(document)]
        rows = await self._ledger.reading.transfers(book_id, keys)
        instants = {row.key: row.occurred_at for row in rows}
        made = await self._recording.write_missing(connection, documents, instants)
        return made, [key for _, key in await movements.missing(connection, missing)]


def _is_movement(entry: Entry) -> bool:
    return entry.posted_delta_minor != 0 and not entry.code.startswith(_SETTLED)


def _attempt_of(entry: Entry) -> UUID | None:
    """Return the attempt that a transfer of payments names; None for any other."""
    try:
        return parse_uuid(Attempt.PREFIX, entry.reference or "")
    except ValueError:
        return None
