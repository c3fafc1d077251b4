"""Acting on authorizations: capture, cancel, increment. Each is committed as ``sent`` before the channel is asked.

A capture that is refused is an error for its caller and leaves the authorization as it was; one whose end is unknown is
answered with the intent as it stands, and the resolver finds out.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple
from uuid import UUID

import msgspec

from tongbao.channels.schema import Answer, Follow, Operation, Outcome, Reason
from tongbao.channels.service.codes import reason_info
from tongbao.core.ids import uuid_text
from tongbao.core.requests.asks import Ask
from tongbao.parties.schema import Scope
from tongbao.payments.errors import ActRefused
from tongbao.payments.policy import acts, orders, step_ups
from tongbao.payments.policy.acts import ActStep
from tongbao.payments.schema.attempts import HOLDING, OPEN, Act, ActState, Attempt, AttemptState
from tongbao.payments.schema.changes import Claimed
from tongbao.payments.schema.intents import ENDS, CancelReason, Intent, RiskState
from tongbao.payments.schema.orders import Done, IntentView
from tongbao.payments.service.desk import Desk, Planned
from tongbao.payments.service.step_ups import abandon

WAITING = frozenset({AttemptState.ACTION_REQUIRED, AttemptState.PENDING})


class Begun(NamedTuple):
    """An act that is committed as sent; no act: the request has ended already."""

    intent: Intent
    attempt: Attempt | None
    act: Act | None


class Acting:
    """Captures, cancels and increments."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def capture(
        self,
        scope: Scope,
        intent_id: UUID,
        amount_minor: int | None = None,
        *,
        final: bool | None = None,
        ask: Ask | None = None,
    ) -> Done[IntentView]:
        """Capture all or part of what is authorized; see ``acts.begin_capture``.

        Raises Missing, WrongState, ``payment_intent_in_review`` while people look at it, BadAmount, ActRefused where the
        channel says no, and what ``Desk.decide`` raises.
        """
        return await self._capture(scope.book_id, intent_id, amount_minor, final=final, ask=ask)

    async def release(self, book_id: int, intent_id: UUID) -> Done[IntentView]:
        """Capture a payment that was held for a review and found good; raises as ``capture``."""
        return await self._capture(book_id, intent_id, None, final=None, ask=None, is_release=True)

    async def _capture(
        self,
        book_id: int,
        intent_id: UUID,
        amount_minor: int | None,
        *,
        final: bool | None,
        ask: Ask | None,
        is_release: bool = False,
    ) -> Done[IntentView]:
        async def plan() -> Planned:
            intent, attempt = await self._load(book_id, intent_id)
            if intent.risk_state is RiskState.REVIEW and not is_release:
                raise orders.in_review(intent)
            can = self._desk.capabilities(attempt.channel) if attempt else None
            now = self._desk.clock.now()
            after, act = acts.begin_capture(
                intent, attempt, can, amount_minor, final=final, act_id=self._desk.ids.uuid(), now=now
            )
            return self._begun(intent, after, act, ask)

        return await self._act(plan, book_id, intent_id, ask)

    async def increment(
        self, scope: Scope, intent_id: UUID, total_minor: int, *, ask: Ask | None = None
    ) -> Done[IntentView]:
        """Raise an authorization to ``total_minor``; raises as ``capture`` does."""

        async def plan() -> Planned:
            intent, attempt = await self._load(scope.book_id, intent_id)
            if intent.risk_state is RiskState.REVIEW:
                raise orders.in_review(intent)
            can = self._desk.capabilities(attempt.channel) if attempt else None
            now = self._desk.clock.now()
            after, act = acts.begin_increment(intent, attempt, can, total_minor, self._desk.ids.uuid(), now)
            return self._begun(intent, after, act, ask)

        return await self._act(plan, scope.book_id, intent_id, ask)

    async def cancel(
        self, scope: Scope, intent_id: UUID, reason: CancelReason | None = None, *, ask: Ask | None = None
    ) -> Done[IntentView]:
        """Cancel an intent: void what is authorized, close what waits for the payer.

        Raises Missing, WrongState ``payment_intent_unexpected_state`` at an end or while an attempt is in flight,
        ActRefused where the channel says no.
        """
        return await self.cancel_in(scope.book_id, intent_id, reason, ask)

    async def cancel_in(
        self, book_id: int, intent_id: UUID, reason: CancelReason | None, ask: Ask | None = None
    ) -> Done[IntentView]:
        """Cancel an intent of a book, as ``cancel`` does; for workers."""
        waited: Intent | None = None

        async def plan() -> Planned:
            nonlocal waited
            intent, attempt = await self._load(book_id, intent_id)
            waited = intent if step_ups.is_waiting(intent, attempt) else None
            now = self._desk.clock.now()
            if intent.state in ENDS:
                raise orders.unexpected(intent, "cancel")
            if attempt is not None and attempt.state in OPEN and attempt.state not in WAITING:
                raise orders.unexpected(intent, "cancel while its outcome is not known")
            if attempt is not None and (attempt.state in HOLDING or attempt.state in WAITING):
                after, act = acts.begin_void(attempt, self._desk.ids.uuid(), now)
                return self._begun(intent, after, act, ask)
            gone = acts.canceled(intent, reason, now)
            view = IntentView(gone, attempt)
            change = self._desk.change(
                gone,
                now,
                claim=ask,
                ask=ask,
                view=view,
                updates=(gone,),
                events=(("payment_intent.canceled", gone),),
            )
            return Planned(change, Begun(gone, attempt, None))

        done = await self._act(plan, book_id, intent_id, ask, cancel=reason)
        if waited is not None:
            await abandon(self._desk, waited)
        return done

    async def follow(
        self,
        intent: Intent,
        attempt: Attempt,
        act: Act,
        *,
        cancel: CancelReason | None = None,
        ask: Ask | None = None,
        is_repeat: bool = False,
    ) -> Done[IntentView]:
        """Send an act that is committed as sent, and commit its end. The act's id is its reference upstream.

        ``is_repeat``: it was sent before, so that this time nothing left the house says nothing about the first.
        """
        answer = await self._send(attempt, act)
        if is_repeat and answer.outcome is Outcome.NOT_SENT:
            answer = msgspec.structs.replace(answer, outcome=Outcome.UNRESOLVED)
        return await self.end(intent.book_id, intent.id, attempt.id, act, answer, cancel=cancel, ask=ask)

    async def end(
        self,
        book_id: int,
        intent_id: UUID,
        attempt_id: UUID,
        act: Act,
        answer: Answer,
        *,
        cancel: CancelReason | None = None,
        ask: Ask | None = None,
    ) -> Done[IntentView]:
        """Commit how an act ended; raise ActRefused where that is a no and somebody asked."""
        step = ActStep(None, None)

        async def plan() -> Planned:
            nonlocal step
            intent = await self._desk.read(Intent, book_id, intent_id)
            attempt = await self._desk.read(Attempt, book_id, attempt_id)
            now = self._desk.clock.now()
            stands = await self._desk.standing(intent, attempt)
            step = acts.end(
                intent, attempt, act, answer, stands.money, now, cancel=cancel, top_up=stands.top_up
            )
            view = IntentView(step.intent or intent, step.attempt or attempt)
            if step.attempt is None and ask is None:
                return Planned(None, view)
            refused = _refusal(view, act)
            change = self._desk.change(
                view.intent,
                now,
                ask=ask,
                view=refused or view,
                updates=(step.intent, step.attempt),
                transfers=step.transfers,
                events=step.events,
            )
            return Planned(change, view)

        done = await self._desk.decide(plan, reference=attempt_reference(attempt_id))
        if step.alarm is not None:
            self._desk.alarm(step.alarm, step.attempt)
        refused = _refusal(done.view, act) if done.view else None
        if refused is not None and ask is None:
            raise refused
        return done

    async def _act(
        self,
        plan: Callable[[], Awaitable[Planned]],
        book_id: int,
        intent_id: UUID,
        ask: Ask | None,
        *,
        cancel: CancelReason | None = None,
    ) -> Done[IntentView]:
        async def resume(_claimed: Claimed) -> Done[IntentView]:
            async def stands() -> Planned:
                intent, attempt = await self._load(book_id, intent_id)
                view = IntentView(intent, attempt)
                return Planned(self._desk.change(intent, self._desk.clock.now(), ask=ask, view=view), view)

            return await self._desk.decide(stands, reference="the request")

        done = await self._desk.decide(
            plan, reference=uuid_text(Intent.PREFIX, intent_id), asked=(book_id, ask), resume=resume
        )
        if done.view is None or isinstance(done.view, IntentView):
            return done
        begun: Begun = done.view
        if begun.act is None or begun.attempt is None:
            return Done(IntentView(begun.intent, begun.attempt), done.rendered)
        return await self.follow(begun.intent, begun.attempt, begun.act, cancel=cancel, ask=ask)

    def _begun(self, intent: Intent, attempt: Attempt, act: Act, ask: Ask | None) -> Planned:
        change = self._desk.change(intent, attempt.updated_at, claim=ask, updates=(attempt,))
        return Planned(change, Begun(intent, attempt, act))

    async def _load(self, book_id: int, intent_id: UUID) -> tuple[Intent, Attempt | None]:
        intent = await self._desk.read(Intent, book_id, intent_id)
        if intent.attempt_id is None:
            return intent, None
        return intent, await self._desk.read(Attempt, book_id, intent.attempt_id)

    async def _send(self, attempt: Attempt, act: Act) -> Answer:
        channel = self._desk.channel(attempt.channel)
        call = follow_of(attempt, act)
        match act.operation:
            case Operation.CAPTURE:
                return await channel.capture(call)
            case Operation.INCREMENT:
                return await channel.increment(call)
            case _:
                return await channel.void(call)


