"""What a list of prices must satisfy before anything is priced by it.

Every refusal is InvalidRequest ``schedule_invalid`` with the facts ``path`` (``$.charges[3].tiers[1].from_minor``) and
``reason``. Beyond the types of ``schema.fees`` a list is refused where it cannot mean what it says: steps that do not
ascend, bounds that exclude each other, promotions of no length, charges that no movement reaches, minor units without
a currency, and shares of a fee that is never charged.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from tongbao.clearing.policy.fee_regions import REGIONS
from tongbao.clearing.schema.fees import Basis, Bearer, Charge, Match, ScheduleSpec, TierMode
from tongbao.clearing.schema.movements import KIND_NAMES
from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest
from tongbao.parties.schema import Package

VALUE_CHARS_MAX = 64
KINDS = frozenset(KIND_NAMES.values()) | {"payout"}
FUNDINGS = frozenset({"credit", "debit", "prepaid"})
PACKAGES = frozenset(package.value for package in Package)
_CLOSED = {"kinds": KINDS, "fundings": FUNDINGS, "regions": REGIONS, "packages": PACKAGES}
VALUE_FIELDS = (
    "kinds",
    "methods",
    "channels",
    "brands",
    "fundings",
    "regions",
    "currencies",
    "stores",
    "packages",
    "mccs",
)
"""The fields of ``Match`` that list values."""
_MCC = re.compile(r"[0-9]{4}")
_PATH = re.compile(r" - at (?:`key` in )?`(?P<path>[^`]*)`$")


def read_spec(data: object, *, is_addition: bool = False) -> ScheduleSpec:
    """Return the specification in plain JSON values, checked; raise InvalidRequest ``schedule_invalid``.

    ``is_addition``: it is to be joined to a merchant's list; whether its shares have a fee there ``check_spec`` tells.
    """
    try:
        spec = msgspec.convert(data, ScheduleSpec)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        text = str(error)
        found = _PATH.search(text)
        raise invalid(found["path"] if found else "$", text[: found.start()] if found else text) from error
    _check_alone(spec)
    if not is_addition:
        _check_bases(spec.charges)
    return spec


def check_spec(spec: ScheduleSpec, merchant: ScheduleSpec | None = None) -> None:
    """Raise InvalidRequest ``schedule_invalid`` for a list that cannot be priced by as it is meant.

    ``merchant``: the merchant's list that it is joined to, of whose charges it may take a share.
    """
    _check_alone(spec)
    _check_bases(spec.charges, () if merchant is None else merchant.charges)


def _check_alone(spec: ScheduleSpec) -> None:
    for index, charge in enumerate(spec.charges):
        _check_charge(charge, f"$.charges[{index}]")
    _check_names(spec.charges)
    _check_reach(spec.charges)


def invalid(path: str, reason: str) -> InvalidRequest:
    """Return the refusal of a list at a field."""
    return InvalidRequest(
        "schedule_invalid", f"the price list is refused at {path}: {reason}", path=path, reason=reason
    )


def may_meet(one: Match, other: Match) -> bool:
    """Return whether a movement could satisfy both."""
    for name in VALUE_FIELDS:
        left, right = getattr(one, name), getattr(other, name)
        if left and right and not set(left) & set(right):
            return False
    starts = [each.amount_from_minor or 0 for each in (one, other)]
    ends = [each.amount_to_minor for each in (one, other) if each.amount_to_minor is not None]
    return not ends or max(starts) < min(ends)


def _check_charge(charge: Charge, path: str) -> None:
    if not charge.name.strip() or not charge.name.isprintable():
        raise invalid(f"{path}.name", "a name is read by people: no blank name, no control characters")
    if len(charge.tax_name) > VALUE_CHARS_MAX:
        raise invalid(f"{path}.tax_name", f"at most {VALUE_CHARS_MAX} characters")
    _check_match(charge.match, f"{path}.match")
    _check_amounts(charge, path)
    _check_tiers(charge, path)
    if charge.from_on is not None and charge.until_on is not None and charge.from_on >= charge.until_on:
        raise invalid(f"{path}.until_on", "a promotion ends after the day on which it begins")
    if charge.basis is Basis.FEE:
        if charge.free_minor:
            raise invalid(f"{path}.free_minor", "free volume is of sales; a share of a fee has none")
        if charge.tier_mode is TierMode.MARGINAL:
            raise invalid(
                f"{path}.tier_mode", "a fee does not lie in steps of volume; use the whole movement"
            )


def _check_match(match: Match, path: str) -> None:
    for name in VALUE_FIELDS:
        values: tuple[str, ...] = getattr(match, name)
        if len(set(values)) != len(values):
            raise invalid(f"{path}.{name}", "a value stands there twice")
        for index, value in enumerate(values):
            if not value or len(value) > VALUE_CHARS_MAX or not value.isprintable():
                raise invalid(
                    f"{path}.{name}[{index}]", f"a value has 1 to {VALUE_CHARS_MAX} printable characters"
                )
            if name in _CLOSED and value not in _CLOSED[name]:
                raise invalid(f"{path}.{name}[{index}]", f"one of {', '.join(sorted(_CLOSED[name]))}")
    if not match.kinds:
        raise invalid(f"{path}.kinds", "name the kinds of movements; sales and refunds never cost the same")
    _check_currencies(match.currencies, f"{path}.currencies")
    for index, mcc in enumerate(match.mccs):
        if not _MCC.fullmatch(mcc):
            raise invalid(f"{path}.mccs[{index}]", "four digits of ISO 18245")
    start, end = match.amount_from_minor, match.amount_to_minor
    if end is not None and end <= (start or 0):
        raise invalid(f"{path}.amount_to_minor", "the amounts end above where they begin")
    if (start is not None or end is not None) and not match.currencies:
        raise invalid(f"{path}.currencies", "name the currencies: minor units mean nothing without one")


def _check_amounts(charge: Charge, path: str) -> None:
    for name in ("min_minor", "max_minor", "free_minor"):
        _check_by_currency(getattr(charge, name), charge.match, f"{path}.{name}")
    for code, low in charge.min_minor.items():
        if low > charge.max_minor.get(code, low):
            raise invalid(f"{path}.min_minor.{code}", "the minimum lies above the maximum")


def _check_tiers(charge: Charge, path: str) -> None:
    tiers, named = charge.tiers, charge.match.currencies
    if tiers[0].from_minor:
        raise invalid(f"{path}.tiers[0].from_minor", "the first step begins at 0")
    for index in range(1, len(tiers)):
        if tiers[index].from_minor <= tiers[index - 1].from_minor:
            raise invalid(f"{path}.tiers[{index}].from_minor", "steps ascend")
    if len(tiers) > 1 and not named:
        raise invalid(f"{path}.match.currencies", "name the currencies: steps of volume mean nothing without")
    for index, tier in enumerate(tiers):
        field = f"{path}.tiers[{index}].fixed_minor"
        _check_by_currency(tier.fixed_minor, charge.match, field)
        if tier.rate_e6 or not tier.fixed_minor:
            continue
        if not named:
            raise invalid(f"{path}.match.currencies", "name the currencies: others would pay nothing")
        missing = [code for code in named if code not in tier.fixed_minor]
        if missing:
            raise invalid(field, f"nothing for {', '.join(missing)}, where only fixed parts are charged")


def _check_by_currency(amounts: Mapping[str, int], match: Match, path: str) -> None:
    _check_currencies(amounts, path)
    for code in amounts:
        if match.currencies and code not in match.currencies:
            raise invalid(f"{path}.{code}", "the charge is not for this currency")


def _check_currencies(codes: Iterable[str], path: str) -> None:
    for code in codes:
        try:
            kind = currencies.currency(code).kind
        except InvalidRequest:
            raise invalid(path, f"{code[:VALUE_CHARS_MAX]!r} is no currency of ISO 4217") from None
        if kind is currencies.Kind.UNIT:
            raise invalid(path, f"ISO 4217 gives {code} no minor unit")


def _check_names(charges: tuple[Charge, ...]) -> None:
    """Refuse two payers, or two answers to refunds, under one name: a refund finds its charge by the name."""
    first: dict[str, Charge] = {}
    for index, charge in enumerate(charges):
        other = first.setdefault(charge.name, charge)
        if other.bearer is not charge.bearer:
            raise invalid(f"$.charges[{index}].bearer", f"another bears {charge.name!r} further up")
        if other.on_refund is not charge.on_refund:
            raise invalid(
                f"$.charges[{index}].on_refund", f"refunds treat {charge.name!r} otherwise further up"
            )


def _check_reach(charges: tuple[Charge, ...]) -> None:
    """Refuse a charge that one further up under the same name always comes before."""
    seen: dict[str, list[tuple[int, Charge]]] = {}
    for index, charge in enumerate(charges):
        for place, other in seen.get(charge.name, ()):
            if _covers(other, charge):
                raise invalid(
                    f"$.charges[{index}]", f"never reached: charges[{place}] matches all of it first"
                )
        seen.setdefault(charge.name, []).append((index, charge))


def _covers(first: Charge, later: Charge) -> bool:
    for name in VALUE_FIELDS:
        left, right = getattr(first.match, name), getattr(later.match, name)
        if left and (not right or not set(right) <= set(left)):
            return False
    one, other = first.match, later.match
    if (one.amount_from_minor or 0) > (other.amount_from_minor or 0):
        return False
    if not _ends_no_earlier(one.amount_to_minor, other.amount_to_minor):
        return False
    if first.from_on is not None and (later.from_on is None or first.from_on > later.from_on):
        return False
    return first.until_on is None or (later.until_on is not None and later.until_on <= first.until_on)


def _ends_no_earlier(first: int | None, later: int | None) -> bool:
    return first is None or (later is not None and later <= first)


def _check_bases(charges: tuple[Charge, ...], joined_to: tuple[Charge, ...] = ()) -> None:
    both = (*joined_to, *charges)
    sold = [each.match for each in both if each.bearer is Bearer.MERCHANT and each.basis is Basis.AMOUNT]
    for index, charge in enumerate(charges):
        if charge.basis is Basis.FEE and not any(may_meet(charge.match, match) for match in sold):
            raise invalid(
                f"$.charges[{index}].basis", "a share of the merchant's charges, of which there are none here"
            )
