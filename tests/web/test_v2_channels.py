"""Channels under ``/v2``: every kind of notification, what is shown of channels, and switching them."""

from collections.abc import AsyncIterator

import pytest
from tests.parties.conftest import PASSWORD
from tests.web.v2_house import V2, open_v2

from tongbao.channels.errors import NotificationMalformed
from tongbao.channels.schema import (
    Action,
    ActionKind,
    Answer,
    Notification,
    NotificationKind,
    Outcome,
    RawNotification,
)
from tongbao.core.db import Database
from tongbao.core.errors import OutcomeUnknown, Unavailable
from tongbao.core.ids import IdFactory
from tongbao.parties.schema import OperatorRole
from tongbao.web.api.channels import NOTIFICATION_BYTES_MAX

PATH = "/v2/channels/one/notifications"
WAITING = Answer(
    outcome=Outcome.ACTION_REQUIRED, action=Action(kind=ActionKind.SHOW_QR, qr_text="wallet://pay")
)


@pytest.fixture
async def v2(database: Database, ids: IdFactory) -> AsyncIterator[V2]:
    async with open_v2(database, ids) as opened:
        yield opened


def notification(kind: NotificationKind, reference: str, answer: Answer, **fields: object) -> Notification:
    values: dict[str, object] = {"kind": kind, "event_id": "ev", "reference": reference, "answer": answer}
    return Notification(**(values | fields))  # type: ignore[arg-type]  # fields are named by the test


async def test_notification_of_a_payment_settles_it_and_is_acknowledged_verbatim(v2: V2) -> None:
    tenant = await v2.tenant()
    v2.channel().reply("authorize", WAITING)
    view = await v2.pay(tenant)
    assert view.attempt is not None
    paid = Answer(outcome=Outcome.APPROVED, amount_minor=1999, currency="CNY", captured=True)
    v2.channel().notification = notification(NotificationKind.PAYMENT, view.attempt.reference, paid)
    for _ in range(2):  # a repeat changes nothing twice
        answer = await v2.http.post(PATH, content=b"<xml/>", headers={"Content-Type": "text/xml"})
        assert (answer.status_code, answer.content) == (200, b"ok")
        assert answer.headers["Content-Type"].startswith("text/plain")
    story = await v2.get(tenant, f"/v2/payments/{view.intent.reference}/story")
    assert story["payment_intent"]["status"] == "succeeded"
    assert [row["code"] for row in story["transfers"]] == ["payment.charged"]
    assert v2.count("channel_notifications", channel="one", end="accepted") == 2


async def test_notifications_of_refund_and_dispute_reach_their_payment(v2: V2) -> None:
    tenant = await v2.tenant()
    view = await v2.pay(tenant)
    assert view.attempt is not None
    v2.channel().reply("refund", Answer(outcome=Outcome.PENDING))
    done = await v2.house.payments.refunds.create(tenant.scope, intent_id=view.intent.id, amount_minor=500)
    assert done.view is not None
    back = Answer(outcome=Outcome.APPROVED, amount_minor=500, currency="CNY")
    v2.channel().notification = notification(NotificationKind.REFUND, done.view.refund.reference, back)
    assert (await v2.http.get(PATH, params={"sign": "x"})).status_code == 200
    await v2.dispute(view.attempt)
    story = await v2.get(tenant, f"/v2/payments/{view.intent.reference}/story")
    assert [refund["status"] for refund in story["refunds"]] == ["succeeded"]
    assert [dispute["status"] for dispute in story["disputes"]] == ["needs_response"]


@pytest.mark.parametrize("reference", ["pa_00000000000000000000000000", "pi_x", "", "\0", "pa_\ud800"])
async def test_notification_about_nothing_we_know_is_acknowledged(v2: V2, reference: str) -> None:
    answer = Answer(outcome=Outcome.APPROVED)
    v2.channel().notification = notification(NotificationKind.PAYMENT, reference, answer)
    assert (await v2.http.post(PATH, content=b"")).status_code == 200


async def test_notification_that_means_nothing_is_acknowledged(v2: V2) -> None:
    answer = Answer(outcome=Outcome.APPROVED)
    v2.channel().notification = notification(NotificationKind.IGNORED, "x", answer)
    assert (await v2.http.post(PATH, content=b"\xff\x00")).content == b"ok"


async def test_notification_over_another_channel_than_the_payments_changes_nothing(v2: V2) -> None:
    tenant = await v2.tenant()
    v2.channel().reply("authorize", WAITING)
    view = await v2.pay(tenant)
    assert view.attempt is not None
    paid = Answer(outcome=Outcome.APPROVED, amount_minor=1999, currency="CNY", captured=True)
    v2.channel("two").notification = notification(NotificationKind.PAYMENT, view.attempt.reference, paid)
    assert (await v2.http.post("/v2/channels/two/notifications")).status_code == 200
    found = await v2.house.payments.intents.get(tenant.scope, view.intent.id)
    assert found.intent.state == "requires_action"


