"""Circuit breakers: take a channel out of traffic while it is technically ill, and try it again by a few probes.

A breaker sees technical ends only (errors, time-outs, nothing heard); what an issuer refuses is not its business. It
opens when the moving rate of such ends passes a threshold, waits, is half-open and lets probes through, more of them
after each that ends well, and closes after ``probes_to_close``. A probe that fails opens it again for twice as long.
Ends of attempts that were sent before it opened say nothing new and are left out. No chance is used here; whether a
payment is a probe is part of the written probabilities of its decision.

Reference: Nygard 2007 ("Release It!", circuit breaker).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from tongbao.routing.models.beliefs import Floats, Ints

CLOSED, HALF_OPEN, OPEN = range(3)
"""How a breaker stands, the worse the higher. Plain numbers: they are compared in arrays."""
STATE_NAMES = ("closed", "half_open", "open")


class BreakerTuning(msgspec.Struct, frozen=True, kw_only=True):
    """When breakers open and how they come back; chosen on tuning seeds (0 to 49).

    ``step``: weight of the newest end in the moving rate. ``threshold_together``: for a channel whose sibling on the
    same upstream is open. ``probe_shares``: of the traffic, by the number of probes that went well. An idle half-open
    breaker asks for ever more probes: the share grows to ``probe_share_max`` over ``impatience_s``.
    """

    step: float = 0.15
    threshold: float = 0.35
    threshold_together: float = 0.2
    wait_s: float = 10.0
    wait_s_max: float = 120.0
    probe_shares: tuple[float, ...] = (0.02, 0.05, 0.15)
    probe_share_max: float = 0.2
    impatience_s: float = 120.0

    @property
    def probes_to_close(self) -> int:
        """Probes in a row that must end well."""
        return len(self.probe_shares)


class Reading(NamedTuple):
    """How breakers stand at an instant: their state, the share of probes of half-open ones.

    ``waiting_s``: seconds since an open one became, or until it becomes (negative), half-open; -inf for closed ones.
    """

    state: Ints
    probe_share: Floats
    waiting_s: Floats


class Standing(NamedTuple):
    """``Reading`` of one breaker."""

    state: int
    probe_share: float
    waiting_s: float


class Breakers:
    """Rows of breakers; row 0 belongs to what was never seen and is always closed."""

    COLUMNS = ("rate", "opened_s", "wait_s", "probes", "tried_s")

    def __init__(self, tuning: BreakerTuning, rows: int = 256) -> None:
        self.tuning = tuning
        self.rate = np.zeros(rows)
        self.opened_s = np.full(rows, np.inf)
        self.wait_s = np.full(rows, tuning.wait_s)
        self.probes = np.zeros(rows, dtype=np.int64)
        self.tried_s = np.zeros(rows)
        self._shares = np.array((*tuning.probe_shares, tuning.probe_shares[-1]))

    def hold(self, count: int) -> None:
        """Make room for rows up to ``count``."""
        while count > len(self.rate):
            fresh = Breakers(self.tuning, len(self.rate))
            for name in self.COLUMNS:
                setattr(self, name, np.concatenate([getattr(self, name), getattr(fresh, name)]))

    def keep(self, rows: Ints) -> None:
        """Keep these rows only, in this order."""
        for name in self.COLUMNS:
            setattr(self, name, getattr(self, name)[rows])

    def read(self, rows: Ints, at_s: Floats) -> Reading:
        """Return how the breakers of any shape of rows stand; ``at_s`` broadcasts against it.

        Most breakers are closed most of the time, so only the others are worked out.
        """
        opened = self.opened_s[rows]
        out = np.isfinite(opened)
        reading = Reading(
            np.zeros(rows.shape, dtype=np.int64), np.zeros(rows.shape), np.full(rows.shape, -np.inf)
        )
        if not out.any():
            return reading
        those, at = rows[out], np.broadcast_to(at_s, rows.shape)[out]
        waiting_s = at - opened[out] - self.wait_s[those]
        idle = np.minimum(waiting_s, at - self.tried_s[those]) / self.tuning.impatience_s
        share = self._shares[self.probes[those]]
        share = share + np.maximum(self.tuning.probe_share_max - share, 0.0) * np.minimum(idle, 1.0)
        is_half = waiting_s >= 0
        reading.state[out] = np.where(is_half, HALF_OPEN, OPEN)
        reading.probe_share[out] = share * is_half
        reading.waiting_s[out] = waiting_s
        return reading

    def standing(self, rows: Sequence[int], at_s: float) -> Standing:
        """Return how the worst of a few breakers stands, in plain numbers; as ``read`` has it."""
        worst = Standing(CLOSED, 0.0, -math.inf)
        for row in rows:
            opened = float(self.opened_s[row])
            if opened == math.inf:
                continue
            waiting_s = at_s - opened - float(self.wait_s[row])
            if waiting_s < 0:
                found = Standing(OPEN, 0.0, waiting_s)
            else:
                idle = min(waiting_s, at_s - float(self.tried_s[row])) / self.tuning.impatience_s
                share = float(self._shares[self.probes[row]])
                share += max(self.tuning.probe_share_max - share, 0.0) * min(idle, 1.0)
                found = Standing(HALF_OPEN, share, waiting_s)
            if found.state > worst.state:
                worst = found
        return worst

    def teach(self, row: int, ill: bool) -> bool:
        """Take in one end of a closed breaker that stays closed, in plain numbers; False where only ``learn`` can."""
        if self.opened_s[row] != np.inf:
            return False
        before = float(self.rate[row])
        rate = before + self.tuning.step * (float(ill) - before)
        if ill and rate > self.tuning.threshold:
            return False
        self.rate[row] = rate
        return True

    def close(self, rows: Sequence[int]) -> None:
        """Close breakers as if nothing had happened: what was wrong was not theirs."""
        for row in rows:
            self.opened_s[row] = np.inf
            self.rate[row] = 0.0
            self.probes[row] = 0
            self.wait_s[row] = self.tuning.wait_s

    def learn(self, rows: Ints, at_s: Floats, sent_s: Floats, ill: Floats) -> None:
        """Take in one end for each row (n,), no row twice: ``ill`` is 1 for a technical end, 0 for any other.

        ``sent_s``: when the attempt was sent.
        """
        opened = self.opened_s[rows]
        closed = np.isinf(opened)
        rate = self.rate[rows] + np.where(closed, self.tuning.step * (ill - self.rate[rows]), 0.0)
        trips = closed & (ill > 0) & (rate > self.tuning.threshold)
        with np.errstate(invalid="ignore"):
            probed = ~closed & (sent_s >= opened + self.wait_s[rows])
        failed, passed = probed & (ill > 0), probed & (ill == 0)
        probes = np.where(failed, 0, self.probes[rows] + passed)
        heals = passed & (probes >= self.tuning.probes_to_close)
        wait_s = np.where(
            failed, np.minimum(self.wait_s[rows] * 2, self.tuning.wait_s_max), self.wait_s[rows]
        )
        self.rate[rows] = np.where(heals, self.tuning.threshold / 2, rate)
        self.opened_s[rows] = np.where(heals, np.inf, np.where(trips | failed, at_s, opened))
        self.wait_s[rows] = np.where(heals | trips, self.tuning.wait_s, wait_s)
        self.probes[rows] = np.where(heals | trips, 0, probes)
        self.tried_s[rows] = np.where(probed, at_s, self.tried_s[rows])
