"""Routing as one object: the router of this process and what keeps it up to date.

``async with`` reads the state before the first payment and follows it in the background: facts every ``STEP_S`` seconds,
policies and volumes every few. While the database is away the router decides with what it knew.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection
from types import TracebackType
from typing import Any
from uuid import UUID

import structlog

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.core.errors import AppError
from tongbao.core.events.outbox import Outbox
from tongbao.core.events.subscriptions import Consumer, Projection
from tongbao.core.ids import IdFactory
from tongbao.decisions.service.live_policies import LivePolicies
from tongbao.decisions.service.log import DecisionLog
from tongbao.decisions.service.policies import Policies
from tongbao.routing.service.alarming import alarm_projection
from tongbao.routing.service.compiling import POLICY, compile_spec
from tongbao.routing.service.following import Following
from tongbao.routing.service.health import Health
from tongbao.routing.service.replaying import Replaying
from tongbao.routing.service.router import Router
from tongbao.routing.service.tallying import forget_tallies, tally_projection
from tongbao.routing.service.volumes import REFRESH_S, Volumes

STEP_S = 0.05
FAILED_S = 1.0
"""After a failure it is tried again so much later."""

_log = structlog.get_logger(__name__)


class Routing:
    """One per process. ``channels``: the names of the house's routes, which rules and terms may speak of.

    ``chance`` draws what is explored. With ``is_paced`` nothing is followed by itself: whoever paces it calls ``catch_up``.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: IdFactory,
        policies: Policies,
        channels: Collection[str],
        *,
        chance: random.Random | None = None,
        is_paced: bool = False,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._is_paced = is_paced
        self._channels = frozenset(channels)
        self.live = LivePolicies(policies, clock, compile=self._compile)
        self.volumes = Volumes(database, clock)
        self.following = Following(database, clock, ids, ended=self._ended)
        self.router = Router(self.following.board, self.live, self.volumes, clock, ids, chance=chance)
        self.health = Health(database, clock)
        self.replaying = Replaying(
            DecisionLog(database, clock), policies, clock, ids, self._channels, self.following.board.tuning
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Routing":
        await self.following.start()
        await self.live.refresh()
        await self.volumes.refresh()
        if not self._is_paced:
            self.follow()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def follow(self) -> None:
        """Follow in the background from now on; where nothing paces it this is done at once."""
        if self._tasks:
            return
        self._tasks = [
            asyncio.create_task(self._loop("following", STEP_S, self.following.step)),
            asyncio.create_task(self._loop("policies", REFRESH_S, self.live.refresh)),
            asyncio.create_task(self._loop("volumes", REFRESH_S, self.volumes.refresh)),
        ]

    async def catch_up(self) -> None:
        """Read everything that was placed so far; the steps of the background, for whoever paces this process."""
        while await self.following.step():
            pass
        await self.live.refresh()
        await self.volumes.refresh()

    def subscriptions(self) -> list[Consumer | Projection]:
        """Return what of routing reads facts once for the whole house: tallies and alarms."""
        return [
            tally_projection(self._clock),
            alarm_projection(self._ids, Outbox(self._clock, self._ids)),
        ]

    async def forget(self) -> None:
        """Delete tallies beyond their time."""
        await forget_tallies(self._database, self._clock)

    def _compile(self, policy: str, spec: dict[str, Any]) -> object:
        """Make routing's own policies ready; those of other rooms are none of its business."""
        if policy.partition("/")[0] != POLICY:
            return spec
        return compile_spec(spec, self._channels)

    def _ended(self, decision_id: UUID, approved: bool) -> None:
        self.router.ended(decision_id, approved=approved)

    async def _loop(self, name: str, pause_s: float, step: Callable[[], Awaitable[object]]) -> None:
        """Repeat a step for ever; a failure is logged and never ends it."""
        while True:
            pause = pause_s
            try:
                await step()
            except AppError as error:
                _log.warning("routing_step_failed", step=name, code=error.code)
                pause = FAILED_S
            except Exception:
                _log.exception("routing_step_broken", step=name)
                pause = FAILED_S
            await asyncio.sleep(pause)
