"""Alipay as a channel: what is sent, what each answer means, and that nothing unsigned is believed."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.channels import signed_world as world
from tests.channels.signed_world import Stub, alipay
from tests.conftest import utc

from tongbao.channels.adapters.alipay import transform
from tongbao.channels.adapters.alipay.channel import AlipayChannel
from tongbao.channels.adapters.alipay.settings import AlipaySettings
from tongbao.channels.errors import ChannelMisconfigured
from tongbao.channels.policy.reasons import standard
from tongbao.channels.schema import (
    ActionKind,
    Alipay,
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
)
from tongbao.core.clock import FrozenClock
from tongbao.core.errors import InvalidRequest
from tongbao.core.http import HttpClient

NOW = utc(2026, 11, 22, 8, 30)
REFERENCE = "pa_01jd3k8v4yefvb3k4g8h2m5n6p"
REFUND = "re_01jd3k8v4yefvb3k4g8h2m5n6q"
QR, PAY, QUERY = "alipay.trade.precreate", "alipay.trade.pay", "alipay.trade.query"
CLOSE, CANCEL = "alipay.trade.close", "alipay.trade.cancel"
GIVE_BACK, REFUND_QUERY = "alipay.trade.refund", "alipay.trade.fastpay.refund.query"
TRANSFER, TRANSFER_QUERY = "alipay.fund.trans.uni.transfer", "alipay.fund.trans.common.query"
DONE = {"code": "10000", "msg": "Success"}
TRADE = {**DONE, "out_trade_no": REFERENCE, "trade_no": "2026112222001", "total_amount": "19.99"}
PAYER_CODE = Alipay(Presentment.PAYER_CODE, payer_code="28763443825664394")


def settings(url: str = "http://127.0.0.1:1", **changes: Any) -> AlipaySettings:
    values: dict[str, Any] = {
        "app_id": "2021001100000001",
        "seller_id": "2088000000000001",
        "app_private_key_pem": SecretStr(world.private_pem(world.MERCHANT)),
        "alipay_public_key_pem": world.public_pem(world.PLATFORM),
        "gateway_url": f"{url}/gateway.do",
    }
    return AlipaySettings(**(values | changes))


def channel(http: HttpClient, url: str = "http://127.0.0.1:1", **changes: Any) -> AlipayChannel:
    return AlipayChannel("alipay_main", settings(url, **changes), http, FrozenClock(NOW), standard)


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
def route(http: HttpClient, stub: Stub) -> AlipayChannel:
    return channel(http, stub.url)


def authorize(**changes: Any) -> Authorize:
    values: dict[str, Any] = {
        "reference": REFERENCE,
        "amount_minor": 1999,
        "currency": "CNY",
        "capture": True,
        "method": Alipay(),
        "merchant": Merchant(name="小店"),
        "description": "两杯豆浆 & 油条",
        "notify_url": "https://shop.test/notify/alipay?x=1",
        "return_url": "https://shop.test/back?a=1&b=2",
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
        "method": Alipay(),
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
        method=Alipay(),
        sent_at=NOW,
    )


def payout(**changes: Any) -> Payout:
    values: dict[str, Any] = {
        "reference": "po_01jd3k8v4yefvb3k4g8h2m5n6r",
        "amount_minor": 12_345,
        "currency": "CNY",
        "destination_reference": "2088123412341234",
        "description": "结算",
    }
    return Payout(**(values | changes))


def refusal(sub_code: str, code: str = "40004") -> dict[str, str]:
    return {"code": code, "msg": "Business Failed", "sub_code": sub_code, "sub_msg": "不行"}


def check_signed(params: dict[str, str]) -> None:
    """Verify a request with nothing of the product's code."""
    signature = params.pop("sign")
    text = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    world.verify(world.MERCHANT, text.encode(), signature)


