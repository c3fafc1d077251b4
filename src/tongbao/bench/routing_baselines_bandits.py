"""Bandit baselines in their published forms, over n seeds side by side.

UCB1 (Auer et al. 2002), SW-UCB and D-UCB (Garivier & Moulines 2011), SW-TS (Trovo et al., JAIR 68, 2020), discounted
TS (arXiv 2305.10718) and EXP3.S (Auer et al., SIAM J. Comput. 32, 2002). A round is an answer that became visible.
Widths are scaled by a constant that is tuned, since the published ones explore far too much for rates near 0.9.
"""

from collections.abc import Sequence

import numpy as np

from tongbao.bench.routing_play import Feedback, Moment, best_of
from tongbao.bench.routing_world_draws import FloatArray, IntArray
from tongbao.bench.routing_worlds import DELAY_MAX, ClassArray

COUNT_MIN = 1e-6
"""Counts below this are no observation at all."""


def upper_bounds(wins: FloatArray, tries: FloatArray, width: float) -> FloatArray:
    """Return mean + width * sqrt(log(total) / tries), infinite where nothing was tried (n, K)."""
    total = np.maximum(tries.sum(axis=1, keepdims=True), 2.0)
    seen = np.maximum(tries, COUNT_MIN)
    bounds = wins / seen + width * np.sqrt(np.log(total) / seen)
    return np.where(tries < COUNT_MIN, np.inf, bounds)


class DiscountedUcb:
    """D-UCB; with discount 1 it is UCB1. ``constants``: discount per round, width."""

    def __init__(
        self, count: int, channels: int, constants: tuple[float, float], name: str = "d_ucb"
    ) -> None:
        self.name = name
        self._discount, self._width = constants
        self._wins = np.zeros((count, channels))
        self._tries = np.zeros((count, channels))

    def choose(self, moment: Moment) -> IntArray:
        """Return the channels with the largest upper bound."""
        return best_of(upper_bounds(self._wins, self._tries, self._width))

    def learn(self, feedback: Feedback) -> None:
        """Discount, then count."""
        discounted_add(self._wins, self._tries, feedback, self._discount)


def discounted_add(wins: FloatArray, tries: FloatArray, feedback: Feedback, discount: float) -> None:
    """Discount the counts of the seeds in the batch and add their answers, in place."""
    if discount < 1.0:
        wins[feedback.row] *= discount
        tries[feedback.row] *= discount
    tries[feedback.row, feedback.arm] += 1
    wins[feedback.row, feedback.arm] += feedback.won


class Window:
    """Counts (n, K) over the last ``size`` rounds of each seed, whichever channels they used."""

    def __init__(self, count: int, channels: int, size: int) -> None:
        self.wins = np.zeros((count, channels))
        self.tries = np.zeros((count, channels))
        self._size = size
        self._arms = np.full((count, size), -1, dtype=np.int8)
        self._won = np.zeros((count, size), dtype=np.int8)
        self._next = np.zeros(count, dtype=np.int64)

    def add(self, feedback: Feedback) -> None:
        """Add a round to each seed of the batch; the oldest falls out."""
        row, at = feedback.row, self._next[feedback.row]
        old = self._arms[row, at]
        if old.min() >= 0:
            self._forget(row, old, self._won[row, at])
        elif old.max() >= 0:
            full = np.flatnonzero(old >= 0)
            self._forget(row[full], old[full], self._won[row[full], at[full]])
        won = feedback.won
        self.tries[row, feedback.arm] += 1
        self.wins[row, feedback.arm] += won
        self._arms[row, at] = feedback.arm
        self._won[row, at] = won
        self._next[row] = (at + 1) % self._size

    def _forget(self, row: IntArray, arm: ClassArray, won: ClassArray) -> None:
        self.tries[row, arm] -= 1
        self.wins[row, arm] -= won


