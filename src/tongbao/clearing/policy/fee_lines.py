"""One charge made ready for one currency: what it comes to for an amount, in whole minor units.

    exact  = rate of what is charged for + fixed part           (millionths of a minor unit, a whole number)
    price  = exact within minimum and maximum, rounded once
    tax    = on top: its rate of the price, added; included: its share of the price, told

What is charged for is the movement less what of it is free. Tiers of the whole go by the volume before the movement; of
the margin each part pays the rate of the tier that it lies in, and the fixed part is that of the tier it begins in. The
tax is rounded as the price is. A movement that is free throughout pays nothing, no minimum and no fixed part either.
"""

from bisect import bisect_right
from itertools import pairwise

from tongbao.clearing.policy.fee_rounding import OFFSETS, divided
from tongbao.clearing.schema.fees import RATE_WHOLE, Basis, Charge, FeePart, TierMode
from tongbao.core.money import Rounding

DOUBLE = 2 * RATE_WHOLE


class Line:
    """A charge for one currency. ``is_plain``: its price is ``(amount · slope + shift) // DOUBLE`` and holds no tax."""

    __slots__ = (
        "_below",
        "_constant",
        "_factor",
        "_free",
        "_high",
        "_is_constant",
        "_is_half_even",
        "_is_marginal",
        "_low",
        "_nudge",
        "_starts",
        "_steps",
        "_tax_included",
        "_tax_name",
        "_tax_rate",
        "_tax_whole",
        "bearer",
        "is_of_fee",
        "is_plain",
        "name",
        "place",
        "shift",
        "slope",
    )

    def __init__(self, charge: Charge, currency: str, place: int) -> None:
        self.name = charge.name
        self.bearer = charge.bearer
        self.place = place
        self.is_of_fee = charge.basis is Basis.FEE
        self._is_marginal = charge.tier_mode is TierMode.MARGINAL
        self._starts = [tier.from_minor for tier in charge.tiers]
        self._steps = [
            (tier.rate_e6, tier.fixed_minor.get(currency, 0) * RATE_WHOLE) for tier in charge.tiers
        ]
        self._below = _sums_below(charge)
        self._low = charge.min_minor.get(currency, 0) * RATE_WHOLE
        high = charge.max_minor.get(currency)
        self._high = None if high is None else high * RATE_WHOLE
        self._free = charge.free_minor.get(currency, 0)
        self._tax_name = charge.tax_name if charge.tax_e6 else ""
        self._tax_rate = charge.tax_e6
        self._tax_included = charge.tax_included
        self._tax_whole = RATE_WHOLE + charge.tax_e6 if charge.tax_included else RATE_WHOLE
        self._is_half_even = charge.rounding is Rounding.HALF_EVEN
        self._factor, self._nudge = OFFSETS.get(charge.rounding, (0, 0))
        rate, fixed = self._steps[0]
        self.is_plain = (
            len(self._steps) == 1
            and not (self._low or self._free or self._tax_rate or self.is_of_fee)
            and self._high is None
            and not self._is_half_even
        )
        self.slope = 2 * rate
        self.shift = 2 * fixed + self._factor * RATE_WHOLE + self._nudge
        is_constant = len(self._steps) == 1 and not (rate or self._free)
        self._constant = self._part(0, 0) if is_constant else None
        self._is_constant = is_constant

    def part(self, amount_minor: int, volume_minor: int) -> FeePart | None:
        """Return the charge as a part; None where it comes to nothing. ``amount_minor`` is what the rate is taken of."""
        return self._constant if self._is_constant else self._part(amount_minor, volume_minor)

    def _part(self, amount_minor: int, volume_minor: int) -> FeePart | None:
        price, tax = self._price(amount_minor, volume_minor)
        if not price:
            return None
        return FeePart(self.name, self.bearer, price, tax, self._tax_name, self._tax_rate)

    def _price(self, amount_minor: int, volume_minor: int) -> tuple[int, int]:
        """Return the charge with its tax, and the tax in it, minor units."""
        free = self._free
        if free and volume_minor < free and volume_minor + amount_minor <= free:
            return 0, 0
        exact = self._exact(amount_minor, volume_minor)
        if exact < self._low:
            exact = self._low
        if self._high is not None and exact > self._high:
            exact = self._high
        price = self._divided(exact, RATE_WHOLE)
        if not self._tax_rate:
            return price, 0
        tax = self._divided(price * self._tax_rate, self._tax_whole)
        return (price, tax) if self._tax_included else (price + tax, tax)

    def _divided(self, numerator: int, denominator: int) -> int:
        """Divide as ``fee_rounding.divided`` does, without looking the rounding up each time."""
        if self._is_half_even:
            return divided(numerator, denominator, Rounding.HALF_EVEN)
        return (2 * numerator + self._factor * denominator + self._nudge) // (2 * denominator)

    def _exact(self, amount_minor: int, volume_minor: int) -> int:
        """Return the price in millionths of a minor unit, before bounds."""
        rate, fixed = self._steps[bisect_right(self._starts, volume_minor) - 1]
        if self.is_of_fee:
            return amount_minor * rate + fixed
        charged_from = volume_minor if volume_minor > self._free else self._free
        charged_to = volume_minor + amount_minor
        if not self._is_marginal:
            return (charged_to - charged_from) * rate + fixed
        return self._up_to(charged_to) - self._up_to(charged_from) + fixed

    def _up_to(self, volume_minor: int) -> int:
        """Return what all the volume up to here pays by its steps, without fixed parts."""
        step = bisect_right(self._starts, volume_minor) - 1
        return self._below[step] + (volume_minor - self._starts[step]) * self._steps[step][0]


def _sums_below(charge: Charge) -> list[int]:
    """Return for each step what the volume of all steps below it pays, in millionths."""
    sums = [0]
    for low, high in pairwise(charge.tiers):
        sums.append(sums[-1] + (high.from_minor - low.from_minor) * low.rate_e6)
    return sums
