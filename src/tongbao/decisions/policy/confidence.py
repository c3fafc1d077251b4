"""Confidence sequences: intervals that hold at every look at once, so that one may look after every payment.

The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit
theory and asymptotic confidence sequences" (2021, theorem 2.2): the normal mixture boundary of Robbins and of Howard
et al. (2021) with the variance plugged in. After ``t`` observations with variance ``v`` the half-width is::

    sqrt(v) * sqrt(2 * (t * rho**2 + 1) / (t * rho)**2 * log(sqrt(t * rho**2 + 1) / alpha))

``rho`` makes the sequence narrowest about ``tuned_at`` observations; it must be named before the data are seen.
The promise is that of the central limit theorem, for all times from a first look on: a caller waits for some dozens
of observations (of a rare event: some hundreds) before it looks. All functions take floats or arrays of one shape.
"""

from typing import overload

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Moments(msgspec.Struct, frozen=True):
    """What is known of one arm: observations, their mean and their variance (of one observation, not of the mean)."""

    count: float | Floats
    mean: float | Floats
    variance: float | Floats


@overload
def confidence_sequence(
    count: float, mean: float, variance: float, alpha: float, tuned_at: float
) -> float: ...


@overload
def confidence_sequence(
    count: float | Floats, mean: float | Floats, variance: float | Floats, alpha: float, tuned_at: float
) -> float | Floats: ...


def confidence_sequence(
    count: float | Floats, mean: float | Floats, variance: float | Floats, alpha: float, tuned_at: float
) -> float | Floats:
    """Return the half-width about ``mean`` that holds at all counts with probability 1 - ``alpha`` (two-sided).

    In the unit of the mean. Infinite where nothing is known: no observation, or a mean or variance that is no number.
    Raises ValueError for an ``alpha`` outside (0, 1) or a ``tuned_at`` below 1.
    """
    if not 0 < alpha < 1:
        raise ValueError("alpha must lie between 0 and 1")
    if not tuned_at >= 1:
        raise ValueError("a sequence is tuned at one observation or more")
    counts, spread = np.asarray(count, dtype=float), np.asarray(variance, dtype=float)
    known = (counts > 0) & np.isfinite(mean) & np.isfinite(spread)
    # Howard et al. 2021, 3.5: the mixture that is narrowest at ``tuned_at``, up to a term that vanishes.
    tail = -2 * np.log(alpha)
    grown = np.where(known, counts, 1) * (tail + np.log1p(tail)) / tuned_at
    boundary = 2 * (1 + 1 / grown) * (np.log1p(grown) / 2 - np.log(alpha))
    width = np.sqrt(np.where(known, spread, 0) / np.where(known, counts, 1) * boundary)
    widths = np.where(known, width, np.inf)
    return widths if widths.ndim else float(widths)


def difference(
    treated: Moments, control: Moments, alpha: float, tuned_at: float
) -> tuple[float | Floats, float | Floats]:
    """Return low and high of the mean of ``treated`` minus that of ``control``, valid at every look.

    The two arms are read as one stream of ``t`` observations, ``tuned_at`` counts both, whose variance is ``t`` times
    the variance of the difference of the means. The shares of the arms must stay while the stream lasts: a change
    of shares begins another stream. Raises ValueError as ``confidence_sequence`` does.
    """
    first, second = np.asarray(treated.count, dtype=float), np.asarray(control.count, dtype=float)
    total = np.where((first > 0) & (second > 0), first + second, 0.0)
    of_means = np.asarray(treated.variance) / np.maximum(first, 1) + np.asarray(
        control.variance
    ) / np.maximum(second, 1)
    between = np.asarray(treated.mean) - np.asarray(control.mean)
    half = confidence_sequence(total, between, total * of_means, alpha, tuned_at)
    centre = np.where(np.isfinite(half), between, 0.0)
    low, high = centre - half, centre + half
    return (low, high) if np.ndim(low) else (float(low), float(high))
