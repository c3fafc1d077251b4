"""Ask wechatpayv3 to sign or to judge; runs in that library's own environment.

Each line on standard input is a JSON object that names an act and its values; one line on standard output answers it.
"""

import json
import sys
import time
from typing import Any

from wechatpayv3 import WeChatPay, WeChatPayType  # type: ignore[import-not-found]  # in its own environment
from wechatpayv3.utils import build_authorization, load_private_key  # type: ignore[import-not-found]  # in its own environment


def client(asked: dict[str, Any]) -> Any:
    return WeChatPay(
        wechatpay_type=WeChatPayType.NATIVE,
        mchid="1900000109",
        private_key=asked["private_key"],
        cert_serial_no="SERIAL",
        apiv3_key=asked["api_v3_key"],
        appid="wxd678efh567hg6787",
        notify_url="https://merchant.test/notify",
        public_key=asked["public_key"],
        public_key_id=asked["public_key_id"],
    )


def authorization(asked: dict[str, Any]) -> dict[str, Any]:
    """The header that the library would send for a request, at a given time with a given nonce."""
    time.time = lambda: asked["timestamp"]
    header = build_authorization(
        asked["path"],
        asked["method"],
        asked["mchid"],
        asked["serial_no"],
        load_private_key(asked["private_key"]),
        data=asked["body"],
        nonce_str=asked["nonce"],
    )
    return {"header": header}


def pay_sign(asked: dict[str, Any]) -> dict[str, Any]:
    """The signature with which WeChat's client is invoked."""
    return {"sign": client(asked).sign(asked["values"])}


def verify(asked: dict[str, Any]) -> dict[str, Any]:
    """Whether the library takes an answer as signed."""
    return {"ok": client(asked)._core._verify_signature(asked["headers"], asked["body"])}


def callback(asked: dict[str, Any]) -> dict[str, Any]:
    """What the library reads out of a notification; None where it refuses it."""
    return {"read": client(asked).callback(asked["headers"], asked["body"])}


ACTS = {act.__name__: act for act in (authorization, pay_sign, verify, callback)}

if __name__ == "__main__":
    for line in sys.stdin:
        question = json.loads(line)
        sys.stdout.write(json.dumps(ACTS[question["act"]](question)) + "\n")
        sys.stdout.flush()
