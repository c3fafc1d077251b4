"""WeChat Pay's API v3: what each call answers, how it tells, and every way in which it can misbehave."""

import base64
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509 import load_pem_x509_certificate
from tests.simulator.conftest import Merchant, OpenWorld, World, eventually

from tongbao.core.clock import FrozenClock, RealClock
from tongbao.simulator.sandbox.wire import rfc3339, span

ORDERS = "/v3/pay/transactions"
REFUNDS = "/v3/refund/domestic/refunds"
BILLS = "/v3/fund-app/mch-transfer/transfer-bills"
PAYER_CODE = "130061098828009406"


def taken(world: World, reference: str) -> int:
    return world.sandbox.world.taken_minor([reference])["CNY"]


def query(world: World, reference: str) -> str:
    return f"{ORDERS}/out-trade-no/{reference}?mchid={world.sandbox.credentials.merchant.wechat_pay.mch_id}"


async def take(
    world: World, reference: str, total: int = 1000, code: str = PAYER_CODE, timeout_s: float = 5.0
) -> tuple[int, dict[str, Any]]:
    """Take a payment by the payer's code."""
    body = world.wechat_order(reference, total, payer={"auth_code": code})
    return await world.wechat("POST", f"{ORDERS}/codepay", body, timeout_s)


def opened(world: World, resource: dict[str, str]) -> dict[str, Any]:
    """The content of a sealed resource."""
    key = world.sandbox.credentials.merchant.wechat_pay.api_v3_key.encode()
    sealed = base64.b64decode(resource["ciphertext"])
    plain = AESGCM(key).decrypt(resource["nonce"].encode(), sealed, resource["associated_data"].encode())
    content: dict[str, Any] = json.loads(plain)
    return content


async def test_order_lives_from_placing_to_payment(world: World, merchant: Merchant) -> None:
    body = world.wechat_order("order_1", 1234, notify_url=merchant.url, attach="cart 7")
    placed = await world.wechat("POST", f"{ORDERS}/native", body)
    assert await world.wechat("POST", f"{ORDERS}/native", body) == placed
    status, other = await world.wechat(
        "POST", f"{ORDERS}/native", body | {"amount": {"total": 1235, "currency": "CNY"}}
    )
    assert (status, other["code"]) == (403, "OUT_TRADE_NO_USED")
    assert (await world.wechat("GET", query(world, "order_1")))[1]["trade_state"] == "NOTPAY"
    await world.control("POST", "pay", {"reference": "order_1"})
    status, order = await world.wechat("GET", query(world, "order_1"))
    assert (order["trade_state"], order["amount"]["total"], order["attach"]) == ("SUCCESS", 1234, "cart 7")
    status, again = await world.wechat("POST", f"{ORDERS}/native", body)
    assert (status, again["code"]) == (400, "ORDERPAID")
    await eventually(lambda: len(merchant.told) == 1)
    headers, raw = merchant.told[0]
    world.check_wechat(headers, raw)
    assert opened(world, json.loads(raw)["resource"]) == order


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body.pop("notify_url"),
        lambda body: body.pop("description"),
        lambda body: body.update(out_trade_no="short"),
        lambda body: body.update(amount={"total": 0}),
        lambda body: body.update(amount={"total": 10.5}),
        lambda body: body.update(amount={"total": True}),
        lambda body: body.update(amount=7),
        lambda body: body.update(amount={"total": 100, "currency": "USD"}),
        lambda body: body.update(mchid="1900000000"),
    ],
)
async def test_order_with_a_bad_parameter_is_refused(
    world: World, spoil: Callable[[dict[str, object]], object]
) -> None:
    body = world.wechat_order("order_2", 100)
    spoil(body)
    status, _ = await world.wechat("POST", f"{ORDERS}/native", body)
    assert status == 400
    assert world.sandbox.world.payments() == []


@pytest.mark.parametrize("kind", ["jsapi", "h5"])
async def test_order_without_what_its_kind_needs_is_refused(world: World, kind: str) -> None:
    status, answer = await world.wechat("POST", f"{ORDERS}/{kind}", world.wechat_order("order_3", 100))
    assert (status, answer["code"]) == (400, "PARAM_ERROR")


