"""Drives python-alipay-sdk in its own environment: settings, then calls, one JSON line each."""

import json
import sys

from alipay import AliPay  # type: ignore[import-not-found]  # installed in the peer's environment only


def say(answer: dict[str, object]) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


settings = json.loads(sys.stdin.readline())
client = AliPay(
    appid=settings["app_id"],
    app_private_key_string=settings["app_private_key"],
    alipay_public_key_string=settings["alipay_public_key"],
)
client._gateway = settings["gateway_url"]
say({"result": "ready"})
for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer = {"result": getattr(client, asked["call"])(**asked["arguments"])}
    except Exception as error:
        answer = {"error": type(error).__name__, "detail": str(error)}
    say(answer)
