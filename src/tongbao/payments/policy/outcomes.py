"""What an answer about an attempt means for the attempt, its intent and the money.

Pure and repeatable: the same answer again changes nothing. Whatever says how an attempt ended comes through here:
the answer to the call, an inquiry, a notification, early, late, twice or in the wrong order.

Rules, each of which exists because money was once lost without it:

1. Amount and currency of a yes must be those that were asked; else the outcome is ``conflicted``, the money stands in
   suspense, and nothing succeeds by itself.
2. A yes that comes when the intent no longer waits for it (another attempt paid, it was canceled, this attempt had been
   given up) is given back: ``reversing`` until the channel confirms, the money in suspense meanwhile.
3. A no that contradicts money we have is ``conflicted``.
4. ``not_found`` counts only from a channel that knows our references, after the time in which it may still be booking.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from tongbao.channels.schema import Answer, Capabilities, Fault, Outcome, Reason, Retry
from tongbao.core.errors import InvariantBroken
from tongbao.ledger.schema import Transfer
from tongbao.payments.policy import postings, schedule
from tongbao.payments.policy.postings import Money
from tongbao.payments.schema.attempts import (
    ATTEMPT_MOVES,
    DEAD,
    HOLDING,
    OPEN,
    PAID,
    Attempt,
    AttemptState,
    HoldPart,
)
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.intents import (
    ENDS,
    INTENT_MOVES,
    Certainty,
    Intent,
    IntentState,
    PaymentError,
)


class Step(NamedTuple):
    """What one answer changes: the documents in their next versions, the transfers, and what is told of it."""

    intent: Intent | None = None
    attempt: Attempt | None = None
    transfers: tuple[Transfer, ...] = ()
    events: tuple[tuple[str, Document], ...] = ()
    alarm: str | None = None

    @property
    def is_empty(self) -> bool:
        """True where nothing changes."""
        return self.intent is None and self.attempt is None and not self.transfers


class Standing(NamedTuple):
    """Everything that the meaning of an answer depends on."""

    intent: Intent
    attempt: Attempt
    money: Money
    capabilities: Capabilities
    explain: "Explain"
    now: datetime
    top_up: tuple[Transfer, ...] = ()

    @property
    def is_awaited(self) -> bool:
        """True where the intent waits for just this attempt."""
        return self.intent.attempt_id == self.attempt.id and self.intent.state not in ENDS


class Explain(msgspec.Struct, frozen=True):
    """Who is at fault for a no and what may be tried next, as the knowledge base of codes has it."""

    fault: Fault
    retry: Retry


def settle(standing: Standing, answer: Answer, *, is_inquiry: bool = False) -> Step:
    """Return what ``answer``, to the call itself or with ``is_inquiry`` from anywhere else, changes."""
    match answer.outcome:
        case Outcome.APPROVED:
            return _approved(standing, answer)
        case Outcome.DECLINED:
            return _declined(standing, answer)
        case Outcome.ACTION_REQUIRED if standing.attempt.state in OPEN:
            return _action_required(standing, answer)
        case Outcome.PENDING if standing.attempt.state in OPEN:
            return _pending(standing, answer, is_inquiry=is_inquiry)
        case Outcome.NOT_SENT if not is_inquiry and standing.attempt.state is AttemptState.SENT:
            # Nothing left the house: this attempt is dead, and another channel may be tried.
            return _ended(standing, answer, AttemptState.DECLINED, Reason.CHANNEL_UNAVAILABLE)
        case Outcome.NOT_FOUND if standing.attempt.state in OPEN:
            return _not_found(standing, answer)
        case Outcome.NOT_SENT | Outcome.UNRESOLVED if standing.attempt.state in OPEN:
            return _unresolved(standing, answer)
        case _:
            return Step()


def error_of(standing: Standing, answer: Answer, reason: Reason) -> PaymentError:
    """Return a no in standard words."""
    return PaymentError(
        reason=reason,
        fault=standing.explain.fault,
        retry=standing.explain.retry,
        channel=standing.attempt.channel,
        channel_code=answer.code,
        channel_message=answer.message,
        attempt_id=standing.attempt.id,
    )


def moved(attempt: Attempt, state: AttemptState, at: datetime, **changes: object) -> Attempt:
    """Return the next version of an attempt in ``state``; raise InvariantBroken for a move that does not exist."""
    if state is not attempt.state and state not in ATTEMPT_MOVES[attempt.state]:
        raise InvariantBroken(
            "attempt_move", f"{attempt.reference} cannot go from {attempt.state} to {state}"
        )
    return attempt.changed(at, state=state, **changes)


def intent_moved(intent: Intent, state: IntentState, at: datetime, **changes: object) -> Intent:
    """Return the next version of an intent in ``state``; raise InvariantBroken for a move that does not exist."""
    if state is not intent.state and state not in INTENT_MOVES[intent.state]:
        raise InvariantBroken("intent_move", f"{intent.reference} cannot go from {intent.state} to {state}")
    return intent.changed(at, state=state, **changes)


def _approved(standing: Standing, answer: Answer) -> Step:
    attempt = standing.attempt
    differs = _difference(attempt, answer)
    if attempt.state in PAID or attempt.state in HOLDING:
        if attempt.state is AttemptState.AUTHORIZED and answer.captured and not differs and not attempt.acts:
            return _captured_elsewhere(standing, answer)
        return _contradicted(standing, answer) if differs else Step()
    if attempt.state in (AttemptState.REVERSING, AttemptState.REVERSED, AttemptState.CONFLICTED):
        return Step()
    if differs:
        return _conflicted(standing, answer)
    if attempt.state in DEAD or not standing.is_awaited:
        return _late(standing, answer)
    if answer.captured:
        return _charged(standing, answer)
    return _authorized(standing, answer)


def _charged(standing: Standing, answer: Answer) -> Step:
    now, amount = standing.now, standing.attempt.amount_minor
    attempt = moved(
        standing.attempt,
        AttemptState.CHARGED,
        now,
        **_told(standing.attempt, answer),
        authorized_minor=amount,
        captured_minor=amount,
        ended_at=now,
        due_at=None,
    )
    intent = _succeeded(standing.intent, attempt, amount, now)
    return Step(
        intent,
        attempt,
        (postings.charged(standing.money, attempt, amount), *standing.top_up),
        (("payment_intent.succeeded", intent), ("charge.succeeded", attempt)),
    )


def _authorized(standing: Standing, answer: Answer) -> Step:
    now, amount = standing.now, standing.attempt.amount_minor
    hold = postings.authorized(standing.money, standing.attempt, amount)
    expires_at = now + timedelta(days=standing.capabilities.authorization_days)
    attempt = moved(
        standing.attempt,
        AttemptState.AUTHORIZED,
        now,
        **_told(standing.attempt, answer),
        authorized_minor=amount,
        holds=(HoldPart(hold.key, amount),),
        ended_at=now,
        expires_at=expires_at,
        # Where the merchant wanted it captured at once and the channel only reserved it, a worker captures.
        due_at=now if standing.attempt.capture else expires_at,
    )
    intent = intent_moved(
        standing.intent,
        IntentState.REQUIRES_CAPTURE,
        now,
        amount_capturable_minor=amount,
        paid_by_id=attempt.id,
        certainty=Certainty.KNOWN,
        next_action=None,
        last_error=None,
        due_at=None,
    )
    return Step(
        intent,
        attempt,
        (hold,),
        (("payment_intent.amount_capturable_updated", intent), ("charge.succeeded", attempt)),
    )


def _captured_elsewhere(standing: Standing, answer: Answer) -> Step:
    """Take in that an authorization which we hold was captured whole at the channel, not through us."""
    now, held = standing.now, standing.attempt
    whole = msgspec.structs.replace(held, holds=())
    attempt = moved(
        whole,
        AttemptState.CAPTURED,
        now,
        **_told(held, answer),
        captured_minor=held.authorized_minor,
        due_at=None,
    )
    intent = _succeeded(standing.intent, attempt, held.authorized_minor, now)
    transfers = (
        *postings.voided(standing.money, held),
        postings.charged(standing.money, attempt, held.authorized_minor),
    )
    return Step(
        intent,
        attempt,
        transfers,
        (("payment_intent.succeeded", intent), ("charge.captured", attempt)),
    )


def _late(standing: Standing, answer: Answer) -> Step:
    """Give back a yes that nobody waits for; its money stands apart meanwhile."""
    now, amount = standing.now, standing.attempt.amount_minor
    captured = amount if answer.captured else 0
    attempt = moved(
        standing.attempt,
        AttemptState.REVERSING,
        now,
        **_told(standing.attempt, answer),
        authorized_minor=amount,
        captured_minor=captured,
        suspense_minor=captured,
        due_at=now + timedelta(seconds=schedule.REVERSAL_S),
    )
    transfers = (postings.unexpected(standing.money, attempt, captured, "late"),) if captured else ()
    return Step(None, attempt, transfers, (("attempt.late_success", attempt),))


def _conflicted(standing: Standing, answer: Answer) -> Step:
    """Never succeed by a yes to something that we did not ask for."""
    now = standing.now
    same_currency = answer.currency in (None, standing.attempt.currency)
    moved_minor = (answer.amount_minor or 0) if answer.captured and same_currency else 0
    attempt = moved(
        standing.attempt,
        AttemptState.CONFLICTED,
        now,
        **_told(standing.attempt, answer),
        suspense_minor=moved_minor,
        due_at=None,
    )
    transfers = (
        (postings.unexpected(standing.money, attempt, moved_minor, "conflict"),) if moved_minor else ()
    )
    intent = None
    if standing.is_awaited:
        intent = intent_moved(
            standing.intent,
            IntentState.PROCESSING,
            now,
            certainty=Certainty.CONFLICTED,
            next_action=None,
            due_at=None,
        )
    told: tuple[tuple[str, Document], ...] = (("attempt.conflicted", attempt),)
    return Step(intent, attempt, transfers, told, alarm="amount_conflict")


def _contradicted(standing: Standing, answer: Answer) -> Step:
    """Book apart, once, the difference to an amount that the channel had confirmed otherwise."""
    attempt, now = standing.attempt, standing.now
    same_currency = answer.currency in (None, attempt.currency)
    difference = 0
    if same_currency and answer.amount_minor is not None and attempt.captured_minor:
        difference = answer.amount_minor - attempt.amount_minor
    if standing.intent.certainty is Certainty.CONFLICTED and attempt.suspense_minor == difference:
        return Step()
    change = difference - attempt.suspense_minor
    told = attempt.changed(now, suspense_minor=difference)
    label = f"contradiction:{told.version}"
    transfers = (postings.unexpected(standing.money, told, change, label),) if change else ()
    intent = standing.intent.changed(now, certainty=Certainty.CONFLICTED)
    return Step(intent, told, transfers, (("attempt.conflicted", told),), alarm="amount_conflict")


def _declined(standing: Standing, answer: Answer) -> Step:
    attempt = standing.attempt
    if attempt.state in OPEN:
        state = AttemptState.VOIDED if answer.voided else AttemptState.DECLINED
        return _ended(standing, answer, state, answer.reason or Reason.OTHER)
    if attempt.state is AttemptState.AUTHORIZED and answer.voided and attempt.open_act is None:
        return _released(standing, answer)
    moved_back = attempt.refunded_minor or attempt.refund_pending_minor or attempt.disputed_minor
    if attempt.state in PAID and not moved_back and standing.intent.certainty is not Certainty.CONFLICTED:
        intent = standing.intent.changed(standing.now, certainty=Certainty.CONFLICTED)
        told = (("attempt.conflicted", attempt),)
        return Step(intent, None, (), told, alarm="outcome_conflict")
    return Step()


def _released(standing: Standing, answer: Answer) -> Step:
    """Release the holds of an authorization that channel or issuer let go; the payer may pay again."""
    now, held = standing.now, standing.attempt
    attempt = moved(held, AttemptState.VOIDED, now, **_told(held, answer), holds=(), due_at=None)
    intent = None
    told: tuple[tuple[str, Document], ...] = (("charge.expired", attempt),)
    if standing.is_awaited:
        intent = intent_moved(
            standing.intent,
            IntentState.REQUIRES_PAYMENT_METHOD,
            now,
            amount_capturable_minor=0,
            paid_by_id=None,
            method_id=None,
            last_error=error_of(standing, answer, answer.reason or Reason.EXPIRED),
            due_at=standing.intent.expires_at,
        )
        told = (("payment_intent.payment_failed", intent), *told)
    return Step(intent, attempt, tuple(postings.voided(standing.money, held)), told)


def _ended(standing: Standing, answer: Answer, state: AttemptState, reason: Reason) -> Step:
    """End an attempt without money: the intent wants another method, or another attempt."""
    now = standing.now
    attempt = moved(
        standing.attempt,
        state,
        now,
        **_told(standing.attempt, answer),
        reason=reason,
        ended_at=now,
        due_at=None,
    )
    told: tuple[tuple[str, Document], ...] = (("charge.failed", attempt),)
    intent = None
    if standing.is_awaited:
        intent = intent_moved(
            standing.intent,
            IntentState.REQUIRES_PAYMENT_METHOD,
            now,
            certainty=Certainty.KNOWN,
            method_id=None,
            next_action=None,
            last_error=error_of(standing, answer, reason),
            due_at=standing.intent.expires_at,
        )
        told = (("payment_intent.payment_failed", intent), *told)
    return Step(intent, attempt, (), told)


def _action_required(standing: Standing, answer: Answer) -> Step:
    now, attempt = standing.now, standing.attempt
    waiting = moved(
        attempt,
        AttemptState.ACTION_REQUIRED,
        now,
        **_told(attempt, answer),
        action=answer.action or attempt.action,
        inquiry_count=attempt.inquiry_count + 1,
        due_at=schedule.after_poll(now, attempt.inquiry_count),
    )
    if not standing.is_awaited or (
        standing.intent.state is IntentState.REQUIRES_ACTION and standing.intent.next_action == waiting.action
    ):
        return Step(None, waiting)
    intent = intent_moved(
        standing.intent,
        IntentState.REQUIRES_ACTION,
        now,
        next_action=waiting.action,
        certainty=Certainty.KNOWN,
        due_at=standing.intent.expires_at,
    )
    return Step(intent, waiting, (), (("payment_intent.requires_action", intent),))


def _pending(standing: Standing, answer: Answer, *, is_inquiry: bool) -> Step:
    now, attempt = standing.now, standing.attempt
    if is_inquiry and attempt.state is AttemptState.ACTION_REQUIRED:
        # The payer has not acted yet; nothing that the merchant sees changes.
        return Step(None, _asked_again(attempt, now, schedule.after_poll(now, attempt.inquiry_count)))
    waiting = moved(
        attempt,
        AttemptState.PENDING,
        now,
        **_told(attempt, answer),
        inquiry_count=attempt.inquiry_count + 1,
        due_at=schedule.after_poll(now, attempt.inquiry_count),
    )
    if not standing.is_awaited or _looks_like(standing.intent, IntentState.PROCESSING, Certainty.KNOWN):
        return Step(None, waiting)
    intent = intent_moved(
        standing.intent, IntentState.PROCESSING, now, certainty=Certainty.KNOWN, next_action=None
    )
    return Step(intent, waiting, (), (("payment_intent.processing", intent),))


def _not_found(standing: Standing, answer: Answer) -> Step:
    capabilities, attempt = standing.capabilities, standing.attempt
    age = standing.now - attempt.sent_at
    if capabilities.inquires_by_our_reference and age >= timedelta(seconds=capabilities.settles_not_found_s):
        return _ended(standing, answer, AttemptState.NOT_FOUND, Reason.NETWORK_TIMEOUT)
    return _unresolved(standing, answer)


def _unresolved(standing: Standing, answer: Answer) -> Step:
    now, attempt = standing.now, standing.attempt
    if attempt.state in (AttemptState.ACTION_REQUIRED, AttemptState.PENDING):
        # What was known to wait still waits; only the asking failed.
        return Step(None, _asked_again(attempt, now, schedule.after_poll(now, attempt.inquiry_count)))
    lost = moved(
        attempt,
        AttemptState.UNRESOLVED,
        now,
        **_told(attempt, answer),
        inquiry_count=attempt.inquiry_count + 1,
        due_at=schedule.after_unresolved(now, attempt.inquiry_count),
    )
    told: tuple[tuple[str, Document], ...] = ()
    if lost.due_at is None:
        told = (("attempt.unresolved", lost),)
    if not standing.is_awaited or _looks_like(standing.intent, IntentState.PROCESSING, Certainty.UNKNOWN):
        return Step(None, lost, (), told, alarm=None if lost.due_at else "never_resolved")
    intent = intent_moved(
        standing.intent, IntentState.PROCESSING, now, certainty=Certainty.UNKNOWN, next_action=None
    )
    return Step(intent, lost, (), (("payment_intent.processing", intent), *told))


def _succeeded(intent: Intent, attempt: Attempt, amount_minor: int, now: datetime) -> Intent:
    return intent_moved(
        intent,
        IntentState.SUCCEEDED,
        now,
        amount_received_minor=amount_minor,
        amount_capturable_minor=0,
        paid_by_id=attempt.id,
        certainty=Certainty.KNOWN,
        next_action=None,
        last_error=None,
        due_at=None,
    )


def _asked_again(attempt: Attempt, now: datetime, due_at: datetime) -> Attempt:
    return attempt.changed(now, inquiry_count=attempt.inquiry_count + 1, due_at=due_at)


def _looks_like(intent: Intent, state: IntentState, certainty: Certainty) -> bool:
    return intent.state is state and intent.certainty is certainty


def _difference(attempt: Attempt, answer: Answer) -> bool:
    """Return whether the channel tells of another amount or currency than was asked."""
    return (answer.amount_minor is not None and answer.amount_minor != attempt.amount_minor) or (
        answer.currency is not None and answer.currency != attempt.currency
    )


def _told(attempt: Attempt, answer: Answer) -> dict[str, object]:
    """Return what the channel said, over what it had said before."""
    return {
        "channel_reference": answer.channel_reference or attempt.channel_reference,
        "network_reference": answer.network_reference or attempt.network_reference,
        "approval_code": answer.approval_code or attempt.approval_code,
        "cvc_check": answer.cvc_check or attempt.cvc_check,
        "code": answer.code or attempt.code,
        "message": answer.message or attempt.message,
    }
