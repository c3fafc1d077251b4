"""Asking again: what a version of a risk policy makes of a payment of the past, with what was known at its decision.

Features, learned rates and lists are those of then (``service.revisiting``); model, rules, costs and means are those of
the version that is asked.
"""

from collections.abc import Collection
from typing import NamedTuple

from tongbao.decisions.schema.log import Decision
from tongbao.risk.models.artifact import ModelScorer
from tongbao.risk.models.base import Floats
from tongbao.risk.models.memory import Mode
from tongbao.risk.models.rates import TierBeliefs
from tongbao.risk.models.registry import NAMES
from tongbao.risk.policy import rules, tiering
from tongbao.risk.policy.rules import Applied
from tongbao.risk.policy.tiering import Range as Tiers
from tongbao.risk.policy.tiering import Weighed
from tongbao.risk.policy.worth import counted
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.assessor import Ready
from tongbao.risk.service.backtesting import NO_MEANS, STOPPED
from tongbao.risk.service.compiling import Compiled
from tongbao.risk.service.listed_then import ListedThen
from tongbao.risk.service.lists import Lists
from tongbao.risk.service.revisiting import LoggedPayment
from tongbao.risk.service.shelf import Shelf


class Judged(NamedTuple):
    """What a version makes of a payment: chance of fraud in [0, 1], value in hundredths as its costs count, bounds, costs."""

    chance: float
    value: int
    beliefs: TierBeliefs
    within: Tiers
    weighed: Weighed


class AskedAgain:
    """A version made ready to be asked: its policy, its model, and the lists of then."""

    def __init__(self, ready: Ready, scorer: ModelScorer, listed: ListedThen) -> None:
        self._ready = ready
        self._scorer = scorer
        self._listed = listed

    @classmethod
    async def read(
        cls, ready: Ready, stores: tuple[Shelf, Lists], books: Collection[int], live: bool
    ) -> "AskedAgain":
        """Return a version with its model and the lists that payments of ``books`` were on.

        Raises NotFound ``model_unknown``, LimitExceeded ``backtest_too_long``.
        """
        shelf, lists = stores
        listed = await ListedThen.read(lists, ready.compiled.rules.fields, books, live)
        return cls(ready, await _scorer(shelf, ready.compiled.spec.model), listed)

    @property
    def compiled(self) -> Compiled:
        """The version that is asked."""
        return self._ready.compiled

    def judge(self, logged: LoggedPayment, mode: Mode, features: Floats) -> Judged:
        """Return what the version makes of a payment; changes nothing."""
        signals, decision, compiled = logged.row.signals, logged.decision, self._ready.compiled
        chance = self._scorer.score_one(features)
        values = self._ready.reader.read(signals, features, chance, self._listed.names(signals))
        applied = rules.apply(compiled.rules, values, signals.at, signals.subject)
        segment = tuple(str(decision.context.get("segment", "")).split("/"))
        beliefs = mode.rates.beliefs(segment, signals.at.timestamp())
        within = _within(decision, applied, compiled.within)
        value = counted(signals.value, signals.currency, compiled.spec.worth)
        weighed = tiering.weigh(chance, value, beliefs, compiled.terms, within)
        return Judged(chance, value, beliefs, within, weighed)


async def _scorer(shelf: Shelf, digest: str) -> ModelScorer:
    if not digest:
        return shelf.built_in.scorer
    return ModelScorer(await shelf.load(digest), NAMES)


def _within(decision: Decision, applied: Applied, within: Tiers) -> Tiers:
    """Return between which tiers the choice was: lists and freezes of then, rules and means of the version.

    Where a step-up was not possible then it is not now: the payer could not be asked.
    """
    codes = {each.code for each in decision.reasons}
    floor = Tier.DECLINE if STOPPED & codes else applied.floor
    ceiling = Tier.FRICTIONLESS if ReasonCode.LISTED_ALLOWED.value in codes else applied.ceiling
    without = {each.name for each in decision.candidates if each.excluded == NO_MEANS}
    return Tiers(floor, ceiling, within.can_step_up and Tier.STEP_UP.value not in without, within.can_review)
