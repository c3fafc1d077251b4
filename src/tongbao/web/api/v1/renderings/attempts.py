"""Attempts as Stripe's charges: the same 26 characters under ``ch_``."""

from tongbao.channels.schema import Card, kind_of
from tongbao.channels.service.codes import reason_info
from tongbao.core.ids import uuid_text
from tongbao.payments.schema.attempts import HOLDING, PAID, Attempt, AttemptState
from tongbao.web.api.v1.renderings.bases import (
    CHARGE_PREFIX,
    TRANSACTION_PREFIX,
    Tree,
    maybe_id,
    maybe_seconds,
    nulls,
    seconds,
)
from tongbao.web.api.v1.renderings.methods import billing_object, card_checks, card_object
from tongbao.web.api.v1.renderings.outcomes import FAILED, attempt_outcome, three_d_secure

_PENDING = frozenset(
    {
        *(AttemptState.SENT, AttemptState.ACTION_REQUIRED, AttemptState.PENDING, AttemptState.UNRESOLVED),
        *(AttemptState.CONFLICTED, AttemptState.REVERSING),
    }
)
_CERTAINTY = {AttemptState.UNRESOLVED: "unknown", AttemptState.CONFLICTED: "conflicted"}
_NULLS = nulls(
    *("application", "application_fee", "application_fee_amount", "failure_balance_transaction", "level3"),
    *("on_behalf_of", "presentment_details", "receipt_email", "receipt_number", "receipt_url", "review"),
    *("shipping", "source", "source_transfer", "statement_descriptor_suffix", "transfer", "transfer_data"),
    *("calculated_statement_descriptor", "description", "statement_descriptor", "transfer_group", "refunds"),
)
_CARD_NULLS = nulls(
    *("description", "electronic_commerce_indicator", "installments", "issuer", "mandate", "moto"),
    *("regulated_status", "setup_credential_usage", "stored_credential_usage"),
    *("transaction_link_id", "wallet"),
)


def charge_object(attempt: Attempt) -> Tree:
    """Return a ``charge``.

    A voided authorization is, as with Stripe, a charge that succeeded and was refunded without being captured.
    """
    state = attempt.state
    voided = state is AttemptState.VOIDED
    refunded_minor = attempt.amount_minor if voided else attempt.refunded_minor
    failed = state in FAILED
    known = reason_info(attempt.reason) if failed and attempt.reason else None
    return {
        "id": uuid_text(CHARGE_PREFIX, attempt.id),
        "object": "charge",
        **_NULLS,
        "amount": attempt.amount_minor,
        "amount_captured": attempt.captured_minor,
        "amount_refunded": refunded_minor,
        "attempt_state": state.value,
        "authorization_code": attempt.approval_code,
        "balance_transaction": transaction_of(attempt),
        "billing_details": billing_object({}),
        "captured": attempt.captured_minor > 0,
        "channel": attempt.channel,
        "channel_reference": attempt.channel_reference,
        "created": seconds(attempt.created_at),
        "currency": attempt.currency.lower(),
        "customer": maybe_id("cus", attempt.customer_id),
        "disputed": attempt.disputed_minor > 0,
        "failure_code": known.error_code if known else None,
        "failure_message": known.payer_en if known else None,
        "fraud_details": {},
        "livemode": attempt.live,
        "metadata": attempt.metadata,
        # None while nobody knows.
        "outcome": None if state in _PENDING else attempt_outcome(attempt),
        "outcome_certainty": _CERTAINTY.get(state, "known"),
        "paid": state in PAID or state in HOLDING,
        "payment_intent": uuid_text("pi", attempt.intent_id),
        "payment_method": maybe_id("pm", attempt.method_id),
        "payment_method_details": _details(attempt),
        "radar_options": {},
        "refunded": voided or (attempt.captured_minor > 0 and refunded_minor >= attempt.captured_minor),
        "status": "pending" if state in _PENDING else "failed" if failed else "succeeded",
        "updated": seconds(attempt.updated_at),
        "version": attempt.version,
    }


def transaction_of(attempt: Attempt) -> str | None:
    """Return the id of the balance transaction that captured money made: the attempt's under another prefix."""
    return uuid_text(TRANSACTION_PREFIX, attempt.id) if attempt.captured_minor else None


def _details(attempt: Attempt) -> Tree:
    kind = kind_of(attempt.method)
    if not isinstance(attempt.method, Card):
        said = nulls("buyer_id", "fingerprint", "location", "reader")
        return {"type": kind, kind: {**said, "transaction_id": attempt.channel_reference}}
    shown = card_object(attempt.method, None)
    for name in ("display_brand", "networks", "three_d_secure_usage", "generated_from"):
        del shown[name]
    card: Tree = {
        **shown,
        **_CARD_NULLS,
        "amount_authorized": attempt.authorized_minor or None,
        "authorization_code": attempt.approval_code,
        "capture_before": maybe_seconds(attempt.expires_at),
        "checks": card_checks(attempt.cvc_check),
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": _availability(attempt)},
        "multicapture": {"status": _availability(attempt)},
        "network": attempt.method.brand,
        "network_token": {"used": False},
        "network_transaction_id": attempt.network_reference,
        "three_d_secure": three_d_secure(attempt),
        "overcapture": {"maximum_amount_capturable": attempt.capturable_minor, "status": "unavailable"},
    }
    return {"type": kind, kind: card}


def _availability(attempt: Attempt) -> str:
    """Return whether the authorization can still be acted on."""
    return "available" if attempt.state in HOLDING else "unavailable"
