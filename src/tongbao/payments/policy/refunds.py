"""Refunds and disputes: what may be given back, and what their ends mean. Pure."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tongbao.channels.schema import Answer, Capabilities, Outcome, Reason
from tongbao.ledger.schema import Transfer
from tongbao.payments.errors import BadAmount, WrongState
from tongbao.payments.policy import postings, schedule
from tongbao.payments.policy.postings import Money
from tongbao.payments.schema.attempts import PAID, Attempt
from tongbao.payments.schema.documents import Document
from tongbao.payments.schema.intents import Certainty, Intent
from tongbao.payments.schema.refunds import OPEN_REFUNDS, Refund, RefundState


class RefundStep(NamedTuple):
    """What the end of a refund changes; all None where it changes nothing."""

    refund: Refund | None = None
    attempt: Attempt | None = None
    intent: Intent | None = None
    transfers: tuple[Transfer, ...] = ()
    events: tuple[tuple[str, Document], ...] = ()
    alarm: str | None = None


def begin(
    intent: Intent,
    attempt: Attempt,
    capabilities: Capabilities,
    amount_minor: int | None,
    *,
    cause: str | None,
    metadata: dict[str, str],
    money: Money,
    refund_id: UUID,
    now: datetime,
) -> RefundStep:
    """Return a refund on its way, its money put aside; no amount refunds everything that is left.

    Raises WrongState ``charge_not_refundable``, ``charge_already_refunded``, ``charge_disputed``,
    ``refund_not_supported``, ``wallet_top_up_not_refundable`` or ``payment_intent_conflicted``, BadAmount ``amount_too_large``.
    """
    if attempt.state not in PAID:
        raise WrongState(
            "charge_not_refundable", f"{attempt.reference} is {attempt.state}: nothing to refund"
        )
    if intent.wallet_book_id is not None:
        raise WrongState("wallet_top_up_not_refundable", "pay a top-up back out of its wallet")
    if intent.certainty is Certainty.CONFLICTED:
        raise WrongState("payment_intent_conflicted", f"{intent.reference} waits for people to look at it")
    left = attempt.refundable_minor - attempt.disputed_minor
    if left <= 0 and attempt.disputed_minor:
        raise WrongState("charge_disputed", f"{attempt.reference} is disputed: its money is withheld")
    if left <= 0:
        raise WrongState("charge_already_refunded", f"{attempt.reference} has been refunded")
    amount = left if amount_minor is None else amount_minor
    if amount <= 0:
        raise BadAmount("amount_too_small", "amount", "at least one minor unit is refunded")
    if amount > left:
        raise BadAmount(
            "amount_too_large", "amount", f"{left} may be refunded, not {amount}", charge=attempt.reference
        )
    if not capabilities.refund or (amount < attempt.captured_minor and not capabilities.partial_refund):
        raise WrongState("refund_not_supported", f"{attempt.channel} does not refund that")
    refund = Refund(
        id=refund_id,
        book_id=attempt.book_id,
        live=attempt.live,
        created_at=now,
        updated_at=now,
        due_at=schedule.after_sending(now),
        metadata=metadata,
        state=RefundState.SENT,
        intent_id=intent.id,
        attempt_id=attempt.id,
        amount_minor=amount,
        currency=attempt.currency,
        cause=cause,
        sent_at=now,
        signals_id=attempt.signals_id,
    )
    reserved = attempt.changed(now, refund_pending_minor=attempt.refund_pending_minor + amount)
    lowered = intent.changed(now, amount_refunded_minor=intent.amount_refunded_minor + amount)
    return RefundStep(
        refund,
        reserved,
        lowered,
        (postings.refund_made(money, attempt, refund),),
        (("refund.created", refund),),
    )


def end(
    refund: Refund, attempt: Attempt, intent: Intent, answer: Answer, money: Money, now: datetime
) -> RefundStep:
    """Return what an answer about a refund, from anywhere, changes; the same answer again changes nothing."""
    if refund.state not in OPEN_REFUNDS:
        if refund.state is RefundState.FAILED and answer.outcome is Outcome.APPROVED:
            return RefundStep(alarm="refund_after_failure")
        return RefundStep()
    if answer.outcome is Outcome.APPROVED:
        differs = (answer.amount_minor is not None and answer.amount_minor != refund.amount_minor) or (
            answer.currency is not None and answer.currency != refund.currency
        )
        if differs and refund.state is RefundState.UNRESOLVED and refund.due_at is None:
            return RefundStep()
        if differs:
            odd = refund.changed(now, state=RefundState.UNRESOLVED, due_at=None, **_told(refund, answer))
            return RefundStep(odd, alarm="amount_conflict")
        return _succeeded(refund, attempt, answer, money, now)
    never_left = answer.outcome is Outcome.NOT_SENT and not refund.inquiry_count
    if answer.outcome is Outcome.DECLINED or never_left:
        return _failed(refund, attempt, intent, answer, money, now)
    pending = answer.outcome is Outcome.PENDING
    due_at = schedule.after_unresolved(now, refund.inquiry_count)
    waiting = refund.changed(
        now,
        state=RefundState.PENDING if pending else RefundState.UNRESOLVED,
        inquiry_count=refund.inquiry_count + 1,
        due_at=due_at,
        **_told(refund, answer),
    )
    told = (("refund.updated", waiting),) if refund.state is RefundState.SENT else ()
    return RefundStep(waiting, events=told, alarm=None if due_at else "never_resolved")


def _succeeded(refund: Refund, attempt: Attempt, answer: Answer, money: Money, now: datetime) -> RefundStep:
    done = refund.changed(
        now, state=RefundState.SUCCEEDED, ended_at=now, due_at=None, **_told(refund, answer)
    )
    returned = attempt.changed(
        now,
        refund_pending_minor=attempt.refund_pending_minor - refund.amount_minor,
        refunded_minor=attempt.refunded_minor + refund.amount_minor,
    )
    return RefundStep(
        done,
        returned,
        None,
        (postings.refund_done(money, attempt, refund),),
        (("refund.updated", done), ("charge.refunded", returned)),
    )


def _failed(
    refund: Refund, attempt: Attempt, intent: Intent, answer: Answer, money: Money, now: datetime
) -> RefundStep:
    reason = answer.reason or (
        Reason.CHANNEL_UNAVAILABLE if answer.outcome is Outcome.NOT_SENT else Reason.OTHER
    )
    failed = refund.changed(
        now,
        state=RefundState.FAILED,
        ended_at=now,
        due_at=None,
        **(_told(refund, answer) | {"reason": reason}),
    )
    restored = attempt.changed(now, refund_pending_minor=attempt.refund_pending_minor - refund.amount_minor)
    raised = intent.changed(now, amount_refunded_minor=intent.amount_refunded_minor - refund.amount_minor)
    return RefundStep(
        failed,
        restored,
        raised,
        (postings.refund_failed(money, attempt, refund),),
        (("refund.failed", failed), ("refund.updated", failed)),
    )


def _told(refund: Refund, answer: Answer) -> dict[str, object]:
    return {
        "channel_reference": answer.channel_reference or refund.channel_reference,
        "code": answer.code or refund.code,
        "reason": answer.reason or refund.reason,
    }
