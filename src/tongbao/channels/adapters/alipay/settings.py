"""What the channel must know of the merchant's application at Alipay."""

import msgspec
from pydantic import SecretStr

from tongbao.core.http import TIMEOUT_S

GATEWAY_URL = "https://openapi.alipay.com/gateway.do"


class AlipaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The merchant's application at Alipay. Keys in any form that ``adapters.signatures`` reads.

    ``seller_id``: the merchant's number (``2088…``). The two serial numbers are those of the certificate mode, which
    Alipay demands for transfers; leave both out in the public-key mode.
    ``timeout_s``: how long an answer is waited for.
    """

    app_id: str
    seller_id: str
    app_private_key_pem: SecretStr
    alipay_public_key_pem: str
    gateway_url: str = GATEWAY_URL
    app_cert_sn: str | None = None
    alipay_root_cert_sn: str | None = None
    timeout_s: float = TIMEOUT_S
