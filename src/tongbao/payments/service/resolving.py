"""Resolving: finding out what became of everything that is not known to have ended.

Two ways lead here, and both end in the same pure decisions as the answer to a call: a worker that takes what is due and
inquires, and the notifications of channels. An attempt is closed by an explicit answer only; when the schedule is used
up, reconciliation with the channel's file decides (``conflict`` and ``unresolved`` alarms show them to people).
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from tongbao.channels.schema import (
    Acknowledgment,
    Answer,
    Follow,
    Inquire,
    Notification,
    NotificationKind,
    Operation,
    Outcome,
    RawNotification,
)
from tongbao.core.errors import AppError, NotFound
from tongbao.core.ids import derive, parse_uuid, uuid_text
from tongbao.payments.errors import Missing, WrongState
from tongbao.payments.policy import acts, outcomes, postings, schedule
from tongbao.payments.policy.steps import Step, announced, moved
from tongbao.payments.schema.attempts import HOLDING, OPEN, Act, Attempt, AttemptState
from tongbao.payments.schema.documents import Document, Kind
from tongbao.payments.schema.intents import CancelReason, Intent, RiskState
from tongbao.payments.schema.orders import Done
from tongbao.payments.schema.refunds import Refund
from tongbao.payments.service.acting import Acting, act_reference
from tongbao.payments.service.desk import Desk, Planned
from tongbao.payments.service.disputing import Disputing
from tongbao.payments.service.keeping import kept_by
from tongbao.payments.service.refunding import Refunding
from tongbao.payments.service.sessions import Sessions
from tongbao.payments.service.setups import Setups
from tongbao.payments.service.step_ups import StepUps
from tongbao.payments.store import documents as store

DUE_MAX = 200
CONCURRENT_MAX = 32
LEASE = timedelta(seconds=2 * schedule.CALL_S_MAX)

_log = structlog.get_logger(__name__)


class Resolving:
    """The resolver of one process; any number of processes may resolve side by side."""

    def __init__(
        self,
        desk: Desk,
        acting: Acting,
        refunding: Refunding,
        disputing: Disputing,
        setups: Setups,
        sessions: Sessions,
        step_ups: StepUps,
    ) -> None:
        self._desk = desk
        self._step_ups = step_ups
        self._acting = acting
        self._refunding = refunding
        self._disputing = disputing
        self._kinds: dict[Kind, Callable[..., Awaitable[None]]] = {
            Kind.INTENT: self._expire,
            Kind.ATTEMPT: self.resolve_attempt,
            Kind.REFUND: self._refunding.resolve,
            Kind.SETUP: setups.resolve,
            Kind.SESSION: sessions.resolve,
        }

    async def resolve_due(self) -> int:
        """Look at what is due, at most 200 things, 32 at a time; return how many. Safe in many processes at once.

        What fails is logged, and due again after the lease.
        """
        now = self._desk.clock.now()
        async with self._desk.database.connection() as connection:
            due = await store.take_due(connection, now, now + LEASE, DUE_MAX)
        gate = asyncio.Semaphore(CONCURRENT_MAX)

        async def one(document: Document) -> None:
            async with gate:
                await self._resolved(document)

        await asyncio.gather(*(one(document) for document in due))
        return len(due)

    async def _resolved(self, document: Document) -> None:
        resolve = self._kinds.get(document.KIND)
        if resolve is None:
            return
        try:
            await resolve(document)
        except AppError as error:
            _log.warning("resolving_failed", id=document.reference, code=error.code, detail=error.detail)
        except Exception:
            _log.exception("resolving_broken", id=document.reference)

    async def resolve_attempt(self, attempt: Attempt) -> None:
        """Do the next thing for an attempt: inquire it, follow its open act, give back, capture, or let expire."""
        act = attempt.open_act
        if act is not None:
            await self._resolve_act(attempt, act)
        elif attempt.state in OPEN:
            await self.settle(attempt.book_id, attempt.id, await self._inquire(attempt), is_inquiry=True)
        elif attempt.state is AttemptState.REVERSING:
            await self._reverse(attempt)
        elif attempt.state is AttemptState.AUTHORIZED and attempt.capture and not attempt.acts:
            await self._capture(attempt)
        elif attempt.state in HOLDING:
            await self._let_expire(attempt)

    async def settle(
        self,
        book_id: int,
        attempt_id: UUID,
        answer: Answer,
        *,
        is_inquiry: bool,
        source: str = "inquiry",
    ) -> None:
        """Commit what an answer from anywhere means for an attempt; the same answer again changes nothing.

        ``source``: who brought it, for those who learn from it.
        """
        step = Step()

        async def plan() -> Planned:
            nonlocal step
            attempt = await self._desk.read(Attempt, book_id, attempt_id)
            intent = await self._desk.read(Intent, book_id, attempt.intent_id)
            standing = await self._desk.standing(intent, attempt, answer.reason)
            step = outcomes.settle(standing, answer, is_inquiry=is_inquiry)
            if step.is_empty:
                return Planned(None, None)
            kept = await kept_by(self._desk, step)
            change = self._desk.change(
                attempt,
                standing.now,
                inserts=kept.inserts,
                updates=(step.intent, step.attempt, *kept.updates),
                transfers=step.transfers,
                events=(*announced(intent, step), *kept.events),
                source=source,
            )
            return Planned(change, None)

        await self._desk.decide(plan, reference=uuid_text(Attempt.PREFIX, attempt_id))
        self._desk.observe(step)

    async def notified(self, channel_name: str, raw: RawNotification) -> Acknowledgment:
        """Take in a notification of a channel and return what the channel wants to hear.

        Repeats, late ones and wrong orders change nothing twice. One for a reference that nobody here knows is
        acknowledged, counted and logged: repeating it would not help. Raises UnknownChannel, NotificationForged,
        NotificationMalformed, and whatever keeps us from taking it in, so that the channel sends it again.
        """
        channel = self._desk.channel(channel_name)
        notification = channel.parse_notification(raw)
        try:
            await self._heard(channel_name, notification)
        except NotFound:
            self._desk.alarm("notification_unknown", None)
            _log.warning("notification_unknown", channel=channel_name, reference=notification.reference)
        return channel.acknowledge(accepted=True)

    async def _heard(self, channel_name: str, notification: Notification) -> None:
        match notification.kind:
            case NotificationKind.PAYMENT:
                attempt = await self._attempt_named(notification.reference, channel_name)
                await self.settle(
                    attempt.book_id,
                    attempt.id,
                    notification.answer,
                    is_inquiry=True,
                    source="notification",
                )
            case NotificationKind.REFUND:
                refund = await self._refund_named(notification.reference, channel_name)
                await self._refunding.settle(refund.book_id, refund.id, notification.answer)
            case NotificationKind.DISPUTE:
                named = notification.authorization_reference or notification.reference
                if named:
                    attempt = await self._attempt_named(named, channel_name)
                else:
                    # Some channels tell of disputes by their own id of the payment alone.
                    attempt = await self._attempt_known_as(
                        notification.answer.channel_reference, channel_name
                    )
                await self._disputing.heard(attempt, notification)
            case NotificationKind.IGNORED:
                return

    async def _attempt_named(self, reference: str, channel_name: str) -> Attempt:
        """Return the attempt of a reference; one of another channel is nobody's, however it was signed."""
        attempt_id, book_id = await self._named(Kind.ATTEMPT, Attempt.PREFIX, reference)
        attempt = await self._desk.read(Attempt, book_id, attempt_id)
        if attempt.channel != channel_name:
            raise Missing(Attempt.PREFIX, attempt_id)
        return attempt

    async def _attempt_known_as(self, channel_reference: str | None, channel_name: str) -> Attempt:
        """Return the attempt that a channel knows by its own id, which must be one attempt only."""
        async with self._desk.database.connection() as connection:
            found = await store.of_channel(connection, channel_name, channel_reference or "")
        if len(found) != 1:
            raise NotFound("reference_unknown", "no such payment of this channel here")
        return found[0]

    async def _refund_named(self, reference: str, channel_name: str) -> Refund:
        """Return the refund of a reference, under the same rule."""
        refund_id, book_id = await self._named(Kind.REFUND, Refund.PREFIX, reference)
        refund = await self._desk.read(Refund, book_id, refund_id)
        attempt = await self._desk.read(Attempt, book_id, refund.attempt_id)
        if attempt.channel != channel_name:
            raise Missing(Refund.PREFIX, refund_id)
        return refund

    async def _named(self, kind: Kind, prefix: str, reference: str) -> tuple[UUID, int]:
        try:
            document_id = parse_uuid(prefix, reference)
        except ValueError as error:
            raise NotFound("reference_unknown", "no such reference here") from error
        async with self._desk.database.connection() as connection:
            book_id = await store.book_of(connection, kind, document_id)
        if book_id is None:
            raise Missing(prefix, document_id)
        return document_id, book_id

    async def _inquire(self, attempt: Attempt) -> Answer:
        return await self._desk.channel(attempt.channel).inquire(
            Inquire(
                operation=Operation.AUTHORIZE,
                reference=attempt.reference,
                authorization_reference=attempt.reference,
                channel_reference=attempt.channel_reference,
                amount_minor=attempt.amount_minor,
                currency=attempt.currency,
                method=attempt.method,
                sent_at=attempt.sent_at,
            )
        )

    async def _resolve_act(self, attempt: Attempt, act: Act) -> None:
        """Ask for an act, or repeat it under the same reference where the channel has never seen it."""
        answer = await self._desk.channel(attempt.channel).inquire(
            Inquire(
                operation=act.operation,
                reference=act_reference(act),
                authorization_reference=attempt.reference,
                channel_reference=attempt.channel_reference,
                amount_minor=act.amount_minor,
                currency=attempt.currency,
                method=attempt.method,
                sent_at=act.sent_at,
                sequence=len(attempt.acts),
            )
        )
        intent = await self._desk.read(Intent, attempt.book_id, attempt.intent_id)
        cancel = (
            _why_void(intent, attempt, self._desk.clock.now()) if act.operation is Operation.VOID else None
        )
        try:
            if answer.outcome in (Outcome.NOT_FOUND, Outcome.UNRESOLVED, Outcome.NOT_SENT):
                # The same reference again is the same act upstream, so repeating is how this one is inquired.
                await self._acting.follow(intent, attempt, act, cancel=cancel, is_repeat=True)
            else:
                await self._acting.end(intent.book_id, intent.id, attempt.id, act, answer, cancel=cancel)
        except WrongState as refused:
            _log.info("act_refused", id=attempt.reference, code=refused.code)

    async def _reverse(self, attempt: Attempt) -> None:
        """Give back money that came too late: refund what was claimed, void what was reserved."""
        channel = self._desk.channel(attempt.channel)
        call = Follow(
            reference=uuid_text("act", derive(attempt.id, "reversal")),
            authorization_reference=attempt.reference,
            channel_reference=attempt.channel_reference,
            amount_minor=attempt.amount_minor,
            total_minor=attempt.amount_minor,
            currency=attempt.currency,
            method=attempt.method,
            captured=attempt.captured_minor > 0,
            reason="late success",
        )
        answer = await (channel.refund(call) if attempt.captured_minor else channel.void(call))

        async def plan() -> Planned:
            standing = await self._desk.read(Attempt, attempt.book_id, attempt.id)
            if standing.state is not AttemptState.REVERSING:
                return Planned(None, None)
            now = self._desk.clock.now()
            if answer.outcome is not Outcome.APPROVED:
                due_at = schedule.after_unresolved(now, standing.inquiry_count)
                waiting = standing.changed(now, inquiry_count=standing.inquiry_count + 1, due_at=due_at)
                if due_at is None:
                    self._desk.alarm("reversal_failed", waiting)
                return Planned(self._desk.change(waiting, now, updates=(waiting,)), None)
            money = await self._desk.money(standing)
            done = moved(standing, AttemptState.REVERSED, now, suspense_minor=0, due_at=None)
            transfers = postings.suspended(money, standing, done)
            change = self._desk.change(
                done, now, updates=(done,), transfers=transfers, events=(("attempt.reversed", done),)
            )
            return Planned(change, None)

        await self._desk.decide(plan, reference=attempt.reference)

    async def _capture(self, attempt: Attempt) -> None:
        """Capture what was to be captured at once and was only reserved."""

        async def plan() -> Planned:
            standing = await self._desk.read(Attempt, attempt.book_id, attempt.id)
            intent = await self._desk.read(Intent, attempt.book_id, attempt.intent_id)
            now = self._desk.clock.now()
            can = self._desk.capabilities(standing.channel)
            after, act = acts.begin_capture(
                intent, standing, can, None, final=True, act_id=derive(attempt.id, "automatic"), now=now
            )
            return Planned(self._desk.change(after, now, updates=(after,)), (intent, after, act))

        done: Done[tuple[Intent, Attempt, Act]] = await self._desk.decide(plan, reference=attempt.reference)
        if done.view is not None:
            await self._acting.follow(*done.view)

    async def _let_expire(self, attempt: Attempt) -> None:
        """Void what was not captured in its time: the issuer lets go of it about now, and so do we.

        Of a payment that was held for a review this is the end, too: nobody decided while it could be decided.
        """
        intent = await self._desk.read(Intent, attempt.book_id, attempt.intent_id)
        if attempt.expires_at is not None and self._desk.clock.now() >= attempt.expires_at:
            is_held = intent.risk_state is RiskState.REVIEW
            reason = CancelReason.REVIEW_EXPIRED if is_held else CancelReason.EXPIRED
            await self._acting.cancel_in(intent.book_id, intent.id, reason)

    async def _expire(self, intent: Intent) -> None:
        """Cancel an intent whose time is over; one that is being paid right now is left to its attempt.

        One that waits for a proof in vain is to be paid anew before that.
        """
        if intent.expires_at is not None and self._desk.clock.now() >= intent.expires_at:
            await self._acting.cancel_in(intent.book_id, intent.id, CancelReason.EXPIRED)
        else:
            await self._step_ups.lapse(intent)


def _why_void(intent: Intent, attempt: Attempt, now: datetime) -> CancelReason:
    """Return why an intent is canceled by a void whose end was not heard when it was sent."""
    is_over = attempt.expires_at is not None and now >= attempt.expires_at
    if is_over and intent.risk_state is RiskState.REVIEW:
        return CancelReason.REVIEW_EXPIRED
    return CancelReason.AUTOMATIC
