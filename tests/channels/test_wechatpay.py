"""WeChat Pay as a channel: what is sent, what each answer means, and that nothing unsigned is believed."""

import json
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.channels import signed_world as world
from tests.channels.signed_world import Responder, Stub
from tests.conftest import utc

from tongbao.channels.adapters.wechatpay import transform
from tongbao.channels.adapters.wechatpay.channel import WechatPayChannel
from tongbao.channels.adapters.wechatpay.settings import WechatPaySettings
from tongbao.channels.errors import ChannelMisconfigured
from tongbao.channels.policy.reasons import standard
from tongbao.channels.schema import (
    ActionKind,
    Answer,
    Authorize,
    Follow,
    Inquire,
    Merchant,
    Operation,
    Outcome,
    Payout,
    Presentment,
    Reason,
    WechatPay,
)
from tongbao.core.clock import FrozenClock
from tongbao.core.errors import InvalidRequest
from tongbao.core.http import HttpClient

NOW = utc(2026, 11, 22, 8, 30)
SECONDS = int(NOW.timestamp())
REFERENCE = "pa_01jd3k8v4yefvb3k4g8h2m5n6p"
REFUND = "re_01jd3k8v4yefvb3k4g8h2m5n6q"
BILL = "po01jd3k8v4yefvb3k4g8h2m5n6r"
MCH_ID, APP_ID = "1900000109", "wxd678efh567hg6787"
PAID = {
    "appid": APP_ID,
    "mchid": MCH_ID,
    "out_trade_no": REFERENCE,
    "transaction_id": "4200001",
    "trade_state": "SUCCESS",
    "success_time": "2026-11-22T16:30:02+08:00",
    "amount": {"total": 1999, "payer_total": 1999, "currency": "CNY", "payer_currency": "CNY"},
}
RETURNED = {
    "out_refund_no": REFUND,
    "refund_id": "50300001",
    "out_trade_no": REFERENCE,
    "status": "SUCCESS",
    "success_time": "2026-11-22T16:40:00+08:00",
    "amount": {"total": 1999, "refund": 500, "payer_refund": 500, "currency": "CNY"},
}
PAYER_CODE = WechatPay(Presentment.PAYER_CODE, payer_code="130061098828009406")
IN_APP = WechatPay(Presentment.IN_APP, openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o")
PAGE = WechatPay(Presentment.PAGE)


def settings(url: str = "http://127.0.0.1:1", **changes: Any) -> WechatPaySettings:
    values: dict[str, Any] = {
        "app_id": APP_ID,
        "mch_id": MCH_ID,
        "merchant_private_key_pem": SecretStr(world.private_pem(world.MERCHANT)),
        "merchant_serial": "5157F09EFDC096DE15EBE81A47057A7232F1B8E1",
        "platform_public_keys": {world.WECHAT_KEY_ID: world.public_pem(world.PLATFORM)},
        "api_v3_key": SecretStr(world.API_V3_KEY),
        "base_url": url,
    }
    return WechatPaySettings(**(values | changes))


def channel(http: HttpClient, url: str = "http://127.0.0.1:1", **changes: Any) -> WechatPayChannel:
    clock = FrozenClock(NOW)
    return WechatPayChannel(
        "wechat_main", settings(url, **changes), http, clock, standard, rng=random.Random(7)
    )


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with world.serving() as opened:
        yield opened
        assert opened.replies == []


@pytest.fixture
def route(http: HttpClient, stub: Stub) -> WechatPayChannel:
    return channel(http, stub.url)


def told(http_status: int = 200, /, **fields: Any) -> Responder:
    """An answer that WeChat Pay signs now."""
    return world.wechat(SECONDS, http_status, **fields)


def refusal(code: str, status: int = 400) -> Responder:
    return told(status, code=code, message="不行")


def authorize(**changes: Any) -> Authorize:
    values: dict[str, Any] = {
        "reference": REFERENCE,
        "amount_minor": 1999,
        "currency": "CNY",
        "capture": True,
        "method": WechatPay(),
        "merchant": Merchant(name="小店"),
        "description": "两杯豆浆 & 油条 🥟",
        "notify_url": "https://shop.test/notify/wechat",
        "return_url": "https://shop.test/back?a=1&b=2",
        "payer_address": "14.23.150.211",
        "expires_at": utc(2026, 11, 22, 9, 0),
    }
    return Authorize(**(values | changes))


def follow(reference: str = REFUND, **changes: Any) -> Follow:
    values: dict[str, Any] = {
        "reference": reference,
        "authorization_reference": REFERENCE,
        "channel_reference": None,
        "amount_minor": 500,
        "total_minor": 1999,
        "currency": "CNY",
        "method": WechatPay(),
    }
    return Follow(**(values | changes))


def inquire(operation: Operation = Operation.AUTHORIZE, reference: str = REFERENCE) -> Inquire:
    return Inquire(
        operation=operation,
        reference=reference,
        authorization_reference=REFERENCE,
        channel_reference=None,
        amount_minor=1999,
        currency="CNY",
        method=WechatPay(),
        sent_at=NOW,
    )


def payout(**changes: Any) -> Payout:
    values: dict[str, Any] = {
        "reference": "po_01jd3k8v4yefvb3k4g8h2m5n6r",
        "amount_minor": 12_345,
        "currency": "CNY",
        "destination_reference": "o-MYE42l80oelYMDE34nYD456Xoy",
        "description": "结算",
    }
    return Payout(**(values | changes))


def check_signed(stub: Stub, index: int = -1) -> dict[str, str]:
    """Verify a request with nothing of the product's code; return the fields of its authorization."""
    request, body = stub.requests[index]
    scheme, _, rest = request.headers["Authorization"].partition(" ")
    assert scheme == "WECHATPAY2-SHA256-RSA2048"
    fields = {name: value.strip('"') for name, _, value in (part.partition("=") for part in rest.split(","))}
    head = f"{request.method}\n{request.raw_path}\n{fields['timestamp']}\n{fields['nonce_str']}\n"
    world.verify(world.MERCHANT, head.encode() + body + b"\n", fields["signature"])
    return fields


async def test_authorize_by_merchant_code_sends_a_signed_order_and_shows_the_code(
    route: WechatPayChannel, stub: Stub
) -> None:
    stub.will(told(code_url="weixin://wxpay/bizpayurl?pr=abc"))
    answer = await route.authorize(authorize())
    assert (answer.outcome, answer.amount_minor) == (Outcome.ACTION_REQUIRED, None)
    assert answer.action is not None
    assert answer.action.kind is ActionKind.SHOW_QR
    assert answer.action.qr_text == "weixin://wxpay/bizpayurl?pr=abc"
    request, _ = stub.requests[0]
    assert (request.method, request.raw_path) == ("POST", "/v3/pay/transactions/native")
    assert request.headers["Wechatpay-Serial"] == world.WECHAT_KEY_ID
    assert stub.json() == {
        "appid": APP_ID,
        "mchid": MCH_ID,
        "description": "两杯豆浆 & 油条 🥟",
        "out_trade_no": REFERENCE,
        "amount": {"total": 1999, "currency": "CNY"},
        "notify_url": "https://shop.test/notify/wechat",
        "time_expire": "2026-11-22T17:00:00+08:00",
    }
    fields = check_signed(stub)
    assert (fields["mchid"], fields["timestamp"]) == (MCH_ID, str(SECONDS))
    assert fields["serial_no"] == "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"


async def test_authorize_twice_never_uses_a_nonce_twice(route: WechatPayChannel, stub: Stub) -> None:
    stub.will(told(code_url="weixin://a"), told(code_url="weixin://a"))
    await route.authorize(authorize())
    await route.authorize(authorize())
    nonces = [check_signed(stub, index)["nonce_str"] for index in (0, 1)]
    assert len({*nonces}) == 2
    assert [len(nonce) for nonce in nonces] == [32, 32]


async def test_authorize_in_app_returns_parameters_signed_for_the_payers_client(
    route: WechatPayChannel, stub: Stub
) -> None:
    stub.will(told(prepay_id="wx261530"))
    answer = await route.authorize(authorize(method=IN_APP))
    assert stub.requests[0][0].raw_path == "/v3/pay/transactions/jsapi"
    assert stub.json()["payer"] == {"openid": IN_APP.openid}
    assert answer.action is not None
    assert answer.action.kind is ActionKind.INVOKE_APP
    data = answer.action.data
    assert data.keys() == {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"}
    assert (data["package"], data["signType"]) == ("prepay_id=wx261530", "RSA")
    text = f"{APP_ID}\n{SECONDS}\n{data['nonceStr']}\nprepay_id=wx261530\n"
    world.verify(world.MERCHANT, text.encode(), data["paySign"])


async def test_authorize_by_page_leads_the_payer_there_and_back(route: WechatPayChannel, stub: Stub) -> None:
    page = "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx2&package=1"
    stub.will(told(h5_url=page), told(h5_url=page))
    answer = await route.authorize(authorize(method=PAGE))
    assert stub.requests[0][0].raw_path == "/v3/pay/transactions/h5"
    assert stub.json()["scene_info"] == {"payer_client_ip": "14.23.150.211", "h5_info": {"type": "Wap"}}
    assert answer.action is not None
    assert answer.action.url == page + "&redirect_url=https%3A%2F%2Fshop.test%2Fback%3Fa%3D1%26b%3D2"
    without = await route.authorize(authorize(method=PAGE, return_url=None))
    assert without.action is not None
    assert without.action.url == page


async def test_authorize_by_payer_code_that_paid_is_approved_and_captured(
    route: WechatPayChannel, stub: Stub
) -> None:
    stub.will(told(**PAID))
    answer = await route.authorize(authorize(method=PAYER_CODE))
    assert answer == Answer(
        outcome=Outcome.APPROVED,
        amount_minor=1999,
        currency="CNY",
        captured=True,
        channel_reference="4200001",
        code="SUCCESS",
        occurred_at=NOW + timedelta(seconds=2),
    )
    assert stub.requests[0][0].raw_path == "/v3/pay/transactions/codepay"
    assert stub.json()["payer"] == {"auth_code": "130061098828009406"}
    assert "notify_url" not in stub.json()


@pytest.mark.parametrize(
    ("reply", "outcome", "reason"),
    [
        (told(**{**PAID, "trade_state": "USERPAYING"}), Outcome.PENDING, None),
        (told(202, code="USERPAYING", message="需要输入密码"), Outcome.PENDING, None),
        (refusal("USERPAYING"), Outcome.PENDING, None),
        (told(**{**PAID, "trade_state": "PAYERROR"}), Outcome.DECLINED, Reason.TRY_AGAIN_LATER),
        (refusal("NOT_ENOUGH", 403), Outcome.DECLINED, Reason.INSUFFICIENT_FUNDS),
        (refusal("SIGN_ERROR", 401), Outcome.DECLINED, Reason.CONFIGURATION_INVALID),
        (refusal("FREQUENCY_LIMITED", 429), Outcome.DECLINED, Reason.CHANNEL_RATE_LIMITED),
        (refusal("SOMETHING_NEW"), Outcome.DECLINED, Reason.OTHER),
        (told(404), Outcome.DECLINED, Reason.OTHER),
        (refusal("SYSTEM_ERROR", 500), Outcome.UNRESOLVED, None),
        (refusal("SYSTEM_ERROR"), Outcome.UNRESOLVED, None),
        (refusal("BANK_ERROR"), Outcome.UNRESOLVED, None),
        (refusal("NOT_ENOUGH", 502), Outcome.UNRESOLVED, None),
        (told(302), Outcome.UNRESOLVED, None),
        (told(200), Outcome.UNRESOLVED, None),
        (told(**{**PAID, "trade_state": "DREAMED"}), Outcome.UNRESOLVED, None),
        (told(**{**PAID, "out_trade_no": "pa_other"}), Outcome.UNRESOLVED, None),
        (told(**{**PAID, "mchid": "1900000110"}), Outcome.UNRESOLVED, None),
        (told(**{**PAID, "amount": {"total": "1999"}}), Outcome.UNRESOLVED, None),
        (told(**{**PAID, "amount": {"total": 19.99}}), Outcome.UNRESOLVED, None),
        (told(**{**PAID, "amount": {"total": True}}), Outcome.UNRESOLVED, None),
        (told(**{**PAID, "amount": {"total": -1}}), Outcome.UNRESOLVED, None),
        (told(**{**PAID, "success_time": "soon"}), Outcome.UNRESOLVED, None),
    ],
)
async def test_authorize_by_payer_code_with_an_answer_has_its_outcome(
    route: WechatPayChannel, stub: Stub, reply: Responder, outcome: Outcome, reason: Reason | None
) -> None:
    stub.will(reply)
    answer = await route.authorize(authorize(method=PAYER_CODE))
    assert (answer.outcome, answer.reason) == (outcome, reason)
    if outcome is Outcome.PENDING:
        assert answer.action is not None
        assert answer.action.kind is ActionKind.AWAIT_PAYER


async def test_authorize_reports_amount_and_currency_that_wechat_says_and_not_ours(
    route: WechatPayChannel, stub: Stub
) -> None:
    stub.will(told(**{**PAID, "amount": {"total": 1, "currency": "USD"}}))
    answer = await route.authorize(authorize(method=PAYER_CODE))
    assert (answer.amount_minor, answer.currency) == (1, "USD")


@pytest.mark.parametrize("code", ["ORDERPAID", "ALREADY_EXISTS"])
@pytest.mark.parametrize("method", [PAYER_CODE, WechatPay()])
async def test_authorize_again_after_payment_tells_what_became_of_it(
    route: WechatPayChannel, stub: Stub, code: str, method: WechatPay
) -> None:
    stub.will(refusal(code), told(**PAID))
    answer = await route.authorize(authorize(method=method))
    assert (answer.outcome, answer.captured, answer.amount_minor) == (Outcome.APPROVED, True, 1999)


@pytest.mark.parametrize("method", [WechatPay(), PAGE, IN_APP])
async def test_authorize_accepted_without_anything_to_show_is_unresolved(
    route: WechatPayChannel, stub: Stub, method: WechatPay
) -> None:
    stub.will(told(), refusal("PARAM_ERROR"))
    assert (await route.authorize(authorize(method=method))).outcome is Outcome.UNRESOLVED
    assert (await route.authorize(authorize(method=method))).reason is Reason.REQUEST_INVALID


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 0},
        {"amount_minor": -1},
        {"amount_minor": 10_000_000_001},
        {"currency": "USD"},
        {"capture": False},
        {"reference": "with/slash"},
        {"notify_url": None},
        {"method": PAGE, "payer_address": None},
        {"method": WechatPay(Presentment.IN_APP)},
        {"method": WechatPay(Presentment.PAYER_CODE)},
        {"method": WechatPay(Presentment.DIRECT)},
    ],
)
async def test_authorize_of_what_is_excluded_is_declined_and_never_sent(
    route: WechatPayChannel, stub: Stub, changes: dict[str, Any]
) -> None:
    answer = await route.authorize(authorize(**changes))
    assert (answer.outcome, answer.reason) == (Outcome.DECLINED, Reason.REQUEST_INVALID)
    assert stub.requests == []


