"""Alipay's notifications: believed only when signed by Alipay, for us, not long ago."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from pydantic import SecretStr
from tests.channels import signed_world as world
from tests.conftest import utc

from tongbao.channels.adapters.alipay.channel import AlipayChannel
from tongbao.channels.adapters.alipay.settings import AlipaySettings
from tongbao.channels.errors import NotificationForged, NotificationMalformed
from tongbao.channels.policy.reasons import standard
from tongbao.channels.schema import NotificationKind, Outcome, RawNotification, Reason
from tongbao.core.clock import FrozenClock
from tongbao.core.http import HttpClient

NOW = utc(2026, 11, 22, 8, 30)
PAID = {
    "notify_type": "trade_status_sync",
    "notify_id": "ac05099524730693a8b330c5ecf72da9786",
    "notify_time": "2026-11-22 16:29:58",
    "charset": "utf-8",
    "version": "1.0",
    "app_id": "2021001100000001",
    "auth_app_id": "2021001100000001",
    "seller_id": "2088000000000001",
    "out_trade_no": "pa_1",
    "trade_no": "2026112222001",
    "trade_status": "TRADE_SUCCESS",
    "total_amount": "19.99",
    "subject": "两杯豆浆 + 油条 & a=b%20 🥟",
    "gmt_payment": "2026-11-22 16:29:57",
    "fund_bill_list": '[{"amount":"19.99","fundChannel":"ALIPAYACCOUNT"}]',
}


@pytest.fixture
def route() -> AlipayChannel:
    settings = AlipaySettings(
        app_id="2021001100000001",
        seller_id="2088000000000001",
        app_private_key_pem=SecretStr(world.private_pem(world.MERCHANT)),
        alipay_public_key_pem=world.public_pem(world.PLATFORM),
    )
    return AlipayChannel("alipay_main", settings, HttpClient(), FrozenClock(NOW), standard)


def raw(body: bytes, **changes: Any) -> RawNotification:
    values: dict[str, Any] = {
        "method": "POST",
        "path": "/webhooks/channels/alipay_main",
        "headers": {"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
        "query": "",
        "body": body,
        "received_at": NOW,
    }
    return RawNotification(**(values | changes))


def told(**changes: str) -> RawNotification:
    return raw(world.alipay_notification({**PAID, **changes}))


def test_parse_notification_of_a_payment_tells_it(route: AlipayChannel) -> None:
    notification = route.parse_notification(told())
    assert notification.kind is NotificationKind.PAYMENT
    assert notification.event_id == "ac05099524730693a8b330c5ecf72da9786"
    assert (notification.reference, notification.authorization_reference) == ("pa_1", "pa_1")
    answer = notification.answer
    assert (answer.outcome, answer.captured) == (Outcome.APPROVED, True)
    assert (answer.amount_minor, answer.currency) == (1999, "CNY")
    assert answer.channel_reference == "2026112222001"
    assert answer.occurred_at == utc(2026, 11, 22, 8, 29) + timedelta(seconds=57)


def test_parse_notification_again_has_the_same_event_id(route: AlipayChannel) -> None:
    later = told(notify_time="2026-11-22 16:29:59")
    assert route.parse_notification(told()).event_id == route.parse_notification(later).event_id


@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        ({"trade_status": "WAIT_BUYER_PAY"}, Outcome.PENDING, None),
        ({"trade_status": "TRADE_FINISHED"}, Outcome.APPROVED, None),
        ({"trade_status": "TRADE_DREAMED"}, Outcome.UNRESOLVED, None),
    ],
)
def test_parse_notification_tells_each_state(
    route: AlipayChannel, changes: dict[str, str], outcome: Outcome, reason: Reason | None
) -> None:
    answer = route.parse_notification(told(**changes)).answer
    assert (answer.outcome, answer.reason) == (outcome, reason)


def test_parse_notification_of_a_trade_closed_unpaid_is_expired(route: AlipayChannel) -> None:
    fields = {name: value for name, value in PAID.items() if name != "gmt_payment"}
    body = world.alipay_notification({**fields, "trade_status": "TRADE_CLOSED"})
    answer = route.parse_notification(raw(body)).answer
    assert (answer.outcome, answer.reason, answer.voided) == (Outcome.DECLINED, Reason.EXPIRED, True)


def test_parse_notification_of_our_refund_names_it(route: AlipayChannel) -> None:
    refund = {"out_biz_no": "re_1", "refund_fee": "5.00", "gmt_refund": "2026-11-22 16:29:57.320"}
    notification = route.parse_notification(told(**refund))
    assert notification.kind is NotificationKind.REFUND
    assert (notification.reference, notification.authorization_reference) == ("re_1", "pa_1")
    answer = notification.answer
    assert (answer.outcome, answer.amount_minor, answer.refunded_minor) == (Outcome.APPROVED, None, 500)


def test_parse_notification_of_a_canceled_trade_tells_that_all_went_back(route: AlipayChannel) -> None:
    notification = route.parse_notification(
        told(trade_status="TRADE_CLOSED", refund_fee="19.99", gmt_refund="2026-11-22 16:29:57.320")
    )
    assert notification.kind is NotificationKind.PAYMENT
    assert (notification.answer.voided, notification.answer.refunded_minor) == (True, 1999)


@pytest.mark.parametrize(
    "fields",
    [
        {**PAID, "notify_type": "fund_auth_freeze"},
        {**PAID, "msg_method": "alipay.merchant.tradecomplain.changed"},
        {
            "notify_id": "n1",
            "app_id": "2021001100000001",
            "msg_method": "alipay.fund.trans.order.changed",
            "utc_timestamp": str(int(NOW.timestamp() * 1000)),
            "biz_content": '{"status":"SUCCESS"}',
        },
    ],
)
def test_parse_notification_of_something_else_is_ignored(
    route: AlipayChannel, fields: dict[str, str]
) -> None:
    notification = route.parse_notification(raw(world.alipay_notification(fields)))
    assert notification.kind is NotificationKind.IGNORED
    assert notification.event_id == fields["notify_id"]


def resigned(**changes: str) -> bytes:
    """A genuine notification with fields altered after it was signed."""
    return urlencode({**dict(parse_qsl(world.alipay_notification(PAID).decode())), **changes}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"&&&",
        b"x",
        b"\xff\xfe=1",
        b"a=%FF",
        b'{"json":true}',
        urlencode(PAID).encode(),
        resigned(total_amount="0.01"),
        resigned(out_trade_no="pa_2"),
        resigned(trade_status="TRADE_FINISHED"),
        resigned(more="1"),
        resigned(sign_type="RSA"),
        resigned(sign_type=""),
        resigned(sign=""),
        resigned(sign="QUJD"),
        world.alipay_notification(PAID) + b"&total_amount=0.01",
        world.alipay_notification(PAID) + b"&sign_type=RSA2",
        world.alipay_notification(PAID, world.STRANGER),
        world.alipay_notification(PAID, world.MERCHANT),
        b"&".join(b"a%d=1" % number for number in range(300)),
    ],
)
def test_parse_notification_that_alipay_did_not_sign_is_forged(route: AlipayChannel, body: bytes) -> None:
    with pytest.raises(NotificationForged) as caught:
        route.parse_notification(raw(body))
    assert "19.99" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"app_id": "2021009999999999"}, "another application"),
        ({"seller_id": "2088999999999999"}, "another seller"),
        ({"notify_time": "2026-11-21 14:29:59"}, "too old"),
        ({"notify_time": "2016-11-21 14:29:59"}, "too old"),
    ],
)
def test_parse_notification_for_somebody_else_or_of_long_ago_is_forged(
    route: AlipayChannel, changes: dict[str, str], why: str
) -> None:
    with pytest.raises(NotificationForged, match=why):
        route.parse_notification(told(**changes))


@pytest.mark.parametrize("missing", ["seller_id", "notify_time"])
def test_parse_notification_without_proof_of_its_place_or_time_is_forged(
    route: AlipayChannel, missing: str
) -> None:
    fields = {name: value for name, value in PAID.items() if name != missing}
    with pytest.raises(NotificationForged):
        route.parse_notification(raw(world.alipay_notification(fields)))


@pytest.mark.parametrize("age", [timedelta(hours=25), timedelta(minutes=-10)])
def test_parse_notification_repeated_for_a_day_or_ahead_of_our_clock_is_believed(
    route: AlipayChannel, age: timedelta
) -> None:
    late = raw(world.alipay_notification(PAID), received_at=NOW + age)
    assert route.parse_notification(late).kind is NotificationKind.PAYMENT


def test_parse_notification_ignores_empty_fields_that_anybody_may_add(route: AlipayChannel) -> None:
    body = world.alipay_notification(PAID) + b"&out_biz_no=&gmt_refund="
    assert route.parse_notification(raw(body)).kind is NotificationKind.PAYMENT


@pytest.mark.parametrize("missing", ["notify_id", "app_id", "out_trade_no"])
def test_parse_notification_signed_and_incomplete_is_malformed(route: AlipayChannel, missing: str) -> None:
    fields = {name: value for name, value in PAID.items() if name != missing}
    with pytest.raises(NotificationMalformed):
        route.parse_notification(raw(world.alipay_notification(fields)))


@pytest.mark.parametrize(
    "changes",
    [{"total_amount": "1e3"}, {"total_amount": "-1.00"}, {"gmt_payment": "soon"}, {"trans_currency": "USD"}],
)
def test_parse_notification_signed_and_senseless_is_malformed(
    route: AlipayChannel, changes: dict[str, str]
) -> None:
    with pytest.raises(NotificationMalformed):
        route.parse_notification(told(**changes))


def test_acknowledge_says_success_or_fail(route: AlipayChannel) -> None:
    yes, no = route.acknowledge(accepted=True), route.acknowledge(accepted=False)
    assert (yes.status, yes.body, no.status, no.body) == (200, b"success", 200, b"fail")
