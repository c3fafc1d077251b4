"""WeChat Pay's notifications: believed only when signed by WeChat Pay just now, sealed for us, about our merchant."""

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.channels import signed_world as world
from tests.channels.test_wechatpay import MCH_ID, NOW, PAID, SECONDS, channel

from tongbao.channels.adapters.wechatpay.channel import WechatPayChannel
from tongbao.channels.errors import NotificationForged, NotificationMalformed
from tongbao.channels.schema import NotificationKind, Outcome, RawNotification
from tongbao.core.http import HttpClient

RETURNED = {
    "mchid": MCH_ID,
    "out_trade_no": "pa_1",
    "transaction_id": "4200001",
    "out_refund_no": "re_1",
    "refund_id": "50300001",
    "refund_status": "SUCCESS",
    "success_time": "2026-11-22T16:29:00+08:00",
    "user_received_account": "招商银行信用卡0403",
    "amount": {"total": 1999, "refund": 500, "payer_total": 1999, "payer_refund": 500},
}


@pytest.fixture
def route() -> WechatPayChannel:
    return channel(HttpClient())


def raw(body: bytes, headers: dict[str, str] | None = None, **changes: Any) -> RawNotification:
    signed = world.wechat_headers(body, SECONDS) if headers is None else headers
    values: dict[str, Any] = {
        "method": "POST",
        "path": "/webhooks/channels/wechat_main",
        "headers": {name.lower(): value for name, value in signed.items()},
        "query": "",
        "body": body,
        "received_at": NOW,
    }
    return RawNotification(**(values | changes))


def paid(**changes: Any) -> bytes:
    return world.wechat_notification("TRANSACTION.SUCCESS", {**PAID, **changes})


def test_parse_notification_of_a_payment_tells_it(route: WechatPayChannel) -> None:
    notification = route.parse_notification(raw(paid()))
    assert (notification.kind, notification.event_id) == (NotificationKind.PAYMENT, "EV-1")
    assert notification.reference == notification.authorization_reference == PAID["out_trade_no"]
    answer = notification.answer
    assert (answer.outcome, answer.captured, answer.amount_minor) == (Outcome.APPROVED, True, 1999)
    assert (answer.currency, answer.channel_reference) == ("CNY", "4200001")
    assert answer.occurred_at == NOW + timedelta(seconds=2)


def test_parse_notification_repeated_under_a_new_signature_has_the_same_event_id(
    route: WechatPayChannel,
) -> None:
    body = paid()
    later = raw(body, world.wechat_headers(body, SECONDS + 60), received_at=NOW + timedelta(seconds=61))
    assert route.parse_notification(raw(body)).event_id == route.parse_notification(later).event_id


@pytest.mark.parametrize(
    ("event_type", "status", "outcome"),
    [
        ("REFUND.SUCCESS", "SUCCESS", Outcome.APPROVED),
        ("REFUND.ABNORMAL", "ABNORMAL", Outcome.PENDING),
        ("REFUND.CLOSED", "CLOSED", Outcome.DECLINED),
    ],
)
def test_parse_notification_of_a_refund_tells_it(
    route: WechatPayChannel, event_type: str, status: str, outcome: Outcome
) -> None:
    body = world.wechat_notification(event_type, {**RETURNED, "refund_status": status})
    notification = route.parse_notification(raw(body))
    assert notification.kind is NotificationKind.REFUND
    assert (notification.reference, notification.authorization_reference) == ("re_1", "pa_1")
    answer = notification.answer
    assert (answer.outcome, answer.amount_minor, answer.currency) == (outcome, 500, None)


@pytest.mark.parametrize(
    ("event_type", "resource"),
    [
        ("MCHTRANSFER.BILL.FINISHED", {"out_bill_no": "po1", "state": "SUCCESS", "mch_id": MCH_ID}),
        ("COMPLAINT.CREATE", {"complaint_id": "20022"}),
    ],
)
def test_parse_notification_of_something_else_is_ignored(
    route: WechatPayChannel, event_type: str, resource: dict[str, str]
) -> None:
    notification = route.parse_notification(raw(world.wechat_notification(event_type, resource)))
    assert (notification.kind, notification.answer.code) == (NotificationKind.IGNORED, event_type)


BODY = paid()


