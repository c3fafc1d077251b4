"""Bills: what a merchant reads of its money in real time, and the payouts that come.

Everything is read for the scope of whoever asks and for its book alone. What is not priced yet is estimated and says so.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from tongbao.clearing.schema.agreements import Cut
from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.clearing.schema.bills import (
    BILL_PAGE_MAX,
    FILTER_VALUES_MAX,
    BillFilter,
    BillLine,
    BillPage,
    BillTotal,
    Cost,
    MoneyState,
    Upcoming,
)
from tongbao.clearing.schema.calendars import SETTLEMENT_DAYS_MAX
from tongbao.clearing.schema.movements import Movement, MovementKind, PricedMovement
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.service.estimating import ESTIMATED_MAX, Estimating
from tongbao.clearing.store import batches as batch_store
from tongbao.clearing.store import bills as store
from tongbao.clearing.store.bills import BillRow, Coming
from tongbao.clearing.store.movements import Money
from tongbao.core.clock import EPOCH, Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import InvalidRequest
from tongbao.parties.schema import Scope

LINES_MAX = 1_000
"""Movements that one id names at most."""
COMING_MAX = 400
_MICROSECOND = timedelta(microseconds=1)
_STANDING = {
    BatchState.CUT: MoneyState.CUT,
    BatchState.PRICED: MoneyState.PRICED,
    BatchState.APPROVED: MoneyState.APPROVED,
    BatchState.FAILED: MoneyState.FAILED,
}
"""States of batches that are still to be paid, as a bill calls them."""
_SUMS = {
    MovementKind.SALE: "sales_minor",
    MovementKind.REFUND: "refunds_minor",
    MovementKind.REFUND_FAILED: "refunds_minor",
    MovementKind.DISPUTE: "disputes_minor",
    MovementKind.DISPUTE_WON: "disputes_minor",
    MovementKind.ADJUSTMENT: "adjustments_minor",
    MovementKind.PAYOUT_RETURNED: "adjustments_minor",
}


class Bills:
    """Answers what a merchant earned, what it cost and when it comes. One object per process."""

    def __init__(
        self, database: Database, clock: Clock, agreements: Agreements, estimating: Estimating
    ) -> None:
        self._database = database
        self._clock = clock
        self._agreements = agreements
        self._estimating = estimating

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

        What is not priced is estimated where at most ``ESTIMATED_MAX`` movements are to be. Raises as ``page`` does.
        """
        _check(asked)
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            await batch_store.be_patient(connection)
            rows = await store.totals(connection, scope.book_id, asked)
            open_count = sum(row.movement_count for row in rows if not row.is_priced)
            unpriced: list[Movement] = []
            if 0 < open_count <= ESTIMATED_MAX:
                unpriced = await store.unpriced(connection, scope.book_id, asked, ESTIMATED_MAX)
        estimates = await self._estimating.of(unpriced)
        found: dict[str, BillTotal] = {}
        for row in rows:
            total = found.get(row.currency) or BillTotal(currency=row.currency)
            found[row.currency] = _added(
                total,
                count=row.movement_count,
                amount_minor=row.amount_minor,
                fee_minor=row.fee_minor,
                tax_minor=row.tax_minor,
                reserve_minor=row.reserve_minor,
                open_count=0 if row.is_priced else row.movement_count,
                **{_SUMS[row.kind]: row.amount_minor},
            )
        for movement in unpriced:
            if (estimate := estimates.get(movement.id)) is not None:
                found[movement.currency] = _added(
                    found[movement.currency],
                    fee_minor=estimate.fee_minor,
                    tax_minor=estimate.tax_minor,
                    reserve_minor=estimate.reserve_minor,
                    estimated_count=1,
                    open_count=-1,
                )
        return tuple(found[currency] for currency in sorted(found))

    async def lines(self, scope: Scope, ids: Sequence[UUID]) -> tuple[BillLine, ...]:
        """Return the movements that ids name (their own, of payments, of batches) as they happened, at most ``LINES_MAX``."""
        async with self._database.connection() as connection:
            rows = await store.of(connection, scope.book_id, ids, LINES_MAX)
        return await self._lines(rows)

    async def coming(self, scope: Scope, currency: str | None = None) -> tuple[Upcoming, ...]:
        """Return the payouts to come with what they come to so far, earliest date first, at most ``COMING_MAX``.

        First what is cut, and is still to be paid; then what waits for its cut. With ``currency`` the next cut stands
        there, too, where nothing waits for it yet. Raises InvalidRequest ``currency_unknown``.
        """
        now = self._clock.now()
        book_id = scope.book_id
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            await batch_store.be_patient(connection)
            standing = await self._standing(connection, book_id, currency)
            waiting = await store.coming(connection, book_id, currency, COMING_MAX)
            moneys = {Money(book_id, each.currency, each.live) for each in standing}
            moneys |= {Money(book_id, each.currency, each.live) for each in waiting}
            carried = {each: await _carried(connection, each) for each in moneys}
            open_ones = [each for each in standing if each.state is BatchState.CUT]
            groups = {each.id: await self._cut(connection, each) for each in open_ones}
            cuts = {each: await self._waiting(connection, book_id, each) for each in waiting}
        found = [_fixed(each) for each in standing if each.state is not BatchState.CUT]
        # What was carried on goes into the first batch that is not priced yet.
        for batch in sorted(open_ones, key=lambda each: each.cut_at):
            more = carried.pop(Money(book_id, batch.currency, batch.live), 0)
            found.append(await self._of_batch(batch, groups[batch.id], more))
        for each in sorted(waiting, key=lambda each: each.cut_at):
            more = carried.pop(Money(book_id, each.currency, each.live), 0)
            found.append(await self._of_cut(each, cuts[each], more))
        if currency is not None and not any(each.cut_at > now for each in found):
            [cut] = await self._agreements.calendar(book_id, currency, 1)
            found.append(_empty(currency, cut))
        return tuple(sorted(found, key=lambda each: (each.payout_on, each.cut_at, each.currency)))

    async def calendar(self, scope: Scope, currency: str, count: int = 14) -> tuple[Upcoming, ...]:
        """Return the next ``count`` cuts by the agreement that holds now, each with what waits for it so far.

        Raises InvalidRequest ``settlement_days_invalid`` unless 1 ≤ ``count`` ≤ ``SETTLEMENT_DAYS_MAX``, ``currency_unknown``.
        """
        if not 1 <= count <= SETTLEMENT_DAYS_MAX:
            raise InvalidRequest("settlement_days_invalid", f"ask for 1 to {SETTLEMENT_DAYS_MAX} payouts")
        coming = {each.cut_at: each for each in await self.coming(scope, currency)}
        for cut in await self._agreements.calendar(scope.book_id, currency, count):
            known = coming.get(cut.cut_at)
            coming[cut.cut_at] = (
                msgspec.structs.replace(known, is_provisional=cut.is_provisional)
                if known is not None
                else _empty(currency, cut)
            )
        return tuple(coming[at] for at in sorted(coming))

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

    async def _standing(self, connection: Connection, book_id: int, currency: str | None) -> list[Batch]:
        found: list[Batch] = []
        for state in _STANDING:
            found += await batch_store.page(
                connection, book_id, currency=currency, state=state, before=None, limit=COMING_MAX
            )
        return [each for each in found if each.state is BatchState.CUT or each.paid_minor]

    async def _waiting(self, connection: Connection, book_id: int, of: Coming) -> list[Movement]:
        if of.movement_count > ESTIMATED_MAX:
            return []
        money = Money(book_id, of.currency, of.live)
        return await store.waiting_at(connection, money, of.cut_at, ESTIMATED_MAX)

    async def _cut(self, connection: Connection, batch: Batch) -> tuple[int, int, list[Movement]]:
        """Return the count and sum of a batch that is not priced, and its movements where they can be estimated."""
        count, amount = await store.sum_of_batch(connection, batch.book_id, batch.id)
        movements: list[Movement] = []
        if 0 < count <= ESTIMATED_MAX:
            asked = BillFilter(batch_id=batch.id)
            movements = await store.unpriced(connection, batch.book_id, asked, ESTIMATED_MAX)
        return count, amount, movements

    async def _of_batch(
        self, batch: Batch, group: tuple[int, int, list[Movement]], carried_minor: int
    ) -> Upcoming:
        count, amount, movements = group
        return Upcoming(
            currency=batch.currency,
            cut_at=batch.cut_at,
            payout_on=batch.payout_on,
            state=MoneyState.CUT,
            count=count,
            amount_minor=amount,
            expected_minor=await self._expected(movements, count, carried_minor),
            is_fixed=False,
            batch_id=batch.id,
        )

    async def _of_cut(self, of: Coming, movements: Sequence[Movement], carried_minor: int) -> Upcoming:
        return Upcoming(
            currency=of.currency,
            cut_at=of.cut_at,
            payout_on=of.payout_on,
            state=MoneyState.WAITING,
            count=of.movement_count,
            amount_minor=of.amount_minor,
            expected_minor=await self._expected(movements, of.movement_count, carried_minor),
            is_fixed=False,
        )

    async def _expected(self, movements: Sequence[Movement], count: int, carried_minor: int) -> int | None:
        """Return what movements come to with what is carried on; None where not all of them can be estimated."""
        estimates = await self._estimating.of(movements)
        if len(estimates) != count:
            return None
        return carried_minor + sum(each.net_minor for each in estimates.values())


async def _carried(connection: Connection, of: Money) -> int:
    position = await batch_store.position(connection, of)
    return 0 if position is None else position.carried_minor


def _fixed(batch: Batch) -> Upcoming:
    totals = batch.totals
    return Upcoming(
        currency=batch.currency,
        cut_at=batch.cut_at,
        payout_on=batch.payout_on,
        state=_STANDING[batch.state],
        count=totals.count,
        amount_minor=totals.gross_minor
        + totals.refunds_minor
        + totals.disputes_minor
        + totals.adjustments_minor,
        expected_minor=batch.paid_minor,
        is_fixed=True,
        batch_id=batch.id,
    )


def _empty(currency: str, cut: Cut) -> Upcoming:
    """Return the payout of a cut for which nothing waits so far."""
    return Upcoming(
        currency=currency,
        cut_at=cut.cut_at,
        payout_on=cut.payout_on,
        state=MoneyState.WAITING,
        count=0,
        amount_minor=0,
        expected_minor=0,
        is_fixed=False,
        is_provisional=cut.is_provisional,
    )


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


def _added(total: BillTotal, **more: int) -> BillTotal:
    return msgspec.structs.replace(
        total, **{name: getattr(total, name) + value for name, value in more.items()}
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
