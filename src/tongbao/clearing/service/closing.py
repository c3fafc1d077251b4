"""Closing: a business day of the house is looked at, closed, and stays as it was.

Facts are gathered in one snapshot; the decision is ``policy.closing``'s. While a day is being closed nobody dates anything, and
whoever dates something (``open_day``) keeps days from being closed until it is written: nothing slips in between.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from datetime import time as day_time

from tongbao.clearing.policy import closing
from tongbao.clearing.policy.closing import Facts
from tongbao.clearing.policy.cycles import zone_of
from tongbao.clearing.policy.sources import all_together
from tongbao.clearing.schema.days import Day, DayAct, DayReport, DayState
from tongbao.clearing.schema.lines import SourceTerms
from tongbao.clearing.service.reconciling import WorkingDay
from tongbao.clearing.service.recording import SUBSCRIPTION
from tongbao.clearing.store import breaks as break_store
from tongbao.clearing.store import days as store
from tongbao.clearing.store import lines as line_store
from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import Conflict, InvalidRequest
from tongbao.core.events import cursors
from tongbao.core.ids import first_uuid_at
from tongbao.ledger.schema import TrialBalanceLine
from tongbao.ledger.service.ledger import Ledger
from tongbao.ledger.service.reading import unbalanced

HOUSE_ZONE = "Asia/Shanghai"
PAGE_MAX = 100
DEAD_LETTERS_MAX = 1_000
RESOLVED_WITHIN = timedelta(days=1)
CONSUMERS = (SUBSCRIPTION,)
"""Whose dead letters keep a day open: without them movements are missing."""
_DAY = timedelta(days=1)


class Closing:
    """Looks at days, closes them and opens them again. One object per process.

    ``zone``: the IANA name of the house's business day. ``consumers``: of facts, whose dead letters count.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        clock: Clock,
        working_day: WorkingDay,
        *,
        zone: str = HOUSE_ZONE,
        consumers: Sequence[str] = CONSUMERS,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._clock = clock
        self._working_day = working_day
        self._zone = zone_of(zone)
        self._consumers = tuple(consumers)

    async def look(self, on: date) -> DayReport:
        """Return how a day stands: the list, the score, breaks by age. Writes nothing.

        Raises Conflict ``day_not_over`` for a day that still runs in the house's zone.
        """
        self._check_over(on)
        return await self._report(on)

    async def get(self, on: date) -> tuple[Day, list[DayAct]]:
        """Return a day with its stored report and what was done about it, oldest first; a day nobody touched is open."""
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            return await _standing(connection, on), await store.acts(connection, on)

    async def page(self, before: date | None = None, limit: int = 31) -> list[Day]:
        """Return days that somebody closed or wanted to, newest first, at most ``PAGE_MAX``."""
        async with self._database.connection() as connection:
            return await store.page(connection, before, max(1, min(limit, PAGE_MAX)))

    async def close(self, on: date, *, actor: str, note: str = "") -> Day:
        """Close a day and return it; over warnings the first person asks (the day stays open) and a second one closes.

        Everything up to the day is locked then. Who closed a day is told so again. Raises Conflict ``day_not_over``,
        ``day_closed``, ``day_not_closable``; InvalidRequest ``note_invalid``; NotPermitted ``four_eyes``.
        """
        self._check_over(on)
        async with self._database.transaction() as connection:
            locked_on = await store.lock(connection)
            day = await _standing(connection, on)
            if day.state is DayState.CLOSED and day.closed_by == actor:
                return day
            # Gathered under the lock: what is being dated right now is either seen, or comes after the close.
            report = await self._report(on)
            after = closing.closed(day, report, self._clock.now(), actor, note)
            await self._keep(connection, day, after, actor, note)
            if after.state is DayState.CLOSED:
                await store.lock_until(connection, max(on, locked_on))
        return after

    async def reopen(self, on: date, *, actor: str, note: str) -> Day:
        """Open the day that was closed last; the first person asks, a second one opens. Return it.

        Raises Conflict ``day_not_closed``, ``later_day_closed``; InvalidRequest ``note_invalid``; NotPermitted ``four_eyes``.
        """
        async with self._database.transaction() as connection:
            locked_on = await store.lock(connection)
            day = await _standing(connection, on)
            if day.state is DayState.CLOSED and on != locked_on:
                raise Conflict(
                    "later_day_closed", f"open {locked_on} first: days are opened from the last one back"
                )
            after = closing.reopened(day, actor, note)
            await self._keep(connection, day, after, actor, note)
            if after.state is DayState.OPEN:
                await store.lock_until(connection, await self._before(connection, on))
        return after

    async def open_day(self, connection: Connection, on: date) -> date:
        """Return the day to which something of ``on`` belongs: itself, or the first open one; joins the transaction.

        No day is closed or opened until that transaction ends.
        """
        return await store.open_day(connection, on)

    async def opens_at(self, connection: Connection) -> datetime:
        """Return the instant up to which everything is locked, under the same promise as ``open_day``; joins the transaction.

        A cut at or before it is moved by ``policy.closing.not_before``.
        """
        first = await store.open_day(connection, store.NEVER)
        return datetime.min.replace(tzinfo=UTC) if first == store.NEVER else self.begin_of(first)

    def begin_of(self, on: date) -> datetime:
        """Return the instant at which a day begins in the house's zone."""
        return datetime.combine(on, day_time(), self._zone)

    async def _before(self, connection: Connection, on: date) -> date:
        """Return up to which day everything stays locked where ``on`` is opened: the day before, if any was closed."""
        before = await store.one(connection, on - _DAY)
        return on - _DAY if before is not None and before.state is DayState.CLOSED else store.NEVER

    async def _keep(self, connection: Connection, before: Day, after: Day, actor: str, note: str) -> None:
        act = DayAct(
            version=after.version,
            act=closing.act_of(before, after),
            at=self._clock.now(),
            actor=actor,
            note=note,
        )
        await store.put(connection, after, act)

    def _check_over(self, on: date) -> None:
        if on <= store.NEVER:
            raise InvalidRequest("day_invalid", f"{on} is no business day")
        if self._clock.now() < self.begin_of(on + _DAY):
            raise Conflict("day_not_over", f"{on} still runs in {self._zone.key}", on=str(on))

    async def _report(self, on: date) -> DayReport:
        lines = await self._ledger.reading.trial_balance()
        balance = dict.fromkeys(sorted({line.asset for line in lines}), 0) | unbalanced(lines)
        held, owed = _sums(lines)
        findings = await self._ledger.verifying.verify_sample()
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            facts = await self._facts(connection, on, balance, closing.law_of(held, owed), len(findings))
        return closing.report(on, facts)

    async def _facts(
        self,
        connection: Connection,
        on: date,
        balance: dict[str, int],
        law: dict[str, int],
        findings: int,
    ) -> Facts:
        now = self._clock.now()
        begin, end = self.begin_of(on), self.begin_of(on + _DAY)
        sources = await line_store.sources(connection)
        covered, runs = await store.covered(connection, on), await store.runs_until(connection)
        reading, refused = await store.files(connection, begin, end, now)
        uncut, unpriced, unapproved = await store.batches(connection, end)
        count, late, matched = await store.movements(connection, begin, end)
        overdue, proposed = await store.standing(connection, on)
        unknown, unbooked = await store.payouts(connection, on)
        return Facts(
            silent_sources=tuple(
                each.source for each in sources if self._is_due(each, on) and each.source not in covered
            ),
            behind_sources=tuple(
                group.lead.source
                for group in all_together({each.source: each for each in sources})
                if runs.get(group.lead.source, store.NEVER) < on
            ),
            files_reading=reading,
            files_refused=refused,
            unresolved=await store.unresolved(connection, first_uuid_at(min(now - RESOLVED_WITHIN, end))),
            movements_uncut=uncut,
            batches_unpriced=unpriced,
            batches_unapproved=unapproved,
            payouts_unknown=unknown,
            payouts_unbooked=unbooked,
            dead_letters=await self._dead_letters(connection),
            trial_balance=balance,
            law=law,
            findings=findings,
            ages=tuple(await break_store.ages(connection, on)),
            overdue=overdue,
            proposed=proposed,
            movement_count=count,
            matched_count=matched,
            late_count=late,
            earlier_open=_earlier_open(await store.locked_on(connection), on),
        )

    def _is_due(self, terms: SourceTerms, on: date) -> bool:
        """Return whether a source sends a file for a day."""
        return terms.is_daily and self._working_day(terms.calendars, on, 0) == on

    async def _dead_letters(self, connection: Connection) -> int:
        found = [
            await cursors.dead_letters(connection, each, 0, DEAD_LETTERS_MAX) for each in self._consumers
        ]
        return sum(map(len, found))


async def _standing(connection: Connection, on: date) -> Day:
    return await store.one(connection, on) or Day(on=on, state=DayState.OPEN)


def _earlier_open(locked_on: date, on: date) -> date | None:
    """Return the first day before ``on`` that is still to be closed; the first close of all may be of any day."""
    first = locked_on + _DAY
    return first if locked_on != store.NEVER and first < on else None


def _sums(lines: Sequence[TrialBalanceLine]) -> tuple[dict[str, int], dict[str, int]]:
    """Return by currency what merchants hold against the house, and what its clearing owes them, minor units."""
    held: dict[str, int] = {}
    owed: dict[str, int] = {}
    for line in lines:
        debit = line.debits_minor - line.credits_minor
        if (line.book_code, line.account_code) == ("merchant", "house_receivable"):
            held[line.asset] = held.get(line.asset, 0) + debit
        elif (line.book_code, line.account_code) == ("platform", "clearing"):
            owed[line.asset] = owed.get(line.asset, 0) - debit
    return held, owed