def headers(**changes: str) -> dict[str, str]:
    made = {
        **world.wechat_headers(BODY, SECONDS),
        **{name.replace("_", "-"): v for name, v in changes.items()},
    }
    return {name: value for name, value in made.items() if value}


@pytest.mark.parametrize(
    "forged",
    [
        raw(BODY, {}),
        raw(BODY, headers(Wechatpay_Signature="")),
        raw(BODY, headers(Wechatpay_Signature="QUJD")),
        raw(BODY, headers(Wechatpay_Timestamp="")),
        raw(BODY, headers(Wechatpay_Timestamp="now")),
        raw(BODY, headers(Wechatpay_Timestamp="-1")),
        raw(BODY, headers(Wechatpay_Timestamp="１７９５３３６２００")),
        raw(BODY, headers(Wechatpay_Timestamp="9" * 30)),
        raw(BODY, headers(Wechatpay_Timestamp=str(SECONDS - 1))),
        raw(BODY, headers(Wechatpay_Nonce="OTHER")),
        raw(BODY, headers(Wechatpay_Serial="")),
        raw(BODY, headers(Wechatpay_Serial="NOBODY")),
        raw(BODY, world.wechat_headers(BODY, SECONDS, world.STRANGER)),
        raw(BODY, world.wechat_headers(BODY, SECONDS, world.MERCHANT)),
        raw(BODY + b" ", headers()),
        raw(BODY.replace(b"EV-1", b"EV-2"), headers()),
        raw(b"", {}),
    ],
)
def test_parse_notification_that_wechat_did_not_sign_is_forged(
    route: WechatPayChannel, forged: RawNotification
) -> None:
    with pytest.raises(NotificationForged):
        route.parse_notification(forged)


@pytest.mark.parametrize(("age_s", "believed"), [(-3600, True), (0, True), (300, True), (301, False)])
def test_parse_notification_is_believed_for_five_minutes(
    route: WechatPayChannel, age_s: int, believed: bool
) -> None:
    notification = raw(BODY, received_at=NOW + timedelta(seconds=age_s))
    if believed:
        assert route.parse_notification(notification).event_id == "EV-1"
    else:
        with pytest.raises(NotificationForged, match="too long ago"):
            route.parse_notification(notification)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (paid(mchid="1900000110"), "another merchant"),
        (paid(appid="wx0000000000000000"), "another application"),
        (
            world.wechat_notification("TRANSACTION.SUCCESS", PAID, secret="f" * 32),
            "broken seal",
        ),
    ],
)
def test_parse_notification_for_somebody_else_is_forged(
    route: WechatPayChannel, body: bytes, why: str
) -> None:
    with pytest.raises(NotificationForged, match=why):
        route.parse_notification(raw(body))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("associated_data", "refund"),
        ("nonce", "abcdefghijkm"),
        ("nonce", ""),
        ("ciphertext", "QUJD"),
        ("ciphertext", "no base64"),
        ("algorithm", "AEAD_SM4_GCM"),
    ],
)
def test_parse_notification_with_an_altered_seal_is_forged(
    route: WechatPayChannel, field: str, value: str
) -> None:
    notice = json.loads(BODY)
    notice["resource"][field] = value
    with pytest.raises(NotificationForged):
        route.parse_notification(raw(json.dumps(notice).encode()))


def without(field: str) -> bytes:
    return world.wechat_notification(
        "TRANSACTION.SUCCESS", {name: value for name, value in PAID.items() if name != field}
    )


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"\xff",
        b"<xml/>",
        b'{"id":' * 50_000,
        world.wechat_notification("TRANSACTION.SUCCESS", PAID, event_id=""),
        world.wechat_notification("REFUND.SUCCESS", PAID),
        without("out_trade_no"),
        without("mchid"),
        paid(amount={"total": -1}),
        paid(amount=1999),
    ],
)
def test_parse_notification_signed_and_senseless_is_malformed(route: WechatPayChannel, body: bytes) -> None:
    with pytest.raises(NotificationMalformed):
        route.parse_notification(raw(body))


def test_acknowledge_says_nothing_or_fail(route: WechatPayChannel) -> None:
    yes, no = route.acknowledge(accepted=True), route.acknowledge(accepted=False)
    assert (yes.status, yes.body) == (204, b"")
    assert (no.status, json.loads(no.body)["code"]) == (500, "FAIL")
