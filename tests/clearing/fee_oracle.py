"""What prices mean, written once more from the words of ``clearing.schema.fees`` alone, in fractions.

Slow and plain on purpose, and calls nothing of the product but its types.
"""

import math
from fractions import Fraction

from tongbao.clearing.schema.fees import (
    Basis,
    Bearer,
    Charge,
    OnRefund,
    Priceable,
    Priced,
    ScheduleSpec,
    TierMode,
)
from tongbao.core.money import Rounding

PAIRS = (
    ("kinds", "kind"),
    ("methods", "method"),
    ("channels", "channel"),
    ("brands", "brand"),
    ("fundings", "funding"),
    ("regions", "region"),
    ("currencies", "currency"),
    ("stores", "store"),
    ("packages", "package"),
    ("mccs", "mcc"),
)
Parts = list[tuple[str, Bearer, int, int]]


def rounded(exact: Fraction, how: Rounding) -> int:
    low = math.floor(exact)
    rest = exact - low
    if how is Rounding.DOWN or how is Rounding.FLOOR:
        return low
    if how is Rounding.UP or how is Rounding.CEILING:
        return math.ceil(exact)
    if rest == Fraction(1, 2):
        return {Rounding.HALF_UP: low + 1, Rounding.HALF_DOWN: low}.get(how, low + low % 2)
    return low + (rest > Fraction(1, 2))


def matches(charge: Charge, movement: Priceable) -> bool:
    match = charge.match
    for asked, told in PAIRS:
        wanted = getattr(match, asked)
        if wanted and getattr(movement, told) not in wanted:
            return False
    begins = match.amount_from_minor is None or movement.amount_minor >= match.amount_from_minor
    ends = match.amount_to_minor is None or movement.amount_minor < match.amount_to_minor
    starts = charge.from_on is None or movement.on >= charge.from_on
    lasts = charge.until_on is None or movement.on < charge.until_on
    return begins and ends and starts and lasts


def price(spec: ScheduleSpec, movement: Priceable) -> Parts:
    """Return every part that is not nothing: name, bearer, amount with tax, tax."""
    taken: dict[str, Charge] = {}
    for charge in spec.charges:
        if matches(charge, movement):
            taken.setdefault(charge.name, charge)
    found: dict[str, tuple[int, int]] = {}
    of_amount = [each for each in taken.values() if each.basis is Basis.AMOUNT]
    own_shares = [
        each for each in taken.values() if each.basis is Basis.FEE and each.bearer is Bearer.MERCHANT
    ]
    shares = [
        each for each in taken.values() if each.basis is Basis.FEE and each.bearer is not Bearer.MERCHANT
    ]
    for charge in of_amount:
        found[charge.name] = part(charge, movement, Fraction(movement.amount_minor))
    base = fee(taken, found)
    for charge in own_shares:
        found[charge.name] = part(charge, movement, base)
    base = fee(taken, found)
    for charge in shares:
        found[charge.name] = part(charge, movement, base)
    in_order = [charge for charge in spec.charges if any(charge is each for each in taken.values())]
    return [(charge.name, charge.bearer, *found[charge.name]) for charge in in_order if found[charge.name][0]]


def fee(taken: dict[str, Charge], found: dict[str, tuple[int, int]]) -> Fraction:
    sums = [found[name] for name in found if taken[name].bearer is Bearer.MERCHANT]
    return Fraction(sum(amount - tax for amount, tax in sums))


def part(charge: Charge, movement: Priceable, base: Fraction) -> tuple[int, int]:
    currency = movement.currency
    before, after = movement.volume_minor, movement.volume_minor + movement.amount_minor
    free = charge.free_minor.get(currency, 0)
    if free and before < free and after <= free:
        return 0, 0
    tier = [each for each in charge.tiers if each.from_minor <= before][-1]
    if charge.basis is Basis.FEE:
        exact = base * Fraction(tier.rate_e6, 1_000_000)
    elif charge.tier_mode is TierMode.WHOLE:
        exact = Fraction(after - max(before, free)) * Fraction(tier.rate_e6, 1_000_000)
    else:
        exact = Fraction(0)
        for index, each in enumerate(charge.tiers):
            end = charge.tiers[index + 1].from_minor if index + 1 < len(charge.tiers) else after
            inside = min(end, after) - max(each.from_minor, before, free)
            exact += max(inside, 0) * Fraction(each.rate_e6, 1_000_000)
    exact += tier.fixed_minor.get(currency, 0)
    exact = max(exact, Fraction(charge.min_minor.get(currency, 0)))
    if currency in charge.max_minor:
        exact = min(exact, Fraction(charge.max_minor[currency]))
    price = rounded(exact, charge.rounding)
    rate = Fraction(charge.tax_e6, 1_000_000)
    if charge.tax_included:
        return price, rounded(price * rate / (1 + rate), charge.rounding)
    tax = rounded(price * rate, charge.rounding)
    return price + tax, tax


def kept_after(spec: ScheduleSpec, paid: Priced) -> dict[str, int]:
    """Return by name what stays charged of a payment that went back whole."""
    returned = {charge.name for charge in spec.charges if charge.on_refund is OnRefund.RETURNED}
    return {each.name: 0 if each.name in returned else each.amount_minor for each in paid.parts}
