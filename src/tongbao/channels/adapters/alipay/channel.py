"""Alipay as a channel: one merchant's application at the open platform.

``out_trade_no`` is our reference of the authorization, ``out_request_no`` that of the refund and ``out_biz_no`` that
of the payout, so a repeat is the same act there. Money is claimed at once: there is no capture. A code that nobody
scanned yet is no trade for Alipay, so inquiring it answers ``not_found`` although the payer may still pay.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import urlencode

import msgspec

from tongbao.channels.adapters import exclusions, signatures
from tongbao.channels.adapters.alipay import answers, notifications, transform, wire
from tongbao.channels.adapters.alipay.settings import AlipaySettings
from tongbao.channels.adapters.alipay.wire import Reply
from tongbao.channels.errors import ChannelMisconfigured
from tongbao.channels.schema import (
    Acknowledgment,
    Action,
    ActionKind,
    Alipay,
    Answer,
    Authorize,
    Capabilities,
    Follow,
    Inquire,
    Notification,
    Operation,
    Outcome,
    Payout,
    Presentment,
    RawNotification,
    Reason,
)
from tongbao.core.clock import Clock
from tongbao.core.http import HttpClient, NoAnswer, NotSent

SUBJECT_MAX = 128
REASON_MAX = 128
_NOT_IN_SUBJECTS = str.maketrans("/=&", "   ")
_FORM = {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"}
_PAGE, _APP, _PAY, _QR = (
    "alipay.trade.page.pay",
    "alipay.trade.app.pay",
    "alipay.trade.pay",
    "alipay.trade.precreate",
)
_QUERY, _CLOSE, _CANCEL = "alipay.trade.query", "alipay.trade.close", "alipay.trade.cancel"
_REFUND, _REFUND_QUERY = "alipay.trade.refund", "alipay.trade.fastpay.refund.query"
_TRANSFER, _TRANSFER_QUERY = "alipay.fund.trans.uni.transfer", "alipay.fund.trans.common.query"
_TRANSFER_PRODUCT = {"product_code": "TRANS_ACCOUNT_NO_PWD", "biz_scene": "DIRECT_TRANSFER"}

CAPABILITIES = Capabilities(
    adapter="alipay",
    methods=frozenset({"alipay"}),
    presentments=frozenset(
        {Presentment.MERCHANT_QR, Presentment.PAYER_CODE, Presentment.PAGE, Presentment.IN_APP}
    ),
    currencies=frozenset({transform.CURRENCY}),
    wire_unit=transform.WIRE_UNIT,
    void=True,
    void_after_capture=True,
    refund=True,
    partial_refund=True,
    refund_inquiry=True,
    payout=True,
    inquires_by_our_reference=True,
    notifies=True,
    amount_minor_max=10_000_000_000,  # 100,000,000.00 yuan, the documented range of ``total_amount``
)


class AlipayChannel:
    """One route over Alipay; see ``ports.Channel`` for the contract of every method.

    ``standard`` turns a network's code into the standard reason (``policy.reasons``). Raises ChannelMisconfigured
    for settings that cannot work.
    """

    def __init__(
        self, name: str, settings: AlipaySettings, http: HttpClient, clock: Clock, standard: answers.Standard
    ) -> None:
        if not settings.app_id or not settings.seller_id:
            raise ChannelMisconfigured(name, "app_id and seller_id are needed")
        if not settings.gateway_url.startswith(("https://", "http://")) or "?" in settings.gateway_url:
            raise ChannelMisconfigured(name, "gateway_url is a plain http(s) address")
        self._name = name
        self._settings = settings
        self._key = signatures.load_private_key(name, settings.app_private_key_pem.get_secret_value())
        self._alipay_key = signatures.load_public_key(name, settings.alipay_public_key_pem)
        self._http = http
        self._clock = clock
        self._standard = standard

    def __repr__(self) -> str:
        return f"AlipayChannel({self._name!r}, app_id={self._settings.app_id!r})"

    @property
    def name(self) -> str:
        """Name of the route."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What Alipay can do."""
        return CAPABILITIES

    async def authorize(self, call: Authorize) -> Answer:
        """Claim money: by a code of either side, on Alipay's page, or in the payer's app.

        For a page or an app nothing is sent: the signed order is the action, and the payer's device takes it there.
        """
        if no := exclusions.refusal(CAPABILITIES, Operation.AUTHORIZE, call):
            return no
        method = call.method
        assert isinstance(method, Alipay)
        if method.presentment is Presentment.PAYER_CODE:
            return await self._pay(call, method.payer_code)
        if method.presentment is Presentment.MERCHANT_QR:
            return await self._precreate(call)
        if method.presentment is Presentment.PAGE:
            product = {"product_code": "FAST_INSTANT_TRADE_PAY"}
            query, body = wire.split(self._signed(_PAGE, {**_order(call), **product}, call))
            url = f"{self._settings.gateway_url}?{query}&{body.decode()}"
            return _act(Action(kind=ActionKind.REDIRECT, url=url, expires_at=call.expires_at))
        order = self._signed(_APP, {**_order(call), "product_code": "QUICK_MSECURITY_PAY"}, call)
        data = {"orderStr": urlencode(order)}
        return _act(Action(kind=ActionKind.INVOKE_APP, data=data, expires_at=call.expires_at))

    async def increment(self, call: Follow) -> Answer:
        """Refuse: Alipay claims at once."""
        return _excluded(Operation.INCREMENT, call)

    async def capture(self, call: Follow) -> Answer:
        """Refuse: Alipay claims at once."""
        return _excluded(Operation.CAPTURE, call)

    async def void(self, call: Follow) -> Answer:
        """Close a trade that nobody paid; where it may be paid already (a scanned code), cancel it.

        Canceling returns what was paid on the same day, so it is also what makes a code useless that nobody has
        scanned yet and that is therefore no trade to close.
        """
        if no := exclusions.refusal(CAPABILITIES, Operation.VOID, call):
            return no
        trade = {"out_trade_no": call.authorization_reference}
        is_scanned = exclusions.presentment_of(call.method) is Presentment.PAYER_CODE
        method = _CANCEL if call.captured or is_scanned else _CLOSE
        reply = await self._ask(method, trade)
        if method is _CLOSE and isinstance(reply, Reply) and answers.is_not_found(reply):
            method = _CANCEL
            reply = await self._ask(method, trade)
        if isinstance(reply, Answer):
            return reply
        if reply.code == answers.DONE:
            if reply.retry_flag == "Y":
                return answers.unresolved("retry_flag", "not canceled yet: cancel again")
            return _about(reply.out_trade_no, call.authorization_reference, answers.voided(reply))
        no = answers.refused(reply, self._standard)
        if no.reason is Reason.STATE_INVALID and not answers.is_not_found(reply):
            standing = await self._query(call.authorization_reference, answers.void_inquired)
            return standing if standing.outcome is Outcome.APPROVED else no
        return no

    async def refund(self, call: Follow) -> Answer:
        """Return money; the same reference and amount again are the same refund.

        ``fund_change`` N means that this call moved nothing: it may be the echo of a refund made before, which an
        inquiry tells.
        """
        if no := exclusions.refusal(CAPABILITIES, Operation.REFUND, call):
            return no
        content = {
            "out_trade_no": call.authorization_reference,
            "out_request_no": call.reference,
            "refund_amount": transform.to_wire(call.amount_minor),
        }
        if call.reason:
            content["refund_reason"] = call.reason[:REASON_MAX]
        reply = await self._ask(_REFUND, content)
        if isinstance(reply, Answer):
            return reply
        if reply.code != answers.DONE:
            return answers.refused(reply, self._standard)
        if reply.fund_change == "Y":
            return _about(reply.out_trade_no, call.authorization_reference, answers.refunded(reply))
        answer = await self._query_refund(call.reference, call.authorization_reference)
        if answer.outcome is Outcome.NOT_FOUND:
            return answers.unresolved("fund_change", "accepted, and not known as a refund yet")
        return answer

    async def inquire(self, call: Inquire) -> Answer:
        """Ask what became of a payment, a void, a refund or a payout."""
        if no := exclusions.refusal(CAPABILITIES, call.operation, call):
            return no
        if call.operation is Operation.REFUND:
            return await self._query_refund(call.reference, call.authorization_reference)
        if call.operation is Operation.PAYOUT:
            return await self._query_payout(call.reference)
        read = answers.void_inquired if call.operation is Operation.VOID else answers.trade
        return await self._query(call.authorization_reference, read)

    async def payout(self, call: Payout) -> Answer:
        """Transfer to an Alipay account: a user number (``2088`` and 12 digits) or an open id."""
        if no := exclusions.refusal(CAPABILITIES, Operation.PAYOUT, call):
            return no
        payee = call.destination_reference
        is_number = len(payee) == 16 and payee.isdecimal() and payee.startswith("2088")
        content: dict[str, object] = {
            "out_biz_no": call.reference,
            "trans_amount": transform.to_wire(call.amount_minor),
            **_TRANSFER_PRODUCT,
            "order_title": _subject(call.description or call.reference),
            "payee_info": {
                "identity": payee,
                "identity_type": "ALIPAY_USER_ID" if is_number else "ALIPAY_OPEN_ID",
            },
        }
        reply = await self._ask(_TRANSFER, content)
        if isinstance(reply, Answer):
            return reply
        if reply.code == answers.DONE:
            return _about(reply.out_biz_no, call.reference, answers.payout(reply, self._standard))
        return await self._unless_done(reply, lambda: self._query_payout(call.reference))

    def parse_notification(self, raw: RawNotification) -> Notification:
        """Check and read a notification; raise NotificationForged or NotificationMalformed."""
        return notifications.read(self._name, self._settings, self._alipay_key, raw)

    def acknowledge(self, *, accepted: bool) -> Acknowledgment:
        """Return ``success``, or ``fail`` for a repeat."""
        return Acknowledgment(200, "text/plain", b"success" if accepted else b"fail")

    async def close(self) -> None:
        """Do nothing: the connections belong to whoever lent the client."""

    async def _precreate(self, call: Authorize) -> Answer:
        reply = await self._ask(_QR, _order(call), call)
        if isinstance(reply, Answer):
            return reply
        if reply.code != answers.DONE:
            return await self._unless_done(reply, lambda: self._query(call.reference, answers.trade))
        if not reply.qr_code:
            return answers.unresolved("qr_code", "accepted without a code")
        action = Action(kind=ActionKind.SHOW_QR, qr_text=reply.qr_code, expires_at=call.expires_at)
        return _about(reply.out_trade_no, call.reference, _act(action))

    async def _pay(self, call: Authorize, payer_code: str | None) -> Answer:
        if not payer_code:
            return exclusions.refuse("the code of the payer is missing")
        reply = await self._ask(_PAY, {**_order(call), "scene": "bar_code", "auth_code": payer_code}, call)
        if isinstance(reply, Answer):
            return reply
        if reply.code == answers.DONE:
            return _about(reply.out_trade_no, call.reference, answers.paid(reply))
        if reply.code == answers.AWAITS_PAYER:
            return answers.awaits_payer(reply)
        return await self._unless_done(reply, lambda: self._query(call.reference, answers.trade))

    async def _unless_done(self, reply: Reply, inquire: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the refusal, or where it says that the act was done before, what became of it then."""
        no = answers.refused(reply, self._standard)
        return await inquire() if no.reason is Reason.DUPLICATE else no

    async def _query(self, reference: str, read: Callable[[Reply], Answer]) -> Answer:
        return await self._inquire(_QUERY, {"out_trade_no": reference}, "out_trade_no", read)

    async def _query_refund(self, reference: str, authorization_reference: str) -> Answer:
        content = {
            "out_trade_no": authorization_reference,
            "out_request_no": reference,
            "query_options": ["gmt_refund_pay"],
        }
        return await self._inquire(_REFUND_QUERY, content, "out_request_no", answers.refund_inquired)

    async def _query_payout(self, reference: str) -> Answer:
        content = {"out_biz_no": reference, **_TRANSFER_PRODUCT}
        read = partial(answers.payout, standard=self._standard)
        return await self._inquire(_TRANSFER_QUERY, content, "out_biz_no", read)

    async def _inquire(
        self,
        method: str,
        content: Mapping[str, object],
        key: str,
        read: Callable[[Reply], Answer],
    ) -> Answer:
        """Inquire; an inquiry that was not even sent tells nothing of the act, so it is unresolved as well."""
        reply = await self._ask(method, content)
        if isinstance(reply, Answer):
            return answers.unresolved(reply.code or "", reply.message or "")
        if reply.code != answers.DONE:
            return answers.inquiry_refused(reply)
        answer = read(reply)
        if answer.outcome is Outcome.NOT_FOUND:
            return answer
        return _about(getattr(reply, key), str(content[key]), answer)

    async def _ask(
        self, method: str, content: Mapping[str, object], call: Authorize | None = None
    ) -> Reply | Answer:
        """Send a request; return the verified reply, or the answer where there is none to be believed."""
        query, body = wire.split(self._signed(method, content, call))
        url = f"{self._settings.gateway_url}?{query}"
        try:
            answer = await self._http.request(
                "POST", url, headers=_FORM, body=body, timeout_s=self._settings.timeout_s
            )
        except NotSent as error:
            return Answer(outcome=Outcome.NOT_SENT, code="not_sent", message=str(error))
        except NoAnswer as error:
            return answers.unresolved("no_answer", str(error))
        if answer.status != 200:
            return answers.unresolved(str(answer.status), "an HTTP status that is not 200")
        try:
            return wire.read_reply(answer.body, method, self._alipay_key)
        except wire.Untrusted as error:
            return answers.unresolved("untrusted", str(error))

    def _signed(self, method: str, content: Mapping[str, object], call: Authorize | None) -> dict[str, str]:
        settings = self._settings
        params = {
            "app_id": settings.app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": wire.SIGN_TYPE,
            "timestamp": transform.to_wire_time(self._clock.now()),
            "version": "1.0",
            "app_cert_sn": settings.app_cert_sn,
            "alipay_root_cert_sn": settings.alipay_root_cert_sn,
            "notify_url": call.notify_url if call else None,
            "return_url": call.return_url if call and method == _PAGE else None,
            "biz_content": msgspec.json.encode(content).decode(),
        }
        return wire.signed({name: value for name, value in params.items() if value}, self._key)


def _order(call: Authorize) -> dict[str, str]:
    order = {
        "out_trade_no": call.reference,
        "total_amount": transform.to_wire(call.amount_minor),
        "subject": _subject(call.description or call.merchant.name),
    }
    if call.expires_at is not None:
        order["time_expire"] = transform.to_wire_time(call.expires_at)
    return order


def _subject(text: str) -> str:
    """Return a title as Alipay takes it: without ``/``, ``=`` and ``&``."""
    return text.translate(_NOT_IN_SUBJECTS)[:SUBJECT_MAX].strip() or "-"


def _act(action: Action) -> Answer:
    return Answer(outcome=Outcome.ACTION_REQUIRED, action=action)


def _about(said: str | None, reference: str, answer: Answer) -> Answer:
    """Return the answer if it is about ours: a true answer about another trade proves nothing."""
    if said == reference:
        return answer
    return answers.unresolved("reference_mismatch", "an answer about another reference")


def _excluded(operation: Operation, call: Follow) -> Answer:
    no = exclusions.refusal(CAPABILITIES, operation, call)
    assert no is not None
    return no
