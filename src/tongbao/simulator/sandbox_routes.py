"""The routes for money of a house whose outside world is the sandbox."""

from tongbao.channels.service.building import ChannelSpec
from tongbao.simulator.sandbox.credentials import MerchantCredentials

CARD_CURRENCIES = ["CNY", "EUR", "GBP", "HKD", "JPY", "KWD", "SGD", "USD"]


def routes(known: MerchantCredentials, *, timeout_s: float = 10.0) -> list[ChannelSpec]:
    """Return a channel for each acquirer, one for Alipay and one for WeChat Pay, reached where the sandbox listens."""
    acquirers = [
        ChannelSpec(
            name=name,
            adapter="iso8583",
            settings={
                "line": {"host": acquirer.host, "port": acquirer.port, "timeout_s": timeout_s},
                "terminal": {
                    "terminal_id": acquirer.terminal_id,
                    "merchant_id": acquirer.merchant_id,
                    "acquirer_id": acquirer.acquirer_id,
                },
                "currencies": CARD_CURRENCIES,
                "inquires": True,
                "increments": True,
                "captures_often": True,
                "authenticates": True,
                "notice_secret": acquirer.notification_secret,
            },
        )
        for name, acquirer in known.acquirers.items()
    ]
    alipay = ChannelSpec(
        name="alipay",
        adapter="alipay",
        settings={
            "app_id": known.alipay.app_id,
            "seller_id": known.alipay.seller_id,
            "app_private_key_pem": known.alipay.app_private_key,
            "alipay_public_key_pem": known.alipay.alipay_public_key,
            "gateway_url": known.alipay.gateway_url,
            "timeout_s": timeout_s,
        },
    )
    wechat_pay = ChannelSpec(
        name="wechatpay",
        adapter="wechatpay",
        settings={
            "app_id": known.wechat_pay.app_id,
            "mch_id": known.wechat_pay.mch_id,
            "merchant_serial": known.wechat_pay.merchant_serial,
            "merchant_private_key_pem": known.wechat_pay.merchant_private_key,
            "platform_public_keys": {
                known.wechat_pay.platform_public_key_id: known.wechat_pay.platform_public_key
            },
            "api_v3_key": known.wechat_pay.api_v3_key,
            "base_url": known.wechat_pay.base_url,
            "timeout_s": timeout_s,
        },
    )
    return [*acquirers, alipay, wechat_pay]
