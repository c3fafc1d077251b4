"""Risk control behind the port: a question in payments' words becomes signals, and a tier becomes a verdict.

Where judging fails the payment gets the tier that the policy in force has for that case; nothing of it reaches the payer.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import msgspec
import structlog

from tongbao.channels.schema import Initiator
from tongbao.core.clock import Clock
from tongbao.core.errors import AppError
from tongbao.core.ids import IdFactory
from tongbao.payments.policy.signals import Pseudonyms, signals_of
from tongbao.payments.ports import RiskQuestion, Verdict
from tongbao.payments.schema.intents import Intent, IntentState
from tongbao.risk.schema.challenges import Challenge, ChallengeOrder, Purpose
from tongbao.risk.schema.signals import Signals
from tongbao.risk.schema.tiers import Tier
from tongbao.risk.service.assessor import Asked, Assessor, Looked
from tongbao.risk.service.step_up_links import StepUpLinks

PROOF_LIFE = timedelta(minutes=30)
"""So long after a payer proved who it is the same payment may be confirmed without a new proof."""

_log = structlog.get_logger(__name__)

PassedFor = Callable[[int, UUID, bytes, timedelta], Awaitable[Challenge | None]]
"""Finds the challenge that was passed for a payment within a time; see ``Challenging.passed_for``."""


class SmartRisk:
    """Asks the assessor of this process. ``secret`` is what pseudonyms are made with, the same in every process."""

    def __init__(
        self,
        assessor: Assessor,
        links: StepUpLinks,
        passed_for: PassedFor,
        clock: Clock,
        ids: IdFactory,
        *,
        secret: bytes,
    ) -> None:
        self._assessor = assessor
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
            looked = self._assessor.assess(
                Asked(signals=signals, is_proved=proof is not None, can_step_up=can_step_up)
            )
        except Exception:
            # Whatever breaks there is theirs to mend; the payment goes on at the tier that was set for this.
            _log.exception("risk_control_failed", id=question.intent.reference)
            looked = self._assessor.fallback(signals, can_step_up=can_step_up and proof is None)
        if proof is not None:
            # The payment was counted at the first look; what becomes of it is told under that one.
            first = msgspec.structs.replace(signals, id=proof.signals_id)
            looked = looked._replace(fact=msgspec.structs.replace(looked.fact, signals=first, is_again=True))
        return self._verdict(question, signals, looked)

    def _verdict(self, question: RiskQuestion, signals: Signals, looked: Looked) -> Verdict:
        url = None
        if looked.tier is Tier.STEP_UP:
            order = ChallengeOrder(
                purpose=purpose_of(question.intent),
                live=question.intent.live,
                signals_id=signals.id,
                payee=question.merchant.name,
                destination=question.intent.reference,
            )
            url = self._links.url(order, question.intent.return_url or "")
        return Verdict(
            tier=looked.tier,
            reasons=looked.fact.reasons,
            step_up_url=url,
            decision=looked.decision,
            fact=looked.fact,
        )

    def _can_step_up(self, question: RiskQuestion) -> bool:
        """Return whether the payer is here and can be known from before.

        A code proves something only at an address that was on record before the payment: a customer's. In test mode the
        address for the receipt will do, so that it can be tried.
        """
        intent = question.intent
        has_address = intent.customer_id is not None or (not intent.live and bool(intent.receipt_email))
        return question.initiator is Initiator.PAYER and has_address

    async def _proof(self, intent: Intent) -> Challenge | None:
        """Return the proof of this very payment; looked for only where a step-up was wanted before."""
        if intent.state is not IntentState.REQUIRES_ACTION:
            return None
        try:
            digest = purpose_of(intent).digest
            return await self._passed_for(intent.book_id, intent.id, digest, PROOF_LIFE)
        except AppError:
            _log.exception("risk_proof_unknown", id=intent.reference)
            return None


def purpose_of(intent: Intent) -> Purpose:
    """Return the one payment that a proof of this intent is good for."""
    return Purpose(
        book_id=intent.book_id,
        subject_id=intent.id,
        amount_minor=intent.amount_minor,
        currency=intent.currency,
    )
