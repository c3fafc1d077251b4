"""Confirming: from a wish to money, in two commits with the channel between them.

First commit: the request is claimed, the intent is ``processing``, the attempt ``sent``. Then the channel is called.
Second commit: what it answered, the transfers that this means, the events and the answer to the request. Whatever
happens between the two (this process dies, the database goes away) leaves an attempt that is ``sent`` and due: the
resolver inquires it. Nothing is ever sent twice under two references.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.channels.schema import (
    Action,
    ActionKind,
    Answer,
    Authorize,
    Fault,
    Initiator,
    Method,
    Outcome,
    Reason,
    Retry,
)
from tongbao.channels.service.codes import reason_info
from tongbao.core.requests.asks import Ask
from tongbao.decisions.schema.log import Decision
from tongbao.parties.schema import Scope
from tongbao.payments.policy import mandates, orders, outcomes, schedule
from tongbao.payments.policy.steps import Step, announced, intent_moved
from tongbao.payments.ports import RiskTier, Route, Verdict
from tongbao.payments.schema.attempts import Attempt, AttemptState
from tongbao.payments.schema.changes import Claimed, Reference, ReferenceKind
from tongbao.payments.schema.intents import (
    Intent,
    IntentState,
    PaymentError,
    RiskState,
)
from tongbao.payments.schema.methods import PaymentMethod
from tongbao.payments.schema.orders import ConfirmOrder, Done, IntentOrder, IntentView
from tongbao.payments.service.choosing import Choosing
from tongbao.payments.service.desk import Desk, Planned
from tongbao.payments.service.keeping import kept_by

ATTEMPTS_PER_CONFIRM_MAX = 3


class Sent(NamedTuple):
    """What the first commit left behind: the attempt to be sent now, or None where risk control said no."""

    intent: Intent
    attempt: Attempt | None
    method: PaymentMethod | None
    network_reference: str | None = None
    return_url: str | None = None
    payer_address: str | None = None
    tried: tuple[str, ...] = ()


class Confirming:
    """Creates intents that are confirmed at once, and confirms those that exist."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._choosing = Choosing(desk)

    async def create(
        self, intent: Intent, order: IntentOrder, confirm: ConfirmOrder, ask: Ask | None
    ) -> Done[IntentView]:
        """Make an intent and collect it. Idempotent by ``ask``; raises as ``confirm`` and ReferenceTaken."""

        async def plan() -> Planned:
            return await self._plan(intent, confirm, ask, is_new=True, given=order.method)

        return await self._run(plan, intent, ask)

    async def confirm(
        self, scope: Scope, intent_id: UUID, confirm: ConfirmOrder, ask: Ask | None
    ) -> Done[IntentView]:
        """Collect an intent. A decline is a view with ``last_error``, not an exception.

        Raises Missing, WrongState ``payment_intent_unexpected_state`` or ``payment_intent_attempt_open``, BadParameter
        for a method that is missing or not allowed, and what ``Desk.decide`` raises.
        """

        async def plan() -> Planned:
            intent = await self._desk.read(Intent, scope.book_id, intent_id)
            attempt = None
            if intent.attempt_id is not None:
                attempt = await self._desk.read(Attempt, scope.book_id, intent.attempt_id)
            orders.check_confirmable(intent, attempt)
            return await self._plan(intent, confirm, ask, is_new=False, given=None)

        intent = await self._desk.read(Intent, scope.book_id, intent_id)
        return await self._run(plan, intent, ask)

    async def _run(
        self, plan: Callable[[], Awaitable[Planned]], intent: Intent, ask: Ask | None
    ) -> Done[IntentView]:
        async def resume(claimed: Claimed) -> Done[IntentView]:
            return await self._resume(intent.book_id, claimed, ask)

        begun = await self._desk.decide(
            plan, reference=intent.reference, asked=(intent.book_id, ask), resume=resume
        )
        # A replayed answer, or a request that was cut short and is answered with how its intent stands.
        if begun.view is None or isinstance(begun.view, IntentView):
            return begun
        sent: Sent = begun.view
        if sent.attempt is None:
            return Done(IntentView(sent.intent, None, sent.method), begun.rendered)
        return await self._collect(sent, ask)

    async def _resume(self, book_id: int, claimed: Claimed, ask: Ask | None) -> Done[IntentView]:
        """Answer a request whose first run was cut short with how its intent stands now."""
        assert claimed.subject_id is not None
        subject_id = claimed.subject_id

        async def plan() -> Planned:
            intent = await self._desk.read(Intent, book_id, subject_id)
            attempt = None
            if intent.attempt_id is not None:
                attempt = await self._desk.read(Attempt, book_id, intent.attempt_id)
            view = IntentView(intent, attempt)
            return Planned(self._desk.change(intent, self._desk.clock.now(), ask=ask, view=view), view)

        return await self._desk.decide(plan, reference="the request")

    async def _plan(
        self,
        intent: Intent,
        confirm: ConfirmOrder,
        ask: Ask | None,
        *,
        is_new: bool,
        given: Method | None,
    ) -> Planned:
        """Decide who judges, which channel carries, and what the first commit writes."""
        desk, now = self._desk, self._desk.clock.now()
        chosen = await self._choosing.means(intent, confirm, given)
        mandate = chosen.mandate
        # A method that was given with the payment is kept beside it, so that refunds and receipts can name it.
        kept = chosen.kept or self._saved(intent, chosen.method, now)
        saved = () if chosen.kept else (kept,)
        verdict = await self._choosing.verdict(intent, chosen, confirm.payer_address)
        intent = msgspec.structs.replace(
            intent,
            method_id=kept.id,
            capture_method=confirm.capture_method or intent.capture_method,
            return_url=confirm.return_url or intent.return_url,
            off_session=intent.off_session if confirm.off_session is None else confirm.off_session,
            mandate_id=mandate.id if mandate else None,
            risk_state=RiskState.REVIEW if verdict.tier is RiskTier.REVIEW else intent.risk_state,
        )
        if verdict.tier in (RiskTier.DECLINE, RiskTier.STEP_UP):
            return self._held_up(intent, verdict, kept, saved, ask, now, is_new=is_new)
        route = await self._choosing.route(intent, chosen.method, chosen.initiator)
        attempt = self._attempt(
            intent, chosen.method, kept, route, chosen.initiator, now, extended=confirm.extended
        )
        sent = _processing(intent, attempt, now, is_new=is_new)
        used = mandates.used(mandate, intent.amount_minor, intent.currency, now) if mandate else None
        change = desk.change(
            sent,
            now,
            claim=ask,
            inserts=(*saved, sent, attempt) if is_new else (*saved, attempt),
            updates=() if is_new else (sent, used),
            references=_references(sent) if is_new else (),
            decisions=_decided(route, attempt),
        )
        if is_new and used is not None:
            change = msgspec.structs.replace(change, updates=(used,))
        return Planned(
            change,
            Sent(
                sent,
                attempt,
                kept,
                mandate.network_reference if mandate else None,
                intent.return_url,
                confirm.payer_address,
            ),
        )

    def _saved(self, intent: Intent, method: Method, now: datetime) -> PaymentMethod:
        return PaymentMethod(
            id=self._desk.ids.uuid(),
            book_id=intent.book_id,
            live=intent.live,
            created_at=now,
            updated_at=now,
            method=method,
        )

    def _attempt(
        self,
        intent: Intent,
        method: Method,
        kept: PaymentMethod | None,
        route: Route,
        initiator: Initiator,
        now: datetime,
        *,
        extended: bool,
    ) -> Attempt:
        return Attempt(
            id=self._desk.ids.uuid(),
            book_id=intent.book_id,
            live=intent.live,
            created_at=now,
            updated_at=now,
            due_at=schedule.after_sending(now),
            state=AttemptState.SENT,
            intent_id=intent.id,
            customer_id=intent.customer_id,
            method_id=kept.id if kept else None,
            channel=route.channel,
            method=method,
            initiator=initiator,
            amount_minor=intent.amount_minor,
            currency=intent.currency,
            capture=intent.capture_method.at_once,
            extended=extended,
            sent_at=now,
            fallbacks=route.fallbacks,
            decision_id=route.decision.id if route.decision else None,
        )

    def _held_up(
        self,
        intent: Intent,
        verdict: Verdict,
        kept: PaymentMethod,
        saved: tuple[PaymentMethod, ...],
        ask: Ask | None,
        now: datetime,
        *,
        is_new: bool,
    ) -> Planned:
        """Return the end of a request that risk control stopped, or that waits for the payer to prove itself."""
        if verdict.tier is RiskTier.DECLINE:
            held = _advanced(
                intent,
                IntentState.REQUIRES_PAYMENT_METHOD,
                now,
                is_new=is_new,
                method_id=None,
                risk_state=RiskState.BLOCKED,
                last_error=PaymentError(reason=Reason.RISK_BLOCKED, fault=Fault.RISK, retry=Retry.NEVER),
            )
            told = "payment_intent.payment_failed"
        else:
            action = Action(kind=ActionKind.REDIRECT, url=verdict.step_up_url)
            held = _advanced(intent, IntentState.REQUIRES_ACTION, now, is_new=is_new, next_action=action)
            told = "payment_intent.requires_action"
        view = IntentView(held, None, kept)
        created = (("payment_intent.created", held),) if is_new else ()
        change = self._desk.change(
            held,
            now,
            claim=ask,
            ask=ask,
            view=view,
            inserts=(*saved, held) if is_new else saved,
            updates=() if is_new else (held,),
            references=_references(held) if is_new else (),
            events=(*created, (told, held)),
        )
        return Planned(change, Sent(held, None, kept))

    async def _collect(self, sent: Sent, ask: Ask | None) -> Done[IntentView]:
        """Call the channel and commit what it answered; cascade where that is safe, three attempts at most."""
        for number in range(1, ATTEMPTS_PER_CONFIRM_MAX + 1):
            assert sent.attempt is not None
            try:
                answer = await self._send(sent)
            finally:
                self._desk.routing.heard(sent.attempt)
            may_cascade = number < ATTEMPTS_PER_CONFIRM_MAX
            done, following = await self._settle(sent, answer, ask, may_cascade=may_cascade)
            if following is None:
                self._desk.forget_code(sent.attempt.method)
                return done
            sent = following
        raise AssertionError("the last attempt never cascades")

    async def _send(self, sent: Sent) -> Answer:
        desk, attempt, intent = self._desk, sent.attempt, sent.intent
        assert attempt is not None
        call = Authorize(
            reference=attempt.reference,
            amount_minor=attempt.amount_minor,
            currency=attempt.currency,
            capture=attempt.capture,
            method=attempt.method,
            merchant=await desk.profiles.profile(attempt.book_id),
            description=intent.description or intent.reference,
            expires_at=intent.expires_at,
            notify_url=desk.notify_url(attempt.channel),
            return_url=sent.return_url,
            payer_address=sent.payer_address,
            initiator=attempt.initiator,
            network_reference=sent.network_reference,
            extended=attempt.extended,
        )
        return await desk.channel(attempt.channel).authorize(call)

    async def _settle(
        self, sent: Sent, answer: Answer, ask: Ask | None, *, may_cascade: bool
    ) -> tuple[Done[IntentView], Sent | None]:
        """Commit an answer; return the attempt to be sent next where it was a no that another channel may turn."""
        desk, sent_attempt = self._desk, sent.attempt
        assert sent_attempt is not None
        following: Sent | None = None
        step = Step()

        async def plan() -> Planned:
            nonlocal following, step
            route: Route | None = None
            intent, attempt = sent.intent, sent_attempt
            if step.attempt is not None or step.intent is not None:
                # Somebody was faster (a notification, as a rule): take what stands, and see what is left to do.
                intent = await desk.read(Intent, intent.book_id, intent.id)
                attempt = await desk.read(Attempt, attempt.book_id, attempt.id)
            standing = await desk.standing(intent, attempt, answer.reason)
            step = outcomes.settle(standing, answer)
            following = None
            if may_cascade:
                route = await self._onward(sent, step, answer)
                following = self._next(sent, step, route) if route else None
            after = step.intent or intent
            view = IntentView(after, step.attempt or attempt, sent.method)
            if route is not None and following is not None and following.attempt is not None:
                told = tuple(
                    event for event in announced(intent, step) if event[0] != "payment_intent.payment_failed"
                )
                change = desk.change(
                    following.intent,
                    standing.now,
                    inserts=(following.attempt,),
                    updates=(following.intent, step.attempt),
                    transfers=step.transfers,
                    events=told,
                    decisions=_decided(route, following.attempt),
                )
                return Planned(change, view)
            if step.is_empty and ask is None:
                return Planned(None, view)
            kept = await kept_by(desk, step)
            change = desk.change(
                after,
                standing.now,
                ask=ask,
                view=view,
                inserts=kept.inserts,
                updates=(step.intent, step.attempt, *kept.updates),
                transfers=step.transfers,
                events=(*announced(intent, step), *kept.events),
            )
            return Planned(change, view)

        done = await desk.decide(plan, reference=sent.intent.reference)
        desk.observe(step)
        return done, following

    async def _onward(self, sent: Sent, step: Step, answer: Answer) -> Route | None:
        """Return where a payment goes on after a no; None where the answer does not allow it, or nothing is left.

        Only an explicit no, or a call that never left the house, allows it; never anything unresolved.
        """
        dead, intent = step.attempt, step.intent
        if dead is None or intent is None or dead.state is not AttemptState.DECLINED:
            return None
        retry = reason_info(dead.reason or Reason.OTHER).retry
        if answer.outcome is not Outcome.NOT_SENT and retry is not Retry.OTHER_CHANNEL:
            return None
        return await self._choosing.next_route(intent, dead, (*sent.tried, dead.channel))

    def _next(self, sent: Sent, step: Step, route: Route) -> Sent:
        """Return the next attempt of a cascade, over the channel that was chosen for it."""
        dead, intent = step.attempt, step.intent
        assert dead is not None
        assert intent is not None
        now = self._desk.clock.now()
        restored = msgspec.structs.replace(intent, method_id=sent.intent.method_id, last_error=None)
        attempt = msgspec.structs.replace(
            self._attempt(
                restored, dead.method, sent.method, route, dead.initiator, now, extended=dead.extended
            ),
            is_cascade=True,
        )
        processing = msgspec.structs.replace(
            restored,
            state=IntentState.PROCESSING,
            attempt_id=attempt.id,
            attempt_count=restored.attempt_count + 1,
            due_at=None,
        )
        return sent._replace(intent=processing, attempt=attempt, tried=(*sent.tried, dead.channel))


def _processing(intent: Intent, attempt: Attempt, now: datetime, *, is_new: bool) -> Intent:
    """Return the intent with an attempt under way; nothing but that attempt decides how it goes on."""
    return _advanced(
        intent,
        IntentState.PROCESSING,
        now,
        is_new=is_new,
        attempt_id=attempt.id,
        attempt_count=intent.attempt_count + 1,
        next_action=None,
        last_error=None,
        due_at=None,
    )


def _advanced(
    intent: Intent, state: IntentState, now: datetime, *, is_new: bool, **changes: object
) -> Intent:
    """Return a new intent in the state that it begins with, or the next version of one that is stored."""
    if is_new:
        return msgspec.structs.replace(intent, state=state, **changes)
    return intent_moved(intent, state, now, **changes)


def _decided(route: Route, attempt: Attempt) -> tuple[Decision, ...]:
    """Return the decision behind a route with the attempt that it became."""
    if route.decision is None:
        return ()
    return (msgspec.structs.replace(route.decision, effect_id=attempt.id),)


def _references(intent: Intent) -> tuple[Reference, ...]:
    if intent.merchant_reference is None:
        return ()
    return (Reference(ReferenceKind.MERCHANT, intent.merchant_reference, intent.id),)
