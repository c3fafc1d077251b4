"""Refunds and disputes."""

from datetime import datetime

from tongbao.channels.schema import Card, Method, Reason
from tongbao.core.ids import uuid_text
from tongbao.payments.schema.complaints import Complaint
from tongbao.payments.schema.refunds import (
    EVIDENCE_FIELDS,
    OPEN_REFUNDS,
    Dispute,
    DisputeState,
    Refund,
    RefundState,
)
from tongbao.web.api.v1.renderings.bases import (
    CHARGE_PREFIX,
    TRANSACTION_PREFIX,
    Tree,
    maybe_seconds,
    nulls,
    seconds,
)

_REFUND_NULLS = nulls(
    *("customer_account", "description", "failure_balance_transaction", "instructions_email", "next_action"),
    *("presentment_details", "receipt_number", "source_transfer_reversal", "transfer_reversal"),
)
_FAILURES = {
    Reason.CARD_EXPIRED: "expired_or_canceled_card",
    Reason.CARD_LOST: "lost_or_stolen_card",
    Reason.CARD_STOLEN: "lost_or_stolen_card",
    Reason.INSUFFICIENT_FUNDS: "insufficient_funds",
    Reason.ACCOUNT_CLOSED: "expired_or_canceled_card",
}
"""Stripe's words for why a refund failed; everything else is ``unknown``."""
_FILES = ("cancellation_policy", "duplicate_charge_id", "refund_policy", "uncategorized_file")


def refund_object(refund: Refund) -> Tree:
    """Return a ``refund``; how it was paid is said by its charge."""
    pending = refund.state in OPEN_REFUNDS
    failed = refund.state is RefundState.FAILED
    return {
        "id": refund.reference,
        "object": "refund",
        **_REFUND_NULLS,
        "amount": refund.amount_minor,
        "balance_transaction": uuid_text(TRANSACTION_PREFIX, refund.id)
        if refund.state is RefundState.SUCCEEDED
        else None,
        "channel_reference": refund.channel_reference,
        "charge": uuid_text(CHARGE_PREFIX, refund.attempt_id),
        "created": seconds(refund.created_at),
        "currency": refund.currency.lower(),
        "customer": None,
        "destination_details": None,
        "failure_reason": _FAILURES.get(refund.reason, "unknown") if failed and refund.reason else None,
        "metadata": refund.metadata,
        "outcome_certainty": "unknown" if refund.state is RefundState.UNRESOLVED else "known",
        "payment_intent": uuid_text("pi", refund.intent_id),
        "payment_method": None,
        "pending_reason": "processing" if pending else None,
        "reason": refund.cause,
        "status": "pending" if pending else refund.state.value,
        "updated": seconds(refund.updated_at),
        "version": refund.version,
    }


def dispute_object(dispute: Dispute, now: datetime, method: Method | None = None) -> Tree:
    """Return a ``dispute``; ``now`` decides whether the time to respond is over."""
    return {
        "id": dispute.reference,
        "object": "dispute",
        "amount": dispute.amount_minor,
        "balance_transactions": [],
        "charge": uuid_text(CHARGE_PREFIX, dispute.attempt_id),
        "created": seconds(dispute.created_at),
        "currency": dispute.currency.lower(),
        "enhanced_eligibility_types": [],
        "evidence": {
            **nulls(*EVIDENCE_FIELDS, *_FILES, "appeal"),
            **dispute.evidence,
            "enhanced_evidence": {},
        },
        "evidence_details": {
            "due_by": maybe_seconds(dispute.respond_by),
            "enhanced_eligibility": {},
            "has_evidence": bool(dispute.evidence),
            "past_due": _is_past_due(dispute, now),
            "submission_count": dispute.submission_count,
            "submission_method": "manual" if dispute.submission_count else "not_submitted",
        },
        "intended_submission_method": None,
        "is_charge_refundable": False,
        "livemode": dispute.live,
        "metadata": dispute.metadata,
        "network_reason_code": dispute.network_reason_code,
        "payment_intent": uuid_text("pi", dispute.intent_id),
        "payment_method_details": _dispute_details(dispute, method),
        "reason": dispute.cause,
        "status": dispute.state.value,
        "updated": seconds(dispute.updated_at),
        "version": dispute.version,
    }


def complaint_object(complaint: Complaint) -> Tree:
    """Return a ``complaint``, of ours: what a payer says of a payment from a wallet, and what came of it."""
    return {
        "id": complaint.reference,
        "object": "complaint",
        "amount": complaint.amount_minor,
        "amount_refunded": complaint.refunded_minor,
        "answer": complaint.answer or None,
        "answer_by": seconds(complaint.answer_by),
        "charge": uuid_text(CHARGE_PREFIX, complaint.attempt_id),
        "created": seconds(complaint.created_at),
        "currency": complaint.currency.lower(),
        "ended_at": maybe_seconds(complaint.ended_at),
        "livemode": complaint.live,
        "metadata": complaint.metadata,
        "payment_intent": uuid_text("pi", complaint.intent_id),
        "reason": complaint.cause.value,
        "refund": None if complaint.refund_id is None else uuid_text("re", complaint.refund_id),
        "status": complaint.state.value,
        "updated": seconds(complaint.updated_at),
        "version": complaint.version,
        "words": complaint.words or None,
    }


def _is_past_due(dispute: Dispute, now: datetime) -> bool:
    waits = dispute.state is DisputeState.NEEDS_RESPONSE
    return waits and dispute.respond_by is not None and dispute.respond_by <= now


def _dispute_details(dispute: Dispute, method: Method | None) -> Tree | None:
    if not isinstance(method, Card):
        return None
    said: Tree = {"brand": method.brand, "case_type": "chargeback", "network": method.brand}
    return {"type": "card", "card": said | {"network_reason_code": dispute.network_reason_code}}
