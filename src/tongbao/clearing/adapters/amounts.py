"""Amounts as files write them, in minor units: whole numbers from text, never a float.

Codes of what is refused: ``amount_malformed``, ``amount_too_precise`` (more decimals than the currency has),
``amount_out_of_range`` (18 digits are the most), ``currency_unknown``, ``currency_without_minor_unit``, ``count_malformed``.
"""

import re
from functools import lru_cache

from tongbao.clearing.adapters.unfit import Unfit
from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest

DIGITS_MAX = 18
COUNT_MAX = 2_000_000_000
_GROUPED = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+")
_CACHED = 16_384


@lru_cache(maxsize=1_024)
def exponent_of(code: str, column: str = "") -> int:
    """Return the decimals of a currency by its code in capitals; raise Unfit."""
    try:
        found = currencies.currency(code)
    except InvalidRequest as error:
        raise Unfit(error.code, "no active code of ISO 4217", column, code) from None
    if found.kind is currencies.Kind.UNIT:
        raise Unfit("currency_without_minor_unit", "ISO 4217 gives no minor unit", column, code)
    return found.exponent


@lru_cache(maxsize=_CACHED)
def minor_of(text: str, exponent: int, column: str = "", *, pads: bool = False) -> int:
    """Return the minor units of an amount in major units: ``19.99``, ``-1,234.5``, ``+3``; raise Unfit.

    ``pads``: decimals past those of the currency may stand if they are zeros, as some channels write a fee as ``0.06000``.
    """
    whole, _, decimals = text.partition(".")
    sign = whole[:1]
    digits = whole[1:] if sign in {"-", "+"} and sign else whole
    if "," in digits and _GROUPED.fullmatch(digits):
        digits = digits.replace(",", "")
    if pads and len(decimals) > exponent:
        kept, extra = decimals[:exponent], decimals[exponent:]
        decimals = kept if not extra.strip("0") else decimals
    joined = digits + decimals
    if not digits or not (joined.isascii() and joined.isdigit()) or text.endswith("."):
        raise Unfit("amount_malformed", "an amount is digits with at most one point", column, text)
    if len(decimals) > exponent:
        raise Unfit("amount_too_precise", f"the currency has {exponent} decimals", column, text)
    return _bounded(joined + "0" * (exponent - len(decimals)), sign == "-", column, text)


@lru_cache(maxsize=_CACHED)
def minor_with_comma(text: str, exponent: int, column: str = "") -> int:
    """Return the minor units of ``1.234,56``; raise Unfit."""
    try:
        return minor_of(text.translate(_SWAPPED), exponent, column)
    except Unfit as error:
        raise Unfit(error.code, error.detail, column, text) from None


@lru_cache(maxsize=_CACHED)
def whole_of(text: str, column: str = "") -> int:
    """Return an amount that is written in minor units: ``1999``, ``-5``; raise Unfit."""
    digits = text[1:] if text[:1] in {"-", "+"} and text else text
    if not (digits.isascii() and digits.isdigit()):
        raise Unfit("amount_malformed", "minor units are a whole number", column, text)
    return _bounded(digits, text[0] == "-", column, text)


def count_of(text: str, column: str = "") -> int:
    """Return how many there are, from 0; ``45`` and ``45.0`` are the same. Raise Unfit."""
    try:
        found = minor_of(text, 0, column, pads=True)
    except Unfit:
        found = -1
    if not 0 <= found <= COUNT_MAX:
        raise Unfit("count_malformed", f"a count is a whole number up to {COUNT_MAX:,}", column, text)
    return found


_SWAPPED = str.maketrans(".,", ",.")


def _bounded(digits: str, is_negative: bool, column: str, text: str) -> int:
    if len(digits) > DIGITS_MAX and len(digits.lstrip("0")) > DIGITS_MAX:
        raise Unfit("amount_out_of_range", f"an amount has at most {DIGITS_MAX} digits", column, text)
    return -int(digits) if is_negative else int(digits)