async def test_authorize_by_merchant_code_sends_a_signed_order_and_shows_the_code(
    route: AlipayChannel, stub: Stub
) -> None:
    stub.will(alipay(QR, **DONE, out_trade_no=REFERENCE, qr_code="https://qr.alipay.com/bax03431"))
    answer = await route.authorize(authorize())
    assert answer.outcome is Outcome.ACTION_REQUIRED
    assert answer.action is not None
    assert answer.action.kind is ActionKind.SHOW_QR
    assert answer.action.qr_text == "https://qr.alipay.com/bax03431"
    assert answer.action.expires_at == utc(2026, 11, 22, 9, 0)
    assert answer.amount_minor is None
    params = stub.params()
    assert params | {"sign": "", "biz_content": ""} == {
        "app_id": "2021001100000001",
        "method": QR,
        "format": "JSON",
        "charset": "utf-8",
        "sign_type": "RSA2",
        "timestamp": "2026-11-22 16:30:00",
        "version": "1.0",
        "notify_url": "https://shop.test/notify/alipay?x=1",
        "biz_content": "",
        "sign": "",
    }
    assert stub.content() == {
        "out_trade_no": REFERENCE,
        "total_amount": "19.99",
        "subject": "两杯豆浆   油条",
        "time_expire": "2026-11-22 17:00:00",
    }
    check_signed(params)


async def test_authorize_by_payer_code_that_paid_is_approved_and_captured(
    route: AlipayChannel, stub: Stub
) -> None:
    stub.will(alipay(PAY, **TRADE, gmt_payment="2026-11-22 16:30:02", fund_bill_list=[{"amount": "19.99"}]))
    answer = await route.authorize(authorize(method=PAYER_CODE))
    assert answer == Answer(
        outcome=Outcome.APPROVED,
        amount_minor=1999,
        currency="CNY",
        captured=True,
        channel_reference="2026112222001",
        code="10000",
        occurred_at=utc(2026, 11, 22, 8, 30).replace(second=2),
    )
    assert stub.content()["auth_code"] == "28763443825664394"
    assert stub.content()["scene"] == "bar_code"


@pytest.mark.parametrize(
    ("fields", "outcome", "reason"),
    [
        ({"code": "10003", "msg": "order success pay inprocess"}, Outcome.PENDING, None),
        (
            refusal("ACQ.BUYER_BALANCE_NOT_ENOUGH"),
            Outcome.DECLINED,
            Reason.INSUFFICIENT_FUNDS,
        ),
        (refusal("ACQ.PAYMENT_AUTH_CODE_INVALID"), Outcome.DECLINED, Reason.EXPIRED),
        (refusal("ACQ.SOMETHING_NEW"), Outcome.DECLINED, Reason.OTHER),
        (refusal("isv.invalid-signature", "40002"), Outcome.DECLINED, Reason.CONFIGURATION_INVALID),
        (refusal("isv.app-call-limited", "40005"), Outcome.DECLINED, Reason.CHANNEL_RATE_LIMITED),
        (refusal("ACQ.SYSTEM_ERROR"), Outcome.UNRESOLVED, None),
        (refusal("aop.ACQ.SYSTEM_ERROR", "20000"), Outcome.UNRESOLVED, None),
        (refusal("isp.unknow-error", "20000"), Outcome.UNRESOLVED, None),
        (refusal("isp.unknow-error"), Outcome.UNRESOLVED, None),
        ({"code": "77777", "msg": "new"}, Outcome.UNRESOLVED, None),
        ({}, Outcome.UNRESOLVED, None),
        ({**TRADE, "out_trade_no": "another"}, Outcome.UNRESOLVED, None),
        ({**DONE, "total_amount": "19.99"}, Outcome.UNRESOLVED, None),
        ({**TRADE, "total_amount": "19.999"}, Outcome.UNRESOLVED, None),
        ({**TRADE, "total_amount": "-1.00"}, Outcome.UNRESOLVED, None),
        ({**TRADE, "total_amount": "1e3"}, Outcome.UNRESOLVED, None),
        ({**TRADE, "total_amount": "19.99\n"}, Outcome.UNRESOLVED, None),
        ({**TRADE, "total_amount": 19.99}, Outcome.UNRESOLVED, None),
        ({**TRADE, "trans_currency": "USD"}, Outcome.UNRESOLVED, None),
        ({**TRADE, "gmt_payment": "yesterday"}, Outcome.UNRESOLVED, None),
    ],
)
async def test_authorize_by_payer_code_with_an_answer_has_its_outcome(
    route: AlipayChannel, stub: Stub, fields: dict[str, Any], outcome: Outcome, reason: Reason | None
) -> None:
    stub.will(alipay(PAY, **fields))
    answer = await route.authorize(authorize(method=PAYER_CODE))
    assert (answer.outcome, answer.reason) == (outcome, reason)
    if outcome is Outcome.PENDING:
        assert answer.action is not None
        assert answer.action.kind is ActionKind.AWAIT_PAYER
    if reason:
        assert answer.code == fields["sub_code"]
        assert answer.message == "不行"


