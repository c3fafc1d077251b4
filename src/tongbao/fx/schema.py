"""What this room speaks of: published rates, what two of them come to, conversions, and files taken in.

A rate says how many units of ``quote`` one unit of ``base`` is, in major units: EUR/USD 1.1172. Days are those for which the
source published, by its own calendar.
"""

from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

import msgspec

ECB = "ecb"
PIVOT = "EUR"
"""The base of every rate of the European Central Bank; any other pair is made of two of them."""
SOURCES = (ECB,)
AGE_DAYS_MAX = 7
"""So old a rate may be unless somebody says otherwise: the longest pause of the source, around Christmas or Easter, is five days."""
AGE_DAYS_LIMIT = 36_525
REFUSED_SHOWN_MAX = 100
SHOWN_DECIMALS_MAX = 12
SHOWN_DIGITS = 8


class PublishedRate(msgspec.Struct, frozen=True):
    """One rate as a source published it."""

    base: str
    quote: str
    published_on: date
    rate: Decimal


class KnownRate(msgspec.Struct, frozen=True, kw_only=True):
    """A published rate as it is kept: its newest revision, when it came, and the digest of the file that brought it."""

    source: str
    base: str
    quote: str
    published_on: date
    revision: int
    rate: Decimal
    imported_at: datetime
    file_digest: str


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """What one unit of ``base`` is in ``quote``: exactly ``numerator / denominator``.

    ``published_on``: the day for which every rate behind it was published; ``asked_on``: the day that was asked for.
    ``legs``: the published rates that it is made of: none (a currency in itself), one, or two through ``PIVOT``.
    """

    source: str
    base: str
    quote: str
    asked_on: date
    published_on: date
    numerator: int
    denominator: int
    legs: tuple[KnownRate, ...] = ()

    @property
    def age_days(self) -> int:
        """How many days before the day asked for it was published."""
        return (self.asked_on - self.published_on).days

    @property
    def text(self) -> str:
        """The rate for people: as it was published, or what two come to, to ``SHOWN_DIGITS`` digits, half to even."""
        if len(self.legs) == 1 and self.base == PIVOT:
            return f"{self.legs[0].rate:f}"
        exact = Fraction(self.numerator, self.denominator)
        size = len(str(self.numerator)) - len(str(self.denominator))
        before = size + (exact >= Fraction(10) ** size)
        decimals = min(max(SHOWN_DIGITS - before, 0), SHOWN_DECIMALS_MAX)
        return f"{Decimal(round(exact * 10**decimals)).scaleb(-decimals):f}"


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """An amount told in another currency, minor units, rounded once by a named rounding; a quotation that binds nobody."""

    amount_minor: int
    converted_minor: int
    rounding: str
    is_exact: bool
    rate: Rate


class RefusedLine(msgspec.Struct, frozen=True):
    """A line of a file that was not taken in, by its number (the heading is 1), with why."""

    number: int
    code: str
    detail: str


class ImportedFile(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a file. ``is_repeat``: the same bytes had been taken in before, and nothing was done.

    ``corrected_count``: rates that were known otherwise, now new revisions; ``missing_count``: cells without a rate (N/A).
    ``withdrawn``: columns left out, of currencies that are no legal tender any more. ``refused``: the first ``REFUSED_SHOWN_MAX``.
    """

    source: str
    digest: str
    line_count: int = 0
    new_count: int = 0
    same_count: int = 0
    corrected_count: int = 0
    missing_count: int = 0
    refused_count: int = 0
    refused: tuple[RefusedLine, ...] = ()
    withdrawn: tuple[str, ...] = ()
    first_on: date | None = None
    last_on: date | None = None
    is_repeat: bool = False
