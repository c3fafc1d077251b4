"""Parts of a fee and their sums: the parts always make the whole, when it is charged and when it goes back."""

from collections.abc import Iterable, Mapping, Sequence

from tongbao.clearing.schema.fees import Bearer, FeePart, Priced
from tongbao.core.errors import InvalidRequest, InvariantBroken
from tongbao.core.money import AMOUNT_LIMIT

NOTHING = Priced()
_MERCHANT = Bearer.MERCHANT
_HOUSE = Bearer.HOUSE
_Key = tuple[str, Bearer, str, int]
"""By what parts are summed: name, bearer, and the name and rate of the tax."""


def priced_of(parts: Sequence[FeePart]) -> Priced:
    """Return parts with their sums; ``tax_minor`` is the tax in what the merchant bears.

    Raises InvalidRequest ``amount_out_of_range`` for a sum of 63 bits or more.
    """
    if not parts:
        return NOTHING
    merchant = house = agent = tax = 0
    for part in parts:
        bearer = part.bearer
        if bearer is _MERCHANT:
            merchant += part.amount_minor
            tax += part.tax_minor
        elif bearer is _HOUSE:
            house += part.amount_minor
        else:
            agent += part.amount_minor
    if max(merchant, house, agent) >= AMOUNT_LIMIT:
        raise InvalidRequest("amount_out_of_range", "the charges exceed 63 bits of minor units")
    return Priced(tuple(parts), merchant, house, agent, tax)


def sum_priced(several: Iterable[Priced]) -> Priced:
    """Return the sum of what several movements cost, or of what several refunds gave back.

    One part a name, bearer and tax: what was charged at another rate of tax stays told apart.
    """
    sums: dict[_Key, tuple[int, int]] = {}
    for priced in several:
        for part in priced.parts:
            key = _key(part)
            amount, tax = sums.get(key, (0, 0))
            sums[key] = amount + part.amount_minor, tax + part.tax_minor
    return priced_of(
        [
            FeePart(name, bearer, *value, tax_name, tax_e6)
            for (name, bearer, tax_name, tax_e6), value in sums.items()
            if value != (0, 0)
        ]
    )


def given_back(
    paid: Priced, given_before: Priced, share: tuple[int, int], returned: Mapping[str, bool]
) -> Priced:
    """Return what is still to be given back once ``share`` (so much, of so much) of a payment went back.

    ``returned``: by the name of a charge whether it goes back. Raises InvariantBroken ``fee_part_unknown``.
    """
    whole, original = share
    given = {_key(part): part for part in given_before.parts}
    parts = []
    for part in paid.parts:
        if part.name not in returned:
            raise InvariantBroken("fee_part_unknown", "a part was not priced by this list", name=part.name)
        if not returned[part.name]:
            continue
        before = given.get(_key(part))
        amount = -(part.amount_minor * whole // original) - (before.amount_minor if before else 0)
        tax = -(part.tax_minor * whole // original) - (before.tax_minor if before else 0)
        if amount or tax:
            parts.append(FeePart(part.name, part.bearer, amount, tax, part.tax_name, part.tax_e6))
    return priced_of(parts)


def _key(part: FeePart) -> _Key:
    return part.name, part.bearer, part.tax_name, part.tax_e6