async def test_authorize_reports_the_amount_that_alipay_says_and_not_ours(
    route: AlipayChannel, stub: Stub
) -> None:
    stub.will(alipay(PAY, **{**TRADE, "total_amount": "0.01"}))
    answer = await route.authorize(authorize(method=PAYER_CODE))
    assert (answer.amount_minor, answer.currency) == (1, "CNY")


async def test_authorize_again_after_payment_tells_what_became_of_it(
    route: AlipayChannel, stub: Stub
) -> None:
    stub.will(
        alipay(PAY, **refusal("ACQ.TRADE_HAS_SUCCESS")),
        alipay(QUERY, **TRADE, trade_status="TRADE_SUCCESS", send_pay_date="2026-11-22 16:00:00"),
    )
    answer = await route.authorize(authorize(method=PAYER_CODE))
    assert (answer.outcome, answer.captured, answer.amount_minor) == (Outcome.APPROVED, True, 1999)


async def test_authorize_by_merchant_code_refused_or_codeless_shows_nothing(
    route: AlipayChannel, stub: Stub
) -> None:
    stub.will(
        alipay(QR, **refusal("ACQ.TOTAL_FEE_EXCEED")),
        alipay(QR, **DONE, out_trade_no=REFERENCE),
        alipay(QR, **DONE, out_trade_no="another", qr_code="https://qr.alipay.com/evil"),
    )
    assert (await route.authorize(authorize())).reason is Reason.AMOUNT_TOO_LARGE
    assert (await route.authorize(authorize())).outcome is Outcome.UNRESOLVED
    foreign = await route.authorize(authorize())
    assert (foreign.outcome, foreign.action) == (Outcome.UNRESOLVED, None)


async def test_authorize_by_page_builds_a_signed_address_and_sends_nothing(
    route: AlipayChannel, stub: Stub
) -> None:
    answer = await route.authorize(authorize(method=Alipay(Presentment.PAGE)))
    assert answer.outcome is Outcome.ACTION_REQUIRED
    assert answer.action is not None
    assert answer.action.kind is ActionKind.REDIRECT
    assert answer.action.url is not None
    assert answer.action.url.startswith(f"{stub.url}/gateway.do?")
    params = dict(parse_qsl(urlsplit(answer.action.url).query, strict_parsing=True))
    assert params["method"] == "alipay.trade.page.pay"
    assert params["return_url"] == "https://shop.test/back?a=1&b=2"
    content = json.loads(params["biz_content"])
    assert (content["product_code"], content["total_amount"]) == ("FAST_INSTANT_TRADE_PAY", "19.99")
    check_signed(params)
    assert stub.requests == []


async def test_authorize_in_app_builds_a_signed_order_and_sends_nothing(
    route: AlipayChannel, stub: Stub
) -> None:
    answer = await route.authorize(authorize(method=Alipay(Presentment.IN_APP)))
    assert answer.action is not None
    assert answer.action.kind is ActionKind.INVOKE_APP
    params = dict(parse_qsl(answer.action.data["orderStr"], strict_parsing=True))
    assert params["method"] == "alipay.trade.app.pay"
    assert "return_url" not in params
    assert json.loads(params["biz_content"])["product_code"] == "QUICK_MSECURITY_PAY"
    check_signed(params)
    assert stub.requests == []


@pytest.mark.parametrize("description", ["豆浆", "🥟 émoji & café", 'quo"te\\', "a/b=c&d", "   ", "x" * 500])
async def test_authorize_with_any_description_is_signed_as_it_arrives(
    route: AlipayChannel, stub: Stub, description: str
) -> None:
    stub.will(alipay(QR, **DONE, out_trade_no=REFERENCE, qr_code="q"))
    answer = await route.authorize(authorize(description=description))
    assert answer.outcome is Outcome.ACTION_REQUIRED
    check_signed(stub.params())
    subject = stub.content()["subject"]
    assert 0 < len(subject) <= 128
    assert not set("/=&") & set(subject)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 0},
        {"amount_minor": -1},
        {"amount_minor": 10_000_000_001},
        {"currency": "USD"},
        {"capture": False},
        {"reference": "with-dash"},
        {"method": Alipay(Presentment.DIRECT)},
        {"method": Alipay(Presentment.PAYER_CODE)},
    ],
)
async def test_authorize_of_what_is_excluded_is_declined_and_never_sent(
    route: AlipayChannel, stub: Stub, changes: dict[str, Any]
) -> None:
    answer = await route.authorize(authorize(**changes))
    assert (answer.outcome, answer.reason) == (Outcome.DECLINED, Reason.REQUEST_INVALID)
    assert stub.requests == []


