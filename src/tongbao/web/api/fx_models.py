"""What ``/v2/fx`` sends: rates with their source and day, and amounts told in another currency."""

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from tongbao.fx.schema import Conversion as ConversionFound
from tongbao.fx.schema import KnownRate
from tongbao.fx.schema import Rate as RateFound
from tongbao.web.api.shapes import Model


class Leg(Model):
    """A published rate behind another one. `revision`: above 1 it was corrected after it was first published."""

    base: str
    quote: str
    rate: str = Field(description="As the source wrote it.")
    revision: int
    imported_at: datetime

    @classmethod
    def of(cls, found: KnownRate) -> "Leg":
        """Return a published rate as it is sent."""
        return cls(
            base=found.base,
            quote=found.quote,
            rate=f"{found.rate:f}",
            revision=found.revision,
            imported_at=found.imported_at,
        )


class Rate(Model):
    """How many units of `quote` one unit of `base` is, in major units; exactly `numerator` / `denominator`."""

    object: Literal["exchange_rate"] = "exchange_rate"
    source: str
    base: str
    quote: str
    rate: str = Field(description="For people: as published, or of two rates to eight digits.")
    numerator: str = Field(description="A whole number, as text: it may be long.")
    denominator: str
    asked_on: date
    published_on: date = Field(description="The day for which every rate behind it was published.")
    age_days: int
    legs: list[Leg]

    @classmethod
    def of(cls, found: RateFound) -> "Rate":
        """Return a rate as it is sent."""
        return cls(
            source=found.source,
            base=found.base,
            quote=found.quote,
            rate=found.text,
            numerator=str(found.numerator),
            denominator=str(found.denominator),
            asked_on=found.asked_on,
            published_on=found.published_on,
            age_days=found.age_days,
            legs=[Leg.of(each) for each in found.legs],
        )


class Rates(Model):
    """Rates of one day."""

    object: Literal["list"] = "list"
    data: list[Rate]
    has_more: bool = False


class Conversion(Model):
    """An amount told in another currency, minor units. A quotation: nothing is held, and no payment is bound by it."""

    object: Literal["conversion"] = "conversion"
    amount_minor: int
    currency: str
    converted_minor: int
    converted_currency: str
    rounding: str
    is_exact: bool = Field(description="Nothing had to be rounded.")
    is_binding: Literal[False] = False
    rate: Rate

    @classmethod
    def of(cls, found: ConversionFound) -> "Conversion":
        """Return a conversion as it is sent."""
        return cls(
            amount_minor=found.amount_minor,
            currency=found.rate.base,
            converted_minor=found.converted_minor,
            converted_currency=found.rate.quote,
            rounding=found.rounding,
            is_exact=found.is_exact,
            rate=Rate.of(found.rate),
        )
