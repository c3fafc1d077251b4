"""Alipay's gateway over HTTP: signed forms in, signed JSON out, and signed notifications until "success" comes back.

RSA2 is RSA-SHA256 (PKCS #1 v1.5): a request is signed over its parameters but ``sign``, sorted, ``name=value`` joined with
``&``, values as they are before URL encoding and empty ones left out; an answer over the exact bytes of its
business object; a notification like a request, but without ``sign_type``.
"""

import html
from urllib.parse import parse_qsl, urlencode

import msgspec
from aiohttp import web

from tongbao.core.http import HttpAnswer
from tongbao.simulator.sandbox import signing
from tongbao.simulator.sandbox.alipay_acts import (
    BUYER_ID,
    CHANNEL,
    AlipayActs,
    Content,
    Fields,
    failure,
    trade_status,
)
from tongbao.simulator.sandbox.behavior import Ask, Fault
from tongbao.simulator.sandbox.credentials import Credentials
from tongbao.simulator.sandbox.desk import Desk
from tongbao.simulator.sandbox.faulty_http import GARBAGE, cut, keep_silent
from tongbao.simulator.sandbox.notifier import Event, Message, Notifier
from tongbao.simulator.sandbox.schema import Act, Dispute, Payment, State
from tongbao.simulator.sandbox.wire import beijing, compact, fen, yuan

PAGE_METHODS = frozenset({"alipay.trade.page.pay", "alipay.trade.wap.pay"})
REQUEST_BYTES_MAX = 131_072
_REQUIRED = ("app_id", "method", "charset", "sign_type", "sign", "timestamp", "version")


