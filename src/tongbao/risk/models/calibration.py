"""From raw scores to chances: of payments that score 0.02 one in fifty is fraud.

- Features: one, the raw score in log-odds; NaN is not a score and gives NaN.
- Output: probability in [1e-5, 0.999], higher speaks against the payment. It never falls where the raw score rises, and
  keeps the order of different raw scores inside these bounds, unlike the steps of plain isotonic regression.
- Label and its delay: those of the scores that it is fitted on, which must be later than what the model learned from.
- Seed: none. Cost: 0.1 us a payment. Baseline to beat: the logistic of the raw score.
- Method: isotonic regression by pooling adjacent violators; every block is one point at its mean raw score (centered
  isotonic regression, Oron and Flournoy 2017, doi 10.1080/19466315.2017.1286256) with its share of frauds drawn towards
  the overall share as by ``PRIOR_STRENGTH`` payments; straight lines in log-odds between points. Beyond the outermost
  points, where calibration saw nothing, differences of raw scores are kept as they are.

>>> by_logistic().chance(0.0)
0.5
"""

import math
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from tongbao.core.errors import InvalidRequest
from tongbao.risk.models.base import Floats
from tongbao.risk.models.native import native

CHANCE_MIN, CHANCE_MAX = 1e-5, 0.999
PRIOR_STRENGTH = 2.0
POINTS_MAX = 10_000
_SLOPE_STEPS_MAX = 50
_CLOSE = 1e-10
Labels = NDArray[np.bool_]


class Calibration(msgspec.Struct, frozen=True):
    """Points of a rising curve: ``raw`` and ``log_odds``, both strictly rising, at least one point.

    Raises InvalidRequest ``calibration_invalid``.
    """

    raw: tuple[float, ...]
    log_odds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.raw) == len(self.log_odds) <= POINTS_MAX or not all(
            math.isfinite(value) for value in (*self.raw, *self.log_odds)
        ):
            raise InvalidRequest(
                "calibration_invalid", f"a curve has 1 to {POINTS_MAX} points, each two finite numbers"
            )
        if any(low >= high for side in (self.raw, self.log_odds) for low, high in pairwise(side)):
            raise InvalidRequest("calibration_invalid", "a curve of chances rises from point to point")

    def chance(self, raw: float) -> float:
        """Return the chance of fraud at one raw score."""
        return float(chance(raw, *self.arrays))

    @property
    def arrays(self) -> tuple[Floats, Floats]:
        """The points as arrays, as ``chance`` takes them."""
        return np.array(self.raw, np.float64), np.array(self.log_odds, np.float64)


def by_logistic() -> Calibration:
    """Return the curve that takes raw scores for true log-odds."""
    return Calibration(raw=(0.0,), log_odds=(0.0,))


@native
def chance(raw: float, xs: Floats, ys: Floats) -> float:
    """Return the chance of fraud at ``raw`` by the curve through ``xs`` and ``ys``; natively compiled."""
    if raw != raw:
        return raw
    last = xs.size - 1
    if raw <= xs[0]:
        log_odds = ys[0] + (raw - xs[0])
    elif raw >= xs[last]:
        log_odds = ys[last] + (raw - xs[last])
    else:
        low, high = 0, last
        while high - low > 1:
            middle = (low + high) // 2
            if xs[middle] <= raw:
                low = middle
            else:
                high = middle
        way = (raw - xs[low]) / (xs[high] - xs[low])
        log_odds = min(ys[low] + (ys[high] - ys[low]) * way, ys[high])
    return min(max(1.0 / (1.0 + math.exp(-log_odds)), CHANCE_MIN), CHANCE_MAX)


@native
def chances(raw: Floats, xs: Floats, ys: Floats) -> Floats:
    """Return ``chance`` of raw scores of shape (n,); natively compiled."""
    out = np.empty(raw.size)
    for i in range(raw.size):
        out[i] = chance(raw[i], xs, ys)
    return out


