"""Alipay's gateway: what each method answers, and every way in which it can misbehave."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from aiohttp import web
from tests.simulator.conftest import Merchant, OpenWorld, World, eventually

from tongbao.core.clock import FrozenClock, RealClock
from tongbao.simulator.sandbox import signing
from tongbao.simulator.sandbox.alipay import signed_text
from tongbao.simulator.sandbox.schema import State
from tongbao.simulator.sandbox.wire import fen, instant, span, yuan

PAYER_CODE = "281234567890123456"
QUERY = "alipay.trade.query"


def order(reference: str, amount: str = "10.00", **more: object) -> dict[str, object]:
    return {"out_trade_no": reference, "total_amount": amount, "subject": "茶", **more}


async def take(world: World, reference: str, amount: str = "10.00", **common: Any) -> dict[str, Any]:
    """Take a payment by the payer's code."""
    content = order(reference, amount, scene="bar_code", auth_code=common.pop("auth_code", PAYER_CODE))
    return await world.alipay("alipay.trade.pay", content, **common)


async def codes(world: World, method: str, **content: object) -> tuple[str, str | None]:
    """The code and sub code answered to a call."""
    answer = await world.alipay(method, content)
    return answer["code"], answer.get("sub_code")


def taken(world: World, reference: str) -> int:
    return world.sandbox.world.taken_minor([reference])["CNY"]


async def test_code_is_no_trade_before_it_is_scanned(world: World) -> None:
    await world.alipay("alipay.trade.precreate", order("qr_1"))
    assert await codes(world, QUERY, out_trade_no="qr_1") == ("40004", "ACQ.TRADE_NOT_EXIST")
    assert await codes(world, "alipay.trade.close", out_trade_no="qr_1") == ("40004", "ACQ.TRADE_NOT_EXIST")
    await world.control("POST", "scan", {"reference": "qr_1"})
    assert (await world.alipay(QUERY, {"out_trade_no": "qr_1"}))["trade_status"] == "WAIT_BUYER_PAY"
    assert await codes(world, "alipay.trade.close", out_trade_no="qr_1") == ("10000", None)
    assert (await world.alipay(QUERY, {"out_trade_no": "qr_1"}))["trade_status"] == "TRADE_CLOSED"
    assert (await world.control("POST", "pay", {"reference": "qr_1"}))[1]["refused"] == "state_invalid"


async def test_code_canceled_before_it_is_scanned_can_never_be_paid(world: World) -> None:
    await world.alipay("alipay.trade.precreate", order("qr_2"))
    answer = await world.alipay("alipay.trade.cancel", {"out_trade_no": "qr_2"})
    assert (answer["code"], answer["action"]) == ("10000", "close")
    assert await codes(world, QUERY, out_trade_no="qr_2") == ("40004", "ACQ.TRADE_NOT_EXIST")
    assert (await world.control("POST", "pay", {"reference": "qr_2"}))[1]["refused"] == "state_invalid"
    again = await world.alipay("alipay.trade.precreate", order("qr_2"))
    assert again["sub_code"] == "ACQ.TRADE_HAS_CLOSE"


async def test_precreate_repeated_gives_the_same_code_and_another_amount_is_refused(world: World) -> None:
    first = await world.alipay("alipay.trade.precreate", order("qr_3"))
    assert await world.alipay("alipay.trade.precreate", order("qr_3")) == first
    other = await world.alipay("alipay.trade.precreate", order("qr_3", "10.01"))
    assert other["sub_code"] == "ACQ.CONTEXT_INCONSISTENT"
    await world.control("POST", "pay", {"reference": "qr_3"})
    paid = await world.alipay("alipay.trade.precreate", order("qr_3"))
    assert paid["sub_code"] == "ACQ.TRADE_HAS_SUCCESS"
    payment = world.sandbox.world.payment("alipay", "qr_3")
    assert payment is not None
    assert (payment.asked, payment.taken_minor) == (3, 1000)


async def test_payment_by_code_repeated_takes_once(world: World) -> None:
    first = await take(world, "code_1")
    again = await take(world, "code_1")
    assert first == again
    assert first["code"] == "10000"
    assert taken(world, "code_1") == 1000
    assert (await take(world, "code_1", "10.02"))["sub_code"] == "ACQ.CONTEXT_INCONSISTENT"


