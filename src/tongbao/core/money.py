"""Money: a whole number of minor units and a currency, and the only arithmetic on it.

Invariants: an amount is never a float and always fits the database's BIGINT; two currencies never meet in one
sum; wherever digits must be dropped the caller names the rounding; dividing never loses or makes a unit.
Minor units follow ISO 4217 (``core.currencies``): 1234 is 12.34 yuan, 1234 yen or 1.234 dinars.

Every refusal is an InvalidRequest: ``amount_not_exact`` (a float, a bool, infinity), ``amount_malformed``,
``amount_too_precise``, ``amount_out_of_range``, ``currency_unknown``, ``currency_without_minor_unit``,
``currency_mismatch``, ``rate_not_exact``, ``weights_invalid``, ``locale_unknown``.
"""

import decimal
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TypedDict

from tongbao.core import amount_text, currencies
from tongbao.core.errors import InvalidRequest

AMOUNT_LIMIT = 1 << 63
AMOUNT_DIGITS_MAX = 19
PARTS_MAX = 100_000
TEXT_MAX = 64
_PLAIN_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
# 19 digits of amount times a rate of 80 digits. The ambient context is never used: a caller may have lowered it.
_ROUNDING = decimal.Context(prec=100, traps=[decimal.InvalidOperation, decimal.Overflow])
_EXACT = decimal.Context(prec=100, traps=[decimal.InvalidOperation, decimal.Overflow, decimal.Inexact])


class Rounding(StrEnum):
    """How a result between two minor units is settled; the values are those of ``decimal``."""

    HALF_EVEN = decimal.ROUND_HALF_EVEN
    HALF_UP = decimal.ROUND_HALF_UP
    HALF_DOWN = decimal.ROUND_HALF_DOWN
    UP = decimal.ROUND_UP  # away from zero
    DOWN = decimal.ROUND_DOWN  # towards zero
    CEILING = decimal.ROUND_CEILING
    FLOOR = decimal.ROUND_FLOOR


