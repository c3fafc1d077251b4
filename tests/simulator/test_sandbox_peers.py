"""Published clients, written by others, complete signed round trips against the sandbox and reject forgeries."""

import base64
from collections.abc import Awaitable, Callable

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.simulator.conftest import Merchant, Peer, World, eventually

from tongbao.simulator.sandbox import signing

OpenPeer = Callable[[str, str, object], Awaitable[Peer]]


def alipay_settings(world: World, **changed: str) -> dict[str, str]:
    own = world.sandbox.credentials.merchant.alipay
    return {
        "app_id": own.app_id,
        "app_private_key": own.app_private_key,
        "alipay_public_key": own.alipay_public_key,
        "gateway_url": own.gateway_url,
    } | changed


def pkcs1(pem: str) -> str:
    """The form of private key that the official client takes: PKCS #1, base 64 without its markers."""
    key = signing.private_key(pem)
    return base64.b64encode(
        key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    ).decode()


def bare(pem: str) -> str:
    """A PEM text without its markers and line ends."""
    return "".join(line for line in pem.splitlines() if "-----" not in line)


async def test_python_alipay_sdk_collects_and_refunds(
    world: World, merchant: Merchant, open_peer: OpenPeer
) -> None:
    peer = await open_peer("alipay", "alipay_peer.py", alipay_settings(world))
    order = {"subject": "兰州拉面 / large", "out_trade_no": "peer_1", "total_amount": "25.10"}
    placed = await peer.call("api_alipay_trade_precreate", notify_url=merchant.url, **order)
    assert placed["code"] == "10000"
    assert placed["qr_code"].startswith(world.sandbox.http_url)
    asked = await peer.call("api_alipay_trade_query", out_trade_no="peer_1")
    assert (asked["code"], asked["sub_code"]) == ("40004", "ACQ.TRADE_NOT_EXIST")
    status, paid = await world.control("POST", "pay", {"reference": "peer_1"})
    assert (status, paid["refused"]) == (200, None)
    asked = await peer.call("api_alipay_trade_query", out_trade_no="peer_1")
    assert (asked["trade_status"], asked["total_amount"]) == ("TRADE_SUCCESS", "25.10")
    await eventually(lambda: len(merchant.told) == 1)
    form = merchant.forms()[0]
    assert (form["trade_status"], form["out_trade_no"]) == ("TRADE_SUCCESS", "peer_1")
    sign = form.pop("sign")
    assert await peer.call("verify", data=dict(form), signature=sign) is True
    assert await peer.call("verify", data=form | {"total_amount": "0.01"}, signature=sign) is False
    refunds = {"out_trade_no": "peer_1", "out_request_no": "peer_1_r", "refund_amount": "5.10"}
    back = await peer.call("api_alipay_trade_refund", **refunds)
    assert (back["fund_change"], back["refund_fee"]) == ("Y", "5.10")
    again = await peer.call("api_alipay_trade_refund", **refunds)
    assert (again["fund_change"], again["refund_fee"]) == ("N", "5.10")
    seen = await peer.call(
        "api_alipay_trade_fastpay_refund_query", out_request_no="peer_1_r", out_trade_no="peer_1"
    )
    assert (seen["refund_status"], seen["refund_amount"]) == ("REFUND_SUCCESS", "5.10")
    payment = world.sandbox.world.payment("alipay", "peer_1")
    assert payment is not None
    assert payment.taken_minor == 20_00


async def test_python_alipay_sdk_takes_a_payer_code_and_cancels(world: World, open_peer: OpenPeer) -> None:
    peer = await open_peer("alipay", "alipay_peer.py", alipay_settings(world))
    taken = {"scene": "bar_code", "auth_code": "285015833669941234", "subject": "tea"}
    paid = await peer.call("api_alipay_trade_pay", out_trade_no="code_1", total_amount="3.00", **taken)
    assert (paid["code"], paid["buyer_pay_amount"]) == ("10000", "3.00")
    declined = await peer.call("api_alipay_trade_pay", out_trade_no="code_2", total_amount="3.51", **taken)
    assert (declined["code"], declined["sub_code"]) == ("40004", "ACQ.BUYER_BALANCE_NOT_ENOUGH")
    undone = await peer.call("api_alipay_trade_cancel", out_trade_no="code_1")
    assert (undone["code"], undone["action"]) == ("10000", "refund")
    assert world.sandbox.world.taken_minor(["code_1", "code_2"])["CNY"] == 0


