"""Replaying: what a draft would have done with the payments of the log, before it may meet traffic.

The draft is asked with what was known at the moment of each decision: the beliefs, breakers and context that the log holds,
not today's. Month volumes of the past are not in the log, so caps, tiers and commitments are taken as if the month
began; a report of a draft that differs only in those says little, and its agreement shows it.
"""

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from tongbao.core.clock import Clock
from tongbao.core.errors import LimitExceeded
from tongbao.core.ids import IdFactory
from tongbao.decisions.schema.evaluation import EXPLORING, EvaluationOrder, Report
from tongbao.decisions.schema.log import Candidate, Decision, Range
from tongbao.decisions.service.evaluating import evaluate
from tongbao.decisions.service.log import DecisionLog
from tongbao.decisions.service.policies import Policies
from tongbao.routing.models.board import BoardTuning
from tongbao.routing.models.breakers import CLOSED, HALF_OPEN, OPEN
from tongbao.routing.policy.economics import Terms
from tongbao.routing.policy.ranking import Z90
from tongbao.routing.policy.reckoning import reckon
from tongbao.routing.policy.traffic import Known
from tongbao.routing.schema.volumes import Used, no_rates
from tongbao.routing.service.compiling import DEFAULT, POLICY, Compiled, compile_spec
from tongbao.routing.service.logged import payment_of, shifted

APPROVED = "approved"
REPLAYED_MAX = 200_000
OUT_OF_TRAFFIC = frozenset({"breaker_open", "together", "silent"})
TERMS = Terms(used=lambda _name: Used(), convert=no_rates, month_left_share=1.0)


class Replaying:
    """Replays drafts of routing policies on the decision log."""

    def __init__(
        self,
        log: DecisionLog,
        policies: Policies,
        clock: Clock,
        ids: IdFactory,
        channels: Collection[str],
        tuning: BoardTuning,
    ) -> None:
        self._log = log
        self._policies = policies
        self._clock = clock
        self._ids = ids
        self._channels = channels
        self._tuning = tuning

    async def replay(
        self, policy: str, version: int, span: tuple[datetime, datetime], actor: str, *, live: bool = True
    ) -> Report:
        """Return the report of a version on the decisions of a time, and record it with the version.

        Raises NotFound, InvalidRequest ``replay_empty`` where the time holds no decision with an outcome, LimitExceeded
        ``replay_too_large`` beyond ``REPLAYED_MAX`` decisions, and what compiling the version raises.
        """
        drafted = await self._policies.version(policy, version)
        compiled = compile_spec(drafted.spec, self._channels)
        of = Range(span[0], span[1], book_id=_book_of(policy), live=live)
        decisions: list[Decision] = []
        outcomes: dict[UUID, float] = {}
        async for page in self._log.learned(of, APPROVED):
            for each in page:
                if each.decision.kind != POLICY:
                    continue
                decisions.append(each.decision)
                if each.value is not None:
                    outcomes[each.decision.id] = each.value
            if len(decisions) > REPLAYED_MAX:
                raise LimitExceeded("replay_too_large", f"a replay reads up to {REPLAYED_MAX:,} decisions")
        order = EvaluationOrder(
            id=self._ids.uuid(),
            policy=policy,
            version=version,
            against="what decided then",
            outcome=APPROVED,
            from_at=span[0],
            to_at=span[1],
            made_at=self._clock.now(),
            made_by=actor,
            context_keys=("method", "issuer"),
            value_range=1.0,
            safeguards=EXPLORING,
        )
        # A hundred thousand decisions take seconds, and payments do not wait for them.
        report = await asyncio.to_thread(
            evaluate, decisions, outcomes, lambda decision: self.target(compiled, decision), order
        )
        await self._policies.replayed(policy, version, report, actor)
        return report

    async def again(self, decision: Decision) -> Mapping[str, float]:
        """Return with which probabilities the version that made a decision chooses with what was known then; see ``target``.

        Raises NotFound ``policy_version_unknown``, and what compiling the version raises.
        """
        if not decision.version:
            return self.target(DEFAULT, decision)
        made = await self._policies.version(decision.policy, decision.version)
        return self.target(compile_spec(made.spec, self._channels), decision)

    def target(self, compiled: Compiled, decision: Decision) -> Mapping[str, float]:
        """Return with which probabilities a policy would have chosen, knowing what was known at a decision.

        Its own context prior stands in the place of the one of then.
        """
        return chances(compiled, shifted(compiled.prior, decision), self._tuning)


def chances(compiled: Compiled, decision: Decision, tuning: BoardTuning) -> dict[str, float]:
    """Return the probabilities of a policy over the candidates of a logged decision.

    What the channel itself could not carry stays excluded. Where the draft leaves nothing, the logged choice stands:
    a payment always went somewhere.
    """
    usable = [each for each in decision.candidates if each.score is not None]
    payment = payment_of(decision)
    if not usable or payment is None:
        return {decision.chosen: 1.0}
    reckoned = reckon(compiled.book, payment, _known(usable), TERMS, tuning)
    if reckoned is None:
        return {decision.chosen: 1.0}
    return reckoned.chances()


def _known(candidates: list[Candidate]) -> Known:
    """Return what was believed of channels when the decision was made."""
    state = [_state(each) for each in candidates]
    chance = [_fact(each, "approval", 0.5) for each in candidates]
    low = [_fact(each, "approval_low", 0.0) for each in candidates]
    high = [_fact(each, "approval_high", 1.0) for each in candidates]
    return Known(
        tuple(each.name for each in candidates),
        chance,
        # An interval that reaches 0 or 1 was cut off there; its other side still has the whole width.
        [max(top - mid, mid - bottom) / Z90 for bottom, mid, top in zip(low, chance, high, strict=True)],
        state,
        [each.propensity if at == HALF_OPEN else 0.0 for each, at in zip(candidates, state, strict=True)],
        [_fact(each, "waiting_s", 0.0) for each in candidates],
        [_fact(each, "technical_rate", 0.0) for each in candidates],
        [0] * len(candidates),
    )


def _state(candidate: Candidate) -> int:
    if candidate.excluded in OUT_OF_TRAFFIC:
        return OPEN
    if candidate.facts.get("breaker") == "half_open":
        return HALF_OPEN
    return CLOSED


def _fact(candidate: Candidate, name: str, otherwise: float) -> float:
    value = candidate.facts.get(name, otherwise)
    return float(value) if isinstance(value, int | float) else otherwise


def _book_of(policy: str) -> int | None:
    _, _, own = policy.partition("/")
    return int(own) if own.isdigit() else None
