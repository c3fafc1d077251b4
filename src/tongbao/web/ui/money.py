"""Amounts, shares and instants as text of one language, through CLDR (Babel) and no float for money.

Amounts are minor units with an ISO 4217 code; a minus is a true minus, as wide as a digit. Instants are UTC, year first.
"""

import re
from datetime import datetime
from functools import lru_cache

from babel import Locale
from babel.numbers import format_compact_decimal, format_decimal

from tongbao.core import amount_text, currencies
from tongbao.core.errors import AppError

LOCALES = {"en": "en_GB", "zh-CN": "zh_Hans_CN"}
STYLES = ("instant", "minute", "day", "time")
CACHE_MAX = 16
_TOUCHING = re.compile(r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")


def amount(minor: int, currency: str, language: str, sign: bool = False) -> str:
    """Return minor units as the language writes them: 1280 CNY is ``¥12.80``.

    ``sign`` puts a plus before what is positive. A code that is no currency stands behind its minor units, so that
    no page fails for it.
    """
    try:
        written = amount_text.format_minor(minor, currency, _money_locale(currency, language))
        # CLDR keeps letters and digits apart; Babel does not.
        written = _TOUCHING.sub("\u00a0", written)
    except AppError:
        written = f"{minor:,} {currency}"
    return ("+" if sign and minor > 0 else "") + written.replace("-", "−")


def plain_amount(minor: int, currency: str) -> str:
    """Return minor units as a machine reads them: no mark, no separators, the decimals of the currency."""
    exponent = currencies.currency(currency).exponent
    sign, digits = ("-" if minor < 0 else ""), str(abs(minor)).rjust(exponent + 1, "0")
    return sign + (f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits)


def count(number: float, language: str) -> str:
    """Return a number with the language's separators."""
    return str(format_decimal(number, locale=_locale(language))).replace("-", "−")


def compact(number: float, language: str) -> str:
    """Return a large number in few characters: 12.3K, 1.2万."""
    return str(format_compact_decimal(number, fraction_digits=1, locale=_locale(language))).replace("-", "−")


def percent(share: float, places: int = 1, sign: bool = False) -> str:
    """Return a share in [0, 1] in percent; with ``sign`` a change of shares, always with its sign."""
    return (f"{share * 100:+.{places}f}%" if sign else f"{share * 100:.{places}f}%").replace("-", "−")


def instant(at: datetime, style: str = "instant") -> str:
    """Return an instant in UTC: to the second, to the minute, its day, or its time of day.

    Raises ValueError for a style that is none of ``STYLES``.
    """
    forms = {
        "instant": "%Y-%m-%d %H:%M:%S",
        "minute": "%Y-%m-%d %H:%M",
        "day": "%Y-%m-%d",
        "time": "%H:%M:%S",
    }
    if style not in forms:
        raise ValueError(f"an instant is written as one of {', '.join(forms)}")
    return at.strftime(forms[style])


@lru_cache(maxsize=CACHE_MAX)
def _locale(language: str) -> Locale:
    return Locale.parse(LOCALES[language])


def _money_locale(currency: str, language: str) -> str:
    # English of Hong Kong would write HK$, of Britain CN¥: whoever reads yuan knows the mark without the country.
    return "zh_CN" if currency == "CNY" else LOCALES[language]
