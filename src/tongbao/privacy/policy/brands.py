"""Issuer ranges: whose card a number is, how long such numbers are, and the Luhn check.

Sources: ISO/IEC 7812-1 (structure and check digit) and the ranges that the networks publish to acquirers, as of
2026. Ranges that only some processors know (Maestro, Mir, local debit) count as unknown: those cards are
accepted, but a bare number in a text is not taken for one of them.
"""

from typing import NamedTuple

from tongbao.privacy.schema import Brand

DIGITS_MIN = 13
DIGITS_MAX = 19
PREFIX_DIGITS_MAX = 4
"""How many digits tell the range of a number."""
_FROM_16 = frozenset({16, 17, 18, 19})
_FROM_14 = _FROM_16 | {14, 15}


class IssuerRange(NamedTuple):
    """Numbers that begin with ``first`` … ``last`` (texts of one length) and how many digits they have."""

    brand: Brand
    first: str
    last: str
    lengths: frozenset[int]


RANGES: tuple[IssuerRange, ...] = (
    IssuerRange(Brand.VISA, "4", "4", frozenset({13, 16, 19})),
    IssuerRange(Brand.MASTERCARD, "51", "55", frozenset({16})),
    IssuerRange(Brand.MASTERCARD, "2221", "2720", frozenset({16})),
    IssuerRange(Brand.AMEX, "34", "34", frozenset({15})),
    IssuerRange(Brand.AMEX, "37", "37", frozenset({15})),
    IssuerRange(Brand.DISCOVER, "6011", "6011", _FROM_16),
    IssuerRange(Brand.DISCOVER, "644", "659", _FROM_16),
    IssuerRange(Brand.JCB, "3528", "3589", _FROM_16),
    IssuerRange(Brand.DINERS, "300", "305", _FROM_14),
    IssuerRange(Brand.DINERS, "3095", "3095", _FROM_14),
    IssuerRange(Brand.DINERS, "36", "36", _FROM_14),
    IssuerRange(Brand.DINERS, "38", "39", _FROM_14),
    # Some of 622126 … 622925 also run over Discover's network; issuer and brand are UnionPay's.
    IssuerRange(Brand.UNIONPAY, "62", "62", _FROM_16),
    IssuerRange(Brand.UNIONPAY, "8100", "8171", _FROM_16),
)
CVC_DIGITS = {Brand.AMEX: frozenset({4}), Brand.UNKNOWN: frozenset({3, 4})}
CVC_DIGITS_USUAL = frozenset({3})
_UNKNOWN_LENGTHS = frozenset(range(DIGITS_MIN, DIGITS_MAX + 1))
_BY_FIRST_DIGIT = {
    digit: [one for one in RANGES if one.first[0] <= digit <= one.last[0]] for digit in "0123456789"
}
_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")


def range_of(number: str) -> IssuerRange | None:
    """Return the range in which a number of ASCII digits lies, whatever its length; None where it is unknown."""
    for one in _BY_FIRST_DIGIT.get(number[:1], ()):
        if one.first <= number[: len(one.first)] <= one.last:
            return one
    return None


def brand_of(number: str) -> Brand:
    """Return the brand by the first digits."""
    found = range_of(number)
    return Brand.UNKNOWN if found is None else found.brand


def lengths_of(number: str) -> frozenset[int]:
    """Return how many digits a number that begins like this one may have."""
    found = range_of(number)
    return _UNKNOWN_LENGTHS if found is None else found.lengths


def is_luhn_valid(number: str) -> bool:
    """Return whether the last of the ASCII digits checks the others (ISO/IEC 7812-1, annex B)."""
    digits = number.encode("ascii")
    total = sum(digits[::-2]) + sum(digits[-2::-2].translate(_DOUBLED)) - 48 * len(digits)
    return total % 10 == 0
