"""From beliefs to written probabilities, and from those to one choice.

Thompson sampling is usually done by drawing from each belief and taking the greatest draw. Its probabilities then
remain unknown, and a log without them cannot be replayed. Here the probabilities are computed first, then floored,
written down, and the choice is drawn from exactly what is written: propensities are true by construction.

Probability that arm k's normal draw is the greatest: the integral of prod_{j != k} F_j over dF_k. It is taken as a
Stieltjes sum by the trapezoidal rule on one grid that holds 22 quantiles of every arm, so that an arm of tiny
sd, a step to all others, is resolved where it stands; Gauss-Hermite nodes of the wide arm alone would miss it by
several percent. Error against a grid of 2,001 quantiles: at most 6e-4, mean 2e-4, over 2 to 30 arms whose sds differ
by up to 1e5. Chances below 1e-4 are somewhat overstated (1.6 times at 3e-5, 3 times at 3e-7), which only adds a little
exploration: they are what is drawn from. Cost at k = 8: 50 us; it grows with the square of k, 16 arms take 0.15 ms,
64 take 3 ms.

Sources: Thompson 1933; Chapelle and Li 2011; top-two sampling: Russo 2016, "Simple Bayesian algorithms for best arm
identification"; the floor of exploration: decision log of a policy must give every allowed arm a chance (Horvitz and
Thompson 1952).
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.models.base import Floats

REACH = 4.5
"""An arm whose best is below the worst of another one, so many sds from the means, has no chance: below 1e-5."""
Mask = NDArray[np.bool_]

_TAIL = np.array([1e-8, 1e-5, 1e-3])
_LEVELS = np.concatenate((_TAIL, (np.arange(16) + 0.5) / 16, 1 - _TAIL[::-1]))
_QUANTILES: Floats = ndtri(_LEVELS)
_TINY = 1e-300  # keeps 0 / 0 out where an arm is certainly not below a point; such points carry no weight
_SD_SHARE_MIN = 1e-12  # an sd below this share of the means cannot be told from 0 in floats


def thompson_propensities(mean: Floats, sd: Floats, allowed: Mask) -> Floats:
    """Return the probability of each arm that its draw is the greatest among the allowed, 0 for the others.

    All arrays have shape ``(..., k)``, and so has the result; it sums to 1 over the last axis. ``mean`` and ``sd`` are
    in one unit; an sd of 0 is a certain arm. Raises InvalidRequest ``no_arm_allowed`` and ``beliefs_invalid`` (not
    finite, negative sd).
    """
    usable, everywhere = _usable(allowed)
    if usable.size == usable.shape[-1]:  # one choice, the usual case
        result = np.zeros(usable.shape)
        result[usable] = thompson_of_one(mean[usable].tolist(), sd[usable].tolist())
        return result
    if not everywhere:
        stand_in = usable.argmax(axis=-1)[..., None]
        mean = np.where(usable, mean, np.take_along_axis(mean, stand_in, axis=-1))
        sd = np.where(usable, sd, np.take_along_axis(sd, stand_in, axis=-1))
    mean, sd = _sound(mean, sd)
    width = usable.shape[-1]
    shares = _by_rivals(mean.reshape(-1, width), sd.reshape(-1, width), usable.reshape(-1, width))
    return shares.reshape(usable.shape)


def _by_rivals(mean: Floats, sd: Floats, usable: Mask) -> Floats:
    """Return the probabilities of many choices (n, k) by how many arms of each could be the greatest.

    One takes everything, of two the probability is known in closed form, and only more of them are integrated.
    """
    reach = REACH * sd
    bar = np.where(usable, mean - reach, -np.inf).max(axis=1)
    rivals = usable & (mean + reach >= bar[:, None])
    count = rivals.sum(axis=1)
    shares: Floats = (rivals & (count == 1)[:, None]).astype(np.float64)
    two = np.flatnonzero(count == 2)
    if len(two):
        one = rivals[two].argmax(axis=1)
        other = rivals.shape[1] - 1 - rivals[two, ::-1].argmax(axis=1)
        share = ndtr((mean[two, one] - mean[two, other]) / np.hypot(sd[two, one], sd[two, other]))
        shares[two, one], shares[two, other] = share, 1.0 - share
    more = np.flatnonzero(count > 2)
    if len(more):
        shares[more] = _greatest(mean[more], sd[more], rivals[more])
    return shares


def thompson_of_one(mean: Sequence[float], sd: Sequence[float]) -> list[float]:
    """Return what ``thompson_propensities`` does for one choice among arms that are all allowed, in plain numbers.

    Arms that cannot be the greatest are left out; between two the probability is known in closed form. Raises
    InvalidRequest ``no_arm_allowed`` and ``beliefs_invalid``.
    """
    if not mean:
        raise InvalidRequest("no_arm_allowed", "no arm may be chosen")
    if not all(math.isfinite(each) and 0 <= spread < math.inf for each, spread in zip(mean, sd, strict=True)):
        raise _beliefs_invalid()
    scale = max(map(abs, mean)) + max(sd)
    least = _SD_SHARE_MIN * scale or 1.0
    sd = [max(spread, least) for spread in sd]
    bar = max(each - REACH * spread for each, spread in zip(mean, sd, strict=True))
    rivals = [place for place, each in enumerate(mean) if each + REACH * sd[place] >= bar]
    shares = [0.0] * len(mean)
    if len(rivals) == 1:
        shares[rivals[0]] = 1.0
    elif len(rivals) == 2:
        one, other = rivals
        apart = math.hypot(sd[one], sd[other]) * math.sqrt(2)
        share = 0.5 * math.erfc((mean[other] - mean[one]) / apart)
        shares[one], shares[other] = share, 1.0 - share
    else:
        means, sds = np.array([mean[place] for place in rivals]), np.array([sd[place] for place in rivals])
        for place, share in zip(rivals, _greatest(means, sds, None).tolist(), strict=True):
            shares[place] = share
    return shares


def floored(propensities: Floats, allowed: Mask, floor: float) -> Floats:
    """Return ``floor`` for every allowed arm plus what is left, shared out as ``propensities`` are; shape ``(..., k)``.

    So every allowed arm has at least ``floor``, the order stays, the sum is 1 and what is not allowed has 0. Raises
    InvalidRequest ``no_arm_allowed`` and ``floor_invalid`` (negative, or above 1 over the number of allowed arms).
    """
    usable, _ = _usable(allowed)
    count = usable.sum(axis=-1, keepdims=True)
    if not 0 <= floor * count.max() <= 1 + 1e-12:
        raise InvalidRequest(
            "floor_invalid", f"a floor of {floor} for {count.max()} arms does not fit into 1", floor=floor
        )
    result: Floats = np.where(usable, propensities, 0.0)
    result *= np.maximum(1 - floor * count, 0.0) / result.sum(axis=-1, keepdims=True)
    result += floor * usable
    result /= result.sum(axis=-1, keepdims=True)
    return result


def top_two(propensities: Floats, beta: float = 0.5) -> Floats:
    """Return the probabilities of top-two Thompson sampling from those of plain Thompson sampling, shape ``(..., k)``.

    With probability ``beta`` the leader is taken, else the leader of the draws repeated until another arm leads:
    psi_k = q_k (beta + (1 - beta) sum_{j != k} q_j / (1 - q_j)). It finds the best arm sooner and earns less on the way.
    Where one arm is certain there is no other, and it keeps everything.
    """
    # Sums of the others, not differences to the whole: those lose every digit where one arm is almost certain.
    all_but_one = _all_but_one(propensities.shape[-1])
    others = propensities @ all_but_one
    odds = np.divide(propensities, others, out=np.zeros_like(propensities), where=others > _TINY)
    result: Floats = propensities * (beta + (1 - beta) * (odds @ all_but_one))
    certain = others <= _TINY
    if certain.any():
        result[certain] = 1.0
    result /= result.sum(axis=-1, keepdims=True)
    return result


def draw(propensities: Floats, uniform: float | Floats) -> NDArray[np.intp]:
    """Return the index that ``uniform`` in [0, 1) falls on, never one of probability 0; shapes ``(..., k)`` and ``(...)``.

    Raises InvalidRequest ``uniform_invalid``.
    """
    points = np.asarray(uniform, dtype=np.float64)
    if not ((points >= 0) & (points < 1)).all():
        raise InvalidRequest("uniform_invalid", "a uniform lies in [0, 1)")
    upper = propensities.cumsum(axis=-1)
    index = (upper <= (points * upper[..., -1])[..., None]).sum(axis=-1)
    # Rounding can carry the greatest uniform up to the total itself.
    last = propensities.shape[-1] - 1 - (propensities[..., ::-1] > 0).argmax(axis=-1)
    result: NDArray[np.intp] = np.minimum(index, last)
    return result


def draw_one(propensities: Sequence[float], uniform: float) -> int:
    """Return what ``draw`` does for one line of probabilities, in plain numbers: many times as fast.

    Raises InvalidRequest ``uniform_invalid``.
    """
    if not 0 <= uniform < 1:
        raise InvalidRequest("uniform_invalid", "a uniform lies in [0, 1)")
    point, total, last = uniform * math.fsum(propensities), 0.0, 0
    for place, share in enumerate(propensities):
        if share > 0:
            total += share
            last = place
            if point < total:
                break
    return last


def _usable(allowed: Mask) -> tuple[Mask, bool]:
    usable = np.asarray(allowed, dtype=np.bool_)
    everywhere = bool(usable.size) and bool(usable.all())
    if not everywhere and not (usable.size and usable.any(axis=-1).all()):
        raise InvalidRequest("no_arm_allowed", "no arm may be chosen")
    return usable, everywhere


def _beliefs_invalid() -> InvalidRequest:
    return InvalidRequest("beliefs_invalid", "means are finite, standard deviations finite and not negative")


def _sound(mean: Floats, sd: Floats) -> tuple[Floats, Floats]:
    """Return means, and sds that can be divided by: by what can be told apart in each choice of its own, shape (..., k)."""
    scale = np.abs(mean).max(axis=-1, keepdims=True) + sd.max(axis=-1, keepdims=True)
    if not (sd.min() >= 0 and scale.max() < np.inf):
        raise _beliefs_invalid()
    least = _SD_SHARE_MIN * scale
    return mean, np.maximum(sd, np.where(least > 0, least, 1.0))


def _greatest(mean: Floats, sd: Floats, usable: Mask | None) -> Floats:
    """Return the integrals; arms that are not usable, where given, count for nothing but points of the grid."""
    grid = (mean[..., None] + sd[..., None] * _QUANTILES).reshape(*mean.shape[:-1], -1)
    grid.sort(axis=-1)
    below = grid[..., None, :] - mean[..., None]
    below /= sd[..., None]
    ndtr(below, out=below)
    if usable is not None:
        below[~usable] = 1.0  # it is below every point: it changes no product and has no mass of its own
    mass = below[..., 1:] - below[..., :-1]
    product = below.prod(axis=-2)
    np.maximum(below, _TINY, out=below)
    others = np.divide(product[..., None, :], below, out=below)
    summed = others[..., 1:] + others[..., :-1]
    summed *= mass
    result: Floats = summed.sum(axis=-1)
    result /= result.sum(axis=-1, keepdims=True)
    return result


@lru_cache(maxsize=64)
def _all_but_one(count: int) -> Floats:
    return 1.0 - np.eye(count)
