"""Statements: a day's or a month's balance and everything in it, equal to the ledger to the last unit.

A statement and its lines are read in one snapshot, so they agree however long the reading of the lines takes. Lines go through
memory a few thousand at a time.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta

from tongbao.clearing.policy import statements as policy
from tongbao.clearing.schema.bills import BillFilter
from tongbao.clearing.schema.statements import BatchAct, BatchEvent, Period, Statement, StatementLine
from tongbao.clearing.service.agreements import Agreements
from tongbao.clearing.store import batches as batch_store
from tongbao.clearing.store import bills as bill_store
from tongbao.clearing.store import statements as store
from tongbao.core import currencies
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import LimitExceeded
from tongbao.parties.schema import Scope

CHUNK = 2_000
EVENTS_MAX = 200_000
"""Batches of one statement: one a sale where money is settled in real time."""
GRACE = timedelta(hours=1)
"""So long after its end a statement is final: by then what happened right before is recorded."""


class OpenStatement:
    """A statement, and its lines while the snapshot that it was read in is open."""

    def __init__(self, connection: Connection, statement: Statement, events: list[BatchEvent]) -> None:
        self.statement = statement
        self._connection = connection
        self._events = events

    async def lines(self) -> AsyncIterator[list[StatementLine]]:
        """Yield the lines, oldest first, some thousands at a time; the last balance is the closing one."""
        book, period = self.statement.book_id, self.statement.period
        running = policy.Running(self.statement, self._events)
        asked = BillFilter(
            from_at=period.from_at, until_at=period.until_at, currencies=(self.statement.currency,)
        )
        async for rows in bill_store.stream(self._connection, book, asked, CHUNK):
            yield [
                line for row in rows for line in running.movement(row.movement, row.cost, row.where.payout_on)
            ]
        if rest := list(running.rest()):
            yield rest


class Statements:
    """Reads statements. One object per process; writes nothing."""

    def __init__(self, database: Database, clock: Clock, agreements: Agreements) -> None:
        self._database = database
        self._clock = clock
        self._agreements = agreements

    async def day(self, scope: Scope, currency: str, on: date) -> Period:
        """Return a day in the zone that was agreed on; raise InvalidRequest ``currency_unknown``, ``statement_time_invalid``."""
        return policy.day(on, await self._zone(scope, currency))

    async def month(self, scope: Scope, currency: str, year: int, number: int) -> Period:
        """Return a month in the zone that was agreed on; raise InvalidRequest ``currency_unknown``, ``statement_time_invalid``."""
        return policy.month(year, number, await self._zone(scope, currency))

    async def get(self, scope: Scope, currency: str, period: Period) -> Statement:
        """Return the statement of some days; see ``open``."""
        async with self.open(scope, currency, period) as found:
            return found.statement

    @asynccontextmanager
    async def open(self, scope: Scope, currency: str, period: Period) -> AsyncIterator[OpenStatement]:
        """Lend a statement whose lines are still to be read; one snapshot, read only.

        Raises InvalidRequest ``currency_unknown``; LimitExceeded ``statement_too_large`` for more than ``EVENTS_MAX`` moves of
        batches; InvariantBroken ``statement_unbalanced`` where its parts do not come to its balance.
        """
        currencies.currency(currency)
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            await batch_store.be_patient(connection)
            statement, events = await self._read(connection, scope.book_id, currency, period)
            policy.check_sums(statement, events)
            yield OpenStatement(connection, statement, events)

    async def _read(
        self, connection: Connection, book_id: int, currency: str, period: Period
    ) -> tuple[Statement, list[BatchEvent]]:
        between: tuple[datetime, datetime] = (period.from_at, period.until_at)
        events = await store.events(connection, book_id, currency, between, EVENTS_MAX + 1)
        if len(events) > EVENTS_MAX:
            raise LimitExceeded(
                "statement_too_large", "ask for fewer days: there are too many batches in them"
            )
        priced = [each for each in events if each.act is BatchAct.PRICED]
        count, paid, returned = policy.paid_and_returned(events)
        now = self._clock.now()
        statement = Statement(
            book_id=book_id,
            currency=currency,
            period=period,
            opening=await store.holdings(connection, book_id, currency, period.from_at),
            closing=await store.holdings(connection, book_id, currency, period.until_at),
            movements=await store.by_kind(connection, book_id, currency, between),
            fees=await store.fees(connection, book_id, [each.batch_id for each in priced]),
            held_minor=-sum(each.totals.reserve_held_minor for each in priced),
            released_minor=sum(each.totals.reserve_released_minor for each in priced),
            payout_count=count,
            payouts_minor=paid,
            returned_minor=returned,
            is_final=now >= period.until_at + GRACE,
            made_at=now,
        )
        return statement, events

    async def _zone(self, scope: Scope, currency: str) -> str:
        holding = await self._agreements.at(scope.book_id, currency, self._clock.now())
        return holding.agreement.zone
