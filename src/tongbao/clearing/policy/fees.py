"""What a movement costs whom: a list of prices made ready, and the one way in which anything is priced by it.

Of the charges with one name the first that matches counts; different names add up. A charge of basis ``FEE`` is taken of
the sum of the merchant's charges on the movement before tax: one that the merchant itself bears, of those that are taken
of the amount; any other, of all that the merchant bears. What comes to nothing leaves no part.

Which charges hold for a movement depends on few of its fields and so is worked out once for each combination
(``PLANS_MAX`` of them are remembered); what is left for each movement is arithmetic on whole numbers: some 3 µs by the
starter list of 30 charges, some 8 µs where 30 plain charges all match, and about 1 µs more for each with bounds or tax.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, MutableMapping
from operator import attrgetter
from typing import Any

import msgspec

from tongbao.clearing.policy.fee_checks import VALUE_FIELDS, invalid, read_spec
from tongbao.clearing.policy.fee_lines import DOUBLE, Line
from tongbao.clearing.policy.fee_sums import given_back, priced_of
from tongbao.clearing.schema.fees import (
    CHARGES_MAX,
    Bearer,
    Charge,
    FeePart,
    OnRefund,
    Priceable,
    Priced,
    ScheduleSpec,
)
from tongbao.core.errors import InvalidRequest, LimitExceeded
from tongbao.core.money import zero

PLANS_MAX = 10_000
MOVEMENTS_MAX = 1_000_000
SALE = "sale"
MonthVolumes = MutableMapping[tuple[str, int, int], int]
"""What one merchant sold by currency, year and month, minor units."""

_MOVEMENT_FIELDS = dict(
    zip(
        VALUE_FIELDS,
        (
            "kind",
            "method",
            "channel",
            "brand",
            "funding",
            "region",
            "currency",
            "store",
            "package",
            "mcc",
        ),
        strict=True,
    )
)
"""By field of ``Match`` the field of a movement that it asks for."""


class Plan(msgspec.Struct, frozen=True, gc=False):
    """The charges that hold for movements of one kind, in the order of the list; ``has_shares``: one is of basis ``FEE``."""

    lines: tuple[Line, ...]
    has_shares: bool


class Schedule:
    """One version of a list of prices, made ready. Immutable but for what it remembers; not shared between threads."""

    def __init__(self, name: str, version: int, spec: ScheduleSpec) -> None:
        """Take a specification that was checked; see ``compile_schedule``."""
        self.name = name
        self.version = version
        self.spec = spec
        self._charges = spec.charges
        self._returned = {charge.name: charge.on_refund is OnRefund.RETURNED for charge in spec.charges}
        asked = [name for name in VALUE_FIELDS if any(getattr(each.match, name) for each in spec.charges)]
        asked += [] if "currencies" in asked else ["currencies"]  # fixed parts and bounds are by currency
        self._has_dates = any(each.from_on or each.until_on for each in spec.charges)
        fields = [_MOVEMENT_FIELDS[name] for name in asked] + ["on"] * self._has_dates
        self._key: Callable[[Priceable], Any] = attrgetter(*fields)
        self._bounds = sorted(_bounds(spec.charges))
        self._plans: dict[Any, Plan] = {}

    @property
    def returns(self) -> bool:
        """Whether any charge goes back with its payment."""
        return any(self._returned.values())

    def price(self, movement: Priceable) -> Priced:
        """Return what a movement costs.

        Raises InvalidRequest ``amount_negative`` for a negative amount or volume, ``amount_out_of_range`` for a sum that
        does not fit, and those of ``core.money``.
        """
        return self._priced(movement, movement.amount_minor, movement.volume_minor)

    def price_many(self, movements: Iterable[Priceable], volumes: MonthVolumes | None = None) -> list[Priced]:
        """Return what movements of one merchant and mode cost, in order of occurrence, carrying the month's volume forward.

        ``volumes`` holds what was sold before and is brought up to date. A month that is not in it begins with the
        ``volume_minor`` of its first movement; those of later movements are not read. Raises InvalidRequest
        ``movements_unordered`` where a date goes back, LimitExceeded ``movements_too_many`` above ``MOVEMENTS_MAX``.
        """
        sold: MonthVolumes = {} if volumes is None else volumes
        found: list[Priced] = []
        last = None
        for movement in movements:
            on = movement.on
            if last is not None and on < last:
                raise InvalidRequest("movements_unordered", f"a movement of {on} comes after one of {last}")
            last = on
            month = (movement.currency, on.year, on.month)
            volume = sold.get(month, movement.volume_minor)
            if len(found) >= MOVEMENTS_MAX:
                raise LimitExceeded("movements_too_many", f"at most {MOVEMENTS_MAX} movements at once")
            found.append(self._priced(movement, movement.amount_minor, volume))
            sold[month] = volume + movement.amount_minor if movement.kind == SALE else volume
        return found

    def give_back(
        self,
        paid: Priced,
        *,
        amount_minor: int,
        original_minor: int,
        refunded_before_minor: int,
        given_before: Priced,
    ) -> Priced:
        """Return what a refund of ``amount_minor`` gives back of what was ``paid`` on ``original_minor``; parts are negative.

        ``refunded_before_minor``: what went back before, and ``given_before`` what that gave back (the sum of earlier
        results). Only charges that are ``RETURNED`` go back: after each refund their proportion, rounded down, of all that
        was refunded, so that the refund that completes the payment gives back exactly what is left, in whichever steps.
        A negative ``amount_minor`` is a refund that failed: its parts are positive again. Call it on the list that the
        payment was priced by. Raises InvalidRequest ``refund_above_payment``; InvariantBroken ``fee_part_unknown``.
        """
        whole = refunded_before_minor + amount_minor
        if (
            original_minor <= 0
            or not 0 <= refunded_before_minor <= original_minor
            or not 0 <= whole <= original_minor
        ):
            raise InvalidRequest(
                "refund_above_payment",
                f"{refunded_before_minor} and {amount_minor} of a payment of {original_minor} minor units",
            )
        return given_back(paid, given_before, (whole, original_minor), self._returned)

    def _priced(self, movement: Priceable, amount_minor: int, volume_minor: int) -> Priced:
        if amount_minor < 0 or volume_minor < 0:
            raise InvalidRequest(
                "amount_negative", "what is priced, and the volume before it, are not negative"
            )
        key = self._key(movement)
        if self._bounds:
            key = (key, bisect_right(self._bounds, amount_minor))
        plan = self._plans.get(key) or self._planned(key, movement)
        if plan.has_shares:
            return priced_of(_with_shares(plan.lines, amount_minor, volume_minor))
        return priced_of(_parts(plan.lines, amount_minor, volume_minor))

    def _planned(self, key: Any, movement: Priceable) -> Plan:
        zero(movement.currency)  # refuses what is no currency of minor units
        first: dict[str, Line] = {}
        for place, charge in enumerate(self._charges):
            if charge.name not in first and _holds(charge, movement):
                first[charge.name] = Line(charge, movement.currency, place)
        lines = tuple(sorted(first.values(), key=lambda line: line.place))
        if len(self._plans) >= PLANS_MAX:
            self._plans.clear()
        plan = self._plans[key] = Plan(lines, any(line.is_of_fee for line in lines))
        return plan


def compile_schedule(name: str, version: int, spec: ScheduleSpec) -> Schedule:
    """Return a list of prices made ready; raise InvalidRequest ``schedule_invalid`` (facts ``path``, ``reason``)."""
    return Schedule(name, version, read_spec(msgspec.to_builtins(spec)))


def joined(merchant: ScheduleSpec, *additions: ScheduleSpec) -> ScheduleSpec:
    """Return a merchant's list with others after it: what channels cost the house, what an agent gets of the fee.

    Raises InvalidRequest ``schedule_invalid`` where the lists name one charge twice, or are too long together.
    """
    seen = {charge.name for charge in merchant.charges}
    charges = list(merchant.charges)
    for addition in additions:
        names = {charge.name for charge in addition.charges}
        if seen & names:
            raise invalid("$.charges", f"two lists have a charge {min(seen & names)!r}")
        seen |= names
        charges += addition.charges
    if len(charges) > CHARGES_MAX:
        raise invalid("$.charges", f"the lists have {len(charges)} charges together, at most {CHARGES_MAX}")
    return ScheduleSpec(charges=tuple(charges))


def joint(merchant: Schedule, *additions: Schedule) -> Schedule:
    """Return lists made ready as one, under the name and version of the merchant's.

    Each was checked where it was drafted; a commission on a fee that this merchant does not pay comes to nothing.
    Raises as ``joined`` does.
    """
    return Schedule(
        merchant.name, merchant.version, joined(merchant.spec, *(each.spec for each in additions))
    )


def _parts(lines: Iterable[Line], amount_minor: int, volume_minor: int) -> list[FeePart]:
    """Return the parts of charges that are taken of the amount, those of nothing left out."""
    parts = []
    for line in lines:
        # The way of most charges stands here and not in a call, which would double what it takes.
        if line.is_plain:
            price = (amount_minor * line.slope + line.shift) // DOUBLE
            if price:
                parts.append(FeePart(line.name, line.bearer, price))
        elif (part := line.part(amount_minor, volume_minor)) is not None:
            parts.append(part)
    return parts


def _with_shares(lines: Iterable[Line], amount_minor: int, volume_minor: int) -> list[FeePart]:
    """Return the parts where some charges are shares of the merchant's: the amount's first, the merchant's own, others'."""
    parts: list[FeePart | None] = []
    own: list[tuple[int, Line]] = []
    others: list[tuple[int, Line]] = []
    base = 0
    for line in lines:
        if line.is_of_fee:
            (own if line.bearer is Bearer.MERCHANT else others).append((len(parts), line))
            parts.append(None)
            continue
        part = line.part(amount_minor, volume_minor)
        parts.append(part)
        if part is not None and part.bearer is Bearer.MERCHANT:
            base += part.amount_minor - part.tax_minor
    shares = [(place, line.part(base, volume_minor)) for place, line in own]
    base += sum(part.amount_minor - part.tax_minor for _, part in shares if part is not None)
    shares += [(place, line.part(base, volume_minor)) for place, line in others]
    for place, part in shares:
        parts[place] = part
    return [part for part in parts if part is not None]


def _holds(charge: Charge, movement: Priceable) -> bool:
    match = charge.match
    for name, field in _MOVEMENT_FIELDS.items():
        values = getattr(match, name)
        if values and getattr(movement, field) not in values:
            return False
    if movement.amount_minor < (match.amount_from_minor or 0):
        return False
    if match.amount_to_minor is not None and movement.amount_minor >= match.amount_to_minor:
        return False
    if charge.from_on is not None and movement.on < charge.from_on:
        return False
    return charge.until_on is None or movement.on < charge.until_on


def _bounds(charges: Iterable[Charge]) -> set[int]:
    """Return the amounts at which a charge begins or ends to hold: between two of them all are alike."""
    ends = {each.match.amount_from_minor for each in charges} | {
        each.match.amount_to_minor for each in charges
    }
    return {end for end in ends if end}
