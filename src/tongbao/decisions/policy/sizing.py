"""How many units an experiment needs, before it starts and while it runs.

The normal approximation for a difference of two means, larger by what planned looks cost (2.4 % for four looks at 5 % and
80 % power; Jennison and Turnbull 2000, table 2.4). Of a share the variances are those of the two rates.
"""

import math

import msgspec

from tongbao.decisions.policy.limits import drift_needed

POWER = 0.8
ALPHA = 0.05
UNITS_MAX = 10**12
RATIO_MAX = 1e100


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What an experiment must be able to find: with which power, at which two-sided error, in how many planned looks.

    ``effect``: the difference of means in the unit of the metric, of either sign (0.003 is 0.3 points of a share).
    """

    effect: float
    power: float = POWER
    alpha: float = ALPHA
    looks: int = 4


def units_for_share(base_rate: float, wanted: Wanted) -> int:
    """Return the units that each of two arms needs to tell a share ``base_rate`` in (0, 1) from base_rate + effect.

    Raises ValueError where one of the two rates leaves (0, 1), or as ``units_for_mean``.
    """
    other = base_rate + wanted.effect
    if not (0 < base_rate < 1 and 0 < other < 1):
        raise ValueError("both rates lie between 0 and 1")
    return units_for_mean(base_rate * (1 - base_rate), wanted, other * (1 - other))


def units_for_mean(variance: float, wanted: Wanted, other_variance: float | None = None) -> int:
    """Return the units that each of two arms needs, from the variance of one unit (of the second arm, where it differs).

    At most ``UNITS_MAX``. Raises ValueError for an effect of 0, a negative variance, or looks, alpha and power out of range.
    """
    both = variance + (variance if other_variance is None else other_variance)
    if not math.isfinite(wanted.effect) or wanted.effect == 0 or not (math.isfinite(both) and both >= 0):
        raise ValueError("an effect other than 0 and a variance are needed")
    drift = drift_needed(wanted.looks, wanted.alpha, wanted.power)
    ratio = min(drift / abs(wanted.effect), RATIO_MAX)
    return max(2, math.ceil(min(both * ratio * ratio, UNITS_MAX)))


def effect_found(variance: float, units: int, wanted: Wanted) -> float:
    """Return the smallest difference that ``units`` an arm find with the power of ``wanted``, whose effect is not read.

    Raises ValueError for less than one unit, a negative variance, or looks, alpha and power out of range.
    """
    if units < 1 or not variance >= 0:
        raise ValueError("units and a variance are needed")
    return drift_needed(wanted.looks, wanted.alpha, wanted.power) * math.sqrt(2 * variance / units)
