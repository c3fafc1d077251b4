"""``/v2/fx``: reference rates, and what an amount is in another currency by them. Quotations: nothing is held or bound."""

from datetime import date
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from tongbao.core.errors import InvalidRequest
from tongbao.core.money import Money, Rounding
from tongbao.fx.schema import AGE_DAYS_LIMIT, AGE_DAYS_MAX, PIVOT
from tongbao.fx.service.rates import Rates
from tongbao.ledger.schema import AMOUNT_MINOR_MAX
from tongbao.parties.schema import Permission, Scope
from tongbao.web.api import fx_models as models
from tongbao.web.api.access import Gate
from tongbao.web.api.calls import Calls

PREFIX = "/v2/fx"
CODE = "^[A-Z]{3}$"


class RoundingName(StrEnum):
    """How what falls between two minor units is settled."""

    HALF_EVEN = "half_even"
    HALF_UP = "half_up"
    HALF_DOWN = "half_down"
    UP = "up"
    DOWN = "down"
    CEILING = "ceiling"
    FLOOR = "floor"


On = Annotated[date | None, Query(description="By the last day published until then; today where left out.")]
MaybeCode = Annotated[str | None, Query(pattern=CODE, description="Code of ISO 4217.")]
Code = Annotated[str, Query(pattern=CODE, description="Code of ISO 4217.")]
AgeMax = Annotated[
    int, Query(alias="age_days_max", ge=0, le=AGE_DAYS_LIMIT, description="An older rate is refused.")
]
AmountQuery = Annotated[int, Query(ge=0, le=AMOUNT_MINOR_MAX, description="Minor units of `currency`.")]
RoundingQuery = Annotated[RoundingName, Query(description="How what falls between two units is settled.")]


def router(calls: Calls, gate: Gate, rates: Rates) -> APIRouter:
    """Return the routes, for whoever may read payments."""
    routes = calls.router(PREFIX, "fx")
    reads = Depends(gate.scope(Permission.PAYMENTS_READ))

    @routes.get("/rates")
    async def listed(
        who: Annotated[Scope, reads],
        on: On = None,
        base: MaybeCode = None,
        quote: MaybeCode = None,
        age_max: AgeMax = AGE_DAYS_MAX,
    ) -> models.Rates:
        """Return one rate, of `base` in `quote`, or every rate of the euro; by the last day published until `on`."""
        if quote is None and base not in (None, PIVOT):
            raise InvalidRequest("rate_pair_incomplete", "name the other currency, too", param="quote")
        if quote is None:
            found = await rates.of_day(on, age_days_max=age_max)
        else:
            found = [await rates.rate(base or PIVOT, quote, on, age_days_max=age_max)]
        return models.Rates(data=[models.Rate.of(each) for each in found])

    @routes.get("/convert")
    async def convert(
        who: Annotated[Scope, reads],
        amount_minor: AmountQuery,
        currency: Code,
        to: Code,
        on: On = None,
        rounding: RoundingQuery = RoundingName.HALF_EVEN,
        age_max: AgeMax = AGE_DAYS_MAX,
    ) -> models.Conversion:
        """Tell an amount in another currency. A quotation by reference rates: nothing is held, no payment is bound by it."""
        found = await rates.convert(
            Money(amount_minor, currency),
            to,
            on,
            rounding=Rounding[rounding.name],
            age_days_max=age_max,
        )
        return models.Conversion.of(found)

    return routes