async def test_capture_and_increment_and_a_void_of_captured_are_declined_and_never_sent(
    route: WechatPayChannel, stub: Stub
) -> None:
    answers = [
        await route.capture(follow()),
        await route.increment(follow()),
        await route.void(follow(captured=True)),
        await route.inquire(inquire(Operation.CAPTURE)),
    ]
    assert {answer.reason for answer in answers} == {Reason.REQUEST_INVALID}
    assert stub.requests == []


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("SUCCESS", (Outcome.APPROVED, True, False, None)),
        ("REFUND", (Outcome.APPROVED, True, False, None)),
        ("NOTPAY", (Outcome.PENDING, False, False, None)),
        ("USERPAYING", (Outcome.PENDING, False, False, None)),
        ("CLOSED", (Outcome.DECLINED, False, True, Reason.EXPIRED)),
        ("REVOKED", (Outcome.DECLINED, False, True, Reason.OTHER)),
        ("PAYERROR", (Outcome.DECLINED, False, False, Reason.TRY_AGAIN_LATER)),
        ("DREAMED", (Outcome.UNRESOLVED, False, False, None)),
    ],
)
async def test_inquire_payment_tells_each_state(
    route: WechatPayChannel,
    stub: Stub,
    state: str,
    expected: tuple[Outcome, bool, bool, Reason | None],
) -> None:
    stub.will(told(**{**PAID, "trade_state": state}))
    answer = await route.inquire(inquire())
    assert (answer.outcome, answer.captured, answer.voided, answer.reason) == expected
    request, body = stub.requests[0]
    assert request.method == "GET"
    assert request.raw_path == f"/v3/pay/transactions/out-trade-no/{REFERENCE}?mchid={MCH_ID}"
    assert body == b""
    check_signed(stub)