async def test_capture_and_increment_are_declined_and_never_sent(route: AlipayChannel, stub: Stub) -> None:
    for answer in (await route.capture(follow()), await route.increment(follow())):
        assert (answer.outcome, answer.reason) == (Outcome.DECLINED, Reason.REQUEST_INVALID)
    capture = await route.inquire(inquire(Operation.CAPTURE))
    assert capture.reason is Reason.REQUEST_INVALID
    assert stub.requests == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"trade_status": "WAIT_BUYER_PAY"}, (Outcome.PENDING, False, False, None)),
        ({"trade_status": "TRADE_SUCCESS"}, (Outcome.APPROVED, True, False, None)),
        ({"trade_status": "TRADE_SUCCESS", "refund_fee": "5.00"}, (Outcome.APPROVED, True, False, 500)),
        ({"trade_status": "TRADE_FINISHED"}, (Outcome.APPROVED, True, False, None)),
        ({"trade_status": "TRADE_CLOSED"}, (Outcome.DECLINED, False, True, None)),
        (
            {"trade_status": "TRADE_CLOSED", "send_pay_date": "2026-11-22 16:00:00"},
            (Outcome.APPROVED, True, True, 1999),
        ),
        ({"trade_status": "TRADE_DREAMED"}, (Outcome.UNRESOLVED, False, False, None)),
        ({}, (Outcome.UNRESOLVED, False, False, None)),
    ],
)
async def test_inquire_payment_tells_each_state(
    route: AlipayChannel,
    stub: Stub,
    fields: dict[str, str],
    expected: tuple[Outcome, bool, bool, int | None],
) -> None:
    stub.will(alipay(QUERY, **TRADE, **fields))
    answer = await route.inquire(inquire())
    assert (answer.outcome, answer.captured, answer.voided, answer.refunded_minor) == expected
    if answer.outcome is Outcome.DECLINED:
        assert answer.reason is Reason.EXPIRED
    if answer.outcome is Outcome.APPROVED:
        assert (answer.amount_minor, answer.currency) == (1999, "CNY")


@pytest.mark.parametrize(
    ("operation", "method"),
    [
        (Operation.AUTHORIZE, QUERY),
        (Operation.VOID, QUERY),
        (Operation.REFUND, REFUND_QUERY),
        (Operation.PAYOUT, TRANSFER_QUERY),
    ],
)
@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        (refusal("ACQ.TRADE_NOT_EXIST"), Outcome.NOT_FOUND),
        (refusal("ORDER_NOT_EXIST"), Outcome.NOT_FOUND),
        (refusal("ACQ.TRADE_NOT_EXIST", "20000"), Outcome.UNRESOLVED),
        (refusal("ACQ.INVALID_PARAMETER"), Outcome.UNRESOLVED),
        (refusal("isv.app-call-limited", "40005"), Outcome.UNRESOLVED),
        (refusal("ACQ.SYSTEM_ERROR"), Outcome.UNRESOLVED),
    ],
)
async def test_inquire_refused_never_declines_the_act(
    route: AlipayChannel,
    stub: Stub,
    operation: Operation,
    method: str,
    fields: dict[str, str],
    outcome: Outcome,
) -> None:
    stub.will(alipay(method, **fields))
    assert (await route.inquire(inquire(operation))).outcome is outcome