async def test_declined_payment_stays_declined_and_is_closed(world: World) -> None:
    for _ in range(2):
        answer = await take(world, "code_2", "7.51")
        assert (answer["code"], answer["sub_code"]) == ("40004", "ACQ.BUYER_BALANCE_NOT_ENOUGH")
    assert (await world.alipay(QUERY, {"out_trade_no": "code_2"}))["trade_status"] == "TRADE_CLOSED"
    assert taken(world, "code_2") == 0


async def test_payer_asked_for_the_password_pays_later(world: World) -> None:
    waiting = await take(world, "code_3", auth_code="289912345678901234")
    assert waiting["code"] == "10003"
    assert (await world.alipay(QUERY, {"out_trade_no": "code_3"}))["trade_status"] == "WAIT_BUYER_PAY"
    await world.control("POST", "pay", {"reference": "code_3"})
    assert (await take(world, "code_3", auth_code="289912345678901234"))["code"] == "10000"


async def test_pending_script_decides_later(world: World, merchant: Merchant) -> None:
    world.behave("alipay", scripts=[{"operation": "authorize", "pending_ms": 30}])
    assert (await take(world, "code_4", notify_url=merchant.url))["code"] == "10003"
    await eventually(lambda: len(merchant.told) == 1)
    assert merchant.forms()[0]["trade_status"] == "TRADE_SUCCESS"


async def test_create_needs_a_buyer_and_waits(world: World) -> None:
    assert await codes(world, "alipay.trade.create", **order("app_1")) == ("40004", "ACQ.INVALID_PARAMETER")
    placed = await world.alipay("alipay.trade.create", order("app_1", buyer_id="2088102169481075"))
    asked = await world.alipay(QUERY, {"trade_no": placed["trade_no"]})
    assert (asked["out_trade_no"], asked["trade_status"]) == ("app_1", "WAIT_BUYER_PAY")


async def test_trade_past_its_time_is_closed(open_world: OpenWorld) -> None:
    clock = FrozenClock(RealClock().now())
    world = await open_world(clock)
    await world.alipay("alipay.trade.create", order("old_1", buyer_id="1", timeout_express="5m"))
    clock.advance(span("5m") or pytest.fail("no span"))
    assert (await world.control("POST", "pay", {"reference": "old_1"}))[1]["refused"] == "expired"
    assert (await world.alipay(QUERY, {"out_trade_no": "old_1"}))["trade_status"] == "TRADE_CLOSED"


async def test_refunds_add_up_and_stop_at_the_total(world: World) -> None:
    await take(world, "sale_1")
    refund = "alipay.trade.refund"
    first = await world.alipay(
        refund, {"out_trade_no": "sale_1", "refund_amount": "4.00", "out_request_no": "a"}
    )
    assert (first["refund_fee"], first["fund_change"]) == ("4.00", "Y")
    over = {"out_trade_no": "sale_1", "refund_amount": "6.01", "out_request_no": "b"}
    assert await codes(world, refund, **over) == ("40004", "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL")
    other = {"out_trade_no": "sale_1", "refund_amount": "3.99", "out_request_no": "a"}
    assert await codes(world, refund, **other) == ("40004", "ACQ.DISCORDANT_REPEAT_REQUEST")
    part = {"out_trade_no": "sale_1", "refund_amount": "1.00"}
    assert await codes(world, refund, **part) == ("40004", "ACQ.INVALID_PARAMETER")
    rest = await world.alipay(refund, {"out_trade_no": "sale_1", "refund_amount": "6", "out_request_no": "c"})
    assert rest["refund_fee"] == "10.00"
    closed = await world.alipay(QUERY, {"out_trade_no": "sale_1"})
    assert (closed["trade_status"], "send_pay_date" in closed) == ("TRADE_CLOSED", True)


async def test_refund_inquiry_of_an_unknown_refund_is_a_success_without_status(world: World) -> None:
    await take(world, "sale_2")
    query = "alipay.trade.fastpay.refund.query"
    answer = await world.alipay(query, {"out_trade_no": "sale_2", "out_request_no": "nothing"})
    assert (answer["code"], "refund_status" in answer) == ("10000", False)
    assert await codes(world, query, out_trade_no="none", out_request_no="a") == (
        "40004",
        "ACQ.TRADE_NOT_EXIST",
    )


