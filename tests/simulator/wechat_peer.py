"""Drives wechatpayv3 in its own environment: settings, then calls, one JSON line each."""

import json
import sys

from wechatpayv3 import (  # type: ignore[import-not-found]  # installed in the peer's environment only
    WeChatPay,
    WeChatPayType,
)
from wechatpayv3.core import Core  # type: ignore[import-not-found]  # installed in the peer's environment only


def say(answer: dict[str, object]) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


settings = json.loads(sys.stdin.readline())
gateway = settings.pop("gateway")
asked_for_certificates = Core._init_certificates


def init(core: Core) -> None:
    """Lead the client to us before it asks for certificates, which it does while it is made."""
    core._gate_way = gateway
    asked_for_certificates(core)


Core._init_certificates = init
client = WeChatPay(wechatpay_type=WeChatPayType.NATIVE, **settings)
client._core._gate_way = gateway
say({"result": "ready"})
for line in sys.stdin:
    asked = json.loads(line)
    arguments = asked["arguments"]
    if "pay_type" in arguments:
        arguments["pay_type"] = WeChatPayType[arguments["pay_type"]]
    try:
        result = getattr(client, asked["call"])(**arguments)
        if isinstance(result, tuple):
            code, message = result
            text = message.decode() if isinstance(message, bytes) else message
            result = [code, json.loads(text) if text else None]
        answer = {"result": result}
    except Exception as error:
        answer = {"error": type(error).__name__, "detail": str(error)}
    say(answer)