@pytest.mark.parametrize(
    "operation", [Operation.AUTHORIZE, Operation.VOID, Operation.REFUND, Operation.PAYOUT]
)
@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [
        ("ORDER_NOT_EXIST", 404, Outcome.NOT_FOUND),
        ("RESOURCE_NOT_EXISTS", 404, Outcome.NOT_FOUND),
        ("NOT_FOUND", 404, Outcome.NOT_FOUND),
        ("ORDER_NOT_EXIST", 500, Outcome.UNRESOLVED),
        ("SOMETHING_NEW", 404, Outcome.UNRESOLVED),
        ("SIGN_ERROR", 401, Outcome.UNRESOLVED),
        ("FREQUENCY_LIMITED", 429, Outcome.UNRESOLVED),
        ("SYSTEM_ERROR", 500, Outcome.UNRESOLVED),
    ],
)
async def test_inquire_refused_never_declines_the_act(
    route: WechatPayChannel, stub: Stub, operation: Operation, code: str, status: int, outcome: Outcome
) -> None:
    stub.will(refusal(code, status))
    assert (await route.inquire(inquire(operation))).outcome is outcome


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("CLOSED", Outcome.APPROVED),
        ("REVOKED", Outcome.APPROVED),
        ("NOTPAY", Outcome.NOT_FOUND),
        ("SUCCESS", Outcome.NOT_FOUND),
        ("DREAMED", Outcome.UNRESOLVED),
    ],
)
async def test_inquire_void_goes_by_the_state_of_the_payment(
    route: WechatPayChannel, stub: Stub, state: str, outcome: Outcome
) -> None:
    stub.will(told(**{**PAID, "trade_state": state}))
    answer = await route.inquire(inquire(Operation.VOID, "void_1"))
    assert (answer.outcome, answer.voided) == (outcome, outcome is Outcome.APPROVED)


