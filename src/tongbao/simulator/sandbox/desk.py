"""What all channels of the sandbox share: how an ask is attended, and the tasks that run on afterwards."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.errors import LimitExceeded
from tongbao.simulator.sandbox.behavior import NOT_DONE, Ask, Behaviors, Fault, Plan
from tongbao.simulator.sandbox.schema import Act, Dispute, Payment
from tongbao.simulator.sandbox.world import World

TASKS_MAX = 20_000

logger = logging.getLogger(__name__)
Said = TypeVar("Said")


class Served(msgspec.Struct, Generic[Said], frozen=True):
    """How an ask ended: the answer, or the fault that keeps it back."""

    fault: Fault
    answer: Said | None = None


class Teller(Protocol):
    """How a channel tells the merchant what happened without being asked."""

    def tell_decided(self, payment: Payment) -> None:
        """Say that a payment or payout was decided: approved, or refused after all."""
        ...

    def tell_refunded(self, payment: Payment, act: Act) -> None:
        """Say that a refund is done."""
        ...

    def tell_disputed(self, payment: Payment, dispute: Dispute) -> None:
        """Say how a dispute stands."""
        ...


class Desk:
    """One a sandbox. ``close`` ends every silence and every task."""

    def __init__(self, world: World, behaviors: Behaviors, clock: Clock) -> None:
        self.world = world
        self.behaviors = behaviors
        self.clock = clock
        self.tellers: dict[str, Teller] = {}
        self.asked: Counter[tuple[str, str, str]] = Counter()
        self._started_at = clock.now()
        self._closing = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start, by the sandbox's clock; trouble windows count by it."""
        return (self.clock.now() - self._started_at).total_seconds()

    async def attend(self, channel: str, ask: Ask, act: Callable[[Plan], Said]) -> Served[Said]:
        """Do what the plan says: maybe the act, always in one step, on disk before it is answered."""
        plan = self.behaviors.plan(channel, ask, self.elapsed_s)
        self.asked[channel, ask.operation, plan.fault] += 1
        if plan.late_ms:
            await self.pause(plan.late_ms / 1000)
        if plan.fault in NOT_DONE:
            answer = None
        else:
            answer = act(plan)
            await self.world.settled()
        if plan.latency_ms:
            await self.pause(plan.latency_ms / 1000)
        if plan.fault in (Fault.NONE, Fault.TAMPERED):
            return Served(Fault.NONE, answer)
        return Served(plan.fault)

    @property
    def is_closing(self) -> bool:
        """Whether the sandbox is being closed."""
        return self._closing.is_set()

    async def pause(self, seconds: float) -> None:
        """Sleep, and wake up early when the sandbox closes."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    def later(self, delay_s: float, what: Callable[[], None]) -> None:
        """Call something after a while, unless the sandbox closes before."""

        async def wait() -> None:
            await self.pause(delay_s)
            if not self._closing.is_set():
                what()
                await self.world.settled()

        self.spawn(wait())

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a task until it ends or the sandbox closes; raise LimitExceeded past ``TASKS_MAX`` of them."""
        if self._closing.is_set():
            coroutine.close()
            return
        if len(self._tasks) >= TASKS_MAX:
            coroutine.close()
            raise LimitExceeded("sandbox_busy", f"the sandbox runs at most {TASKS_MAX} things at once")
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def until(self, at: datetime) -> float:
        """Return how many seconds are left until an instant, at least 0."""
        return max(0.0, (at - self.clock.now()).total_seconds())

    async def close(self) -> None:
        """End silences and tasks. What was under way is in the book and goes on at the next start."""
        self._closing.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("sandbox_task_failed", exc_info=error)
