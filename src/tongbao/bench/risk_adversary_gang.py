"""Card thieves who learn what passes: strategies, what a stolen card earns by them, and how the gang chooses.

A gang buys stolen cards and uses each by one strategy, and sees no more than its own payments: went on, or stopped. It
knows neither scores nor policy. Before it adapts it follows ``HABIT``; then it draws from what it believes of each
strategy's income (Thompson sampling, normal, forgetting), as a gang would by which small trials pay.

Splitting is the choice of a small amount: the limit of the card is then taken in many pieces. Every constant is invented.
"""

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

AMOUNTS = (25.0, 90.0, 320.0)
"""Medians of what is bought, in major units."""
WARM_UPS, WARM_UP_AMOUNT = 3, 8.0
"""Small purchases before the first large one, as many as make a pair of card and device look known."""
RESALE = 0.6
MIMICRY_FEE, DAY_FEE = 30.0, 1.0
"""What it costs to copy the device of a card's owner, and a day of waiting."""
FORGET = 0.997
"""What older cards weigh after each further one: some 300 are remembered."""
SPREAD = 80.0
"""Standard deviation of a card's income that the gang reckons with."""
HOPED = 30.0
"""What is hoped of a strategy that was not tried yet, worth one card."""


class Strategy(NamedTuple):
    """How a stolen card is used. ``is_burst``: every quarter of a day, else every second day."""

    amount: float
    is_burst: bool
    is_warmed_up: bool
    is_mimic: bool

    @property
    def name(self) -> str:
        """For people."""
        words = [f"{self.amount:.0f}", "burst" if self.is_burst else "slow"]
        return " ".join(words + ["warm-up"] * self.is_warmed_up + ["mimicry"] * self.is_mimic)


_EITHER = (True, False)
STRATEGIES = tuple(Strategy(*each) for each in itertools.product(AMOUNTS, _EITHER, _EITHER, _EITHER))
HABIT = np.array(
    [0.6 * (each == Strategy(AMOUNTS[2], True, False, False)) + 0.4 / len(STRATEGIES) for each in STRATEGIES]
)
"""Before adaptation: mostly the greatest amounts as fast as possible, and a bit of everything."""


def income(strategy: Strategy, passed: float, days: float) -> float:
    """Return what a card earned that bought goods for ``passed`` within ``days``, in major units."""
    return RESALE * passed - MIMICRY_FEE * strategy.is_mimic - DAY_FEE * days


class Gang:
    """Chooses a strategy for each stolen card, and learns from how it went. Not adapting until it is told to."""

    def __init__(self) -> None:
        self.is_adapting = False
        self._sums = np.full(len(STRATEGIES), HOPED)
        self._counts = np.ones(len(STRATEGIES))

    @property
    def means(self) -> NDArray[np.float64]:
        """What each strategy is believed to earn a card, in major units."""
        means: NDArray[np.float64] = self._sums / self._counts
        return means

    def choose(self, rng: np.random.Generator) -> int:
        """Return the place of a strategy in ``STRATEGIES``."""
        if not self.is_adapting:
            return int(rng.choice(len(STRATEGIES), p=HABIT))
        drawn = rng.normal(self.means, SPREAD / np.sqrt(self._counts))
        return int(drawn.argmax())

    def learn(self, strategy: int, earned: float) -> None:
        """Take in what a card earned, in major units."""
        # What was hoped of the untried stays: it is the belief that forgetting returns to.
        self._sums = HOPED + FORGET * (self._sums - HOPED)
        self._counts = 1.0 + FORGET * (self._counts - 1.0)
        self._sums[strategy] += earned
        self._counts[strategy] += 1.0
