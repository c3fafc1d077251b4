"""How a payment stands in one word: what became of its money comes before how it is going on."""

import enum

from tongbao.payments.schema.attempts import Attempt
from tongbao.payments.schema.intents import Certainty, Intent, IntentState, RiskState


class Standing(enum.StrEnum):
    """One word for a payment. The states of intents that have no word of their own here keep theirs."""

    UNKNOWN = "unknown"  # nobody knows how its attempt ended, or two tell it differently
    REVIEW = "review"
    DISPUTED = "disputed"  # and not decided yet
    REFUNDED = "refunded"
    PARTLY_REFUNDED = "partly_refunded"
    BLOCKED = "blocked"  # by risk control
    DECLINED = "declined"  # and not paid otherwise so far
    NOT_PAID = "not_paid"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


_WAITING = (IntentState.REQUIRES_PAYMENT_METHOD, IntentState.REQUIRES_CONFIRMATION)


def standing_of(intent: Intent, attempt: Attempt | None = None) -> Standing:
    """Return how a payment stands, with its latest attempt where that is known; the same order of questions stands as SQL in ``store.overviews``."""
    if intent.certainty is not Certainty.KNOWN:
        return Standing.UNKNOWN
    if intent.risk_state is RiskState.REVIEW and intent.state is not IntentState.CANCELED:
        return Standing.REVIEW
    if attempt is not None and attempt.disputed_minor:
        return Standing.DISPUTED
    if intent.state is IntentState.SUCCEEDED and intent.amount_refunded_minor:
        is_whole = intent.amount_refunded_minor >= intent.amount_received_minor
        return Standing.REFUNDED if is_whole else Standing.PARTLY_REFUNDED
    if intent.state not in _WAITING:
        return Standing(intent.state.value)
    if intent.last_error is None:
        return Standing.NOT_PAID
    return Standing.BLOCKED if intent.risk_state is RiskState.BLOCKED else Standing.DECLINED
