"""Risk control as one object: who judges for this process, and what keeps that up to date.

``async with`` reads the state before the first payment and follows it in the background: facts every ``STEP_S`` seconds,
policies, models, lists and freezes every few. While the database is away payments are judged by what was known. With a line
to the scoring process nobody's history is kept here: no facts are followed, and the code that scores is not made ready.
Policies, lists and freezes are, which is what the fallback needs, and models, which the background work compares.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any

import structlog

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import AppError, Conflict
from tongbao.core.events.facts import Delivered
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.subscriptions import Consumer, Projection
from tongbao.core.ids import IdFactory
from tongbao.core.metrics import Metrics
from tongbao.decisions.service.live_policies import LivePolicies
from tongbao.decisions.service.log import DecisionLog
from tongbao.decisions.service.policies import Policies
from tongbao.risk.adapters.judge_line import JudgeLine
from tongbao.risk.models.warming import warm
from tongbao.risk.schema.cases import CaseDecided
from tongbao.risk.schema.freezes import FreezeOrder
from tongbao.risk.service import assessor, journaling
from tongbao.risk.service.alerting import alert_projection
from tongbao.risk.service.assessing import Assessing
from tongbao.risk.service.assessor import Assessor, Ready
from tongbao.risk.service.case_lapsing import lapse_projection
from tongbao.risk.service.case_reading import CaseReading
from tongbao.risk.service.cases import Cases
from tongbao.risk.service.compiling import POLICY
from tongbao.risk.service.discovering import Discovering
from tongbao.risk.service.following import Following
from tongbao.risk.service.freezing import Freezing
from tongbao.risk.service.judging import InProcess, Judging
from tongbao.risk.service.lists import Lists
from tongbao.risk.service.remote_judge import RemoteJudge, known_elsewhere
from tongbao.risk.service.retraining import Retraining
from tongbao.risk.service.shelf import Shelf
from tongbao.risk.service.watching import Watching

FREEZES = "risk.freezing"
STEP_S = 0.05
REFRESH_S = 2.0
FAILED_S = 1.0
"""After a failure it is tried again so much later."""

_log = structlog.get_logger(__name__)


class Risk:
    """One per process. ``line`` leads to the scoring process, where there is one; whoever made it closes it.

    ``chance`` draws what is explored. With ``is_paced`` nothing is followed by itself: whoever paces it calls ``catch_up``.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        policies: Policies,
        log: DecisionLog,
        metrics: Metrics,
        *,
        line: JudgeLine | None = None,
        chance: random.Random | None = None,
        is_paced: bool = False,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._log = log
        self.live = LivePolicies(policies, clock, compile=_compile)
        self.following = Following(database, clock)
        self.shelf = Shelf(database, clock)
        self.lists = Lists(database, clock, ids)
        self.freezing = Freezing(database, clock, ids)
        self._judges_here = line is None
        self._is_paced = is_paced
        known = self.following if line is None else known_elsewhere()
        self.assessor = Assessor(
            known, self.live, self.shelf, self.lists, self.freezing, clock, chance=chance
        )
        self.judge: Judging = InProcess(self.assessor) if line is None else RemoteJudge(line, self.assessor)
        self.assessing = Assessing(database, clock, ids, self.judge, metrics)
        self.retraining = Retraining(database, clock, policies, self.shelf)
        self.discovering = Discovering(database, clock, ids, self.shelf)
        self.watching = Watching(database, clock, policies, self.shelf)
        self.cases = Cases(database, clock, ids)
        self.case_reading = CaseReading(database, clock)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Risk":
        if self._judges_here:
            await asyncio.to_thread(warm)
            await self.following.start()
        await self._refresh()
        if not self._is_paced:
            self.follow()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.assessing.close()

    def follow(self) -> None:
        """Follow in the background from now on; where nothing paces it this is done at once."""
        if self._tasks:
            return
        steps = [("pictures", REFRESH_S, self._refresh)]
        if self._judges_here:
            steps.append(("following", STEP_S, self._follow))
        self._tasks = [asyncio.create_task(self._loop(*each)) for each in steps]

    async def catch_up(self) -> None:
        """Read everything that was placed so far; the steps of the background, for whoever paces this process."""
        while self._judges_here and await self.following.step():
            pass
        await self._refresh()

    def subscriptions(self) -> list[Consumer | Projection]:
        """Return what of risk control reads facts once for the whole house: the journal and the alerts."""
        return [
            journaling.journal_projection(self._clock, self._log),
            alert_projection(self._clock, self._ids, Outbox(self._clock, self._ids)),
            lapse_projection(self._clock, Outbox(self._clock, self._ids)),
            Consumer(FREEZES, (CaseDecided,), handle=self._freeze_by_case),
        ]

    async def prepare(self) -> None:
        """Make the partitions of the coming months."""
        await journaling.prepare(self._database, self._clock)

    async def _freeze_by_case(self, delivered: Sequence[Delivered]) -> None:
        """Freeze whom a case says; two people agreed on it there. A repeat finds it done."""
        for each in delivered:
            fact = each.fact
            if not isinstance(fact, CaseDecided) or fact.freeze_entity is None:
                continue
            order = FreezeOrder(
                live=fact.live, entity=fact.freeze_entity, key=fact.freeze_key, reason=fact.subject
            )
            try:
                await self.freezing.freeze(order, fact.actor)
            except Conflict as error:
                _log.info("risk_frozen_already", code=error.code, case=fact.subject)

    async def _refresh(self) -> None:
        """Bring policies, the models they name, lists and freezes up to date."""
        await self.live.refresh()
        await self.shelf.refresh(self._models())
        await self.lists.refresh()
        await self.freezing.refresh()

    async def _follow(self) -> None:
        await self.following.step()

    def _models(self) -> set[str]:
        """Return the models that policies in force name."""
        return {spec.compiled.spec.model for spec in self.live.specs() if isinstance(spec, Ready)}

    async def _loop(self, name: str, pause_s: float, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step for ever; a failure is logged and never ends it."""
        while True:
            pause = pause_s
            try:
                await step()
            except AppError as error:
                _log.warning("risk_step_failed", step=name, code=error.code)
                pause = FAILED_S
            except Exception:
                _log.exception("risk_step_broken", step=name)
                pause = FAILED_S
            await asyncio.sleep(pause)


def _compile(policy: str, spec: dict[str, Any]) -> object:
    """Make risk control's own policies ready; those of other rooms are none of its business."""
    if policy.partition("/")[0] != POLICY:
        return spec
    return assessor.ready(spec)