async def test_inquire_about_ours_answered_with_another_trade_is_unresolved(
    route: AlipayChannel, stub: Stub
) -> None:
    stub.will(alipay(QUERY, **{**TRADE, "out_trade_no": "pa_other", "trade_status": "TRADE_SUCCESS"}))
    answer = await route.inquire(inquire())
    assert (answer.outcome, answer.code) == (Outcome.UNRESOLVED, "reference_mismatch")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("TRADE_CLOSED", Outcome.APPROVED),
        ("WAIT_BUYER_PAY", Outcome.NOT_FOUND),
        ("TRADE_SUCCESS", Outcome.NOT_FOUND),
        ("TRADE_DREAMED", Outcome.UNRESOLVED),
    ],
)
async def test_inquire_void_goes_by_the_state_of_the_trade(
    route: AlipayChannel, stub: Stub, status: str, outcome: Outcome
) -> None:
    stub.will(alipay(QUERY, **TRADE, trade_status=status))
    answer = await route.inquire(inquire(Operation.VOID, "void_1"))
    assert (answer.outcome, answer.voided) == (outcome, outcome is Outcome.APPROVED)
    assert stub.content() == {"out_trade_no": REFERENCE}


async def test_void_unpaid_closes_the_trade(route: AlipayChannel, stub: Stub) -> None:
    stub.will(alipay(CLOSE, **DONE, out_trade_no=REFERENCE, trade_no="2026"))
    answer = await route.void(follow("void_1"))
    assert (answer.outcome, answer.voided) == (Outcome.APPROVED, True)
    assert stub.params()["method"] == CLOSE
    assert stub.content() == {"out_trade_no": REFERENCE}


@pytest.mark.parametrize("changes", [{"captured": True}, {"method": PAYER_CODE}])
async def test_void_of_what_may_be_paid_cancels_the_trade(
    route: AlipayChannel, stub: Stub, changes: dict[str, Any]
) -> None:
    stub.will(alipay(CANCEL, **DONE, out_trade_no=REFERENCE, retry_flag="N", action="refund"))
    answer = await route.void(follow("void_1", **changes))
    assert (answer.outcome, answer.voided) == (Outcome.APPROVED, True)


async def test_void_of_a_code_that_nobody_scanned_cancels_it(route: AlipayChannel, stub: Stub) -> None:
    stub.will(
        alipay(CLOSE, **refusal("ACQ.TRADE_NOT_EXIST")),
        alipay(CANCEL, **DONE, out_trade_no=REFERENCE, retry_flag="N", action="close"),
    )
    assert (await route.void(follow("void_1"))).voided


async def test_void_again_is_approved_and_of_a_paid_trade_declined(route: AlipayChannel, stub: Stub) -> None:
    stub.will(
        alipay(CLOSE, **refusal("ACQ.TRADE_STATUS_ERROR")),
        alipay(QUERY, **TRADE, trade_status="TRADE_CLOSED"),
        alipay(CLOSE, **refusal("ACQ.TRADE_STATUS_ERROR")),
        alipay(QUERY, **TRADE, trade_status="TRADE_SUCCESS"),
    )
    again = await route.void(follow("void_1"))
    assert (again.outcome, again.voided) == (Outcome.APPROVED, True)
    late = await route.void(follow("void_1"))
    assert (late.outcome, late.reason, late.voided) == (Outcome.DECLINED, Reason.STATE_INVALID, False)


async def test_void_that_alipay_wants_repeated_is_unresolved(route: AlipayChannel, stub: Stub) -> None:
    stub.will(alipay(CANCEL, **DONE, out_trade_no=REFERENCE, retry_flag="Y"))
    answer = await route.void(follow("void_1", captured=True))
    assert (answer.outcome, answer.voided) == (Outcome.UNRESOLVED, False)


async def test_refund_that_moved_money_is_approved(route: AlipayChannel, stub: Stub) -> None:
    back = {"fund_change": "Y", "refund_fee": "12.00", "gmt_refund_pay": "2026-11-22 16:40:00"}
    stub.will(alipay(GIVE_BACK, **DONE, out_trade_no=REFERENCE, trade_no="2026", **back))
    answer = await route.refund(follow(reason="凉了"))
    assert (answer.outcome, answer.amount_minor, answer.refunded_minor) == (Outcome.APPROVED, None, 1200)
    assert answer.occurred_at == utc(2026, 11, 22, 8, 40)
    assert stub.content() == {
        "out_trade_no": REFERENCE,
        "out_request_no": REFUND,
        "refund_amount": "5.00",
        "refund_reason": "凉了",
    }


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"refund_status": "REFUND_SUCCESS", "refund_amount": "5.00"}, (Outcome.APPROVED, 500)),
        ({}, (Outcome.UNRESOLVED, None)),
        ({"refund_status": "REFUND_DREAMED"}, (Outcome.UNRESOLVED, None)),
    ],
)
async def test_refund_that_moved_nothing_is_what_its_inquiry_tells(
    route: AlipayChannel, stub: Stub, found: dict[str, str], expected: tuple[Outcome, int | None]
) -> None:
    stub.will(
        alipay(GIVE_BACK, **DONE, out_trade_no=REFERENCE, fund_change="N", refund_fee="5.00"),
        alipay(REFUND_QUERY, **DONE, out_trade_no=REFERENCE, out_request_no=REFUND, **found),
    )
    answer = await route.refund(follow())
    assert (answer.outcome, answer.amount_minor) == expected


