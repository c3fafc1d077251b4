"""WeChat Pay as a channel: one merchant, API v3.

``out_trade_no`` is our reference of the authorization, ``out_refund_no`` that of the refund, ``out_bill_no`` that of
the payout without its underscore, so a repeat is the same act there. Money is claimed at once: there is no capture.
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from tongbao.channels.adapters import exclusions, signatures
from tongbao.channels.adapters.wechatpay import answers, transform, wire
from tongbao.channels.adapters.wechatpay.answers import Verified
from tongbao.channels.adapters.wechatpay.notifications import Reader
from tongbao.channels.adapters.wechatpay.settings import WechatPaySettings
from tongbao.channels.adapters.wechatpay.wire import Reply
from tongbao.channels.errors import ChannelMisconfigured
from tongbao.channels.schema import (
    Acknowledgment,
    Action,
    ActionKind,
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
    WechatPay,
)
from tongbao.core.clock import Clock
from tongbao.core.http import HttpClient, NoAnswer, NotSent

DESCRIPTION_MAX = 127
REASON_MAX = 80
REMARK_MAX = 32
PAYOUT_MINOR_MAX = 199_999  # from 2,000 yuan on the payee's name is demanded, which a payout does not carry
API_V3_KEY_BYTES = 32
_PAY = "/v3/pay/transactions/"
_REFUNDS = "/v3/refund/domestic/refunds"
_BILLS = "/v3/fund-app/mch-transfer/transfer-bills"

CAPABILITIES = Capabilities(
    adapter="wechatpay",
    methods=frozenset({"wechat_pay"}),
    presentments=frozenset(
        {Presentment.MERCHANT_QR, Presentment.PAYER_CODE, Presentment.PAGE, Presentment.IN_APP}
    ),
    currencies=frozenset({transform.CURRENCY}),
    wire_unit=transform.WIRE_UNIT,
    void=True,
    refund=True,
    partial_refund=True,
    refund_inquiry=True,
    payout=True,
    inquires_by_our_reference=True,
    notifies=True,
    amount_minor_max=10_000_000_000,  # 100,000,000.00 yuan: a bound of this house, theirs depend on the contract
)


class WechatPayChannel:
    """One route over WeChat Pay; see ``ports.Channel`` for the contract of every method.

    ``standard`` turns a network's code into the standard reason (``policy.reasons``); ``rng`` makes the nonces, the
    machine's own randomness where it is left out. Raises ChannelMisconfigured for settings that cannot work.
    """

    def __init__(
        self,
        name: str,
        settings: WechatPaySettings,
        http: HttpClient,
        clock: Clock,
        standard: answers.Standard,
        *,
        rng: random.Random | None = None,
    ) -> None:
        _require_sound(name, settings)
        self._name = name
        self._settings = settings
        self._key = signatures.load_private_key(name, settings.merchant_private_key_pem.get_secret_value())
        self._keys = {
            serial: signatures.load_public_key(name, text)
            for serial, text in settings.platform_public_keys.items()
        }
        self._http = http
        self._clock = clock
        self._standard = standard
        self._rng = rng or random.SystemRandom()
        self._reader = Reader(name, settings, self._keys, standard)

    def __repr__(self) -> str:
        return f"WechatPayChannel({self._name!r}, mch_id={self._settings.mch_id!r})"

    @property
    def name(self) -> str:
        """Name of the route."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What WeChat Pay can do."""
        return CAPABILITIES

    async def authorize(self, call: Authorize) -> Answer:
        """Claim money: by a code of either side, on a page of WeChat's (H5), or in WeChat (JSAPI)."""
        if no := exclusions.refusal(CAPABILITIES, Operation.AUTHORIZE, call):
            return no
        method = call.method
        assert isinstance(method, WechatPay)
        if method.presentment is Presentment.PAYER_CODE:
            return await self._pay_by_code(call, method.payer_code)
        if not (call.notify_url or self._settings.notify_url):
            return exclusions.refuse("an address for notifications is missing")
        if method.presentment is Presentment.MERCHANT_QR:
            return await self._prepay(call, "native", {}, self._shown_code)
        if method.presentment is Presentment.PAGE:
            if not call.payer_address:
                return exclusions.refuse("the network address of the payer is missing")
            scene = {"payer_client_ip": call.payer_address, "h5_info": {"type": "Wap"}}
            return await self._prepay(call, "h5", {"scene_info": scene}, self._page)
        if not method.openid:
            return exclusions.refuse("the openid of the payer is missing")
        return await self._prepay(call, "jsapi", {"payer": {"openid": method.openid}}, self._invocation)

    async def increment(self, call: Follow) -> Answer:
        """Refuse: WeChat Pay claims at once."""
        return _excluded(Operation.INCREMENT, call)

    async def capture(self, call: Follow) -> Answer:
        """Refuse: WeChat Pay claims at once."""
        return _excluded(Operation.CAPTURE, call)

    async def void(self, call: Follow) -> Answer:
        """Close an order that nobody paid; reverse one that was begun with the payer's code."""
        if no := exclusions.refusal(CAPABILITIES, Operation.VOID, call):
            return no
        body = {"mchid": self._settings.mch_id}
        act = "close"
        if exclusions.presentment_of(call.method) is Presentment.PAYER_CODE:
            act, body = "reverse", {"appid": self._settings.app_id, **body}
        path = f"{_PAY}out-trade-no/{call.authorization_reference}/{act}"
        told = await self._ask("POST", path, body)
        if isinstance(told, Answer):
            return told
        if told.is_done or answers.was_voided(told):
            return answers.voided(told.code)
        no = answers.refused(told, self._standard)
        # Here "paid already" repeats no act of ours: the payer was faster.
        return (
            msgspec.structs.replace(no, reason=Reason.STATE_INVALID) if no.reason is Reason.DUPLICATE else no
        )

    async def refund(self, call: Follow) -> Answer:
        """Return money, mostly PENDING at first; the same reference and amount again are the same refund."""
        if no := exclusions.refusal(CAPABILITIES, Operation.REFUND, call):
            return no
        body: dict[str, object] = {
            "out_trade_no": call.authorization_reference,
            "out_refund_no": call.reference,
            "amount": {
                "refund": transform.to_wire(call.amount_minor),
                "total": transform.to_wire(call.total_minor),
                "currency": call.currency,
            },
        }
        if call.reason:
            body["reason"] = call.reason[:REASON_MAX]
        if notify_url := call.notify_url or self._settings.notify_url:
            body["notify_url"] = notify_url
        told = await self._ask("POST", _REFUNDS, body)
        if isinstance(told, Answer):
            return told
        if told.is_done:
            return _about(told.reply.out_refund_no, call.reference, answers.refund(told.reply))
        return await self._unless_done(told, lambda: self._query_refund(call.reference))

    async def inquire(self, call: Inquire) -> Answer:
        """Ask what became of a payment, a void, a refund or a payout."""
        if no := exclusions.refusal(CAPABILITIES, call.operation, call):
            return no
        if call.operation is Operation.REFUND:
            return await self._query_refund(call.reference)
        if call.operation is Operation.PAYOUT:
            return await self._query_payout(call.reference)
        read = answers.void_inquired if call.operation is Operation.VOID else answers.payment
        return await self._query(call.authorization_reference, read)

    async def payout(self, call: Payout) -> Answer:
        """Transfer to the WeChat user with an openid; PENDING with the parameters with which the payee confirms."""
        if no := exclusions.refusal(CAPABILITIES, Operation.PAYOUT, call):
            return no
        if call.amount_minor > PAYOUT_MINOR_MAX:
            return exclusions.refuse(f"a transfer of more than {PAYOUT_MINOR_MAX} minor units needs a name")
        settings = self._settings
        body: dict[str, object] = {
            "appid": settings.app_id,
            "out_bill_no": _bill_number(call.reference),
            "transfer_scene_id": settings.transfer_scene_id,
            "openid": call.destination_reference,
            "transfer_amount": transform.to_wire(call.amount_minor),
            "transfer_remark": (call.description or call.reference)[:REMARK_MAX],
            "transfer_scene_report_infos": [
                {"info_type": kind, "info_content": content}
                for kind, content in settings.transfer_reports.items()
            ],
        }
        if settings.notify_url:
            body["notify_url"] = settings.notify_url
        told = await self._ask("POST", _BILLS, body)
        if isinstance(told, Answer):
            return told
        if told.is_done:
            answer = answers.payout(told.reply, self._standard, self._confirmation(told.reply))
            return _about(told.reply.out_bill_no, _bill_number(call.reference), answer)
        return await self._unless_done(told, lambda: self._query_payout(call.reference))

    def parse_notification(self, raw: RawNotification) -> Notification:
        """Check and read a notification; raise NotificationForged or NotificationMalformed."""
        return self._reader.read(raw)

    def acknowledge(self, *, accepted: bool) -> Acknowledgment:
        """Return no content, or ``FAIL`` for a repeat."""
        if accepted:
            return Acknowledgment(204, "application/json", b"")
        return Acknowledgment(500, "application/json", b'{"code":"FAIL","message":"try again"}')

    async def close(self) -> None:
        """Do nothing: the connections belong to whoever lent the client."""

    async def _prepay(
        self,
        call: Authorize,
        kind: str,
        extra: Mapping[str, object],
        act: Callable[[Authorize, Reply], Action | None],
    ) -> Answer:
        body = {**self._order(call), **extra, "notify_url": call.notify_url or self._settings.notify_url}
        if call.expires_at is not None:
            body["time_expire"] = transform.to_wire_time(call.expires_at)
        told = await self._ask("POST", f"{_PAY}{kind}", body)
        if isinstance(told, Answer):
            return told
        if not told.is_done:
            return await self._unless_done(told, lambda: self._query(call.reference, answers.payment))
        if (action := act(call, told.reply)) is None:
            return answers.unresolved("prepay", "accepted without anything to show")
        return Answer(outcome=Outcome.ACTION_REQUIRED, action=action)

    async def _pay_by_code(self, call: Authorize, payer_code: str | None) -> Answer:
        if not payer_code:
            return exclusions.refuse("the code of the payer is missing")
        body = {
            **self._order(call),
            "payer": {"auth_code": payer_code},
            "scene_info": {"store_info": {"out_id": self._settings.store_id}},
        }
        told = await self._ask("POST", f"{_PAY}codepay", body)
        if isinstance(told, Answer):
            return told
        if told.is_done and told.reply.trade_state:
            return self._ours(told.reply, call.reference, answers.payment(told.reply, self._standard))
        return await self._unless_done(told, lambda: self._query(call.reference, answers.payment))

    async def _unless_done(self, told: Verified, inquire: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the refusal, or where it says that the act was done before, what became of it then."""
        no = answers.refused(told, self._standard)
        return await inquire() if no.reason is Reason.DUPLICATE else no

    async def _query(self, reference: str, read: Callable[[Reply, answers.Standard], Answer]) -> Answer:
        query = urlencode({"mchid": self._settings.mch_id})
        told = await self._inquire(f"{_PAY}out-trade-no/{reference}?{query}")
        if isinstance(told, Answer):
            return told
        return self._ours(told, reference, read(told, self._standard))

    async def _query_refund(self, reference: str) -> Answer:
        told = await self._inquire(f"{_REFUNDS}/{reference}")
        if isinstance(told, Answer):
            return told
        return _about(told.out_refund_no, reference, answers.refund(told))

    async def _query_payout(self, reference: str) -> Answer:
        number = _bill_number(reference)
        told = await self._inquire(f"{_BILLS}/out-bill-no/{number}")
        if isinstance(told, Answer):
            return told
        return _about(told.out_bill_no, number, answers.payout(told, self._standard))

    async def _inquire(self, path: str) -> Reply | Answer:
        """Inquire; an inquiry that was not even sent tells nothing of the act, so it is unresolved as well."""
        told = await self._ask("GET", path)
        if isinstance(told, Answer):
            return answers.unresolved(told.code or "", told.message or "")
        return told.reply if told.is_done else answers.inquiry_refused(told)

    async def _ask(
        self, method: str, path: str, content: Mapping[str, object] | None = None
    ) -> Verified | Answer:
        """Send a request; return the verified answer, or ours where there is none to be believed."""
        body = b"" if content is None else msgspec.json.encode(content)
        headers = self._headers(method, path, body)
        url = self._settings.base_url.rstrip("/") + path
        try:
            answer = await self._http.request(
                method, url, headers=headers, body=body or None, timeout_s=self._settings.timeout_s
            )
        except NotSent as error:
            return Answer(outcome=Outcome.NOT_SENT, code="not_sent", message=str(error))
        except NoAnswer as error:
            return answers.unresolved("no_answer", str(error))
        try:
            wire.verify(self._keys, answer.headers, answer.body, self._clock.now())
            return Verified(answer.status, wire.read_reply(answer.body))
        except wire.Untrusted as error:
            return answers.unresolved("untrusted", f"{error} (status {answer.status})")

    def _headers(self, method: str, path: str, body: bytes) -> dict[str, str]:
        settings = self._settings
        parties = {"mchid": settings.mch_id, "serial_no": settings.merchant_serial}
        message = (method, urlsplit(settings.base_url).path.rstrip("/") + path, body)
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": "tongbao",
            "Authorization": wire.authorization(
                self._key, parties, self._clock.now(), self._nonce(), message
            ),
        }
        public_key_id = next((serial for serial in self._keys if serial.startswith("PUB_KEY_ID_")), None)
        return {**headers, "Wechatpay-Serial": public_key_id} if public_key_id else headers

    def _nonce(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def _order(self, call: Authorize) -> dict[str, object]:
        return {
            "appid": self._settings.app_id,
            "mchid": self._settings.mch_id,
            "description": (call.description or call.merchant.name)[:DESCRIPTION_MAX],
            "out_trade_no": call.reference,
            "amount": {"total": transform.to_wire(call.amount_minor), "currency": call.currency},
        }

    def _shown_code(self, call: Authorize, reply: Reply) -> Action | None:
        if not reply.code_url:
            return None
        return Action(kind=ActionKind.SHOW_QR, qr_text=reply.code_url, expires_at=call.expires_at)

    def _page(self, call: Authorize, reply: Reply) -> Action | None:
        if not reply.h5_url:
            return None
        back = f"&redirect_url={quote(call.return_url, safe='')}" if call.return_url else ""
        return Action(kind=ActionKind.REDIRECT, url=reply.h5_url + back, expires_at=call.expires_at)

    def _invocation(self, call: Authorize, reply: Reply) -> Action | None:
        """Return what WeChat's client is invoked with, signed by us."""
        if not reply.prepay_id:
            return None
        data = {
            "appId": self._settings.app_id,
            "timeStamp": str(wire.timestamp(self._clock.now())),
            "nonceStr": self._nonce(),
            "package": f"prepay_id={reply.prepay_id}",
        }
        signed = "".join(f"{value}\n" for value in data.values()).encode()
        pay_sign = signatures.sign(self._key, signed)
        return Action(
            kind=ActionKind.INVOKE_APP,
            data={**data, "signType": "RSA", "paySign": pay_sign},
            expires_at=call.expires_at,
        )

    def _confirmation(self, reply: Reply) -> Action | None:
        if not reply.package_info:
            return None
        settings = self._settings
        data = {"mchId": settings.mch_id, "appId": settings.app_id, "package": reply.package_info}
        return Action(kind=ActionKind.INVOKE_APP, data=data)

    def _ours(self, reply: Reply, reference: str, answer: Answer) -> Answer:
        """Return the answer if it is about our payment at our merchant."""
        if reply.mchid != self._settings.mch_id:
            return answers.unresolved("merchant_mismatch", "an answer about another merchant")
        return _about(reply.out_trade_no, reference, answer)


def _require_sound(name: str, settings: WechatPaySettings) -> None:
    if not (settings.app_id and settings.mch_id and settings.merchant_serial):
        raise ChannelMisconfigured(name, "app_id, mch_id and merchant_serial are needed")
    if not settings.platform_public_keys:
        raise ChannelMisconfigured(name, "a public key of WeChat Pay is needed")
    if len(settings.api_v3_key.get_secret_value().encode()) != API_V3_KEY_BYTES:
        raise ChannelMisconfigured(name, f"the API v3 key has {API_V3_KEY_BYTES} bytes")
    if not settings.base_url.startswith(("https://", "http://")) or "?" in settings.base_url:
        raise ChannelMisconfigured(name, "base_url is a plain http(s) address")


def _bill_number(reference: str) -> str:
    """Return a reference as transfer bills take it: digits and letters. Our ids have one underscore each."""
    return reference.replace("_", "")


def _about(said: str | None, reference: str, answer: Answer) -> Answer:
    """Return the answer if it is about ours: a true answer about another act proves nothing."""
    if said == reference:
        return answer
    return answers.unresolved("reference_mismatch", "an answer about another reference")


def _excluded(operation: Operation, call: Follow) -> Answer:
    no = exclusions.refusal(CAPABILITIES, operation, call)
    assert no is not None
    return no