async def test_unsigned_stale_or_altered_requests_are_refused(world: World) -> None:
    path, body = f"{ORDERS}/native", json.dumps(world.wechat_order("order_4", 100)).encode()
    good = world.wechat_headers("POST", path, body)
    own = world.sandbox.credentials.merchant.wechat_pay
    stale = dict(good)
    before = good["Authorization"].split('timestamp="')[1][:10]
    stale["Authorization"] = good["Authorization"].replace(before, str(int(before) - 301))
    attempts = [
        ({"Content-Type": "application/json"}, body),
        (good | {"Authorization": "Basic eDp5"}, body),
        (good | {"Authorization": good["Authorization"].replace(own.mch_id, "1900000000")}, body),
        (good | {"Authorization": good["Authorization"].replace(own.merchant_serial, "00")}, body),
        (stale, body),
        (good, body.replace(b"100", b"001")),
        (world.wechat_headers("POST", f"{path}?x=1", body), body),
        (world.wechat_headers("GET", path, body), body),
    ]
    for headers, content in attempts:
        async with world.session.post(
            f"{world.sandbox.http_url}{path}", data=content, headers=headers
        ) as response:
            assert (response.status, (await response.json())["code"]) == (401, "SIGN_ERROR")
    assert world.sandbox.world.payments() == []


async def test_body_that_is_no_object_is_refused(world: World) -> None:
    assert (await world.wechat("POST", f"{ORDERS}/native", [1]))[0] == 400


async def test_query_of_unknown_orders_and_for_others_is_refused(world: World) -> None:
    assert (await world.wechat("GET", query(world, "unknown")))[1]["code"] == "ORDER_NOT_EXIST"
    path = f"{ORDERS}/out-trade-no/unknown?mchid=1"
    assert (await world.wechat("GET", path))[1]["code"] == "PARAM_ERROR"


async def test_payment_by_code_repeated_takes_once_and_can_be_reversed(world: World) -> None:
    first = await take(world, "code_1")
    assert (await take(world, "code_1")) == first
    assert first[1]["trade_state"] == "SUCCESS"
    reverse = f"{ORDERS}/out-trade-no/code_1/reverse"
    for _ in range(2):
        assert (await world.wechat("POST", reverse, {}))[0] == 200
    assert (await world.wechat("GET", query(world, "code_1")))[1]["trade_state"] == "REVOKED"
    assert taken(world, "code_1") == 0
    assert (await take(world, "code_2", code="991234"))[1]["code"] == "PARAM_ERROR"


async def test_declined_and_asking_codes(world: World) -> None:
    assert (await take(world, "code_3", 1051))[1]["code"] == "NOT_ENOUGH"
    assert (await world.wechat("GET", query(world, "code_3")))[1]["trade_state"] == "PAYERROR"
    status, answer = await take(world, "code_4", code="139961098828009406")
    assert (status, answer["code"]) == (202, "USERPAYING")
    assert (await world.wechat("GET", query(world, "code_4")))[1]["trade_state"] == "USERPAYING"
    await world.control("POST", "pay", {"reference": "code_4"})
    assert (await world.wechat("GET", query(world, "code_4")))[1]["trade_state"] == "SUCCESS"
    world.behave("wechat_pay", scripts=[{"operation": "authorize", "pending_ms": 20}])
    assert (await take(world, "code_5"))[0] == 202
    await eventually(lambda: taken(world, "code_5") == 1000)


async def test_close_is_for_unpaid_orders_and_may_be_repeated(world: World) -> None:
    close = f"{ORDERS}/out-trade-no/order_5/close"
    own = {"mchid": world.sandbox.credentials.merchant.wechat_pay.mch_id}
    assert (await world.wechat("POST", close, own))[0] == 404
    await world.wechat("POST", f"{ORDERS}/native", world.wechat_order("order_5", 100))
    assert (await world.wechat("POST", f"{ORDERS}/out-trade-no/order_5/reverse", {}))[0] == 400
    for _ in range(2):
        assert await world.wechat("POST", close, own) == (204, {})
    status, answer = await world.wechat("POST", f"{ORDERS}/native", world.wechat_order("order_5", 100))
    assert (status, answer["code"]) == (400, "ORDER_CLOSED")
    assert (await world.control("POST", "pay", {"reference": "order_5"}))[1]["refused"] == "state_invalid"


async def test_order_past_its_time_is_closed(open_world: OpenWorld) -> None:
    clock = FrozenClock(RealClock().now())
    world = await open_world(clock)
    minute = span("1m")
    assert minute is not None
    body = world.wechat_order("order_6", 100, time_expire=rfc3339(clock.now() + minute))
    await world.wechat("POST", f"{ORDERS}/native", body)
    clock.advance(minute)
    assert (await world.wechat("GET", query(world, "order_6")))[1]["trade_state"] == "CLOSED"