async def test_cancel_gives_back_whatever_is_left(world: World) -> None:
    cancel = "alipay.trade.cancel"
    assert (await world.alipay(cancel, {"out_trade_no": "never"}))["code"] == "10000"
    await take(world, "sale_3")
    await world.alipay(
        "alipay.trade.refund", {"out_trade_no": "sale_3", "refund_amount": "4.00", "out_request_no": "a"}
    )
    for _ in range(2):
        assert (await world.alipay(cancel, {"out_trade_no": "sale_3"}))["code"] == "10000"
    assert taken(world, "sale_3") == 0


async def test_transfer_pays_out_once(world: World) -> None:
    payee = {"identity": "2088000000000000", "identity_type": "ALIPAY_USER_ID"}
    content: dict[str, object] = {"out_biz_no": "po_1", "trans_amount": "5.00", "payee_info": payee}
    transfer = "alipay.fund.trans.uni.transfer"
    assert await world.alipay(transfer, content) == await world.alipay(transfer, content)
    assert await codes(world, transfer, **(content | {"trans_amount": "6.00"})) == ("40004", "PARAM_ILLEGAL")
    assert await codes(world, transfer, **(content | {"payee_info": {}})) == ("40004", "PAYEE_NOT_EXIST")
    asked = await world.alipay("alipay.fund.trans.common.query", {"out_biz_no": "po_1"})
    assert (asked["status"], asked["trans_amount"]) == ("SUCCESS", "5.00")
    assert await codes(world, "alipay.fund.trans.common.query", out_biz_no="x") == (
        "40004",
        "ORDER_NOT_EXIST",
    )
    poor = content | {"out_biz_no": "po_2", "trans_amount": "5.51"}
    assert await codes(world, transfer, **poor) == ("40004", "PAYER_BALANCE_NOT_ENOUGH")


@pytest.mark.parametrize(
    "content",
    [
        {},
        order(""),
        order("x" * 65),
        order("bad", "0.00"),
        order("bad", "1.001"),
        order("bad", "-1.00"),
        order("bad", "1e3"),
        order("bad", "٣.00"),
        order("bad") | {"subject": ""},
    ],
)
async def test_order_with_a_bad_parameter_is_refused(world: World, content: dict[str, object]) -> None:
    answer = await world.alipay("alipay.trade.precreate", content)
    assert answer["sub_code"] == "ACQ.INVALID_PARAMETER"
    assert world.sandbox.world.payments() == []


@pytest.mark.parametrize(
    ("changes", "sub_code"),
    [
        ({"sign": ""}, "isv.missing-sign"),
        ({"app_id": "2021000000000000"}, "isv.invalid-app-id"),
        ({"sign_type": "RSA"}, "isv.invalid-signature-type"),
        ({"charset": "gbk"}, "isv.invalid-signature-type"),
        ({"method": "alipay.trade.steal"}, "isv.invalid-method"),
        ({"timestamp": "2026-11-22 08:00:01"}, "isv.invalid-signature"),
        (
            {"biz_content": '{"out_trade_no":"x","total_amount":"0.01","subject":"x"}'},
            "isv.invalid-signature",
        ),
        ({"sign": "no base 64!"}, "isv.invalid-signature"),
        ({"extra": "1"}, "isv.invalid-signature"),
    ],
)
async def test_request_that_is_not_genuine_is_refused(
    world: World, changes: dict[str, str], sub_code: str
) -> None:
    params = world.alipay_params("alipay.trade.precreate", order("forged")) | changes
    raw = await world.alipay_raw(params)
    assert f'"sub_code":"{sub_code}"'.encode() in raw
    assert world.sandbox.world.payments() == []


