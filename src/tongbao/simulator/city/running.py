"""What the driver of a city is given: where shops and channels are reached, what time it is, and who does the house's work.

The driver knows the house by its addresses alone. Whoever opened the house steps its clock and does its background work
(``Work``); the driver says when.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from tongbao.core.clock import Clock

IN_ADVANCE_S_MAX = 60.0
"""Nobody sleeps longer at a time where time is real: a machine that slept is noticed."""
TOLD_S = 0.5
LATE = timedelta(minutes=2)
"""What should have happened longer ago is over where time is real: nobody makes up for a visit of this morning."""


class Ways(NamedTuple):
    """Where everything is reached: the house, its shops' secret keys by number, the channels' world outside."""

    base_url: str
    keys: Mapping[int, str]
    sandbox_url: str


class Work(Protocol):
    """Time, and what the house does by itself in it. Instants are aware UTC and never go back."""

    async def reach(self, at: datetime) -> bool:
        """Let it be ``at``, with everything done that was due before; return False where ``at`` is over already."""
        ...

    def is_due(self, at: datetime) -> bool:
        """Return whether a round of the house's work is due on the way to ``at``: nothing else may be under way then."""
        ...

    async def caught_up(self) -> None:
        """Return once the house has read everything that happened so far."""
        ...

    async def read_on(self) -> None:
        """Let the house read what happened so far, while more happens."""
        ...

    async def quiet(self) -> None:
        """Return once the channels have told the house everything that they have to tell so far."""
        ...


class RealTime:
    """Work of a house that works by itself in real time: ``reach`` waits, and nothing is to be done."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def reach(self, at: datetime) -> bool:
        """Wait until it is ``at``; False where that is longer ago than ``LATE``."""
        while not await self._has_come(at):
            pass
        return self._clock.now() - at <= LATE

    def is_due(self, at: datetime) -> bool:
        """Return False: the house works by itself."""
        return False

    async def caught_up(self) -> None:
        """Do nothing: the house reads by itself."""

    async def read_on(self) -> None:
        """Do nothing: the house reads by itself."""

    async def quiet(self) -> None:
        """Wait for as long as channels on this machine need to tell something."""
        await asyncio.sleep(TOLD_S)

    async def _has_come(self, at: datetime) -> bool:
        """Return whether it is ``at``; sleep a while where it is not."""
        left_s = (at - self._clock.now()).total_seconds()
        if left_s > 0:
            await asyncio.sleep(min(left_s, IN_ADVANCE_S_MAX))
        return left_s <= 0
