"""Alipay's notifications: a signed form, posted until it is answered with ``success``.

The signature covers ``notify_time``, the application and the seller, so an old copy and one that was meant for
somebody else are told apart from ours although Alipay did sign them. ``notify_id`` is equal in repeats.
"""

from datetime import datetime, timedelta

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tongbao.channels.adapters.alipay import answers, transform, wire
from tongbao.channels.adapters.alipay.settings import AlipaySettings
from tongbao.channels.adapters.alipay.wire import Reply
from tongbao.channels.errors import NotificationForged, NotificationMalformed
from tongbao.channels.schema import Answer, Notification, NotificationKind, Outcome, RawNotification
from tongbao.core.clock import EPOCH

# Alipay repeats a notification for 24 h 22 min; an older copy comes from somebody else.
AGE_MAX = timedelta(hours=26)
_TRADE = "trade_status_sync"


def read(channel: str, settings: AlipaySettings, key: RSAPublicKey, raw: RawNotification) -> Notification:
    """Return what a genuine notification says; raise NotificationForged or NotificationMalformed.

    A refund that was asked for here is told with ``out_biz_no``, our reference of it; one that Alipay made by itself
    (a canceled trade) is told as the state of the payment.
    """
    try:
        fields = wire.read_form(raw.body, key)
    except wire.Untrusted as error:
        raise NotificationForged(channel, str(error)) from None
    try:
        notice, reply = msgspec.convert(fields, wire.Notice), msgspec.convert(fields, Reply)
    except msgspec.ValidationError as error:
        raise NotificationMalformed(channel, str(error)) from None
    if why := _not_ours(settings, notice, raw):
        raise NotificationForged(channel, why)
    if not _is_trade(notice):
        answer = Answer(outcome=Outcome.PENDING, code=notice.msg_method or notice.notify_type)
        return _notification(NotificationKind.IGNORED, notice, reply.out_trade_no or "", reply, answer)
    if not reply.out_trade_no:
        raise NotificationMalformed(channel, "a trade without out_trade_no")
    if reply.out_biz_no and reply.gmt_refund:
        answer = answers.refunded(reply)
        return _notification(NotificationKind.REFUND, notice, reply.out_biz_no, reply, answer)
    answer = answers.trade(reply)
    return _notification(NotificationKind.PAYMENT, notice, reply.out_trade_no, reply, answer)


def _not_ours(settings: AlipaySettings, notice: wire.Notice, raw: RawNotification) -> str | None:
    """Return why a notification that Alipay signed is not to be believed here."""
    if notice.app_id != settings.app_id:
        return "it is meant for another application"
    if _is_trade(notice) and notice.seller_id != settings.seller_id:
        return "it is meant for another seller"
    sent_at = _sent_at(notice)
    if sent_at is None or raw.received_at - sent_at > AGE_MAX:
        return "it is too old, or tells no time"
    return None


def _is_trade(notice: wire.Notice) -> bool:
    return notice.notify_type == _TRADE and not notice.msg_method


def _sent_at(notice: wire.Notice) -> datetime | None:
    if notice.notify_time is not None:
        return transform.from_wire_time(notice.notify_time)
    return None if notice.utc_timestamp is None else EPOCH + timedelta(milliseconds=int(notice.utc_timestamp))


def _notification(
    kind: NotificationKind, notice: wire.Notice, reference: str, reply: Reply, answer: Answer
) -> Notification:
    return Notification(
        kind=kind,
        event_id=notice.notify_id,
        reference=reference,
        authorization_reference=reply.out_trade_no,
        answer=answer,
    )
