"""Payments that wait for their payer's proof: which do, and how the waiting ends without one. Pure.

An intent waits for a proof while it is ``requires_action`` without an attempt that could still succeed: nothing of it was
sent to any channel. What its payer does on a channel's page is the attempt's story, and ends with it (``outcomes``).
"""

from datetime import datetime
from uuid import UUID

from tongbao.channels.schema import Reason
from tongbao.channels.service.codes import reason_info
from tongbao.payments.policy.steps import intent_moved
from tongbao.payments.schema.attempts import OPEN, Attempt
from tongbao.payments.schema.intents import Intent, IntentState, PaymentError
from tongbao.risk.schema.tiers import Tier

BOUND = frozenset({"amount_minor", "currency", "customer_id", "method_id", "method_kinds", "receipt_email"})
"""What a proof was asked for: where one of these changes, it is asked for anew."""


def is_waiting(intent: Intent, attempt: Attempt | None) -> bool:
    """Return whether an intent, whose latest attempt is given, waits for a proof of its payer."""
    is_asked = intent.judged is not None and intent.judged.tier is Tier.STEP_UP
    is_sent = attempt is not None and attempt.state in OPEN
    return intent.state is IntentState.REQUIRES_ACTION and is_asked and not is_sent


def is_due(intent: Intent, attempt: Attempt | None, now: datetime) -> bool:
    """Return whether the time for the proof that an intent waits for is over."""
    action = intent.next_action
    if action is None or action.expires_at is None:
        return False
    return is_waiting(intent, attempt) and now >= action.expires_at


def failed(intent: Intent, attempt: Attempt | None, look_id: UUID | None, now: datetime) -> Intent | None:
    """Return the intent after the proof for a look failed or expired; None where it does not wait for that one.

    ``look_id`` None means whichever it waits for.
    """
    if not is_waiting(intent, attempt):
        return None
    assert intent.judged is not None
    if look_id is not None and intent.judged.look_id not in (None, look_id):
        return None
    return intent_moved(
        intent,
        IntentState.REQUIRES_PAYMENT_METHOD,
        now,
        method_id=None,
        next_action=None,
        last_error=not_authenticated(),
        due_at=intent.expires_at,
    )


def not_authenticated(attempt: Attempt | None = None) -> PaymentError:
    """Return the error of a payment whose payer was not authenticated, by this house or by the issuer."""
    known = reason_info(Reason.AUTHENTICATION_FAILED)
    return PaymentError(
        reason=Reason.AUTHENTICATION_FAILED,
        fault=known.fault,
        retry=known.retry,
        channel=attempt.channel if attempt else None,
        attempt_id=attempt.id if attempt else None,
    )
