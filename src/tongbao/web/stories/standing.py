"""How payments, refunds and disputes stand, as a key of their words and a tone of the kit. Pure."""

from typing import NamedTuple

from tongbao.payments.schema import standing
from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import Intent
from tongbao.payments.schema.refunds import Dispute, DisputeState, Refund, RefundState
from tongbao.payments.schema.standing import Standing


class Told(NamedTuple):
    """``key`` in ``locale.stories``, and a tone."""

    key: str
    tone: str


_TONES = {
    Standing.UNKNOWN: "review",
    Standing.REVIEW: "review",
    Standing.DISPUTED: "error",
    Standing.BLOCKED: "error",
    Standing.DECLINED: "error",
    Standing.REQUIRES_ACTION: "warn",
    Standing.PROCESSING: "warn",
    Standing.REQUIRES_CAPTURE: "warn",
    Standing.SUCCEEDED: "ok",
}
_REFUND_TONES = {RefundState.SUCCEEDED: "ok", RefundState.FAILED: "error", RefundState.CANCELED: "plain"}
_DISPUTE_TONES = {
    DisputeState.NEEDS_RESPONSE: "error",
    DisputeState.UNDER_REVIEW: "review",
    DisputeState.WON: "ok",
    DisputeState.LOST: "plain",
}


def of_payment(intent: Intent, attempt: Attempt | None = None) -> Told:
    """Return how a payment stands; ``attempt`` is its latest, by which a dispute is known."""
    found = standing.standing_of(intent, attempt)
    return Told(f"stands_{found}", _TONES.get(found, "plain"))


def of_refund(refund: Refund) -> Told:
    """Return how a refund stands."""
    return Told(f"refund_{refund.state}", _REFUND_TONES.get(refund.state, "warn"))


def of_dispute(dispute: Dispute) -> Told:
    """Return how a dispute stands."""
    return Told(f"dispute_{dispute.state}", _DISPUTE_TONES[dispute.state])