class WindowedUcb:
    """SW-UCB. ``constants``: window in rounds, width."""

    name = "sw_ucb"

    def __init__(self, count: int, channels: int, constants: tuple[int, float]) -> None:
        size, self._width = constants
        self._window = Window(count, channels, size)

    def choose(self, moment: Moment) -> IntArray:
        """Return the channels with the largest upper bound."""
        return best_of(upper_bounds(self._window.wins, self._window.tries, self._width))

    def learn(self, feedback: Feedback) -> None:
        """Add a round."""
        self._window.add(feedback)


class WindowedThompson:
    """SW-TS with a Beta(1, 1) prior. Draws come from an own generator made from the seeds of the world."""

    name = "sw_ts"

    def __init__(self, seeds: Sequence[int], channels: int, size: int) -> None:
        self._rng = np.random.default_rng(np.random.SeedSequence([*seeds, 4]))
        self._window = Window(len(seeds), channels, size)

    def choose(self, moment: Moment) -> IntArray:
        """Return the channels with the largest draw from their posterior."""
        wins, tries = self._window.wins, self._window.tries
        return best_of(self._rng.beta(1.0 + wins, 1.0 + tries - wins))

    def learn(self, feedback: Feedback) -> None:
        """Add a round."""
        self._window.add(feedback)


class DiscountedThompson:
    """D-TS with a Beta(1, 1) prior; draws as in ``WindowedThompson``."""

    name = "d_ts"

    def __init__(self, seeds: Sequence[int], channels: int, discount: float) -> None:
        self._rng = np.random.default_rng(np.random.SeedSequence([*seeds, 5]))
        self._discount = discount
        self._wins = np.zeros((len(seeds), channels))
        self._tries = np.zeros((len(seeds), channels))

    def choose(self, moment: Moment) -> IntArray:
        """Return the channels with the largest draw from their posterior."""
        # Discounting both counts rounds differently: their difference may fall below zero by an ulp.
        lost = np.maximum(self._tries - self._wins, 0.0)
        return best_of(self._rng.beta(1.0 + self._wins, 1.0 + lost))

    def learn(self, feedback: Feedback) -> None:
        """Discount, then count."""
        discounted_add(self._wins, self._tries, feedback, self._discount)


class Exp3S:
    """EXP3.S. ``constants``: exploration gamma in (0, 1], sharing alpha. Rewards are weighted by their propensity."""

    name = "exp3s"

    def __init__(self, count: int, channels: int, constants: tuple[float, float]) -> None:
        self._gamma, self._alpha = constants
        self._channels = channels
        self._rows = np.arange(count)
        self._weights = np.ones((count, channels))
        # Answers may come as late as DELAY_MAX payments; the propensity is the one at the time of the choice.
        self._propensity = np.ones((DELAY_MAX + 1, count))

    def choose(self, moment: Moment) -> IntArray:
        """Return a channel drawn by the weights and the flat share."""
        share = self._weights / self._weights.sum(axis=1, keepdims=True)
        chance = (1 - self._gamma) * share + self._gamma / self._channels
        drawn = (moment.uniforms[:, :1] >= chance.cumsum(axis=1)).sum(axis=1)
        arm: IntArray = np.minimum(drawn, self._channels - 1)
        self._propensity[moment.t % (DELAY_MAX + 1)] = chance[self._rows, arm]
        return arm

    def learn(self, feedback: Feedback) -> None:
        """Weight the rewards, then share a part of all weights."""
        row, arm = feedback.row, feedback.arm
        reward = feedback.won
        estimate = reward / self._propensity[feedback.t0 % (DELAY_MAX + 1), row]
        weights = self._weights[row]
        shared = np.e * self._alpha / self._channels * weights.sum(axis=1, keepdims=True)
        weights[np.arange(len(row)), arm] *= np.exp(self._gamma * estimate / self._channels)
        weights += shared
        # Only the proportions count: without this the weights overflow.
        self._weights[row] = weights / weights.sum(axis=1, keepdims=True)