@pytest.mark.parametrize(
    ("method", "act", "body"),
    [
        (WechatPay(), "close", {"mchid": MCH_ID}),
        (PAYER_CODE, "reverse", {"appid": APP_ID, "mchid": MCH_ID}),
    ],
)
async def test_void_closes_an_order_and_reverses_a_scanned_code(
    route: WechatPayChannel, stub: Stub, method: WechatPay, act: str, body: dict[str, str]
) -> None:
    stub.will(told(204))
    answer = await route.void(follow("void_1", method=method))
    assert (answer.outcome, answer.voided) == (Outcome.APPROVED, True)
    assert stub.requests[0][0].raw_path == f"/v3/pay/transactions/out-trade-no/{REFERENCE}/{act}"
    assert stub.json() == body
    check_signed(stub)


@pytest.mark.parametrize(
    ("reply", "outcome", "reason"),
    [
        (refusal("ORDER_CLOSED"), Outcome.APPROVED, None),
        (refusal("ORDERPAID"), Outcome.DECLINED, Reason.STATE_INVALID),
        (refusal("ORDER_NOT_EXIST", 404), Outcome.DECLINED, Reason.STATE_INVALID),
        (refusal("SYSTEM_ERROR", 500), Outcome.UNRESOLVED, None),
        (world.raw(204, b""), Outcome.UNRESOLVED, None),
    ],
)
async def test_void_with_an_answer_has_its_outcome(
    route: WechatPayChannel, stub: Stub, reply: Responder, outcome: Outcome, reason: Reason | None
) -> None:
    stub.will(reply)
    answer = await route.void(follow("void_1"))
    assert (answer.outcome, answer.reason, answer.voided) == (outcome, reason, outcome is Outcome.APPROVED)


