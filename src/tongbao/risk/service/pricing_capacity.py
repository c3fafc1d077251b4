"""Pricing capacity: what reviews and step-ups buy on the payments of the log, and at which prices they would suffice.

The version in force is asked again about every payment of a time (``service.asking_again``). From its chances, rates and
bounds come the trade-off between what payments cost and how many payers are bothered, and the least prices at which so
many reviews a day and such a share of step-ups are used (``policy.prices``). Costs are expected ones, by the version's own
table, in hundredths a payment. Nothing changes until prices are drafted, replayed and published like any other change.

Exploration is left out: it moves a bounded share of payments by one tier, and costs what it costs at any price.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np

from tongbao.core.errors import InvalidRequest
from tongbao.decisions.schema.log import Range
from tongbao.decisions.schema.policies import PolicyVersion
from tongbao.decisions.service.policies import Policies
from tongbao.risk.models.base import Floats
from tongbao.risk.models.memory import Mode
from tongbao.risk.policy import prices, tradeoff_texts
from tongbao.risk.policy.pareto_chart import pareto_chart
from tongbao.risk.policy.prices import Budgets, Point, Prices, Traffic
from tongbao.risk.policy.tiering import ManyRates, allowed_within
from tongbao.risk.policy.tradeoff_texts import Placed, Row
from tongbao.risk.schema.tiers import TIERS
from tongbao.risk.service.asking_again import AskedAgain, Judged
from tongbao.risk.service.assessor import made_ready
from tongbao.risk.service.backtesting import policy_of
from tongbao.risk.service.compiling import JUDGEMENT_PRICE, POLICY, Compiled, compile_spec
from tongbao.risk.service.lists import Lists
from tongbao.risk.service.revisiting import LoggedPayment, Revisiting
from tongbao.risk.service.shelf import Shelf

__all__ = ["Budgets", "CapacityPricing", "Point", "Prices", "Row", "SpecPrices", "TradeOff"]

POINTS = 25
SPAN_MIN = timedelta(hours=1)
DAY = timedelta(days=1)
NOTE = "prices of capacity: step-up {step_up:g}, review {review:g} hundredths"


class SpecPrices(NamedTuple):
    """The prices of a specification, in hundredths on top of the fees."""

    step_up: float
    review: float


class TradeOff(NamedTuple):
    """What capacity buys in a time, by the policy in force.

    ``version`` 0: the built-in policy. ``days`` is counted from the first payment on. ``left_out_count`` payments cannot be
    looked at again. ``prices``, ``priced``, ``spec_prices`` and ``spec`` are None where no capacity was asked for;
    ``spec`` is the specification in force with the prices of it put in.
    """

    policy: str
    version: int
    from_at: datetime
    to_at: datetime
    days: float
    payment_count: int
    left_out_count: int
    standing_prices: SpecPrices
    budgets: Budgets
    points: tuple[Point, ...]
    today: Point
    prices: Prices | None = None
    priced: Point | None = None
    spec_prices: SpecPrices | None = None
    spec: dict[str, Any] | None = None

    @property
    def placed(self) -> Placed:
        """What tables and sentences tell of."""
        return Placed(self.points, self.today, self.priced, self.payment_count / self.days)

    def chart(self, language: str, name: str = "front") -> str:
        """Return the front as an SVG, with today's policy and the one of the prices marked."""
        return pareto_chart(self.points, language, self.today, name, self.priced)

    def header(self, language: str) -> tuple[str, ...]:
        """Return the names of the columns of ``rows``."""
        return tradeoff_texts.header(language)

    def rows(self, language: str) -> list[Row]:
        """Return the same as rows of a table."""
        return tradeoff_texts.table(self.placed, language)

    def sentences(self, language: str) -> list[str]:
        """Return what the prices come to; nothing where none were asked for."""
        if self.prices is None:
            return []
        return tradeoff_texts.sentences(self.placed, self.prices, self.budgets, language)


@dataclass(slots=True)
class _Seen:
    """What the version in force made of the payments, row by row."""

    judged: list[Judged] = field(default_factory=list)
    left_out: int = 0

    def traffic(self, days: float) -> Traffic:
        """Return the payments as arithmetic takes them."""
        rates = np.array(
            [
                (*(each.mean for each in row.beliefs.step_up), *(each.mean for each in row.beliefs.review))
                for row in self.judged
            ]
        )
        allowed = np.array([allowed_within(row.within) for row in self.judged])
        last = len(TIERS) - 1 - allowed[:, ::-1].argmax(axis=1)
        means = np.array([(True, row.within.can_step_up, row.within.can_review, True) for row in self.judged])
        return Traffic(
            chance=np.array([row.chance for row in self.judged]),
            value=np.array([row.value for row in self.judged], dtype=np.float64),
            rates=ManyRates(*rates.T),
            days=days,
            # As in ``tiering``: the cheapest is sought below the floor too, and a milder one is lifted to it.
            allowed=means & (np.arange(len(TIERS)) <= last[:, None]),
            floor=allowed.argmax(axis=1),
        )


