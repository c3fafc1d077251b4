"""What the rates of one day come to for a pair: itself, one published rate, or two through the euro. Exact, and pure."""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction

from tongbao.core import currencies
from tongbao.core.errors import Conflict, InvalidRequest, NotFound
from tongbao.fx.schema import AGE_DAYS_LIMIT, PIVOT, SOURCES, KnownRate, Rate


def check(source: str, base: str, quote: str) -> None:
    """Raise InvalidRequest ``rate_source_unknown``, ``currency_unknown``, ``currency_without_minor_unit``."""
    if source not in SOURCES:
        raise InvalidRequest("rate_source_unknown", f"rates come from {', '.join(SOURCES)}", param="source")
    for code in (base, quote):
        if currencies.currency(code).kind is currencies.Kind.UNIT:
            raise InvalidRequest(
                "currency_without_minor_unit", f"ISO 4217 gives {code} no minor unit", currency=code
            )


def check_day(asked_on: date, today: date) -> None:
    """Raise InvalidRequest ``rate_in_future``: what a currency will be worth nobody knows."""
    if asked_on > today:
        raise InvalidRequest("rate_in_future", f"{asked_on} is still to come: ask for {today} or before")


def legs_of(base: str, quote: str) -> tuple[str, ...]:
    """Return the currencies whose rates against the euro a pair is made of: none, one or two."""
    return tuple(code for code in (base, quote) if code != PIVOT) if base != quote else ()


def crossed(source: str, pair: tuple[str, str], asked_on: date, legs: Sequence[KnownRate]) -> Rate:
    """Return what the rates of one day come to for a pair; ``legs``: those that ``legs_of`` names, of the same day.

    Raises NotFound ``rate_unknown`` where one of them is missing.
    """
    base, quote = pair
    by_code = {leg.quote: leg for leg in legs}
    missing = [code for code in legs_of(base, quote) if code not in by_code]
    if missing:
        raise NotFound(
            "rate_unknown", f"{source} published no rate of {missing[0]} by {asked_on}", currency=missing[0]
        )
    exact = Fraction(1)
    if base != quote:
        exact = _of_euro(by_code, quote) / _of_euro(by_code, base)
    return Rate(
        source=source,
        base=base,
        quote=quote,
        asked_on=asked_on,
        published_on=max((leg.published_on for leg in legs), default=asked_on),
        numerator=exact.numerator,
        denominator=exact.denominator,
        legs=tuple(legs),
    )


def check_age(rate: Rate, age_days_max: int) -> Rate:
    """Return a rate that is no older than somebody accepts.

    Raises Conflict ``rate_too_old``, InvalidRequest ``rate_age_invalid`` for an age outside 0 to ``AGE_DAYS_LIMIT``.
    """
    if not 0 <= age_days_max <= AGE_DAYS_LIMIT:
        raise InvalidRequest("rate_age_invalid", f"from 0 to {AGE_DAYS_LIMIT:,} days", param="age_days_max")
    if rate.age_days > age_days_max:
        raise Conflict(
            "rate_too_old",
            f"the newest rate of {rate.base}/{rate.quote} by {rate.asked_on} is of {rate.published_on}: "
            f"{rate.age_days} days, and at most {age_days_max} are accepted",
            published_on=str(rate.published_on),
            age_days=rate.age_days,
        )
    return rate


def _of_euro(by_code: dict[str, KnownRate], code: str) -> Fraction:
    return Fraction(1) if code == PIVOT else Fraction(by_code[code].rate)
