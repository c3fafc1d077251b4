"""How the house does, read once for all who look at the same moment: what pages of health, alerts, today and the wall show."""

import asyncio
from datetime import datetime, timedelta
from typing import NamedTuple

from tongbao.clearing.schema.days import AgeLine
from tongbao.core.vitals import Vitals, vitals
from tongbao.decisions.schema.policies import PolicyVersion
from tongbao.ledger.schema import Unsealed
from tongbao.parties.schema import PAGE_SIZE_MAX, Merchant, MerchantId, OperatorPermission, PageRequest
from tongbao.parties.service.access import operator_of_job
from tongbao.payments.schema.house_overviews import Hooked, Waiting
from tongbao.payments.service.house_overviews import HouseOverviews
from tongbao.risk.schema.cases import CaseScope
from tongbao.risk.schema.watches import KeptAlarm
from tongbao.risk.service.compiling import POLICY as RISK
from tongbao.routing.schema.health import Cell, Dimension, HealthScope, Period, Step
from tongbao.web.house import House
from tongbao.web.ops.board_view import Boards, BoardView
from tongbao.web.ui.live import Hub
from tongbao.web.workers import Workers

FRESH_S_MIN = 2.0
REST = 10
"""A reading rests ten times as long as it took, so that its viewers cost a tenth of a connection at most."""
BOOKS_FRESH = timedelta(seconds=15)
MERCHANTS_MAX = 10_000
HOOKS_BACK = timedelta(days=1)
MONEY_BACK = timedelta(hours=1)
CASES_READ = 100
MINUTE = timedelta(minutes=1)


class Owner(NamedTuple):
    """Whose book it is."""

    merchant: Merchant
    live: bool


class CasesDue(NamedTuple):
    """Cases that nobody has taken, at most ``CASES_READ`` counted; ``oldest_due_at``: when the first should have been decided."""

    waiting_count: int
    overdue_count: int
    oldest_due_at: datetime | None


class WorkerState(NamedTuple):
    """A loop of this process: how often it works, how many of its rounds failed."""

    name: str
    every_s: float
    failed_count: int


class Reading(NamedTuple):
    """Everything at one instant, of one mode where money is concerned.

    ``money``: approved attempts of the last hour by minute and currency. ``findings``: what the checks of this process found.
    """

    at: datetime
    live: bool
    board: BoardView
    vitals: Vitals
    unsealed: Unsealed
    waiting: Waiting
    hooks: Hooked
    breaks: tuple[AgeLine, ...]
    cases: CasesDue
    drift: tuple[KeptAlarm, ...]
    money: tuple[Cell, ...]
    findings: tuple[str, ...]
    workers: tuple[WorkerState, ...]
    stream_count: int


class Readings:
    """Reads how the house does. ``workers`` and ``hub`` are those of this process, where it has them."""

    def __init__(
        self, house: House, boards: Boards, hub: Hub | None = None, workers: Workers | None = None
    ) -> None:
        self._house = house
        self._boards = boards
        self._hub = hub
        self._workers = workers
        self.overviews = HouseOverviews(house.runtime.database)
        self._operator = operator_of_job("console", frozenset({OperatorPermission.MERCHANTS_READ}))
        self._topics = {each.name: each.topic_names() for each in house.subscriptions()}
        self._lock = asyncio.Lock()
        self._books_lock = asyncio.Lock()
        self._known: dict[bool, tuple[datetime, Reading]] = {}
        self._books: tuple[datetime, dict[int, Owner]] | None = None

    async def read(self, live: bool) -> Reading:
        """Return how the house does, at most some seconds old, older where reading it takes long."""
        clock, loop = self._house.runtime.clock, asyncio.get_running_loop()
        async with self._lock:
            known = self._known.get(live)
            if known is not None and clock.now() < known[0]:
                return known[1]
            began = loop.time()
            found = await self._read(live)
            rest_s = max(FRESH_S_MIN, REST * (loop.time() - began))
            self._known[live] = (clock.now() + timedelta(seconds=rest_s), found)
            return found

    async def books(self) -> dict[int, Owner]:
        """Return every book with its merchant, the newest merchants first, at most ``MERCHANTS_MAX``; some seconds old."""
        now = self._house.runtime.clock.now()
        async with self._books_lock:
            if self._books is not None and now < self._books[0]:
                return self._books[1]
            found: dict[int, Owner] = {}
            request: PageRequest[MerchantId] = PageRequest(limit=PAGE_SIZE_MAX)
            for _ in range(MERCHANTS_MAX // PAGE_SIZE_MAX):
                page = await self._house.parties.merchants.all(self._operator, request)
                for each in page.items:
                    found[each.live_book_id] = Owner(each, True)
                    found[each.test_book_id] = Owner(each, False)
                if not page.has_more:
                    break
                request = PageRequest(limit=PAGE_SIZE_MAX, starting_after=page.items[-1].merchant_id)
            self._books = (now + BOOKS_FRESH, found)
            return found

    def forget_books(self) -> None:
        """Read merchants anew when they are asked for next: one was changed here."""
        self._books = None

    async def books_of(self, live: bool) -> tuple[int, ...]:
        """Return the books of one mode."""
        return tuple(book for book, owner in (await self.books()).items() if owner.live is live)

    async def _read(self, live: bool) -> Reading:
        house, now = self._house, self._house.runtime.clock.now()
        books = await self.books_of(live)
        end = now.replace(second=0, microsecond=0) + MINUTE
        scope, period = HealthScope(live=live), Period(end - MONEY_BACK, end)
        by = (Dimension.CURRENCY, Dimension.MARK)
        return Reading(
            at=now,
            live=live,
            board=await self._boards.read(live),
            vitals=await vitals(house.runtime.database, self._topics),
            unsealed=await house.runtime.ledger.sealing.unsealed(),
            waiting=await self.overviews.unresolved(books),
            hooks=await self.overviews.hooks(books, now - HOOKS_BACK),
            breaks=await house.clearing.break_desk.ages(now.date()),
            cases=await self._cases(live, now),
            drift=await self._drift(live),
            money=tuple(await house.routing.health.cells(scope, period, by, Step.MINUTE)),
            findings=tuple(self._workers.findings[-10:]) if self._workers else (),
            workers=self._loops(),
            stream_count=self._hub.clients if self._hub else 0,
        )

    async def _cases(self, live: bool, now: datetime) -> CasesDue:
        queue = await self._house.risk.case_reading.queue(CaseScope(live=live), CASES_READ)
        due = sorted(each.case.due_at for each in queue if each.case.due_at <= now)
        return CasesDue(len(queue), len(due), due[0] if due else None)

    async def _drift(self, live: bool) -> tuple[KeptAlarm, ...]:
        """Return the alarms of the model that decides about risk; none where rules decide alone."""
        policies = self._house.decisions.policies
        rollout = await policies.current(RISK)
        if rollout is None:
            return ()
        version: PolicyVersion = await policies.version(RISK, rollout.champion)
        digest = version.spec.get("model")
        if not isinstance(digest, str) or not digest:
            return ()
        watch = await self._house.risk.watching.kept(digest, live=live)
        return () if watch is None else watch.alarms

    def _loops(self) -> tuple[WorkerState, ...]:
        if self._workers is None:
            return ()
        failed = self._house.runtime.metrics.registry
        return tuple(
            WorkerState(
                name,
                every_s,
                int(failed.get_sample_value("tongbao_worker_failures_total", {"worker": name}) or 0),
            )
            for name, every_s, _ in self._workers.loops
        )
