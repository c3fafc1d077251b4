"""``/v2/risk/assess``, ``looks``, ``shares``, ``labels``: judge a payment, see what became of it, say what it was."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from tongbao.core.clock import Clock
from tongbao.core.errors import InvalidRequest
from tongbao.core.ids import IdFactory, uuid_text
from tongbao.decisions.schema.log import PREFIX as DECISION_PREFIX
from tongbao.payments.schema.intents import Intent
from tongbao.risk.schema.facts import Labelled
from tongbao.risk.service.assessor import Asked, Looked
from tongbao.risk.service.looking import Mode, subject_of
from tongbao.web.api import risk_look_models as models
from tongbao.web.api import risk_look_orders as orders
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import Calls, rendered
from tongbao.web.api.risk_sides import Services, Side
from tongbao.web.api.shapes import IdPath, Instant, given_id, path_id

DAY = timedelta(days=1)
From = Annotated[Instant | None, Query(alias="from", description="A day before `to` where left out.")]
To = Annotated[Instant | None, Query(alias="to", description="Now where left out.")]


def add_assess(routes: APIRouter, side: Side, calls: Calls, acts: Acts, services: Services) -> None:
    """Add the route by which a merchant has a payment judged that it makes elsewhere, or will make here."""

    @routes.post(f"{side.path}/assess", response_model=models.Assessment)
    async def assess(
        request: Request, who: Annotated[Caller, side.decides], order: orders.Assess
    ) -> Response:
        """Judge a payment: what to do with it and why. The decision is on disk before the answer."""

        async def work() -> Looked:
            subject_id = await assessed(who, order, services, calls.ids)
            signals = order.signals(calls.ids.uuid(), calls.clock.now(), (who.book, who.live), subject_id)
            asked = Asked(signals=signals, is_proved=order.is_proved, can_step_up=order.can_step_up)
            return await services.risk.assessing.assess(asked)

        return await acts.run(request, who.book, work, lambda made: rendered(models.Assessment.of(made)))


def add_looks(routes: APIRouter, side: Side, clock: Clock, services: Services) -> None:
    """Add what is read of judged payments."""

    @routes.get(f"{side.path}/looks/{{payment}}")
    async def looks(who: Annotated[Caller, side.looks], payment: IdPath) -> models.Looks:
        """List every look at a payment, `pi_…`, with everything that became known of it."""
        subject_id = path_id(Intent.PREFIX, payment)
        book_id = await book_of(who, subject_id, services)
        found = await services.hindsight.looking.looks(book_id, subject_id)
        return models.Looks(data=[models.Known.of(each) for each in found if each.live == who.live])

    @routes.get(f"{side.path}/shares")
    async def shares(
        who: Annotated[Caller, side.looks], from_at: From = None, to_at: To = None
    ) -> models.Shares:
        """Return how payments of a time were spread over tiers, and what became of them."""
        begin, end = span_of(clock, from_at, to_at)
        found = await services.hindsight.looking.shares(Mode(who.live, who.book_id), begin, end)
        return models.Shares.of(begin, end, found)


def add_labels(routes: APIRouter, side: Side, acts: Acts, services: Services) -> None:
    """Add the route by which it is said what a payment was."""

    @routes.post(f"{side.path}/labels", response_model=models.Label)
    async def label(
        request: Request, who: Annotated[Caller, side.decides], order: orders.LabelOrder
    ) -> Response:
        """Say whether a payment was fraud; saying it again, or otherwise, replaces what was said before."""

        async def work() -> Labelled:
            if order.reference is not None:
                if who.scope is None:
                    raise InvalidRequest("reference_ambiguous", "the house names a payment by its id")
                subject_id = subject_of(who.book, order.reference)
            else:
                subject_id = given_id(Intent.PREFIX, order.payment or "", "payment")
            book_id = await book_of(who, subject_id, services)
            return await services.risk.assessing.label(
                book_id, subject_id, is_fraud=order.is_fraud, actor=who.actor
            )

        return await acts.run(request, who.book, work, lambda made: rendered(_label(made)))


async def book_of(who: Caller, subject_id: UUID, services: Services) -> int:
    """Return the book of a payment: the caller's own, or for the house the one that the log of decisions names.

    Raises NotFound ``payment_not_judged``.
    """
    return await services.hindsight.looking.book_of(subject_id) if who.book_id is None else who.book_id


def span_of(clock: Clock, from_at: datetime | None, to_at: datetime | None) -> tuple[datetime, datetime]:
    """Return a time: the last day where nothing is said."""
    end = to_at or clock.now()
    return from_at or end - DAY, end


async def assessed(who: Caller, order: orders.Assess, services: Services, ids: IdFactory) -> UUID:
    """Return the payment that is judged; one that is named by its id has to be the merchant's own."""
    if order.reference is not None:
        return subject_of(who.book, order.reference)
    if order.payment is None:
        return ids.uuid()
    subject_id = given_id(Intent.PREFIX, order.payment, "payment")
    if who.scope is not None:
        await services.payments.intents.get(who.scope, subject_id)
    return subject_id


def _label(fact: Labelled) -> models.Label:
    return models.Label(
        payment=fact.subject,
        decision=uuid_text(DECISION_PREFIX, fact.signals_id),
        is_fraud=fact.is_fraud,
        source=fact.source.value,
        actor=fact.actor,
        at=fact.occurred_at,
    )
