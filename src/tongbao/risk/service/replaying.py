"""Replaying: what a draft of a risk policy would have cost on the payments of the log, before it may meet traffic.

The draft is asked with what was known at the moment of each decision: features, learned rates and lists of then
(``service.revisiting``). The outcome is the realized cost in hundredths by the draft's own costs, lower is better; see
``policy.realized_costs`` for what it takes for good. A log that hardly explored tells little, and the report then says so.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.ids import IdFactory
from tongbao.decisions.schema.evaluation import EvaluationOrder, Report
from tongbao.decisions.schema.log import Decision, Range
from tongbao.decisions.service.evaluating import evaluate
from tongbao.decisions.service.policies import Policies
from tongbao.risk.models.base import Floats
from tongbao.risk.models.memory import Mode
from tongbao.risk.policy import exploring
from tongbao.risk.policy.realized_costs import Ending, realized_cost
from tongbao.risk.policy.worth import counted
from tongbao.risk.schema.facts import LabelSource
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.asking_again import AskedAgain
from tongbao.risk.service.assessor import made_ready
from tongbao.risk.service.compiling import Compiled, compile_spec
from tongbao.risk.service.lists import Lists
from tongbao.risk.service.revisiting import LoggedPayment, Revisiting
from tongbao.risk.service.shelf import Shelf

COST = "cost"
CONTEXT_KEYS = ("segment", "method")


class Replaying:
    """Replays drafts of risk policies on the decision log. One object a process."""

    def __init__(
        self,
        revisiting: Revisiting,
        policies: Policies,
        shelf: Shelf,
        lists: Lists,
        clock: Clock,
        ids: IdFactory,
    ) -> None:
        self._revisiting = revisiting
        self._policies = policies
        self._shelf = shelf
        self._lists = lists
        self._clock = clock
        self._ids = ids

    async def replay(
        self, policy: str, version: int, span: tuple[datetime, datetime], actor: str, *, live: bool = True
    ) -> Report:
        """Return the report of a version on the decisions of a time, and record it with the version.

        Raises NotFound ``policy_version_unknown`` and ``model_unknown``, InvalidRequest ``replay_order_invalid`` and
        ``replay_empty`` where the time holds no decision whose cost is known, LimitExceeded ``backtest_too_long`` and
        ``past_too_far``.
        """
        ready = made_ready(compile_spec((await self._policies.version(policy, version)).spec))
        order = self._order(policy, version, span, actor)
        decisions: list[Decision] = []
        costs: dict[UUID, float] = {}
        chances: dict[UUID, Mapping[str, float]] = {}
        if span[0] < span[1]:  # otherwise the evaluation says what is wrong with it
            found = await self._revisiting.payments(Range(*span, book_id=_book_of(policy), live=live))
            books = {each.row.book_id for each in found.payments}
            draft = await AskedAgain.read(ready, (self._shelf, self._lists), books, live)

            def visit(logged: LoggedPayment, mode: Mode, features: Floats | None) -> None:
                if features is None:
                    return
                decisions.append(logged.decision)
                chances[logged.decision.id] = _chances(draft, logged, mode, features)
                cost = _cost(logged, ready.compiled)
                if cost is not None:
                    costs[logged.decision.id] = cost

            await self._revisiting.revisit(found.payments, visit)
        report = await asyncio.to_thread(
            evaluate, decisions, costs, lambda decision: chances[decision.id], order
        )
        await self._policies.replayed(policy, version, report, actor)
        return report

    def _order(
        self, policy: str, version: int, span: tuple[datetime, datetime], actor: str
    ) -> EvaluationOrder:
        return EvaluationOrder(
            id=self._ids.uuid(),
            policy=policy,
            version=version,
            against="what decided then",
            outcome=COST,
            from_at=span[0],
            to_at=span[1],
            made_at=self._clock.now(),
            made_by=actor,
            higher_is_better=False,
            context_keys=CONTEXT_KEYS,
        )


def _chances(draft: AskedAgain, logged: LoggedPayment, mode: Mode, features: Floats) -> Mapping[str, float]:
    """Return with which probabilities a draft would have given each tier to a payment."""
    judged = draft.judge(logged, mode, features)
    shares = exploring.propensities(judged.weighed, judged.chance, judged.value, draft.compiled.exploring)
    return {tier.value: share for tier, share in zip(Tier, shares, strict=True)}


def _cost(logged: LoggedPayment, compiled: Compiled) -> float | None:
    row = logged.row
    if row.score is None:
        return None
    ending = Ending(
        tier=Tier(row.tier),
        value=counted(row.value, row.currency, compiled.spec.worth),
        chance=row.score,
        is_approved=row.is_approved,
        is_passed=row.is_passed,
        is_fraud=row.is_fraud,
        is_ruled=row.label_source == LabelSource.CASE.value,
    )
    return realized_cost(ending, compiled.terms)


def _book_of(policy: str) -> int | None:
    _, _, own = policy.partition("/")
    return int(own) if own.isdigit() else None
