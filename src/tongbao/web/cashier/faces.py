"""What a payer sees of a session: which face its page has, which ways to pay it knows.

Pure: facts in, decision out. The intent is asked before the session, which learns of a payment a moment later.
"""

import enum
from datetime import datetime

from tongbao.channels.schema import Action, ActionKind, Alipay, Method, Presentment, WechatPay
from tongbao.payments.schema.checkout import SessionState
from tongbao.payments.schema.intents import CancelReason, IntentState
from tongbao.payments.service.sessions import SessionView

TRIES_MAX = 10
"""After so many attempts a session takes no more: nobody tries a list of stolen cards here."""
PRESENTMENTS = {
    "card": Presentment.DIRECT,
    "alipay": Presentment.MERCHANT_QR,
    "wechat_pay": Presentment.MERCHANT_QR,
}
"""The ways to pay that this page knows, in the order in which it shows them, and how each is presented."""
CODES: dict[str, Method] = {"alipay": Alipay(), "wechat_pay": WechatPay()}
"""The methods whose code is shown to be scanned."""
_PAID = (IntentState.SUCCEEDED, IntentState.REQUIRES_CAPTURE)


class Face(enum.StrEnum):
    """What the page of a session is about."""

    OPEN = "open"  # it can be paid
    SCAN = "scan"  # a code waits to be scanned
    LEAVE = "leave"  # the payer has to go on somewhere else
    WAIT = "wait"  # the outcome is not known yet
    PAID = "paid"
    EXPIRED = "expired"
    CANCELED = "canceled"


def face_of(view: SessionView, now: datetime) -> Face:
    """Return the face of a session at an instant."""
    session, intent = view
    if intent is not None and intent.state in _PAID:
        return Face.PAID
    if intent is not None and intent.state is IntentState.CANCELED:
        lapsed = session.state is SessionState.EXPIRED or intent.cancel_reason is CancelReason.EXPIRED
        return Face.EXPIRED if lapsed else Face.CANCELED
    if intent is None or session.state is not SessionState.OPEN:
        return Face.EXPIRED
    if intent.state is IntentState.PROCESSING:
        return Face.WAIT
    if intent.state is IntentState.REQUIRES_ACTION:
        return _acting(intent.next_action, now)
    return Face.EXPIRED if now >= session.expires_at else Face.OPEN


def web_url(url: str | None) -> str | None:
    """Return an address that a link may lead to; None for anything but http and https."""
    return url if url is not None and url.startswith(("https://", "http://")) else None


def _acting(action: Action | None, now: datetime) -> Face:
    """Return the face of a session whose payer has to do something; an action that is over is waited out."""
    if action is None or (action.expires_at is not None and now >= action.expires_at):
        return Face.WAIT
    if action.kind is ActionKind.SHOW_QR and action.qr_text:
        return Face.SCAN
    if action.kind is ActionKind.REDIRECT and web_url(action.url):
        return Face.LEAVE
    return Face.WAIT
