"""What each call of WeChat Pay's API v3 does to the book, and what it answers: a status and an object.

From WeChat Pay's public API pages. Unlike Alipay's, an order exists from the moment it is placed (``NOTPAY``), and
a refund is under way first (``PROCESSING``) and notified when it is done.
"""

from collections.abc import Callable
from typing import Any, TypeGuard

import msgspec

from tongbao.simulator.sandbox.behavior import Plan
from tongbao.simulator.sandbox.credentials import WechatPayMerchant
from tongbao.simulator.sandbox.declines import WORDS, Decline
from tongbao.simulator.sandbox.desk import Desk
from tongbao.simulator.sandbox.payers import Payers
from tongbao.simulator.sandbox.schema import Act, Operation, Payment, Purpose, Refusal, State
from tongbao.simulator.sandbox.wire import instant, rfc3339

CHANNEL = "wechat_pay"
OPENID = "oSandboxPayer0000000000000000"
ASKING_CODE_PREFIX = "1399"
"""Payer codes that begin so make the payer type a password first (``USERPAYING``)."""
AMOUNT_MINOR_MAX = 10_000_000_000
KINDS = {"native": "NATIVE", "jsapi": "JSAPI", "h5": "MWEB", "app": "APP"}

Json = dict[str, Any]


class Reply(msgspec.Struct, frozen=True):
    """An answer: HTTP status and JSON object; None is an empty body."""

    status: int
    body: Json | None = None


def refused(status: int, code: str, message: str) -> Reply:
    """Return an error in WeChat Pay's form."""
    return Reply(status, {"code": code, "message": message})


_REFUSED = {
    Refusal.NOT_FOUND: refused(404, "RESOURCE_NOT_EXISTS", "no such order"),
    Refusal.REFERENCE_CONFLICT: refused(400, "INVALID_REQUEST", "the number was used with other parameters"),
    Refusal.STATE_INVALID: refused(400, "INVALID_REQUEST", "the order's state does not allow it"),
    Refusal.AMOUNT_TOO_LARGE: refused(400, "INVALID_REQUEST", "more than what was paid"),
    Refusal.EXPIRED: refused(400, "ORDER_CLOSED", "the order is closed"),
}
_BAD = refused(400, "PARAM_ERROR", "a parameter is missing or malformed")
_UNKNOWN_ORDER = refused(404, "ORDER_NOT_EXIST", "no such order")


def trade_state(payment: Payment) -> str:
    """Return the order's state in WeChat Pay's words."""
    if payment.state is State.DECLINED:
        return "PAYERROR"
    if payment.state is State.VOIDED:
        return "REVOKED" if payment.details.get("kind") == "MICROPAY" else "CLOSED"
    if payment.state is State.CAPTURED:
        return "REFUND" if payment.refunds() else "SUCCESS"
    return "USERPAYING" if payment.details.get("kind") == "MICROPAY" else "NOTPAY"