async def test_request_with_a_parameter_twice_or_unreadable_content_is_refused(world: World) -> None:
    params = world.alipay_params(QUERY, {"out_trade_no": "x"})
    url = f"{world.sandbox.http_url}/gateway.do?{urlencode(params)}"
    async with world.session.post(url, data={"app_id": params["app_id"]}) as response:
        assert b"isv.invalid-parameter" in await response.read()
    async with world.session.get(f"{world.sandbox.http_url}/gateway.do?method=%ff") as response:
        assert b"isv.invalid-encoding" in await response.read()
    own = world.sandbox.credentials.merchant.alipay
    unsigned = {name: value for name, value in params.items() if name != "sign"} | {"biz_content": "[1]"}
    key = signing.private_key(own.app_private_key)
    signed = unsigned | {"sign": signing.sign(key, signed_text(unsigned, "sign").encode())}
    assert b"isv.invalid-parameter" in await world.alipay_raw(signed)


@pytest.mark.parametrize(
    ("ending", "error", "done"),
    [
        ("81", TimeoutError, False),
        ("82", TimeoutError, True),
        ("83", aiohttp.ClientError, False),
        ("84", aiohttp.ClientError, True),
    ],
)
async def test_answer_that_never_comes(world: World, ending: str, error: type[Exception], done: bool) -> None:
    reference = f"fault_{ending}"
    # Only where nothing comes is the wait part of the test.
    timeout_s = 0.5 if error is TimeoutError else 10.0
    with pytest.raises(error):
        await take(world, reference, f"10.{ending}", timeout_s=timeout_s)
    expected = 1000 + int(ending) if done else 0
    assert taken(world, reference) == expected
    known = await world.alipay(QUERY, {"out_trade_no": reference})
    assert known.get("trade_status") == ("TRADE_SUCCESS" if done else None)


async def test_garbage_and_errors(world: World) -> None:
    params = world.alipay_params("alipay.trade.pay", order("garbage", "10.85", auth_code=PAYER_CODE))
    assert b"Bad Gatewa" in await world.alipay_raw(params)
    assert taken(world, "garbage") == 1085
    answer = await take(world, "error", "10.87")
    assert (answer["code"], answer["sub_code"]) == ("20000", "aop.ACQ.SYSTEM_ERROR")
    assert world.sandbox.world.payment("alipay", "error") is None
    world.behave("alipay", scripts=[{"fault": "error_done", "operation": "authorize"}])
    assert (await take(world, "error_done"))["code"] == "20000"
    assert taken(world, "error_done") == 1000
    world.behave("alipay", rate_per_s=0)
    assert (await take(world, "limited"))["code"] == "40005"


async def test_tampered_answer_lies_about_the_amount_only(world: World, merchant: Merchant) -> None:
    answer = await take(world, "lie", "10.86", notify_url=merchant.url)
    assert (answer["code"], answer["total_amount"]) == ("10000", "10.87")
    await eventually(lambda: len(merchant.told) == 1)
    assert merchant.forms()[0]["total_amount"] == "10.87"
    assert taken(world, "lie") == 1086


async def test_late_act_is_done_after_the_caller_has_left(world: World) -> None:
    world.behave("alipay", scripts=[{"operation": "authorize", "late_ms": 2_000, "times": 1}])
    with pytest.raises(TimeoutError):
        await take(world, "late_1", timeout_s=0.05)
    assert await codes(world, QUERY, out_trade_no="late_1") == ("40004", "ACQ.TRADE_NOT_EXIST")
    await eventually(lambda: taken(world, "late_1") == 1000)


async def test_notification_is_repeated_until_success_with_the_same_id(
    world: World, merchant: Merchant
) -> None:
    merchant.replies = [web.Response(text="fail"), web.Response(status=500), web.Response(text=" success\n")]
    await take(world, "told_1", notify_url=merchant.url)
    await eventually(lambda: world.sandbox.notifier.deliveries[0].state == "accepted")
    forms = merchant.forms()
    assert len(forms) == 3
    assert len({form["notify_id"] for form in forms}) == 1
    key = signing.public_key(world.sandbox.credentials.merchant.alipay.alipay_public_key)
    for form in forms:
        assert signing.is_signed(key, signed_text(form, "sign", "sign_type").encode(), form["sign"])


