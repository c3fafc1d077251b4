"""Ask alipay-sdk-python, Alipay's own library, to sign or to judge; runs in that library's own environment.

Each line on standard input is a JSON object that names an act and its values; one line on standard output answers it.
"""

import json
import sys
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from alipay.aop.api import DefaultAlipayClient  # type: ignore[import-not-found]  # in its own environment
from alipay.aop.api.AlipayClientConfig import AlipayClientConfig  # type: ignore[import-not-found]  # in its own environment
from alipay.aop.api.exception.Exception import ResponseException  # type: ignore[import-not-found]  # in its own environment
from alipay.aop.api.request.AlipayTradeAppPayRequest import AlipayTradeAppPayRequest  # type: ignore[import-not-found]  # in its own environment
from alipay.aop.api.request.AlipayTradePagePayRequest import AlipayTradePagePayRequest  # type: ignore[import-not-found]  # in its own environment
from alipay.aop.api.request.AlipayTradeQueryRequest import AlipayTradeQueryRequest  # type: ignore[import-not-found]  # in its own environment
from alipay.aop.api.util.SignatureUtils import get_sign_content, verify_with_rsa  # type: ignore[import-not-found]  # in its own environment


def client(asked: dict[str, Any]) -> Any:
    config = AlipayClientConfig()
    config.server_url = "https://gateway.test/gateway.do"
    config.app_id = asked.get("app_id", "app")
    config.app_private_key = asked["private_key"]
    config.alipay_public_key = asked["public_key"]
    return DefaultAlipayClient.DefaultAlipayClient(config)


def page(asked: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the page that the library would send a payer to."""
    request = AlipayTradePagePayRequest()
    request.biz_content = asked["biz_content"]
    request.notify_url, request.return_url = asked["notify_url"], asked["return_url"]
    url = client(asked).page_execute(request, http_method="GET")
    return {"params": dict(parse_qsl(urlsplit(url).query))}


def app(asked: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the order that the library would give to an app."""
    request = AlipayTradeAppPayRequest()
    request.biz_content = asked["biz_content"]
    request.notify_url = asked["notify_url"]
    return {"params": dict(parse_qsl(client(asked).sdk_execute(request)))}


def verify_request(asked: dict[str, Any]) -> dict[str, Any]:
    """Whether the library takes a request of ours as signed."""
    params = dict(asked["params"])
    signature = params.pop("sign")
    try:
        return {"ok": verify_with_rsa(asked["public_key"], get_sign_content(params).encode(), signature)}
    except Exception as error:  # the library lets errors of its RSA module through
        return {"ok": False, "why": type(error).__name__}


def read_response(asked: dict[str, Any]) -> dict[str, Any]:
    """What the library reads out of an answer, or that it refuses it."""
    DefaultAlipayClient.do_post = lambda *_: asked["text"].encode()
    try:
        read = client(asked).execute(AlipayTradeQueryRequest())
    except ResponseException:
        return {"ok": False, "why": "ResponseException"}
    return {"ok": True, "read": json.loads(read)}


ACTS = {act.__name__: act for act in (page, app, verify_request, read_response)}

if __name__ == "__main__":
    for line in sys.stdin:
        question = json.loads(line)
        sys.stdout.write(json.dumps(ACTS[question["act"]](question)) + "\n")
        sys.stdout.flush()
