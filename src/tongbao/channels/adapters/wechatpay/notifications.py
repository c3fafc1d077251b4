"""WeChat Pay's notifications: signed as a whole, with what they are about sealed inside.

``id`` is equal in repeats. A signature older than five minutes is a replay: repeats are signed anew.
"""

from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tongbao.channels.adapters.wechatpay import answers, wire
from tongbao.channels.adapters.wechatpay.settings import WechatPaySettings
from tongbao.channels.adapters.wechatpay.wire import Notice, Reply
from tongbao.channels.errors import NotificationForged, NotificationMalformed
from tongbao.channels.schema import Answer, Notification, NotificationKind, Outcome, RawNotification


class Reader:
    """Reads the notifications of one merchant."""

    def __init__(
        self,
        channel: str,
        settings: WechatPaySettings,
        keys: Mapping[str, RSAPublicKey],
        standard: answers.Standard,
    ) -> None:
        self._channel = channel
        self._settings = settings
        self._keys = keys
        self._api_v3_key = settings.api_v3_key.get_secret_value().encode()
        self._standard = standard

    def read(self, raw: RawNotification) -> Notification:
        """Return what a genuine notification says; raise NotificationForged or NotificationMalformed."""
        notice, content = self._opened(raw)
        try:
            reply = wire.read_reply(content)
        except wire.Untrusted as error:
            raise NotificationMalformed(self._channel, str(error)) from None
        if reply.mchid not in {None, self._settings.mch_id}:
            raise NotificationForged(self._channel, "it is meant for another merchant")
        if reply.appid not in {None, self._settings.app_id}:
            raise NotificationForged(self._channel, "it is meant for another application")
        return self._told(notice, reply)

    def _opened(self, raw: RawNotification) -> tuple[Notice, bytes]:
        """Return the notification and its content, both proven to come from WeChat Pay."""
        try:
            wire.verify(self._keys, raw.headers, raw.body, raw.received_at)
            notice = msgspec.json.decode(raw.body, type=Notice)
            return notice, wire.unseal(self._api_v3_key, notice.resource)
        except wire.Untrusted as error:
            raise NotificationForged(self._channel, str(error)) from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise NotificationMalformed(self._channel, "not the JSON of a notification") from None

    def _told(self, notice: Notice, reply: Reply) -> Notification:
        if notice.event_type.startswith("TRANSACTION."):
            kind, answer = NotificationKind.PAYMENT, answers.payment(reply, self._standard)
            reference = reply.out_trade_no
        elif notice.event_type.startswith("REFUND."):
            kind, answer = NotificationKind.REFUND, answers.refund(reply)
            reference = reply.out_refund_no
        else:
            kind, answer = NotificationKind.IGNORED, Answer(outcome=Outcome.PENDING, code=notice.event_type)
            reference = reply.out_trade_no or ""
        if reference is None or (kind is not NotificationKind.IGNORED and reply.mchid is None):
            raise NotificationMalformed(self._channel, "it names no act or no merchant")
        return Notification(
            kind=kind,
            event_id=notice.id,
            reference=reference,
            authorization_reference=reply.out_trade_no,
            answer=answer,
        )