async def test_refund_is_under_way_then_done_and_told(world: World, merchant: Merchant) -> None:
    world.behave("wechat_pay", refund_ms=600)
    await take(world, "sale_1")
    body = {
        "out_trade_no": "sale_1",
        "out_refund_no": "back_1",
        "notify_url": merchant.url,
        "amount": {"refund": 400, "total": 1000, "currency": "CNY"},
    }
    status, refund = await world.wechat("POST", REFUNDS, body)
    assert (status, refund["status"]) == (200, "PROCESSING")
    assert (await world.wechat("POST", REFUNDS, body))[1]["refund_id"] == refund["refund_id"]
    assert (await world.wechat("GET", f"{REFUNDS}/back_1"))[1]["status"] == "PROCESSING"
    assert taken(world, "sale_1") == 1000
    await eventually(lambda: len(merchant.told) == 1)
    assert (await world.wechat("GET", f"{REFUNDS}/back_1"))[1]["status"] == "SUCCESS"
    told = opened(world, merchant.objects()[0]["resource"])
    assert (told["refund_status"], told["out_refund_no"]) == ("SUCCESS", "back_1")
    assert taken(world, "sale_1") == 600
    assert (await world.wechat("GET", query(world, "sale_1")))[1]["trade_state"] == "REFUND"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"amount": {"refund": 1001, "total": 1000, "currency": "CNY"}}, 400, "INVALID_REQUEST"),
        ({"amount": {"refund": 100, "total": 999, "currency": "CNY"}}, 400, "PARAM_ERROR"),
        ({"amount": {"refund": 100, "total": 1000, "currency": "USD"}}, 400, "PARAM_ERROR"),
        ({"amount": {"refund": 0, "total": 1000, "currency": "CNY"}}, 400, "PARAM_ERROR"),
        ({"out_refund_no": ""}, 400, "PARAM_ERROR"),
        ({"out_trade_no": "unknown"}, 404, "RESOURCE_NOT_EXISTS"),
    ],
)
async def test_refund_that_cannot_be_is_refused(
    world: World, changes: dict[str, object], status: int, code: str
) -> None:
    await take(world, "sale_2")
    amount = {"refund": 100, "total": 1000, "currency": "CNY"}
    body = {"out_trade_no": "sale_2", "out_refund_no": "back_2", "amount": amount} | changes
    answer = await world.wechat("POST", REFUNDS, body)
    assert (answer[0], answer[1]["code"]) == (status, code)
    assert (await world.wechat("GET", f"{REFUNDS}/back_2"))[0] == 404
    assert taken(world, "sale_2") == 1000


async def test_transfer_is_accepted_then_done_or_failed(world: World, merchant: Merchant) -> None:
    body = {
        "appid": "wx",
        "out_bill_no": "bill1",
        "transfer_scene_id": "1001",
        "openid": "o1",
        "transfer_amount": 500,
        "transfer_remark": "bonus",
        "notify_url": merchant.url,
    }
    assert (await world.wechat("POST", BILLS, body))[1]["state"] == "ACCEPTED"
    assert (await world.wechat("POST", BILLS, body | {"transfer_amount": 501}))[1]["code"] == "ALREADY_EXISTS"
    assert (await world.wechat("POST", BILLS, body | {"out_bill_no": "no_underscore"}))[0] == 400
    assert (await world.wechat("POST", BILLS, body | {"openid": ""}))[0] == 400
    await world.wechat("POST", BILLS, body | {"out_bill_no": "bill2", "transfer_amount": 551})
    await eventually(lambda: len(merchant.told) == 2)
    states = {opened(world, each["resource"])["out_bill_no"]: each for each in merchant.objects()}
    assert opened(world, states["bill2"]["resource"])["fail_reason"] == "INSUFFICIENT_FUNDS"
    _, bill = await world.wechat("GET", f"{BILLS}/out-bill-no/bill1")
    assert bill["state"] == "SUCCESS"
    assert (await world.wechat("GET", f"{BILLS}/transfer-bill-no/{bill['transfer_bill_no']}"))[1] == bill
    assert (await world.wechat("GET", f"{BILLS}/out-bill-no/bill3"))[0] == 404


