"""Drives Alipay's official client in its own environment: settings, then calls, one JSON line each."""

import http.client
import importlib
import json
import sys
import urllib.parse

from alipay.aop.api.AlipayClientConfig import (  # type: ignore[import-not-found]  # the peer's environment only
    AlipayClientConfig,
)
from alipay.aop.api.DefaultAlipayClient import (  # type: ignore[import-not-found]  # the peer's environment only
    DefaultAlipayClient,
)
from alipay.aop.api.util import (  # type: ignore[import-not-found]  # the peer's environment only
    SignatureUtils,
    WebUtils,
)


def connect(url: str, query_string: str, timeout: float) -> tuple[str, http.client.HTTPConnection]:
    """Stand in for the client's own function, which ignores the port of a URL."""
    parsed = urllib.parse.urlparse(url)
    connection = http.client.HTTPConnection(parsed.hostname or "", parsed.port, timeout=timeout)
    return f"{parsed.path}?{query_string}", connection


WebUtils.get_http_connection = connect


def say(answer: dict[str, object]) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


settings = json.loads(sys.stdin.readline())
config = AlipayClientConfig()
config.server_url = settings["gateway_url"]
config.app_id = settings["app_id"]
config.app_private_key = settings["app_private_key"]
config.alipay_public_key = settings["alipay_public_key"]
client = DefaultAlipayClient(config)


def execute(kind: str, content: dict[str, object], notify_url: str | None = None) -> object:
    """Send a request of the class of this name and return the verified answer."""
    request = getattr(importlib.import_module(f"alipay.aop.api.request.{kind}"), kind)()
    request.biz_content = content
    if notify_url:
        request.notify_url = notify_url
    return json.loads(client.execute(request))


def verify(form: dict[str, str]) -> bool:
    """Check a notification as the client's documentation says."""
    params = {name: value for name, value in form.items() if name not in ("sign", "sign_type")}
    content = SignatureUtils.get_sign_content(params).encode()
    return bool(SignatureUtils.verify_with_rsa(settings["alipay_public_key"], content, form["sign"]))


say({"result": "ready"})
for line in sys.stdin:
    asked = json.loads(line)
    try:
        call = verify if asked["call"] == "verify" else execute
        answer = {"result": call(**asked["arguments"])}
    except Exception as error:
        answer = {"error": type(error).__name__, "detail": str(error)}
    say(answer)
