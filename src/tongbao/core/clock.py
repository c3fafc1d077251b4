"""Time as a parameter: real, frozen, stepped and simulated clocks.

Nothing in Tongbao asks the operating system for the time except through a ``Clock``, so that a year of the
simulated city replays in minutes and equals itself. All instants are aware UTC.
"""

import math
import time
from contextvars import ContextVar
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


class SteppedClock:
    """A clock that goes where its driver says and never back, and that may be let go to run with another clock from then on.

    So a past is lived through step by step, and life goes on from where it ended. What happens side by side within one
    step may have instants of its own: ``of_own`` sets one for the running task and those that it starts.
    """

    def __init__(self, at: datetime) -> None:
        self._at = require_utc(at)
        self._own: ContextVar[datetime | None] = ContextVar("instant", default=None)
        self._then: Clock | None = None

    def now(self) -> datetime:
        """Return the task's own instant, or that at which the clock stands; once let go, the other clock's, never an earlier one."""
        if self._then is not None:
            self._at = max(self._at, self._then.now())
            return self._at
        return self._own.get() or self._at

    @property
    def is_stepped(self) -> bool:
        """Whether it still goes where its driver says."""
        return self._then is None

    def go_to(self, at: datetime) -> None:
        """Stand at ``at`` from now on; raise ValueError for an instant that is over, and for a clock that was let go."""
        at = require_utc(at)
        if self._then is not None:
            raise ValueError("a clock that was let go is not stepped any more")
        if at < self._at:
            raise ValueError(f"a stepped clock does not go back: it is {self._at}, not {at}")
        self._at = at

    def of_own(self, at: datetime) -> None:
        """Let the running task, and those that it starts from now on, live at an instant of their own until the clock is let go."""
        self._own.set(require_utc(at))

    def let_go(self, then: Clock) -> None:
        """Run with ``then`` from now on; until that has come to where this clock stands, it stands."""
        self._then = then


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
