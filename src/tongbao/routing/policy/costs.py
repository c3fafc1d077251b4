"""What a channel takes for a payment, exactly.

    rate  = tier in force, or base          (both: basis points of the amount, and a fixed part)
          + most specific line of the table
          + conversion, where the channel does not settle the payment's currency
    cost  = rate of the amount + fixed parts, within minimum and maximum, rounded half up once

The tier in force is the highest one that the month's volume so far has reached: what the next payment costs, not the
average of the month. Of the table lines that match, the one with most fields named counts, the earlier among equals;
none may match. Fixed parts and bounds are in the currency of the cost and are converted into the payment's by rates of
now; without a rate they are left out and the result is marked partial. No floats, but for ``bps_effective``.
"""

import enum
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest
from tongbao.core.money import AMOUNT_LIMIT
from tongbao.routing.schema.payments import UNKNOWN, Payment
from tongbao.routing.schema.spec import ROWS_MAX, TIERS_MAX, Cost, Row, Tier
from tongbao.routing.schema.volumes import Convert

BPS = 10_000
BPS_MAX = 10_000
DOMESTIC = "domestic"
FOREIGN = "foreign"
REGIONS = frozenset({"", DOMESTIC, FOREIGN})


class PartKind(enum.StrEnum):
    """What a part of a cost is for."""

    BASE = "base"
    TIER = "tier"  # in place of the base
    TABLE = "table"
    CONVERSION = "conversion"
    BOUND = "bound"  # up to the minimum, down to the maximum or to zero


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part: its rate, its fixed part in the payment's currency, and what it adds in whole minor units."""

    kind: PartKind
    bps: int = 0
    fixed_minor: int = 0
    minor: int


