"""Two published clients of Alipay, each in an environment of its own, judge our signatures and we judge theirs."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import PrivateFormat
from tests.channels import signed_world as world
from tests.channels.test_alipay import NOW, QUERY, authorize, channel
from tests.channels.test_alipay_notifications import PAID, raw

from tongbao.channels.adapters.alipay import wire
from tongbao.channels.errors import NotificationForged
from tongbao.channels.schema import Alipay, NotificationKind, Presentment
from tongbao.core.http import HttpClient

SUBJECTS = ["two cups", "两杯豆浆 🥟", 'a "quoted" + plus % & = / \\ text']
ORDER = {"out_trade_no": "pa_1", "total_amount": "19.99", "product_code": "FAST_INSTANT_TRADE_PAY"}
URLS = {"notify_url": "https://shop.test/n?x=1", "return_url": "https://shop.test/b?a=1&b=2"}


def independent(act: str, **values: Any) -> dict[str, Any]:
    """Ask python-alipay-sdk."""
    keys = {
        "private_key": world.private_pem(world.MERCHANT),
        "public_key": world.public_pem(world.PLATFORM),
    }
    return world.ask_peer("alipay", "alipay_client.py", act, **(keys | values))


def official(act: str, **values: Any) -> dict[str, Any]:
    """Ask alipay-sdk-python, which takes keys without their armor."""
    keys = {
        "private_key": world.bare(world.private_pem(world.MERCHANT, PrivateFormat.TraditionalOpenSSL)),
        "public_key": world.bare(world.public_pem(world.PLATFORM)),
    }
    return world.ask_peer("alipay-official", "alipay_official_client.py", act, **(keys | values))


def resigned(params: dict[str, str]) -> dict[str, str]:
    """The same parameters, signed by us."""
    unsigned = {name: value for name, value in params.items() if name != "sign"}
    return wire.signed(unsigned, world.key(world.MERCHANT))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_signature_of_a_request_equals_that_of_the_independent_client(subject: str) -> None:
    theirs = independent(
        "sign_request",
        method="alipay.trade.precreate",
        biz_content={**ORDER, "subject": subject},
        more={"timestamp": "2026-11-22 16:30:00", "notify_url": URLS["notify_url"]},
    )["params"]
    assert resigned(theirs) == theirs


@pytest.mark.parametrize("act", ["page", "app"])
@pytest.mark.parametrize("subject", SUBJECTS)
def test_signature_of_a_page_and_an_order_equals_that_of_the_official_client(act: str, subject: str) -> None:
    theirs = official(act, biz_content={**ORDER, "subject": subject}, **URLS)["params"]
    assert resigned(theirs) == theirs
    assert json.loads(theirs["biz_content"])["subject"] == subject


async def built(presentment: Presentment, description: str) -> dict[str, str]:
    """The parameters that we let the payer's device carry."""
    call = authorize(method=Alipay(presentment), description=description)
    answer = await channel(HttpClient(), "https://gateway.test").authorize(call)
    assert answer.action is not None
    if presentment is Presentment.PAGE:
        assert answer.action.url is not None
        return dict(parse_qsl(urlsplit(answer.action.url).query))
    return dict(parse_qsl(answer.action.data["orderStr"]))


@pytest.mark.parametrize("presentment", [Presentment.PAGE, Presentment.IN_APP])
@pytest.mark.parametrize("subject", SUBJECTS)
async def test_request_that_we_sign_is_accepted_by_both_clients_and_refused_when_altered(
    presentment: Presentment, subject: str
) -> None:
    params = await built(presentment, subject)
    altered = {**params, "biz_content": params["biz_content"].replace("19.99", "0.01")}
    for ask, public in ((independent, world.public_pem), (official, public_bare)):
        key = public(world.MERCHANT)
        assert ask("verify_request", params=params, public_key=key) == {"ok": True}
        assert ask("verify_request", params=altered, public_key=key)["ok"] is False


def public_bare(owner: str) -> str:
    return world.bare(world.public_pem(owner))


async def test_page_carries_the_same_parameters_as_that_of_the_official_client() -> None:
    ours = await built(Presentment.PAGE, "two cups")
    theirs = official("page", biz_content=ORDER, **URLS)["params"]
    assert ours.keys() == theirs.keys()
    fixed = ("format", "charset", "sign_type", "version", "method")
    assert [ours[name].lower() for name in fixed] == [theirs[name].lower() for name in fixed]
    assert len(ours["timestamp"]) == len(theirs["timestamp"])


def answer(content: str, owner: str = world.PLATFORM) -> str:
    return world.alipay_text(QUERY, content, owner)


CONTENT = json.dumps(
    {
        "code": "10000",
        "msg": "Success",
        "out_trade_no": "pa_1",
        "trade_status": "TRADE_SUCCESS",
        "total_amount": "19.99",
        "subject": "豆浆",
        "fund_bill_list": [{"amount": "19.99", "fund_channel": "ALIPAYACCOUNT"}],
    },
    ensure_ascii=False,
).replace("/", "\\/")


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        (answer(CONTENT), True),
        (answer(CONTENT).replace("19.99", "0.01", 1), False),
        (answer(CONTENT, world.STRANGER), False),
        (answer(CONTENT).replace('"sign":"', '"sign":"AAAA'), False),
    ],
    ids=["genuine", "altered", "stranger", "other signature"],
)
def test_answer_is_accepted_by_us_exactly_where_both_clients_accept_it(text: str, accepted: bool) -> None:
    member = "alipay_trade_query_response"
    assert independent("read_response", text=text, member=member)["ok"] is accepted
    assert official("read_response", text=text)["ok"] is accepted
    platform = world.key(world.PLATFORM).public_key()
    if accepted:
        assert wire.read_reply(text.encode(), QUERY, platform).total_amount == "19.99"
    else:
        with pytest.raises(wire.Untrusted):
            wire.read_reply(text.encode(), QUERY, platform)


def test_answer_signed_by_the_independent_client_is_believed() -> None:
    platform = world.private_pem(world.PLATFORM)
    signature = independent("sign", text=CONTENT, private_key=platform)["sign"]
    text = f'{{"alipay_trade_query_response":{CONTENT},"sign":"{signature}"}}'
    reply = wire.read_reply(text.encode(), QUERY, world.key(world.PLATFORM).public_key())
    assert (reply.trade_status, reply.total_amount) == ("TRADE_SUCCESS", "19.99")


def test_notification_signed_by_the_independent_client_is_believed_and_altered_refused_by_both() -> None:
    route = channel(HttpClient())
    platform = world.private_pem(world.PLATFORM)
    signature = independent("sign", params=PAID, private_key=platform)["sign"]
    form = {**PAID, "sign_type": "RSA2", "sign": signature}
    genuine = raw(urlencode(form).encode(), received_at=NOW)
    assert route.parse_notification(genuine).kind is NotificationKind.PAYMENT
    assert independent("verify_notification", params=form) == {"ok": True}
    lie = {**form, "total_amount": "0.01"}
    assert independent("verify_notification", params=lie) == {"ok": False}
    with pytest.raises(NotificationForged):
        route.parse_notification(raw(urlencode(lie).encode()))
