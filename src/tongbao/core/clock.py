"""Time as a parameter: real, frozen and simulated clocks.

Nothing in Tongbao asks the operating system for the time except through a ``Clock``, so that a year of the
simulated city replays in minutes and equals itself. All instants are aware UTC.
"""

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Where the current instant comes from."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        ...


class RealClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """Return the machine's current instant in UTC."""
        return datetime.now(UTC)


class FrozenClock:
    """A clock that stands still until it is told to move, for tests."""

    def __init__(self, at: datetime) -> None:
        self._at = require_utc(at)

    def now(self) -> datetime:
        """Return the instant at which the clock stands."""
        return self._at

    def advance(self, step: timedelta) -> None:
        """Move by ``step``, which may be negative: clocks do jump backwards."""
        self._at += step

    def set(self, at: datetime) -> None:
        """Jump to ``at``."""
        self._at = require_utc(at)


class SimulatedClock:
    """A clock that starts at an instant of its own and runs ``speed`` times as fast as the machine's.

    It reads the machine's monotonic time, so it never jumps when somebody sets the machine's clock.
    """

    def __init__(self, start: datetime, speed: float = 1.0) -> None:
        if not 0 < speed < math.inf:
            raise ValueError("speed must be positive and finite")
        self._start = require_utc(start)
        self._speed = speed
        self._zero = time.monotonic()

    def now(self) -> datetime:
        """Return the simulated instant in UTC."""
        return self._start + timedelta(seconds=(time.monotonic() - self._zero) * self._speed)


def require_utc(at: datetime) -> datetime:
    """Return ``at`` in UTC; raise ValueError where it carries no time zone."""
    if at.utcoffset() is None:
        raise ValueError("an instant needs a time zone")
    return at.astimezone(UTC)
