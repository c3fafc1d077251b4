"""The change of a rate taken apart: what moved between parts of the traffic, and what changed inside of them.

With shares ``w`` of the traffic and rates ``p`` by stratum, before (0) and now (1)::

    change = sum (w1 - w0) * ((p0 + p1) / 2 - level)   mix
           + sum (w0 + w1) / 2 * (p1 - p0)             rate

exactly, whatever ``level`` is, since the shares sum to one; it is the mean of both overall rates, so that traffic which
moves to better than average strata counts in favor. A stratum that has attempts in one period only has its rate of
that period in both: its effect is mix. Source: Kitagawa, "Components of a difference between two rates" (JASA 50,
1955). Intervals by the delta method.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy.special import ndtr

from tongbao.routing.policy.doctor_strata import Floats, Strata
from tongbao.routing.schema.health import SEGMENT_DIMENSIONS, CodeEffect, Effect, Estimate
from tongbao.routing.schema.payments import Mark

Z90 = 1.644854
Z95 = 1.959964
FALSE_DISCOVERY_RATE = 0.05
EFFECTS_MAX = 5_000


class Decomposition:
    """Mix and rate effects by stratum of ``good`` among ``count``, both (2, n), with both periods not empty."""

    def __init__(self, good: Floats, count: Floats) -> None:
        sums = count.sum(axis=1, keepdims=True)
        shares = count / sums
        rates = good / np.maximum(count, 1.0)
        rates = np.where(count > 0, rates, rates[::-1])
        overall = good.sum(axis=1) / sums[:, 0]
        level = overall.mean()
        middle = rates.mean(axis=0)
        # A stratum with one attempt has a rate of 0 or 1 and is not certain for that: it leans on the overall rate.
        leaning = (good + 2 * level) / (count + 2)
        spread = np.where(count > 0, leaning * (1 - leaning) / np.maximum(count, 1.0), 0.0)
        self.change = float(overall[1] - overall[0])
        self.change_variance = float((overall * (1 - overall) / sums[:, 0]).sum())
        self.mix: Floats = (shares[1] - shares[0]) * (middle - level)
        self.rate: Floats = shares.mean(axis=0) * (rates[1] - rates[0])
        both = (count > 0).all(axis=0)
        self.rate_variance: Floats = np.where(both, shares.mean(axis=0) ** 2 * spread.sum(axis=0), 0.0)
        moments = (shares * middle**2).sum(axis=1) - (shares * middle).sum(axis=1) ** 2
        of_middle = np.where(both, spread.sum(axis=0) / 4, spread.sum(axis=0))
        self.mix_variance = float(
            (np.maximum(moments, 0.0) / sums[:, 0]).sum() + ((shares[1] - shares[0]) ** 2 * of_middle).sum()
        )


def estimate(value: float, variance: float, z: float = Z95) -> Estimate:
    """Return a normal estimate with its interval."""
    half = z * math.sqrt(max(variance, 0.0))
    return Estimate(value, value - half, value + half)


def two_sided(value: float, variance: float) -> float:
    """Return the p-value of a normal estimate against zero; 1 where nothing varies."""
    return float(2 * ndtr(-abs(value) / math.sqrt(variance))) if variance > 0 else 1.0


def discoveries(p_values: Sequence[float] | Floats, rate: float = FALSE_DISCOVERY_RATE) -> list[bool]:
    """Return which p-values are discoveries at a false discovery rate (Benjamini and Hochberg, 1995)."""
    values = np.asarray(p_values, dtype=np.float64)
    if not values.size:
        return []
    ordered = np.sort(values)
    passed = ordered <= rate * np.arange(1, values.size + 1) / values.size
    bound = ordered[passed][-1] if passed.any() else -1.0
    return [bool(value <= bound) for value in values]


def effects_of(strata: Strata, parted: Decomposition) -> list[Effect]:
    """Return the effects by value of each dimension, and of each pair, the largest first within each.

    At most ``EFFECTS_MAX``: pairs of dimensions that would go beyond it are left out whole, so that what is there sums
    to the change.
    """
    found: list[Effect] = []
    for order in (1, 2):
        for places in combinations(range(len(SEGMENT_DIMENSIONS)), order):
            parts = strata.parts_by(places)
            if len(found) + len(parts) > EFFECTS_MAX:
                continue
            rows = []
            for part in parts:
                rate = float(parted.rate[part.members].sum())
                variance = float(parted.rate_variance[part.members].sum())
                rows.append(
                    Effect(
                        segment=part.segment,
                        mix=float(parted.mix[part.members].sum()),
                        rate=estimate(rate, variance),
                        p_value=two_sided(rate, variance),
                        significant=False,
                    )
                )
            found.extend(sorted(rows, key=lambda row: row.mix + row.rate.value))
    return found


def codes_of(strata: Strata) -> list[CodeEffect]:
    """Return what each code added to the change, the largest loss first.

    Judged codes are shares of the judged attempts and sum to the change of the approval rate; neutral ones are shares
    of all attempts.
    """
    rows = []
    for (mark, code), counts in sorted(strata.codes.items()):
        base = strata.total if mark == Mark.NEUTRAL else strata.judged
        sums = base.sum(axis=1)
        shares = counts.sum(axis=1) / sums
        leaning = (counts.sum(axis=1) + 0.5) / (sums + 1)
        variance = float((leaning * (1 - leaning) / sums).sum())
        value = float(shares[0] - shares[1])
        rows.append(
            CodeEffect(
                code=code,
                mark=Mark(mark),
                rate=estimate(value, variance),
                p_value=two_sided(value, variance),
                significant=False,
            )
        )
    return sorted(rows, key=lambda row: row.rate.value)
