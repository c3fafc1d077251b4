"""WeChat Pay's API v3 over HTTP: signed requests in, signed answers out, sealed and signed notifications.

A request is signed in its ``Authorization`` header over method, path with query, timestamp, nonce and body, a line
each; answers and notifications in ``Wechatpay-*`` headers over timestamp, nonce and body. Who names our public key in
``Wechatpay-Serial`` is answered under it, everybody else under the platform's certificate, and notified likewise.
"""

import re
import secrets
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from tongbao.core.http import HttpAnswer
from tongbao.simulator.sandbox import signing
from tongbao.simulator.sandbox.behavior import Ask, Fault, Plan
from tongbao.simulator.sandbox.credentials import Credentials
from tongbao.simulator.sandbox.desk import Desk
from tongbao.simulator.sandbox.faulty_http import GARBAGE, cut, keep_silent
from tongbao.simulator.sandbox.notifier import Event, Message, Notifier
from tongbao.simulator.sandbox.schema import Act, Dispute, Operation, Payment, Purpose
from tongbao.simulator.sandbox.wechat_acts import CHANNEL, KINDS, Json, Reply, WechatActs, refused
from tongbao.simulator.sandbox.wire import compact, rfc3339

SCHEME = "WECHATPAY2-SHA256-RSA2048"
CLOCK_SKEW_S_MAX = 300
_PART = re.compile(r'(\w+)="([^"]*)"')
_PARTS = frozenset({"mchid", "nonce_str", "signature", "timestamp", "serial_no"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Call = Callable[[web.Request, Json, str], tuple[Ask, Callable[[Plan], Reply]]]


class WechatGateway:
    """Checks, dispatches, answers; and tells the merchant (``desk.Teller``)."""

    def __init__(self, desk: Desk, acts: WechatActs, notifier: Notifier, credentials: Credentials) -> None:
        self._desk = desk
        self._acts = acts
        self._notifier = notifier
        self._merchant = credentials.merchant.wechat_pay
        self._merchant_key = signing.public_key(self._merchant.merchant_public_key)
        self._keys = {
            self._merchant.platform_public_key_id: signing.private_key(
                credentials.world.wechat_pay_private_key
            ),
            self._merchant.platform_certificate_serial: signing.private_key(
                credentials.world.wechat_pay_certificate_private_key
            ),
        }

    def routes(self) -> list[web.RouteDef]:
        """Return every address of the API that is played here."""
        order, bill = "/v3/pay/transactions", "/v3/fund-app/mch-transfer/transfer-bills"
        refunds = "/v3/refund/domestic/refunds"
        return [
            *(web.post(f"{order}/{kind}", self._handler(self._place)) for kind in KINDS),
            web.post(f"{order}/codepay", self._handler(self._take)),
            web.get(f"{order}/id/{{number}}", self._handler(self._query)),
            web.get(f"{order}/out-trade-no/{{reference}}", self._handler(self._query)),
            web.post(f"{order}/out-trade-no/{{reference}}/close", self._handler(self._close)),
            web.post(f"{order}/out-trade-no/{{reference}}/reverse", self._handler(self._reverse)),
            web.post(refunds, self._handler(self._refund)),
            web.get(f"{refunds}/{{reference}}", self._handler(self._query_refund)),
            web.post(bill, self._handler(self._transfer)),
            web.get(f"{bill}/out-bill-no/{{reference}}", self._handler(self._query_transfer)),
            web.get(f"{bill}/transfer-bill-no/{{number}}", self._handler(self._query_transfer)),
            web.get("/v3/certificates", self._handler(self._certificates)),
        ]

    def _handler(self, call: Call) -> Handler:
        """Return the handler of one call: check, attend, answer or misbehave."""

        async def serve(request: web.Request) -> web.StreamResponse:
            raw = await request.read()
            serial = self._serial(request)
            if not self._is_genuine(request, raw):
                return self._answer(refused(401, "SIGN_ERROR", "the signature is wrong"), serial)
            try:
                body = msgspec.json.decode(raw or b"{}", type=dict[str, object])
            except msgspec.MsgspecError:
                return self._answer(refused(400, "PARAM_ERROR", "the body is no JSON object"), serial)
            ask, act = call(request, body, serial)
            served = await self._desk.attend(CHANNEL, ask, act)
            match served.fault:
                case Fault.NONE:
                    assert served.answer is not None
                    return self._answer(served.answer, serial)
                case Fault.SILENT | Fault.SILENT_DONE:
                    return await keep_silent(self._desk, request)
                case Fault.CUT | Fault.CUT_DONE:
                    return cut(request)
                case Fault.LIMITED:
                    return self._answer(refused(429, "FREQUENCY_LIMITED", "too many requests"), serial)
                case Fault.GARBAGE:
                    return web.Response(body=GARBAGE, content_type="application/json")
                case _:
                    return self._answer(refused(500, "SYSTEM_ERROR", "try again, or query"), serial)

        return serve

    def _place(self, request: web.Request, body: Json, serial: str) -> tuple[Ask, Callable[[Plan], Reply]]:
        kind = request.path.rpartition("/")[2]
        return _ask(Operation.AUTHORIZE, body), lambda plan: self._acts.place(kind, body, serial, plan)

    def _take(self, request: web.Request, body: Json, serial: str) -> tuple[Ask, Callable[[Plan], Reply]]:
        return _ask(Operation.AUTHORIZE, body), lambda plan: self._acts.take(body, serial, plan)

    def _query(self, request: web.Request, body: Json, serial: str) -> tuple[Ask, Callable[[Plan], Reply]]:
        if request.query.get("mchid") != self._merchant.mch_id:
            return _inquiry(request), lambda plan: refused(400, "PARAM_ERROR", "mchid is not the caller's")
        return _inquiry(request), lambda plan: self._acts.query(self._order(request), plan)

    def _close(self, request: web.Request, body: Json, serial: str) -> tuple[Ask, Callable[[Plan], Reply]]:
        return _void(request), lambda plan: self._acts.close(self._order(request), plan)

    def _reverse(self, request: web.Request, body: Json, serial: str) -> tuple[Ask, Callable[[Plan], Reply]]:
        return _void(request), lambda plan: self._acts.reverse(self._order(request), plan)

    def _refund(self, request: web.Request, body: Json, serial: str) -> tuple[Ask, Callable[[Plan], Reply]]:
        number = body.get("transaction_id")
        reference = body.get("out_trade_no")
        payment = self._acts.find(
            reference=str(reference or ""), channel_reference=str(number) if number else None
        )
        return _ask(Operation.REFUND, body), lambda plan: self._acts.refund(_sold(payment), body, plan)

    def _query_refund(
        self, request: web.Request, body: Json, serial: str
    ) -> tuple[Ask, Callable[[Plan], Reply]]:
        reference = request.match_info["reference"]
        return _inquiry(request), lambda plan: self._acts.query_refund(reference, plan)

    def _transfer(self, request: web.Request, body: Json, serial: str) -> tuple[Ask, Callable[[Plan], Reply]]:
        return _ask(Operation.PAYOUT, body), lambda plan: self._acts.transfer(body, serial, plan)

    def _query_transfer(
        self, request: web.Request, body: Json, serial: str
    ) -> tuple[Ask, Callable[[Plan], Reply]]:
        return _inquiry(request), lambda plan: self._acts.query_transfer(self._found(request), plan)

    def _certificates(
        self, request: web.Request, body: Json, serial: str
    ) -> tuple[Ask, Callable[[Plan], Reply]]:
        now = self._desk.clock.now()
        sealed = self._sealed(self._merchant.platform_certificate.encode(), "certificate")
        certificate = {
            "serial_no": self._merchant.platform_certificate_serial,
            "effective_time": rfc3339(now),
            "expire_time": rfc3339(now.replace(year=now.year + 1, day=1)),
            "encrypt_certificate": sealed,
        }
        return _inquiry(request), lambda plan: Reply(200, {"data": [certificate]})

    def _order(self, request: web.Request) -> Payment | None:
        return _sold(self._found(request))

    def _found(self, request: web.Request) -> Payment | None:
        return self._acts.find(
            reference=request.match_info.get("reference"), channel_reference=request.match_info.get("number")
        )

    def _is_genuine(self, request: web.Request, raw: bytes) -> bool:
        """Return whether the merchant signed this request, not longer than five minutes ago."""
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        parts = dict(_PART.findall(rest))
        if scheme != SCHEME or parts.keys() != _PARTS or not parts["timestamp"].isdecimal():
            return False
        if (parts["mchid"], parts["serial_no"]) != (self._merchant.mch_id, self._merchant.merchant_serial):
            return False
        if abs(int(parts["timestamp"]) - self._desk.clock.now().timestamp()) > CLOCK_SKEW_S_MAX:
            return False
        head = f"{request.method}\n{request.raw_path}\n{parts['timestamp']}\n{parts['nonce_str']}\n"
        return signing.is_signed(self._merchant_key, head.encode() + raw + b"\n", parts["signature"])

    def _serial(self, request: web.Request) -> str:
        asked = request.headers.get("Wechatpay-Serial", "")
        return asked if asked in self._keys else self._merchant.platform_certificate_serial

    def _answer(self, reply: Reply, serial: str) -> web.Response:
        raw = b"" if reply.body is None else compact(reply.body).encode()
        headers = self._signature(raw, serial) | {"Request-ID": secrets.token_hex(16).upper()}
        if raw:
            headers["Content-Type"] = "application/json; charset=utf-8"
        return web.Response(status=reply.status, body=raw, headers=headers)

    def _signature(self, raw: bytes, serial: str) -> dict[str, str]:
        timestamp, nonce = str(int(self._desk.clock.now().timestamp())), secrets.token_hex(16)
        message = f"{timestamp}\n{nonce}\n".encode() + raw + b"\n"
        return {
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Signature": signing.sign(self._keys[serial], message),
            "Wechatpay-Serial": serial,
            "Wechatpay-Signature-Type": SCHEME,
        }

    def _sealed(self, plain: bytes, associated: str) -> Json:
        nonce = secrets.token_hex(6)
        return {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": associated,
            "ciphertext": signing.encrypt(self._merchant.api_v3_key, nonce, associated, plain),
        }

    def tell_decided(self, payment: Payment) -> None:
        """Notify that an order was paid, or that a payout succeeded or failed."""
        if payment.purpose is Purpose.PAYOUT:
            fields, kind, original = (
                self._acts.transfer_fields(payment),
                "MCHTRANSFER.BILL.FINISHED",
                "mch_payment",
            )
        elif not payment.approved_minor:
            return
        else:
            fields, kind, original = self._acts.order_fields(payment), "TRANSACTION.SUCCESS", "transaction"
        self._notify(payment, kind, original, fields, payment.details.get("notify_url"))

    def tell_refunded(self, payment: Payment, act: Act) -> None:
        """Notify that a refund is done."""
        fields = self._acts.refund_fields(payment, act)
        told = {name: fields[name] for name in fields if name not in ("channel", "create_time", "status")}
        told |= {"mchid": self._merchant.mch_id, "refund_status": fields["status"]}
        url = payment.details.get(f"refund_notify_url/{act.reference}") or payment.details.get("notify_url")
        self._notify(payment, "REFUND.SUCCESS", "refund", told, url, suffix=f"/{act.reference}")

    def tell_disputed(self, payment: Payment, dispute: Dispute) -> None:
        """Notify of a complaint: its number and what happened to it."""
        opened = dispute.status == "needs_response"
        kind = "COMPLAINT.CREATE" if opened else "COMPLAINT.STATE_CHANGE"
        action = "CREATE_COMPLAINT" if opened else "MERCHANT_CONFIRM_COMPLETE"
        fields: Json = {"complaint_id": dispute.reference, "action_type": action}
        url = payment.details.get("notify_url")
        self._notify(payment, kind, "complaint", fields, url, suffix=f"/{dispute.reference}/{dispute.status}")

    def _notify(
        self, payment: Payment, kind: str, original: str, fields: Json, url: str | None, *, suffix: str = ""
    ) -> None:
        if url is None:
            return
        event_id = f"{payment.channel_reference}/{kind}{suffix}"
        created = rfc3339(self._desk.clock.now())
        serial = payment.details.get("serial", self._merchant.platform_certificate_serial)

        def build(tampered: bool) -> Message:
            told = fields
            if tampered and "amount" in fields:
                told = fields | {"amount": fields["amount"] | {"total": fields["amount"]["total"] + 1}}
            resource = self._sealed(compact(told).encode(), original) | {"original_type": original}
            raw = compact(
                {
                    "id": event_id,
                    "create_time": created,
                    "resource_type": "encrypt-resource",
                    "event_type": kind,
                    "summary": f"sandbox: {kind}",
                    "resource": resource,
                }
            ).encode()
            return Message(self._signature(raw, serial) | {"Content-Type": "application/json"}, raw)

        event = Event(
            channel=CHANNEL,
            event_id=event_id,
            kind=kind,
            reference=payment.reference,
            url=url,
            build=build,
            accepts=_accepts,
        )
        self._notifier.send(event)


def _sold(payment: Payment | None) -> Payment | None:
    """Return the payment where it is an order and not a payout."""
    return payment if payment is not None and payment.purpose is Purpose.PAYMENT else None


def _ask(operation: Operation, body: Json) -> Ask:
    amount = body.get("amount")
    if isinstance(amount, dict):
        minor = amount.get("refund" if operation is Operation.REFUND else "total")
    else:
        minor = body.get("transfer_amount")
    names = {Operation.REFUND: "out_refund_no", Operation.PAYOUT: "out_bill_no"}
    reference = body.get(names.get(operation, "out_trade_no"))
    return Ask(
        operation=operation, reference=str(reference or ""), amount_minor=minor if type(minor) is int else 0
    )


def _inquiry(request: web.Request) -> Ask:
    return Ask(operation=Operation.INQUIRE, reference=request.match_info.get("reference", ""))


def _void(request: web.Request) -> Ask:
    return Ask(operation=Operation.VOID, reference=request.match_info["reference"])


def _accepts(answer: HttpAnswer) -> bool:
    return answer.status in (200, 204)
