"""Payouts to come: what is cut and still to be paid, what waits for its cut, and the cuts beyond, with what is likely paid.

What is priced is told as it is fixed. The rest is estimated, however many movements there are up to ``OPEN_MAX``: a few
thousand at a time, in one snapshot.
"""

import asyncio
from typing import NamedTuple

import msgspec

from tongbao.clearing.policy.agreements import Terms
from tongbao.clearing.policy.cycles import paid_on
from tongbao.clearing.schema.agreements import Cut
from tongbao.clearing.schema.batches import Batch, BatchState
from tongbao.clearing.schema.bills import BillFilter, MoneyState, Upcoming
from tongbao.clearing.schema.calendars import SETTLEMENT_DAYS_MAX
from tongbao.clearing.schema.movements import Movement
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.service.estimating import ESTIMATED_MAX, Carried, Estimating
from tongbao.clearing.store import batches as batch_store
from tongbao.clearing.store import bills as store
from tongbao.clearing.store.bills import Coming
from tongbao.clearing.store.movements import Money
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import InvalidRequest

COMING_MAX = 400
OPEN_MAX = 200_000
"""Movements that are estimated for one payout or one sum: some seconds."""
_STANDING = {
    BatchState.CUT: MoneyState.CUT,
    BatchState.PRICED: MoneyState.PRICED,
    BatchState.APPROVED: MoneyState.APPROVED,
    BatchState.FAILED: MoneyState.FAILED,
}
"""States of batches that are still to be paid, as a bill calls them."""


class _Group(NamedTuple):
    """Movements that are not priced: how many, their sum, and what is left of it after fees; None where not all are known."""

    movement_count: int
    amount_minor: int
    net_minor: int | None


