"""Baselines of routing: what others publish or ship, in their published form, and the oracle that bounds them all.

They see only success and failure (class 0 or not), ignore issuer groups and costs, and do not cascade. The priority
list knows costs, for its order. All state is (n, K): n seeds side by side.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from tongbao.bench.routing_baselines_bandits import (
    DiscountedThompson,
    DiscountedUcb,
    Exp3S,
    WindowedThompson,
    WindowedUcb,
)
from tongbao.bench.routing_baselines_queues import Autopilot, WindowedHedge
from tongbao.bench.routing_play import Feedback, Moment, Player, best_of
from tongbao.bench.routing_world_draws import FloatArray, IntArray
from tongbao.bench.routing_worlds import Outcome

SURVEY = 2_000
"""Payments that the static rules spend on a survey of all channels before they are written."""
FAILURES_IN_ROW = 3
FAILOVER_S = 60.0

# Chosen by routing_tuning: seeds 0-19, 20,000 payments, smallest mean over all 13 regimes of the regret over that of
# the windowed hedge (0.69, 0.76, 0.69, 0.92, 0.93 and 1.61, in this order).
UCB1 = (1.0, 0.5)
SW_UCB = (1_000, 0.1)
D_UCB = (0.9995, 0.2)
SW_TS = 2_000
D_TS = 0.9995
EXP3S = (0.05, 1e-5)


class Oracle:
    """Chooses what is worth most at this moment. Under load it is myopic: best now, given its own traffic so far."""

    name = "oracle"

    def __init__(self) -> None:
        self._worth: FloatArray = np.zeros((0, 0))

    def foresee(self, worth: FloatArray) -> None:
        """Take in the truth."""
        self._worth = worth

    def choose(self, moment: Moment) -> IntArray:
        """Return the best channel."""
        return best_of(self._worth)

    def learn(self, feedback: Feedback) -> None:
        """Need no answers."""


class RoundRobin:
    """Each channel in turn."""

    name = "round_robin"

    def __init__(self, count: int, channels: int) -> None:
        self._count = count
        self._channels = channels

    def choose(self, moment: Moment) -> IntArray:
        """Return the next channel."""
        return np.full(self._count, moment.t % self._channels)

    def learn(self, feedback: Feedback) -> None:
        """Need no answers."""


class Static:
    """Rules written once: the channel that was best in a round-robin survey of the first ``survey`` payments."""

    name = "static"

    def __init__(self, count: int, channels: int, survey: int = SURVEY) -> None:
        self._count = count
        self._channels = channels
        self._survey = survey
        self._wins = np.zeros((count, channels))
        self._tries = np.zeros((count, channels))
        self._rule: IntArray | None = None

    def choose(self, moment: Moment) -> IntArray:
        """Return the channel of the survey, then of the rule."""
        if moment.t < self._survey:
            return np.full(self._count, moment.t % self._channels)
        if self._rule is None:
            self._rule = (self._wins / np.maximum(self._tries, 1)).argmax(axis=1)
        return self._rule

    def learn(self, feedback: Feedback) -> None:
        """Count, until the rule is written."""
        if self._rule is None:
            self._tries[feedback.row, feedback.arm] += 1
            self._wins[feedback.row, feedback.arm] += feedback.won


class PriorityList:
    """The cheapest channel first; after 3 failures in a row it is passed over for 60 seconds."""

    name = "priority"

    def __init__(self, count: int, channels: int) -> None:
        self._rows = np.arange(count)
        self._failures = np.zeros((count, channels), dtype=np.int64)
        self._until_s = np.full((count, channels), -np.inf)

    def choose(self, moment: Moment) -> IntArray:
        """Return the first channel that is not passed over; the one that comes back first where all are."""
        waiting = self._until_s > moment.now_s[:, None]
        rank = np.where(waiting, 1e12 + self._until_s, moment.cost_bps)
        return best_of(-rank)

    def learn(self, feedback: Feedback) -> None:
        """Count failures in a row."""
        row, arm = feedback.row, feedback.arm
        failures = np.where(feedback.won, 0, self._failures[row, arm] + 1)
        out = failures >= FAILURES_IN_ROW
        self._until_s[row[out], arm[out]] = feedback.now_s[out] + FAILOVER_S
        self._failures[row, arm] = np.where(out, 0, failures)


class NaiveCascade:
    """A windowed mean with a hedge that cascades after everything, time-outs included: it charges payers twice."""

    name = "naive_cascade"
    cascade_after = (Outcome.ISSUER_DECLINED, Outcome.TECHNICAL, Outcome.UNRESOLVED, Outcome.NEUTRAL)

    def __init__(self, count: int, channels: int) -> None:
        self._inner = WindowedHedge(count, channels)

    def choose(self, moment: Moment) -> IntArray:
        """Return the choice of the windowed mean."""
        return self._inner.choose(moment)

    def second(self, moment: Moment, first: IntArray) -> IntArray:
        """Return the next best channel."""
        return self._inner.best_but(first)

    def learn(self, feedback: Feedback) -> None:
        """Take in answers."""
        self._inner.learn(feedback)


class Rows(Protocol):
    """What a player has to know of a world, or of several walked at once, to be made for it."""

    @property
    def count(self) -> int:
        """How many rows are played side by side."""

    @property
    def channels(self) -> int:
        """How many channels there are to choose from."""

    @property
    def seeds(self) -> Sequence[int]:
        """The seed of each row."""


Maker = Callable[[Rows], Player]


def _sized(kind: Callable[[int, int], Player]) -> Maker:
    return lambda rows: kind(rows.count, rows.channels)


BASELINES: dict[str, Maker] = {
    "oracle": lambda _: Oracle(),
    "static": _sized(Static),
    "round_robin": _sized(RoundRobin),
    "priority": _sized(PriorityList),
    "hedge_125": _sized(WindowedHedge),
    "hedge_200": lambda rows: WindowedHedge(rows.count, rows.channels, bucket=200),
    "autopilot": _sized(Autopilot),
    "ucb1": lambda rows: DiscountedUcb(rows.count, rows.channels, UCB1, name="ucb1"),
    "sw_ucb": lambda rows: WindowedUcb(rows.count, rows.channels, SW_UCB),
    "d_ucb": lambda rows: DiscountedUcb(rows.count, rows.channels, D_UCB, name="d_ucb"),
    "sw_ts": lambda rows: WindowedThompson(rows.seeds, rows.channels, SW_TS),
    "d_ts": lambda rows: DiscountedThompson(rows.seeds, rows.channels, D_TS),
    "exp3s": lambda rows: Exp3S(rows.count, rows.channels, EXP3S),
    "naive_cascade": _sized(NaiveCascade),
}
"""Every baseline by name; each call makes a fresh player for the rows of a world, or of several."""
