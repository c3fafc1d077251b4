"""Overviewing: how payments of a time were judged, what stands out, what waits for people. Changes nothing."""

from datetime import datetime, timedelta
from typing import NamedTuple

from tongbao.core.clock import Clock
from tongbao.core.db import Database
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.store import events, overview
from tongbao.risk.store.events import TierShare
from tongbao.risk.store.overview import ReasonHits, RuleHits, Waiting

RECENT = timedelta(hours=1)
BUSY = timedelta(days=7)
"""A mode without a payment for so long is not the one that people look for first."""
PATTERNS = (
    ReasonCode.SPREE,
    ReasonCode.CARD_TESTING,
    ReasonCode.BURST_CARD,
    ReasonCode.BURST_CUSTOMER,
    ReasonCode.BURST_DEVICE,
    ReasonCode.BURST_ADDRESS,
    ReasonCode.DECLINES_BEFORE,
    ReasonCode.GEO_VELOCITY,
    ReasonCode.ACCOUNT_FROZEN,
    ReasonCode.LISTED_BLOCKED,
    ReasonCode.UNAVAILABLE,
)
"""Reasons that tell of an attack, or of risk control itself being away."""


class Overview(NamedTuple):
    """Payments by tier, the patterns among them, and what waits."""

    shares: tuple[TierShare, ...]
    patterns: tuple[ReasonHits, ...]
    waiting: Waiting


class Overviewing:
    """Reads for pages. One object per process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def look(self, live: bool, length: timedelta) -> Overview:
        """Return the overview of the time of ``length`` until now, in one snapshot."""
        now = self._clock.now()
        span = (now - length, _after(now))
        async with self._database.transaction(read_only=True, snapshot=True) as connection:
            return Overview(
                tuple(await events.shares(connection, span, live, None)),
                tuple(await overview.reason_hits(connection, span, now - RECENT, live, PATTERNS)),
                await overview.waiting(connection, live, now),
            )

    async def rule_hits(self, live: bool, length: timedelta) -> dict[str, RuleHits]:
        """Return how often each rule matched in the time of ``length`` until now, by name."""
        now = self._clock.now()
        async with self._database.connection() as connection:
            found = await overview.rule_hits(connection, (now - length, _after(now)), live)
        return {each.rule: each for each in found}

    async def is_busy(self, live: bool) -> bool:
        """Return whether a payment of a mode was judged lately."""
        async with self._database.connection() as connection:
            return await overview.is_any(connection, self._clock.now() - BUSY, live)


def _after(now: datetime) -> datetime:
    """Return an end that takes in the payments of this very moment."""
    return now + timedelta(seconds=1)
