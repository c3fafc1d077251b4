"""``/v2/risk/tradeoff``: what reviews and step-ups buy, and at which prices a wanted capacity suffices. Changes nothing.

Prices are put into force as every change of a policy: ``spec`` is drafted at ``/v2/policies/risk/versions``, replayed, published.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from tongbao.core.clock import Clock
from tongbao.decisions.schema.log import Range
from tongbao.risk.service.pricing_capacity import Budgets, CapacityPricing, TradeOff
from tongbao.risk.service.pricing_capacity import Point as PointFound
from tongbao.web.api.callers import Caller
from tongbao.web.api.decision_models import Words
from tongbao.web.api.policies import Language, Svg
from tongbao.web.api.risk_sides import Side
from tongbao.web.api.shapes import Instant, Model

WEEK = timedelta(days=7)
CAPACITY_MAX = 1_000_000
From = Annotated[Instant | None, Query(alias="from", description="A week before `to` where left out.")]
To = Annotated[Instant | None, Query(alias="to", description="Now where left out.")]
Reviews = Annotated[
    float | None, Query(ge=0, le=CAPACITY_MAX, description="Reviews that there are people for, a day.")
]
Share = Annotated[
    float | None, Query(ge=0, le=1, description="Share of payments that may be stepped up, of 1.")
]


class Point(Model):
    """A place on the front, or a policy: shares of payments, and expected costs in hundredths a payment."""

    step_up_share: float
    review_share: float
    decline_share: float
    bothered_share: float
    fraud_cost: float
    friction_cost: float
    cost: float

    @classmethod
    def of(cls, found: PointFound) -> "Point":
        """Return a point as it is sent."""
        return cls.model_validate({name: getattr(found, name) for name in cls.model_fields})


class Priced(Model):
    """Prices for the wanted capacity, in hundredths, and what they lead to. ``spec`` may be drafted as it is."""

    step_up_price: float
    review_price: float
    is_met: bool = Field(
        description="False where rules alone send more payments there: they answer to no price."
    )
    reviews_per_day: float
    at: Point
    spec: dict[str, Any]


class Tradeoff(Model):
    """What capacity buys by the policy in force. ``points`` bother more and cost less from one to the next."""

    object: Literal["risk_tradeoff"] = "risk_tradeoff"
    policy_version: str
    from_at: datetime
    to_at: datetime
    days: float
    payment_count: int
    left_out_count: int = Field(description="Payments whose features of then could not be found again.")
    step_up_price: float
    review_price: float
    today: Point
    points: list[Point]
    priced: Priced | None = Field(description="Null where no capacity was asked for.")
    words: Words

    @classmethod
    def of(cls, found: TradeOff) -> "Tradeoff":
        """Return a trade-off as it is sent."""
        return cls(
            policy_version=f"{found.policy}@{found.version}",
            from_at=found.from_at,
            to_at=found.to_at,
            days=found.days,
            payment_count=found.payment_count,
            left_out_count=found.left_out_count,
            step_up_price=found.standing_prices.step_up,
            review_price=found.standing_prices.review,
            today=Point.of(found.today),
            points=[Point.of(each) for each in found.points],
            priced=_priced(found),
            words=Words.of(lambda language: " ".join(found.sentences(language))),
        )


def add_tradeoff(routes: APIRouter, side: Side, clock: Clock, pricing: CapacityPricing) -> None:
    """Add the trade-off and its picture."""

    @routes.get(f"{side.path}/tradeoff")
    async def tradeoff(
        who: Annotated[Caller, side.looks],
        from_at: From = None,
        to_at: To = None,
        reviews_per_day: Reviews = None,
        step_up_share: Share = None,
    ) -> Tradeoff:
        """Return what payments cost against how many are bothered, and prices for a capacity where one is named."""
        of = _range(who, clock, from_at, to_at)
        return Tradeoff.of(await pricing.trade_off(of, Budgets(reviews_per_day, step_up_share)))

    @routes.get(f"{side.path}/tradeoff.svg", response_class=Svg)
    async def picture(
        who: Annotated[Caller, side.looks],
        from_at: From = None,
        to_at: To = None,
        reviews_per_day: Reviews = None,
        step_up_share: Share = None,
        language: Language = "en",
    ) -> Response:
        """Draw the front, with today's policy and the one of the prices marked."""
        of = _range(who, clock, from_at, to_at)
        found = await pricing.trade_off(of, Budgets(reviews_per_day, step_up_share))
        return Svg(found.chart(language))


def _range(who: Caller, clock: Clock, from_at: datetime | None, to_at: datetime | None) -> Range:
    end = to_at or clock.now() + timedelta(seconds=1)
    return Range(from_at or end - WEEK, end, book_id=who.book_id, live=who.live)


def _priced(found: TradeOff) -> Priced | None:
    if found.prices is None or found.spec_prices is None or found.priced is None or found.spec is None:
        return None
    return Priced(
        step_up_price=found.spec_prices.step_up,
        review_price=found.spec_prices.review,
        is_met=found.prices.is_met,
        reviews_per_day=found.prices.reviews_per_day,
        at=Point.of(found.priced),
        spec=found.spec,
    )
