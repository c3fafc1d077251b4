"""Bills: what a merchant reads of its money in real time, and the payouts that come.

Everything is read for the scope of whoever asks and for its book alone. What is not priced yet is estimated and says so.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tongbao.clearing.schema.bills import (
    BILL_PAGE_MAX,
    FILTER_VALUES_MAX,
    BillFilter,
    BillLine,
    BillPage,
    BillTotal,
    Cost,
    Upcoming,
)
from tongbao.clearing.schema.movements import Movement, PricedMovement
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.service.bill_sums import add_estimates, summed
from tongbao.clearing.service.estimating import ESTIMATED_MAX, Carried, Estimating
from tongbao.clearing.service.payouts_to_come import OPEN_MAX, PayoutsToCome
from tongbao.clearing.store import batches as batch_store
from tongbao.clearing.store import bills as store
from tongbao.clearing.store.bills import BillRow
from tongbao.core.clock import EPOCH, Clock
from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest
from tongbao.parties.schema import Scope

LINES_MAX = 1_000
"""Movements that one id names at most."""
LONG_READS_MAX = 2
"""Answers at once, in a process, that take more than one call of estimates: each holds one connection while it asks for others."""
_MICROSECOND = timedelta(microseconds=1)


class Bills:
    """Answers what a merchant earned, what it cost and when it comes. One object per process."""

    def __init__(
        self, database: Database, clock: Clock, agreements: Agreements, estimating: Estimating
    ) -> None:
        self._database = database
        self._estimating = estimating
        self._long_reads = asyncio.Semaphore(LONG_READS_MAX)
        self._to_come = PayoutsToCome(database, clock, agreements, estimating, self._long_reads)

    async def page(
        self, scope: Scope, asked: BillFilter, *, cursor: str | None = None, limit: int = BILL_PAGE_MAX
    ) -> BillPage:
        """Return movements of a filter, newest first, at most ``BILL_PAGE_MAX``; ``cursor`` continues a page.

        Raises InvalidRequest ``bill_time_invalid``, ``bill_filter_too_long``, ``cursor_invalid``.
        """
        _check(asked)
        limit = max(1, min(limit, BILL_PAGE_MAX))
        after = None if cursor is None else _place(cursor)
        async with self._database.transaction(read_only=True) as connection:
            await batch_store.be_patient(connection)
            rows = await store.page(connection, scope.book_id, asked, after, limit + 1)
        more = len(rows) > limit
        lines = await self._lines(rows[:limit])
        return BillPage(lines=lines, next_cursor=_cursor(rows[limit - 1].movement) if more else None)

    async def totals(self, scope: Scope, asked: BillFilter) -> tuple[BillTotal, ...]:
        """Return what the movements of a filter come to, one line a currency.

        What is not priced is estimated, of more than ``OPEN_MAX`` movements the oldest. Raises as ``page`` does.
        """
        _check(asked)
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            await batch_store.be_patient(connection)
            rows = await store.totals(connection, scope.book_id, asked)
            open_count = sum(row.movement_count for row in rows if not row.is_priced)
            unpriced: list[Movement] = []
            if 0 < open_count <= ESTIMATED_MAX:
                unpriced = await store.unpriced(connection, scope.book_id, asked, ESTIMATED_MAX)
        if open_count > ESTIMATED_MAX:
            return await self._long_totals(scope.book_id, asked)
        found = summed(rows)
        add_estimates(found, unpriced, await self._estimating.of(unpriced))
        return tuple(found[currency] for currency in sorted(found))

    async def lines(self, scope: Scope, ids: Sequence[UUID]) -> tuple[BillLine, ...]:
        """Return the movements that ids name (their own, of payments, of batches) as they happened, at most ``LINES_MAX``."""
        async with self._database.connection() as connection:
            rows = await store.of(connection, scope.book_id, ids, LINES_MAX)
        return await self._lines(rows)

    async def coming(self, scope: Scope, currency: str | None = None) -> tuple[Upcoming, ...]:
        """Return the payouts to come, see ``PayoutsToCome.of``; raises as that does."""
        return await self._to_come.of(scope.book_id, currency)

    async def calendar(self, scope: Scope, currency: str, count: int = 14) -> tuple[Upcoming, ...]:
        """Return the next cuts, see ``PayoutsToCome.calendar``; raises as that does."""
        return await self._to_come.calendar(scope.book_id, currency, count)

    async def _lines(self, rows: Sequence[BillRow]) -> tuple[BillLine, ...]:
        estimates = await self._estimating.of([row.movement for row in rows if row.cost is None])
        return tuple(
            BillLine(
                movement=row.movement,
                cost=row.cost or _estimate(estimates.get(row.movement.id)),
                where=row.where,
            )
            for row in rows
        )

    async def _long_totals(self, book_id: int, asked: BillFilter) -> tuple[BillTotal, ...]:
        """Return the sums where there is more to estimate than one call takes; in one snapshot, call by call."""
        carried: Carried = {}
        count = 0
        async with (
            self._long_reads,
            self._database.transaction(read_only=True, snapshot=True) as connection,
        ):
            await batch_store.be_patient(connection)
            found = summed(await store.totals(connection, book_id, asked))
            async for chunk in store.unpriced_stream(connection, book_id, asked, ESTIMATED_MAX):
                add_estimates(found, chunk, await self._estimating.of(chunk, carried))
                count += len(chunk)
                if count >= OPEN_MAX:
                    break
        return tuple(found[currency] for currency in sorted(found))


def _estimate(row: PricedMovement | None) -> Cost | None:
    if row is None:
        return None
    return Cost(
        fee_minor=row.fee_minor,
        tax_minor=row.tax_minor,
        reserve_minor=row.reserve_minor,
        net_minor=row.net_minor,
        schedule=row.schedule,
        schedule_version=row.schedule_version,
        is_estimated=True,
    )


def _check(asked: BillFilter) -> None:
    """Raise InvalidRequest for a filter that nobody can mean."""
    if any(at is not None and at.tzinfo is None for at in (asked.from_at, asked.until_at)):
        raise InvalidRequest("bill_time_invalid", "an instant needs a time zone")
    if asked.from_at is not None and asked.until_at is not None and asked.from_at >= asked.until_at:
        raise InvalidRequest("bill_time_invalid", "the time of a bill begins before it ends")
    lists: Iterable[Sequence[object]] = (
        asked.kinds,
        asked.channels,
        asked.methods,
        asked.stores,
        asked.currencies,
        asked.states,
    )
    if any(len(each) > FILTER_VALUES_MAX for each in lists):
        raise InvalidRequest("bill_filter_too_long", f"a filter names at most {FILTER_VALUES_MAX} values")


def _cursor(movement: Movement) -> str:
    return f"{(movement.occurred_at - EPOCH) // _MICROSECOND}.{movement.id.hex}"


def _place(cursor: str) -> tuple[datetime, UUID]:
    """Read a cursor back; raise InvalidRequest ``cursor_invalid``."""
    instant, _, identity = cursor.partition(".")
    try:
        if not (instant.isascii() and instant.isdigit() and len(identity) == 32):
            raise ValueError
        return (EPOCH + int(instant) * _MICROSECOND).astimezone(UTC), UUID(hex=identity)
    except (ValueError, OverflowError):
        raise InvalidRequest("cursor_invalid", "this is not a cursor of a bill") from None