async def test_forged_notification_is_refused_and_counted(v2: V2) -> None:
    answer = await v2.http.post(PATH, content=b"{}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "notification_forged")
    assert "sent none" not in answer.text
    assert v2.count("channel_notifications", channel="one", end="forged") == 1


@pytest.mark.parametrize(
    ("error", "status", "end"),
    [
        (NotificationMalformed("one", "no amount"), 400, "malformed"),
        (Unavailable("database_busy", "later"), 503, "failed"),
        (OutcomeUnknown("database_lost", "gone"), 503, "failed"),
        (RuntimeError("secret of the house"), 503, "failed"),
    ],
)
async def test_notification_that_is_not_taken_in_is_told_why(
    v2: V2, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, end: str
) -> None:
    def fails(_raw: RawNotification) -> Notification:
        raise error

    monkeypatch.setattr(v2.channel(), "parse_notification", fails)
    answer = await v2.http.post(PATH, content=b"{}")
    assert answer.status_code == status
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert "secret" not in answer.text
    assert answer.headers["Request-Id"].startswith("req_")
    assert v2.count("channel_notifications", channel="one", end=end) == 1


async def test_notification_for_an_unknown_channel_is_not_found(v2: V2) -> None:
    for name in ("three", "%00", "..", "a" * 65):
        answer = await v2.http.post(f"/v2/channels/{name}/notifications", content=b"{}")
        assert answer.status_code in {400, 404}, name
    assert v2.count("channel_notifications", channel="unknown", end="unknown_channel") == 2


async def test_notification_comes_as_it_was_sent(v2: V2, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[RawNotification] = []

    def parsed(raw: RawNotification) -> Notification:
        seen.append(raw)
        return notification(NotificationKind.IGNORED, "x", Answer(outcome=Outcome.APPROVED))

    monkeypatch.setattr(v2.channel(), "parse_notification", parsed)
    body = bytes(range(256)) * 1_024
    assert len(body) == NOTIFICATION_BYTES_MAX
    headers = {"Wechatpay-Signature": "a+/=", "X-UPPER": "v"}
    answer = await v2.http.post(f"{PATH}?b=2&a=%E4%B8%AD&a=1", content=body, headers=headers)
    assert answer.status_code == 200
    (raw,) = seen
    assert (raw.method, raw.path, raw.query, raw.body) == ("POST", PATH, "b=2&a=%E4%B8%AD&a=1", body)
    assert raw.headers["wechatpay-signature"] == "a+/="
    assert raw.headers["x-upper"] == "v"
    assert raw.received_at == v2.house.clock.now()
    too_long = await v2.http.post(PATH, content=body + b"x")
    assert (too_long.status_code, too_long.json()["error"]["code"]) == (413, "body_too_large")
    assert len(seen) == 1


async def test_channels_are_shown_with_what_they_can_do(v2: V2) -> None:
    tenant = await v2.tenant()
    shown = (await v2.get(tenant, "/v2/channels"))["data"]
    assert [each["name"] for each in shown] == ["one", "two", "wallet"]
    one = shown[0]
    assert (one["adapter"], one["enabled"]) == ("scripted", True)
    assert one["currencies"] == ["CNY", "JPY", "KWD", "USD"]
    assert one["methods"] == ["alipay", "card", "wechat_pay"]
    assert (one["partial_refund"], one["payout"], one["amount_minor_max"]) == (True, False, None)


async def test_switch_by_an_operator_counts_from_the_next_payment_on(v2: V2) -> None:
    tenant = await v2.tenant()
    async with v2.client() as browser:
        csrf = await v2.signed_in(await v2.people.staff(OperatorRole.OPERATOR_L2, PASSWORD), browser)
        assert "channels.write" in (await browser.get("/v2/session")).json()["house_permissions"]
        for enabled, channel in ((False, "two"), (False, "two"), (True, "one")):
            answer = await browser.post("/v2/channels/one/switch", json={"enabled": enabled}, headers=csrf)
            assert (answer.status_code, answer.json()["enabled"]) == (200, enabled)
            view = await v2.pay(tenant)
            assert view.attempt is not None
            assert view.attempt.channel == channel
        for body in ({}, {"enabled": "no"}, {"enabled": 1}, {"enabled": True, "x": 1}):
            answer = await browser.post("/v2/channels/one/switch", json=body, headers=csrf)
            assert answer.status_code == 400
        answer = await browser.post("/v2/channels/x/switch", json={"enabled": True}, headers=csrf)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "channel_unknown")