class AlipayGateway:
    """Checks, dispatches, answers; and tells the merchant (``desk.Teller``)."""

    def __init__(self, desk: Desk, acts: AlipayActs, notifier: Notifier, credentials: Credentials) -> None:
        self._desk = desk
        self._acts = acts
        self._notifier = notifier
        self._merchant = credentials.merchant.alipay
        self._app_key = signing.public_key(self._merchant.app_public_key)
        self._own_key = signing.private_key(credentials.world.alipay_private_key)

    def routes(self) -> list[web.RouteDef]:
        """Return the one address of the gateway."""
        return [web.get("/gateway.do", self.serve), web.post("/gateway.do", self.serve)]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one call; parameters may stand in the query, in the body, or in both."""
        try:
            pairs = parse_qsl(request.query_string, keep_blank_values=True, errors="strict")
            pairs += parse_qsl((await request.read()).decode(), keep_blank_values=True, errors="strict")
        except UnicodeDecodeError:
            return self._answer("error_response", _invalid("isv.invalid-encoding"))
        params = dict(pairs)
        method = params.get("method", "")
        name = f"{method.replace('.', '_')}_response"
        wrong = self._wrong(params, len(pairs))
        if wrong is not None:
            return self._answer(name if method else "error_response", wrong)
        content = _content(params)
        if content is None:
            return self._answer(name, _invalid("isv.invalid-parameter"))
        if method in PAGE_METHODS:
            return self._page(content, params)
        return await self._perform(request, method, name, content, params)

    async def _perform(
        self, request: web.Request, method: str, name: str, content: Content, params: dict[str, str]
    ) -> web.StreamResponse:
        operation, act = self._acts.methods[method]
        amount = content.get("total_amount") or content.get("refund_amount") or content.get("trans_amount")
        reference = content.get("out_request_no") or content.get("out_trade_no") or content.get("out_biz_no")
        ask = Ask(operation=operation, reference=str(reference or ""), amount_minor=fen(amount) or 0)
        served = await self._desk.attend(CHANNEL, ask, lambda plan: act(content, dict(params), plan))
        match served.fault:
            case Fault.NONE:
                assert served.answer is not None
                return self._answer(name, served.answer)
            case Fault.SILENT | Fault.SILENT_DONE:
                return await keep_silent(self._desk, request)
            case Fault.CUT | Fault.CUT_DONE:
                return cut(request)
            case Fault.LIMITED:
                limited = failure("isv.app-call-limited", code="40005", msg="Call Limited")
                return self._answer(name, limited)
            case Fault.GARBAGE:
                return web.Response(body=GARBAGE, content_type="text/html")
            case _:
                error = failure("aop.ACQ.SYSTEM_ERROR", code="20000", msg="Service Currently Unavailable")
                return self._answer(name, error)

    def _wrong(self, params: dict[str, str], count: int) -> Fields | None:
        """Return what is wrong with the public parameters or the signature, or None."""
        for name in _REQUIRED:
            if not params.get(name):
                return failure(f"isv.missing-{name}", code="40001", msg="Missing Required Arguments")
        if count != len(params):
            return _invalid("isv.invalid-parameter")
        if params["app_id"] != self._merchant.app_id:
            return _invalid("isv.invalid-app-id")
        if params["sign_type"] != "RSA2" or params["charset"].lower() not in ("utf-8", "utf8"):
            return _invalid("isv.invalid-signature-type")
        if params["method"] not in self._acts.methods and params["method"] not in PAGE_METHODS:
            return _invalid("isv.invalid-method")
        if not signing.is_signed(self._app_key, signed_text(params, "sign").encode(), params["sign"]):
            return _invalid("isv.invalid-signature")
        return None

    def _answer(self, name: str, fields: Fields) -> web.Response:
        """Return the answer, signed over the very bytes of its object, slashes escaped as Alipay prints them."""
        body = compact(fields, slashes_escaped=True)
        sign = signing.sign(self._own_key, body.encode())
        return web.Response(
            text=f'{{"{name}":{body},"sign":"{sign}"}}', content_type="text/html", charset="utf-8"
        )

    def _page(self, content: Content, params: dict[str, str]) -> web.Response:
        """Lead the payer from the merchant's page to Alipay's."""
        opened = self._acts.open(content, dict(params), State.WAITING, "page")
        if not isinstance(opened, Payment):
            text = html.escape(str(opened.get("sub_code")))
            return web.Response(text=f"<!doctype html><p>{text}</p>", content_type="text/html", status=400)
        raise web.HTTPFound(f"/payer/{opened.channel_reference}")

    def return_url(self, payment: Payment) -> str | None:
        """Return where the payer goes after the page: the merchant's URL with signed parameters, if it named one."""
        url = payment.details.get("return_url")
        if url is None or payment.taken_minor == 0:
            return url
        params = {
            "app_id": self._merchant.app_id,
            "charset": "utf-8",
            "method": "alipay.trade.page.pay.return",
            "out_trade_no": payment.reference,
            "seller_id": self._merchant.seller_id,
            "sign_type": "RSA2",
            "timestamp": beijing(self._desk.clock.now()),
            "total_amount": yuan(payment.said_minor),
            "trade_no": payment.channel_reference,
            "version": "1.0",
        }
        return f"{url}{'&' if '?' in url else '?'}{urlencode(self._signed(params))}"

    def tell_decided(self, payment: Payment) -> None:
        """Notify that a trade was paid."""
        if payment.approved_minor and payment.decided_at is not None:
            self._notify(payment, "paid", {"gmt_payment": beijing(payment.decided_at)})

    def tell_refunded(self, payment: Payment, act: Act) -> None:
        """Notify that a part of a trade went back; the trade's state is told with it."""
        refund = {
            "refund_fee": yuan(payment.refunded_minor),
            "gmt_refund": beijing(act.at),
            "out_biz_no": act.reference,
        }
        self._notify(payment, f"refunded/{act.reference}", refund)

    def tell_disputed(self, payment: Payment, dispute: Dispute) -> None:
        """Notify of a complaint: Alipay sends its number only, details are asked for in another interface."""
        complaint = {
            "msg_method": "alipay.merchant.tradecomplain.changed",
            "biz_content": compact({"complain_event_id": dispute.reference, "status": dispute.status}),
        }
        self._notify(payment, f"disputed/{dispute.reference}/{dispute.status}", complaint)

    def _notify(self, payment: Payment, what: str, more: dict[str, str]) -> None:
        url = payment.details.get("notify_url")
        if url is None:
            return
        event_id = f"{payment.channel_reference}_{what}"
        # The state is that of the moment of the event, not of the attempt: so notifications can come out of order.
        fields = self._trade_fields(payment) | more | {"notify_id": event_id}

        def build(tampered: bool) -> Message:
            lie = {"total_amount": yuan(payment.said_minor + 1)} if tampered else {}
            form = fields | lie | {"notify_time": beijing(self._desk.clock.now())}
            return Message(
                {"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
                urlencode(self._signed(form)).encode(),
            )

        event = Event(
            channel=CHANNEL,
            event_id=event_id,
            kind=what.partition("/")[0],
            reference=payment.reference,
            url=url,
            build=build,
            accepts=_accepts,
        )
        self._notifier.send(event)

    def _trade_fields(self, payment: Payment) -> dict[str, str]:
        return {
            "notify_type": "trade_status_sync",
            "charset": "utf-8",
            "version": "1.0",
            "app_id": self._merchant.app_id,
            "auth_app_id": self._merchant.app_id,
            "seller_id": self._merchant.seller_id,
            "buyer_id": BUYER_ID,
            "out_trade_no": payment.reference,
            "trade_no": payment.channel_reference,
            "trade_status": trade_status(payment),
            "subject": payment.details.get("subject", ""),
            "total_amount": yuan(payment.said_minor),
            "receipt_amount": yuan(payment.said_minor),
            "buyer_pay_amount": yuan(payment.said_minor),
            "fund_bill_list": compact([{"amount": yuan(payment.said_minor), "fundChannel": "ALIPAYACCOUNT"}]),
            "gmt_create": beijing(payment.opened_at),
        }

    def _signed(self, params: dict[str, str]) -> dict[str, str]:
        sign = signing.sign(self._own_key, signed_text(params, "sign", "sign_type").encode())
        return params | {"sign_type": "RSA2", "sign": sign}


def signed_text(params: dict[str, str], *left_out: str) -> str:
    """Return what is signed: parameters with a value, sorted by name, joined."""
    return "&".join(
        f"{name}={params[name]}" for name in sorted(params) if params[name] and name not in left_out
    )


def _content(params: dict[str, str]) -> Content | None:
    try:
        return msgspec.json.decode(params.get("biz_content") or "{}", type=dict[str, object])
    except msgspec.MsgspecError:
        return None


def _invalid(sub_code: str) -> Fields:
    return failure(sub_code, code="40002", msg="Invalid Arguments")


def _accepts(answer: HttpAnswer) -> bool:
    return answer.status == 200 and answer.body.strip() == b"success"
