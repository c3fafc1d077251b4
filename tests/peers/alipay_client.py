"""Ask python-alipay-sdk to sign or to judge; runs in that library's own environment.

Each line on standard input is a JSON object that names an act and its values; one line on standard output answers it.
"""

import json
import sys
from typing import Any
from urllib.parse import parse_qsl

from alipay import AliPay  # type: ignore[import-not-found]  # in its own environment
from alipay.exceptions import AliPayException, AliPayValidationError  # type: ignore[import-not-found]  # in its own environment


def client(asked: dict[str, Any]) -> Any:
    return AliPay(
        appid=asked.get("app_id", "app"),
        app_private_key_string=asked["private_key"],
        alipay_public_key_string=asked["public_key"],
    )


def sign_request(asked: dict[str, Any]) -> dict[str, Any]:
    """What the library would send for a method and its content, at a given time."""
    library = client(asked)
    body = library.build_body(asked["method"], asked["biz_content"], **asked["more"])
    return {"params": dict(parse_qsl(library.sign_data(body), keep_blank_values=True))}


def sign(asked: dict[str, Any]) -> dict[str, Any]:
    """The signature over parameters as they are, and over a text."""
    library = client(asked)
    if "text" in asked:
        return {"sign": library._sign(asked["text"])}
    text = "&".join(f"{name}={value}" for name, value in library._ordered_data(asked["params"]))
    return {"sign": library._sign(text)}


def verify_request(asked: dict[str, Any]) -> dict[str, Any]:
    """Whether the library takes a request of ours as signed."""
    library = client(asked)
    params = dict(asked["params"])
    signature = params.pop("sign")
    text = "&".join(f"{name}={value}" for name, value in library._ordered_data(params))
    return {"ok": library._verify(text, signature)}


def verify_notification(asked: dict[str, Any]) -> dict[str, Any]:
    """Whether the library takes a notification as genuine."""
    params = dict(asked["params"])
    return {"ok": client(asked).verify(params, params.pop("sign"))}


def read_response(asked: dict[str, Any]) -> dict[str, Any]:
    """What the library reads out of an answer, or that it refuses it."""
    try:
        read = client(asked)._verify_and_return_sync_response(asked["text"], asked["member"])
    except (AliPayException, AliPayValidationError, ValueError) as error:
        return {"ok": False, "why": type(error).__name__}
    return {"ok": True, "read": read}


ACTS = {act.__name__: act for act in (sign_request, sign, verify_request, verify_notification, read_response)}

if __name__ == "__main__":
    for line in sys.stdin:
        question = json.loads(line)
        sys.stdout.write(json.dumps(ACTS[question["act"]](question)) + "\n")
        sys.stdout.flush()