async def test_python_alipay_sdk_with_wrong_keys_is_refused_and_refuses(
    world: World, open_peer: OpenPeer
) -> None:
    own = world.sandbox.credentials
    thief = alipay_settings(world, app_private_key=own.merchant.wechat_pay.merchant_private_key)
    peer = await open_peer("alipay", "alipay_peer.py", thief)
    answer = await peer.call("api_alipay_trade_query", out_trade_no="x")
    assert answer["sub_code"] == "isv.invalid-signature"
    fooled = alipay_settings(world, alipay_public_key=own.merchant.wechat_pay.platform_public_key)
    peer = await open_peer("alipay", "alipay_peer.py", fooled)
    assert await peer.refuses("api_alipay_trade_query", out_trade_no="x") == "AliPayValidationError"


async def test_official_alipay_client_collects_and_refunds(
    world: World, merchant: Merchant, open_peer: OpenPeer
) -> None:
    own = world.sandbox.credentials.merchant.alipay
    settings = alipay_settings(
        world, app_private_key=pkcs1(own.app_private_key), alipay_public_key=bare(own.alipay_public_key)
    )
    peer = await open_peer("alipay-official", "alipay_official_peer.py", settings)
    placed = await peer.call(
        "execute",
        kind="AlipayTradePrecreateRequest",
        content={"out_trade_no": "off_1", "total_amount": "88.80", "subject": "花 & 茶 = 100%"},
        notify_url=merchant.url,
    )
    assert placed["qr_code"].startswith(world.sandbox.http_url)
    await world.control("POST", "pay", {"reference": "off_1"})
    asked = await peer.call("execute", kind="AlipayTradeQueryRequest", content={"out_trade_no": "off_1"})
    assert asked["trade_status"] == "TRADE_SUCCESS"
    back = await peer.call(
        "execute",
        kind="AlipayTradeRefundRequest",
        content={"out_trade_no": "off_1", "refund_amount": "88.80", "out_request_no": "off_1_r"},
    )
    assert back["refund_fee"] == "88.80"
    closed = await peer.call("execute", kind="AlipayTradeQueryRequest", content={"out_trade_no": "off_1"})
    assert closed["trade_status"] == "TRADE_CLOSED"
    await eventually(lambda: len(merchant.told) == 2)
    for form in merchant.forms():
        assert await peer.call("verify", form=form) is True
        assert await peer.refuses("verify", form=form | {"total_amount": "0.01"}) == "VerificationError"
    sent = await peer.call(
        "execute",
        kind="AlipayFundTransUniTransferRequest",
        content={
            "out_biz_no": "off_out",
            "trans_amount": "12.34",
            "product_code": "TRANS_ACCOUNT_NO_PWD",
            "biz_scene": "DIRECT_TRANSFER",
            "payee_info": {"identity": "2088000000000000", "identity_type": "ALIPAY_USER_ID"},
        },
    )
    assert (sent["status"], sent["out_biz_no"]) == ("SUCCESS", "off_out")


def wechat_settings(world: World, merchant: Merchant, *, with_public_key: bool = True) -> dict[str, str]:
    own = world.sandbox.credentials.merchant.wechat_pay
    platform = {"public_key": own.platform_public_key, "public_key_id": own.platform_public_key_id}
    return {
        "gateway": world.sandbox.http_url,
        "mchid": own.mch_id,
        "private_key": own.merchant_private_key,
        "cert_serial_no": own.merchant_serial,
        "appid": own.app_id,
        "apiv3_key": own.api_v3_key,
        "notify_url": merchant.url,
    } | (platform if with_public_key else {})


