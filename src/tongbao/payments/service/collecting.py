"""Collecting: an attempt is sent, its answer committed, and where a no allows it the payment goes on over another channel.

What ``confirming`` committed as ``sent`` is carried out here. Nothing unresolved is ever followed by another attempt.
"""

from datetime import datetime
from typing import NamedTuple

import msgspec

from tongbao.channels.schema import Answer, Authorize, Initiator, Method, Outcome, Reason, Retry
from tongbao.channels.service.codes import reason_info
from tongbao.core.requests.asks import Ask
from tongbao.decisions.schema.log import Decision
from tongbao.payments.errors import WrongState
from tongbao.payments.policy import outcomes, schedule
from tongbao.payments.policy.steps import Step, announced
from tongbao.payments.ports import Route
from tongbao.payments.schema.attempts import Attempt, AttemptState
from tongbao.payments.schema.intents import Intent, IntentState
from tongbao.payments.schema.methods import PaymentMethod
from tongbao.payments.schema.orders import Done, IntentView
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


class Onward(NamedTuple):
    """Where a payment goes on after a no, and whether the issuer makes sure of its payer on the way."""

    route: Route
    authenticates: bool


class Collecting:
    """Calls channels for attempts that are committed."""

    def __init__(self, desk: Desk, choosing: Choosing) -> None:
        self._desk = desk
        self._choosing = choosing

    def attempt(
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
        """Return the attempt that a route becomes, ``sent`` and due for an inquiry should nobody hear of it again."""
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

    async def collect(self, sent: Sent, ask: Ask | None) -> Done[IntentView]:
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
            authenticate=attempt.authenticates,
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
            onward: Onward | None = None
            intent, attempt = sent.intent, sent_attempt
            if step.attempt is not None or step.intent is not None:
                # Somebody was faster (a notification, as a rule): take what stands, and see what is left to do.
                intent = await desk.read(Intent, intent.book_id, intent.id)
                attempt = await desk.read(Attempt, attempt.book_id, attempt.id)
            standing = await desk.standing(intent, attempt, answer.reason)
            step = outcomes.settle(standing, answer)
            following = None
            if may_cascade:
                onward = await self._onward(sent, step, answer)
                following = self._next(sent, step, onward) if onward else None
            after = step.intent or intent
            view = IntentView(after, step.attempt or attempt, sent.method)
            if onward is not None and following is not None and following.attempt is not None:
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
                    decisions=decided(onward.route, following.attempt),
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

    async def _onward(self, sent: Sent, step: Step, answer: Answer) -> Onward | None:
        """Return where a payment goes on after a no; None where the answer does not allow it, or nothing is left.

        Only an explicit no, or a call that never left the house, allows it; never anything unresolved. An issuer that wants
        to make sure of its payer gets to do so, once.
        """
        dead, intent = step.attempt, step.intent
        if dead is None or intent is None or dead.state is not AttemptState.DECLINED:
            return None
        if dead.reason is Reason.AUTHENTICATION_REQUIRED:
            return await self._authenticating(intent, dead)
        retry = reason_info(dead.reason or Reason.OTHER).retry
        if answer.outcome is not Outcome.NOT_SENT and retry is not Retry.OTHER_CHANNEL:
            return None
        route = await self._choosing.next_route(intent, dead, (*sent.tried, dead.channel))
        return None if route is None else Onward(route, authenticates=dead.authenticates)

    async def _authenticating(self, intent: Intent, dead: Attempt) -> Onward | None:
        """Return the way on by which the issuer makes sure of the payer; None where it did, or where none leads there."""
        if dead.authenticates or dead.initiator is not Initiator.PAYER:
            return None
        try:
            is_held = not dead.capture
            route = await self._choosing.authenticating_route(
                intent, dead.method, dead.initiator, is_held=is_held
            )
        except WrongState:
            return None
        return Onward(route, authenticates=True)

    def _next(self, sent: Sent, step: Step, onward: Onward) -> Sent:
        """Return the next attempt, over the channel that was chosen for it."""
        dead, intent = step.attempt, step.intent
        assert dead is not None
        assert intent is not None
        now = self._desk.clock.now()
        restored = msgspec.structs.replace(intent, method_id=sent.intent.method_id, last_error=None)
        attempt = msgspec.structs.replace(
            self.attempt(
                restored, dead.method, sent.method, onward.route, dead.initiator, now, extended=dead.extended
            ),
            is_cascade=True,
            capture=dead.capture,
            authenticates=onward.authenticates,
            must_prove=dead.must_prove,
            signals_id=dead.signals_id,
            judged=dead.judged,
        )
        processing = msgspec.structs.replace(
            restored,
            state=IntentState.PROCESSING,
            attempt_id=attempt.id,
            attempt_count=restored.attempt_count + 1,
            due_at=None,
        )
        return sent._replace(intent=processing, attempt=attempt, tried=(*sent.tried, dead.channel))


def decided(route: Route, attempt: Attempt) -> tuple[Decision, ...]:
    """Return the decision behind a route with the attempt that it became."""
    if route.decision is None:
        return ()
    return (msgspec.structs.replace(route.decision, effect_id=attempt.id),)