class CostOf(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of an approval in minor units of the payment's currency, never negative; the ``parts`` sum to it.

    ``declined_minor``: what a decline costs instead. ``is_partial``: a fixed part or a bound had no rate and is left out.
    """

    minor: int
    declined_minor: int
    bps_effective: float
    parts: tuple[Part, ...]
    is_partial: bool


def cost(spec: Cost, payment: Payment, month_volume_minor: int, convert: Convert) -> CostOf:
    """Return what ``payment`` costs on a channel that has carried ``month_volume_minor`` (in the cost's currency) this month.

    The amount is not negative. A sound ``spec`` is assumed: see ``check``.
    """
    rates = _Rates(spec.currency, payment.currency, convert)
    parts: list[Part] = []
    exact = said = 0  # in ten-thousandths of a minor unit, and in the minor units of the parts so far
    for kind, bps, fixed_minor in _terms(spec, payment, month_volume_minor):
        fixed = rates.of(fixed_minor) or 0
        exact += payment.amount_minor * bps + fixed * BPS
        minor = _half_up(exact) - said
        said += minor
        parts.append(Part(kind=kind, bps=bps, fixed_minor=fixed, minor=minor))
    total = _bounded(spec, said, rates)
    if total != said:
        parts.append(Part(kind=PartKind.BOUND, minor=total - said))
    return CostOf(
        minor=total,
        declined_minor=rates.of(spec.declined_minor) or 0,
        bps_effective=total * BPS / payment.amount_minor if payment.amount_minor else 0.0,
        parts=tuple(parts),
        is_partial=rates.is_missing,
    )


class Line(NamedTuple):
    """A cost as a function of the amount alone, in minor units of one currency."""

    bps: int
    fixed_minor: int
    minimum_minor: int
    maximum_minor: int | None
    declined_minor: int

    def cost(self, amount_minor: int) -> int:
        """Return what an approval costs."""
        minor = _half_up(amount_minor * self.bps + self.fixed_minor * BPS)
        if self.maximum_minor is not None:
            minor = min(minor, self.maximum_minor)
        return max(minor, self.minimum_minor, 0)


def line(spec: Cost, payment: Payment, month_volume_minor: int) -> Line:
    """Return what payments like this one cost, whatever their amount; the payment is in the currency of the cost."""
    terms = _terms(spec, payment, month_volume_minor)
    return Line(
        sum(bps for _, bps, _ in terms),
        sum(fixed for _, _, fixed in terms),
        spec.minimum_minor,
        spec.maximum_minor,
        spec.declined_minor,
    )


def check(spec: Cost) -> None:
    """Raise InvalidRequest ``costs_invalid``, with the fact ``field``, for costs that cannot be computed as meant."""
    currencies.currency(spec.currency)
    for code in spec.settles:
        currencies.currency(code)
    if len(spec.tiers) > TIERS_MAX or len(spec.table) > ROWS_MAX:
        raise _invalid("tiers", f"at most {TIERS_MAX} tiers and {ROWS_MAX} lines of a table")
    for name, bps in (("bps", spec.bps), ("conversion_bps", spec.conversion_bps)):
        if not 0 <= bps <= BPS_MAX:
            raise _invalid(name, f"a rate is 0 to {BPS_MAX} basis points")
    minors = (spec.fixed_minor, spec.minimum_minor, spec.maximum_minor or 0, spec.declined_minor)
    if not all(0 <= each < AMOUNT_LIMIT for each in minors):
        raise _invalid("fixed_minor", "fixed parts and bounds are not negative, and fit 63 bits")
    if spec.maximum_minor is not None and spec.maximum_minor < spec.minimum_minor:
        raise _invalid("maximum_minor", "the maximum lies below the minimum")
    _check_tiers(spec.tiers)
    for row in spec.table:
        if (
            row.region not in REGIONS
            or not -BPS_MAX <= row.bps <= BPS_MAX
            or abs(row.fixed_minor) >= AMOUNT_LIMIT
        ):
            raise _invalid(
                "table", f"a line has a region of {sorted(REGIONS)} and a rate of at most {BPS_MAX}"
            )


def _check_tiers(tiers: Sequence[Tier]) -> None:
    starts = [tier.from_volume_minor for tier in tiers]
    if any(start < 0 for start in starts) or len(set(starts)) != len(starts):
        raise _invalid("tiers", "tiers begin at different volumes, none negative")
    if any(not 0 <= tier.bps <= BPS_MAX or not 0 <= tier.fixed_minor < AMOUNT_LIMIT for tier in tiers):
        raise _invalid("tiers", f"a tier has a rate of 0 to {BPS_MAX} basis points and a fixed part")


def _invalid(name: str, detail: str) -> InvalidRequest:
    return InvalidRequest("costs_invalid", detail, field=name)


class _Rates:
    """Converts fixed parts of one cost for one payment, and remembers whether a rate was missing."""

    def __init__(self, source: str, target: str, convert: Convert) -> None:
        self._source = source
        self._target = target
        self._convert = convert
        self.is_missing = False

    def of(self, minor: int) -> int | None:
        """Return minor units in the payment's currency; None where there is no rate."""
        if minor == 0 or self._source == self._target:
            return minor
        converted = self._convert(minor, self._source, self._target)
        self.is_missing = self.is_missing or converted is None
        return converted


def _terms(spec: Cost, payment: Payment, volume_minor: int) -> list[tuple[PartKind, int, int]]:
    """Return kind, rate and fixed part (in the cost's currency) of everything that adds up."""
    reached = [tier for tier in spec.tiers if tier.from_volume_minor <= volume_minor]
    if reached:
        tier = max(reached, key=lambda each: each.from_volume_minor)
        terms = [(PartKind.TIER, tier.bps, tier.fixed_minor)]
    else:
        terms = [(PartKind.BASE, spec.bps, spec.fixed_minor)]
    row = _most_specific(spec.table, payment)
    if row is not None:
        terms.append((PartKind.TABLE, row.bps, row.fixed_minor))
    if spec.settles and spec.conversion_bps and payment.currency not in spec.settles:
        terms.append((PartKind.CONVERSION, spec.conversion_bps, 0))
    return terms


def _most_specific(table: Sequence[Row], payment: Payment) -> Row | None:
    """Return the matching line with most fields named, the first of equals."""
    region = _region(payment)
    found: Row | None = None
    named_most = -1
    for row in table:
        pairs = (
            (row.brand, payment.brand),
            (row.funding, payment.funding),
            (row.region, region),
            (row.mcc, payment.mcc),
        )
        named = sum(1 for wanted, _ in pairs if wanted)
        if named > named_most and all(not wanted or wanted == actual for wanted, actual in pairs):
            found, named_most = row, named
    return found


def _region(payment: Payment) -> str:
    """Return whether card and merchant share a country; empty where either is unknown, which matches no named region."""
    if UNKNOWN in {payment.card_country, payment.merchant_country}:
        return ""
    return DOMESTIC if payment.card_country == payment.merchant_country else FOREIGN


def _bounded(spec: Cost, minor: int, rates: _Rates) -> int:
    if spec.maximum_minor is not None:
        highest = rates.of(spec.maximum_minor)
        minor = minor if highest is None else min(minor, highest)
    return max(minor, rates.of(spec.minimum_minor) or 0, 0)


def _half_up(exact: int) -> int:
    """Return ten-thousandths rounded to whole units; a half goes up."""
    return (exact + BPS // 2) // BPS
