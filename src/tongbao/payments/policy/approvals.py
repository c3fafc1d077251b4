"""What a yes means: charged, authorized, too late, or to something that nobody asked for. Pure; see ``outcomes``.

Steps say in ``suspense_minor`` what stands apart of an attempt and leave it to ``outcomes.settle`` to move it there.
"""

from datetime import datetime, timedelta

import msgspec

from tongbao.channels.schema import Answer, Operation
from tongbao.payments.policy import postings, schedule
from tongbao.payments.policy.step_ups import not_authenticated
from tongbao.payments.policy.steps import Standing, Step, intent_moved, moved, said
from tongbao.payments.schema.attempts import (
    DEAD,
    HOLDING,
    PAID,
    ActState,
    Attempt,
    AttemptState,
    HoldPart,
)
from tongbao.payments.schema.intents import Certainty, Intent, IntentState


def approved(standing: Standing, answer: Answer) -> Step:
    """Return what a yes changes: the awaited one pays, any other is given back or stands apart."""
    attempt = standing.attempt
    differs = _differs(attempt, answer)
    if attempt.state in PAID or attempt.state in HOLDING:
        return _heard_again(standing, answer, differs=differs)
    if attempt.state is AttemptState.CONFLICTED:
        return Step()
    if attempt.state in (AttemptState.REVERSING, AttemptState.REVERSED):
        return _claimed_meanwhile(standing, answer, differs=differs)
    if attempt.state is AttemptState.VOIDED and attempt.authorized_minor and not answer.captured:
        # An echo of the authorization that was voided since: the channel has let go of it.
        return Step()
    if differs:
        return _conflicted(standing, answer)
    if attempt.state in DEAD or not standing.is_awaited:
        return _late(standing, answer)
    if attempt.must_prove and not _is_proved(standing, answer):
        return _unproved(standing, answer)
    if answer.captured:
        return _charged(standing, answer)
    return _authorized(standing, answer)


def _heard_again(standing: Standing, answer: Answer, *, differs: bool) -> Step:
    """Take in a yes to what we hold or have: an echo, a capture at the channel's own desk, or a contradiction."""
    if differs:
        return _contradicted(standing, answer)
    attempt = standing.attempt
    if attempt.state is AttemptState.AUTHORIZED and answer.captured and attempt.open_act is None:
        return _captured_elsewhere(standing, answer)
    return Step()


def _claimed_meanwhile(standing: Standing, answer: Answer, *, differs: bool) -> Step:
    """Take in that an authorization which is being given back was claimed: a refund is needed, not a void."""
    attempt, now = standing.attempt, standing.now
    if not answer.captured or attempt.captured_minor or differs:
        return Step()
    if attempt.state is AttemptState.REVERSED:
        return Step(alarm="claim_after_reversal")
    amount = attempt.amount_minor
    claimed = attempt.changed(
        now,
        captured_minor=amount,
        suspense_minor=amount,
        due_at=now + timedelta(seconds=schedule.REVERSAL_S),
    )
    return Step(None, claimed)