class MoneyJson(TypedDict):
    """The form of money in JSON: minor units and an alphabetic code."""

    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Money:
    """``amount_minor`` minor units of ``currency``; negative where a difference is meant.

    Equality compares both fields; order and arithmetic raise InvalidRequest ``currency_mismatch`` for two
    currencies and ``amount_out_of_range`` for a result outside (-2**63, 2**63).
    """

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.amount_minor) is not int:
            raise InvalidRequest("amount_not_exact", "an amount is a whole number of minor units")
        if not -AMOUNT_LIMIT < self.amount_minor < AMOUNT_LIMIT:
            raise _out_of_range(self.currency)
        if currencies.currency(self.currency).kind is currencies.Kind.UNIT:
            raise InvalidRequest(
                "currency_without_minor_unit", "ISO 4217 gives no minor unit", currency=self.currency
            )

    @classmethod
    def of_major(cls, value: Decimal | str | int, currency: str) -> "Money":
        """Return ``value`` major units exactly: ``of_major("12.34", "CNY")`` is 1234 fen.

        Text is ASCII digits with an optional minus and point. More decimals than the currency has are refused
        even where they are zeros, since ``1.000`` dollars is a thousand to half of the world.
        """
        exponent = currencies.currency(currency).exponent
        number = _exact_decimal(value)
        if number and number.adjusted() > AMOUNT_DIGITS_MAX:
            raise _out_of_range(currency)
        if -int(number.as_tuple().exponent) > exponent:
            raise InvalidRequest(
                "amount_too_precise", "more decimals than the currency has", currency=currency
            )
        return cls(int(number.scaleb(exponent, _EXACT)), currency)

    @property
    def major(self) -> Decimal:
        """The amount in major units, with exactly the decimals of the currency."""
        return Decimal(self.amount_minor).scaleb(-currencies.currency(self.currency).exponent, _EXACT)

    def times(self, rate: Decimal, rounding: Rounding) -> "Money":
        """Return the amount times a finite ``rate`` of at most 80 digits, computed exactly, rounded once."""
        if type(rate) is not Decimal or not rate.is_finite():
            raise InvalidRequest("rate_not_exact", "a rate is a finite Decimal")
        try:
            product = _EXACT.multiply(Decimal(self.amount_minor), rate)
        except decimal.DecimalException:
            raise InvalidRequest("rate_not_exact", "the rate has too many digits") from None
        if product and product.adjusted() > AMOUNT_DIGITS_MAX:
            raise _out_of_range(self.currency)
        return Money(int(product.quantize(Decimal(1), rounding, _ROUNDING)), self.currency)

    def bps(self, bps: int, rounding: Rounding) -> "Money":
        """Return ``bps`` hundredths of a percent of the amount: 10,000 is all of it."""
        if type(bps) is not int:
            raise InvalidRequest("rate_not_exact", "basis points are a whole number")
        return self.times(Decimal(f"{bps}E-4"), rounding)

    def allocate(self, weights: Sequence[int]) -> tuple["Money", ...]:
        """Return one part per weight, in order, that sum to exactly this amount.

        Largest remainder (Hamilton's method): each part is its exact share rounded towards zero, and the units
        left over go one each to the largest remainders, the earlier part first where they are equal. So every
        part lies within one unit of its share, equal input gives equal output, a weight of 0 gets nothing, and
        a negative amount splits like its opposite. Weights are whole, not negative and not all zero; at most
        ``PARTS_MAX`` of them.
        """
        if not 0 < len(weights) <= PARTS_MAX:
            raise InvalidRequest("weights_invalid", f"from 1 to {PARTS_MAX} weights", count=len(weights))
        if any(type(weight) is not int or weight < 0 for weight in weights) or not any(weights):
            raise InvalidRequest("weights_invalid", "weights are whole, not negative and not all zero")
        total, sign = sum(weights), -1 if self.amount_minor < 0 else 1
        shares = [divmod(abs(self.amount_minor) * weight, total) for weight in weights]
        parts = [floor for floor, _ in shares]
        order = sorted(range(len(shares)), key=lambda index: (-shares[index][1], index))
        for index in order[: abs(self.amount_minor) - sum(parts)]:
            parts[index] += 1
        return tuple(Money(sign * part, self.currency) for part in parts)

    def split(self, count: int) -> tuple["Money", ...]:
        """Return ``count`` parts that differ by at most one unit, the larger ones first."""
        if type(count) is not int or not 0 < count <= PARTS_MAX:
            raise InvalidRequest("weights_invalid", f"from 1 to {PARTS_MAX} parts", count=count)
        return self.allocate([1] * count)

    def __add__(self, other: "Money") -> "Money":
        return Money(self.amount_minor + self._amount_of(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.amount_minor - self._amount_of(other), self.currency)

    def __mul__(self, count: int) -> "Money":
        if type(count) is not int:
            return NotImplemented
        return Money(self.amount_minor * count, self.currency)

    __rmul__ = __mul__

    def __neg__(self) -> "Money":
        return Money(-self.amount_minor, self.currency)

    def __abs__(self) -> "Money":
        return Money(abs(self.amount_minor), self.currency)

    def __bool__(self) -> bool:
        return self.amount_minor != 0

    def __lt__(self, other: "Money") -> bool:
        return self.amount_minor < self._amount_of(other)

    def __le__(self, other: "Money") -> bool:
        return self.amount_minor <= self._amount_of(other)

    def __gt__(self, other: "Money") -> bool:
        return self.amount_minor > self._amount_of(other)

    def __ge__(self, other: "Money") -> bool:
        return self.amount_minor >= self._amount_of(other)

    def __str__(self) -> str:
        return f"{self.major} {self.currency}"

    def _amount_of(self, other: object) -> int:
        if not isinstance(other, Money):
            raise TypeError(f"money meets only money, not {type(other).__name__}")
        if other.currency != self.currency:
            raise InvalidRequest(
                "currency_mismatch", "two currencies in one sum", left=self.currency, right=other.currency
            )
        return other.amount_minor


def zero(currency: str) -> Money:
    """Return no money of a currency."""
    return Money(0, currency)


def sum_money(parts: Iterable[Money], currency: str) -> Money:
    """Return the sum of ``parts``, all of ``currency``, which also names the sum of no parts.

    Only the result has to be in range, so the order of large credits and debits does not matter.
    """
    none = zero(currency)
    return Money(sum(none._amount_of(part) for part in parts), currency)


def divided(numerator: int, denominator: int, rounding: Rounding) -> int:
    """Return ``numerator / denominator`` as a whole number; the denominator is positive."""
    floor, rest = divmod(numerator, denominator)
    if not rest:
        return floor
    away = floor if numerator < 0 else floor + 1
    toward = floor + 1 if numerator < 0 else floor
    match rounding:
        case Rounding.FLOOR:
            return floor
        case Rounding.CEILING:
            return floor + 1
        case Rounding.UP:
            return away
        case Rounding.DOWN:
            return toward
    if 2 * rest != denominator:
        return floor + (2 * rest > denominator)
    if rounding is Rounding.HALF_EVEN:
        return floor + (floor & 1)
    return away if rounding is Rounding.HALF_UP else toward


def to_json(money: Money) -> MoneyJson:
    """Return the JSON form, ``{"amount": 1234, "currency": "CNY"}``."""
    return {"amount": money.amount_minor, "currency": money.currency}


def from_json(data: object) -> Money:
    """Read back what ``to_json`` wrote; raise InvalidRequest ``amount_malformed`` for any other form."""
    if not isinstance(data, dict) or data.keys() != {"amount", "currency"}:
        raise InvalidRequest("amount_malformed", "money is an object of amount and currency")
    amount, code = data["amount"], data["currency"]
    if not isinstance(code, str):
        raise InvalidRequest("amount_malformed", "a currency is text")
    return Money(amount, code)


def format_money(money: Money, locale: str = amount_text.DEFAULT_LOCALE) -> str:
    """Return the amount as a reader of ``locale`` writes it, with the currency's mark and all its decimals."""
    return amount_text.format_minor(money.amount_minor, money.currency, locale)


def parse_money(text: str, currency: str, locale: str = amount_text.DEFAULT_LOCALE) -> Money:
    """Read what a person of ``locale`` typed; raise InvalidRequest rather than guess.

    Undoes ``format_money`` exactly. Accepts the currency's code or mark on one side, or none; see
    ``core.amount_text`` for what is refused.
    """
    return Money(amount_text.parse_minor(text, currency, locale), currency)


def _exact_decimal(value: object) -> Decimal:
    if isinstance(value, str):
        if len(value) > TEXT_MAX or not _PLAIN_DECIMAL.fullmatch(value):
            raise InvalidRequest("amount_malformed", "not a plain decimal number")
        return Decimal(value)
    if type(value) is int:
        return Decimal(value)
    if isinstance(value, Decimal) and value.is_finite():
        return value
    raise InvalidRequest("amount_not_exact", "an amount is text, a whole number or a finite Decimal")


def _out_of_range(currency: str) -> InvalidRequest:
    return InvalidRequest(
        "amount_out_of_range", "the amount exceeds 63 bits of minor units", currency=currency
    )
