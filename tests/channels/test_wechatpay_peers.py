"""The published client ``wechatpayv3``, in an environment of its own, judges our signatures and we judge alike."""

import json
import re
from typing import Any

import pytest
from tests.channels import signed_world as world
from tests.channels.signed_world import serving
from tests.channels.test_wechatpay import (
    APP_ID,
    IN_APP,
    NOW,
    PAID,
    SECONDS,
    authorize,
    channel,
    told,
)
from tests.channels.test_wechatpay_notifications import raw

from tongbao.channels.adapters.wechatpay import wire
from tongbao.channels.errors import NotificationForged
from tongbao.channels.schema import NotificationKind
from tongbao.core.http import HttpClient

BODIES = ["", '{"description":"two cups"}', '{"description":"两杯豆浆 🥟","amount":{"total":1999}}']
PARTIES = {"mchid": "1900000109", "serial_no": "5157F09EFDC096DE"}


def peer(act: str, **values: Any) -> dict[str, Any]:
    keys = {
        "private_key": world.private_pem(world.MERCHANT),
        "public_key": world.public_pem(world.PLATFORM),
        "public_key_id": world.WECHAT_KEY_ID,
        "api_v3_key": world.API_V3_KEY,
    }
    return world.ask_peer("wechatpay", "wechatpay_client.py", act, **(keys | values))


def fields(header: str) -> dict[str, str]:
    assert header.startswith("WECHATPAY2-SHA256-RSA2048 ")
    return dict(re.findall(r'(\w+)="([^"]*)"', header))


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_authorization_equals_that_of_the_published_client(body: str, method: str) -> None:
    path = "/v3/pay/transactions/out-trade-no/pa_1?mchid=1900000109"
    asked = {"path": path, "method": method, "timestamp": SECONDS, "nonce": "N" * 32, "body": body}
    theirs = peer("authorization", **asked, **PARTIES)["header"]
    ours = wire.authorization(
        world.key(world.MERCHANT), PARTIES, NOW, "N" * 32, (method, path, body.encode())
    )
    assert fields(ours) == fields(theirs)
    assert fields(ours).keys() == {"mchid", "serial_no", "nonce_str", "timestamp", "signature"}


async def test_parameters_for_the_payers_client_are_signed_as_by_the_published_client() -> None:
    http = HttpClient()
    async with serving() as stub:
        stub.will(told(prepay_id="wx261530"))
        answer = await channel(http, stub.url).authorize(authorize(method=IN_APP))
    await http.close()
    assert answer.action is not None
    data = answer.action.data
    values = [APP_ID, data["timeStamp"], data["nonceStr"], data["package"]]
    assert peer("pay_sign", values=values) == {"sign": data["paySign"]}


GENUINE = json.dumps(PAID, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("headers", "body", "accepted"),
    [
        (world.wechat_headers(GENUINE, SECONDS), GENUINE, True),
        (world.wechat_headers(b"", SECONDS), b"", True),
        (world.wechat_headers(GENUINE, SECONDS), GENUINE.replace(b"1999", b"1998"), False),
        (world.wechat_headers(GENUINE, SECONDS, world.STRANGER), GENUINE, False),
        (world.wechat_headers(GENUINE, SECONDS) | {"Wechatpay-Nonce": "OTHER"}, GENUINE, False),
    ],
    ids=["genuine", "empty", "altered", "stranger", "other nonce"],
)
def test_answer_is_accepted_by_us_exactly_where_the_published_client_accepts_it(
    headers: dict[str, str], body: bytes, accepted: bool
) -> None:
    assert peer("verify", headers=headers, body=body.decode()) == {"ok": accepted}
    keys = {world.WECHAT_KEY_ID: world.key(world.PLATFORM).public_key()}
    lowered = {name.lower(): value for name, value in headers.items()}
    if accepted:
        wire.verify(keys, lowered, body, NOW)
    else:
        with pytest.raises(wire.Untrusted):
            wire.verify(keys, lowered, body, NOW)


def test_notification_is_opened_by_us_and_by_the_published_client_to_the_same_content() -> None:
    body = world.wechat_notification("TRANSACTION.SUCCESS", PAID)
    theirs = peer("callback", headers=world.wechat_headers(body, SECONDS), body=body.decode())["read"]
    ours = channel(HttpClient()).parse_notification(raw(body))
    assert ours.kind is NotificationKind.PAYMENT
    assert (ours.event_id, ours.reference) == (theirs["id"], theirs["resource"]["out_trade_no"])
    assert ours.answer.amount_minor == theirs["resource"]["amount"]["total"]


def altered(field: str, value: str) -> bytes:
    notice = json.loads(world.wechat_notification("TRANSACTION.SUCCESS", PAID))
    notice["resource"][field] = value
    return json.dumps(notice).encode()


@pytest.mark.parametrize(
    ("body", "owner"),
    [
        (altered("associated_data", "refund"), world.PLATFORM),
        (altered("nonce", "abcdefghijkm"), world.PLATFORM),
        (altered("ciphertext", "QUJD" * 10), world.PLATFORM),
        (world.wechat_notification("TRANSACTION.SUCCESS", PAID, secret="f" * 32), world.PLATFORM),
        (world.wechat_notification("TRANSACTION.SUCCESS", PAID), world.STRANGER),
    ],
    ids=["associated data", "nonce", "ciphertext", "other key", "stranger"],
)
def test_notification_that_the_published_client_refuses_is_refused_by_us(body: bytes, owner: str) -> None:
    headers = world.wechat_headers(body, SECONDS, owner)
    assert peer("callback", headers=headers, body=body.decode()) == {"read": None}
    with pytest.raises(NotificationForged):
        channel(HttpClient()).parse_notification(raw(body, headers))