def fit(raw: Floats, is_fraud: Labels) -> Calibration:
    """Return the curve for raw scores of shape (n,) whose truth is known; deterministic.

    Raises InvalidRequest ``too_few_labels`` where one of the two outcomes does not occur.
    """
    frauds = int(np.count_nonzero(is_fraud))
    if not 0 < frauds < raw.size:
        raise InvalidRequest(
            "too_few_labels", "chances need payments of both kinds", frauds=frauds, rows=raw.size
        )
    xs, sizes, shares = _blocks(raw, is_fraud)
    base = frauds / raw.size
    shares = (shares * sizes + base * PRIOR_STRENGTH) / (sizes + PRIOR_STRENGTH)
    shares = np.clip(shares, CHANCE_MIN, CHANCE_MAX)
    ys = np.log(shares / (1.0 - shares))
    # Shrinking a small block may put it below its neighbor: only points that rise above all before them stay.
    rising = (ys > _best_before(ys)) & (xs > _best_before(xs))
    return Calibration(raw=tuple(xs[rising].tolist()), log_odds=tuple(ys[rising].tolist()))


def _best_before(values: Floats) -> Floats:
    return np.concatenate([[-np.inf], np.maximum.accumulate(values)[:-1]])


def _blocks(raw: Floats, is_fraud: Labels) -> tuple[Floats, Floats, Floats]:
    """Return mean raw score, number and share of frauds of the blocks of isotonic regression, in rising order."""
    scores, place = np.unique(raw, return_inverse=True)
    sizes = np.bincount(place).astype(np.float64)
    frauds = np.bincount(place, weights=is_fraud.astype(np.float64))
    block = _pooled(frauds.astype(np.float64), sizes)
    weights = np.bincount(block, weights=sizes).astype(np.float64)
    means = np.bincount(block, weights=scores * sizes) / weights
    return means, weights, np.bincount(block, weights=frauds) / weights


@native
def _pooled(frauds: Floats, sizes: Floats) -> NDArray[np.int64]:
    """Return the number of the block of each score in rising order: adjacent ones whose shares fall become one."""
    sums, weights = np.empty(sizes.size), np.empty(sizes.size)
    ends = np.empty(sizes.size, np.int64)
    count = 0
    for i in range(sizes.size):
        sums[count], weights[count], ends[count] = frauds[i], sizes[i], i + 1
        while count > 0 and sums[count - 1] * weights[count] >= sums[count] * weights[count - 1]:
            sums[count - 1] += sums[count]
            weights[count - 1] += weights[count]
            ends[count - 1] = ends[count]
            count -= 1
        count += 1
    block = np.empty(sizes.size, np.int64)
    start = 0
    for number in range(count):
        block[start : ends[number]] = number
        start = ends[number]
    return block


def brier(chances: Floats, is_fraud: Labels) -> float:
    """Return the mean squared difference between chances and truth, 0 is best."""
    return float(np.mean((chances - is_fraud) ** 2))


def slope(chances: Floats, is_fraud: Labels) -> float:
    """Return the slope of truth on the log-odds of chances by logistic regression.

    1 is calibrated; below it chances are too extreme, above it too timid (Cox 1958). Raises InvalidRequest
    ``too_few_labels`` where one outcome does not occur or all chances are equal.
    """
    clipped = np.clip(chances, CHANCE_MIN, CHANCE_MAX)
    x = np.log(clipped / (1.0 - clipped))
    frauds = int(np.count_nonzero(is_fraud))
    if not 0 < frauds < x.size or np.ptp(x) == 0.0:
        raise InvalidRequest(
            "too_few_labels", "a slope needs both outcomes and different chances", frauds=frauds
        )
    design = np.column_stack([np.ones_like(x), x])
    beta = np.array([0.0, 1.0])
    for _ in range(_SLOPE_STEPS_MAX):
        step = _newton_step(design, is_fraud, beta)
        while (
            _loss(design, is_fraud, beta + step) > _loss(design, is_fraud, beta)
            and np.abs(step).max() > _CLOSE
        ):
            step = step / 2.0
        beta = beta + step
        if np.abs(step).max() <= _CLOSE:
            break
    return float(beta[1])


def _loss(design: Floats, is_fraud: Labels, beta: Floats) -> float:
    """Return minus the mean log-likelihood."""
    log_odds = design @ beta
    return float(np.mean(np.logaddexp(0.0, log_odds) - is_fraud * log_odds))


def _newton_step(design: Floats, is_fraud: Labels, beta: Floats) -> Floats:
    """Return one step towards the likeliest coefficients, held back where outcomes are separable."""
    fitted = 1.0 / (1.0 + np.exp(-np.clip(design @ beta, -500.0, 500.0)))
    curvature = design.T @ (design * (fitted * (1.0 - fitted))[:, None]) + 1e-9 * np.eye(2)
    step: Floats = np.clip(np.linalg.solve(curvature, design.T @ (is_fraud - fitted)), -2.0, 2.0)
    return step
