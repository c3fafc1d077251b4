"""Live data: what one part of a page looks like now, rendered once a tick for everybody who watches it.

A topic is a channel in one language. While somebody watches it, a task renders it every ``period_s`` seconds and hands
the text to every queue if it changed; when the last viewer has gone it stays a little while, for those who reconnect.
A queue holds ``QUEUE_MAX`` messages: a reader who is slower loses the oldest, never the newest, and stops nobody.
"""

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from tongbao.core.errors import LimitExceeded

CLIENTS_MAX = 1_000
CHANNELS_MAX = 8
QUEUE_MAX = 4
KEPT_MAX = 16
PERIOD_S = 1.0
HEARTBEAT_S = 15.0
LINGER_S = 10.0
_log = structlog.get_logger(__name__)
Render = Callable[[str], Awaitable[str]]
"""Gives the part in a language, as HTML."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A part that changes. ``name`` says whose data it is (``payments:acct_…``): equal names share one rendering."""

    name: str
    render: Render
    period_s: float = PERIOD_S


@dataclass(frozen=True, slots=True)
class Message:
    """One rendering. ``event_id`` rises within this process and names the process before its number."""

    event_id: str
    channel: str
    html: str


@dataclass(slots=True)
class _Topic:
    channel: Channel
    language: str
    viewers: "set[asyncio.Queue[Message | None]]" = field(default_factory=set)
    kept: "deque[Message]" = field(default_factory=lambda: deque(maxlen=KEPT_MAX))
    task: "asyncio.Task[None] | None" = None


class Hub:
    """Every live part of one process. Belongs to the event loop that it is first used in."""

    def __init__(
        self, clients_max: int = CLIENTS_MAX, linger_s: float = LINGER_S, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._clients_max = clients_max
        self._linger_s = linger_s
        self._heartbeat_s = heartbeat_s
        self._topics: dict[tuple[str, str], _Topic] = {}
        self._run = secrets.token_hex(4)
        self._number = 0
        self._clients: set[asyncio.Queue[Message | None]] = set()
        self._closed = False

    @property
    def clients(self) -> int:
        """How many streams are open."""
        return len(self._clients)

    @property
    def topics(self) -> int:
        """How many channels are rendered now, each counted once for each language."""
        return len(self._topics)

    def admit(self, channels: Sequence[Channel]) -> None:
        """Raise LimitExceeded ``live_clients`` or ``live_channels`` where another stream would be one too many."""
        if len(self._clients) >= self._clients_max or self._closed:
            raise LimitExceeded(
                "live_clients", "no more live streams can be opened now", most=self._clients_max
            )
        if len(channels) > CHANNELS_MAX:
            raise LimitExceeded("live_channels", "a stream has too many channels", most=CHANNELS_MAX)

    async def watch(
        self, channels: Sequence[Channel], language: str, last_id: str = ""
    ) -> AsyncIterator[Message | None]:
        """Yield what changes in the channels, first what they look like now; None is a heartbeat. Ends with the hub.

        With ``last_id`` only what came after it is sent, as far as it is still kept. Raises as ``admit`` does.
        """
        self.admit(channels)
        queue: asyncio.Queue[Message | None] = asyncio.Queue(QUEUE_MAX + len(channels) * KEPT_MAX)
        self._clients.add(queue)
        topics = [self._topic(channel, language) for channel in channels]
        try:
            for topic in topics:
                for missed in self._missed(topic, last_id):
                    queue.put_nowait(missed)
                topic.viewers.add(queue)
                if topic.task is None:
                    topic.task = asyncio.create_task(self._tick(topic))
            while not self._closed:
                try:
                    async with asyncio.timeout(self._heartbeat_s):
                        message = await queue.get()
                except TimeoutError:
                    yield None
                    continue
                if message is None:
                    return
                yield message
        finally:
            self._clients.discard(queue)
            for topic in topics:
                topic.viewers.discard(queue)

    async def close(self) -> None:
        """End every stream and every rendering; a server that is told to stop need not wait for its viewers."""
        self._closed = True
        for queue in list(self._clients):
            _put(queue, None)
        tasks = [topic.task for topic in self._topics.values() if topic.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _topic(self, channel: Channel, language: str) -> _Topic:
        return self._topics.setdefault((channel.name, language), _Topic(channel, language))

    def _missed(self, topic: _Topic, last_id: str) -> list[Message]:
        """Return what a viewer has not seen: all after ``last_id`` where it is known, else what the part looks like now."""
        run, _, number = last_id.partition("-")
        if run != self._run or not number.isdecimal():
            return list(topic.kept)[-1:]
        return [message for message in topic.kept if int(message.event_id.partition("-")[2]) > int(number)]

    async def _tick(self, topic: _Topic) -> None:
        """Render a topic until nobody has watched it for a while. A rendering that fails is tried again at the next tick."""
        loop = asyncio.get_running_loop()
        seen_at = loop.time()
        try:
            while True:
                if topic.viewers:
                    seen_at = loop.time()
                elif loop.time() - seen_at > self._linger_s:
                    return
                try:
                    await self._render(topic)
                except Exception:
                    # One part that cannot be shown now must not end the stream of the others.
                    _log.exception("live_part_failed", channel=topic.channel.name)
                await asyncio.sleep(topic.channel.period_s)
        finally:
            topic.task = None
            with contextlib.suppress(KeyError):
                if not topic.viewers:
                    del self._topics[topic.channel.name, topic.language]

    async def _render(self, topic: _Topic) -> None:
        html = await topic.channel.render(topic.language)
        if topic.kept and topic.kept[-1].html == html:
            return
        self._number += 1
        message = Message(f"{self._run}-{self._number}", topic.channel.name, html)
        topic.kept.append(message)
        for queue in list(topic.viewers):
            if queue.qsize() >= QUEUE_MAX:
                queue.get_nowait()
            queue.put_nowait(message)


def _put(queue: "asyncio.Queue[Message | None]", message: Message | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(message)
