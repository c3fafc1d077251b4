"""Confirming: from a wish to money, in two commits with the channel between them.

First commit: the request is claimed, the intent is ``processing``, the attempt ``sent``. Then the channel is called.
Second commit: what it answered, the transfers that this means, the events and the answer to the request. Whatever
happens between the two (this process dies, the database goes away) leaves an attempt that is ``sent`` and due: the
resolver inquires it. Nothing is ever sent twice under two references.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import msgspec

from tongbao.channels.schema import (
    Action,
    ActionKind,
    Fault,
    Method,
    Reason,
    Retry,
)
from tongbao.core.requests.asks import Ask
from tongbao.decisions.schema.log import Decision
from tongbao.parties.schema import Scope
from tongbao.payments.policy import mandates, orders, step_ups
from tongbao.payments.policy.steps import intent_moved
from tongbao.payments.ports import Verdict
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.changes import Claimed, Reference, ReferenceKind
from tongbao.payments.schema.intents import (
    Intent,
    IntentState,
    Judged,
    PaymentError,
    RiskState,
)
from tongbao.payments.schema.methods import PaymentMethod
from tongbao.payments.schema.orders import ConfirmOrder, Done, IntentOrder, IntentView
from tongbao.payments.service.choosing import Choosing
from tongbao.payments.service.collecting import Collecting, Sent, decided
from tongbao.payments.service.desk import Desk, Planned
from tongbao.payments.service.step_ups import abandon
from tongbao.risk.schema.tiers import Tier


class Confirming:
    """Creates intents that are confirmed at once, and confirms those that exist."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._choosing = Choosing(desk)
        self._collecting = Collecting(desk, self._choosing)

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
            done = Done(IntentView(sent.intent, None, sent.method), begun.rendered)
        else:
            done = await self._collecting.collect(sent, ask)
        if step_ups.is_waiting(intent, None) and not step_ups.is_waiting(sent.intent, sent.attempt):
            # Judged anew, it waits for no proof any more; one that was given is not open.
            await abandon(self._desk, intent)
        return done

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
        verdict = await self._choosing.verdict(intent, chosen, confirm)
        intent = msgspec.structs.replace(
            intent,
            method_id=kept.id,
            capture_method=confirm.capture_method or intent.capture_method,
            return_url=confirm.return_url or intent.return_url,
            off_session=intent.off_session if confirm.off_session is None else confirm.off_session,
            mandate_id=mandate.id if mandate else None,
            # Each confirmation is judged by itself: what came of an earlier one does not stick.
            risk_state=RiskState.REVIEW if verdict.tier is Tier.REVIEW else RiskState.CLEAR,
            judged=_judged_as(verdict),
        )
        if verdict.tier is Tier.DECLINE or (verdict.tier is Tier.STEP_UP and not verdict.by_issuer):
            return self._held_up(intent, verdict, kept, saved, ask, now, is_new=is_new)
        way = await self._choosing.way(intent, chosen, verdict)
        attempt = self._collecting.attempt(
            intent, chosen.method, kept, way.route, chosen.initiator, now, extended=confirm.extended
        )
        attempt = msgspec.structs.replace(
            attempt,
            capture=way.captures,
            authenticates=way.authenticates,
            must_prove=way.must_prove,
            signals_id=verdict.fact.signals.id if verdict.fact else None,
            judged=intent.judged,
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
            decisions=(*_judged(verdict, attempt), *decided(way.route, attempt)),
            facts=(verdict.fact,) if verdict.fact else (),
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
        if verdict.tier is Tier.DECLINE:
            held = _advanced(
                intent,
                IntentState.REQUIRES_PAYMENT_METHOD,
                now,
                is_new=is_new,
                method_id=None,
                risk_state=RiskState.BLOCKED,
                next_action=None,
                due_at=intent.expires_at,
                last_error=PaymentError(reason=Reason.RISK_BLOCKED, fault=Fault.RISK, retry=Retry.NEVER),
            )
            told = "payment_intent.payment_failed"
        else:
            until = verdict.step_up_until
            action = Action(kind=ActionKind.REDIRECT, url=verdict.step_up_url, expires_at=until)
            held = _advanced(
                intent,
                IntentState.REQUIRES_ACTION,
                now,
                is_new=is_new,
                next_action=action,
                last_error=None,
                # A page that nobody opens, or comes back from, is not waited for any longer than it is good.
                due_at=min((at for at in (until, intent.expires_at) if at is not None), default=None),
            )
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
            decisions=_judged(verdict, None),
            facts=(verdict.fact,) if verdict.fact else (),
        )
        return Planned(change, Sent(held, None, kept))


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


def _judged_as(verdict: Verdict) -> Judged | None:
    """Return what a payment remembers of its verdict; None where it was let pass."""
    if verdict.tier is Tier.FRICTIONLESS:
        return None
    fact = verdict.fact
    return Judged(
        tier=verdict.tier,
        look_id=fact.signals.id if fact else None,
        reasons=verdict.reasons,
        score=fact.score if fact else None,
    )


def _judged(verdict: Verdict, attempt: Attempt | None) -> tuple[Decision, ...]:
    """Return the decision behind a verdict, with the attempt that followed it."""
    if verdict.decision is None:
        return ()
    if attempt is None:
        return (verdict.decision,)
    return (msgspec.structs.replace(verdict.decision, effect_id=attempt.id),)


def _references(intent: Intent) -> tuple[Reference, ...]:
    if intent.merchant_reference is None:
        return ()
    return (Reference(ReferenceKind.MERCHANT, intent.merchant_reference, intent.id),)
