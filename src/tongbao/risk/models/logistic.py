"""Scores that are a sum of one function for each feature: the form of logistic regression and of scorecards.

- Features: float64 in the order of the curves; NaN is unknown and has a weight of its own.
- Output: the raw score, log-odds of fraud before calibration; higher speaks against the payment. What each feature adds
  is exact: ``parts`` and ``bias`` sum to the score.
- Label, seed: none; ``models.regression`` learns such sums, ``models.scorecard`` is one by judgement.
- Cost on one core: 3 us a payment of 40 features. Baseline to beat: the bias alone.
- Reference: generalized additive models, Hastie and Tibshirani 1986.

>>> import numpy as np
>>> rising = Curve(edges=(2.0,), steps=(0.0, 1.5), missing=0.2)
>>> [Additive(-3.0, (rising,)).raw_one(np.array([x])) for x in (1.0, 2.0, 2.1, np.nan)]
[-3.0, -3.0, -1.5, -2.8]
"""

import math
from itertools import accumulate, pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models.base import Floats
from tongbao.risk.models.native import native

FEATURES_MAX = 2_000
Ints = NDArray[np.int64]
Arrays = tuple[Floats, Ints, Floats, Floats, Floats, Floats, Floats]


class Curve(msgspec.Struct, frozen=True, array_like=True):
    """What one feature adds to the log-odds.

    ``steps[i]`` where exactly i of the rising ``edges`` lie below the value, and ``slope`` for each unit of the value
    held between ``low`` and ``high``; ``missing`` where it is NaN. Raises InvalidRequest ``curve_invalid``.
    """

    edges: tuple[float, ...] = ()
    steps: tuple[float, ...] = (0.0,)
    missing: float = 0.0
    slope: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def __post_init__(self) -> None:
        numbers = (*self.edges, *self.steps, self.missing, self.slope, self.low, self.high)
        if len(self.steps) != len(self.edges) + 1 or not all(math.isfinite(number) for number in numbers):
            raise InvalidRequest("curve_invalid", "a curve has one finite step more than edges")
        if self.low > self.high or any(low >= high for low, high in pairwise(self.edges)):
            raise InvalidRequest("curve_invalid", "edges of a curve rise, and its low is not above its high")


class Additive(msgspec.Struct, frozen=True):
    """``bias`` plus what the curve of each feature adds, in the order of the features.

    Raises InvalidRequest ``curve_invalid``.
    """

    bias: float
    curves: tuple[Curve, ...]

    def __post_init__(self) -> None:
        if not math.isfinite(self.bias) or not 0 < len(self.curves) <= FEATURES_MAX:
            raise InvalidRequest("curve_invalid", f"a sum has a finite bias and 1 to {FEATURES_MAX} curves")

    def raw_one(self, row: Floats) -> float:
        """Return the raw score of one payment, from features of shape (n_features,)."""
        return float(added(row, self.bias, *self.arrays()))

    def raw(self, rows: Floats) -> Floats:
        """Return raw scores of shape (n,), from features of shape (n, n_features); bit for bit as ``raw_one``."""
        return added_all(rows, self.bias, *self.arrays())

    def parts(self, row: Floats) -> Floats:
        """Return what each feature adds to the score of one payment, shape (n_features,)."""
        arrays = self.arrays()
        return np.array([added_by(j, float(x), *arrays) for j, x in enumerate(row)])

    def arrays(self) -> Arrays:
        """Return what ``added`` takes behind the bias: edges, where each curve's begin, and the rest of the curves."""
        curves = self.curves
        return (
            np.array([edge for curve in curves for edge in curve.edges], np.float64),
            np.array([0, *accumulate(len(curve.edges) for curve in curves)], np.int64),
            np.array([step for curve in curves for step in curve.steps], np.float64),
            np.array([curve.missing for curve in curves], np.float64),
            np.array([curve.slope for curve in curves], np.float64),
            np.array([curve.low for curve in curves], np.float64),
            np.array([curve.high for curve in curves], np.float64),
        )


@native
def added_by(
    j: int,
    x: float,
    edges: Floats,
    starts: Ints,
    steps: Floats,
    missing: Floats,
    slope: Floats,
    low: Floats,
    high: Floats,
) -> float:
    """Return what feature ``j`` adds at value ``x``; natively compiled."""
    if x != x:
        return float(missing[j])
    first, end = starts[j], starts[j + 1]
    while first < end:
        middle = (first + end) // 2
        if edges[middle] < x:
            first = middle + 1
        else:
            end = middle
    return float(steps[first + j] + slope[j] * min(max(x, low[j]), high[j]))


@native
def added(
    row: Floats,
    bias: float,
    edges: Floats,
    starts: Ints,
    steps: Floats,
    missing: Floats,
    slope: Floats,
    low: Floats,
    high: Floats,
) -> float:
    """Return ``bias`` and what all features of ``row`` add, summed in their order; natively compiled."""
    total = bias
    for j in range(missing.size):
        total += added_by(j, row[j], edges, starts, steps, missing, slope, low, high)
    return total


@native
def added_all(
    rows: Floats,
    bias: float,
    edges: Floats,
    starts: Ints,
    steps: Floats,
    missing: Floats,
    slope: Floats,
    low: Floats,
    high: Floats,
) -> Floats:
    """Return ``added`` of every row of shape (n, n_features)."""
    out = np.empty(rows.shape[0])
    for i in range(rows.shape[0]):
        out[i] = added(rows[i], bias, edges, starts, steps, missing, slope, low, high)
    return out
