"""How often a key may ask: a bucket of permits for each key and kind of request, in this process.

A bucket holds at most one second's worth and fills steadily. Buckets that are full again tell nothing and are let go.
"""

import math
import time
from collections.abc import Callable

import msgspec

from tongbao.core.errors import LimitExceeded

BUCKETS_MAX = 10_000


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Requests a second, by mode and kind."""

    test_reads: float = 100
    test_writes: float = 100
    live_reads: float = 500
    live_writes: float = 500

    def of(self, *, live: bool, writes: bool) -> float:
        """Return the rate of one kind of request."""
        if live:
            return self.live_writes if writes else self.live_reads
        return self.test_writes if writes else self.test_reads


class Limits:
    """The buckets of one process. ``seconds`` never goes back."""

    def __init__(self, rates: Rates | None = None, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._rates = rates or Rates()
        self._seconds = seconds
        # By key: permits left, and when that was counted; the least recently used first.
        self._buckets: dict[tuple[str, bool], tuple[float, float]] = {}

    def take(self, actor: str, *, live: bool, writes: bool) -> None:
        """Take one permit of an actor; raise LimitExceeded ``rate_limit`` where there is none."""
        rate = self._rates.of(live=live, writes=writes)
        now = self._seconds()
        name = (actor, writes)
        left, counted_at = self._buckets.pop(name, (max(rate, 1.0), now))
        left = min(max(rate, 1.0), left + (now - counted_at) * rate)
        allowed = left >= 1
        self._buckets[name] = (left - 1 if allowed else left, now)
        if len(self._buckets) > BUCKETS_MAX:
            del self._buckets[next(iter(self._buckets))]
        if not allowed:
            wait_s = (1 - left) / rate
            raise LimitExceeded(
                "rate_limit", "too many requests with this key; slow down", retry_after_s=math.ceil(wait_s)
            )