REFUND_STATES = [
    ("SUCCESS", Outcome.APPROVED, None),
    ("PROCESSING", Outcome.PENDING, None),
    ("ABNORMAL", Outcome.PENDING, None),
    ("CLOSED", Outcome.DECLINED, Reason.OTHER),
    ("DREAMED", Outcome.UNRESOLVED, None),
]


@pytest.mark.parametrize(("state", "outcome", "reason"), REFUND_STATES)
@pytest.mark.parametrize("asked", ["refund", "inquiry"])
async def test_refund_tells_each_state(
    route: WechatPayChannel, stub: Stub, asked: str, state: str, outcome: Outcome, reason: Reason | None
) -> None:
    stub.will(told(**{**RETURNED, "status": state}))
    if asked == "refund":
        answer = await route.refund(follow(reason="凉了", notify_url="https://shop.test/r"))
        assert stub.json() == {
            "out_trade_no": REFERENCE,
            "out_refund_no": REFUND,
            "amount": {"refund": 500, "total": 1999, "currency": "CNY"},
            "reason": "凉了",
            "notify_url": "https://shop.test/r",
        }
    else:
        answer = await route.inquire(inquire(Operation.REFUND, REFUND))
        assert stub.requests[0][0].raw_path == f"/v3/refund/domestic/refunds/{REFUND}"
    assert (answer.outcome, answer.reason, answer.code) == (outcome, reason, state)
    assert (answer.amount_minor, answer.currency) == (500, "CNY")
    check_signed(stub)