def _charged(standing: Standing, answer: Answer) -> Step:
    now, amount = standing.now, standing.attempt.amount_minor
    attempt = moved(
        standing.attempt,
        AttemptState.CHARGED,
        now,
        **said(standing.attempt, answer),
        authorized_minor=amount,
        captured_minor=amount,
        ended_at=now,
        due_at=standing.due(None),
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
    expires_at = now + timedelta(days=_days(standing))
    attempt = moved(
        standing.attempt,
        AttemptState.AUTHORIZED,
        now,
        **said(standing.attempt, answer),
        authorized_minor=amount,
        holds=(HoldPart(hold.key, amount),),
        ended_at=now,
        expires_at=expires_at,
        # Where the merchant wanted it captured at once and the channel only reserved it, a worker captures.
        due_at=standing.due(now if standing.attempt.capture else expires_at),
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
        **said(held, answer),
        captured_minor=held.authorized_minor,
        # What was told of a part of it before, and stood apart, is in the whole.
        suspense_minor=0,
        due_at=None,
    )
    intent = _succeeded(standing.intent, attempt, held.authorized_minor, now)
    transfers = (
        *postings.voided(standing.money, held),
        postings.charged(standing.money, attempt, held.authorized_minor),
        *standing.top_up,
    )
    return Step(
        intent,
        attempt,
        transfers,
        (("payment_intent.succeeded", intent), ("charge.captured", attempt)),
    )


def _late(standing: Standing, answer: Answer) -> Step:
    """Give back a yes that nobody waits for; its money stands apart meanwhile, also where a part of it did."""
    now, amount = standing.now, standing.attempt.amount_minor
    captured = amount if answer.captured else 0
    attempt = moved(
        standing.attempt,
        AttemptState.REVERSING,
        now,
        **said(standing.attempt, answer),
        authorized_minor=amount,
        captured_minor=captured,
        suspense_minor=captured or standing.attempt.suspense_minor,
        due_at=now + timedelta(seconds=schedule.REVERSAL_S),
    )
    return Step(None, attempt, (), (("attempt.late_success", attempt),))


def _unproved(standing: Standing, answer: Answer) -> Step:
    """Give back a yes whose payer was to be authenticated and was not; the payer may pay otherwise."""
    given_back = _late(standing, answer).attempt
    assert given_back is not None
    intent = intent_moved(
        standing.intent,
        IntentState.REQUIRES_PAYMENT_METHOD,
        standing.now,
        certainty=Certainty.KNOWN,
        method_id=None,
        next_action=None,
        last_error=not_authenticated(standing.attempt),
        due_at=standing.intent.expires_at,
    )
    told = (("payment_intent.payment_failed", intent), ("charge.updated", given_back))
    return Step(intent, given_back, (), told)


def _is_proved(standing: Standing, answer: Answer) -> bool:
    known = answer.authentication or standing.attempt.authentication
    return known is not None and known.is_good


def _conflicted(standing: Standing, answer: Answer) -> Step:
    """Never succeed by a yes to something that we did not ask for."""
    now = standing.now
    attempt = moved(
        standing.attempt,
        AttemptState.CONFLICTED,
        now,
        **said(standing.attempt, answer),
        suspense_minor=_unexplained(standing.attempt, answer),
        due_at=None,
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
    return Step(intent, attempt, (), (("attempt.conflicted", attempt),), alarm="amount_conflict")


def _contradicted(standing: Standing, answer: Answer) -> Step:
    """Set apart, once, the difference to an amount that the channel had confirmed otherwise."""
    attempt, now = standing.attempt, standing.now
    difference = _unexplained(attempt, answer)
    if standing.intent.certainty is Certainty.CONFLICTED and attempt.suspense_minor == difference:
        return Step()
    told = attempt.changed(now, suspense_minor=difference)
    intent = standing.intent.changed(now, certainty=Certainty.CONFLICTED)
    return Step(intent, told, (), (("attempt.conflicted", told),), alarm="amount_conflict")


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


def _differs(attempt: Attempt, answer: Answer) -> bool:
    """Return whether the channel tells of an amount or currency that nothing here explains."""
    if answer.currency is not None and answer.currency != attempt.currency:
        return True
    if answer.amount_minor is None:
        return False
    known = _claimed_totals(attempt) if answer.captured else _authorized_totals(attempt)
    return answer.amount_minor not in known


def _unexplained(attempt: Attempt, answer: Answer) -> int:
    """Return what stands apart once this is heard: all that was claimed, less what we have taken in as captured.

    What stood apart before stays where the answer tells of no claim, or of one in another currency.
    """
    if not answer.captured or answer.amount_minor is None or answer.currency not in (None, attempt.currency):
        return attempt.suspense_minor
    return answer.amount_minor - attempt.captured_minor


def _authorized_totals(attempt: Attempt) -> set[int]:
    """Return what an authorization came to, from the first amount over each increment to one on its way."""
    grown = [
        act
        for act in attempt.acts
        if act.operation is Operation.INCREMENT and act.state is not ActState.DECLINED
    ]
    total = attempt.amount_minor - sum(act.amount_minor for act in grown if act.state is ActState.APPROVED)
    totals = {total}
    for act in grown:
        total += act.amount_minor
        totals.add(total)
    return totals


def _claimed_totals(attempt: Attempt) -> set[int]:
    """Return what was claimed after each capture, and with the one on its way; all of it where there was none."""
    total = 0
    totals = {attempt.captured_minor or attempt.amount_minor}
    for act in attempt.acts:
        if act.operation is Operation.CAPTURE and act.state is not ActState.DECLINED:
            total += act.amount_minor
            totals.add(total)
    return totals


def _days(standing: Standing) -> int:
    """Return for how many days an authorization is held: longer where that was asked and the channel can."""
    longer = standing.capabilities.extended_authorization_days
    return longer if standing.attempt.extended and longer else standing.capabilities.authorization_days
