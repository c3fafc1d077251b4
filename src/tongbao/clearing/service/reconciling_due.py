"""Reconciling by itself: a source is run when a file of it came since its last run, and when its day has turned.

Sources of one channel that tell the same are one run, which any of their files makes due; channels are run before banks.

What a run, whoever started it, leaves of payments that are still open here is heard after it (``late_truth``). Runs are
repeatable and one source's wait for each other, so several processes may do this at once.
"""

from collections.abc import Awaitable, Callable
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from tongbao.clearing.policy import sources
from tongbao.clearing.policy.sources import Together
from tongbao.clearing.schema.breaks import Run
from tongbao.clearing.schema.lines import FileState
from tongbao.clearing.service.intake import Intake
from tongbao.clearing.service.reconciling import Reconciling
from tongbao.core.clock import Clock
from tongbao.core.errors import InvalidRequest

JOB = "job:reconciling"
FILES_SEEN = 20
"""Newest files of a source that are looked at; one that is still being read does not hide the one before it."""

Follow = Callable[[Run], Awaitable[object]]
"""Hears what a run left to be heard; repeatable."""

_log = structlog.get_logger(__name__)


class ReconcilingDue:
    """Runs what is due. One object a process. ``follow`` is called once for the newest run of each source."""

    def __init__(
        self, clock: Clock, intake: Intake, reconciling: Reconciling, follow: Follow | None = None
    ) -> None:
        self._clock = clock
        self._intake = intake
        self._reconciling = reconciling
        self._follow = follow
        self._followed: dict[str, UUID] = {}

    async def step(self) -> int:
        """Run every source that is due up to its own today, and follow its newest run; return how many were run.

        A run that is refused (``breaks_too_many``) is told in the log and tried again with the next file.
        """
        now, count = self._clock.now(), 0
        for group in sources.all_together(await self._intake.sources()):
            name = group.lead.source
            until_on = now.astimezone(ZoneInfo(group.lead.zone)).date()
            found = await self._reconciling.page(source=name, limit=1)
            last = found[0] if found else None
            if await self._is_due(group, last, until_on):
                try:
                    last = await self._reconciling.run(name, until_on, JOB)
                except InvalidRequest as error:
                    _log.error("run_refused", source=name, code=error.code, detail=error.detail)
                    continue
                count += 1
            if not group.is_funds:  # Only what is told of payments is heard of payments.
                await self._heard(last)
        return count

    async def _is_due(self, group: Together, last: Run | None, until_on: date) -> bool:
        files = [
            each
            for name in group.names
            for each in await self._intake.page(name, limit=FILES_SEEN)
            if each.state is FileState.READ
        ]
        if not files or last is None:
            return bool(files)
        # A file and a run of one instant: the file may have come after the run had looked.
        newest = max(each.received_at for each in files)
        return last.until_on < until_on or newest >= last.started_at

    async def _heard(self, run: Run | None) -> None:
        if self._follow is None or run is None or self._followed.get(run.source) == run.id:
            return
        await self._follow(run)
        self._followed[run.source] = run.id
