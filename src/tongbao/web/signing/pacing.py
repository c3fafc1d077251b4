"""How often a network address may try to sign in: bursts, and then slowly, in this process.

Passwords are locked by address and e-mail besides (``parties.policy.sign_in``), codes by their attempts; this is what keeps
one machine from trying many of them, and from having many messages sent.
"""

import math
import time
from collections.abc import Callable
from enum import Enum

from tongbao.core.errors import LimitExceeded

BUCKETS_MAX = 10_000


class Try(Enum):
    """What is tried: how many at once, and how many a minute from then on."""

    SIGN_IN = (60, 20)
    CODE = (20, 6)


class Paces:
    """The buckets of one process. ``seconds`` never goes back."""

    def __init__(self, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        # By what is tried and from where: permits left, and when that was counted; the least recently used first.
        self._buckets: dict[tuple[Try, str], tuple[float, float]] = {}

    def take(self, kind: Try, address: str) -> None:
        """Take one permit of a network address; raise LimitExceeded ``tries_too_fast`` with the seconds to wait."""
        burst, per_minute = kind.value
        now = self._seconds()
        left, counted_at = self._buckets.pop((kind, address), (float(burst), now))
        left = min(float(burst), left + (now - counted_at) * per_minute / 60)
        allowed = left >= 1
        self._buckets[kind, address] = (left - 1 if allowed else left, now)
        if len(self._buckets) > BUCKETS_MAX:
            del self._buckets[next(iter(self._buckets))]
        if not allowed:
            wait_s = math.ceil((1 - left) * 60 / per_minute)
            raise LimitExceeded("tries_too_fast", "too many tries from this address", retry_after_s=wait_s)
