"""What runs in the background: sealer, sweeper of holds, resolver, webhooks, clearing, partitions, always-on checks.

Each loop is supervised: a failure is logged with its code, waited out and tried again; it never ends the
process and never fails a payment. All of them may run in any number of processes at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from tongbao.core.errors import AppError
from tongbao.core.events.running import Events
from tongbao.core.logs import get_logger
from tongbao.core.metrics import Metrics
from tongbao.web.house import House

SEAL_ROUNDS_MAX = 200
SWEEP_S = 1.0
CHECK_S = 5.0
PREPARE_S = 6 * 3600.0
PAUSE_S_MAX = 30.0
CHALLENGES_S = 5.0
WATCH_S = 3600.0
RETENTION_S = 3600.0
RESOLVE_S = 0.5
DELIVER_S = 0.2
GUARD_S = 45.0
CLEAR_S = 2.0
WATCH_RATES_S = 300.0
FACTS_KEPT = timedelta(days=7)


class Workers:
    """The background loops of one process; ``async with`` starts and stops them.

    ``loops``: name, pause in seconds and one round of each; a house in simulated time calls the rounds itself.
    """

    def __init__(
        self, house: House, events: Events, metrics: Metrics, *, seal_interval_s: float = 1.0
    ) -> None:
        ledger = self._ledger = house.runtime.ledger
        self._house = house
        self._events = events
        self._log = get_logger("workers")
        self._failed = metrics.counter("worker_failures", "Rounds that failed", labels=("worker",))
        self.loops: list[tuple[str, float, Callable[[], Awaitable[object]]]] = [
            ("sealer", seal_interval_s, lambda: ledger.sealing.seal_all(SEAL_ROUNDS_MAX)),
            ("sweeper", SWEEP_S, ledger.posting.expire_due_holds),
            ("checks", CHECK_S, self._check),
            ("resolver", RESOLVE_S, house.payments.resolving.resolve_due),
            ("webhooks", DELIVER_S, self._deliver),
            ("partitions", PREPARE_S, self._prepare),
            ("guardrails", GUARD_S, house.decisions.guarding.look),
            ("experiments", GUARD_S, house.decisions.experiments.stop_harmful_anywhere),
            ("challenges", CHALLENGES_S, house.proofs.challenging.expire_due),
            ("models", WATCH_S, house.risk.watching.look),
            ("retraining", WATCH_S, house.risk.retraining.train_if_due),
            ("discoveries", WATCH_S, house.risk.discovering.run_if_due),
            ("retention", RETENTION_S, self._forget),
            ("exchange_rates", WATCH_RATES_S, house.exchange_rates.watch),
            ("vault", PREPARE_S, house.vault.forget_expired),
            *((f"clearing_{name}", CLEAR_S, step) for name, step in house.clearing.steps()),
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self.findings: list[str] = []

    async def __aenter__(self) -> "Workers":
        for name, interval_s, work in self.loops:
            self._tasks.append(asyncio.create_task(self._loop(name, interval_s, work), name=name))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _forget(self) -> None:
        """Delete facts of a week ago that every consumer has passed, old answers, events and sessions."""
        await self._events.relay.forget(self._ledger.clock.now() - FACTS_KEPT)
        await self._house.requests.forget_expired()
        await self._house.events.forget_old()
        await self._house.parties.sign_in.forget()
        await self._house.routing.forget()

    async def _prepare(self) -> None:
        """Make the partitions of the coming months."""
        await self._ledger.sealing.prepare()
        await self._house.decisions.log.prepare()
        await self._house.risk.prepare()
        await self._house.clearing.prepare()

    async def _deliver(self) -> None:
        """Deliver until nothing is due."""
        while await self._house.delivering.deliver_due():
            pass

    async def _check(self) -> None:
        """Check the next accounts; what is wrong makes the process unready and is logged as an error."""
        for finding in await self._ledger.verifying.verify_sample():
            self.findings.append(f"{finding.what} {finding.where}")
            self._log.error("invariant_broken", what=finding.what, where=finding.where, detail=finding.detail)

    async def _loop(self, name: str, interval_s: float, work: Callable[[], Awaitable[object]]) -> None:
        pause_s = interval_s
        while True:
            try:
                await work()
                pause_s = interval_s
            except AppError as error:
                self._failed.labels(name).inc()
                self._log.warning("worker_failed", worker=name, code=error.code, detail=error.detail)
                pause_s = min(max(pause_s, 0.5) * 2, PAUSE_S_MAX)
            except Exception as error:
                # A loop that died silently would be worse than one that repeats its bug in the log.
                self._failed.labels(name).inc()
                self._log.error("worker_failed", worker=name, code=type(error).__name__, exc_info=error)
                pause_s = min(max(pause_s, 0.5) * 2, PAUSE_S_MAX)
            await asyncio.sleep(pause_s)
