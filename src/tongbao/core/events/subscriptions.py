"""Who reads facts: consumers, whose effects are anywhere, and projections, whose effects are in this database."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tongbao.core.db import Connection
from tongbao.core.events.facts import Delivered, Fact, topic_of

Topic = str | type[Fact]

BATCH_FACTS_MAX = 500
ATTEMPTS_MAX = 8
RETRY_S = 0.1
RETRY_S_MAX = 60.0
HANDLE_S_MAX = 30.0


@dataclass(frozen=True)
class Subscription:
    """Which facts are wanted, by topic (all where none is named), and how patiently they are delivered.

    ``name`` is the identity: it keeps its place over restarts. A failure of the handler is tried again after
    ``retry_s`` seconds, doubling up to ``retry_s_max``; the fact that failed ``attempts_max`` times, alone,
    becomes a dead letter. A handler that raises Unavailable or OutcomeUnknown says that the fact is not to blame:
    it is repeated until the party is back. ``from_now`` skips what was published before the name was first used.
    """

    name: str
    topics: Sequence[Topic]
    batch_max: int = field(default=BATCH_FACTS_MAX, kw_only=True)
    attempts_max: int = field(default=ATTEMPTS_MAX, kw_only=True)
    retry_s: float = field(default=RETRY_S, kw_only=True)
    retry_s_max: float = field(default=RETRY_S_MAX, kw_only=True)
    handle_s_max: float = field(default=HANDLE_S_MAX, kw_only=True)
    from_now: bool = field(default=False, kw_only=True)

    def topic_names(self) -> list[str]:
        """Return the topics as they are stored."""
        return [topic if isinstance(topic, str) else topic_of(topic) for topic in self.topics]

    def pause_s(self, attempts: int) -> float:
        """Return the seconds to wait after so many failed attempts."""
        return min(self.retry_s * 2.0 ** min(attempts - 1, 32), self.retry_s_max)


@dataclass(frozen=True)
class Consumer(Subscription):
    """Handles facts at least once: a batch is repeated where the process died before its place was kept."""

    handle: Callable[[Sequence[Delivered]], Awaitable[None]]


@dataclass(frozen=True)
class Projection(Subscription):
    """Handles facts exactly once, as far as it writes on the connection given: its place is kept by that commit."""

    handle: Callable[[Connection, Sequence[Delivered]], Awaitable[None]]