@pytest.mark.parametrize(
    ("replies", "outcome", "reason"),
    [
        ([refusal("NOT_ENOUGH", 403)], Outcome.DECLINED, Reason.INSUFFICIENT_FUNDS),
        ([refusal("REFUND_AMOUNT_ERROR")], Outcome.DECLINED, Reason.REFUND_TOO_LARGE),
        ([refusal("SYSTEM_ERROR", 500)], Outcome.UNRESOLVED, None),
        ([told(**{**RETURNED, "out_refund_no": "re_other"})], Outcome.UNRESOLVED, None),
        ([refusal("RESOURCE_ALREADY_EXISTS"), told(**RETURNED)], Outcome.APPROVED, None),
    ],
)
async def test_refund_with_an_answer_has_its_outcome(
    route: WechatPayChannel,
    stub: Stub,
    replies: list[Responder],
    outcome: Outcome,
    reason: Reason | None,
) -> None:
    stub.will(*replies)
    answer = await route.refund(follow())
    assert (answer.outcome, answer.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"state": "SUCCESS", "transfer_amount": 12_345}, Outcome.APPROVED),
        ({"state": "WAIT_USER_CONFIRM", "package_info": "affffddafdfafddffda=="}, Outcome.PENDING),
        ({"state": "ACCEPTED"}, Outcome.PENDING),
        ({"state": "FAIL", "fail_reason": "PAYEE_ACCOUNT_ABNORMAL"}, Outcome.DECLINED),
        ({"state": "CANCELLED"}, Outcome.DECLINED),
        ({"state": "DREAMED"}, Outcome.UNRESOLVED),
        ({}, Outcome.UNRESOLVED),
        ({"state": "SUCCESS", "out_bill_no": "other"}, Outcome.UNRESOLVED),
    ],
)
@pytest.mark.parametrize("asked", ["payout", "inquiry"])
async def test_payout_tells_each_state(
    route: WechatPayChannel, stub: Stub, asked: str, fields: dict[str, Any], outcome: Outcome
) -> None:
    stub.will(told(**{"out_bill_no": BILL, "transfer_bill_no": "1330000071100", **fields}))
    if asked == "payout":
        answer = await route.payout(payout())
        sent = stub.json()
        assert (sent["out_bill_no"], sent["transfer_amount"]) == (BILL, 12_345)
        assert sent["openid"] == "o-MYE42l80oelYMDE34nYD456Xoy"
        is_confirmed = "package_info" in fields
        assert (answer.action is not None) is is_confirmed
    else:
        answer = await route.inquire(inquire(Operation.PAYOUT, payout().reference))
        assert stub.requests[0][0].raw_path.endswith(f"/transfer-bills/out-bill-no/{BILL}")
    assert answer.outcome is outcome


