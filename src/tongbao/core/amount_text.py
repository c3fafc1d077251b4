"""Amounts as people write them: minor units to text and back, by locale, through CLDR (Babel) and no float.

Written: the locale's pattern, separators and mark, the decimals of ISO 4217 (CLDR's own differ for a dozen
currencies) and Western digits everywhere, so that a receipt, a log and a bank's file show the same figure.

Read: strictly. The separators must be those of the locale, groups must have its sizes (12,34,567 in India), and
nothing may be left over. Refused are two marks or signs, another currency's mark, a plus, an exponent,
leading zeros (``0,123`` is a European fraction, not 123), digits of two scripts, and text that two conventions
of the locale read differently. A trailing minus counts only where the locale itself writes one. Full-width forms, ￥ and ¥, any script's decimal digits, invisible direction marks
and the various spaces are taken for their plain forms.
"""

import copy
import re
import unicodedata
from decimal import Context, Decimal, localcontext
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.numbers import get_currency_symbol, get_decimal_symbol, get_group_symbol

from tongbao.core.currencies import currency as currency_row
from tongbao.core.errors import InvalidRequest

DEFAULT_LOCALE = "zh_CN"
TEXT_MAX = 64
CACHE_MAX = 1_024
_LATIN = "latn"
_CONTEXT = Context(prec=40)
# Marks that people type whatever the locale prints; the caller has said which currency is meant.
_SIGNS = {"CNY": ("¥", "元"), "JPY": ("¥", "円")}
_PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | str.maketrans(
    "\uffe5\u3000\u00a0\u202f\u2009\u2212\u2019", "¥    -'", "\u200e\u200f\u061c"
)


def format_minor(amount_minor: int, currency: str, locale: str) -> str:
    """Return ``amount_minor`` minor units as ``locale`` writes them; raise InvalidRequest ``locale_unknown``."""
    exponent = currency_row(currency).exponent
    place = _place(locale)
    pattern = copy.copy(place.currency_formats["standard"])
    pattern.frac_prec = (exponent, exponent)
    # Babel computes in the ambient context, whose precision is the caller's.
    with localcontext(_CONTEXT):
        amount = Decimal(amount_minor).scaleb(-exponent)
        return str(pattern.apply(amount, place, currency=currency, currency_digits=False))


def parse_minor(text: str, currency: str, locale: str) -> int:
    """Return the minor units that ``text`` means in ``locale``.

    Raises InvalidRequest ``amount_malformed``, ``amount_too_precise`` or ``locale_unknown``; the text itself is
    not repeated in the error, since a person may have typed anything.
    """
    exponent = currency_row(currency).exponent
    if len(text) > TEXT_MAX:
        raise _malformed(currency, locale)
    frame = _frame(currency, locale).fullmatch(_plain_digits(_plain(text).strip()))
    if frame is None or (frame["head"] and frame["tail"]):
        raise _malformed(currency, locale)
    signs = frame["sign"] + frame["inner"] + frame["outer"]
    if len(signs) > 1:
        raise _malformed(currency, locale)
    readings = {
        (re.sub(r"[^0-9]", "", match["whole"]), match["fraction"] or "")
        for convention in _conventions(locale)
        if (match := convention.fullmatch(frame["number"]))
    }
    if len(readings) != 1:
        raise _malformed(currency, locale)
    whole, fraction = readings.pop()
    if len(fraction) > exponent:
        raise InvalidRequest("amount_too_precise", "more decimals than the currency has", currency=currency)
    minor = int(whole + fraction.ljust(exponent, "0"))
    return -minor if signs else minor


@lru_cache(maxsize=CACHE_MAX)
def _frame(currency: str, locale: str) -> re.Pattern[str]:
    """Return the pattern of a whole text: sign, mark, sign, number, mark, each but the number optional."""
    place = _place(locale)
    symbol = get_currency_symbol(currency, place)
    outer = "-?" if "-" in place.currency_formats["standard"].suffix[1] else ""
    marks = {currency, _plain(symbol), *_SIGNS.get(currency, ())}
    mark = "|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True))
    return re.compile(
        rf"(?P<sign>-?) ?(?P<head>(?:{mark})?) ?(?P<inner>-?) ?"
        rf"(?P<number>[0-9](?:.*?[0-9])?) ?(?P<tail>(?:{mark})?)(?P<outer>{outer})"
    )


@lru_cache(maxsize=CACHE_MAX)
def _conventions(locale: str) -> tuple[re.Pattern[str], ...]:
    """Return the ways to write a number in ``locale``: with Western separators and with the native ones."""
    place = _place(locale)
    last, others = place.currency_formats["standard"].grouping
    found = []
    for system in dict.fromkeys((_LATIN, place.default_numbering_system)):
        if system not in place.number_symbols:
            continue
        group = re.escape(_plain(get_group_symbol(place, numbering_system=system)))
        point = re.escape(_plain(get_decimal_symbol(place, numbering_system=system)))
        grouped = rf"[1-9][0-9]{{0,{others - 1}}}(?:{group}[0-9]{{{others}}})*{group}[0-9]{{{last}}}"
        found.append(re.compile(rf"(?P<whole>0|[1-9][0-9]*|{grouped})(?:{point}(?P<fraction>[0-9]+))?"))
    return tuple(found)


@lru_cache(maxsize=CACHE_MAX)
def _place(locale: str) -> Locale:
    try:
        return Locale.parse(locale.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        raise InvalidRequest("locale_unknown", "no such locale in CLDR", locale=locale[:TEXT_MAX]) from None


def _plain(text: str) -> str:
    return text.translate(_PLAIN)


def _plain_digits(text: str) -> str:
    """Return ``text`` with the decimal digits of one script as ASCII, or nothing where it mixes two scripts."""
    values = {char: unicodedata.decimal(char, None) for char in text}
    zeros = {ord(char) - value for char, value in values.items() if value is not None}
    if len(zeros) != 1:
        return "" if zeros else text
    return "".join(char if values[char] is None else str(values[char]) for char in text)


def _malformed(currency: str, locale: str) -> InvalidRequest:
    return InvalidRequest(
        "amount_malformed", "not an amount of this locale", currency=currency, locale=locale
    )