def follow_of(attempt: Attempt, act: Act) -> Follow:
    """Return the call for an act; repeats of it are equal."""
    number = next(place for place, each in enumerate(attempt.acts, 1) if each.id == act.id)
    return Follow(
        reference=act_reference(act),
        authorization_reference=attempt.reference,
        channel_reference=attempt.channel_reference,
        amount_minor=act.amount_minor,
        total_minor=attempt.amount_minor,
        currency=attempt.currency,
        method=attempt.method,
        final=act.final,
        captured=attempt.captured_minor > 0,
        sequence=number,
    )


def act_reference(act: Act) -> str:
    """Return what an act is called upstream."""
    return uuid_text("act", act.id)


def attempt_reference(attempt_id: UUID) -> str:
    """Return what an attempt is called upstream."""
    return uuid_text(Attempt.PREFIX, attempt_id)


def _refusal(view: IntentView, act: Act) -> ActRefused | None:
    """Return the error for an act that was refused."""
    attempt = view.attempt
    ended = next((each for each in attempt.acts if each.id == act.id), None) if attempt else None
    refused = ended is not None and ended.state is ActState.DECLINED
    if ended is None or not refused:
        return None
    reason = ended.reason or Reason.OTHER
    return ActRefused(
        view.intent.reference,
        ended.operation.value,
        reason.value,
        ended.code,
        reason_info(reason).engineer_en,
    )