async def test_payout_of_a_known_number_tells_what_became_of_it(route: WechatPayChannel, stub: Stub) -> None:
    stub.will(refusal("ALREADY_EXISTS"), told(out_bill_no=BILL, state="SUCCESS"))
    assert (await route.payout(payout())).outcome is Outcome.APPROVED


async def test_payout_above_the_limit_without_a_name_is_declined_and_never_sent(
    route: WechatPayChannel, stub: Stub
) -> None:
    assert (await route.payout(payout(amount_minor=200_000))).reason is Reason.REQUEST_INVALID
    assert (await route.payout(payout(amount_minor=0))).reason is Reason.REQUEST_INVALID
    assert stub.requests == []


BODY = json.dumps(PAID).encode()


def headers(**changes: str) -> dict[str, str]:
    made = {
        **world.wechat_headers(BODY, SECONDS),
        **{name.replace("_", "-"): v for name, v in changes.items()},
    }
    return {name: value for name, value in made.items() if value}


def signed_at(seconds: int) -> dict[str, str]:
    return world.wechat_headers(BODY, seconds)


def signed_over(body: bytes) -> Responder:
    return world.raw(200, body, world.wechat_headers(body, SECONDS))


@pytest.mark.parametrize(
    "reply",
    [
        world.raw(200, BODY),
        world.raw(200, BODY, headers(Wechatpay_Signature="")),
        world.raw(200, BODY, headers(Wechatpay_Signature="QUJD")),
        world.raw(200, BODY, headers(Wechatpay_Nonce="OTHER")),
        world.raw(200, BODY, headers(Wechatpay_Timestamp="")),
        world.raw(200, BODY, headers(Wechatpay_Timestamp=str(SECONDS + 1))),
        world.raw(200, BODY, headers(Wechatpay_Serial="")),
        world.raw(200, BODY, headers(Wechatpay_Serial="PUB_KEY_ID_OF_NOBODY")),
        world.raw(200, BODY, headers(Wechatpay_Signature_Type="WECHATPAY2-SM2-WITH-SM3")),
        world.raw(200, BODY, world.wechat_headers(BODY, SECONDS, world.STRANGER)),
        world.raw(200, BODY, world.wechat_headers(BODY, SECONDS, world.MERCHANT)),
        world.raw(200, BODY.replace(b"1999", b"1998"), headers()),
        world.raw(200, b"", headers()),
        world.raw(200, BODY, signed_at(SECONDS - 301)),
        world.raw(502, b"<html>bad gateway</html>"),
        world.raw(404, b'{"code":"ORDER_NOT_EXIST"}'),
        signed_over(b"<html>"),
        signed_over(b"\xff\xfe"),
        signed_over(b"[]"),
        signed_over(b'{"amount":' * 50_000),
        world.cut,
    ],
)
@pytest.mark.parametrize("ask", ["inquire", "pay"])
async def test_answer_that_cannot_be_believed_is_unresolved(
    route: WechatPayChannel, stub: Stub, reply: Responder, ask: str
) -> None:
    stub.will(reply)
    if ask == "inquire":
        answer = await route.inquire(inquire())
    else:
        answer = await route.authorize(authorize(method=PAYER_CODE))
    assert (answer.outcome, answer.captured, answer.amount_minor) == (Outcome.UNRESOLVED, False, None)


@pytest.mark.parametrize("seconds", [SECONDS - 300, SECONDS, SECONDS + 3600])
async def test_answer_not_too_old_or_ahead_of_our_clock_is_believed(
    route: WechatPayChannel, stub: Stub, seconds: int
) -> None:
    stub.will(world.raw(200, BODY, signed_at(seconds)))
    assert (await route.inquire(inquire())).outcome is Outcome.APPROVED


