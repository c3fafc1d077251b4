"""Stripe's webhooks: the few events that matter to us, signed in ``Stripe-Signature`` (see ``hmac_header``).

Source: Stripe's public pages "Types of events" and "Webhook signatures".
"""

import json
from typing import Any

from tongbao.channels.adapters import hmac_header
from tongbao.channels.adapters.stripe import transform
from tongbao.channels.adapters.stripe.transform import Json
from tongbao.channels.errors import NotificationMalformed
from tongbao.channels.schema import (
    Answer,
    Notification,
    NotificationKind,
    Outcome,
    RawNotification,
)

_INTENT_EVENTS = frozenset(
    {
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.canceled",
        "payment_intent.amount_capturable_updated",
    }
)
_REFUND_EVENTS = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})
_CHARGE_EVENTS = frozenset({"charge.succeeded", "charge.failed", "charge.captured", "charge.refunded"})
_DISPUTE_STATUSES = {
    "needs_response": "needs_response",
    "warning_needs_response": "needs_response",
    "won": "won",
    "warning_closed": "won",
    "prevented": "won",
    "lost": "lost",
    "charge_refunded": "withdrawn",
}


def parse(channel: str, secret: str, raw: RawNotification) -> Notification:
    """Check and read a webhook; raise NotificationForged or NotificationMalformed.

    A dispute carries no reference of ours: its ``reference`` is empty, and ``answer.channel_reference`` names the
    intent (or the charge) that it is about.
    """
    header = raw.headers.get("stripe-signature", "")
    hmac_header.check(channel, secret, header, raw.body, raw.received_at)
    try:
        event: Any = json.loads(raw.body)
        kind, event_id, thing = event["type"], event["id"], event["data"]["object"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise NotificationMalformed(channel, "no event") from None
    if not (isinstance(kind, str) and isinstance(event_id, str) and isinstance(thing, dict)):
        raise NotificationMalformed(channel, "an event without type, id or object")
    return _read(kind, event_id, thing)


def _read(kind: str, event_id: str, thing: Json) -> Notification:
    reference = transform.reference_of(thing)
    if kind.startswith("charge.dispute."):
        return _dispute(event_id, thing)
    if kind in _INTENT_EVENTS and reference:
        answer, meant = transform.read_intent(thing), NotificationKind.PAYMENT
        if answer.outcome is Outcome.APPROVED and transform.hides_authentication(thing):
            # A yes counts with what it was authenticated by, which an event does not tell: it is inquired.
            answer = Answer(outcome=Outcome.PENDING, channel_reference=answer.channel_reference)
    elif kind in _CHARGE_EVENTS and reference and not thing.get("payment_intent"):
        answer, meant = transform.read_charge(thing), NotificationKind.PAYMENT
    elif kind in _REFUND_EVENTS and reference:
        answer, meant = transform.read_refund(thing), NotificationKind.REFUND
    else:
        return _ignored(event_id, reference)
    authorization = thing.get("metadata", {}).get("authorization_reference")
    return Notification(
        kind=meant,
        event_id=event_id,
        reference=reference,
        answer=answer,
        authorization_reference=authorization if isinstance(authorization, str) else None,
    )


def _dispute(event_id: str, dispute: Json) -> Notification:
    status = _DISPUTE_STATUSES.get(str(dispute.get("status")))
    about = dispute.get("payment_intent") or dispute.get("charge")
    if status is None or not isinstance(about, str):
        return _ignored(event_id, "")
    amount_minor, currency = transform.amount_of(dispute, "amount")
    network_reason = dispute.get("network_reason_code") or dispute.get("reason")
    details = dispute.get("evidence_details")
    return Notification(
        kind=NotificationKind.DISPUTE,
        event_id=event_id,
        reference=transform.reference_of(dispute),
        answer=Answer(
            outcome=Outcome.APPROVED, amount_minor=amount_minor, currency=currency, channel_reference=about
        ),
        dispute_reference=str(dispute.get("id", "")),
        dispute_status=status,
        reason_code=network_reason if isinstance(network_reason, str) else None,
        respond_by=transform.instant_of(details.get("due_by")) if isinstance(details, dict) else None,
    )


def _ignored(event_id: str, reference: str) -> Notification:
    """Return the reading of a genuine event on which we do not act."""
    return Notification(
        kind=NotificationKind.IGNORED,
        event_id=event_id,
        reference=reference,
        answer=Answer(outcome=Outcome.PENDING),
    )