class PayoutsToCome:
    """Tells what a merchant is going to be paid. One object per process; ``long_reads`` are shared with whoever reads long, too."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        agreements: Agreements,
        estimating: Estimating,
        long_reads: asyncio.Semaphore,
    ) -> None:
        self._database = database
        self._clock = clock
        self._agreements = agreements
        self._estimating = estimating
        self._long_reads = long_reads

    async def of(self, book_id: int, currency: str | None = None) -> tuple[Upcoming, ...]:
        """Return the payouts to come with what they come to so far, earliest date first, at most ``COMING_MAX``.

        First what is cut, and is still to be paid; then what waits for its cut. With ``currency`` the next cut stands
        there, too, where nothing waits for it yet. Raises InvalidRequest ``currency_unknown``.
        """
        now = self._clock.now()
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            await batch_store.be_patient(connection)
            standing = await self._standing(connection, book_id, currency)
            waiting = await store.coming(connection, book_id, currency, COMING_MAX)
            moneys = {Money(book_id, each.currency, each.live) for each in standing}
            moneys |= {Money(book_id, each.currency, each.live) for each in waiting}
            carried = {each: await _carried(connection, each) for each in moneys}
            open_ones = [each for each in standing if each.state is BatchState.CUT]
            groups = {each.id: await _in_batch(connection, each) for each in open_ones}
            cuts = {each: await _in_cut(connection, book_id, each) for each in waiting}
            terms = await self._agreements.terms(connection, (book_id,))
        found = [_fixed(each) for each in standing if each.state is not BatchState.CUT]
        # What was carried on goes into the first batch that is not priced yet.
        for batch in sorted(open_ones, key=lambda each: each.cut_at):
            more = carried.pop(Money(book_id, batch.currency, batch.live), 0)
            found.append(_of_batch(batch, await self._grouped(batch, book_id, groups[batch.id]), more))
        for each in sorted(waiting, key=lambda each: each.cut_at):
            more = carried.pop(Money(book_id, each.currency, each.live), 0)
            found.append(_of_cut(each, await self._grouped(each, book_id, cuts[each]), more))
        if currency is not None and not any(each.cut_at > now for each in found):
            [cut] = await self._agreements.calendar(book_id, currency, 1)
            found.append(_empty(currency, cut))
        found = [_with_doubt(each, terms, book_id) for each in found]
        return tuple(sorted(found, key=lambda each: (each.payout_on, each.cut_at, each.currency)))

    async def calendar(self, book_id: int, currency: str, count: int) -> tuple[Upcoming, ...]:
        """Return the next ``count`` cuts by the agreement that holds now, each with what waits for it so far.

        Raises InvalidRequest ``settlement_days_invalid`` unless 1 ≤ ``count`` ≤ ``SETTLEMENT_DAYS_MAX``, ``currency_unknown``.
        """
        if not 1 <= count <= SETTLEMENT_DAYS_MAX:
            raise InvalidRequest("settlement_days_invalid", f"ask for 1 to {SETTLEMENT_DAYS_MAX} payouts")
        coming = {each.cut_at: each for each in await self.of(book_id, currency)}
        for cut in await self._agreements.calendar(book_id, currency, count):
            known = coming.get(cut.cut_at)
            coming[cut.cut_at] = (
                msgspec.structs.replace(known, is_provisional=cut.is_provisional)
                if known is not None
                else _empty(currency, cut)
            )
        return tuple(coming[at] for at in sorted(coming))

    async def _standing(self, connection: Connection, book_id: int, currency: str | None) -> list[Batch]:
        found: list[Batch] = []
        for state in _STANDING:
            found += await batch_store.page(
                connection, book_id, currency=currency, state=state, before=None, limit=COMING_MAX
            )
        return [each for each in found if each.state is BatchState.CUT or each.paid_minor]

    async def _grouped(
        self, of: Batch | Coming, book_id: int, known: tuple[int, int, list[Movement]]
    ) -> _Group:
        """Return what movements come to: those that were read with the rest, or where they are many, call by call."""
        count, amount_minor, movements = known
        if count > OPEN_MAX:
            return _Group(count, amount_minor, None)
        if count > ESTIMATED_MAX:
            return await self._long(of, book_id)
        estimates = await self._estimating.of(movements)
        net = sum(each.net_minor for each in estimates.values())
        return _Group(count, amount_minor, net if len(estimates) == count else None)

    async def _long(self, of: Batch | Coming, book_id: int) -> _Group:
        """Return what a batch or a cut with very many movements comes to as it stands now, which may be a little later."""
        carried: Carried = {}
        count = amount = net = estimated_count = 0
        async with (
            self._long_reads,
            self._database.transaction(read_only=True, snapshot=True) as connection,
        ):
            await batch_store.be_patient(connection)
            if isinstance(of, Batch):
                asked = BillFilter(batch_id=of.id)
                chunks = store.unpriced_stream(connection, book_id, asked, ESTIMATED_MAX)
            else:
                money = Money(book_id, of.currency, of.live)
                chunks = store.waiting_stream(connection, money, of.cut_at, ESTIMATED_MAX)
            async for chunk in chunks:
                estimates = await self._estimating.of(chunk, carried)
                count += len(chunk)
                amount += sum(each.amount_minor for each in chunk)
                net += sum(each.net_minor for each in estimates.values())
                estimated_count += len(estimates)
        return _Group(count, amount, net if estimated_count == count else None)


async def _in_batch(connection: Connection, batch: Batch) -> tuple[int, int, list[Movement]]:
    """Return the count and sum of a batch that is not priced, and its movements where one call takes them."""
    count, amount = await store.sum_of_batch(connection, batch.book_id, batch.id)
    movements: list[Movement] = []
    if 0 < count <= ESTIMATED_MAX:
        asked = BillFilter(batch_id=batch.id)
        movements = await store.unpriced(connection, batch.book_id, asked, ESTIMATED_MAX)
    return count, amount, movements


async def _in_cut(connection: Connection, book_id: int, of: Coming) -> tuple[int, int, list[Movement]]:
    """Return the count and sum of what waits for a cut, and the movements where one call takes them."""
    movements: list[Movement] = []
    if of.movement_count <= ESTIMATED_MAX:
        money = Money(book_id, of.currency, of.live)
        movements = await store.waiting_at(connection, money, of.cut_at, ESTIMATED_MAX)
    return of.movement_count, of.amount_minor, movements


async def _carried(connection: Connection, of: Money) -> int:
    position = await batch_store.position(connection, of)
    return 0 if position is None else position.carried_minor


def _with_doubt(of: Upcoming, terms: Terms, book_id: int) -> Upcoming:
    """Return a payout to come that says whether its date was counted over days that are not announced."""
    agreement = terms.at(book_id, of.currency, of.cut_at).agreement
    is_provisional = paid_on(agreement, of.cut_at, terms.known).is_provisional
    return msgspec.structs.replace(of, is_provisional=of.is_provisional or is_provisional)


def _of_batch(batch: Batch, group: _Group, carried_minor: int) -> Upcoming:
    return Upcoming(
        currency=batch.currency,
        cut_at=batch.cut_at,
        payout_on=batch.payout_on,
        state=MoneyState.CUT,
        count=group.movement_count,
        amount_minor=group.amount_minor,
        expected_minor=_expected(group, carried_minor),
        is_fixed=False,
        batch_id=batch.id,
    )


def _of_cut(of: Coming, group: _Group, carried_minor: int) -> Upcoming:
    return Upcoming(
        currency=of.currency,
        cut_at=of.cut_at,
        payout_on=of.payout_on,
        state=MoneyState.WAITING,
        count=group.movement_count,
        amount_minor=group.amount_minor,
        expected_minor=_expected(group, carried_minor),
        is_fixed=False,
    )


def _expected(group: _Group, carried_minor: int) -> int | None:
    return None if group.net_minor is None else carried_minor + group.net_minor


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