async def test_answer_by_either_of_two_platform_keys_is_believed(http: HttpClient, stub: Stub) -> None:
    keys = {"OLD": world.public_pem(world.STRANGER), "NEW": world.public_pem(world.PLATFORM)}
    route = channel(http, stub.url, platform_public_keys=keys)
    stub.will(
        world.raw(200, BODY, world.wechat_headers(BODY, SECONDS, world.STRANGER, "OLD")),
        world.raw(200, BODY, world.wechat_headers(BODY, SECONDS, world.PLATFORM, "NEW")),
        world.raw(200, BODY, world.wechat_headers(BODY, SECONDS, world.PLATFORM, "OLD")),
    )
    outcomes = [(await route.inquire(inquire())).outcome for _ in range(3)]
    assert outcomes == [Outcome.APPROVED, Outcome.APPROVED, Outcome.UNRESOLVED]
    assert "Wechatpay-Serial" not in stub.requests[0][0].headers


async def test_call_without_a_connection_is_not_sent_but_an_inquiry_stays_unresolved(
    http: HttpClient,
) -> None:
    nobody = channel(http)
    assert (await nobody.authorize(authorize())).outcome is Outcome.NOT_SENT
    assert (await nobody.refund(follow())).outcome is Outcome.NOT_SENT
    assert (await nobody.void(follow())).outcome is Outcome.NOT_SENT
    assert (await nobody.payout(payout())).outcome is Outcome.NOT_SENT
    assert (await nobody.inquire(inquire())).outcome is Outcome.UNRESOLVED


async def test_address_with_a_path_is_part_of_what_is_signed(http: HttpClient, stub: Stub) -> None:
    route = channel(http, f"{stub.url}/wechat/", notify_url="https://shop.test/default")
    stub.will(told(code_url="weixin://a"))
    assert (await route.authorize(authorize(notify_url=None))).outcome is Outcome.ACTION_REQUIRED
    assert stub.requests[0][0].raw_path == "/wechat/v3/pay/transactions/native"
    assert stub.json()["notify_url"] == "https://shop.test/default"
    check_signed(stub)


@pytest.mark.parametrize(
    "changes",
    [
        {"app_id": ""},
        {"mch_id": ""},
        {"merchant_serial": ""},
        {"platform_public_keys": {}},
        {"platform_public_keys": {"A": "x"}},
        {"api_v3_key": SecretStr("short")},
        {"api_v3_key": SecretStr("中" * 32)},
        {"merchant_private_key_pem": SecretStr("x")},
        {"base_url": "api.mch.weixin.qq.com"},
    ],
)
def test_channel_with_settings_that_cannot_work_is_misconfigured(changes: dict[str, Any]) -> None:
    with pytest.raises(ChannelMisconfigured):
        channel(HttpClient(), **changes)


def test_repr_shows_no_secret() -> None:
    secret = world.bare(world.private_pem(world.MERCHANT))
    configured = settings(merchant_private_key_pem=SecretStr(secret))
    route = WechatPayChannel("wechat_main", configured, HttpClient(), FrozenClock(NOW), standard)
    for text in (repr(configured), str(configured), repr(route), str(route)):
        assert secret[30:60] not in text
        assert world.API_V3_KEY not in text
    assert MCH_ID in repr(route)


async def test_capabilities_are_those_of_wechat_pay(route: WechatPayChannel) -> None:
    can = route.capabilities
    assert route.name == "wechat_main"
    assert (can.adapter, can.currencies, can.wire_unit) == (
        "wechatpay",
        frozenset({"CNY"}),
        transform.WIRE_UNIT,
    )
    assert not can.void_after_capture
    await route.close()


@given(st.integers(min_value=0, max_value=(1 << 53) - 1))
def test_transform_goes_round_exactly(amount_minor: int) -> None:
    wire = json.loads(json.dumps(transform.to_wire(amount_minor)))
    assert transform.from_wire(wire) == amount_minor


@pytest.mark.parametrize("amount", [1.5, True, 1 << 63])
def test_transform_of_no_amount_is_refused(amount: Any) -> None:
    with pytest.raises(InvalidRequest):
        transform.from_wire(amount)
    with pytest.raises(InvalidRequest):
        transform.to_wire(amount)
