"""What the channel must know of the merchant at WeChat Pay."""

from collections.abc import Mapping

import msgspec
from pydantic import SecretStr

from tongbao.core.http import TIMEOUT_S

BASE_URL = "https://api.mch.weixin.qq.com"


class WechatPaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The merchant at WeChat Pay. Keys in any form that ``adapters.signatures`` reads.

    ``merchant_serial``: serial number of the merchant's certificate. ``platform_public_keys``: what WeChat Pay signs
    with, by public key id (``PUB_KEY_ID_…``) or certificate serial number; several while they are changed.
    ``notify_url``: where notifications go for calls that name no address. ``store_id``: our name of the shop, told
    with a scanned code. The transfer scene and its report lines (type and content) are agreed with WeChat Pay.
    ``timeout_s``: how long an answer is waited for.
    """

    app_id: str
    mch_id: str
    merchant_private_key_pem: SecretStr
    merchant_serial: str
    platform_public_keys: Mapping[str, str]
    api_v3_key: SecretStr
    base_url: str = BASE_URL
    notify_url: str | None = None
    store_id: str = "1"
    transfer_scene_id: str = "1000"
    transfer_reports: Mapping[str, str] = {}
    timeout_s: float = TIMEOUT_S