class CapacityPricing:
    """Computes trade-offs and drafts prices. One object a process."""

    def __init__(self, revisiting: Revisiting, policies: Policies, shelf: Shelf, lists: Lists) -> None:
        self._revisiting = revisiting
        self._policies = policies
        self._stores = (shelf, lists)

    async def trade_off(self, of: Range, budgets: Budgets) -> TradeOff:
        """Return what capacity buys on the payments of ``of``, which names its mode, and prices for ``budgets``.

        Payments of one book are asked about by its own policy where it has one. Raises InvalidRequest
        ``backtest_span_invalid``, ``budget_invalid`` and ``tradeoff_empty`` where no payment can be looked at again,
        LimitExceeded ``backtest_too_long`` and ``past_too_far``.
        """
        policy, version = await self._standing(of.book_id)
        found = await self._revisiting.payments(of)
        ready = made_ready(compile_spec({} if version is None else version.spec))
        books = {each.row.book_id for each in found.payments}
        asked = await AskedAgain.read(ready, self._stores, books, bool(of.live))
        seen = _Seen()

        def visit(logged: LoggedPayment, mode: Mode, features: Floats | None) -> None:
            if features is None:
                seen.left_out += 1
            else:
                seen.judged.append(asked.judge(logged, mode, features))

        await self._revisiting.revisit(found.payments, visit)
        if not seen.judged:
            raise InvalidRequest("tradeoff_empty", "no payment of this time can be looked at again")
        # Who began to take payments in the middle of the time has fewer days, and no more reviews a day, than it holds.
        begun = max(of.from_at, min(each.row.at for each in found.payments))
        days = max(of.to_at - begun, SPAN_MIN) / DAY
        made = await asyncio.to_thread(_computed, seen.traffic(days), ready.compiled, budgets)
        spec = None
        if made.spec_prices is not None:
            spec = _priced({} if version is None else version.spec, made.spec_prices)
        return TradeOff(
            policy=policy,
            version=0 if version is None else version.version,
            from_at=of.from_at,
            to_at=of.to_at,
            days=days,
            payment_count=len(seen.judged),
            left_out_count=seen.left_out + found.unjudged_count,
            standing_prices=SpecPrices(ready.compiled.spec.step_up_price, ready.compiled.spec.review_price),
            budgets=budgets,
            spec=spec,
            **made._asdict(),
        )

    async def draft(
        self, wanted: SpecPrices, note: str, actor: str, *, book_id: int | None = None
    ) -> PolicyVersion:
        """Keep the policy in force with these prices as a draft; the version that says the same, where one does.

        Raises InvalidRequest ``policy_spec_invalid`` for prices that no policy may have, and as ``Policies.draft``.
        """
        policy, version = await self._standing(book_id)
        spec = _priced({} if version is None else version.spec, wanted)
        said = note or NOTE.format(step_up=wanted.step_up, review=wanted.review)
        return await self._policies.draft(policy, spec, said, actor)

    async def _standing(self, book_id: int | None) -> tuple[str, PolicyVersion | None]:
        """Return the name of the policy that decides for a book (None: for the house) and its version, None: built in."""
        names = [POLICY] if book_id is None else [policy_of(book_id), POLICY]
        for name in names:
            rollout = await self._policies.current(name)
            if rollout is not None:
                return name, await self._policies.version(name, rollout.champion)
        return POLICY, None


class _Made(NamedTuple):
    points: tuple[Point, ...]
    today: Point
    prices: Prices | None
    priced: Point | None
    spec_prices: SpecPrices | None


def _computed(traffic: Traffic, compiled: Compiled, budgets: Budgets) -> _Made:
    costs, terms = compiled.spec.costs, compiled.terms
    standing = (terms.step_up - costs.step_up_fee, terms.review - costs.review_fee)
    today = prices.at_prices(traffic, costs, *standing)
    points = tuple(prices.front(traffic, costs, POINTS))
    if all(each is None for each in budgets):
        return _Made(points, today, None, None, None)
    # While no trained model scores, the house adds a price of its own, below which no policy gets: it acts as a fee.
    caution = 0 if compiled.spec.model else round(JUDGEMENT_PRICE)
    cautious = msgspec.structs.replace(
        costs, step_up_fee=costs.step_up_fee + caution, review_fee=costs.review_fee + caution
    )
    found = prices.solve(traffic, cautious, budgets)
    priced = prices.at_prices(traffic, costs, found.step_up + caution, found.review + caution)
    spec_prices = SpecPrices(round(found.step_up, 2), round(found.review, 2))
    return _Made(points, today, found, priced, spec_prices)


def _priced(spec: dict[str, Any], wanted: SpecPrices) -> dict[str, Any]:
    """Return a specification with these prices; one of nothing is left out, as the canonical form does."""
    others = {name: value for name, value in spec.items() if name not in ("step_up_price", "review_price")}
    named = {"step_up_price": wanted.step_up, "review_price": wanted.review}
    return others | {name: price for name, price in named.items() if price}
