"""Revisiting: logged payments with exactly what was known of everybody in them when they were judged.

The journal is folded again from the last snapshot before the first of them, and at the position that a decision names the
payment is looked at anew. Whether that gives the very features of then is proved by the digest in the decision.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import UUID

import structlog

from tongbao.core.db import Database
from tongbao.core.errors import InvalidRequest, LimitExceeded
from tongbao.core.events.facts import Fact, decode
from tongbao.core.ids import first_uuid_at
from tongbao.decisions.schema.log import Decision, Range
from tongbao.decisions.service.log import DecisionLog
from tongbao.risk.models.base import Floats
from tongbao.risk.models.memory import Memory, Mode
from tongbao.risk.service.assessor import digest_of
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.journaling import FRAUD
from tongbao.risk.store import events, journal, past
from tongbao.risk.store.events import Judged
from tongbao.risk.store.journal import JournalRow

PAYMENTS_MAX = 100_000
"""Of one look back; all of them are held in memory."""
PAGE_MAX = 5_000
FACTS_MAX = 20_000_000
"""Facts that one look back folds."""

_log = structlog.get_logger(__name__)


class LoggedPayment(NamedTuple):
    """A judged payment: its row with what became known of it, and the decision."""

    row: Judged
    decision: Decision

    @property
    def position(self) -> int:
        """The position of the last fact that the decision knew."""
        return int(self.decision.context["position"] or 0)


class Found(NamedTuple):
    """Payments of a time, oldest first, and how many more there are of which no look can be repeated."""

    payments: list[LoggedPayment]
    unjudged_count: int


Visit = Callable[[LoggedPayment, Mode, Floats | None], None]
"""What is done with a payment, the memory of its mode as it was, and its features; None where they are not those of then."""


class Revisiting:
    """Looks back, one at a time in a process: each holds a memory of its own."""

    def __init__(self, database: Database, log: DecisionLog) -> None:
        self._database = database
        self._log = log
        self._single = asyncio.Lock()

    async def payments(self, of: Range) -> Found:
        """Return the payments of a range, which names its mode; second looks at a payment are left out.

        Raises InvalidRequest ``backtest_span_invalid`` for a time that ends before it begins, LimitExceeded
        ``backtest_too_long`` beyond ``PAYMENTS_MAX``.
        """
        if of.from_at >= of.to_at:
            raise InvalidRequest("backtest_span_invalid", "a time begins before it ends")
        rows = await self._rows(of)
        decisions: dict[UUID, Decision] = {}
        async for page in self._log.learned(of, FRAUD):
            for each in page:
                if each.decision.kind == POLICY and "position" in each.decision.context:
                    decisions[each.decision.id] = each.decision
        found = [LoggedPayment(row, decisions[row.id]) for row in rows if row.id in decisions]
        return Found(found, len(rows) - len(found))

    async def revisit(self, payments: Sequence[LoggedPayment], visit: Visit) -> None:
        """Visit every payment at the position of its decision, in the order of positions; payments change nothing.

        ``visit`` runs in a thread. Raises LimitExceeded ``past_too_far`` where more than ``FACTS_MAX`` facts lie between.
        """
        async with self._single:
            await self._revisit(deque(sorted(payments, key=_order)), visit)

    async def _revisit(self, pending: deque[LoggedPayment], visit: Visit) -> None:
        if not pending:
            return
        memory, position = await self._start(pending[0].position)
        last, count = pending[-1].position, 0
        while pending:
            async with self._database.connection() as connection:
                page = await journal.page(connection, position, PAGE_MAX)
            rows = [row for row in page if row.position <= last]
            await asyncio.to_thread(_fold, memory, rows, pending, visit)
            if len(rows) < PAGE_MAX:
                await asyncio.to_thread(_visit_rest, memory, pending, visit)
                return
            position = rows[-1].position
            count += len(rows)
            if count > FACTS_MAX:
                detail = f"between the last snapshot and that time lie more than {FACTS_MAX:,} facts"
                raise LimitExceeded("past_too_far", detail, limit=FACTS_MAX)

    async def _start(self, position: int) -> tuple[Memory, int]:
        """Return the memory to begin with, and the position that it holds."""
        async with self._database.connection() as connection:
            row = await past.snapshot_at(connection, position)
        if row is None:
            return Memory(), 0
        try:
            return await asyncio.to_thread(Memory.load, row.body), row.position
        except InvalidRequest as error:
            _log.warning("risk_snapshot_unreadable", position=row.position, detail=error.detail)
            return Memory(), 0

    async def _rows(self, of: Range) -> list[Judged]:
        found: list[Judged] = []
        after = UUID(int=first_uuid_at(of.from_at).int - 1)
        live = bool(of.live)
        while True:
            async with self._database.connection() as connection:
                page = await events.page(connection, (after, of.to_at), live, of.book_id, PAGE_MAX)
            found += page
            if len(found) > PAYMENTS_MAX:
                detail = f"one look back reads at most {PAYMENTS_MAX:,} payments"
                raise LimitExceeded("backtest_too_long", detail, limit=PAYMENTS_MAX)
            if len(page) < PAGE_MAX:
                return found
            after = page[-1].id


def _order(logged: LoggedPayment) -> tuple[int, UUID]:
    return logged.position, logged.row.id


def _fold(memory: Memory, rows: Sequence[JournalRow], pending: deque[LoggedPayment], visit: Visit) -> None:
    """Fold facts in, and before each of them visit the payments that did not know it."""
    for row in rows:
        while pending and pending[0].position < row.position:
            _visit(memory, pending.popleft(), visit)
        fact = decode(row.topic, row.body)
        if isinstance(fact, Fact):
            memory.learn(fact)


def _visit_rest(memory: Memory, pending: deque[LoggedPayment], visit: Visit) -> None:
    while pending:
        _visit(memory, pending.popleft(), visit)


def _visit(memory: Memory, logged: LoggedPayment, visit: Visit) -> None:
    mode = memory.of(logged.row.live)
    features = mode.state.features(logged.row.signals)
    is_same = digest_of(features) == logged.decision.context.get("features")
    visit(logged, mode, features if is_same else None)