async def test_certificates_are_sealed_and_carry_their_serial(world: World) -> None:
    _, answer = await world.wechat("GET", "/v3/certificates")
    own = world.sandbox.credentials.merchant.wechat_pay
    sealed = answer["data"][0]["encrypt_certificate"]
    key = AESGCM(own.api_v3_key.encode())
    raw = base64.b64decode(sealed["ciphertext"])
    pem = key.decrypt(sealed["nonce"].encode(), raw, sealed["associated_data"].encode())
    serial = load_pem_x509_certificate(pem).serial_number
    assert f"{serial:040X}" == answer["data"][0]["serial_no"] == own.platform_certificate_serial


@pytest.mark.parametrize(
    ("ending", "error", "done"),
    [
        (81, TimeoutError, False),
        (82, TimeoutError, True),
        (83, aiohttp.ClientError, False),
        (84, aiohttp.ClientError, True),
    ],
)
async def test_answer_that_never_comes(world: World, ending: int, error: type[Exception], done: bool) -> None:
    # Only where nothing comes is the wait part of the test.
    timeout_s = 0.5 if error is TimeoutError else 10.0
    with pytest.raises(error):
        await take(world, f"fault_{ending}", 1000 + ending, timeout_s=timeout_s)
    assert taken(world, f"fault_{ending}") == (1000 + ending if done else 0)
    assert (await world.wechat("GET", query(world, f"fault_{ending}")))[0] == (200 if done else 404)


async def test_garbage_errors_limits_and_lies(world: World) -> None:
    path, body = f"{ORDERS}/codepay", world.wechat_order("garbage", 1085, payer={"auth_code": PAYER_CODE})
    raw = json.dumps(body).encode()
    async with world.session.post(
        f"{world.sandbox.http_url}{path}", data=raw, headers=world.wechat_headers("POST", path, raw)
    ) as response:
        assert b"Bad Gatewa" in await response.read()
    assert taken(world, "garbage") == 1085
    assert (await take(world, "error_1", 1087))[0] == 500
    assert world.sandbox.world.payment("wechat_pay", "error_1") is None
    assert (await take(world, "lying_1", 1086))[1]["amount"]["total"] == 1087
    assert taken(world, "lying_1") == 1086
    world.behave("wechat_pay", rate_per_s=0)
    status, answer = await take(world, "limited")
    assert (status, answer["code"]) == (429, "FREQUENCY_LIMITED")


async def test_notification_is_repeated_until_accepted_with_the_same_id(
    world: World, merchant: Merchant
) -> None:
    merchant.replies = [web.Response(status=500), web.Response(status=204)]
    body = world.wechat_order("told_1", 100, notify_url=merchant.url)
    await world.wechat("POST", f"{ORDERS}/native", body)
    await world.control("POST", "pay", {"reference": "told_1"})
    await eventually(lambda: world.sandbox.notifier.deliveries[0].state == "accepted")
    first, second = merchant.told
    assert json.loads(first[1])["id"] == json.loads(second[1])["id"]
    assert first[0]["Wechatpay-Nonce"] != second[0]["Wechatpay-Nonce"]


async def test_tampered_notification_is_genuine_and_wrong(world: World, merchant: Merchant) -> None:
    world.behave("wechat_pay", notifying={"tampered_prob": 1.0})
    await world.wechat("POST", f"{ORDERS}/native", world.wechat_order("told_2", 100, notify_url=merchant.url))
    await world.control("POST", "pay", {"reference": "told_2"})
    await eventually(lambda: len(merchant.told) == 1)
    headers, raw = merchant.told[0]
    world.check_wechat(headers, raw)
    assert opened(world, json.loads(raw)["resource"])["amount"]["total"] == 101


async def test_complaint_is_told_when_opened_and_when_closed(world: World, merchant: Merchant) -> None:
    await world.wechat("POST", f"{ORDERS}/native", world.wechat_order("told_3", 100, notify_url=merchant.url))
    await world.control("POST", "pay", {"reference": "told_3"})
    _, dispute = await world.control("POST", "disputes", {"reference": "told_3"})
    await world.control("POST", f"disputes/{dispute['reference']}", {"status": "won"})
    await eventually(lambda: len(merchant.told) == 3)
    kinds = {each["event_type"] for each in merchant.objects()}
    assert kinds == {"TRANSACTION.SUCCESS", "COMPLAINT.CREATE", "COMPLAINT.STATE_CHANGE"}
