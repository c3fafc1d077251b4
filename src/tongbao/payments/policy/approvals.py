"""What a yes means: charged, authorized, too late, or to something that nobody asked for. Pure; see ``outcomes``."""

from datetime import timedelta
from datetime import datetime

import msgspec

from tongbao.channels.schema import Answer
from tongbao.payments.policy import postings, schedule
from tongbao.payments.policy.steps import Standing, Step, intent_moved, moved, told
from tongbao.payments.schema.attempts import DEAD, HOLDING, PAID, Attempt, AttemptState, HoldPart
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.intents import Certainty, Intent, IntentState


def approved(standing: Standing, answer: Answer) -> Step:
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
        **told(standing.attempt, answer),
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
        **told(standing.attempt, answer),
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
        **told(held, answer),
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
        **told(standing.attempt, answer),
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
        **told(standing.attempt, answer),
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
    return Step(intent, attempt, transfers, (("attempt.conflicted", attempt),), alarm="amount_conflict")


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


def _difference(attempt: Attempt, answer: Answer) -> bool:
    """Return whether the channel tells of another amount or currency than was asked."""
    return (answer.amount_minor is not None and answer.amount_minor != attempt.amount_minor) or (
        answer.currency is not None and answer.currency != attempt.currency
    )
