"""The reference rates of the European Central Bank, as it publishes them: what a heading and each line after it say. Pure.

Source: ECB, "Euro foreign exchange reference rates", ``eurofxref-hist.csv`` and ``eurofxref.csv``: a heading ``Date,USD,JPY,…``,
then a line a day, the newest first; what one euro is in each currency, ``N/A`` where there was none, and a comma at the end.
Days are 2026-10-30, or 30 October 2026 in the file of one day.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from tongbao.core import currencies
from tongbao.core.errors import InvalidRequest
from tongbao.fx.schema import PIVOT, PublishedRate

COLUMNS_MAX = 200
DIGITS_MAX = 20
FIRST_ON = date(1999, 1, 4)
"""The first day for which there are rates."""
NOT_AVAILABLE = frozenset({"N/A", "", "-"})
# Published by the bank until they were replaced; list three of ISO 4217 holds them.
WITHDRAWN = frozenset({"BGN", "CYP", "EEK", "HRK", "LTL", "LVL", "MTL", "ROL", "SIT", "SKK", "TRL"})
_RATE = re.compile(r"[0-9]+(\.[0-9]+)?")
_CODE = re.compile(r"[A-Z]{3}")


class Heading(NamedTuple):
    """The columns of a file after the day: codes in their order, and which of them are left out as withdrawn."""

    codes: tuple[str, ...]
    withdrawn: tuple[str, ...]


class Day(NamedTuple):
    """The rates of one line, and how many of its cells have none."""

    published_on: date
    rates: tuple[PublishedRate, ...]
    missing_count: int


def heading(cells: Sequence[str]) -> Heading:
    """Read the first line of a file.

    Raises InvalidRequest ``rates_file_unreadable`` for what is no such file, ``rates_currency_unknown`` for a column of a
    currency that ISO 4217 does not know, now or before, ``rates_currency_twice``.
    """
    named = _trimmed(cells)
    codes = tuple(named[1:])
    if not named or named[0].lower() != "date" or not 0 < len(codes) <= COLUMNS_MAX:
        raise InvalidRequest(
            "rates_file_unreadable", "a file of reference rates begins with a line Date,USD,JPY,…"
        )
    for place, code in enumerate(codes, start=2):
        if code not in WITHDRAWN and not _is_known(code):
            raise InvalidRequest(
                "rates_currency_unknown", f"column {place} is {code[:20]!r}, which ISO 4217 does not know"
            )
    if len(set(codes)) < len(codes) or PIVOT in codes:
        raise InvalidRequest("rates_currency_twice", f"a column a currency, and none for {PIVOT}")
    withdrawn = tuple(code for code in codes if code in WITHDRAWN and not _is_known(code))
    return Heading(codes, withdrawn)


def day(of: Heading, cells: Sequence[str]) -> Day:
    """Read a line after the heading.

    Raises InvalidRequest ``rates_line_unreadable`` for too many or too few cells, ``rates_day_invalid``, ``rate_invalid``
    for a cell that is no positive decimal number of at most ``DIGITS_MAX`` digits.
    """
    found = _trimmed(cells)
    if len(found) != len(of.codes) + 1:
        raise InvalidRequest(
            "rates_line_unreadable", f"{len(found)} cells instead of {len(of.codes) + 1}, the day among them"
        )
    on = _day(found[0])
    rates, missing = [], 0
    for code, text in zip(of.codes, found[1:], strict=True):
        if text in NOT_AVAILABLE:
            missing += 1
        elif code not in of.withdrawn:
            rates.append(PublishedRate(PIVOT, code, on, _rate(code, text)))
    return Day(on, tuple(rates), missing)


def _day(text: str) -> date:
    try:
        on = date.fromisoformat(text)
    except ValueError:
        try:
            on = datetime.strptime(f"{text} +0000", "%d %B %Y %z").date()
        except ValueError:
            raise InvalidRequest("rates_day_invalid", f"{text[:40]!r} is no day") from None
    if on < FIRST_ON:
        raise InvalidRequest("rates_day_invalid", f"{on} lies before the first rates, of {FIRST_ON}")
    return on


def _rate(code: str, text: str) -> Decimal:
    if not _RATE.fullmatch(text) or len(text) > DIGITS_MAX + 1 or not Decimal(text):
        raise InvalidRequest("rate_invalid", f"{code} {text[:40]!r} is no positive decimal number")
    return Decimal(text)


def _is_known(code: str) -> bool:
    if not _CODE.fullmatch(code):
        return False
    try:
        return currencies.currency(code).kind is currencies.Kind.MONEY
    except InvalidRequest:
        return False


def _trimmed(cells: Sequence[str]) -> list[str]:
    """Return cells without the blanks around them, and without the empty one behind the last comma."""
    found = [cell.strip() for cell in cells]
    return found[:-1] if found and not found[-1] else found
