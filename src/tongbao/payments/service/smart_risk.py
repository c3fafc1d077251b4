"""Risk control behind the port: a question in payments' words becomes signals, and a tier becomes a verdict.

Where judging fails the payment gets the tier that the policy in force has for that case; nothing of it reaches the payer.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import msgspec
import structlog

from tongbao.channels.schema import Initiator, Reason
from tongbao.core.clock import Clock
from tongbao.core.errors import AppError
from tongbao.core.ids import IdFactory
from tongbao.decisions.schema.log import Candidate, Why
from tongbao.payments.policy.signals import Pseudonyms, signals_of
from tongbao.payments.ports import RiskQuestion, Verdict
from tongbao.payments.schema.intents import Intent, IntentState
from tongbao.risk.schema.challenges import Challenge, ChallengeOrder, Means, Purpose
from tongbao.risk.schema.reasons import ReasonCode
from tongbao.risk.schema.signals import Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.assessor import Asked, Looked
from tongbao.risk.service.judging import Judging, tell_failure
from tongbao.risk.service.step_up_links import LINK_LIFE, StepUpLinks

PROOF_LIFE = timedelta(minutes=30)
"""So long after a payer proved who it is the same payment may be confirmed without a new proof."""

_log = structlog.get_logger(__name__)

PassedFor = Callable[[int, UUID, bytes, timedelta], Awaitable[Challenge | None]]
"""Finds the challenge that was passed for a payment within a time; see ``Challenging.passed_for``."""


class SmartRisk:
    """Asks ``judge``, here or elsewhere. ``secret`` is what pseudonyms are made with, the same in every process."""

    def __init__(
        self,
        judge: Judging,
        links: StepUpLinks,
        passed_for: PassedFor,
        clock: Clock,
        ids: IdFactory,
        *,
        secret: bytes,
    ) -> None:
        self._judge = judge
        self._links = links
        self._passed_for = passed_for
        self._pseudonyms = Pseudonyms(secret)
        self._clock = clock
        self._ids = ids

    async def assess(self, question: RiskQuestion) -> Verdict:
        """Return the verdict with the decision and the fact to be written with what follows; see ``RiskControl``."""
        signals = signals_of(question, self._ids.uuid(), self._clock.now(), self._pseudonyms)
        can_step_up = self._can_step_up(question)
        proof = await self._proof(question.intent)
        try:
            looked = await self._judge.assess(
                Asked(signals=signals, is_proved=proof is not None, can_step_up=can_step_up)
            )
        except Exception as error:
            # Whatever breaks there is theirs to mend; the payment goes on at the tier that was set for this.
            tell_failure(error, question.intent.reference)
            looked = self._judge.fallback(signals, can_step_up=can_step_up or proof is not None)
        is_free = looked.tier in (Tier.FRICTIONLESS, Tier.REVIEW)
        if question.intent.must_prove and proof is None and is_free:
            looked = _retold(looked, Tier.STEP_UP, ReasonCode.AMOUNT_HIGH)
        if proof is not None:
            if looked.tier is Tier.STEP_UP:
                # The tier for failures is a proof, and that was given: lists and freezes would have said more.
                looked = _retold(looked, Tier.FRICTIONLESS, ReasonCode.PROVED)
            # The payment was counted at the first look; what becomes of it is told under that one.
            first = msgspec.structs.replace(signals, id=proof.signals_id)
            looked = looked._replace(fact=msgspec.structs.replace(looked.fact, signals=first, is_again=True))
        return self._verdict(question, signals, looked)

    def _verdict(self, question: RiskQuestion, signals: Signals, looked: Looked) -> Verdict:
        decision, url, until = looked.decision, None, None
        is_reachable = self._is_reachable(question.intent)
        if looked.tier is Tier.STEP_UP and is_reachable:
            order = ChallengeOrder(
                purpose=purpose_of(question.intent),
                live=question.intent.live,
                signals_id=signals.id,
                payee=question.merchant.name,
                destination=question.intent.reference,
            )
            until = self._clock.now() + LINK_LIFE
            url = self._links.url(order, question.intent.return_url or "")
        by_issuer = looked.tier is Tier.STEP_UP and not is_reachable
        if by_issuer:
            context = decision.context | {"means": Means.THREE_DS.value}
            decision = msgspec.structs.replace(decision, context=context)
        return Verdict(
            tier=looked.tier,
            reasons=looked.fact.reasons,
            step_up_url=url,
            step_up_until=until,
            by_issuer=by_issuer,
            decision=decision,
            fact=looked.fact,
        )

    def _can_step_up(self, question: RiskQuestion) -> bool:
        """Return whether the payer is here, and either can be known from before or is known to an issuer that asks."""
        can_prove = self._is_reachable(question.intent) or question.can_authenticate
        return question.initiator is Initiator.PAYER and can_prove

    def _is_reachable(self, intent: Intent) -> bool:
        """Return whether the payer can be asked by this house.

        A code proves something only at an address that was on record before the payment: a customer's. In test mode the
        address for the receipt will do, so that it can be tried.
        """
        return intent.customer_id is not None or (not intent.live and bool(intent.receipt_email))

    async def _proof(self, intent: Intent) -> Challenge | None:
        """Return the proof of this very payment; looked for only where a step-up was wanted before.

        One that came late, after the payment had stopped waiting for it, is a proof all the same.
        """
        error = intent.last_error
        has_waited = error is not None and error.reason is Reason.AUTHENTICATION_FAILED
        if intent.state is not IntentState.REQUIRES_ACTION and not has_waited:
            return None
        try:
            digest = purpose_of(intent).digest
            return await self._passed_for(intent.book_id, intent.id, digest, PROOF_LIFE)
        except AppError:
            _log.exception("risk_proof_unknown", id=intent.reference)
            return None


def _retold(looked: Looked, tier: Tier, reason: ReasonCode) -> Looked:
    """Return a look with another tier, and the reason for that before its own.

    A proved payer goes on where risk control could not judge; one that must prove itself does whatever was judged.
    """
    decision = msgspec.structs.replace(
        looked.decision,
        chosen=tier.value,
        candidates=tuple(Candidate(name=each.value, propensity=float(each is tier)) for each in Tier),
        reasons=(Why(reason.value), *looked.decision.reasons),
    )
    fact = msgspec.structs.replace(looked.fact, tier=tier, reasons=(reason.value, *looked.fact.reasons))
    return Looked(tier, decision, fact)


def purpose_of(intent: Intent) -> Purpose:
    """Return the one payment that a proof of this intent is good for."""
    return Purpose(
        book_id=intent.book_id,
        subject_id=intent.id,
        amount_minor=intent.amount_minor,
        currency=intent.currency,
    )
