"""The worker that delivers webhooks: takes what is due, sends it, records how it went.

- At least once: an attempt is counted and leased before it is sent, and recorded afterwards. Whoever dies in between
  leaves it due again when the lease ends.
- An endpoint that is slow or down holds up nobody else: each has a bounded number of attempts under way in a process
  (one, where it has been failing), and calls of ``deliver_due`` do not wait for stragglers.
- Bodies are rendered from the snapshot at each attempt and signed anew.
- Events of one object go to an endpoint one after the other, oldest first. It is no promise: while one that failed
  waits for its next try the later ones pass it. ``sequence`` tells receivers which is newer.

Any number of processes may deliver at the same time.
"""

import asyncio
import random
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import msgspec

from tongbao.core.clock import Clock
from tongbao.core.db import Connection, Database
from tongbao.core.errors import AppError
from tongbao.core.events.outbox import Outbox
from tongbao.core.http import HttpClient
from tongbao.core.ids import IdFactory
from tongbao.core.lane import Lane, LaneMetrics
from tongbao.core.logs import get_logger
from tongbao.core.metrics import Metrics
from tongbao.payments.adapters.web_addresses import Lookup, WebAddresses
from tongbao.payments.adapters.web_sender import TIMEOUT_S, Reply, WebSender
from tongbao.payments.policy import web_addresses
from tongbao.payments.policy import webhooks as policy
from tongbao.payments.ports import SecretBox
from tongbao.payments.schema.webhooks import DeliveryFailure, EndpointDisabled, EventRow, UrlRules
from tongbao.payments.service.webhooks import secret_context
from tongbao.payments.store import deliveries as store
from tongbao.payments.store.deliveries import Ended, Taken, Tally

LIMIT = 200
LEASE_S = 60.0
RECORDED_MAX = 500

Render = Callable[[EventRow], bytes]
"""Puts an event into words; equal events give equal bytes. Given by the web layer."""


class DeliveryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much goes on at once in one process, and how long a call of ``deliver_due`` waits for what it began."""

    in_flight_max: int = 512
    endpoint_in_flight_max: int = 16
    patience_s: float = 0.05
    timeout_s: float = TIMEOUT_S


class Delivering:
    """Delivers. One object per process; close it.

    ``lookup`` and ``ssl`` choose how names are resolved and which certificates count; ``chance`` spreads retries.
    """

    def __init__(
        self,
        database: Database,
        render: Render,
        box: SecretBox,
        rules: UrlRules,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        *,
        chance: random.Random,
        limits: DeliveryLimits | None = None,
        lookup: Lookup = socket.getaddrinfo,
        ssl: object = True,
    ) -> None:
        self._database = database
        self._render = render
        self._box = box
        self._rules = rules
        self._clock = clock
        self._chance = chance
        self._limits = limits or DeliveryLimits()
        self._outbox = Outbox(clock, ids)
        self._resolver = WebAddresses(partial(web_addresses.address_allowed, rules=rules), lookup)
        client = HttpClient(connections_max=self._limits.in_flight_max, resolver=self._resolver, ssl=ssl)
        self._sender = WebSender(client, timeout_s=self._limits.timeout_s)
        self._lane: Lane[Ended, None] = Lane(
            "webhooks",
            self._record,
            partial(database.dedicated, "tongbao-webhooks-lane"),
            metrics=LaneMetrics(metrics),
            slots=1,
            batch_max=RECORDED_MAX,
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: Counter[UUID] = Counter()
        self._beyond = store.FIRST_ENDPOINT
        self._log = get_logger("webhooks")
        self._attempts = metrics.counter("webhook_attempts", "Attempts by how they ended", labels=("result",))
        self._seconds = metrics.histogram("webhook_attempt_seconds", "Time of an attempt")

    async def deliver_due(self, limit: int = LIMIT) -> int:
        """Begin at most ``limit`` due attempts; return how many.

        Waits a moment (``patience_s``) for them, not for stragglers: those end, and are recorded, by themselves.
        While this process is full it waits for room instead. Raises the translated errors of the database.
        """
        room = min(limit, self._limits.in_flight_max - len(self._tasks))
        if room <= 0:
            await asyncio.wait(
                self._tasks, timeout=self._limits.patience_s, return_when=asyncio.FIRST_COMPLETED
            )
            return 0
        taken = await self._take(room)
        self._busy.update(each.endpoint_id for each in taken)
        begun = {asyncio.create_task(self._deliver(each), name="webhook") for each in taken}
        for task in begun:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if begun:
            await asyncio.wait(begun, timeout=self._limits.patience_s)
        return len(taken)

    async def settle(self) -> None:
        """Wait until everything that was begun has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self, grace_s: float = 0.0) -> None:
        """Wait ``grace_s`` seconds for what is under way, give up the rest (it is repeated), and close."""
        if self._tasks and grace_s > 0:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._sender.close()
        await self._resolver.close()
        await self._lane.close()

    async def _take(self, limit: int) -> list[Taken]:
        """Take due deliveries of the endpoints in turn, beginning after the one that came last."""
        now = self._clock.now()
        until = now + timedelta(seconds=LEASE_S)
        taken: list[Taken] = []
        busy = self._busy.copy()
        async with self._database.connection() as connection:
            for beyond in dict.fromkeys((self._beyond, store.FIRST_ENDPOINT)):
                capacity = store.Capacity(
                    limit - len(taken),
                    self._limits.endpoint_in_flight_max,
                    policy.FAILING_FROM,
                    busy,
                )
                found = await store.take(connection, now, until, capacity, beyond)
                busy.update(each.endpoint_id for each in found)
                taken += found
                if len(taken) >= limit:
                    break
        full = len(taken) >= limit
        self._beyond = (taken[-1].event.book_id, taken[-1].endpoint_id) if full else store.FIRST_ENDPOINT
        return taken

    async def _deliver(self, taken: Taken) -> None:
        """Make one attempt and record it; what cannot be recorded is repeated after its lease."""
        try:
            began_at = self._clock.now()
            reply = await self._attempt(taken, began_at)
            ended = self._ended(taken, began_at, reply)
            self._attempts.labels(ended.failure or "delivered").inc()
            self._seconds.observe(reply.took_ms / 1_000)
            await self._lane.submit_one(ended)
        except AppError as error:
            self._log.warning("webhook_not_recorded", webhook=taken.event.reference, code=error.code)
        finally:
            self._busy[taken.endpoint_id] -= 1
            self._busy += Counter()  # leaves out what has come to nothing

    async def _attempt(self, taken: Taken, at: datetime) -> Reply:
        """Send once; a failure on our side is a reply like any other, so that it is repeated and seen."""
        event = taken.event
        if web_addresses.url_fault(taken.url, live=event.live, rules=self._rules) is not None:
            return Reply(took_ms=0, failure=DeliveryFailure.URL_REFUSED)
        try:
            body = self._render(event)
            context = secret_context(event.book_id, taken.endpoint_id)
            opened = [self._box.open(sealed, context).decode() for sealed in taken.secrets]
            headers = policy.signed_headers(opened, event.reference, at, body)
            return await self._sender.post(taken.url, headers, body)
        except Exception as error:
            # A bug in the words for one kind of event must not stop all the others.
            self._log.error("webhook_attempt_broken", webhook=event.reference, exc_info=error)
            return Reply(took_ms=0, failure=DeliveryFailure.INTERNAL)

    def _ended(self, taken: Taken, began_at: datetime, reply: Reply) -> Ended:
        """Return what an attempt means for its delivery."""
        now = self._clock.now()
        succeeded = reply.status is not None and policy.is_success(reply.status)
        failure = None if succeeded else reply.failure or DeliveryFailure.STATUS
        again_at = None if succeeded else policy.retry_at(now, taken.tries, self._chance.random())
        return Ended(
            book_id=taken.event.book_id,
            endpoint_id=taken.endpoint_id,
            event_id=taken.event.id,
            attempt_no=taken.attempt_no,
            attempted_at=began_at,
            took_ms=reply.took_ms,
            status=reply.status,
            failure=failure,
            answer=policy.excerpt(reply.body),
            state=policy.ended_state(succeeded, again_at),
            due_at=again_at,
            ended_at=now,
            gone=reply.status == policy.STATUS_GONE,
        )

    async def _record(self, connection: Connection, _slot: int, batch: Sequence[Ended]) -> Sequence[None]:
        """Record attempts in one transaction; repeating it changes nothing."""
        now = self._clock.now()
        async with connection.transaction():
            new = await store.insert_attempts(connection, batch)
            await store.end(connection, counting_attempts(batch))
            fresh = [each for each in batch if (each.endpoint_id, each.event_id, each.attempt_no) in new]
            tallies = tallies_of(fresh)
            if tallies:
                await store.tally(connection, tallies)
                failing = [each for each in tallies if each.failures]
                if failing:
                    limit = now - policy.GIVE_UP_AFTER
                    disabled = await store.disable(connection, failing, now, limit)
                    facts = [EndpointDisabled(occurred_at=now, endpoint=each) for each in disabled]
                    await self._outbox.publish(connection, facts)
        return [None] * len(batch)


def counting_attempts(batch: Sequence[Ended]) -> list[Ended]:
    """Return of each delivery the attempt that counts: one that delivered, else the latest."""
    counting: dict[tuple[UUID, UUID], Ended] = {}
    for each in sorted(batch, key=lambda ended: (ended.failure is None, ended.attempt_no)):
        counting[each.endpoint_id, each.event_id] = each
    return list(counting.values())


def tallies_of(batch: Sequence[Ended]) -> list[Tally]:
    """Return what attempts, in the order in which they ended, say of each endpoint; our own failures say nothing."""
    tallies: dict[UUID, Tally] = {}
    for each in batch:
        if each.failure is DeliveryFailure.INTERNAL:
            continue
        known = tallies.get(each.endpoint_id)
        if known is None:
            known = Tally(each.book_id, each.endpoint_id, False, 0, None, False)
        if each.failure is None:
            known = known._replace(succeeded=True, failures=0, failed_at=None)
        else:
            known = known._replace(
                failures=known.failures + 1,
                failed_at=known.failed_at or each.attempted_at,
                gone=known.gone or each.gone,
            )
        tallies[each.endpoint_id] = known
    return sorted(tallies.values())
