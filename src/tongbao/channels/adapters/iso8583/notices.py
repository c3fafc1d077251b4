"""What an acquirer posts to us over HTTP: late ends of payments, refunds that took time, disputes.

Not part of ISO 8583, which knows no way from acquirer to merchant; ours posts JSON, signed as ``hmac_header``
says in the header that the settings name::

    {"id": …, "type": …, "created": <seconds>, "data": {"reference", "channel_reference", "amount_minor",
     "currency", "captured", "approval_code", "reason", "authentication"?, "refund_reference"?, "dispute"?}}

Types: ``payment.approved``, ``payment.declined``, ``refund.succeeded``, ``dispute.opened``, ``dispute.closed``.
``channel_reference`` is what field 62 carries, ``authentication`` what field 46 does, as an object.
"""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from tongbao.channels.errors import NotificationMalformed
from tongbao.channels.policy.reasons import standard
from tongbao.channels.schema import (
    Answer,
    Authentication,
    Notification,
    NotificationKind,
    Outcome,
    Reason,
)


class _Dispute(msgspec.Struct):
    reference: str
    status: str
    reason_code: str | None = None
    respond_by: int | None = None


class _Data(msgspec.Struct):
    reference: str
    channel_reference: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    captured: bool = False
    approval_code: str | None = None
    reason: str | None = None
    authentication: Authentication | None = None
    refund_reference: str | None = None
    dispute: _Dispute | None = None


class _Notice(msgspec.Struct):
    id: str
    type: str
    data: _Data


def read(channel: str, body: bytes) -> Notification:
    """Return what a notice says; raise NotificationMalformed. The signature was checked before."""
    try:
        notice = msgspec.convert(json.loads(body), _Notice)
        kind, fields = _meaning(notice)
    except (ValueError, RecursionError, OverflowError):
        raise NotificationMalformed(channel, "no notice") from None
    return Notification(
        kind=kind, event_id=notice.id, authorization_reference=notice.data.reference, **fields
    )


def _meaning(notice: _Notice) -> tuple[NotificationKind, dict[str, Any]]:
    data = notice.data
    if notice.type in ("payment.approved", "payment.declined"):
        approved = notice.type == "payment.approved"
        answer = _answer(data, Outcome.APPROVED) if approved else _decline(data)
        return NotificationKind.PAYMENT, {"reference": data.reference, "answer": answer}
    if notice.type == "refund.succeeded" and data.refund_reference:
        answer = _answer(data, Outcome.APPROVED)
        return NotificationKind.REFUND, {"reference": data.refund_reference, "answer": answer}
    if notice.type in ("dispute.opened", "dispute.closed") and data.dispute is not None:
        by = data.dispute.respond_by
        return NotificationKind.DISPUTE, {
            "reference": data.reference,
            "answer": _answer(data, Outcome.APPROVED),
            "dispute_reference": data.dispute.reference,
            "dispute_status": data.dispute.status,
            "reason_code": data.dispute.reason_code,
            "respond_by": None if by is None else datetime.fromtimestamp(by, UTC),
        }
    ignored = Answer(outcome=Outcome.PENDING)
    return NotificationKind.IGNORED, {"reference": data.reference, "answer": ignored}


def _answer(data: _Data, outcome: Outcome) -> Answer:
    return Answer(
        outcome=outcome,
        amount_minor=data.amount_minor,
        currency=data.currency,
        captured=data.captured,
        network_reference=data.channel_reference,
        approval_code=data.approval_code,
        authentication=data.authentication,
    )


def _decline(data: _Data) -> Answer:
    code = data.reason or ""
    known = code in Reason.__members__.values()
    return Answer(
        outcome=Outcome.DECLINED,
        code=code or None,
        reason=Reason(code) if known else standard("stripe", code),
        network_reference=data.channel_reference,
        authentication=data.authentication,
    )