@pytest.mark.parametrize(
    ("sub_code", "outcome", "reason"),
    [
        ("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", Outcome.DECLINED, Reason.REFUND_TOO_LARGE),
        ("ACQ.DISCORDANT_REPEAT_REQUEST", Outcome.DECLINED, Reason.REFERENCE_CONFLICT),
        ("ACQ.SYSTEM_ERROR", Outcome.UNRESOLVED, None),
    ],
)
async def test_refund_refused_has_its_reason(
    route: AlipayChannel, stub: Stub, sub_code: str, outcome: Outcome, reason: Reason | None
) -> None:
    stub.will(alipay(GIVE_BACK, **refusal(sub_code)))
    answer = await route.refund(follow())
    assert (answer.outcome, answer.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            {"out_request_no": REFUND, "refund_status": "REFUND_SUCCESS", "refund_amount": "5.00"},
            (Outcome.APPROVED, 500, "CNY"),
        ),
        ({}, (Outcome.NOT_FOUND, None, None)),
        (
            {"out_request_no": "re_other", "refund_status": "REFUND_SUCCESS", "refund_amount": "5.00"},
            (Outcome.UNRESOLVED, None, None),
        ),
    ],
)
async def test_inquire_refund_tells_its_state(
    route: AlipayChannel,
    stub: Stub,
    found: dict[str, str],
    expected: tuple[Outcome, int | None, str | None],
) -> None:
    stub.will(alipay(REFUND_QUERY, **DONE, out_trade_no=REFERENCE, **found))
    answer = await route.inquire(inquire(Operation.REFUND, REFUND))
    assert (answer.outcome, answer.amount_minor, answer.currency) == expected
    assert stub.content()["out_request_no"] == REFUND


@pytest.mark.parametrize(
    ("destination", "kind"),
    [("2088123412341234", "ALIPAY_USER_ID"), ("074a1CcTG1LelxKe4xQC0zgNdId", "ALIPAY_OPEN_ID")],
)
async def test_payout_that_succeeds_is_approved(
    route: AlipayChannel, stub: Stub, destination: str, kind: str
) -> None:
    call = payout(destination_reference=destination)
    stub.will(alipay(TRANSFER, **DONE, out_biz_no=call.reference, order_id="2026", status="SUCCESS"))
    answer = await route.payout(call)
    assert (answer.outcome, answer.channel_reference) == (Outcome.APPROVED, "2026")
    content = stub.content()
    assert (content["trans_amount"], content["out_biz_no"]) == ("123.45", call.reference)
    assert content["payee_info"] == {"identity": destination, "identity_type": kind}


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"status": "DEALING"}, Outcome.PENDING),
        ({"status": "FAIL", "error_code": "PAYEE_NOT_EXIST"}, Outcome.DECLINED),
        ({"status": "REFUND"}, Outcome.DECLINED),
        ({"status": "SUCCESS", "trans_amount": "123.45"}, Outcome.APPROVED),
        ({"status": "DREAMED"}, Outcome.UNRESOLVED),
        ({}, Outcome.UNRESOLVED),
    ],
)
async def test_inquire_payout_tells_its_state(
    route: AlipayChannel, stub: Stub, fields: dict[str, str], outcome: Outcome
) -> None:
    call = payout()
    stub.will(alipay(TRANSFER_QUERY, **DONE, out_biz_no=call.reference, **fields))
    answer = await route.inquire(inquire(Operation.PAYOUT, call.reference))
    assert answer.outcome is outcome
    assert (answer.reason is not None) is (outcome is Outcome.DECLINED)
    assert answer.amount_minor == (12_345 if outcome is Outcome.APPROVED else None)


