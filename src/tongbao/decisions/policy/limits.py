"""Limits of planned looks: how large a z value must be at which look, so that all looks together err as one would.

O'Brien and Fleming (1979): the limit of look ``k`` of ``K`` is ``C(K, alpha) * sqrt(K / k)``, hard to pass early and
nearly as easy as a single test at the end. ``C`` is found by following the density of the running sum from look to
look with Gauss-Legendre quadrature (Armitage, McPherson and Rowe 1969). Looks are equally spaced in information; where
information comes late, the error of four looks at 5 % can reach 6.6 %, the sum of the single ones.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tongbao.core.lazy import Lazily
from tongbao.decisions.schema.experiments import LOOKS_MAX

optimize = Lazily("scipy.optimize")

NODES = 96
"""Points of the quadrature. The kernel is a normal density as wide as 1/14 of the interval or wider, so 96 are exact to 1e-10."""
CACHED_MAX = 512
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(NODES)
_ROOT_OF_TWO_PI = math.sqrt(2 * math.pi)
Floats = NDArray[np.float64]


@lru_cache(CACHED_MAX)
def limit(looks: int, look: int, alpha: float) -> float:
    """Return the |z| from which on look ``look`` (1 to ``looks``) is significant at ``alpha``, two-sided.

    Raises ValueError outside of 1 to 12 looks, or where ``look`` is none of them, or ``alpha`` outside (0, 1).
    """
    if not 1 <= look <= looks:
        raise ValueError(f"look {look} is none of {looks}")
    return constant(looks, alpha) * math.sqrt(looks / look)


@lru_cache(CACHED_MAX)
def constant(looks: int, alpha: float) -> float:
    """Return C(K, alpha), the limit of the last look. Raises ValueError as ``limit`` does."""
    if not 1 <= looks <= LOOKS_MAX:
        raise ValueError(f"there are 1 to {LOOKS_MAX} looks")
    if not 0 < alpha < 1:
        raise ValueError("alpha must lie between 0 and 1")
    single = float(-ndtri(alpha / 2))
    # The sum of all errors is at most that of testing each look alone: Bonferroni bounds C from above.
    highest = float(-ndtri(alpha / (2 * looks))) + 1e-9
    if looks == 1:
        return single
    return float(optimize.brentq(lambda c: 1 - _inside(looks, c, 0.0) - alpha, single, highest, xtol=1e-10))


def power(looks: int, alpha: float, drift: float) -> float:
    """Return the chance to pass a limit at any look, where the z value of the last look has the mean ``drift``."""
    return 1 - _inside(looks, constant(looks, alpha), drift)


@lru_cache(CACHED_MAX)
def drift_needed(looks: int, alpha: float, wanted: float) -> float:
    """Return the mean of the last look's z value at which the chance to pass a limit is ``wanted`` (above alpha, below 1)."""
    if not alpha < wanted < 1:
        raise ValueError("power must lie between alpha and 1")
    return float(optimize.brentq(lambda drift: power(looks, alpha, drift) - wanted, 0.0, 40.0, xtol=1e-9))


def _inside(looks: int, c: float, drift: float) -> float:
    """Return the chance that the running sum of ``looks`` normal steps stays inside of +-c * sqrt(looks) throughout."""
    bound, step = c * math.sqrt(looks), drift / math.sqrt(looks)
    sums, widths = _POINTS * bound, _WEIGHTS * bound
    density = _normal(sums - step)
    kernel = _normal(sums[:, None] - sums[None, :] - step) * widths[None, :]
    for _ in range(looks - 1):
        density = kernel @ density
    return float(widths @ density)


def _normal(x: Floats) -> Floats:
    return np.exp(-x * x / 2) / _ROOT_OF_TWO_PI
