"""What a look computes: whether the split is sound, differences by epoch, less noise, and which arms stand out.

- Sample ratio: a chi-square of units against weights; a skew means units were lost on the way, and no number is true.
- Differences compare arms inside one epoch and are then combined. Across epochs an arm that was given more weight on
  good days looks good (Simpson's paradox).
- CUPED (Deng, Xu, Kohavi and Walker 2013) subtracts what the time before the experiment explains; ratios of sums take the
  variance of the delta method (Deng, Knoblich and Lu 2018).
- Over several arms the false discovery rate is kept by the step-up of Benjamini and Hochberg (1995), with the limits of
  the planned looks (``policy.limits``) in place of plain p values.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from tongbao.decisions.policy.confidence import confidence_sequence
from tongbao.decisions.policy.limits import limit
from tongbao.decisions.schema.experiments import Cell, Epoch, Metric

SAMPLE_RATIO_P_MIN = 0.0005
EXPECTED_MIN = 5.0
"""Units that every arm of an epoch should have before its split is judged: below, chi-square is no approximation."""
TUNED_AT_UNITS = 5_000.0
"""Units in both arms, split evenly, at which the always valid interval is narrowest against a single look."""
Floats = NDArray[np.float64]


class Effect(NamedTuple):
    """A difference of two means with the variance of that difference, both over all epochs.

    ``units``: how many units, split evenly over two arms, would say as much. It grows with what is known, whatever the
    weights were, and is the time in which the always valid interval is counted.
    """

    difference: float
    variance: float
    units: float

    @property
    def z(self) -> float:
        """Return the difference in its own standard errors."""
        return self.difference / math.sqrt(self.variance)


def sample_ratio_p(cells: Sequence[Cell], epochs: Sequence[Epoch]) -> float:
    """Return the chance of a split as skewed as this or more under the weights of the epochs; 1 where it is too early.

    An arm without weight that has units nevertheless gives 0.
    """
    statistic, freedom = 0.0, 0
    for epoch in epochs:
        units = {cell.arm: cell.units for cell in cells if cell.epoch == epoch.number}
        if any(count and not epoch.weights_bps.get(arm) for arm, count in units.items()):
            return 0.0
        weights = {arm: weight for arm, weight in epoch.weights_bps.items() if weight > 0}
        share = sum(units.values()) / sum(weights.values())
        if min(weights.values()) * share >= EXPECTED_MIN:
            statistic += sum((units.get(arm, 0) - w * share) ** 2 / (w * share) for arm, w in weights.items())
            freedom += len(weights) - 1
    return float(chdtrc(freedom, statistic)) if freedom else 1.0


def effect(cells: Sequence[Cell], arm: str, control: str) -> Effect | None:
    """Return arm minus control, compared inside each epoch and combined; None where nothing is known yet.

    An epoch weighs ``n_t * n_c / (n_t + n_c)``: the inverse of the variance where units vary alike in all epochs. The
    variances that were measured are not used as weights, since a small epoch in which nobody bought has none at all and
    would decide everything; they do give the variance of the result.
    """
    of_control = {cell.epoch: cell for cell in cells if cell.arm == control and cell.units > 1}
    total = weighted = spread = count = 0.0
    for cell in cells:
        other = of_control.get(cell.epoch)
        if cell.arm != arm or cell.units < 2 or other is None:
            continue
        weight = cell.units * other.units / (cell.units + other.units)
        total += weight
        weighted += weight * (cell.mean - other.mean)
        spread += weight**2 * _variance_between(cell, other)
        count += cell.units + other.units
    if not total:
        return None
    difference = weighted / total
    # All of one arm alike and all of the other alike, but not to each other: take the variance around the common mean.
    variance = spread / total**2 or difference**2 / (count - 1)
    return Effect(difference, variance, 4 * total) if variance > 0 else None


def _variance_between(one: Cell, other: Cell) -> float:
    """Return the variance of the difference of two means: of each arm's own variance, or of the common one if larger.

    A small arm that saw no event yet has no variance of its own, and would be called worse than a large one that did: at
    a tenth of the traffic and 1 % of events, in 19 of 100 experiments without any difference.
    """
    own = one.variance / one.units + other.variance / other.units
    within = (one.units - 1) * one.variance + (other.units - 1) * other.variance
    common = within / (one.units + other.units - 2) * (1 / one.units + 1 / other.units)
    return max(own, common)


def always_valid(found: Effect, alpha: float) -> tuple[float, float]:
    """Return low and high of the difference that hold at every look, planned or not, with 1 - ``alpha``."""
    half = confidence_sequence(
        found.units, found.difference, found.units * found.variance, alpha, TUNED_AT_UNITS
    )
    return found.difference - half, found.difference + half


def significant(z_by_arm: Mapping[str, float], looks: int, look: int, alpha: float) -> frozenset[str]:
    """Return the arms that differ on look ``look`` of ``looks``; of those named at most a share ``alpha`` is false.

    Benjamini-Hochberg: the largest ``i`` for which ``i`` arms pass the limit of the level ``alpha * i / m``.
    """
    ranked = sorted(z_by_arm, key=lambda arm: -abs(z_by_arm[arm]))
    for count in range(len(ranked), 0, -1):
        if abs(z_by_arm[ranked[count - 1]]) >= limit(looks, look, alpha * count / len(ranked)):
            return frozenset(ranked[:count])
    return frozenset()


def prepared(cells: Sequence[Cell], metric: Metric) -> list[Cell]:
    """Return the cells with mean and variance of what is compared: less noise (CUPED), or a ratio of two sums."""
    if metric.covariate is not None:
        return _less_noise(cells)
    if metric.per is not None:
        return [_ratio(cell) for cell in cells if cell.second_mean]
    return list(cells)


def cuped(values: Floats, before: Floats) -> Floats:
    """Return ``values`` (one per unit of both arms, any unit) less what ``before``, of the same shape, explains of them.

    The mean over all units stays; the variance falls by the square of the correlation. ``before`` must have been known
    before the first exposure, or the effect itself is taken away. A constant ``before`` changes nothing.
    """
    deviation = before - before.mean()
    square = float(deviation @ deviation)
    theta = float(deviation @ (values - values.mean())) / square if square else 0.0
    return np.asarray(values - theta * deviation)


def _less_noise(cells: Sequence[Cell]) -> list[Cell]:
    """CUPED on moments: one factor for all cells, deviations from the mean of each epoch."""
    within = sum((cell.units - 1) * cell.second_variance for cell in cells)
    common = sum((cell.units - 1) * cell.covariance for cell in cells)
    theta = common / within if within else 0.0
    return [_adjusted(cell, theta, _second_mean(cells, cell.epoch)) for cell in cells]


def _second_mean(cells: Sequence[Cell], epoch: int) -> float:
    units = sum(cell.units for cell in cells if cell.epoch == epoch)
    return sum(cell.units * cell.second_mean for cell in cells if cell.epoch == epoch) / units


def _adjusted(cell: Cell, theta: float, before: float) -> Cell:
    variance = cell.variance - 2 * theta * cell.covariance + theta**2 * cell.second_variance
    return msgspec.structs.replace(
        cell, mean=cell.mean - theta * (cell.second_mean - before), variance=max(variance, 0.0)
    )


def _ratio(cell: Cell) -> Cell:
    """Return a cell whose mean is sum over sum; the variance is that of one unit after the delta method."""
    ratio = cell.mean / cell.second_mean
    variance = cell.variance - 2 * ratio * cell.covariance + ratio**2 * cell.second_variance
    return msgspec.structs.replace(cell, mean=ratio, variance=max(variance, 0.0) / cell.second_mean**2)