async def test_payout_refused_has_its_reason(route: AlipayChannel, stub: Stub) -> None:
    stub.will(alipay(TRANSFER, **refusal("PAYER_BALANCE_NOT_ENOUGH")))
    assert (await route.payout(payout())).reason is Reason.INSUFFICIENT_FUNDS
    assert (await route.payout(payout(amount_minor=0))).reason is Reason.REQUEST_INVALID


GOOD = json.dumps({**TRADE, "trade_status": "TRADE_SUCCESS"}, separators=(",", ":"))


def unsigned(method: str, rest: str) -> bytes:
    return f'{{"{method.replace(".", "_")}_response":{GOOD}{rest}}}'.encode()


@pytest.mark.parametrize(
    "answer",
    [
        lambda method: b"",
        lambda method: b"<html>busy</html>",
        lambda method: b"\xff\xfe",
        lambda method: b"[" * 50_000,
        lambda method: unsigned(method, ',"sign":' + "[" * 50_000),
        lambda method: unsigned(method, ""),
        lambda method: unsigned(method, ',"sign":""'),
        lambda method: unsigned(method, ',"sign":"QUJD"'),
        lambda method: unsigned(method, ',"sign":7'),
        lambda method: world.alipay_text(method, GOOD).replace("19.99", "19.98").encode(),
        lambda method: world.alipay_text(method, GOOD, world.STRANGER).encode(),
        lambda method: world.alipay_text(method, GOOD, world.MERCHANT).encode(),
        lambda method: world.alipay_text(CLOSE, GOOD).encode(),
        lambda method: world.alipay_text(method, '"text"').encode(),
        lambda method: world.alipay_text(method, '{"code":10000}').encode(),
        lambda method: world.alipay_text(method, "[" * 50_000 + "]" * 50_000).encode(),
    ],
)
@pytest.mark.parametrize("method", [QUERY, PAY])
async def test_answer_that_cannot_be_believed_is_unresolved(
    route: AlipayChannel, stub: Stub, answer: Callable[[str], bytes], method: str
) -> None:
    stub.will(world.raw(200, answer(method)))
    told = await ask(route, method)
    assert (told.outcome, told.captured, told.amount_minor) == (Outcome.UNRESOLVED, False, None)


