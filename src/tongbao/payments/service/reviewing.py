"""Reviewing: what an analyst decided about held payments is carried out, once, whatever happens in between.

A release captures what was reserved, a rejection gives it back; where the channel could only take the money at once, a
rejection refunds it. The intent's ``risk_state`` tells which it was.
"""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import structlog

from tongbao.core.errors import AppError, Conflict, OutcomeUnknown, Unavailable
from tongbao.core.events.facts import Delivered
from tongbao.core.events.subscriptions import Consumer
from tongbao.payments.errors import Missing, WrongState
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import CancelReason, Intent, IntentState, RiskState
from tongbao.payments.schema.orders import IntentView
from tongbao.payments.schema.refunds import FRAUDULENT
from tongbao.payments.service.acting import Acting
from tongbao.payments.service.desk import Desk, Planned
from tongbao.payments.service.refunding import Refunding
from tongbao.risk.schema.cases import CaseDecided

SUBSCRIPTION = "payments.reviewing"

_log = structlog.get_logger(__name__)


class Reviewing:
    """Carries out decisions about held payments."""

    def __init__(self, desk: Desk, acting: Acting, refunds: Refunding) -> None:
        self._desk = desk
        self._acting = acting
        self._refunds = refunds

    def subscription(self) -> Consumer:
        """Return what listens for cases that were closed."""
        return Consumer(SUBSCRIPTION, (CaseDecided,), handle=self.heard)

    async def heard(self, delivered: Sequence[Delivered]) -> None:
        """Carry out what cases decided; a repeat finds it done. Raises Unavailable where it has to be tried again."""
        for each in delivered:
            if not isinstance(each.fact, CaseDecided):
                continue
            for payment in each.fact.release:
                await self._carried_out(self.release, payment.book_id, payment.subject_id)
            for payment in each.fact.reject:
                await self._carried_out(self.reject, payment.book_id, payment.subject_id)

    async def release(self, book_id: int, intent_id: UUID) -> None:
        """Let a held payment go on: it is captured where its merchant wanted it captured at once."""
        intent = await self._desk.read(Intent, book_id, intent_id)
        if intent.state is IntentState.REQUIRES_CAPTURE and intent.capture_method.at_once:
            await self._acting.release(book_id, intent_id)
        await self._mark(book_id, intent_id, RiskState.CLEAR)

    async def reject(self, book_id: int, intent_id: UUID) -> None:
        """Give a held payment back."""
        intent = await self._desk.read(Intent, book_id, intent_id)
        if intent.state is IntentState.SUCCEEDED:
            if intent.amount_refunded_minor < intent.amount_received_minor:
                await self._refunds.create_in(book_id, intent_id=intent_id, cause=FRAUDULENT)
        elif intent.state is not IntentState.CANCELED:
            await self._acting.cancel_in(book_id, intent_id, CancelReason.FRAUDULENT)
        await self._mark(book_id, intent_id, RiskState.BLOCKED)

    async def _mark(self, book_id: int, intent_id: UUID, state: RiskState) -> None:
        async def plan() -> Planned:
            intent = await self._desk.read(Intent, book_id, intent_id)
            if intent.risk_state is state:
                return Planned(None, IntentView(intent))
            marked = intent.changed(self._desk.clock.now(), risk_state=state)
            attempt = None
            if intent.attempt_id is not None:
                attempt = await self._desk.read(Attempt, book_id, intent.attempt_id)
            change = self._desk.change(marked, self._desk.clock.now(), updates=(marked,))
            return Planned(change, IntentView(marked, attempt))

        await self._desk.decide(plan, reference="the payment")

    async def _carried_out(
        self, act: Callable[[int, UUID], Awaitable[None]], book_id: int, intent_id: UUID
    ) -> None:
        """Carry out one decision; a payment that went another way meanwhile is left alone and people are told."""
        try:
            await act(book_id, intent_id)
        except (Unavailable, OutcomeUnknown):
            raise
        except (Missing, WrongState, Conflict) as error:
            _log.warning("review_overtaken", id=str(intent_id), code=error.code, detail=error.detail)
            self._desk.alarm("review_overtaken", None)
        except AppError as error:
            _log.error("review_not_carried_out", id=str(intent_id), code=error.code, detail=error.detail)
            self._desk.alarm("review_not_carried_out", None)