@pytest.mark.parametrize("with_public_key", [True, False], ids=["public-key", "certificate"])
async def test_wechatpayv3_collects_refunds_and_reads_notifications(
    world: World, merchant: Merchant, open_peer: OpenPeer, with_public_key: bool
) -> None:
    settings = wechat_settings(world, merchant, with_public_key=with_public_key)
    peer = await open_peer("wechatpay", "wechat_peer.py", settings)
    amount = {"total": 1234, "currency": "CNY"}
    status, placed = await peer.call("pay", description="茶", out_trade_no="peer_wx_1", amount=amount)
    assert status == 200
    assert placed["code_url"].startswith("weixin://wxpay/bizpayurl?pr=")
    assert (await peer.call("query", out_trade_no="peer_wx_1"))[1]["trade_state"] == "NOTPAY"
    await world.control("POST", "pay", {"reference": "peer_wx_1"})
    status, order = await peer.call("query", out_trade_no="peer_wx_1")
    assert (order["trade_state"], order["amount"]["payer_total"]) == ("SUCCESS", 1234)
    assert (await peer.call("query", transaction_id=order["transaction_id"]))[1] == order
    status, back = await peer.call(
        "refund", out_refund_no="peer_wx_r", out_trade_no="peer_wx_1", amount=amount | {"refund": 234}
    )
    assert (status, back["status"]) == (200, "PROCESSING")
    await eventually(lambda: len(merchant.told) == 2)
    assert (await peer.call("query_refund", out_refund_no="peer_wx_r"))[1]["status"] == "SUCCESS"
    told = [
        await peer.call("callback", headers=headers, body=body.decode()) for headers, body in merchant.told
    ]
    assert [each["event_type"] for each in told] == ["TRANSACTION.SUCCESS", "REFUND.SUCCESS"]
    assert told[0]["resource"] == order
    assert told[1]["resource"]["refund_status"] == "SUCCESS"
    headers, body = merchant.told[0]
    assert (
        await peer.call("callback", headers=headers, body=body.decode().replace("sandbox", "sandbag")) is None
    )


async def test_wechatpayv3_places_closes_and_pays_out(
    world: World, merchant: Merchant, open_peer: OpenPeer
) -> None:
    peer = await open_peer("wechatpay", "wechat_peer.py", wechat_settings(world, merchant))
    order = {"description": "tea", "amount": {"total": 500}}
    payer = {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}
    scene = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}
    kinds: dict[str, tuple[dict[str, object], str]] = {
        "JSAPI": ({"payer": payer}, "prepay_id"),
        "APP": ({}, "prepay_id"),
        "H5": ({"scene_info": scene}, "h5_url"),
        "CODEPAY": ({"payer": {"auth_code": "130061098828009406"}, "scene_info": scene}, "transaction_id"),
    }
    for kind, (more, key) in kinds.items():
        status, placed = await peer.call("pay", pay_type=kind, out_trade_no=f"kind_{kind}", **order, **more)
        assert status == 200, placed
        assert placed[key]
    assert (await peer.call("close", out_trade_no="kind_APP"))[0] == 204
    assert (await peer.call("query", out_trade_no="kind_APP"))[1]["trade_state"] == "CLOSED"
    assert (await peer.call("close", out_trade_no="kind_CODEPAY"))[1]["code"] == "ORDERPAID"
    status, bill = await peer.call(
        "mch_transfer_bills",
        out_bill_no="bill1",
        transfer_scene_id="1001",
        transfer_amount=100,
        transfer_remark="bonus",
        **payer,
    )
    assert (status, bill["state"]) == (200, "ACCEPTED")
    await eventually(lambda: len(merchant.told) == 1)
    assert (await peer.call("mch_transfer_bills_query", out_bill_no="bill1"))[1]["state"] == "SUCCESS"


async def test_wechatpayv3_with_wrong_keys_is_refused_and_refuses(
    world: World, merchant: Merchant, open_peer: OpenPeer
) -> None:
    own = world.sandbox.credentials.merchant
    settings = wechat_settings(world, merchant)
    thief = await open_peer(
        "wechatpay", "wechat_peer.py", settings | {"private_key": own.alipay.app_private_key}
    )
    status, answer = await thief.call("query", out_trade_no="x")
    assert (status, answer["code"]) == (401, "SIGN_ERROR")
    amount = {"total": 100, "currency": "CNY"}
    fooled = await open_peer(
        "wechatpay", "wechat_peer.py", settings | {"public_key": own.alipay.app_public_key}
    )
    refusal = await fooled.tell(
        {"call": "pay", "arguments": {"description": "t", "out_trade_no": "fooled1", "amount": amount}}
    )
    assert refusal["detail"] == "failed to verify the signature"