@pytest.mark.parametrize("status", [201, 302, 400, 404, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("method", [QUERY, PAY])
async def test_answer_with_another_status_is_unresolved(
    route: AlipayChannel, stub: Stub, status: int, method: str
) -> None:
    stub.will(world.raw(status, world.alipay_text(method, GOOD).encode(), {"Location": "https://else.test"}))
    assert (await ask(route, method)).outcome is Outcome.UNRESOLVED


@pytest.mark.parametrize("method", [QUERY, PAY])
async def test_answer_cut_off_is_unresolved(route: AlipayChannel, stub: Stub, method: str) -> None:
    stub.will(world.cut)
    assert (await ask(route, method)).outcome is Outcome.UNRESOLVED


async def ask(route: AlipayChannel, method: str) -> Answer:
    if method == QUERY:
        return await route.inquire(inquire())
    return await route.authorize(authorize(method=PAYER_CODE))


@pytest.mark.parametrize(
    "text",
    [
        world.alipay_text(QUERY, GOOD),
        f'{{"sign":"{world.sign(world.PLATFORM, GOOD.encode())}","alipay_trade_query_response":{GOOD}}}',
        f'{{ "alipay_trade_query_response" :  {GOOD} , "alipay_cert_sn":"ab",'
        f'"sign":"{world.sign(world.PLATFORM, GOOD.encode())}"}}',
        world.alipay_text(QUERY, GOOD.replace(",", " ,\n\t")),
        world.alipay_text(QUERY, GOOD[:-1] + ',"body":"}{\\"sign\\":\\/\\u4e2d"}'),
    ],
    ids=["usual", "sign first", "spaced", "spaced inside", "braces in text"],
)
async def test_answer_signed_over_its_own_bytes_is_believed_however_it_is_written(
    route: AlipayChannel, stub: Stub, text: str
) -> None:
    stub.will(world.raw(200, text.encode()))
    assert (await route.inquire(inquire())).outcome is Outcome.APPROVED


async def test_answer_to_the_caller_as_error_response_declines_only_when_signed(
    route: AlipayChannel, stub: Stub
) -> None:
    content = json.dumps(refusal("isv.invalid-app-id", "40002"))
    stub.will(
        world.raw(200, world.alipay_text(PAY, content, member="error_response").encode()),
        world.raw(200, f'{{"error_response":{content}}}'.encode()),
    )
    signed = await route.authorize(authorize(method=PAYER_CODE))
    assert (signed.outcome, signed.reason) == (Outcome.DECLINED, Reason.CONFIGURATION_INVALID)
    unsigned = await route.authorize(authorize(method=PAYER_CODE))
    assert unsigned.outcome is Outcome.UNRESOLVED


async def test_call_without_a_connection_is_not_sent_but_an_inquiry_stays_unresolved(
    http: HttpClient,
) -> None:
    nobody = channel(http)
    assert (await nobody.authorize(authorize(method=PAYER_CODE))).outcome is Outcome.NOT_SENT
    assert (await nobody.refund(follow())).outcome is Outcome.NOT_SENT
    assert (await nobody.void(follow())).outcome is Outcome.NOT_SENT
    assert (await nobody.payout(payout())).outcome is Outcome.NOT_SENT
    assert (await nobody.inquire(inquire())).outcome is Outcome.UNRESOLVED


async def test_certificate_mode_names_both_certificates_under_the_signature(
    http: HttpClient, stub: Stub
) -> None:
    route = channel(http, stub.url, app_cert_sn="aa11", alipay_root_cert_sn="bb22_cc33")
    stub.will(alipay(TRANSFER, **DONE, out_biz_no=payout().reference, status="SUCCESS"))
    await route.payout(payout())
    params = stub.params()
    assert (params["app_cert_sn"], params["alipay_root_cert_sn"]) == ("aa11", "bb22_cc33")
    check_signed(params)


@pytest.mark.parametrize(
    "changes",
    [
        {"app_id": ""},
        {"seller_id": ""},
        {"gateway_url": "ftp://x"},
        {"gateway_url": "https://x/gateway.do?a=1"},
        {"app_private_key_pem": SecretStr("x")},
        {"alipay_public_key_pem": "x"},
    ],
)
def test_channel_with_settings_that_cannot_work_is_misconfigured(changes: dict[str, Any]) -> None:
    with pytest.raises(ChannelMisconfigured):
        AlipayChannel("alipay_main", settings(**changes), HttpClient(), FrozenClock(NOW), standard)


def test_repr_shows_no_key() -> None:
    secret = world.bare(world.private_pem(world.MERCHANT))
    configured = settings(app_private_key_pem=SecretStr(secret))
    route = AlipayChannel("alipay_main", configured, HttpClient(), FrozenClock(NOW), standard)
    for text in (repr(configured), str(configured), repr(route), str(route)):
        assert secret[30:60] not in text
    assert "2021001100000001" in repr(route)


async def test_capabilities_are_those_of_alipay(route: AlipayChannel) -> None:
    can = route.capabilities
    assert route.name == "alipay_main"
    assert (can.adapter, can.currencies, can.wire_unit) == ("alipay", frozenset({"CNY"}), transform.WIRE_UNIT)
    assert can.inquires_by_our_reference
    assert not can.manual_capture
    await route.close()


@given(st.integers(min_value=0, max_value=(1 << 63) - 1))
def test_transform_goes_round_exactly_and_always_with_two_decimals(amount_minor: int) -> None:
    text = transform.to_wire(amount_minor)
    assert transform.from_wire(text) == amount_minor
    whole, _, cents = text.partition(".")
    assert (int(whole), len(cents)) == (amount_minor // 100, 2)


@given(st.from_regex(r"\A[0-9]{1,12}(\.[0-9]{1,2})?\Z"))
def test_transform_reads_every_amount_of_the_wire(text: str) -> None:
    whole, _, cents = text.partition(".")
    assert transform.from_wire(text) == int(whole) * 100 + int(cents.ljust(2, "0") or 0)


@pytest.mark.parametrize("text", ["", "1.999", "1,00", " 1", "1e2", "NaN", "１", "0x1"])
def test_transform_of_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        transform.from_wire(text)


def test_transform_of_time_is_the_clock_of_shanghai() -> None:
    assert transform.to_wire_time(utc(2026, 12, 31, 16)) == "2027-01-01 00:00:00"
    naive = msgspec.convert("2027-01-01 00:00:00", type=type(NOW))
    assert transform.from_wire_time(naive) == utc(2026, 12, 31, 16)
