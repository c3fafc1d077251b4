"""What friction buys: the trade-off of tiers on payments of the log, prices for a wanted capacity, and a draft with them."""

from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from fastapi import Request, Response

from tongbao.core.errors import AppError, InvalidRequest, LimitExceeded
from tongbao.decisions.schema.log import Range
from tongbao.parties.schema import OperatorPermission
from tongbao.risk.service.hindsight import Hindsight
from tongbao.risk.service.pricing_capacity import Budgets, SpecPrices, TradeOff
from tongbao.web.ops import risk_drawings
from tongbao.web.ops.rendering import choice, query
from tongbao.web.ops.risk_desk import MODES, Desk, Failed, Shown, Typed, language_of, problem_text
from tongbao.web.ops.risk_words import translator
from tongbao.web.ui.figure import Figure

PERIODS = {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
PERIOD = "7d"
PERCENT = 100


class TradeOffView(NamedTuple):
    """What the page shows of a trade-off in a language."""

    found: TradeOff
    figure: Figure
    sentences: list[str]


class TradeOffPage:
    """Answers the page and its forms."""

    def __init__(self, desk: Desk, hindsight: Hindsight) -> None:
        self._desk = desk
        self._pricing = hindsight.pricing

    async def show(self, request: Request) -> Response:
        """Answer the trade-off of a time, with prices where a capacity is asked for."""
        return await self._page(request, None)

    async def act(self, request: Request) -> Response:
        """Keep the policy in force with the prices of the form as a draft."""

        async def draft(typed: Typed) -> str:
            typed.require(OperatorPermission.RULES_WRITE)
            if typed.form != "draft":
                raise InvalidRequest("form_invalid", "this page has no such form")
            wanted = SpecPrices(_number(typed.text("step_up_price")), _number(typed.text("review_price")))
            made = await self._pricing.draft(wanted, typed.text("note"), typed.actor)
            return f"/ops/risk/tradeoff?{request.url.query}&drafted={made.version}"

        async def again(failed: Failed) -> Response:
            return await self._page(request, failed)

        return await self._desk.act(await self._desk.read(request), draft, again)

    async def _page(self, request: Request, failed: Failed | None) -> Response:
        mode = await self._desk.mode(request)
        period = choice(request, "period", PERIODS, PERIOD)
        language = language_of(request)
        found = await self._found(request, MODES[mode], PERIODS[period])
        drafted = query(request, "drafted")
        context = {
            "mode": mode,
            "period": period,
            "periods": PERIODS,
            "reviews": query(request, "reviews"),
            "step_ups": query(request, "step_ups"),
            "view": _view(found, language) if isinstance(found, TradeOff) else None,
            "why_not": problem_text(found, language) if isinstance(found, AppError) else "",
            "drafted": drafted if drafted.isdecimal() else "",
        }
        return self._desk.page(request, Shown("risk_tradeoff.html", "rules", context, failed))

    async def _found(self, request: Request, live: bool, length: timedelta) -> TradeOff | AppError:
        """Return the trade-off, or why it cannot be told."""
        now = self._desk.clock.now()
        of = Range(now - length, now + timedelta(seconds=1), live=live)
        try:
            share = _asked(query(request, "step_ups"))
            budgets = Budgets(_asked(query(request, "reviews")), None if share is None else share / PERCENT)
            return await self._pricing.trade_off(of, budgets)
        except (InvalidRequest, LimitExceeded) as error:
            return error


def _view(found: TradeOff, language: str) -> TradeOffView:
    figure = risk_drawings.front(found.points, found.today, found.priced, translator(language))
    numbers = tuple(
        name if place == 0 else (name, "num") for place, name in enumerate(found.header(language))
    )
    rows = tuple(row.cells for row in found.rows(language))
    return TradeOffView(found, replace(figure, heads=numbers, rows=rows), found.sentences(language))


def _asked(text: str) -> float | None:
    return _number(text) if text else None


def _number(text: str) -> float:
    """Return a number that is not negative; raise InvalidRequest ``budget_invalid``."""
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1e9:
        raise InvalidRequest("budget_invalid", "a capacity is a number of reviews a day, a share of step-ups")
    return number
