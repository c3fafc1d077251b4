"""Delivers notifications over HTTP: retried until accepted, and lost, late, doubled or out of order as told.

Each attempt is built and signed anew under the same event id. What is under way is forgotten when the sandbox
stops, as a merchant must expect anyway: it inquires.
"""

import asyncio
import ipaddress
from collections import deque
from collections.abc import Callable
from datetime import datetime

import msgspec
from yarl import URL

from tongbao.core.http import HttpAnswer, HttpClient, NoAnswer, NotSent
from tongbao.simulator.instants import made_now
from tongbao.simulator.sandbox.desk import Desk

DELIVERIES_KEPT_MAX = 5_000
ANSWER_BYTES_MAX = 65_536


class Message(msgspec.Struct, frozen=True):
    """One request to a merchant."""

    headers: dict[str, str]
    body: bytes


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be told. ``build`` takes whether to lie about the amount; ``accepts`` reads the merchant's answer."""

    channel: str
    event_id: str
    kind: str
    reference: str
    url: str
    build: Callable[[bool], Message]
    accepts: Callable[[HttpAnswer], bool]


class Delivery(msgspec.Struct, kw_only=True):
    """One event's way to the merchant. ``state``: under_way, accepted, given_up, lost, or refused (a URL not allowed)."""

    channel: str
    event_id: str
    kind: str
    reference: str
    url: str
    created_at: datetime
    state: str = "under_way"
    attempts: int = 0
    last_answer: str | None = None


class Notifier:
    """Sends events from the tasks of a desk. ``intervals_s`` are the pauses before the second, third … attempt."""

    def __init__(
        self, desk: Desk, intervals_s: tuple[float, ...], timeout_s: float, *, anywhere: bool
    ) -> None:
        self._desk = desk
        self._intervals_s = intervals_s
        self._timeout_s = timeout_s
        self._anywhere = anywhere
        self._client = HttpClient()
        self.deliveries: deque[Delivery] = deque(maxlen=DELIVERIES_KEPT_MAX)
        self._untold: set[asyncio.Future[None]] = set()

    def send(self, event: Event) -> None:
        """Start delivering; return at once."""
        delivery = Delivery(
            channel=event.channel,
            event_id=event.event_id,
            kind=event.kind,
            reference=event.reference,
            url=event.url,
            created_at=self._desk.clock.now(),
        )
        self.deliveries.append(delivery)
        if not (self._anywhere or is_loopback(event.url)):
            delivery.state, delivery.last_answer = "refused", "not a loopback address"
            return
        habits = self._desk.behaviors.habits(event.channel).notifying
        rng = self._desk.behaviors.draw(event.channel, "notify")
        lost, doubled, late, tampered, shuffled = (rng.random() for _ in range(5))
        if lost < habits.lost_prob:
            delivery.state = "lost"
            return
        pause_s = shuffled * habits.shuffle_ms / 1000
        if late < habits.late_prob:
            pause_s += habits.late.draw_ms(rng) / 1000
        copies = 2 if doubled < habits.duplicate_prob else 1
        tried: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        is_tampered = tampered < habits.tampered_prob
        self._desk.spawn(self._deliver(event, delivery, tried, (pause_s, copies, is_tampered)))
        self._untold.add(tried)
        tried.add_done_callback(self._untold.discard)

    async def told(self) -> None:
        """Return once everything that is to be told now was tried to be told."""
        if self._untold:
            await asyncio.wait(self._untold)

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()

    async def _deliver(
        self,
        event: Event,
        delivery: Delivery,
        tried: "asyncio.Future[None]",
        how: tuple[float, int, bool],
    ) -> None:
        """Deliver until it is accepted; ``tried`` is done after the first attempt. ``how``: pause, copies, tampered."""
        pause_s, copies, tampered = how
        try:
            # What a merchant is told must not be forgotten by a crash in the next moment.
            await self._desk.world.settled()
            for wait_s in (pause_s, *self._intervals_s):
                await self._desk.pause(wait_s)
                accepted = await asyncio.gather(
                    *(self._attempt(event, delivery, tampered) for _ in range(copies))
                )
                if all(accepted):
                    delivery.state = "accepted"
                    return
                _over(tried)
            delivery.state = "given_up"
        finally:
            _over(tried)

    async def _attempt(self, event: Event, delivery: Delivery, tampered: bool) -> bool:
        delivery.attempts += 1
        instant = made_now(self._desk.clock)
        message = event.build(tampered)
        try:
            answer = await self._client.request(
                "POST",
                event.url,
                headers=message.headers | instant,
                body=message.body,
                timeout_s=self._timeout_s,
                answer_bytes_max=ANSWER_BYTES_MAX,
            )
        except (NotSent, NoAnswer) as error:
            delivery.last_answer = f"{type(error).__name__} {error}"
            return False
        delivery.last_answer = f"{answer.status} {answer.body[:80].decode(errors='replace')}".strip()
        return event.accepts(answer)


def _over(tried: "asyncio.Future[None]") -> None:
    if not tried.done():
        tried.set_result(None)


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this machine only: requests name the URL, and anybody may send requests."""
    try:
        parsed = URL(url)
        if parsed.scheme not in ("http", "https"):
            return False
        return parsed.host == "localhost" or ipaddress.ip_address(parsed.host or "").is_loopback
    except ValueError:
        return False
