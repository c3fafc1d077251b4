"""``/v2/routing`` and ``/v2/operations/routing``: how payments go, why that changed, rules, and what would be chosen.

A merchant sees the attempts of its own book, the house those of all. Announcements are of channels, which all merchants
share: a merchant is told without the numbers. Nothing here changes anything.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import APIRouter, Query, Request, Response

from tongbao.core.errors import InvalidRequest
from tongbao.core.requests.asks import Rendered
from tongbao.decisions.schema.log import Range
from tongbao.parties.schema import OperatorPermission, Permission
from tongbao.routing.schema.health import HealthScope, Period, Step
from tongbao.routing.service import compiling
from tongbao.routing.service.backtesting import Backtesting, Tested
from tongbao.routing.service.health import NOTICE_PREFIX, Health
from tongbao.web.api import routing_models as models
from tongbao.web.api import rule_models
from tongbao.web.api.access import Gate
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import OPERATIONS, Caller, of_house, of_merchant
from tongbao.web.api.calls import Calls, rendered
from tongbao.web.api.shapes import PAGE_SIZE, After, Instant, Limit, Text, cursor
from tongbao.web.api.supposing import Supposing

PREFIX = "/v2"
PATH = "/routing"
DAY = timedelta(days=1)
RULES_INVALID = "rules_invalid"
From = Annotated[Instant | None, Query(alias="from", description="A day before `to` where left out.")]
To = Annotated[
    Instant | None, Query(alias="to", description="Now where left out; whole minutes are counted.")
]
BaselineFrom = Annotated[Instant | None, Query(description="As long as the period where left out.")]
BaselineTo = Annotated[Instant | None, Query(description="Where the period begins where left out.")]
By = Annotated[list[models.By], Query(description="What to tell apart; repeat it for several.")]
Channel = Annotated[Text | None, Query(description="Only of this channel.")]


class Side(NamedTuple):
    """One of the two sides: below which path, and the dependency of who reads."""

    path: str
    reads: Any


class Services(NamedTuple):
    """The services behind the routes."""

    health: Health
    backtesting: Backtesting
    supposing: Supposing


def router(calls: Calls, gate: Gate, acts: Acts, services: Services) -> APIRouter:
    """Return the routes of both sides."""
    routes = calls.router(PREFIX, "routing")
    sides = (
        Side(PATH, of_merchant(gate, Permission.ROUTING_READ)),
        Side(OPERATIONS + PATH, of_house(gate, OperatorPermission.OPERATIONS_READ)),
    )
    for side in sides:
        _add_rates(routes, side, services.health)
        _add_doctor(routes, side, services.health)
        _add_rules(routes, side, acts, services.backtesting)
        _add_simulation(routes, side, acts, services.supposing)
    return routes


def _add_rates(routes: APIRouter, side: Side, health: Health) -> None:
    @routes.get(f"{side.path}/health")
    async def rates(
        who: Annotated[Caller, side.reads],
        by: By = [models.By.CHANNEL],  # noqa: B006 - the framework copies defaults
        from_at: From = None,
        to_at: To = None,
    ) -> models.Health:
        """Return approval and completion rates of a time, with intervals."""
        period, dimensions = _period(health, from_at, to_at), models.By.dimensions(by)
        found = await health.rates(_scope(who), period, dimensions)
        codes = await health.codes(_scope(who), period, dimensions) if models.By.CODE in by else []
        return models.Health.of(period, found, codes)

    @routes.get(f"{side.path}/series")
    async def series(
        who: Annotated[Caller, side.reads],
        by: By = [],  # noqa: B006 - the framework copies defaults
        step: Annotated[Step, Query(description="How far points are apart.")] = Step.HOUR,
        from_at: From = None,
        to_at: To = None,
    ) -> models.Series:
        """Return the course of the rates."""
        period = _period(health, from_at, to_at)
        points = await health.series(_scope(who), period, step, models.By.dimensions(by))
        return models.Series.of(period, step, points)


def _add_doctor(routes: APIRouter, side: Side, health: Health) -> None:
    @routes.get(f"{side.path}/doctor")
    async def doctor(
        who: Annotated[Caller, side.reads],
        from_at: From = None,
        to_at: To = None,
        baseline_from: BaselineFrom = None,
        baseline_to: BaselineTo = None,
    ) -> models.Diagnosis:
        """Return why more or less is approved than before, who is at fault, and what may be done."""
        period = _period(health, from_at, to_at)
        end = baseline_to or period.start
        baseline = Period(baseline_from or end - (period.end - period.start), end)
        return models.Diagnosis.of(await health.doctor(_scope(who), period, baseline))

    @routes.get(f"{side.path}/notices")
    async def notices(
        who: Annotated[Caller, side.reads],
        channel: Channel = None,
        after: After = None,
        limit: Limit = PAGE_SIZE,
    ) -> models.Notices:
        """List what routing announced of channels, newest first."""
        place = cursor(NOTICE_PREFIX, after, "after")
        page = await health.notices(live=who.live, channel=channel, after=place, limit=limit)
        told = page.items
        if who.scope is not None:
            told = [msgspec.structs.replace(each, facts={}) for each in told]
        return models.Notices(data=[models.Notice.of(each) for each in told], has_more=page.has_more)


def _add_rules(routes: APIRouter, side: Side, acts: Acts, backtesting: Backtesting) -> None:
    @routes.post(f"{side.path}/rules/check", response_model=rule_models.Checked)
    async def check(
        request: Request, who: Annotated[Caller, side.reads], body: rule_models.RulesBody
    ) -> Response:
        """Read rules: return their canonical text, or what is wrong and where."""

        async def work() -> rule_models.Checked:
            return _checked(backtesting, body.text)

        return await acts.run(request, who.book, work, rendered)

    @routes.post(f"{side.path}/rules/backtest", response_model=rule_models.Backtest)
    async def backtest(
        request: Request, who: Annotated[Caller, side.reads], order: rule_models.BacktestOrder
    ) -> Response:
        """Try rules on the logged payments of a time."""

        async def work() -> Tested:
            new = backtesting.rules(order.new)
            policy = compiling.POLICY if who.book_id is None else compiling.policy_of(who.book_id)
            old = await backtesting.in_force(policy) if order.old is None else backtesting.rules(order.old)
            of = Range(order.from_at, order.to_at, book_id=who.book_id, live=who.live)
            return await backtesting.backtest(of, old, new)

        return await acts.run(request, who.book, work, _backtest)


def _add_simulation(routes: APIRouter, side: Side, acts: Acts, supposing: Supposing) -> None:
    @routes.post(f"{side.path}/simulate", response_model=rule_models.Simulation)
    async def simulate(
        request: Request, who: Annotated[Caller, side.reads], supposed: rule_models.Supposed
    ) -> Response:
        """Return what would be chosen for a payment now; one draw of the probabilities that are told with it."""

        async def work() -> rule_models.Simulation:
            return await supposing.simulate(who, supposed)

        return await acts.run(request, who.book, work, rendered)


def _scope(who: Caller) -> HealthScope:
    return HealthScope(live=who.live, book_id=who.book_id)


def _period(health: Health, from_at: datetime | None, to_at: datetime | None) -> Period:
    end = to_at or health.last().end
    return Period(from_at or end - DAY, end)


def _checked(backtesting: Backtesting, text: str) -> rule_models.Checked:
    """Return what a text says; what is wrong with it is an answer, not a failure."""
    try:
        rules = backtesting.rules(text)
    except InvalidRequest as error:
        if error.code != RULES_INVALID:
            raise
        problem = rule_models.Problem.of(error)
        return rule_models.Checked(valid=False, text=None, rules=[], errors=[problem])
    shown = [rule_models.Rule.of(rule) for rule in rules.rules]
    return rule_models.Checked(valid=True, text=backtesting.text(rules), rules=shown, errors=[])


def _backtest(tested: Tested) -> Rendered:
    return rendered(rule_models.Backtest.of(tested))
