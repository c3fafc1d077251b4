"""Refunding: the money is put aside and the refund committed as ``sent`` before the channel is asked.

So a refund without an answer is never lost and never made twice, and one that the channel refuses is ``failed`` at once,
its money back with the merchant.
"""

from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.channels.schema import Answer, Follow, Inquire, Operation, Outcome
from tongbao.core.requests.asks import Ask
from tongbao.parties.schema import Scope
from tongbao.payments.errors import BadParameter, WrongState
from tongbao.payments.policy import complaints, orders, refunds
from tongbao.payments.policy.refunds import RefundStep
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.changes import Claimed
from tongbao.payments.schema.complaints import Complaint
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.orders import Done, Page, PageOrder, RefundView
from tongbao.payments.schema.refunds import Refund
from tongbao.payments.service.desk import Desk, Planned

CAUSES = frozenset({"duplicate", "fraudulent", "requested_by_customer"})


class Refunding:
    """Makes refunds and follows them to their end."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(
        self,
        scope: Scope,
        *,
        intent_id: UUID | None = None,
        attempt_id: UUID | None = None,
        amount_minor: int | None = None,
        cause: str | None = None,
        metadata: dict[str, str] | None = None,
        ask: Ask | None = None,
    ) -> Done[RefundView]:
        """Refund all or part of what an intent, or one attempt of it, captured. Idempotent by ``ask``.

        Raises Missing, BadParameter, what ``refunds.begin`` raises, and what ``Desk.decide`` raises.
        """
        return await self.create_in(
            scope.book_id,
            intent_id=intent_id,
            attempt_id=attempt_id,
            amount_minor=amount_minor,
            cause=cause,
            metadata=metadata,
            ask=ask,
        )

    async def create_in(
        self,
        book_id: int,
        *,
        intent_id: UUID | None = None,
        attempt_id: UUID | None = None,
        amount_minor: int | None = None,
        cause: str | None = None,
        metadata: dict[str, str] | None = None,
        ask: Ask | None = None,
    ) -> Done[RefundView]:
        """Refund in a book, as ``create`` does; for workers."""
        if cause is not None and cause not in CAUSES:
            raise BadParameter("parameter_invalid", "reason", f"one of {', '.join(sorted(CAUSES))}")
        orders.check_metadata(metadata or {})
        refund_id = self._desk.ids.uuid()

        async def plan() -> Planned:
            attempt = await self._refunded(book_id, intent_id, attempt_id)
            intent = await self._desk.read(Intent, book_id, attempt.intent_id)
            now = self._desk.clock.now()
            step = refunds.begin(
                intent,
                attempt,
                self._desk.capabilities(attempt.channel),
                amount_minor,
                cause=cause,
                metadata=metadata or {},
                money=await self._desk.money(attempt),
                refund_id=refund_id,
                now=now,
            )
            assert step.refund is not None
            change = self._desk.change(
                step.refund,
                now,
                claim=ask,
                inserts=(step.refund,),
                updates=(step.attempt, step.intent),
                transfers=step.transfers,
                events=step.events,
            )
            return Planned(change, RefundView(step.refund, step.attempt or attempt, step.intent or intent))

        async def resume(claimed: Claimed) -> Done[RefundView]:
            assert claimed.subject_id is not None
            refund = await self._desk.read(Refund, book_id, claimed.subject_id)
            return await self._stands(refund, ask)

        begun = await self._desk.decide(plan, reference="the refund", asked=(book_id, ask), resume=resume)
        if begun.view is None or begun.rendered is not None:
            return begun
        view: RefundView = begun.view
        answer = await self._desk.channel(view.attempt.channel).refund(self._call(view.refund, view.attempt))
        return await self.settle(book_id, view.refund.id, answer, ask=ask)

    async def settle(
        self, book_id: int, refund_id: UUID, answer: Answer, *, ask: Ask | None = None
    ) -> Done[RefundView]:
        """Commit what an answer means for a refund; the same answer again changes nothing."""
        step = RefundStep()

        async def plan() -> Planned:
            nonlocal step
            refund = await self._desk.read(Refund, book_id, refund_id)
            attempt = await self._desk.read(Attempt, book_id, refund.attempt_id)
            intent = await self._desk.read(Intent, book_id, refund.intent_id)
            now = self._desk.clock.now()
            step = refunds.end(refund, attempt, intent, answer, await self._desk.money(attempt), now)
            view = RefundView(step.refund or refund, step.attempt or attempt, step.intent or intent)
            if step.refund is None and ask is None:
                return Planned(None, view)
            ended = await self._complaint(step, intent, now)
            change = self._desk.change(
                refund,
                now,
                ask=ask,
                view=view,
                updates=(step.refund, step.attempt, step.intent, ended),
                transfers=step.transfers,
                events=(*step.events, *(("complaint.closed", each) for each in (ended,) if each)),
            )
            return Planned(change, view)

        done = await self._desk.decide(plan, reference="the refund")
        if step.alarm is not None:
            self._desk.alarm(step.alarm, step.refund)
        return done

    async def resolve(self, refund: Refund) -> None:
        """Inquire a refund that is not known to have ended; repeat it where the channel has never seen it."""
        attempt = await self._desk.read(Attempt, refund.book_id, refund.attempt_id)
        channel = self._desk.channel(attempt.channel)
        answer = await channel.inquire(
            Inquire(
                operation=Operation.REFUND,
                reference=refund.reference,
                authorization_reference=attempt.reference,
                channel_reference=refund.channel_reference or attempt.channel_reference,
                amount_minor=refund.amount_minor,
                currency=refund.currency,
                method=attempt.method,
                sent_at=refund.sent_at,
            )
        )
        if answer.outcome in (Outcome.NOT_FOUND, Outcome.UNRESOLVED, Outcome.NOT_SENT):
            # The same reference again is the same refund upstream, so repeating is how this one is inquired.
            answer = await channel.refund(self._call(refund, attempt))
            if answer.outcome is Outcome.NOT_SENT:
                # It was sent before: that this repeat did not leave the house says nothing about the first.
                answer = msgspec.structs.replace(answer, outcome=Outcome.UNRESOLVED)
        await self.settle(refund.book_id, refund.id, answer)

    async def get(self, scope: Scope, refund_id: UUID) -> Refund:
        """Return a refund; raise Missing."""
        return await self._desk.read(Refund, scope.book_id, refund_id)

    async def page(self, scope: Scope, order: PageOrder) -> Page[Refund]:
        """Return refunds, newest first; ``parent_id`` keeps those of one intent."""
        return await self._desk.page(Refund, scope.book_id, order)

    async def change(
        self, scope: Scope, refund_id: UUID, metadata: dict[str, str], *, ask: Ask | None = None
    ) -> Done[Refund]:
        """Merge metadata into a refund; raise Missing, BadParameter."""

        async def plan() -> Planned:
            refund = await self._desk.read(Refund, scope.book_id, refund_id)
            now = self._desk.clock.now()
            after = refund.changed(now, metadata=orders.merged_metadata(refund.metadata, metadata))
            events = (("refund.updated", after),)
            change = self._desk.change(
                after, now, claim=ask, ask=ask, view=after, updates=(after,), events=events
            )
            return Planned(change, after)

        return await self._desk.decide(plan, reference="the refund", asked=(scope.book_id, ask))

    async def _stands(self, refund: Refund, ask: Ask | None) -> Done[RefundView]:
        """Answer a request whose first run was cut short with how its refund stands."""

        async def plan() -> Planned:
            attempt = await self._desk.read(Attempt, refund.book_id, refund.attempt_id)
            intent = await self._desk.read(Intent, refund.book_id, refund.intent_id)
            view = RefundView(refund, attempt, intent)
            return Planned(self._desk.change(refund, self._desk.clock.now(), ask=ask, view=view), view)

        return await self._desk.decide(plan, reference=refund.reference)

    async def _complaint(self, step: RefundStep, intent: Intent, now: datetime) -> Complaint | None:
        """Return the payer's open complaint about a payment as a refund that went through ends it; None where there is none."""
        if step.refund is None or intent.complaint_id is None:
            return None
        complaint = await self._desk.read(Complaint, intent.book_id, intent.complaint_id)
        return complaints.refunded(complaint, step.refund, now)

    async def _refunded(self, book_id: int, intent_id: UUID | None, attempt_id: UUID | None) -> Attempt:
        """Return the attempt whose money is to be given back."""
        if attempt_id is not None:
            return await self._desk.read(Attempt, book_id, attempt_id, "charge")
        if intent_id is None:
            raise BadParameter("parameter_missing", "payment_intent", "name a payment intent or a charge")
        intent = await self._desk.read(Intent, book_id, intent_id, "payment_intent")
        if intent.paid_by_id is None:
            raise WrongState(
                "charge_not_refundable",
                f"{intent.reference} has collected nothing",
                payment_intent=intent.reference,
            )
        return await self._desk.read(Attempt, book_id, intent.paid_by_id)

    def _call(self, refund: Refund, attempt: Attempt) -> Follow:
        return Follow(
            reference=refund.reference,
            authorization_reference=attempt.reference,
            channel_reference=attempt.channel_reference,
            amount_minor=refund.amount_minor,
            total_minor=attempt.amount_minor,
            currency=refund.currency,
            method=attempt.method,
            captured=True,
            reason=refund.cause or "",
            notify_url=self._desk.notify_url(attempt.channel),
        )
