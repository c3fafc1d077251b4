"""Exponential forgetting, by the clock and by the count of facts; pure functions on arrays.

A fact of weight 1 weighs one half after ``half_life_s`` seconds and, independently, one half after ``half_life_count``
further facts. The count is that of an index shared by all arms, not of the arm's own facts: a window that advances
only when an arm is chosen never forgets an abandoned arm, so that arm would never get its second chance.

Sources: discounted Thompson sampling (Raj and Kalyani 2017); bounds for changing worlds (Garivier and Moulines 2011).
"""

import math
from dataclasses import dataclass

import numpy as np

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.models.base import Floats


@dataclass(frozen=True, slots=True)
class HalfLives:
    """After how many seconds, and after how many facts of any arm, a fact weighs half; infinity: never.

    Raises InvalidRequest ``half_life_invalid`` unless both are positive.
    """

    seconds: float = math.inf
    count: float = math.inf

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.count > 0):
            raise InvalidRequest("half_life_invalid", f"half-lives are positive, unlike {self}")


NEVER = HalfLives()


def kept(elapsed_s: Floats, steps: Floats, half_lives: HalfLives) -> Floats:
    """Return the share in 0 to 1 that is left of weights after ``elapsed_s`` seconds and ``steps`` facts, elementwise.

    Negative spans count as none: nothing is ever un-forgotten.
    """
    ages = np.maximum(elapsed_s, 0.0) / half_lives.seconds
    ages += np.maximum(steps, 0.0) / half_lives.count
    return np.exp2(np.negative(ages, out=ages))


def kept_one(elapsed_s: float, steps: float, half_lives: HalfLives) -> float:
    """Return what ``kept`` returns, for a single weight and without an array."""
    age = max(elapsed_s, 0.0) / half_lives.seconds + max(steps, 0.0) / half_lives.count
    return 2.0**-age if age < 1074 else 0.0  # below the least float, where ** raises OverflowError


def effective_count(half_life_count: float) -> float:
    """Return how many facts are remembered at most: the sum of all weights when facts come for ever."""
    return 1.0 / -math.expm1(-math.log(2.0) / half_life_count) if math.isfinite(half_life_count) else math.inf
