"""What an answer about an attempt means for the attempt, its intent and the money.

Pure and repeatable: the same answer again changes nothing. Whatever says how an attempt ended comes through here:
the answer to the call, an inquiry, a notification, early, late, twice or in the wrong order.

Rules, each of which exists because money was once lost without it:

1. Amount and currency of a yes must be those that were asked; else the outcome is ``conflicted``, the money stands in
   suspense, and nothing succeeds by itself.
2. A yes that comes when the intent no longer waits for it (another attempt paid, it was canceled, this attempt had been
   given up) is given back: ``reversing`` until the channel confirms, the money in suspense meanwhile.
3. A no that contradicts money we have is ``conflicted``.
4. ``not_found`` counts only from a channel that knows our references, after the time in which it may still be booking,
   and where the payer has still to act not before the intent has expired and could not be closed.
5. What the books hold in suspense for an attempt is its ``suspense_minor``, after every answer and in any order of them.
   Steps only say what it must be; ``settle`` alone posts, and only the difference to what it was.
"""

from datetime import datetime, timedelta

from tongbao.channels.schema import Answer, Outcome, Reason
from tongbao.payments.policy import approvals, postings, schedule
from tongbao.payments.policy.steps import (
    Explain,
    Standing,
    Step,
    error_of,
    intent_moved,
    moved,
    said,
)
from tongbao.payments.schema.attempts import OPEN, PAID, Attempt, AttemptState
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.intents import Certainty, Intent, IntentState, RiskState

CLOSING = timedelta(hours=1)
"""For so long after an intent has expired a worker tries to close what its payer was asked, before it is given up."""

__all__ = ["Explain", "Standing", "Step", "error_of", "intent_moved", "moved", "settle"]


def settle(standing: Standing, answer: Answer, *, is_inquiry: bool = False) -> Step:
    """Return what ``answer``, to the call itself or with ``is_inquiry`` from anywhere else, changes."""
    step = _meaning(standing, answer, is_inquiry=is_inquiry)
    if step.attempt is None:
        return step
    apart = postings.suspended(standing.money, standing.attempt, step.attempt)
    return step._replace(transfers=(*step.transfers, *apart))


def _meaning(standing: Standing, answer: Answer, *, is_inquiry: bool) -> Step:
    """Return the step without the transfer into or out of suspense that its attempt calls for."""
    match answer.outcome:
        case Outcome.APPROVED if answer.voided:
            # It was approved once, and let go of since: no money is there.
            return _declined(standing, answer)
        case Outcome.APPROVED:
            return approvals.approved(standing, answer)
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
    attempt = moved(held, AttemptState.VOIDED, now, **said(held, answer), holds=(), due_at=None)
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
            risk_state=RiskState.UNDECIDED
            if standing.intent.risk_state is RiskState.REVIEW
            else standing.intent.risk_state,
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
        **said(standing.attempt, answer),
        reason=reason,
        ended_at=now,
        due_at=standing.due(None),
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
        **said(attempt, answer),
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
        **said(attempt, answer),
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
    waits = attempt.state in (AttemptState.ACTION_REQUIRED, AttemptState.PENDING)
    expires_at = standing.intent.expires_at
    if waits and (expires_at is None or standing.now < expires_at + CLOSING):
        # Some channels know a payment only once its payer has opened it; until then the offer stands.
        return _unresolved(standing, answer)
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
        **said(attempt, answer),
        inquiry_count=attempt.inquiry_count + 1,
        due_at=schedule.after_unresolved(now, attempt.inquiry_count),
    )
    told: tuple[tuple[str, Document], ...] = ()
    alarm = None if lost.due_at else "never_resolved"
    if lost.due_at is None:
        told = (("attempt.unresolved", lost),)
    if not standing.is_awaited or _looks_like(standing.intent, IntentState.PROCESSING, Certainty.UNKNOWN):
        return Step(None, lost, (), told, alarm=alarm)
    intent = intent_moved(
        standing.intent, IntentState.PROCESSING, now, certainty=Certainty.UNKNOWN, next_action=None
    )
    told = (("payment_intent.processing", intent), *told)
    return Step(intent, lost, (), told, alarm=alarm)


def _asked_again(attempt: Attempt, now: datetime, due_at: datetime) -> Attempt:
    return attempt.changed(now, inquiry_count=attempt.inquiry_count + 1, due_at=due_at)


def _looks_like(intent: Intent, state: IntentState, certainty: Certainty) -> bool:
    return intent.state is state and intent.certainty is certainty
