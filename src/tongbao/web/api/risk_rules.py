"""``/v2/risk/rules``: read rules, compare them with those in force, try them on the log. Nothing here changes anything."""

from typing import Annotated

from fastapi import APIRouter, Request, Response

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.schema.log import Range
from tongbao.risk.service.backtesting import Backtesting, Tested
from tongbao.risk.service.rule_checking import STARTER_RULES, check
from tongbao.web.api import risk_backtest_models as backtests
from tongbao.web.api import risk_rule_models as models
from tongbao.web.api.acts import Acts
from tongbao.web.api.callers import Caller
from tongbao.web.api.calls import rendered
from tongbao.web.api.risk_sides import Side
from tongbao.web.api.routing import RULES_INVALID
from tongbao.web.api.rule_models import Problem


def add_rules(routes: APIRouter, side: Side, acts: Acts, backtesting: Backtesting) -> None:
    """Add what is asked about rules."""

    @routes.get(f"{side.path}/rules/starter")
    async def starter(who: Annotated[Caller, side.looks]) -> models.Starter:
        """Return rules to start with, with tests of their own."""
        return models.Starter(text=STARTER_RULES)

    @routes.post(f"{side.path}/rules/check", response_model=models.Checked)
    async def checked(
        request: Request, who: Annotated[Caller, side.looks], body: models.RulesBody
    ) -> Response:
        """Read rules, run their own tests, and compare them with those in force; or tell what is wrong and where."""

        async def work() -> models.Checked:
            try:
                return models.Checked.of(await check(backtesting, body.text, who.book_id))
            except InvalidRequest as error:
                if error.code != RULES_INVALID:
                    raise
                return models.Checked.unreadable(Problem.of(error))

        return await acts.run(request, who.book, work, rendered)

    @routes.post(f"{side.path}/rules/backtest", response_model=backtests.Backtest)
    async def backtest(
        request: Request, who: Annotated[Caller, side.looks], order: backtests.BacktestOrder
    ) -> Response:
        """Try rules on the judged payments of a time, with what was known when each was judged."""

        async def work() -> Tested:
            new = await backtesting.rules(order.new, who.book_id)
            if order.old is None:
                old = await backtesting.in_force(who.book_id)
            else:
                old = await backtesting.rules(order.old, who.book_id)
            of = Range(order.from_at, order.to_at, book_id=who.book_id, live=who.live)
            return await backtesting.backtest(of, old, new)

        return await acts.run(request, who.book, work, lambda made: rendered(backtests.Backtest.of(made)))
