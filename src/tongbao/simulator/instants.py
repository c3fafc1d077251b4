"""Telling a house in simulated time when a request is made: its clock steps on while requests travel."""

from datetime import datetime

from tongbao.core.clock import Clock, SteppedClock

INSTANT_HEADER = "City-Instant"
"""When a request is made, for a house in simulated time; any other house does not know it."""


def made_at(at: datetime) -> dict[str, str]:
    """Return the header of a request that is made at an instant."""
    return {INSTANT_HEADER: at.isoformat()}


def made_now(clock: Clock) -> dict[str, str]:
    """Return the header of a request that is made now, where the clock is stepped; nothing where time is real."""
    return made_at(clock.now()) if isinstance(clock, SteppedClock) and clock.is_stepped else {}
