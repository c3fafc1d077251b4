"""Back-testing: what new routing rules would have done to the payments of the log.

Rows are made of logged decisions about channels: the candidates that could carry the payment, the one that was chosen,
and what the decision stood at as approved. A decision without an outcome tells nothing and is counted apart.
"""

import asyncio
from collections.abc import Collection
from typing import NamedTuple

import msgspec

from tongbao.core.errors import InvalidRequest, LimitExceeded
from tongbao.decisions.schema.log import Candidate, Decision, Range
from tongbao.decisions.service.log import DecisionLog, Learned
from tongbao.decisions.service.policies import Policies
from tongbao.routing.policy import rules_backtest, rules_text
from tongbao.routing.policy.rules import Rule, Rules
from tongbao.routing.policy.rules_backtest import Approval, Backtest, Logged, Move, RuleResult
from tongbao.routing.schema.payments import Payment
from tongbao.routing.service.compiling import POLICY, compile_spec
from tongbao.routing.service.replaying import APPROVED

__all__ = ["Approval", "Backtest", "Backtesting", "Move", "Rule", "RuleResult", "Rules", "Tested"]

DECISIONS_MAX = 200_000
BY_RULE = frozenset({"rule_only", "rule_avoid"})
"""Whom the old rules took away, the new ones may leave."""


class Tested(NamedTuple):
    """A back-test, and how many decisions of the time had no outcome yet."""

    backtest: Backtest
    without_outcome_count: int


class Backtesting:
    """Reads rules and tries them on the log; writes nothing. ``channels``: the names that rules may speak of."""

    def __init__(self, log: DecisionLog, policies: Policies, channels: Collection[str]) -> None:
        self._log = log
        self._policies = policies
        self._channels = frozenset(channels)

    def rules(self, text: str) -> Rules:
        """Return the rules of a text; raise InvalidRequest ``rules_invalid`` with line and column."""
        return rules_text.parse(text, self._channels)

    def text(self, rules: Rules) -> str:
        """Return rules in their canonical text."""
        return rules_text.format_rules(rules)

    async def in_force(self, policy: str) -> Rules:
        """Return the rules of a policy's champion; none where the policy was never rolled out."""
        rollout = await self._policies.current(policy)
        if rollout is None:
            return Rules()
        champion = await self._policies.version(policy, rollout.champion)
        return compile_spec(champion.spec, self._channels).rules

    async def backtest(self, of: Range, old: Rules, new: Rules) -> Tested:
        """Return what ``new`` would have done to the payments of a range, which were routed under ``old``.

        Raises InvalidRequest ``backtest_span_invalid`` for a time that ends before it begins, LimitExceeded
        ``backtest_too_long`` beyond ``DECISIONS_MAX`` decisions.
        """
        if of.from_at >= of.to_at:
            raise InvalidRequest("backtest_span_invalid", "a time begins before it ends")
        rows: list[Logged] = []
        silent = 0
        async for page in self._log.learned(of, APPROVED):
            for each in page:
                if each.decision.kind != POLICY:
                    continue
                if each.value is None:
                    silent += 1
                else:
                    rows.append(_row(each, each.value))
            if len(rows) + silent > DECISIONS_MAX:
                raise LimitExceeded(
                    "backtest_too_long", f"a back-test reads at most {DECISIONS_MAX:,} decisions"
                )
        # Some seconds of arithmetic must not hold up the payments of this process.
        tested = await asyncio.to_thread(rules_backtest.backtest, rows, old, new)
        return Tested(tested, silent)


def _row(learned: Learned, value: float) -> Logged:
    decision = learned.decision
    chosen = next(each for each in decision.candidates if each.name == decision.chosen)
    cost = chosen.facts.get("cost_minor", 0)
    return Logged(
        payment=_payment(decision),
        channel=decision.chosen,
        candidates=tuple(each.name for each in decision.candidates if _could_carry(each)),
        approved=value > 0,
        cost_minor=round(cost) if isinstance(cost, int | float) else 0,
    )


def _could_carry(candidate: Candidate) -> bool:
    """Return whether a channel was open to the rules: not one that could not carry the payment, or had said no."""
    return candidate.score is not None or candidate.excluded in BY_RULE


def _payment(decision: Decision) -> Payment:
    """Return the payment of a decision as its rules saw it."""
    known = {name: value for name, value in decision.context.items() if name in Payment.__struct_fields__}
    whose = {"book_id": decision.book_id, "live": decision.live, "subject_id": decision.subject_id}
    return msgspec.convert(known | whose, Payment)
