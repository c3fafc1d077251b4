"""When a payer may complain about a payment, and how a complaint goes on. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from tongbao.core.masking import mask_text
from tongbao.payments.errors import BadParameter, WrongState
from tongbao.payments.schema.attempts import PAID, Attempt
from tongbao.payments.schema.complaints import (
    ANSWER_DAYS,
    COMPLAIN_DAYS,
    COMPLAINTS_MAX,
    WORDLESS,
    WORDS_CHARS_MAX,
    Complaint,
    ComplaintState,
    Said,
)
from tongbao.payments.schema.refunds import Refund, RefundState


def objection(attempt: Attempt, earlier: Sequence[Complaint], now: datetime) -> WrongState | None:
    """Return why a payer cannot complain about a payment now; None where they can. ``earlier``: all about this payment."""
    if attempt.state not in PAID:
        return WrongState("complaint_not_paid", f"{attempt.reference} has taken nothing")
    if any(each.state is ComplaintState.OPEN for each in earlier):
        return WrongState("complaint_open", "the merchant has been asked and has not answered yet")
    if attempt.disputed_minor:
        return WrongState("complaint_disputed", f"{attempt.reference} is in dispute already")
    if attempt.refundable_minor <= 0:
        return WrongState("complaint_refunded", "everything went back, or is on its way back")
    if len(earlier) >= COMPLAINTS_MAX:
        return WrongState("complaint_repeated", f"at most {COMPLAINTS_MAX} complaints about one payment")
    if now > (attempt.ended_at or attempt.sent_at) + timedelta(days=COMPLAIN_DAYS):
        return WrongState("complaint_late", f"complaints are taken for {COMPLAIN_DAYS} days")
    return None


def begun(
    attempt: Attempt, said: Said, wallet_book_id: int, *, complaint_id: UUID, now: datetime
) -> Complaint:
    """Return a new complaint; raise BadParameter ``complaint_wordless`` or ``complaint_wordy``."""
    return Complaint(
        id=complaint_id,
        book_id=attempt.book_id,
        live=attempt.live,
        created_at=now,
        updated_at=now,
        state=ComplaintState.OPEN,
        intent_id=attempt.intent_id,
        attempt_id=attempt.id,
        wallet_book_id=wallet_book_id,
        cause=said.cause,
        words=_words(said.words, required=said.cause not in WORDLESS),
        amount_minor=attempt.captured_minor,
        currency=attempt.currency,
        answer_by=now + timedelta(days=ANSWER_DAYS),
    )


def answered(complaint: Complaint, words: str, actor: str, now: datetime) -> Complaint:
    """Return a complaint with the merchant's answer; raise WrongState ``complaint_closed``, BadParameter as ``begun`` does."""
    _check_open(complaint)
    return complaint.changed(
        now,
        state=ComplaintState.ANSWERED,
        answer=_words(words, required=True),
        answered_by=actor,
        ended_at=now,
    )


def withdrawn(complaint: Complaint, now: datetime) -> Complaint:
    """Return a complaint that its payer takes back; raise WrongState ``complaint_closed``."""
    _check_open(complaint)
    return complaint.changed(now, state=ComplaintState.WITHDRAWN, ended_at=now)


def refunded(complaint: Complaint, refund: Refund, now: datetime) -> Complaint | None:
    """Return a complaint that ends with money that went back; None where the refund or the complaint is not that far."""
    if complaint.state is not ComplaintState.OPEN or refund.state is not RefundState.SUCCEEDED:
        return None
    return complaint.changed(
        now,
        state=ComplaintState.REFUNDED,
        refund_id=refund.id,
        refunded_minor=refund.amount_minor,
        ended_at=now,
    )


def _check_open(complaint: Complaint) -> None:
    if complaint.state is not ComplaintState.OPEN:
        raise WrongState("complaint_closed", f"{complaint.reference} is {complaint.state}")


def _words(text: str, *, required: bool) -> str:
    """Return words as they are kept: without what a database cannot hold, and with card numbers blotted out."""
    found = text.replace("\x00", "").strip()
    if required and not found:
        raise BadParameter("complaint_wordless", "words", "say a few words")
    if len(found) > WORDS_CHARS_MAX:
        raise BadParameter("complaint_wordy", "words", f"at most {WORDS_CHARS_MAX} characters")
    return mask_text(found)