async def test_refund_and_complaint_are_told(world: World, merchant: Merchant) -> None:
    await take(world, "told_2", notify_url=merchant.url)
    refund: dict[str, object] = {"out_trade_no": "told_2", "refund_amount": "4.00", "out_request_no": "back"}
    await world.alipay("alipay.trade.refund", refund)
    await world.control("POST", "disputes", {"reference": "told_2"})
    await eventually(lambda: len(merchant.told) == 3)
    forms = {form["notify_id"].split("_", 1)[1].split("/")[0]: form for form in merchant.forms()}
    assert (forms["refunded"]["refund_fee"], forms["refunded"]["out_biz_no"]) == ("4.00", "back")
    assert forms["disputed"]["msg_method"] == "alipay.merchant.tradecomplain.changed"


async def test_page_leads_to_the_payer_and_back_with_signed_parameters(world: World) -> None:
    url = "http://127.0.0.1:9/shop?cart=1"
    params = world.alipay_params("alipay.trade.page.pay", order("page_1"), return_url=url)
    async with world.session.get(f"{world.sandbox.http_url}/gateway.do?{urlencode(params)}") as response:
        page = await response.text()
        assert "¥10.00" in page
        assert "茶" in page
        payer_url = str(response.url)
    async with world.session.post(payer_url, data={"act": "pay"}, allow_redirects=False) as response:
        assert response.status == 303
        back = response.headers["Location"]
    assert back.startswith(url)
    query = parse_qs(urlsplit(back).query)
    assert (query["out_trade_no"], query["cart"]) == (["page_1"], ["1"])
    own = world.sandbox.credentials.merchant.alipay
    form = {name: values[0] for name, values in query.items() if name != "cart"}
    key = signing.public_key(own.alipay_public_key)
    assert signing.is_signed(key, signed_text(form, "sign", "sign_type").encode(), form["sign"])
    assert taken(world, "page_1") == 1000


async def test_page_canceled_closes_the_trade(world: World) -> None:
    params = world.alipay_params("alipay.trade.wap.pay", order("page_2"))
    async with world.session.post(f"{world.sandbox.http_url}/gateway.do", data=params) as response:
        payer_url = str(response.url)
    async with world.session.post(payer_url, data={"act": "cancel"}) as response:
        assert "voided" in await response.text()
    payment = world.sandbox.world.payment("alipay", "page_2")
    assert payment is not None
    assert payment.state is State.VOIDED
    async with world.session.get(f"{world.sandbox.http_url}/payer/420") as response:
        assert response.status == 404


async def test_page_of_a_bad_order_says_so_and_escapes_what_is_bought(world: World) -> None:
    gateway = f"{world.sandbox.http_url}/gateway.do"
    bad = world.alipay_params("alipay.trade.page.pay", order("page_3", "zero"))
    async with world.session.post(gateway, data=bad) as response:
        assert (response.status, "ACQ.INVALID_PARAMETER" in await response.text()) == (400, True)
    sly = world.alipay_params("alipay.trade.page.pay", order("page_4", subject="<script>alert(1)</script>"))
    async with world.session.get(f"{gateway}?{urlencode(sly)}") as response:
        assert "<script>" not in await response.text()


async def test_payers_come_by_themselves(world: World) -> None:
    world.behave("alipay", payers={"pays_prob": 0.5, "cancels_prob": 0.3, "delay": {"median_ms": 5}})
    for number in range(40):
        await world.alipay("alipay.trade.precreate", order(f"street_{number}"))
    payments = world.sandbox.world.payments()
    states = {State.CAPTURED, State.VOIDED}
    await eventually(lambda: {payment.state for payment in payments} >= states)
    await asyncio.sleep(0.05)
    paid = sum(payment.state is State.CAPTURED for payment in payments)
    assert 10 <= paid <= 30
    assert any(payment.state is State.PRESENTED for payment in payments)


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("1", 100),
        ("1.5", 150),
        ("0.01", 1),
        (9.99, 999),
        (5, 500),
        ("0", None),
        ("01", None),
        (True, None),
        ([], None),
    ],
)
def test_fen_reads_yuan(text: object, minor: int | None) -> None:
    assert fen(text) == minor


def test_yuan_and_instants_are_written_as_alipay_does() -> None:
    assert [yuan(amount) for amount in (1, 10, 12_345)] == ["0.01", "0.10", "123.45"]
    assert instant("2026-11-22 08:00:00") == instant("2026-11-22T08:00:00+08:00")
    assert instant("tomorrow") is None
    assert span("5x") is None