class WechatActs:
    """The calls of the API. Amounts are integers of fen on this wire."""

    def __init__(
        self, desk: Desk, payers: Payers, merchant: WechatPayMerchant, base_url: Callable[[], str]
    ) -> None:
        self._desk = desk
        self._world = desk.world
        self._payers = payers
        self._merchant = merchant
        self._base_url = base_url

    def place(self, kind: str, body: Json, serial: str, plan: Plan) -> Reply:
        """Place an order that the payer pays by code, inside WeChat, in a browser or in an app."""
        if kind == "jsapi" and not _text(_object(body, "payer"), "openid"):
            return _BAD
        if kind == "h5" and not _object(body, "scene_info"):
            return _BAD
        is_new = self._known(body) is None
        opened = self._open(body, KINDS[kind], serial)
        if not isinstance(opened, Payment):
            return opened
        if opened.state is State.CAPTURED:
            return refused(400, "ORDERPAID", "the order is paid")
        if opened.state is State.VOIDED:
            return _REFUSED[Refusal.EXPIRED]
        if is_new:
            self._payers.expect(opened)
        number = opened.channel_reference
        return {
            "native": Reply(200, {"code_url": f"weixin://wxpay/bizpayurl?pr={number}"}),
            "h5": Reply(200, {"h5_url": f"{self._base_url()}/payer/{number}"}),
        }.get(kind, Reply(200, {"prepay_id": f"wx{number}"}))

    def take(self, body: Json, serial: str, plan: Plan) -> Reply:
        """Take the money of the payer whose code was scanned."""
        code = _text(_object(body, "payer"), "auth_code")
        if not (code.isdigit() and len(code) == 18 and "10" <= code[:2] <= "15"):
            return refused(400, "PARAM_ERROR", "the payer's code is 18 digits and begins with 10 to 15")
        is_new = self._known(body) is None
        opened = self._open(body, "MICROPAY", serial)
        if not isinstance(opened, Payment):
            return opened
        if is_new:
            self._decide(opened, code, plan)
        if opened.state is State.DECLINED:
            word = WORDS[Decline(opened.decline or Decline.DO_NOT_HONOR)].wechat_pay
            return refused(403, word, f"sandbox: {opened.decline}")
        if opened.state in (State.WAITING, State.PENDING):
            return refused(202, "USERPAYING", "the payer is asked for the password")
        return self._order(opened) if opened.state is State.CAPTURED else _REFUSED[Refusal.EXPIRED]

    def query(self, payment: Payment | None, plan: Plan) -> Reply:
        """Tell how an order stands."""
        if payment is None:
            return _UNKNOWN_ORDER
        self._world.expire(payment)
        return self._order(payment)

    def close(self, payment: Payment | None, plan: Plan) -> Reply:
        """Close an order that is not paid; closing twice is one act."""
        if payment is None:
            return _UNKNOWN_ORDER
        if payment.state is State.CAPTURED:
            return refused(400, "ORDERPAID", "the order is paid")
        if payment.state is not State.VOIDED:
            self._world.void(payment, f"close_{payment.reference}")
        return Reply(204)

    def reverse(self, payment: Payment | None, plan: Plan) -> Reply:
        """Undo a payment by code, whether it was paid or not."""
        if payment is None:
            return _UNKNOWN_ORDER
        if payment.details.get("kind") != "MICROPAY":
            return refused(400, "INVALID_REQUEST", "only payments by code are reversed")
        voided = self._world.void(payment, f"reverse_{payment.reference}")
        if isinstance(voided, Refusal) and payment.state is not State.VOIDED:
            return _REFUSED[voided]
        return Reply(200, {"out_trade_no": payment.reference, "recall": "N"})

    def refund(self, payment: Payment | None, body: Json, plan: Plan) -> Reply:
        """Send money back; PROCESSING until ``refund_ms`` of the habits are over."""
        amount, reference = _object(body, "amount"), _text(body, "out_refund_no")
        refund_minor, total_minor = amount.get("refund"), amount.get("total")
        if not _is_amount(refund_minor) or not _is_amount(total_minor) or not 0 < len(reference) <= 64:
            return _BAD
        if payment is None:
            return _REFUSED[Refusal.NOT_FOUND]
        if (total_minor, amount.get("currency")) != (payment.amount_minor, payment.currency):
            return refused(400, "PARAM_ERROR", "total or currency are not those of the order")
        is_new = reference not in payment.acts
        if is_new and plan.decline is not None:
            return refused(403, "NOT_ENOUGH", "the merchant's balance is too low")
        delay_ms = self._desk.behaviors.habits(CHANNEL).refund_ms
        act = self._world.refund(payment, reference, refund_minor, delay_ms or 1.0)
        if isinstance(act, Refusal):
            return _REFUSED[act]
        if is_new:
            if _text(body, "notify_url"):
                self._world.note(payment, **{f"refund_notify_url/{reference}": _text(body, "notify_url")})
            self._payers.finish_later(payment, act)
        return Reply(200, self.refund_fields(payment, act))

    def query_refund(self, reference: str, plan: Plan) -> Reply:
        """Tell how a refund stands."""
        payment, act = self._world.by_act(CHANNEL, reference) or (None, None)
        if payment is not None and act is not None and act.operation is Operation.REFUND:
            return Reply(200, self.refund_fields(payment, act))
        return refused(404, "RESOURCE_NOT_EXISTS", "no such refund")

    def transfer(self, body: Json, serial: str, plan: Plan) -> Reply:
        """Pay money out to a person; done a moment after it was accepted."""
        reference, amount_minor = _text(body, "out_bill_no"), body.get("transfer_amount")
        if not (reference.isalnum() and reference.isascii()) or not _is_amount(amount_minor):
            return _BAD
        if not all(_text(body, name) for name in ("appid", "openid", "transfer_scene_id", "transfer_remark")):
            return _BAD
        details = {"openid": _text(body, "openid"), "serial": serial, "capture": "yes"}
        if _text(body, "notify_url"):
            details["notify_url"] = _text(body, "notify_url")
        is_new = self._world.payment(CHANNEL, reference) is None
        payout = self._world.ask(
            CHANNEL, reference, amount_minor, "CNY", purpose=Purpose.PAYOUT, details=details
        )
        if isinstance(payout, Refusal):
            return refused(400, "ALREADY_EXISTS", "the number was used with other parameters")
        if is_new:
            self._world.postpone(payout, plan.pending_ms or 1.0, plan.decline)
            self._payers.decide_later(payout)
        return Reply(200, self.transfer_fields(payout))

    def query_transfer(self, payout: Payment | None, plan: Plan) -> Reply:
        """Tell how a payout stands."""
        if payout is None or payout.purpose is not Purpose.PAYOUT:
            return refused(404, "NOT_FOUND", "no such bill")
        return Reply(200, self.transfer_fields(payout))

    def order_fields(self, payment: Payment) -> Json:
        """Return an order as queries and notifications show it."""
        state = trade_state(payment)
        fields: Json = {
            "appid": self._merchant.app_id,
            "mchid": self._merchant.mch_id,
            "out_trade_no": payment.reference,
            "trade_state": state,
            "trade_state_desc": f"sandbox: {payment.decline or state}",
            "trade_type": payment.details["kind"],
            "amount": {"total": payment.said_minor or payment.amount_minor, "currency": payment.currency},
        }
        if payment.details.get("attach"):
            fields["attach"] = payment.details["attach"]
        if payment.approved_minor and payment.decided_at is not None:
            fields["amount"] |= {"payer_total": payment.said_minor, "payer_currency": payment.currency}
            fields |= {
                "transaction_id": payment.channel_reference,
                "bank_type": "OTHERS",
                "success_time": rfc3339(payment.decided_at),
                "payer": {"openid": payment.details.get("openid", OPENID)},
            }
        return fields

    def refund_fields(self, payment: Payment, act: Act) -> Json:
        """Return a refund as answers show it."""
        fields: Json = {
            "refund_id": act.channel_reference,
            "out_refund_no": act.reference,
            "transaction_id": payment.channel_reference,
            "out_trade_no": payment.reference,
            "channel": "ORIGINAL",
            "user_received_account": "sandbox",
            "create_time": rfc3339(act.at),
            "status": "SUCCESS" if act.done else "PROCESSING",
            "amount": {
                "total": payment.said_minor,
                "refund": act.amount_minor,
                "payer_total": payment.said_minor,
                "payer_refund": act.amount_minor,
                "currency": payment.currency,
            },
        }
        if act.done:
            fields["success_time"] = rfc3339(act.finish_at or act.at)
        return fields

    def transfer_fields(self, payout: Payment) -> Json:
        """Return a payout as answers and notifications show it."""
        states = {State.PENDING: "ACCEPTED", State.CAPTURED: "SUCCESS", State.DECLINED: "FAIL"}
        fields: Json = {
            "mch_id": self._merchant.mch_id,
            "out_bill_no": payout.reference,
            "transfer_bill_no": payout.channel_reference,
            "transfer_amount": payout.said_minor or payout.amount_minor,
            "openid": payout.details["openid"],
            "state": states.get(payout.state, "PROCESSING"),
            "create_time": rfc3339(payout.opened_at),
            "update_time": rfc3339(payout.decided_at or payout.opened_at),
        }
        if payout.decline and payout.state is State.DECLINED:
            fields["fail_reason"] = payout.decline.upper()
        return fields

    def find(self, *, reference: str | None = None, channel_reference: str | None = None) -> Payment | None:
        """Return an order or payout by the merchant's number or by WeChat Pay's."""
        if channel_reference is not None:
            found = self._world.by_channel_reference(channel_reference)
            return found if found is not None and found.channel == CHANNEL else None
        return self._world.payment(CHANNEL, reference or "")

    def _known(self, body: Json) -> Payment | None:
        return self._world.payment(CHANNEL, _text(body, "out_trade_no"))

    def _order(self, payment: Payment) -> Reply:
        return Reply(200, self.order_fields(payment))

    def _open(self, body: Json, kind: str, serial: str) -> Payment | Reply:
        """Return the order of this request, placed or known, or the refusal of a bad request."""
        amount, reference = _object(body, "amount"), _text(body, "out_trade_no")
        total = amount.get("total")
        if not _is_amount(total) or not 6 <= len(reference) <= 32 or not _text(body, "description"):
            return _BAD
        if kind != "MICROPAY" and not _text(body, "notify_url"):
            return _BAD
        if (body.get("appid"), body.get("mchid")) != (self._merchant.app_id, self._merchant.mch_id):
            return refused(400, "APPID_MCHID_NOT_MATCH", "appid and mchid do not belong together")
        if amount.get("currency", "CNY") != "CNY":
            return _BAD
        details = {"kind": kind, "serial": serial, "subject": _text(body, "description")[:127]}
        for name in ("notify_url", "attach"):
            if _text(body, name):
                details[name] = _text(body, name)
        if _text(_object(body, "payer"), "openid"):
            details["openid"] = _text(_object(body, "payer"), "openid")
        expires_at = instant(body.get("time_expire"))
        opened = self._world.ask(CHANNEL, reference, total, "CNY", expires_at=expires_at, details=details)
        if isinstance(opened, Refusal):
            return refused(403, "OUT_TRADE_NO_USED", "the number was used with another amount")
        self._world.expire(opened)
        return opened

    def _decide(self, payment: Payment, payer_code: str, plan: Plan) -> None:
        if plan.decline is not None:
            self._world.decline(payment, plan.decline)
        elif plan.pending_ms is not None:
            self._world.note(payment, capture="yes")
            self._world.postpone(payment, plan.pending_ms, None)
            self._payers.decide_later(payment)
        elif payer_code.startswith(ASKING_CODE_PREFIX):
            self._payers.expect(payment)
        else:
            self._world.approve(payment, captured=True, tampered_by_minor=plan.tampered_by_minor)
            self._payers.paid(payment, disputed=plan.disputed)


def _object(body: Json, name: str) -> Json:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _text(body: Json, name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _is_amount(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 < value <= AMOUNT_MINOR_MAX
