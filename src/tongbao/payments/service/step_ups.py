"""Step-ups that end without a proof: the payment stops waiting, once, and a challenge that nobody needs is abandoned.

A proof that was given goes on by itself (the payer's page confirms again). What is told of a failure is about one look of
risk control: a payment that was judged anew meanwhile, was paid, canceled, or waits for another amount is left alone, and
so is one for which another page still asks, or has its answer already.
"""

from collections.abc import Sequence
from uuid import UUID

import structlog

from tongbao.core.errors import AppError, Conflict, NotFound
from tongbao.core.events.facts import Delivered
from tongbao.core.events.subscriptions import Consumer
from tongbao.core.ids import uuid_text
from tongbao.payments.errors import Missing
from tongbao.payments.policy import step_ups as policy
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import IntentView
from tongbao.payments.service.desk import Desk, Planned
from tongbao.payments.service.smart_risk import purpose_of
from tongbao.risk.schema.challenges import ChallengeState, Means
from tongbao.risk.schema.facts import Proved

SUBSCRIPTION = "payments.step_ups"

is_waiting = policy.is_waiting
"""Whether an intent, whose latest attempt is given, waits for a proof of its payer; for pages."""

_log = structlog.get_logger(__name__)


class StepUps:
    """Ends the waiting for proofs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def subscription(self) -> Consumer:
        """Return what listens for how proofs went."""
        return Consumer(SUBSCRIPTION, (Proved,), handle=self.heard)

    async def heard(self, delivered: Sequence[Delivered]) -> None:
        """Take in proofs that failed or expired; a repeat finds it done. Raises Unavailable where it must be tried again."""
        for each in delivered:
            fact = each.fact
            if not isinstance(fact, Proved) or fact.is_passed or fact.means == Means.THREE_DS:
                continue
            try:
                await self._failed(fact.book_id, fact.subject_id, fact.signals_id)
            except Missing:
                _log.warning("step_up_of_nothing", id=fact.subject)

    async def lapse(self, intent: Intent) -> bool:
        """End the waiting of an intent whose page is no longer good; return whether it was so."""
        attempt = await self._attempt(intent)
        if not policy.is_due(intent, attempt, self._desk.clock.now()):
            return False
        await self._failed(intent.book_id, intent.id, None)
        await abandon(self._desk, intent)
        return True

    async def _failed(self, book_id: int, intent_id: UUID, look_id: UUID | None) -> None:
        async def plan() -> Planned:
            intent = await self._desk.read(Intent, book_id, intent_id)
            attempt = await self._attempt(intent)
            now = self._desk.clock.now()
            after = policy.failed(intent, attempt, look_id, now)
            if after is None or (look_id is None and not policy.is_due(intent, attempt, now)):
                return Planned(None, IntentView(intent, attempt))
            if look_id is not None and await self._is_asked_otherwise(intent):
                return Planned(None, IntentView(intent, attempt))
            told = (("payment_intent.payment_failed", after),)
            change = self._desk.change(after, now, updates=(after,), events=told)
            return Planned(change, IntentView(after, attempt))

        await self._desk.decide(plan, reference=uuid_text(Intent.PREFIX, intent_id))

    async def _is_asked_otherwise(self, intent: Intent) -> bool:
        """Return whether a newer challenge of the same payment is open, or was passed and goes on right now."""
        latest = await self._desk.proofs.latest(purpose_of(intent))
        if latest is None:
            return False
        state = latest.state_at(self._desk.clock.now())
        return state in (ChallengeState.OPEN, ChallengeState.PASSED)

    async def _attempt(self, intent: Intent) -> Attempt | None:
        if intent.attempt_id is None:
            return None
        return await self._desk.read(Attempt, intent.book_id, intent.attempt_id)


async def abandon(desk: Desk, intent: Intent) -> None:
    """Abandon the challenge that is open for a payment as ``intent`` was; nothing of it fails what was done.

    One that could not be abandoned ends by its time, and nobody listens to its end.
    """
    try:
        latest = await desk.proofs.latest(purpose_of(intent))
        if latest is not None and latest.state is ChallengeState.OPEN:
            await desk.proofs.abandon(intent.book_id, latest.id)
    except (NotFound, Conflict):
        return
    except AppError as error:
        _log.warning("challenge_not_abandoned", id=intent.reference, code=error.code)
