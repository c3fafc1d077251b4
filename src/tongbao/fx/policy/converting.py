"""An amount told in another currency: whole minor units times an exact fraction, rounded once, by a rounding that is named.

Pure. What two rates come to is a fraction that mostly is no decimal number, so the quotient is one of whole numbers.
"""

from tongbao.core import currencies
from tongbao.core.money import Money, Rounding, divided
from tongbao.fx.schema import Conversion, Rate


def converted(amount: Money, rate: Rate, rounding: Rounding) -> Conversion:
    """Return what an amount of ``rate.base`` is in ``rate.quote``.

    Raises InvalidRequest ``currency_mismatch`` for an amount of another currency, ``amount_out_of_range``.
    """
    # Money compares itself with money of its own currency only.
    _ = amount - Money(0, rate.base)
    shift = currencies.currency(rate.quote).exponent - currencies.currency(rate.base).exponent
    numerator = amount.amount_minor * rate.numerator * 10 ** max(shift, 0)
    denominator = rate.denominator * 10 ** max(-shift, 0)
    result = Money(divided(numerator, denominator, rounding), rate.quote)
    return Conversion(
        amount_minor=amount.amount_minor,
        converted_minor=result.amount_minor,
        rounding=rounding.name.lower(),
        is_exact=numerator % denominator == 0,
        rate=rate,
    )
